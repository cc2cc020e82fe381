package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	usync "usersync/sync"
)

// brokers starts a Kafka that knows one user, u with the password hunter2, and
// two topics.
func brokers(t *testing.T) []string {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	kept := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "1000000"}
	letters := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "2000000"}
	if err := k.CreateTopic("users", 2, kept); err != nil {
		t.Fatal(err)
	}
	if err := k.CreateTopic("dead", 1, letters); err != nil {
		t.Fatal(err)
	}
	return k.ListenAddrs()
}

func TestConnect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addresses := brokers(t)
	right := SASL{Mechanism: "plain", Username: usync.Secret{Value: "u"}, Password: usync.Secret{File: file}}
	wrong, gone := right, right
	wrong.Password = usync.Secret{Value: "hunter3"}
	gone.Password = usync.Secret{File: file + "2"}
	tests := []struct {
		name        string
		topic, dead string
		sasl        SASL
		out, err    string // how they begin; empty: there is none
	}{
		{"fine", "users", "dead", right, "kafka: ok\n", ""},
		{"no dead-letter topic", "users", "users2", right, "error: topic users2: it does not exist", "kafka: the topics are not as they must be"},
		{"no source topic yet", "users2", "dead", right, "warning: topic users2: it is not there yet", ""},
		{"small dead letters", "dead", "users", right, "warning: topic users: it takes records of 1000000 bytes", ""},
		{"wrong password", "users", "dead", wrong, "", "kafka: "},
		{"password file gone", "users", "dead", gone, "", "kafka: password: "},
		{"no credentials", "users", "dead", SASL{}, "", "kafka: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Config{Kafka: Kafka{Brokers: addresses, Topics: []string{tt.topic}, DeadLetterTopic: tt.dead, SASL: tt.sasl}}
			var out strings.Builder
			err := Connect(t.Context(), c, &out)
			if !strings.HasPrefix(out.String(), tt.out) || (out.Len() > 0) != (tt.out != "") {
				t.Errorf("printed %q, want %q", out.String(), tt.out)
			}
			switch {
			case err == nil && tt.err != "", err != nil && (tt.err == "" || !strings.HasPrefix(err.Error(), tt.err)):
				t.Errorf("error %v, want %q", err, tt.err)
			case err != nil && strings.Contains(err.Error(), "hunter"):
				t.Error("the error holds the password")
			}
		})
	}
}

// Whoever mends what is forbidden should not have to come back for the rest.
func TestConnectSaysAll(t *testing.T) {
	k, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	if err := k.CreateTopic("dead", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	c := &Config{Kafka: Kafka{Brokers: k.ListenAddrs(), Topics: []string{"users"}, DeadLetterTopic: "dead"}}
	var out strings.Builder
	err = Connect(t.Context(), c, &out)
	if err == nil || !strings.HasPrefix(err.Error(), "kafka: topic dead: access denied: this user needs Write") {
		t.Errorf("error %v, want the access that is missing", err)
	}
	for _, want := range []string{"warning: topic users: it is not there yet", "error: topic dead: it is compacted"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q does not say %q", out.String(), want)
		}
	}
}

// A look at brokers that are not there ends when its context does.
func TestConnectEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &Config{Kafka: Kafka{Brokers: []string{"127.0.0.1:1"}, Topics: []string{"users"}, DeadLetterTopic: "dead"}}
	if err := Connect(ctx, c, new(strings.Builder)); err == nil {
		t.Error("it claims to have looked")
	}
}
