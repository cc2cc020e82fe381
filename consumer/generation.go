package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/consumer/trace"
	"usersync/metrics"
	usync "usersync/sync"
)

// generation is everything that happens between two rebalances. Its loop owns
// the lane, the frontiers and the commits, so none of them needs a lock; what
// waits for a network runs beside it and reports.
type generation struct {
	*Config
	p    *Pipeline
	lane *usync.Lane
	gen  *kafka.Generation

	counts map[string]int // partitions of each topic
	parts  []*owned
	byName map[TopicPartition]*owned
	lease  lease
	commit committer

	fetch    *fetcher
	portions chan *portion
	begun    chan *usync.Call // to be made by one of the callers
	callers  int
	calls    chan ended
	letters  chan sentLetter
	found    chan func()              // what was looked up for retries, to be taken in by the loop
	writing  bool                     // a letter is being written
	written  map[usync.Position]int64 // up to where letters are, by their first record, that could not be written whole

	readCtx    context.Context // of what reads
	taken      time.Time       // when the states were, as far as they are kept
	stateTopic *stateLook
	loads      chan loaded
	flushes    chan flushed // buffered: a write that has ended never waits

	callCtx  context.Context // of calls and letters; ended by kill
	kill     context.CancelFunc
	stateCtx context.Context // of writes to the state topic, which go on while the last calls end
	unwrite  context.CancelFunc
	evicted  bool      // the membership is lost
	over     bool      // the next generation is to go on elsewhere
	commits  trouble   // while they fail
	denied   bool      // the last commit's answer was that we may not
	obeyed   *Controls // what operators said last
	wg       sync.WaitGroup
	state    string
	observed time.Time     // when gauges were brought up to date
	resting  time.Duration // for which they stay like that

	round      int       // of the partitions, to be registered first
	registered time.Time // when a record was last
	yielded    time.Time // when a partition was last: see yield
}

// ended is a call with its outcome.
type ended struct {
	call *usync.Call
	err  error
}

// generation runs one generation. It returns when nothing more is done for its
// partitions; that ends the generation, if it has not ended by itself.
func (p *Pipeline) generation(g, hard context.Context, gen *kafka.Generation, regroup <-chan struct{}) {
	if g.Err() != nil {
		return // it died before it was handed over: kafka-go would not wait for us
	}
	x := &generation{
		Config: &p.cfg, p: p, lane: p.lane, gen: gen, counts: p.partitionCounts(),
		portions: make(chan *portion), begun: make(chan *usync.Call, p.cfg.Lane.Concurrency), calls: make(chan ended, p.cfg.Lane.Concurrency), letters: make(chan sentLetter, 1), found: make(chan func()), written: map[usync.Position]int64{},
		state: metrics.StateRunning, lease: lease{length: p.cfg.SessionTimeout / 2},
	}
	x.commit = committer{request: p.cfg.Client.Commit, group: p.cfg.Group, id: int(gen.ID), member: gen.MemberID, answers: make(chan commitAnswer, 1)}
	// Not derived from g: calls in flight may end after the partitions are revoked.
	x.callCtx, x.kill = context.WithCancel(context.WithoutCancel(g))
	defer x.kill()
	x.stateCtx, x.unwrite = context.WithCancel(context.WithoutCancel(g))
	defer x.unwrite()
	p.cfg.Metrics.Consumer.Generations.Inc()
	if err := x.take(g); err != nil {
		return
	}
	x.takeStates()
	x.assigned()
	defer x.revoked()

	x.remember()
	reading, stop := context.WithCancel(g)
	defer stop()
	x.read(reading)
	if slices.ContainsFunc(x.parts, (*owned).newcomes) {
		x.wg.Go(func() {
			if x.admit(reading) {
				stop()
			}
		})
	}
	x.loop(reading, hard, regroup)
	stop()
	x.drain(hard)
	close(x.begun)
	x.wg.Wait()
}

// assigned starts to show what is owned now.
func (g *generation) assigned() {
	names := make([]trace.TopicPartition, 0, len(g.parts))
	var total int
	for _, n := range g.counts {
		total += n
	}
	for _, p := range g.parts {
		p.metrics = g.Metrics.Consumer.Assign(p.Topic, p.Partition)
		switch {
		case p.unlisted:
			p.metrics.Wait(metrics.WaitsForLeader)
		case p.added:
			p.metrics.Wait(metrics.WaitsForOlder)
		case p.loading:
			p.metrics.Wait(metrics.WaitsForState)
		}
		names = append(names, trace.TopicPartition(p.TopicPartition))
	}
	g.lane.Retain(func(at usync.Position) bool {
		_, ok := g.byName[TopicPartition{at.Topic, at.Partition}]
		return ok
	})
	g.lane.Withhold(g.withholds)
	// Each member takes the share of the rate that it owns of the partitions: the
	// shares add up to the whole without anyone having to ask the others.
	g.lane.SetRate(time.Now(), g.RateLimit*float64(len(g.parts))/float64(max(total, 1)))
	g.p.missing(nil)
	g.p.id.Store(&g.gen.MemberID)
	g.Log.Info("joined", "group", g.Group, "generation", g.gen.ID, "partitions", len(g.parts))
	g.p.tell(trace.Event{Kind: trace.Assigned, Partitions: names, Generation: int(g.gen.ID), Member: g.gen.MemberID})
}

// revoked forgets everything that the next owner will read again.
func (g *generation) revoked() {
	g.lane.Drop()
	g.leaveStates()
	g.lane.Observe(time.Now())
	for _, p := range g.parts {
		g.Metrics.Consumer.Revoke(p.Topic, p.Partition)
	}
	g.Metrics.Consumer.LeaseValid.Set(0)
	g.p.turned.Store(0)
	g.p.id.Store(nil)
	g.p.tell(trace.Event{Kind: trace.Revoked, Generation: int(g.gen.ID), Member: g.gen.MemberID})
}

// loop goes round until ctx ends or the partitions are lost.
func (g *generation) loop(ctx, hard context.Context, regroup <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		g.p.turned.Store(now.UnixNano())
		g.obey()
		g.lane.SetTrust(g.trust(now))
		g.register(now)
		g.yield(now)
		g.gathered(now)
		g.start(now)
		g.write(now)
		g.flush(now)
		g.prove(now)
		g.show(now)
		timer.Reset(g.sleep(time.Now()))
		select {
		case b := <-g.portions:
			g.took(b)
		case e := <-g.calls:
			g.ended(e)
		case l := <-g.letters:
			g.wrote(l)
		case take := <-g.found:
			take()
		case l := <-g.loads:
			g.adopt(l)
		case f := <-g.flushes:
			g.flushed(f)
		case a := <-g.commit.answers:
			if g.answered(a); g.evicted || g.over {
				return
			}
		case <-timer.C:
		case <-g.p.tail.changed():
		case <-ctx.Done():
			return
		case <-regroup:
			return
		case <-hard.Done():
			return
		}
	}
}

// sleep is how long nothing needs to be done if nothing comes in.
func (g *generation) sleep(now time.Time) time.Duration {
	d := g.commit.wait(now)
	switch {
	case g.commit.failed && !g.commit.pending:
		d = retryCommit
	case g.commit.pending || d <= 0:
		d = commitEvery
	}
	if wake := g.lane.Wake(now); !wake.IsZero() && g.lease.valid() && !g.behind(now) {
		d = min(d, wake.Sub(now))
	}
	if until := g.gathersUntil(); !until.IsZero() {
		d = min(d, until.Sub(now))
	}
	return max(d, 0)
}

// start begins the calls whose turn it is.
func (g *generation) start(now time.Time) {
	for g.lease.valid() && !g.behind(now) {
		c := g.lane.Next(now)
		if c == nil {
			return
		}
		g.p.tell(trace.Event{Kind: trace.Call, Topic: c.Position.Topic, Partition: c.Position.Partition, Offset: c.Position.Offset, User: c.Payload.User})
		g.begun <- c // never waits: it has room for all that may be in flight
		if g.callers < g.lane.InFlight() {
			g.callers++
			g.wg.Go(g.callAll)
		}
	}
}

// ended takes the outcome of a call.
func (g *generation) ended(e ended) {
	g.lane.Done(time.Now(), e.call, e.err)
	c := e.call
	g.p.tell(trace.Event{
		Kind: trace.Called, Topic: c.Position.Topic, Partition: c.Position.Partition, Offset: c.Position.Offset,
		User: c.Payload.User, Outcome: outcome(e.err),
	})
}

// outcome is what the trace says of an ended call.
func outcome(err error) string {
	e, _ := errors.AsType[*usync.CallError](err)
	switch {
	case err == nil:
		return trace.OK
	case e != nil && e.Unsent:
		return trace.Unsent + ": " + e.Code
	case e == nil:
		return trace.Unsure + ": internal" // no text of an error that is not ours to vouch for
	case e.Throttled:
		return trace.Throttled + ": " + e.Code
	case e.Ambiguous:
		return trace.Unsure + ": " + e.Code
	default:
		return err.Error()
	}
}

// showEvery is how often gauges are brought up to date.
const showEvery = time.Second

// showAgain is how long the gauges stay as they are that it took so long to bring up to
// date: the lane looks at each user who waits, and with a million of them calls must not
// wait for that all the time.
func showAgain(took time.Duration) time.Duration { return max(showEvery, 20*took) }

// show brings the gauges up to date and tells of a change of state.
func (g *generation) show(now time.Time) {
	if state, code := g.lane.State(now); state != g.state {
		switch state {
		case metrics.StateRunning:
			g.Log.Info("the destination takes calls again", "was", g.state)
		case metrics.StatePaused:
			g.Log.Warn("an operator has paused the destination; nothing is sent until it is resumed", "was", g.state)
		case metrics.StateUnmapped:
			g.Log.Warn("rows have no payload, and no later row has one; if a column was renamed, change the mapping and restart",
				"state", state, "code", code)
		default:
			g.Log.Warn("the destination is not called as usual; the status page says what helps", "state", state, "code", code)
		}
		g.state = state
		g.observed = time.Time{}
	}
	if now.Sub(g.observed) < g.resting {
		return
	}
	g.observed = now
	defer func(begun time.Time) { g.resting = showAgain(time.Since(begun)) }(time.Now())
	g.lane.Observe(now)
	valid := 0.0
	if g.lease.valid() {
		valid = 1
	}
	g.Metrics.Consumer.LeaseValid.Set(valid)
	g.showState()
	for _, p := range g.parts {
		p.progress.Frontier, p.progress.Position = p.committable(), p.front.position
		if p.heard {
			p.metrics.Observe(p.progress, now)
		}
	}
}
