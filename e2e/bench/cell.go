package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e/vendors"
)

// cell is one square of the matrix: a workload under one set of conditions.
type cell struct {
	Workload    string
	Changes     int
	Distinct    int           // users that change
	Latency     time.Duration // in nanoseconds where it is written as JSON
	Concurrency int
	Schema      bool
	Bytes       int // of a record's value, in the mean
}

// least is how long the calls take at the least, if all calls of a user are one.
func (c cell) least() time.Duration {
	return time.Duration(c.Distinct) * c.Latency / time.Duration(c.Concurrency)
}

// run is what one contender did in one round.
type run struct {
	Contender string
	Records   int
	Calls     int
	Wall      float64 // seconds, see verdict; of a reader from its start to its end
	First     float64 // seconds from joining its group, to 50 ms, until the first call
	CPU       float64 // seconds, less those of starting and stopping
	Idle      float64 // seconds of processors that starting and stopping took
	Peak      int64   // bytes
	Share     float64 // of the records that it was done with when the limit was over; 1: all
	Stale     int
	Wrong     int
	Vendor    float64 // seconds of processors that the vendor took of the same machine
}

// result is what came of a cell.
type result struct {
	cell
	Rounds [][]run
}

// ground is where the rounds of a cell take place.
type ground struct {
	cell
	id       string
	again    bool
	topic    string
	changes  []change
	from, to []int64
	bodies   string
	// vendor is there for the whole cell where it is remembered what was delivered: that
	// is known of an address.
	vendor *vendor
}

// measure runs all contenders in a cell, round by round. Each round begins with another
// one: what the machine does meanwhile does not always meet the same.
func (b *bench) measure(ctx context.Context, w workload, c cell) (result, error) {
	g, err := b.lay(ctx, w, c)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", w.name, err)
	}
	if g.vendor != nil {
		defer g.vendor.Kill()
	}
	entrants := slices.DeleteFunc(slices.Clone(b.contenders), func(c contender) bool { return g.again && !c.again })
	r := result{cell: g.cell}
	for round := range b.runs {
		if g.again {
			if err := b.write(ctx, g); err != nil {
				return result{}, err
			}
		}
		var runs []run
		for i := range entrants {
			x := entrants[(round+i)%len(entrants)]
			one, err := b.enter(ctx, x, g, round)
			if err != nil {
				return result{}, err
			}
			b.say("%s, round %d of %d, %s: %s", title(g.cell), round+1, b.runs, x.name, one)
			runs = append(runs, one)
		}
		r.Rounds = append(r.Rounds, runs)
	}
	return r, nil
}

// lay prepares a cell: its topic, the calls of the least there is and, where everybody was
// delivered before, that.
func (b *bench) lay(ctx context.Context, w workload, c cell) (*ground, error) {
	b.cells++
	g := &ground{cell: c, id: fmt.Sprintf("%s-%d", w.name, b.cells), again: w.again}
	g.changes = w.sequence()
	g.Changes, g.Distinct = len(g.changes), len(final(g.changes))
	g.topic, g.bodies = g.id, filepath.Join(b.dir, g.id+".bodies")
	if err := writeBodies(g); err != nil {
		return nil, err
	}
	if err := b.createTopic(ctx, g.topic); err != nil {
		return nil, err
	}
	g.to = make([]int64, b.partitions)
	if err := b.write(ctx, g); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(b.contenders, func(c contender) bool { return c.name == nameWorker })
	if !g.again || i < 0 {
		return g, nil
	}
	b.say("%s: everybody is delivered for the first time", title(g.cell))
	var err error
	if g.vendor, err = b.startVendor(ctx, g.id, g.Latency); err != nil {
		return nil, err
	}
	if _, err := b.call(ctx, b.contenders[i], g, b.job(g, b.contenders[i], g.id+"-before")); err != nil {
		g.vendor.Kill()
		return nil, err
	}
	return g, nil
}

// writeBodies writes the calls of the least there is, if there are any.
func writeBodies(g *ground) error {
	var text strings.Builder
	if !g.again {
		for _, c := range last(g.changes) {
			text.WriteString(payload(c) + "\n")
		}
	}
	return os.WriteFile(g.bodies, []byte(text.String()), 0o600)
}

// write writes the changes to the topic, or writes them once more.
func (b *bench) write(ctx context.Context, g *ground) error {
	const batch = 10_000
	total := 0
	for part := range slices.Chunk(g.changes, batch) {
		var records []*kgo.Record
		for _, c := range part {
			r := record(g.topic, c, g.Schema)
			total += len(r.Value)
			records = append(records, r)
		}
		if err := b.kafka.Produce(ctx, records...); err != nil {
			return err
		}
	}
	g.Bytes = total / len(g.changes)
	g.from = slices.Clone(g.to)
	for p := range g.to {
		var err error
		if _, g.to[p], err = b.kafka.Offsets(ctx, g.topic, int32(p)); err != nil {
			return err
		}
	}
	return nil
}

// job returns what a contender has to do with what was written last.
func (b *bench) job(g *ground, x contender, name string) job {
	j := job{
		cell: g.cell, name: name, topic: g.topic, group: name, from: g.from, to: g.to,
		bodies: g.bodies, limit: b.limit, urls: nowhere,
	}
	if g.again && x.name == nameWorker {
		// It remembers under its name.
		j.group, j.state, j.limit = g.id, g.id+"-state", time.Hour
	}
	return j
}

// nowhere are the vendors of those that have nobody to call.
var nowhere = map[string]string{vendors.TapTalk: "http://127.0.0.1:1", vendors.Haptik: "http://127.0.0.1:1"}

// enter has a contender do its work, and then nothing: what that takes is not the work's.
func (b *bench) enter(ctx context.Context, x contender, g *ground, round int) (run, error) {
	name := fmt.Sprintf("%s-%d-%s", g.id, round, x.name)
	worked, err := b.call(ctx, x, g, b.job(g, x, name))
	if err != nil {
		return run{}, err
	}
	rest := b.job(g, x, name+"-idle")
	rest.bodies = os.DevNull
	if !g.again || x.name != nameWorker {
		// The worker that remembers has read everything, and loads what it remembers.
		rest.topic, rest.from, rest.to = emptyTopic, make([]int64, b.partitions), make([]int64, b.partitions)
	}
	if g.vendor != nil {
		rest.urls = g.vendor.urls
	}
	idle, err := b.run(ctx, x, rest)
	if err != nil {
		return run{}, err
	}
	r := run{
		Contender: x.name, Records: g.Changes, Calls: worked.calls, Wall: worked.wall.Seconds(),
		CPU: (worked.cpu - idle.cpu).Seconds(), Idle: idle.cpu.Seconds(), Peak: worked.peak,
		Share: worked.share, Stale: worked.stale, Wrong: worked.wrong, Vendor: worked.vendor.Seconds(),
	}
	if x.kind == group && worked.calls > 0 {
		r.First = max(worked.first.Sub(worked.joined).Seconds(), 0)
	}
	switch {
	case x.kind == reader:
		s, err := worked.said()
		if err == nil && s.Records != g.Changes {
			err = fmt.Errorf("%s: it has read %d of %d records", name, s.Records, g.Changes)
		}
		if err != nil {
			return run{}, err
		}
		r.Wall = s.Seconds
	case g.again:
		r.Wall = (worked.lasted - idle.lasted).Seconds()
	case r.Share < 1:
		// Calls run ahead of commits, and none is about more than one change of those who
		// are so slow. The rest as if it had gone on like that.
		r.Share = min(1, max(r.Share, float64(r.Calls)/float64(r.Records)))
		r.Wall /= r.Share
	}
	return r, nil
}

// work is what a run took, and what the vendor saw of it.
type work struct {
	used
	verdict
	vendor time.Duration // of processors
}

// call runs a contender against vendors of its own, if it calls any.
func (b *bench) call(ctx context.Context, x contender, g *ground, j job) (w work, err error) {
	if x.kind == reader {
		w.used, err = b.run(ctx, x, j)
		return w, err
	}
	if g.vendor != nil {
		return b.callAgain(ctx, x, g.vendor, j)
	}
	if j.vendor, err = b.startVendor(ctx, j.name, g.Latency); err != nil {
		return w, err
	}
	defer j.vendor.Kill()
	j.urls = j.vendor.urls
	if w.used, err = b.run(ctx, x, j); err != nil {
		return w, err
	}
	if w.vendor, err = spent(j.vendor.Pid()); err != nil {
		return w, err
	}
	calls, err := j.vendor.calls(ctx)
	if err != nil {
		return w, err
	}
	w.verdict = judge(calls, final(g.changes))
	if len(calls) == 0 {
		err = errors.New(j.name + ": it has called nobody within the limit")
	}
	return w, err
}

// callAgain is call where no call is expected: the vendor is not new, and all that is
// counted is how many more it gets.
func (b *bench) callAgain(ctx context.Context, x contender, v *vendor, j job) (w work, err error) {
	before, err := v.stats(ctx)
	if err != nil {
		return w, err
	}
	j.vendor, j.urls = v, v.urls
	if w.used, err = b.run(ctx, x, j); err != nil {
		return w, err
	}
	after, err := v.stats(ctx)
	w.verdict = verdict{calls: after.Calls - before.Calls}
	if err == nil && w.share < 1 {
		err = errors.New(j.name + ": it is not done within the limit")
	}
	return w, err
}

// String is a run in a few words, for who watches.
func (r run) String() string {
	return fmt.Sprintf("%.2f s, %d calls, %.2f s of CPU, %d MB", r.Wall, r.Calls, r.CPU, r.Peak/1e6)
}
