package consumer

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"usersync/consumer/event"
)

const (
	// readCommitted asks the broker for the list of aborted transactions, and to
	// end a response before the first open one.
	readCommitted   = 1
	readUncommitted = 0
)

// fetchConfig sets the limits of a fetcher.
type fetchConfig struct {
	MaxWait  time.Duration // how long a broker may wait for data
	MaxBytes int           // per request, at most, see fetcher.most; a single larger batch still comes whole
	Timeout  time.Duration // per request, above MaxWait; the end of a half-open connection
	Budget   *Budget
	Spare    *Budget // of the partitions that are spare; nil: none ever is
	// OnError is told of every failed request, from any goroutine. op is one of
	// "metadata", "fetch" and "list_offsets".
	OnError func(op string, err error)
	// Log is told of a partition that cannot be fetched for more than a moment.
	Log *slog.Logger
	// OnStuck, if not nil, is told of the same, and when it can be fetched again, from
	// any goroutine.
	OnStuck func(tp TopicPartition, stuck bool)
}

// fetched is what one fetch says of one partition.
type fetched struct {
	Topic         string
	Partition     int
	Records       []event.Record
	From, Next    int64 // the offsets that this covers: [From, Next)
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	Last          mark // of the last of Records
	// Err is a *haltError: the partition is not fetched again. Nothing else is set
	// then but From and Next, which are both the position it stopped at.
	Err error
}

// fetcher reads the partitions of one generation: one goroutine for each broker
// that leads any, one request at a time for all partitions there that are ready.
//
// A partition is ready when its reader has given the last batch back with resume.
// So at most one batch of each is unread, and a reader that cannot keep up slows
// fetching down by doing nothing.
type fetcher struct {
	client *Client
	cfg    fetchConfig

	mu         sync.Mutex
	partitions []*partition // the order never changes; rotation relies on it
	byName     map[TopicPartition]*partition
	leaders    map[int]*leader // by broker ID
	displaced  chan struct{}   // signals that a partition has no leader
}

// partition is the state of one partition. The first group is guarded by the
// fetcher's mu. The second belongs to the goroutine of its leader, and to the one
// that settles it while it has none.
type partition struct {
	TopicPartition
	leader   int // broker ID; -1: to be settled
	settling bool
	unread   bool
	held     int64 // bytes of its budget that the unread batch takes
	spare    bool  // its records may wait, see fetcher.setSpare
	halted   bool
	suspect  bool      // fetched alone: its bytes may be what failed a response
	retryAt  time.Time // not before

	next        int64
	failures    int // requests in a row, for the back-off
	undecodable int // of these, the ones that blame the data
	trouble     trouble
	last        mark
	unknown     unknownTopic
	reported    watermarks
}

// start is where a partition goes on, and a record below that, if one is known.
type start struct {
	offset int64
	last   mark
	spare  bool // at first: see fetcher.setSpare
}

// watermarks are the last numbers that the reader was told.
type watermarks struct{ high, stable, start int64 }

// leader is the goroutine that fetches from one broker.
type leader struct {
	id    int
	wake  chan struct{} // a partition became ready
	turn  int           // where the rotation stands
	batch int           // bytes of each in the last answer that had any; see most.go
}

func newFetcher(client *Client, cfg fetchConfig, starts map[TopicPartition]start) *fetcher {
	f := &fetcher{
		client:    client,
		cfg:       cfg,
		byName:    make(map[TopicPartition]*partition, len(starts)),
		leaders:   map[int]*leader{},
		displaced: make(chan struct{}, 1),
	}
	for tp, s := range starts {
		p := &partition{TopicPartition: tp, leader: -1, next: s.offset, last: s.last, spare: s.spare, reported: watermarks{-1, -1, -1}}
		f.partitions = append(f.partitions, p)
		f.byName[tp] = p
	}
	slices.SortFunc(f.partitions, func(a, b *partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return f
}

// run fetches into out until ctx ends and returns ctx's error; every goroutine
// that it started has ended by then. It is called once.
func (f *fetcher) run(ctx context.Context, out chan<- fetched) error {
	var wg sync.WaitGroup
	f.place(ctx, &wg, out)
	wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.partitions {
		f.giveBack(p)
	}
	return ctx.Err()
}

// resume gives the last batch of tp back: it may be fetched again. It never
// blocks; twice is once, and a partition that is not ours is ignored.
func (f *fetcher) resume(tp TopicPartition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.byName[tp]
	if p == nil {
		return
	}
	p.unread = false
	f.giveBack(p)
	f.wake(p.leader)
}

// wake needs f.mu.
func (f *fetcher) wake(id int) {
	if l := f.leaders[id]; l != nil {
		signal(l.wake)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fetch makes one request for what is ready and hands on what comes back.
func (f *fetcher) fetch(ctx context.Context, l *leader, r readiness, wait time.Duration, out chan<- fetched) {
	parts, room, cfg := r.partitions, int64(0), f.cfg
	cfg.MaxBytes = f.most(l)
	if r.needed {
		room = int64(cfg.MaxBytes)
	}
	if room > 0 && f.cfg.Budget.acquire(ctx, room) != nil {
		return
	}
	res, err := f.client.fetch(ctx, cfg, parts, wait)
	var results []fetched
	if err == nil {
		results = f.answers(ctx, parts, res)
		l.look(res, results)
	} else if ctx.Err() == nil {
		results = f.failed(ctx, parts, err)
	}
	f.mu.Lock()
	for _, r := range results {
		p := f.byName[TopicPartition{r.Topic, r.Partition}]
		p.unread = true
		f.hold(p, size(r.Records))
	}
	f.mu.Unlock()
	f.cfg.Budget.release(room)
	for _, r := range results {
		select {
		case out <- r:
		case <-ctx.Done():
			return
		}
	}
}

// size estimates the heap bytes of records, which have left the response that
// they came in: compressed data is larger here than MaxBytes.
func size(records []event.Record) int64 {
	var n int64
	for _, r := range records {
		n += int64(128 + len(r.Key) + len(r.Value))
		for _, h := range r.Headers {
			n += int64(40 + len(h.Key) + len(h.Value))
		}
	}
	return n
}

// answers looks at each partition of a response by itself.
func (f *fetcher) answers(ctx context.Context, parts []*partition, res *fetch.Response) []fetched {
	if res.ErrorCode != 0 {
		return f.failed(ctx, parts, kafka.Error(res.ErrorCode))
	}
	var results []fetched
	for _, t := range res.Topics {
		for i := range t.Partitions {
			answer := &t.Partitions[i]
			p := f.byName[TopicPartition{t.Topic, int(answer.Partition)}]
			if p == nil {
				continue
			}
			r := fetched{
				Topic: t.Topic, Partition: p.Partition, From: p.next, Next: p.next,
				HighWatermark: answer.HighWatermark, LastStable: answer.LastStableOffset, LogStart: answer.LogStartOffset,
			}
			var err error
			if answer.ErrorCode == 0 {
				r.Records, r.Next, err = decodePartition(t.Topic, p.next, answer)
			} else {
				err = fmt.Errorf("fetch of %s/%d: %w", t.Topic, p.Partition, kafka.Error(answer.ErrorCode))
			}
			if err != nil {
				results = append(results, f.failed(ctx, []*partition{p}, err)...)
			} else if f.succeeded(p, &r) {
				results = append(results, r)
			}
		}
	}
	if throttle := time.Duration(res.ThrottleTimeMs) * time.Millisecond; throttle > 0 {
		// The broker mutes the connection for that long: a request on it would
		// only run into its timeout.
		f.backOff(parts, throttle)
	}
	return results
}

// succeeded takes a good answer and reports whether it holds any news.
func (f *fetcher) succeeded(p *partition, r *fetched) bool {
	p.failures, p.undecodable, p.unknown = 0, 0, unknownTopic{}
	if lasted, said := p.trouble.over(time.Now()); said {
		f.cfg.Log.Info("a partition is fetched again", "topic", p.Topic, "partition", p.Partition, "after", lasted)
		f.stuck(p, false)
	}
	f.mu.Lock()
	p.suspect = false
	f.mu.Unlock()
	if n := len(r.Records); n > 0 {
		r.Last = markOf(&r.Records[n-1])
		p.last = r.Last
	}
	p.next = r.Next
	marks := watermarks{r.HighWatermark, r.LastStable, r.LogStart}
	news := r.Next > r.From || marks != p.reported
	p.reported = marks
	return news
}
