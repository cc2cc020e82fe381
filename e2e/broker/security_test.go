package broker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"usersync/e2e"
	"usersync/e2e/broker"
)

func TestSecurity(t *testing.T) {
	b := e2e.Kafka(t, broker.Config{Secured: true})
	s := b.Security()
	create(t, b.Client, "secret", 1, nil)

	trust := trusting(t, s.CAFile)
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	known := trust.Clone()
	known.Certificates = []tls.Certificate{pair}

	scrams := scram.Auth{User: broker.User, Pass: broker.Password}
	plains := plain.Auth{User: broker.User, Pass: broker.Password}
	ways := map[string][]kgo.Opt{
		"SCRAM-SHA-256 over TLS":    login(s.SASLOverTLS, trust, scrams.AsSha256Mechanism()),
		"SCRAM-SHA-512 over TLS":    login(s.SASLOverTLS, trust, scrams.AsSha512Mechanism()),
		"PLAIN over TLS":            login(s.SASLOverTLS, trust, plains.AsMechanism()),
		"client certificate":        login(s.ClientCert, known, nil),
		"SCRAM-SHA-512 without TLS": login(s.SASLPlaintext, nil, scrams.AsSha512Mechanism()),
		"PLAIN without TLS":         login(s.SASLPlaintext, nil, plains.AsMechanism()),
	}
	for way, opts := range ways {
		t.Run(way+", not granted", func(t *testing.T) {
			if err := write(t, opts); !errors.Is(err, kerr.TopicAuthorizationFailed) {
				t.Errorf("write: %v, want TopicAuthorizationFailed", err)
			}
		})
	}
	if err := b.Grant(t.Context()); err != nil {
		t.Fatal(err)
	}
	for way, opts := range ways {
		t.Run(way, func(t *testing.T) {
			if err := write(t, opts); err != nil {
				t.Errorf("write: %v", err)
			}
		})
	}
	if got := read(t, b.Client, "secret"); len(got) != len(ways) {
		t.Errorf("%d records came through, want %d", len(got), len(ways))
	}

	wrong := scram.Auth{User: broker.User, Pass: "wrong"}
	for name, opts := range map[string][]kgo.Opt{
		"wrong password":        login(s.SASLOverTLS, trust, wrong.AsSha512Mechanism()),
		"no password":           login(s.SASLOverTLS, trust, nil),
		"no client certificate": login(s.ClientCert, trust, nil),
		"unknown authority":     login(s.SASLOverTLS, &tls.Config{MinVersion: tls.VersionTLS12}, scrams.AsSha512Mechanism()),
		"no TLS":                login(s.SASLOverTLS, nil, scrams.AsSha512Mechanism()),
	} {
		t.Run(name, func(t *testing.T) {
			if err := ping(t, opts); err == nil {
				t.Error("was let in")
			}
		})
	}
	// The same question is answered to those who may ask it.
	if err := ping(t, ways["client certificate"]); err != nil {
		t.Errorf("ping with a client certificate: %v", err)
	}
}

func trusting(t *testing.T, caFile string) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in the authority's file")
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func login(addr string, tls *tls.Config, mechanism sasl.Mechanism) []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(addr)}
	if tls != nil {
		opts = append(opts, kgo.DialTLSConfig(tls))
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts
}

func write(t *testing.T, opts []kgo.Opt) error {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.DisableIdempotentWrite())...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return client.ProduceSync(ctx, record("secret", "a", "1")).FirstErr()
}

// ping asks for the cluster's metadata, once.
func ping(t *testing.T, opts []kgo.Opt) error {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return client.Ping(ctx)
}
