package consumer

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fakeKafka is a cluster on a virtual network, for use in a bubble.
type fakeKafka struct {
	*kfake.Cluster
	t   *testing.T
	net kfake.VirtualNetwork

	mu    sync.Mutex
	conns []*severable
}

// inKafka runs test in a bubble with a cluster of two brokers.
func inKafka(t *testing.T, test func(t *testing.T, k *fakeKafka), opts ...kfake.Opt) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKafka{t: t}
		opts = append([]kfake.Opt{kfake.NumBrokers(2), kfake.Ports(9092, 9093), kfake.ListenFn(k.net.Listen)}, opts...)
		var err error
		if k.Cluster, err = kfake.NewCluster(opts...); err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		test(t, k)
	})
}

// client returns a client of the topics, whose connections sever can cut.
func (k *fakeKafka) client(topics ...string) *Client {
	return k.clientWith(ClientConfig{Topics: topics})
}

func (k *fakeKafka) clientWith(cfg ClientConfig) *Client {
	k.t.Helper()
	cfg.Brokers, cfg.Dial = k.ListenAddrs(), k.dial
	c, err := NewClient(cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(c.Close)
	return c
}

func (k *fakeKafka) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := k.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &severable{Conn: conn}
	k.mu.Lock()
	k.conns = append(k.conns, s)
	k.mu.Unlock()
	return s, nil
}

// sever makes all connections of now half-open: what is written vanishes, and
// nothing comes back. New ones work.
func (k *fakeKafka) sever() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		c.cut.Store(true)
	}
}

type severable struct {
	net.Conn
	cut atomic.Bool
}

func (s *severable) Write(b []byte) (int, error) {
	if s.cut.Load() {
		return len(b), nil
	}
	return s.Conn.Write(b)
}

func (s *severable) Read(b []byte) (int, error) {
	for {
		n, err := s.Conn.Read(b)
		if err != nil || !s.cut.Load() {
			return n, err
		}
	}
}

// producer returns a franz-go client that produces to given partitions.
func (k *fakeKafka) producer(opts ...kgo.Opt) *kgo.Client {
	k.t.Helper()
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(k.ListenAddrs()...), kgo.Dialer(k.net.DialContext), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), // sizes are what they look like
	}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(c.Close)
	return c
}

func (k *fakeKafka) produce(records ...*kgo.Record) {
	k.t.Helper()
	c := k.producer()
	defer c.Close()
	if err := c.ProduceSync(k.t.Context(), records...).FirstErr(); err != nil {
		k.t.Fatal(err)
	}
}

func record(partition int32, value string) *kgo.Record {
	return &kgo.Record{Topic: "users", Partition: partition, Key: []byte("k"), Value: []byte(value)}
}

// reader is the other end of a fetcher.
type reader struct {
	*fetcher
	t      *testing.T
	out    chan fetched
	cancel context.CancelFunc
	done   chan error

	mu     sync.Mutex
	errors []error
}

// read starts a fetcher for the given partitions of the topic "users".
func (k *fakeKafka) read(client *Client, starts map[int]int64, edit ...func(*fetchConfig)) *reader {
	from := map[TopicPartition]start{}
	for p, offset := range starts {
		from[TopicPartition{"users", p}] = start{offset: offset}
	}
	return k.readFrom(client, from, edit...)
}

func (k *fakeKafka) readFrom(client *Client, starts map[TopicPartition]start, edit ...func(*fetchConfig)) *reader {
	r := &reader{t: k.t, out: make(chan fetched, len(starts)), done: make(chan error, 1)}
	cfg := fetchConfig{
		MaxWait: 500 * time.Millisecond, MaxBytes: 1 << 20, Timeout: 6 * time.Second, Budget: NewBudget(16 << 20),
		Log: slog.New(slog.DiscardHandler),
		OnError: func(_ string, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.errors = append(r.errors, err)
		},
	}
	for _, f := range edit {
		f(&cfg)
	}
	r.fetcher = newFetcher(client, cfg, starts)
	ctx, cancel := context.WithCancel(k.t.Context())
	r.cancel = cancel
	go func() { r.done <- r.run(ctx, r.out) }()
	k.t.Cleanup(r.stop)
	return r
}

// stop ends the fetcher and waits for it.
func (r *reader) stop() {
	r.cancel()
	if err, ok := <-r.done; ok {
		close(r.done)
		if err == nil {
			r.t.Error("run returned no error after its context ended")
		}
	}
}

// next returns the next batch of records or halt, within a time, and gives the
// partition back. What carries neither is passed over.
func (r *reader) next(within time.Duration) fetched {
	r.t.Helper()
	timeout := time.After(within)
	for {
		select {
		case got := <-r.out:
			r.resume(TopicPartition{got.Topic, got.Partition})
			if len(got.Records) > 0 || got.Err != nil {
				return got
			}
		case <-timeout:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("nothing fetched within %v; errors: %v", within, r.errors)
		}
	}
}

// values reads n records and returns their values by partition.
func (r *reader) values(n int, within time.Duration) map[int][]string {
	r.t.Helper()
	got := map[int][]string{}
	for n > 0 {
		f := r.next(within)
		if f.Err != nil {
			r.t.Fatal(f.Err)
		}
		for _, rec := range f.Records {
			got[f.Partition] = append(got[f.Partition], string(rec.Value))
			n--
		}
	}
	for _, v := range got {
		if !slices.IsSorted(v) {
			r.t.Errorf("values out of order: %v", v)
		}
	}
	return got
}
