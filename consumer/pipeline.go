// Package consumer is the Kafka side of usersync: a consumer group for each
// destination, which reads changes, feeds them to the destination's lane and
// commits what is settled.
package consumer

import (
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

	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	DrainTimeout     time.Duration // for calls in flight when partitions are revoked
	RateLimit        float64       // requests a second of all members together; 0: none
	Window           int           // bytes of heap for what waits
	Version          string        // of this program, for the headers of dead letters

	Client  *Client
	Decoder *event.Decoder
	Target  usync.Destination
	Lane    usync.LaneConfig // its Metrics are set from Metrics
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

	// joined is nil while this process is a member whose topics exist, else it
	// says what is missing.
	joined atomic.Pointer[error]
	// turned is when the loop of the current generation last went round, in
	// nanoseconds; 0 between generations.
	turned atomic.Int64

	mu     sync.Mutex
	counts map[string]int // partitions of each topic, as the watch last saw them
}

// NewPipeline returns a pipeline; Run makes it work.
func NewPipeline(cfg Config) *Pipeline {
	cfg.Lane.Metrics = cfg.Metrics
	p := &Pipeline{
		cfg:  cfg,
		lane: usync.NewLane(cfg.Lane),
		dead: &deadLetters{client: cfg.Client, topic: cfg.DeadLetterTopic, version: cfg.Version},
	}
	p.missing(errors.New("not joined yet"))
	cfg.Metrics.Lane.Workers.Set(float64(cfg.Lane.Concurrency))
	cfg.Metrics.Lane.WindowBytes.Set(float64(cfg.Window))
	return p
}

func (p *Pipeline) missing(err error) { p.joined.Store(&err) }

// Ready returns nil while the pipeline is a member of its group and its topics
// exist, or what is missing. It may be called from any goroutine.
func (p *Pipeline) Ready() error {
	if err := *p.joined.Load(); err != nil {
		return fmt.Errorf("%s: %w", p.cfg.Destination, err)
	}
	return nil
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
