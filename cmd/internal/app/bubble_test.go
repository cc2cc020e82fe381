package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// planted is in every personal value and every credential of a bubble.
const planted = "Zq7private"

// bubble is a deployment in virtual time, of which only the broker and the vendors
// are made up.
type bubble struct {
	t     *testing.T
	net   kfake.VirtualNetwork
	kafka *kfake.Cluster
	tap   *taptalktest.Server
	hap   *haptiktest.Server
	out   *kgo.Client
	key   string // the file with TapTalk's secret
	logs  buffer
	ports int
	// traces is where workers started from now on write their traces, if anywhere.
	traces io.Writer
}

// inBubble runs test with a topic "users" of two partitions, an empty dead-letter
// topic "dead" and a compacted topic.
func inBubble(t *testing.T, test func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, tap: taptalktest.New(), hap: haptiktest.New(), key: filepath.Join(t.TempDir(), "key"), ports: 8080}
		var err error
		b.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(b.net.Listen),
			kfake.SeedTopics(2, "users"), kfake.SeedTopics(1, "dead"))
		if err != nil {
			t.Fatal(err)
		}
		defer b.kafka.Close()
		if err := b.kafka.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
			t.Fatal(err)
		}
		b.tap.SetKeys(vendortest.Key{ID: "id", Secret: planted})
		b.secret(planted)
		b.serve(b.tap, "localhost:8001")
		b.serve(b.hap, "localhost:8002")
		defer b.tap.Close()
		defer b.hap.Close()
		b.out, err = kgo.NewClient(kgo.SeedBrokers(b.kafka.ListenAddrs()...), kgo.Dialer(b.net.DialContext))
		if err != nil {
			t.Fatal(err)
		}
		defer b.out.Close()
		test(t, b)
		if strings.Contains(b.logs.String(), planted) {
			t.Errorf("the log holds personal data or a secret:\n%s", b.logs.String())
		}
		if t.Failed() {
			t.Log(b.logs.String())
		}
	})
}

func (b *bubble) serve(h http.Handler, address string) {
	l, err := b.net.Listen("tcp", address)
	if err != nil {
		b.t.Fatal(err)
	}
	s := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	b.t.Cleanup(func() { _ = s.Close(); <-done })
}

// secret writes the secret that workers use for TapTalk.
func (b *bubble) secret(s string) {
	if err := os.WriteFile(b.key, []byte(s), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// config is read as a file would be.
func (b *bubble) config(edit ...func(*Config)) *Config {
	b.t.Helper()
	c, _, err := parse("c.yaml", fmt.Appendf(nil, `
kafka: {brokers: [%q], topics: [users], dead_letter_topic: dead}
destinations:
  taptalk: {base_url: "http://localhost:8001", server_key_id: id, server_key_secret_file: %q}
  haptik: {base_url: "http://localhost:8002", client_id: client, token: %s}
`, b.kafka.ListenAddrs()[0], b.key, planted), env())
	if err != nil {
		b.t.Fatal(err)
	}
	c.HTTP.Listen = fmt.Sprintf("localhost:%d", b.ports)
	b.ports++
	for _, f := range edit {
		f(c)
	}
	return c
}

// change writes a user into the database; the connector tells of it.
func (b *bubble) change(user int, name string) {
	b.t.Helper()
	b.changeIn("users", user, name)
}

func (b *bubble) changeIn(topic string, user int, name string) {
	b.t.Helper()
	r := &kgo.Record{
		Topic: topic, Key: fmt.Appendf(nil, `{"id":%d}`, user),
		Value: fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"full_name":"%s %s"},"source":{"schema":"public","table":"users","ts_ms":%d},"op":"u"}`,
			user, planted, name, time.Now().UnixMilli()),
	}
	if err := b.out.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// holds waits until both vendors, or those that are named, hold a user by a name.
func (b *bubble) holds(within time.Duration, user int, name string, vendors ...string) {
	b.t.Helper()
	if len(vendors) == 0 {
		vendors = []string{taptalkName, haptikName}
	}
	id, want := fmt.Sprint(user), planted+" "+name
	for _, v := range vendors {
		b.until(within, fmt.Sprintf("%s holds user %d", v, user), func() bool {
			if v == taptalkName {
				return b.tap.Current(id)["fullName"] == want
			}
			return b.hap.Current(id)["name"] == want
		})
	}
}

func (b *bubble) until(within time.Duration, what string, done func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(100 * time.Millisecond) { // virtual time
		if time.Now().After(deadline) {
			b.t.Fatalf("not within %v: %s\n%s", within, what, b.logs.String())
		}
	}
}

// process is a running worker.
type process struct {
	b         *bubble
	config    *Config
	end, hard context.CancelFunc
	done      chan error
	ended     bool
}

func (b *bubble) start(c *Config) *process {
	ctx, end := context.WithCancel(b.t.Context())
	hardCtx, hard := context.WithCancel(context.WithoutCancel(ctx))
	p := &process{b: b, config: c, end: end, hard: hard, done: make(chan error, 1)}
	n := network{
		dial:   b.net.DialContext,
		listen: func(_ context.Context, address string) (net.Listener, error) { return b.net.Listen("tcp", address) },
	}
	go func() { p.done <- run(ctx, hardCtx, c, &b.logs, b.traces, n) }()
	b.t.Cleanup(func() {
		end()
		hard()
		if !p.ended {
			_ = p.wait(time.Minute) // how it ends, only some tests ask
		}
	})
	return p
}

// wait returns what the worker ended with.
func (p *process) wait(within time.Duration) error {
	p.b.t.Helper()
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case err := <-p.done:
		p.ended = true
		return err
	case <-timeout.C:
		p.b.t.Fatalf("it has not ended within %v\n%s", within, p.b.logs.String())
		return nil
	}
}

// stop ends it, which must succeed within a minute.
func (p *process) stop() {
	p.b.t.Helper()
	p.end()
	if err := p.wait(time.Minute); err != nil {
		p.b.t.Fatal(err)
	}
}

// get asks the admin server. A status of 0 means that there is none.
func (p *process) get(path string) (status int, body string) {
	p.b.t.Helper()
	t := &http.Transport{DialContext: p.b.net.DialContext, DisableKeepAlives: true}
	r, err := (&http.Client{Transport: t}).Get("http://" + p.config.HTTP.Listen + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		p.b.t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// ready waits until all pipelines are members of their groups.
func (p *process) ready() {
	p.b.t.Helper()
	p.b.until(time.Minute, "ready", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
}

// shows waits until the metrics hold a line.
func (p *process) shows(within time.Duration, line string) {
	p.b.t.Helper()
	p.b.until(within, line, func() bool { _, body := p.get("/metrics"); return strings.Contains(body, "\n"+line+"\n") })
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *buffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
