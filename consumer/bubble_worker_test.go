package consumer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usersync/consumer/event"
	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/haptik"
	"usersync/sync/taptalk"
)

// worker is one process: a pipeline for each destination.
type worker struct {
	b         *bubble
	pipelines map[string]*Pipeline
	registry  *prometheus.Registry
	net       *ownNetwork
	end, hard context.CancelFunc
	done      chan error
	id        int
	vendors   []*http.Transport
}

// ownNetwork is what one process has of the network; cut ends all of it at once.
type ownNetwork struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	mu   sync.Mutex
	dead bool
	open []net.Conn
	// swallow says that brokers can not be reached, see hole.
	swallow bool
}

var errDead = errors.New("the process is dead")

func (n *ownNetwork) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := n.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c, n.add(c)
}

func (n *ownNetwork) add(c net.Conn) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		_ = c.Close()
		return errDead
	}
	n.open = append(n.open, c)
	return nil
}

func (n *ownNetwork) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	for _, c := range n.open {
		_ = c.Close()
	}
}

// expressions are the mapping of each destination: all that is personal.
var expressions = map[string]map[string]any{
	destTaptalk: {
		"fullName": "full_name", "email": "email", "phone": "phone", "username": "username",
		"photoThumbnailURL": "avatar_url", "photoFullsizeURL": "avatar_url",
	},
	destHaptik: {"name": "full_name", "email": "email", "mobile_no": "phone", "custom_data": map[string]any{"bio": "bio"}},
}

func mapping(t testing.TB, fields []usync.Field, expressions map[string]any) *usync.Mapping {
	m, err := usync.NewMapping(usync.MappingConfig{Fields: fields, Expressions: expressions})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// start starts a worker.
func (b *bubble) start(edit ...func(*Config)) *worker {
	b.t.Helper()
	w := &worker{b: b, pipelines: map[string]*Pipeline{}, registry: prometheus.NewRegistry(), done: make(chan error, 1), id: len(b.all)}
	w.net = &ownNetwork{dial: b.kafka.dial}
	m := metrics.New(w.registry, destTaptalk, destHaptik)
	transport := func(dest string) http.RoundTripper {
		t := usync.NewTransport()
		t.Proxy = nil
		t.DialContext = w.net.dialContext
		b.t.Cleanup(t.CloseIdleConnections)
		w.vendors = append(w.vendors, t)
		return m.For(dest).Calls.Transport(t)
	}
	tap, err := taptalk.New(taptalk.Config{
		BaseURL: "http://localhost:8081", ServerKeyID: usync.Secret{File: filepath.Join(b.dir, "key")},
		ServerKeySecret: usync.Secret{Value: secret}, Transport: transport(destTaptalk),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	hap, err := haptik.New(haptik.Config{
		BaseURL: "http://localhost:8082", ClientID: usync.Secret{Value: "client"}, Token: usync.Secret{Value: secret},
		Transport: transport(destHaptik),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	mappings := map[string]*usync.Mapping{
		destTaptalk: mapping(b.t, taptalk.Fields, expressions[destTaptalk]),
		destHaptik:  mapping(b.t, haptik.Fields, expressions[destHaptik]),
	}
	for dest, target := range map[string]usync.Destination{destTaptalk: tap, destHaptik: hap} {
		w.pipelines[dest] = NewPipeline(b.config(w, dest, target, mappings[dest], m.For(dest), edit))
	}
	ctx, end := context.WithCancel(b.t.Context())
	hardCtx, hard := context.WithCancel(context.WithoutCancel(ctx))
	w.end, w.hard = end, hard
	go func() {
		errs := make(chan error)
		for _, p := range w.pipelines {
			go func() { errs <- p.Run(ctx, hardCtx) }()
		}
		w.done <- errors.Join(<-errs, <-errs)
	}()
	b.alive, b.all = append(b.alive, w), append(b.all, w)
	return w
}

func (b *bubble) config(w *worker, dest string, target usync.Destination, m *usync.Mapping, d *metrics.Destination, edit []func(*Config)) Config {
	client, err := NewClient(ClientConfig{Brokers: b.kafka.ListenAddrs(), Dial: w.net.dialBroker, Topics: []string{"users", "dead", "retry", "state", "others"}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.Close)
	decoder, err := event.New(event.Config{Format: "debezium", UserID: "id", Placeholder: "__debezium_unavailable_value", Columns: m.Columns()})
	if err != nil {
		b.t.Fatal(err)
	}
	cfg := Config{
		Destination: dest, Group: "usersync." + dest, Topics: []string{"users"}, DeadLetterTopic: "dead",
		SessionTimeout: 45 * time.Second, RebalanceTimeout: 60 * time.Second, DrainTimeout: 20 * time.Second,
		Window: 64 << 20, Version: "test", Sends: "as-ever", Client: client, Decoder: decoder, Target: target, Metrics: d,
		Lane: usync.LaneConfig{
			Mapper: m, Concurrency: 16, Timeout: 10 * time.Second,
			Retry: usync.Retry{
				Initial: 200 * time.Millisecond, Multiplier: 2, Randomization: .5, Max: 30 * time.Second,
				GiveUpAfter: 15 * time.Minute, ConfirmAfter: time.Minute,
			},
			Release: usync.Release{Budget: 50, Settle: 10 * time.Second},
		},
		Log:      slog.New(slog.NewTextHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})).With("worker", w.id, "destination", dest),
		HashUser: func(string) string { return "hash" },
		Trace:    w.tell,
	}
	if b.configure != nil {
		b.configure(&cfg)
	}
	for _, f := range edit {
		f(&cfg)
	}
	return cfg
}

// stop ends a worker as SIGTERM does, and waits for it.
func (w *worker) stop() {
	w.end()
	if err := <-w.done; err != nil {
		w.b.t.Error(err)
	}
	w.hard()
	w.gone()
}

// kill ends a worker as kill -9 does: in the middle of everything, and nothing of
// what it might still want to say gets out.
func (w *worker) kill() {
	w.tell(trace.Event{At: time.Now(), Kind: ledger.Killed})
	w.net.cut()
	w.end()
	w.hard()
	if err := <-w.done; err != nil {
		w.b.t.Log("killed:", err) // whatever it ended with, nobody was there to see
	}
	w.gone()
}

func (w *worker) gone() {
	for i, other := range w.b.alive {
		if other == w {
			w.b.alive = append(w.b.alive[:i:i], w.b.alive[i+1:]...)
		}
	}
}
