package consumer

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/event"
	"usersync/metrics"
	usync "usersync/sync"
)

// looping is a generation in its loop, with all that is beside it made up: a coordinator
// that accepts each commit, and a destination that takes each call at once.
type looping struct {
	*generation
	delivered chan struct{}
	next      []int64 // the offset of each partition's next record
}

func (l *looping) Deliver(context.Context, usync.Payload) error {
	l.delivered <- struct{}{}
	return nil
}
func (l *looping) Reload() error { return nil }

// fixed gives each user a payload of a usual size.
type fixed struct{ body []byte }

func (f fixed) Payload(c *usync.Change) (usync.Payload, []usync.Omission, error) {
	return usync.Payload{User: c.User, Body: f.body}, nil, nil
}

// acceptAll is a coordinator's answer.
func acceptAll(_ context.Context, r CommitRequest) (map[TopicPartition]kafka.Error, error) {
	codes := make(map[TopicPartition]kafka.Error, len(r.Partitions))
	for _, p := range r.Partitions {
		codes[p.TopicPartition] = 0
	}
	return codes, nil
}

func newLooping(tb testing.TB, partitions int) *looping {
	tb.Helper()
	l := &looping{delivered: make(chan struct{}), next: make([]int64, partitions)}
	m := metrics.New(nil, destTaptalk).For(destTaptalk)
	cfg := &Config{
		Destination: destTaptalk, Metrics: m, Target: l, Window: 64 << 20, Log: slog.New(slog.DiscardHandler),
		Lane: usync.LaneConfig{Mapper: fixed{make([]byte, 700)}, Concurrency: 16, Timeout: 10 * time.Second, Metrics: m},
	}
	g := &generation{
		Config: cfg, p: &Pipeline{}, lane: usync.NewLane(cfg.Lane), gen: &kafka.Generation{}, byName: map[TopicPartition]*owned{},
		portions: make(chan *portion), begun: make(chan *usync.Call, 16), calls: make(chan ended, 16), letters: make(chan sentLetter, 1), found: make(chan func()),
		written: map[usync.Position]int64{}, state: metrics.StateRunning, lease: lease{length: time.Minute},
	}
	starts := map[TopicPartition]start{}
	for id := range partitions {
		p := part(id, -1, 0, 0)
		p.metrics = m.Consumer.Assign(p.Topic, id)
		g.parts, g.byName[p.TopicPartition] = append(g.parts, p), p
		starts[p.TopicPartition] = start{}
	}
	g.fetch = newFetcher(nil, fetchConfig{Budget: NewBudget(readAhead)}, starts)
	g.commit = committer{request: acceptAll, answers: make(chan commitAnswer, 1)}
	g.callCtx, g.kill = context.WithCancel(tb.Context())
	g.stateCtx, g.unwrite = context.WithCancel(tb.Context())
	tb.Cleanup(g.kill)
	tb.Cleanup(g.unwrite)
	l.generation = g
	return l
}

// run starts the loop, and returns once calls may be made.
func (l *looping) run(tb testing.TB) {
	ctx, end := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.loop(ctx, tb.Context(), nil) }()
	tb.Cleanup(func() { end(); <-done; close(l.begun) })
	l.change(0)
}

// change has a partition's next record come in, and returns when its user is called.
func (l *looping) change(i int) {
	p := i % len(l.next)
	offset := l.next[p]
	l.next[p]++
	at := usync.Position{Topic: "users", Partition: p, Offset: offset}
	l.portions <- &portion{
		fetched: fetched{Topic: "users", Partition: p, From: offset, Next: offset + 1, HighWatermark: offset + 1, LastStable: offset + 1},
		events:  []decoded{{offset: offset, event: event.Event{Op: "update", Change: usync.Change{User: strconv.Itoa(i % 1000), Op: usync.Upsert, Position: at}}}},
	}
	<-l.delivered
}

// BenchmarkScaleLoop is what the loop takes for a change that comes alone: a turn when it
// has come in, and one when its call has ended. Each looks at all partitions.
func BenchmarkScaleLoop(b *testing.B) {
	for _, partitions := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			l := newLooping(b, partitions)
			l.run(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.change(i)
			}
		})
	}
}

// TestScaleTurn: a turn of the loop in which nothing has come in leaves no garbage, however
// many partitions it looks at.
func TestScaleTurn(t *testing.T) {
	l := newLooping(t, sizes([]int{100}, []int{1000})[0])
	now := time.Now()
	l.prove(now)
	l.answered(<-l.commit.answers)
	l.show(now)
	turn := func() {
		l.obey()
		l.register(now)
		l.start(now)
		l.write(now)
		l.flush(now)
		l.prove(now)
		l.show(now)
		l.sleep(now)
	}
	if n := testing.AllocsPerRun(100, turn); n > 0 || l.commit.pending {
		t.Errorf("%v allocations in a turn that does nothing (a commit is under way: %v)", n, l.commit.pending)
	}
}

// BenchmarkScaleRetries is what a turn takes while a resync of all users waits: each
// partition of the retry topic has a record that the window has no room for.
func BenchmarkScaleRetries(b *testing.B) {
	for _, partitions := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			l := newLooping(b, partitions)
			l.p.states, l.Window = newStates(StateConfig{Users: 1}, "sends", nil, "g", l.Metrics.State), 0
			for id := range partitions {
				p := part(id, 0, 0, headroom)
				p.Topic, p.retry, p.sources = "retry", true, l.parts[id:id+1]
				p.inbox = &portion{events: make([]decoded, 1)}
				l.parts = append(l.parts, p)
			}
			b.ReportAllocs()
			for b.Loop() {
				l.register(time.Unix(0, 0))
			}
		})
	}
}

// BenchmarkScaleCommit is what a commit of all partitions takes without its way to Kafka.
// There is one every five seconds, and each second one of the partitions that moved.
func BenchmarkScaleCommit(b *testing.B) {
	for _, partitions := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			l := newLooping(b, partitions)
			b.ReportAllocs()
			for b.Loop() {
				l.sendCommit(time.Now(), true, false)
				l.answered(<-l.commit.answers)
			}
		})
	}
}

// emptyAnswer is what a broker sends that has nothing new of so many partitions.
func emptyAnswer(partitions int) []byte {
	r := kmsg.NewPtrFetchResponse()
	r.Version = 11
	t := kmsg.NewFetchResponseTopic()
	t.Topic = "app.public.users"
	for id := range partitions {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.HighWatermark, p.LastStableOffset, p.RecordBatches = int32(id), 1, 1, []byte{}
		t.Partitions = append(t.Partitions, p)
	}
	r.Topics = append(r.Topics, t)
	body := r.AppendTo([]byte{0, 0, 0, 0, 0, 0, 0, 0}) // the size, and which request it answers
	binary.BigEndian.PutUint32(body, uint32(len(body)-4))
	return body
}

// BenchmarkScaleFetch is what a fetch takes that asks for all partitions of a broker: to
// choose them, to write the request, and to read an answer without any record.
func BenchmarkScaleFetch(b *testing.B) {
	for _, partitions := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			starts := map[TopicPartition]start{}
			for id := range partitions {
				starts[TopicPartition{"app.public.users", id}] = start{offset: 1}
			}
			f := newFetcher(nil, fetchConfig{MaxBytes: fetchBytes, Budget: NewBudget(readAhead), Log: slog.New(slog.DiscardHandler)}, starts)
			for _, p := range f.partitions {
				p.leader = 1
			}
			answer, l := emptyAnswer(partitions), &leader{id: 1}
			var size int
			b.ReportAllocs()
			for b.Loop() {
				r := f.ready(l)
				req := fetchRequest(f.cfg, r.partitions, fetchWait)
				counted := countWriter(0)
				if err := protocol.WriteRequest(&counted, 11, 1, "usersync", req); err != nil {
					b.Fatal(err)
				}
				_, message, err := protocol.ReadResponse(bytes.NewReader(answer), protocol.Fetch, 11)
				if err != nil {
					b.Fatal(err)
				}
				if news := f.answers(b.Context(), r.partitions, message.(*fetch.Response)); len(news) != 0 && len(news) != partitions {
					b.Fatalf("news of %d partitions", len(news)) // of all when they are heard of for the first time
				}
				size = int(counted) + len(answer)
			}
			b.ReportMetric(float64(size), "wire-B/op")
		})
	}
}

// countWriter counts what is written to it.
type countWriter int

var _ io.Writer = (*countWriter)(nil)

func (w *countWriter) Write(p []byte) (int, error) { *w += countWriter(len(p)); return len(p), nil }

// BenchmarkScaleChange is what it takes to read the record of a user who is waiting, and to
// put the newer change in the place of the older, while so many wait.
func BenchmarkScaleChange(b *testing.B) {
	for _, users := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			c := waiting(b, users, 1)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.change(i % users)
			}
		})
	}
}

// BenchmarkScaleGauges is what it takes to show how a lane stands, once a second: it looks
// at all users who wait.
func BenchmarkScaleGauges(b *testing.B) {
	for _, users := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			c := waiting(b, users, 1)
			b.ReportAllocs()
			for b.Loop() {
				c.lane.Observe(time.Unix(0, 0))
			}
		})
	}
}

// BenchmarkScaleLoad is what a record of the state topic takes at a start, without its way
// from the broker.
func BenchmarkScaleLoad(b *testing.B) {
	for _, users := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			hash := StateConfig{Key: []byte("key")}.hash()
			records := make([]event.Record, users)
			for i := range records {
				r := stateRecord{epoch: ownEpochs, user: hash.user(strconv.Itoa(i)), version: usync.Version{Status: usync.Held, Offset: int64(i)}}
				records[i] = event.Record{Offset: int64(i), Key: r.key("g/users/"), Value: r.value()}
			}
			b.ReportAllocs()
			for b.Loop() {
				f := newStateFold("g/users/", 1, tenure{}, math.MaxInt64, newStateTable(&stateRoom{limit: math.MaxInt64}))
				for i := range records {
					if _, ours, err := f.add(&records[i]); err != nil || !ours {
						b.Fatal("not a record of this state", err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(users), "ns/record")
		})
	}
}
