package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"usersync/consumer/trace"
	"usersync/e2e/connect"
	"usersync/e2e/ledger"
	"usersync/e2e/pipeline"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

const (
	partitions = 6
	// turns is how often the loop looks at everything.
	turns = 100 * time.Millisecond
	// slowLimit is how long a broker may take to come back, on a machine that is busy.
	slowLimit = 3 * time.Minute
	// quietLimit is how long what is waited for may make no progress.
	quietLimit = 3 * time.Minute
	// drainBound is the drain timeout, five seconds to take leave of a coordinator that
	// does not answer, and what a busy machine needs to end a process.
	drainBound = 6*time.Second + 5*time.Second + 14*time.Second
)

// round is one schedule over one load, from workers that start to workers that stop.
// Its loop is one goroutine, which alone may fail the test; what waits runs beside it.
type round struct {
	t       *testing.T
	ctx     context.Context
	number  int // of this round on its ground: a seed may come back
	seed    uint64
	length  time.Duration
	changes int
	broken  bool // its workers are, so that there are findings and users are left wrong
	keeps   bool // its workers keep what was delivered
	p       *pipeline.Pipeline
	d       *worker.Deployment
	topic   *topic
	fed     map[string]int // up to where each vendor's feed was read

	beside  sync.WaitGroup
	done    chan done
	samples chan sample
	written atomic.Int64

	before    map[trace.TopicPartition]int64 // where the topic ended
	began     time.Time                      // zero before the schedule runs
	calming   bool
	tracks    []*track
	slots     []*slot
	launched  int
	config    worker.Config     // of the last one that was launched
	keyFiles  map[string]string // by destination
	rotations map[string]int
	asked     time.Time // when the vendors were
	told      time.Time // when the last line of progress was written

	books   *books
	report  report
	found   map[ledger.Name]int
	probes  probes
	kills   []time.Time
	drains  []time.Duration
	waiting []*recovery
	took    map[kind][]time.Duration
}

// recovery waits until all that was written before the end of a fault is committed.
type recovery struct {
	kind kind
	at   time.Time
	ends map[trace.TopicPartition]int64
}

func (r *round) run(load *load) {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer r.beside.Wait()
	defer cancel()
	r.ctx = ctx
	r.prepare()
	defer r.end()
	r.await("what was there before is delivered", r.behind)
	if r.keeps {
		if err := r.p.Kafka.Configure(ctx, stateTopic, compacting); err != nil {
			r.t.Fatal(err)
		}
	}

	stop := r.start(load)
	r.await("the load is written", func() string {
		if n := r.written.Load(); time.Since(r.began) < r.length || n < int64(r.changes) {
			return fmt.Sprintf("%d changes", n)
		}
		return ""
	})
	r.calming = true
	r.await("every fault has ended", r.active)
	r.await("the dead letters are those of poison", r.unjudged)
	stop()
	r.finish(load.db)

	if r.broken {
		return
	}
	r.books.end(func(f ledger.Finding) { r.find(f) })
	r.compare(load.db)
	r.checkLetters()
	r.checkState()
	r.checkFed()
}

// prepare makes everything as it is when nothing is wrong.
func (r *round) prepare() {
	r.done, r.samples = make(chan done, len(tracks)+1), make(chan sample) // an end is told even if nobody listens any more
	r.found, r.took, r.rotations = map[ledger.Name]int{}, map[kind][]time.Duration{}, map[string]int{}
	r.books = newBooks(r.topic, r.fed, r.callers(), func(f ledger.Finding) { r.find(f) }, r.repeated)
	r.report = report{
		Seed: r.seed, State: r.keeps, Calls: map[string]int{}, Unchanged: map[string]int{}, Faults: map[kind]int{}, Findings: map[string]int{},
		Recovery: map[kind]quantiles{}, Letters: map[string]int{},
	}
	r.probes = newProbes()
	for n := range slots {
		r.slots = append(r.slots, &slot{number: n, wanted: n < 2})
	}
	for _, d := range vendors.Destinations {
		r.setRules(d)
		r.setKeys(d)
		r.writeKey(d)
	}
}

// start starts the load and the schedule. What it returns ends the load, and returns
// when nothing more will be written.
func (r *round) start(load *load) (stop func()) {
	for _, f := range plan(r.seed, r.length) {
		i := slices.IndexFunc(r.tracks, func(t *track) bool { return t.name == f.Track })
		if i < 0 {
			i, r.tracks = len(r.tracks), append(r.tracks, &track{name: f.Track})
		}
		r.tracks[i].faults = append(r.tracks[i].faults, f)
	}
	r.began, r.before = time.Now(), r.topic.ends()
	writing, end := context.WithCancel(r.ctx)
	stopped := make(chan struct{})
	r.beside.Go(func() {
		defer close(stopped)
		if err := load.run(writing, func(n int64) { r.written.Add(n) }); err != nil {
			r.tell(done{nil, err})
		}
	})
	return func() { end(); <-stopped }
}

// finish waits until all that was written is done with, and ends the workers.
func (r *round) finish(db *pgxpool.Pool) {
	quiet := time.Now()
	name := fmt.Sprintf("the last of round %d", r.number)
	if err := last(r.ctx, db, name); err != nil {
		r.t.Fatal(err)
	}
	r.await("the topic is complete", func() string {
		return r.topic.without(name, r.before)
	})
	r.await("everything is committed", r.behind)
	r.report.Quiet = time.Since(quiet).Seconds()
	r.scale(0)
	r.await("the workers have left", func() string {
		for _, s := range r.slots {
			if s.member != nil {
				return s.Name
			}
		}
		return ""
	})
	r.await("the trace is complete", func() string {
		if n := len(r.books.events); n > 0 {
			return fmt.Sprintf("%d sources", n)
		}
		return ""
	})
}

// await lets the loop turn until still returns "". What it waits for may take long on
// a machine that is busy, but still may not say the same for longer than quietLimit.
func (r *round) await(what string, still func() string) {
	r.t.Helper()
	said, since := "", time.Now()
	for tick := time.Tick(turns); ; {
		select {
		case d := <-r.done:
			r.finished(d)
		case s := <-r.samples:
			r.sampled(s)
		case now := <-tick:
			r.turn(now)
			switch says := still(); {
			case says == "":
				return
			case says != said:
				said, since = says, now
			case now.Sub(since) > quietLimit:
				r.t.Fatalf("seed %d: not yet %s, and no progress for %v: %s", r.seed, what, quietLimit, says)
			}
		}
	}
}

// turn looks at everything once.
func (r *round) turn(now time.Time) {
	r.tend(now)
	if !r.began.IsZero() {
		for _, t := range r.tracks {
			r.advance(t, now.Sub(r.began), r.calming)
		}
	}
	if now.Sub(r.asked) > 500*time.Millisecond {
		r.asked = now
		r.books.ask(r.d.Vendors)
		r.watchLag(now)
	}
	r.topic.mu.Lock()
	err := r.topic.err
	r.topic.mu.Unlock()
	if err != nil {
		r.t.Fatal(err)
	}
	r.books.merge(r.until(now))
	r.recover(now)
	if now.Sub(r.told) > 5*time.Second {
		r.told = now
		r.progress(now)
	}
}

// finished takes the end of something beside the loop.
func (r *round) finished(d done) {
	if d.err != nil {
		r.t.Fatalf("seed %d: %v", r.seed, d.err)
	}
	if d.track != nil {
		d.busy = false
	}
}

func (r *round) progress(now time.Time) {
	var faults []string
	for _, t := range r.tracks {
		if t.now != nil {
			faults = append(faults, string(t.now.Kind))
		}
	}
	at := 0.0
	if !r.began.IsZero() {
		at = now.Sub(r.began).Seconds()
	}
	running := 0
	for _, s := range r.slots {
		if s.member != nil {
			running++
		}
	}
	line := fmt.Sprintf("%6.1f s  %6d written", at, r.written.Load())
	for _, d := range vendors.Destinations {
		line += fmt.Sprintf("  %s: %d delivered, lag %d", d, r.books.Done(d), r.lag(d))
	}
	r.t.Logf("%s  %d workers  [%s]", line, running, strings.Join(faults, "; "))
}

// active says which faults have not ended.
func (r *round) active() string {
	var all []string
	for _, t := range r.tracks {
		if t.now != nil || t.busy {
			all = append(all, t.name)
		}
	}
	return strings.Join(all, ", ")
}

// lag is how many records a destination has not committed, as far as was merged.
func (r *round) lag(destination string) (lag int64) {
	for tp, end := range r.topic.ends() {
		lag += end - r.books.Committed(destination, tp)
	}
	return lag
}

// behind says which destinations have not committed everything.
func (r *round) behind() string {
	var all []string
	for _, d := range vendors.Destinations {
		ends := r.topic.ends()
		if len(ends) < partitions {
			return "the topic is not known yet"
		}
		if lag := r.lag(d); lag > 0 {
			all = append(all, fmt.Sprintf("%s by %d", d, lag))
		}
	}
	return strings.Join(all, ", ")
}

// recovering notes that a fault has ended.
func (r *round) recovering(k kind) {
	r.waiting = append(r.waiting, &recovery{k, time.Now(), r.topic.ends()})
}

// recover looks which faults have been caught up with by now.
func (r *round) recover(now time.Time) {
	r.waiting = slices.DeleteFunc(r.waiting, func(w *recovery) bool {
		for tp, end := range w.ends {
			for _, d := range vendors.Destinations {
				if r.books.Committed(d, tp) < end {
					return false
				}
			}
		}
		r.took[w.kind] = append(r.took[w.kind], now.Sub(w.at))
		return true
	})
}

// repeated counts a call for what was delivered before.
func (r *round) repeated(e trace.Event) {
	r.report.Repeats++
	for _, at := range r.kills {
		if d := e.At.Sub(at); d > 0 && d < 30*time.Second { // a session, and what a takeover takes
			r.report.RepeatsByKill++
			return
		}
	}
}

// find takes what a probe has found.
func (r *round) find(found ...ledger.Finding) {
	for _, f := range found {
		r.found[f.Name]++
		if r.found[f.Name] <= 3 && !r.broken {
			r.t.Errorf("seed %d: %v", r.seed, f)
		}
	}
}

// end writes the report, whatever became of the round.
func (r *round) end() {
	r.report.Seconds = time.Since(r.began).Seconds()
	r.report.Changes = r.written.Load()
	for tp, end := range r.topic.ends() {
		r.report.Records += end - r.before[tp]
	}
	for _, d := range vendors.Destinations {
		r.report.Calls[d], r.report.Unchanged[d] = r.books.Calls(d), r.books.unchanged[d]
		for reason, n := range r.books.Reasons(d) {
			r.report.Letters[d+" "+reason] = n
		}
	}
	for name, n := range r.found {
		r.report.Findings[string(name)] = n
	}
	r.report.BackByKill, r.report.BackByLoss = r.books.regression.Killed, r.books.regression.Lost
	for k, all := range r.took {
		r.report.Recovery[k] = quantilesOf(all)
	}
	r.report.Drains = quantilesOf(r.drains)
	r.report.keep(r.t, r.books.Ledger)
}

// watch reads the topic until the test ends.
func watch(t *testing.T, p *pipeline.Pipeline) *topic {
	t.Helper()
	all := newTopic()
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	t.Cleanup(func() { cancel(); reading.Wait() })
	reading.Go(func() {
		if err := p.Kafka.Follow(ctx, connect.Topic, all.take); err != nil {
			all.mu.Lock()
			all.err = err
			all.mu.Unlock()
		}
	})
	return all
}
