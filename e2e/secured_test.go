package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e"
	"usersync/e2e/broker"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// login returns the configuration of a way to log in; the password of all is the
// right one.
func login(addr string, keys worker.Config) worker.Config {
	c := worker.Config{"kafka.brokers": []string{addr}}
	for key, value := range keys {
		c["kafka."+key] = value
	}
	if _, ok := keys["sasl.mechanism"]; ok {
		c["kafka.sasl.username"], c["kafka.sasl.password"] = broker.User, broker.Password
	}
	return c
}

// TestTLSAndSASL has a worker do everything on a secured listener: join, fetch,
// commit, and write a dead letter.
func TestTLSAndSASL(t *testing.T) {
	b := e2e.Kafka(t, broker.Config{Secured: true})
	if err := b.Grant(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Committed(t.Context(), "anyone"); err != nil { // have a coordinator
		t.Fatal(err)
	}
	s := b.Security()
	for name, c := range map[string]worker.Config{
		"scram-sha-256": login(s.SASLOverTLS, worker.Config{"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "scram-sha-256"}),
		"scram-sha-512": login(s.SASLOverTLS, worker.Config{"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "scram-sha-512"}),
		"plain":         login(s.SASLOverTLS, worker.Config{"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "plain"}),
		"client-cert": login(s.ClientCert, worker.Config{
			"tls.enabled": true, "tls.ca_file": s.CAFile, "tls.cert_file": s.CertFile, "tls.key_file": s.KeyFile,
		}),
	} {
		t.Run(name, func(t *testing.T) {
			d := &worker.Deployment{Broker: b.Client, Vendors: vendors.Start(t), Config: c}
			topic, dead := "users-"+name, "dead-"+name
			c["kafka.topics"], c["kafka.dead_letter_topic"], c["kafka.group_id"] = []string{topic}, dead, name
			create(t, b.Client, topic, 1, nil)
			create(t, b.Client, dead, 1, nil)
			book := worker.NewBook(topic)
			book.Write(t, b.Client, 1, 2, 3)
			poison := &kgo.Record{Topic: topic, Key: []byte(`{"id":4}`), Value: []byte(`{"after":`)}
			if err := b.Produce(t.Context(), poison); err != nil {
				t.Fatal(err)
			}
			book.Write(t, b.Client, 5, 6)
			w := d.Start(t, "worker", nil)
			book.Settle(t, d)
			letters := deadLetters(t, d)
			if len(letters) != len(worker.Destinations) {
				t.Fatalf("%d dead letters, want one of each destination", len(letters))
			}
			for _, l := range letters {
				if l["usersync.reason"] != "undecodable" || l["usersync.source.offset"] != "3" || l["value"] != string(poison.Value) {
					t.Errorf("dead letter %v", l)
				}
			}
			w.Stop()
		})
	}
}

// TestWrongPassword: who may not log in is told so at once, and what to look at.
// The client library by itself would try for ever.
func TestWrongPassword(t *testing.T) {
	b := e2e.Kafka(t, broker.Config{Secured: true})
	if err := b.Grant(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := b.Security()
	create(t, b.Client, "users", 1, nil)
	create(t, b.Client, "dead", 1, nil)
	const wrong = "not-the-password"
	for name, tt := range map[string]struct {
		config worker.Config
		want   string
	}{
		"wrong password": {
			worker.Config{"kafka.sasl.password": wrong},
			": authentication failed; check kafka.sasl.username and kafka.sasl.password",
		},
		"unknown authority": {worker.Config{"kafka.tls.ca_file": nil}, "; check kafka.tls.ca_file and the host name in kafka.brokers"},
		"no TLS":            {worker.Config{"kafka.tls.enabled": false, "kafka.tls.ca_file": nil}, "kafka.tls"},
		"no client certificate": {
			worker.Config{
				"kafka.brokers":        []string{s.ClientCert},
				"kafka.sasl.mechanism": nil, "kafka.sasl.username": nil, "kafka.sasl.password": nil,
			},
			"; check kafka.tls.cert_file and kafka.tls.key_file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &worker.Deployment{Broker: b.Client, Vendors: vendors.Start(t), Config: login(s.SASLOverTLS, worker.Config{
				"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "scram-sha-512",
			})}
			began := time.Now()
			w := d.Launch(t, "worker", tt.config)
			if code := w.Exit(20 * time.Second); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), w.Last())
			for _, want := range []string{"Kafka broker 127.0.0.1:", tt.want} {
				if !strings.Contains(w.Log(), want) {
					t.Errorf("it said %q, want %q", w.Log(), want)
				}
			}
			for _, secret := range []string{wrong, broker.Password} {
				if strings.Contains(w.Log(), secret) {
					t.Errorf("the log holds a password")
				}
			}
		})
	}
}
