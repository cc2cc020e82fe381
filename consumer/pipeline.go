// Package consumer is the Kafka side of usersync: a consumer group for each
// destination, which reads changes, feeds them to the destination's lane and
// commits what is settled.
package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"usersync/consumer/event"
	"usersync/consumer/trace"
	"usersync/metrics"
	usync "usersync/sync"
)

// Config describes the pipeline of one destination.
type Config struct {
	Destination     string
	Group           string // the consumer group
	Topics          []string
	StartFrom       time.Time // where a partition has no commit; zero: the earliest record
	DeadLetterTopic string
	ControlTopic    string // what operators say to all processes; empty: nothing
	// RetryTopic, if not empty, is read as well, once it has the partitions of Topics.
	RetryTopic string
	State      StateConfig

	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	DrainTimeout     time.Duration // for calls in flight when partitions are revoked
	RateLimit        float64       // requests a second of all members together; 0: none
	Window           int           // bytes of heap for what waits
	Version          string        // of this program, for the headers of dead letters
	// Sends is a word for all that decides what is sent for a record, and where to. An
	// owner does not know what one with another word has sent.
	Sends string

	Client  *Client
	Decoder *event.Decoder
	Target  usync.Destination
	Lane    usync.LaneConfig // its Metrics are set from Metrics, its Delivered from State
	Metrics *metrics.Destination
	Log     *slog.Logger
	// HashUser makes of a user's ID what may be in a log.
	HashUser func(string) string
	// Trace, if not nil, is told what happens, in order, from one goroutine at a
	// time: a call before it begins, a commit or a letter once it is acknowledged.
	// Users are named by their plain IDs. It must not block.
	Trace func(trace.Event)
}

// Pipeline brings one destination up to date.
type Pipeline struct {
	cfg  Config
	lane *usync.Lane
	dead *deadLetters
	tail *tail // of the control topic; nil: there is none
	// states is nil if it is not kept what was delivered.
	states *states
	// troubled says which partition's state cannot be used, like joined.
	troubled atomic.Pointer[error]

	// joined is nil while this process is a member whose topics exist, else it
	// says what is missing.
	joined atomic.Pointer[error]
	// id is the member's of the current generation; empty between generations.
	id atomic.Pointer[string]
	// turned is when the loop of the current generation last went round, in
	// nanoseconds; 0 between generations.
	turned atomic.Int64

	mu     sync.Mutex
	counts map[string]int // partitions of each topic, as the watch last saw them

	gone map[TopicPartition]time.Time // the halts that were passed last, by when they were met

	apart trouble // while the retry topic does not fit; it belongs to whoever looks
}

// NewPipeline returns a pipeline; Run makes it work.
func NewPipeline(cfg Config) *Pipeline {
	cfg.Lane.Metrics = cfg.Metrics
	var kept *states
	if cfg.State.Topic != "" {
		kept = newStates(cfg.State, cfg.Sends, cfg.Client, cfg.Group, cfg.Metrics.State)
		cfg.Lane.Delivered = kept // it is asked by the lane only, when p is complete
	}
	p := &Pipeline{
		cfg:    cfg,
		lane:   usync.NewLane(cfg.Lane),
		states: kept,
		gone:   map[TopicPartition]time.Time{},
		dead:   &deadLetters{client: cfg.Client, topic: cfg.DeadLetterTopic, version: cfg.Version},
	}
	if kept != nil {
		kept.tell = p.tell
	}
	if cfg.ControlTopic != "" {
		p.tail = newTail(NewControlTopic(cfg.Client, cfg.ControlTopic), cfg.Log, cfg.Metrics.Consumer)
	}
	p.missing(errors.New("not joined yet"))
	cfg.Metrics.Lane.Workers.Set(float64(cfg.Lane.Concurrency))
	cfg.Metrics.Lane.WindowBytes.Set(float64(cfg.Window))
	return p
}

func (p *Pipeline) missing(err error) { p.joined.Store(&err) }

// Ready returns nil while the pipeline is a member of its group, its topics exist and
// its state can be used, or what is missing. It may be called from any goroutine.
func (p *Pipeline) Ready() error { return cmp.Or(p.Joined(), p.Remembers()) }

// Joined is Ready as far as it is about the group and the topics that are read.
func (p *Pipeline) Joined() error { return p.said(&p.joined) }

// Remembers is Ready as far as it is about the state.
func (p *Pipeline) Remembers() error { return p.said(&p.troubled) }

func (p *Pipeline) said(trouble *atomic.Pointer[error]) error {
	if err := trouble.Load(); err != nil && *err != nil {
		return fmt.Errorf("%s: %w", p.cfg.Destination, *err)
	}
	return nil
}

// Member returns by what ID the group's coordinator knows this process, "" while it is
// no member. It may be called from any goroutine.
func (p *Pipeline) Member() string {
	if id := p.id.Load(); id != nil {
		return *id
	}
	return ""
}

// stuckAfter is how long one turn of the loop may take. It does no I/O, so it
// takes microseconds; anything like this is a deadlock.
const stuckAfter = time.Minute

// Alive returns an error if the pipeline's loop has stopped turning. Nothing
// that Kafka or the destination does can cause that. It may be called from any
// goroutine.
func (p *Pipeline) Alive() error {
	turned := p.turned.Load()
	if d := time.Since(time.Unix(0, turned)); turned != 0 && d > stuckAfter {
		return fmt.Errorf("%s: the pipeline has not turned for %s", p.cfg.Destination, d.Round(time.Second))
	}
	return nil
}

// tell tells the trace of an event.
func (p *Pipeline) tell(e trace.Event) {
	if p.cfg.Trace != nil {
		e.At, e.Destination = time.Now(), p.cfg.Destination
		p.cfg.Trace(e)
	}
}

// Run works until ctx ends, then drains and leaves the group. When hard ends,
// calls in flight are cancelled. The error says why it could not go on.
func (p *Pipeline) Run(ctx, hard context.Context) error {
	if p.tail != nil {
		tailing, end := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { p.tail.run(tailing) })
		defer wg.Wait()
		defer end()
		p.tail.await(ctx)
	}
	for ctx.Err() == nil {
		topics := p.existing(ctx)
		if topics == nil {
			return nil
		}
		if err := p.member(ctx, hard, topics); err != nil {
			return fmt.Errorf("%s: %w", p.cfg.Destination, err)
		}
	}
	return nil
}
