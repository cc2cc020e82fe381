package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

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

// TestSecured runs workers against one broker with TLS, SASL and access rules.
func TestSecured(t *testing.T) {
	t.Parallel() // it measures nothing
	b := e2e.Kafka(t, broker.Config{Secured: true})
	if err := b.Grant(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Committed(t.Context(), "anyone"); err != nil { // have a coordinator
		t.Fatal(err)
	}
	v := vendors.Start(t)
	t.Run("ways in", func(t *testing.T) { testWaysIn(t, b, v) })
	t.Run("shut out", func(t *testing.T) { testShutOut(t, b, v) })
	t.Run("access taken away", func(t *testing.T) { testAccessTakenAway(t, b, v) })
	t.Run("topics to be made", func(t *testing.T) { testTopicDenied(t, b, v) })
}

// testWaysIn has a worker do everything on each secured listener: join, fetch,
// commit, and write a dead letter.
func testWaysIn(t *testing.T, b *broker.Broker, v *vendors.Vendors) {
	s := b.Security()
	user := 0
	for name, c := range map[string]worker.Config{
		"scram-sha-256": login(s.SASLOverTLS, worker.Config{"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "scram-sha-256"}),
		"scram-sha-512": login(s.SASLOverTLS, worker.Config{"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "scram-sha-512"}),
		"plain":         login(s.SASLOverTLS, worker.Config{"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "plain"}),
		"client-cert": login(s.ClientCert, worker.Config{
			"tls.enabled": true, "tls.ca_file": s.CAFile, "tls.cert_file": s.CertFile, "tls.key_file": s.KeyFile,
		}),
	} {
		t.Run(name, func(t *testing.T) {
			d := secured(t, b, v, name, c)
			book := worker.NewBook("users-" + name)
			user += 10
			book.Write(t, b.Client, user, user+1)
			poison := &kgo.Record{Topic: "users-" + name, Key: []byte(`{"id":4}`), Value: []byte(`{"after":`)}
			if err := b.Produce(t.Context(), poison); err != nil {
				t.Fatal(err)
			}
			book.Write(t, b.Client, user+2)
			if code, output := d.Check(t, name, nil); code != 0 || !strings.Contains(output, "kafka: ok") {
				t.Errorf("check: exit code %d\n%s", code, output)
			}
			w := d.Start(t, name, nil)
			delivered(t, d, book)
			letters := deadLetters(t, d)
			if len(letters) != len(worker.Destinations) {
				t.Fatalf("%d dead letters, want one of each destination", len(letters))
			}
			for _, l := range letters {
				if l["usersync.reason"] != "undecodable" || l["usersync.source.offset"] != "2" || l["value"] != string(poison.Value) {
					t.Errorf("dead letter %v", l)
				}
			}
			w.Stop()
		})
	}
}

// secured returns a deployment with topics and a group of its own.
func secured(t *testing.T, b *broker.Broker, v *vendors.Vendors, name string, c worker.Config) *worker.Deployment {
	t.Helper()
	c["kafka.topics"], c["kafka.dead_letter_topic"], c["kafka.group_id"] = []string{"users-" + name}, "dead-"+name, name
	create(t, b.Client, "users-"+name, 1, nil)
	create(t, b.Client, "dead-"+name, 1, nil)
	return &worker.Deployment{Broker: b.Client, Vendors: v, Config: c}
}

// delivered waits as Settle does, where the vendors hold users of others too.
func delivered(t *testing.T, d *worker.Deployment, book *worker.Book) {
	t.Helper()
	topic := d.Config["kafka.topics"].([]string)[0]
	for _, destination := range worker.Destinations {
		worker.Until(t, worker.Limit, destination+" has everyone, and it is committed", func() bool {
			return worker.Lag(t, d.Broker, d.Group(destination), topic) == 0 && book.Wrong(d.Vendors, destination) == ""
		})
	}
}

// shut is a worker that may not in, or not do its work.
type shut struct {
	config worker.Config
	denied broker.Access
	want   []string // what it is about, why, and what to look at
}

const wrongPassword = "not-the-password"

func allShut(s *broker.Security) map[string]shut {
	withoutSASL := func(addr string, c worker.Config) worker.Config {
		c["kafka.brokers"] = []string{addr}
		for _, key := range []string{"mechanism", "username", "password"} {
			c["kafka.sasl."+key] = nil
		}
		return c
	}
	return map[string]shut{
		"wrong-password": {
			config: worker.Config{"kafka.sasl.password": wrongPassword},
			want:   []string{"Kafka broker 127.0.0.1:", ": authentication failed; check kafka.sasl.username and kafka.sasl.password"},
		},
		"unknown-authority": {
			config: worker.Config{"kafka.tls.ca_file": nil},
			want:   []string{"Kafka broker 127.0.0.1:", "signed by unknown authority; check kafka.tls.ca_file and the host name in kafka.brokers"},
		},
		"no-tls": {
			config: worker.Config{"kafka.tls.enabled": false, "kafka.tls.ca_file": nil},
			want:   []string{"Kafka broker 127.0.0.1:", "kafka.tls"},
		},
		"no-client-certificate": {
			config: withoutSASL(s.ClientCert, worker.Config{}),
			want:   []string{"Kafka broker 127.0.0.1:", "; check kafka.tls.cert_file and kafka.tls.key_file"},
		},
		"expired-client-certificate": {
			config: withoutSASL(s.ClientCert, worker.Config{"kafka.tls.cert_file": s.ExpiredCertFile, "kafka.tls.key_file": s.ExpiredKeyFile}),
			want:   []string{"Kafka broker 127.0.0.1:", "the client certificate expired at ", "; renew kafka.tls.cert_file and kafka.tls.key_file"},
		},
		"expired-server-certificate": {
			config: withoutSASL(s.Expired, worker.Config{}),
			want:   []string{"Kafka broker 127.0.0.1:", "its TLS certificate is not valid at this time: ", "certificate has expired", "; renew the broker's certificate"},
		},
		"no-topic": {
			denied: broker.Access{Resource: kmsg.ACLResourceTypeTopic, Name: "users-no-topic", Operation: kmsg.ACLOperationAll},
			want:   []string{"topic users-no-topic: access denied: this user needs Read; grant it with "},
		},
		"no-reading": {
			denied: broker.Access{Resource: kmsg.ACLResourceTypeTopic, Name: "users-no-reading", Operation: kmsg.ACLOperationRead},
			want:   []string{"topic users-no-reading: access denied: this user needs Read; grant it with "},
		},
		"no-dead-letters": {
			denied: broker.Access{Resource: kmsg.ACLResourceTypeTopic, Name: "dead-no-dead-letters", Operation: kmsg.ACLOperationWrite},
			want:   []string{"topic dead-no-dead-letters: access denied: this user needs Write; grant it with "},
		},
		"no-group": {
			denied: broker.Access{Resource: kmsg.ACLResourceTypeGroup, Name: "no-group.haptik", Operation: kmsg.ACLOperationRead},
			want:   []string{"group no-group.haptik: access denied: this user needs Read; grant it with "},
		},
	}
}

// testShutOut: who may not in, or not do its work, is told so at once. The client
// library by itself would try for ever.
func testShutOut(t *testing.T, b *broker.Broker, v *vendors.Vendors) {
	s := b.Security()
	for name, tt := range allShut(s) {
		t.Run(name, func(t *testing.T) {
			d := secured(t, b, v, name, login(s.SASLOverTLS, worker.Config{
				"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "scram-sha-512",
			}))
			if tt.denied.Name != "" {
				if err := b.Deny(t.Context(), tt.denied); err != nil {
					t.Fatal(err)
				}
			}
			turnedAway(t, d, name, tt.config, tt.want, wrongPassword, broker.Password)
		})
	}
}

// turnedAway has both commands try, and end with a message that has all of want
// and none of the passwords.
func turnedAway(t *testing.T, d *worker.Deployment, name string, c worker.Config, want []string, passwords ...string) {
	t.Helper()
	code, checked := d.Check(t, name, c)
	if code != 1 {
		t.Errorf("check: exit code %d, want 1", code)
	}
	began := time.Now()
	w := d.Launch(t, name, c)
	if code := w.Exit(worker.Limit); code != 1 {
		t.Errorf("run: exit code %d, want 1", code)
	}
	t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), w.Last())
	for _, said := range []string{checked, w.Log()} {
		for _, text := range want {
			if !strings.Contains(said, text) {
				t.Errorf("it said %q, want %q", said, text)
			}
		}
		for _, password := range passwords {
			if strings.Contains(said, password) {
				t.Error("it said a password")
			}
		}
	}
}

// testTopicDenied has the product make topics of which one is denied: it says which right
// is missing, makes the others, and the rest once the right is there.
func testTopicDenied(t *testing.T, b *broker.Broker, v *vendors.Vendors) {
	s := b.Security()
	d := secured(t, b, v, "made", login(s.SASLOverTLS, worker.Config{
		"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "scram-sha-512",
		"retry_topic": "retry-made", "control_topic": "control-made",
	}))
	denied := broker.Access{Resource: kmsg.ACLResourceTypeTopic, Name: "control-made", Operation: kmsg.ACLOperationCreate}
	if err := b.Deny(t.Context(), denied); err != nil {
		t.Fatal(err)
	}
	code, out, said := d.Command(t, "made", nil, "topics", "--create", "--replication-factor", "1")
	if code != 1 || !strings.Contains(said, "topic control-made: access denied: this user needs Create; grant it with kafka-acls.sh") {
		t.Errorf("exit code %d\n%s%s", code, out, said)
	}
	if n, err := b.Partitions(t.Context(), "retry-made"); n != 1 || err != nil {
		t.Errorf("the other topic has %d partitions (%v)", n, err)
	}
	if err := b.Return(t.Context(), denied); err != nil {
		t.Fatal(err)
	}
	if code, out, said := d.Command(t, "made", nil, "topics", "--create", "--replication-factor", "1"); code != 0 {
		t.Errorf("exit code %d\n%s%s", code, out, said)
	}
}

// testAccessTakenAway takes an access away from a worker that runs, and gives it
// back: the worker says so, does not end, loses nothing, and goes on by itself.
func testAccessTakenAway(t *testing.T, b *broker.Broker, v *vendors.Vendors) {
	s := b.Security()
	for name, tt := range map[string]struct {
		denied broker.Access
		want   string
	}{
		"lost-topic": {
			broker.Access{Resource: kmsg.ACLResourceTypeTopic, Name: "users-lost-topic", Operation: kmsg.ACLOperationRead},
			"topic users-lost-topic: access denied",
		},
		"lost-group": {
			broker.Access{Resource: kmsg.ACLResourceTypeGroup, Name: "lost-group.taptalk", Operation: kmsg.ACLOperationRead},
			"group lost-group.taptalk: access denied",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := secured(t, b, v, name, login(s.SASLOverTLS, worker.Config{
				"tls.enabled": true, "tls.ca_file": s.CAFile, "sasl.mechanism": "scram-sha-512",
			}))
			book := worker.NewBook("users-" + name)
			book.Write(t, b.Client, 101, 102)
			w := d.Start(t, name, nil)
			delivered(t, d, book)

			if err := b.Deny(t.Context(), tt.denied); err != nil {
				t.Fatal(err)
			}
			worker.Until(t, worker.Limit, "/readyz says what was taken away", func() bool {
				status, body := w.Get("/readyz")
				return status == http.StatusServiceUnavailable && strings.Contains(body, tt.want)
			})
			if !strings.Contains(w.Log(), tt.want) {
				t.Errorf("the log does not say %q", tt.want)
			}
			book.Write(t, b.Client, 102, 103)
			if err := b.Return(t.Context(), tt.denied); err != nil {
				t.Fatal(err)
			}
			w.Ready()
			delivered(t, d, book)
			w.Stop()
		})
	}
}
