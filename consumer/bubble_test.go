package consumer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e/ledger"
	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

const (
	destTaptalk = "taptalk"
	destHaptik  = "haptik"
	// planted is in every personal value of the bubble: it must not get out. In
	// telephone numbers that are valid it is plantedDigits.
	planted       = "Zq7private"
	plantedDigits = "62811837501"
	// secret is in every credential.
	secret = "Xk9secret"
)

// bubble is a whole deployment in virtual time: a broker, a user database, both
// vendors and any number of workers, of which only the first three are made up.
type bubble struct {
	t       *testing.T
	kafka   *fakeKafka
	tap     *taptalktest.Server
	hap     *haptiktest.Server
	out     *kgo.Client
	rows    map[string]string // the main database: the name of each user, none for a deleted one
	ends    map[TopicPartition]int64
	changes []*kgo.Record // what send has produced
	parts   int
	ledger  *books
	logs    *safeBuffer
	dir     string
	alive   []*worker
	all     []*worker // also those that are gone

	configure func(*Config) // of every pipeline
}

// change is the place of a record.
type change struct {
	TopicPartition
	offset int64
}

// inBubble runs test in a bubble with partitions partitions of the topic "users".
func inBubble(t *testing.T, partitions int, test func(b *bubble), opts ...kfake.Opt) {
	t.Helper()
	opts = append([]kfake.Opt{kfake.SeedTopics(int32(partitions), "users"), kfake.SeedTopics(1, "dead"), kfake.GroupMinSessionTimeout(time.Second)}, opts...)
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		b := &bubble{
			t: t, kafka: k, rows: map[string]string{}, ends: map[TopicPartition]int64{}, parts: partitions,
			tap: taptalktest.New(), hap: haptiktest.New(), logs: &safeBuffer{}, dir: t.TempDir(),
		}
		b.ledger = newBooks(b)
		b.serve(b.tap, b.tap.ConnContext, "localhost:8081")
		b.serve(b.hap, b.hap.ConnContext, "localhost:8082")
		b.latency(20 * time.Millisecond)
		b.key("id-" + secret)
		b.out = k.producer()
		defer func() {
			for _, w := range b.alive {
				w.stop()
			}
			b.tap.Close()
			b.hap.Close()
			b.private()
		}()
		test(b)
	}, opts...)
}

func (b *bubble) serve(h http.Handler, conn func(context.Context, net.Conn) context.Context, address string) {
	l, err := b.kafka.net.Listen("tcp", address)
	if err != nil {
		b.t.Fatal(err)
	}
	s := &http.Server{Handler: h, ConnContext: conn, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	b.t.Cleanup(func() { _ = s.Close(); <-done })
}

// latency is how long both vendors take.
func (b *bubble) latency(d time.Duration) {
	b.tap.SetRules(vendortest.Rule{Latency: d})
	b.hap.SetRules(vendortest.Rule{Latency: d})
}

// key writes the key that workers use for TapTalk.
func (b *bubble) key(id string) {
	if err := os.WriteFile(filepath.Join(b.dir, "key"), []byte(id), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// name is a personal value.
func name(n int) string { return fmt.Sprintf("%s %d", planted, n) }

// partitionOf is where the changes of a user go.
func (b *bubble) partitionOf(user string) int32 {
	n, err := strconv.Atoi(user)
	if err != nil {
		n = len(user)
	}
	return int32(n % b.parts)
}

// write changes a user in the database; the connector tells of it.
func (b *bubble) write(user, name string) {
	b.rows[user] = name
	value := fmt.Sprintf(`{"before":null,"after":{"id":%s,"full_name":%q,%s},"source":{"schema":"public","table":"users","ts_ms":%d},"op":"u"}`,
		user, name, personal(user), time.Now().UnixMilli())
	b.send(user, fmt.Sprintf(`{"id":%s}`, user), []byte(value), name)
}

// personal are the columns beside the name. Every second telephone number and address
// of a picture is none, which is what somebody might say too much about.
func personal(user string) string {
	phone, avatar := planted, planted
	if n, _ := strconv.Atoi(user); n%2 == 0 {
		phone, avatar = "+"+plantedDigits+"123", "https://cdn.example.org/"+planted+".png"
	}
	return fmt.Sprintf(`"email":%q,"phone":%q,"username":%q,"avatar_url":%q,"bio":%q`,
		planted+"@example.org", phone, planted, avatar, planted+" writes")
}

// delete removes a user: the connector sends a delete and a tombstone.
func (b *bubble) delete(user string) {
	delete(b.rows, user)
	value := fmt.Sprintf(`{"before":{"id":%s,"full_name":""},"after":null,"source":{"schema":"public","table":"users","ts_ms":%d},"op":"d"}`, user, time.Now().UnixMilli())
	b.send(user, fmt.Sprintf(`{"id":%s}`, user), []byte(value), "")
	b.send(user, fmt.Sprintf(`{"id":%s}`, user), nil, "")
}

// send produces a record.
func (b *bubble) send(user, key string, value []byte, says string) {
	b.t.Helper()
	r := &kgo.Record{Topic: "users", Partition: b.partitionOf(user), Key: []byte(key), Value: value}
	b.produce(r)
	b.changes = append(b.changes, r)
	c := change{TopicPartition{"users", int(r.Partition)}, r.Offset}
	b.ends[c.TopicPartition] = max(b.ends[c.TopicPartition], r.Offset+1)
	if user != "" {
		b.ledger.wrote(c, user, says)
	}
}

// produce writes a record, however long the brokers are in trouble.
func (b *bubble) produce(r *kgo.Record) {
	b.t.Helper()
	for attempt := 0; ; attempt++ {
		err := b.out.ProduceSync(b.t.Context(), r).FirstErr()
		if err == nil {
			return
		}
		if attempt == 20 {
			b.t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
}

// metric returns a series of a worker, summed over the labels that are not given.
func (w *worker) metric(name string, labels ...string) float64 {
	w.b.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.b.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "usersync_"+name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum
	}
	w.b.t.Fatalf("no metric %s", name)
	return 0
}

// settles waits until both groups have committed everything, and then compares
// both vendors with the database.
func (b *bubble) settles(within time.Duration) {
	b.t.Helper()
	b.commits(within, destTaptalk, destHaptik)
	b.right(destTaptalk, destHaptik)
}

// commits waits until the groups have committed everything.
func (b *bubble) commits(within time.Duration, dests ...string) {
	b.t.Helper()
	if behind := b.uncommitted(within, dests...); behind != nil {
		b.t.Errorf("not everything was committed within %v: %v", within, behind)
		b.tail()
		b.t.FailNow()
	}
}

// uncommitted waits until the groups have committed everything, and returns what they have
// not by then.
func (b *bubble) uncommitted(within time.Duration, dests ...string) (behind []string) {
	deadline := time.Now().Add(within)
	for {
		behind = nil
		for _, d := range dests {
			for tp, end := range b.ends {
				if got := b.ledger.committed(d, tp); got < end {
					behind = append(behind, fmt.Sprintf("%s %v: %d of %d", d, tp, got, end))
				}
			}
		}
		if len(behind) == 0 || time.Now().After(deadline) {
			return behind
		}
		time.Sleep(time.Second)
	}
}

// right compares a vendor with the database, user by user. A dead letter excuses
// a user.
func (b *bubble) right(dests ...string) {
	b.t.Helper()
	for _, d := range dests {
		for user, name := range b.rows {
			if got := b.has(d, user); got != name && !b.ledger.Excused(d, user) {
				b.ledger.report(ledger.Finding{
					Name: ledger.LeftBack, At: time.Now(), Destination: d,
					Text: fmt.Sprintf("the vendor has %q for user %s, the database %q", got, user, name),
				})
			}
		}
	}
}

// has is the name that a vendor has for a user.
func (b *bubble) has(dest, user string) string {
	current, field := b.tap.Current(user), "fullName"
	if dest == destHaptik {
		current, field = b.hap.Current(user), "name"
	}
	s, _ := current[field].(string)
	return s
}

// versions is how often a vendor applied a version of a user, and those versions.
func (b *bubble) versions(dest, user string) []vendortest.Version {
	if dest == destHaptik {
		return b.hap.History(user)
	}
	return b.tap.History(user)
}

// deadLetters reads the dead-letter topic from its start, where n letters have to be.
func (b *bubble) deadLetters(n int) []*kgo.Record {
	b.t.Helper()
	all := b.allLetters()
	if len(all) != n {
		b.t.Errorf("%d dead letters, want %d", len(all), n)
	}
	return all
}

// allLetters reads the dead-letter topic up to where nothing more comes.
func (b *bubble) allLetters() []*kgo.Record {
	b.t.Helper()
	c := b.kafka.producer(kgo.ConsumeTopics("dead"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	var all []*kgo.Record
	for {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return all
		}
		all = append(all, fetches.Records()...)
	}
}

// private looks for personal data and secrets where they must not be.
func (b *bubble) private() {
	b.t.Helper()
	out := b.logs.String()
	for _, w := range b.all {
		families, err := w.registry.Gather()
		if err != nil {
			b.t.Error(err)
		}
		out += fmt.Sprint(families)
	}
	b.ledger.report(ledger.Privacy{Planted: []string{planted, plantedDigits, secret}}.Scan("log or the metrics", out)...)
}

// tail shows the end of the log.
func (b *bubble) tail() {
	lines := strings.Split(b.logs.String(), "\n")
	b.t.Log(strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

// safeBuffer is a bytes.Buffer for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
