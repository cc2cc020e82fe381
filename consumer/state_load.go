package consumer

import (
	"context"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/metrics"
	usync "usersync/sync"
)

// takeStates takes what is known of the users of the partitions: from an earlier
// generation, or else it is to be loaded before anything is registered.
func (g *generation) takeStates() {
	all := g.p.states
	if all == nil {
		return
	}
	g.taken = time.Now()
	g.loads, g.flushes = make(chan loaded), make(chan flushed, len(g.parts))
	for tp := range all.parts {
		if _, ok := g.byName[tp]; !ok {
			all.drop(tp)
		}
	}
	for _, p := range g.parts {
		if p.retry {
			continue
		}
		if p.aside() {
			all.drop(p.TopicPartition)
			continue
		}
		n, _ := parseNote(p.inherited)
		p.loading, p.kept = true, all.keep(p.TopicPartition, n.State)
	}
}

// regain gives a partition, whose leader has just said how long the log is, the state
// that it had in an earlier generation. It returns false if the log has lost its end
// since: then the state is to be loaded, which forgets what was known of that.
func (g *generation) regain(p *owned) bool {
	s := p.kept
	if p.progress.LogEnd < s.end {
		g.forsake(p)
		return false
	}
	p.kept = nil
	g.have(p, s)
	p.metrics.Ready(metrics.WaitsForState)
	return true
}

// have gives a partition its state.
func (g *generation) have(p *owned, s *state) {
	p.state, p.loading = s, false
	s.parts = nil
	for _, other := range g.parts {
		if other == p || other.retry && other.Partition == p.Partition {
			other.rests = append(other.rests, s)
			s.parts = append(s.parts, other)
		}
	}
	if s.unwritten() > 0 { // a user has moved since an earlier generation: see Learn
		s.safe = s.frontiers()
	}
}

// forsake gives up the state that a partition had in an earlier generation.
func (g *generation) forsake(p *owned) {
	p.kept = nil
	g.p.states.drop(p.TopicPartition)
}

// unknowing reports whether p has to wait for a state: its own, or as a partition of
// the retry topic that of a source partition whose changes it repeats.
func (g *generation) unknowing(p *owned) bool {
	if !p.retry || g.p.states == nil {
		return p.loading
	}
	return slices.ContainsFunc(p.sources, func(source *owned) bool { return source.loading && !source.halted() })
}

// leaveStates ends the generation's part: what is not durable must be read again, for
// the next owner may be another one.
func (g *generation) leaveStates() {
	if g.p.states == nil {
		return
	}
	for _, p := range g.parts {
		s := g.p.states.parts[p.TopicPartition]
		if s == nil {
			continue
		}
		if s == p.state {
			s.end = max(s.end, p.progress.LogEnd)
		}
		if p.halted() || s.unwritten() > 0 || s == p.state && g.evicted {
			g.p.states.drop(p.TopicPartition)
		}
	}
	var nothing error
	g.p.troubled.Store(&nothing)
	g.Metrics.State.Loading.Set(0)
	g.Metrics.State.Pending.Set(0)
}

// loaded is what became of loading the state of a partition.
type loaded struct {
	part  *owned
	log   *stateLog
	table *stateTable
	err   error
}

// loadStates begins to load what is not known yet.
func (g *generation) loadStates() {
	g.stateTopic = newStateLook(g.p.states, g.Client)
	for _, p := range g.parts {
		if p.loading && p.kept == nil {
			g.load(p)
		}
	}
}

// load begins to load the state of a partition, beside the loop.
func (g *generation) load(p *owned) {
	log := g.p.states.newLog(p.TopicPartition)
	n, _ := parseNote(p.inherited)
	g.wg.Go(func() { g.loadState(g.readCtx, g.stateTopic, p, log, n.State) })
}

const (
	progressEvery = 5 * time.Second
	loadAgain     = 5 * time.Second
)

// loadState loads the state of one partition, however long that takes. While it cannot
// be read the partition waits: to go on without it would cost a call for every user, and
// whoever keeps the topic may have it back in a minute.
func (g *generation) loadState(ctx context.Context, topic *stateLook, p *owned, log *stateLog, said tenure) {
	var t trouble
	for {
		table, err := g.tryLoad(ctx, topic, p, log, said)
		if err != nil && ctx.Err() == nil && t.again(time.Now(), 0) {
			g.Log.Error("a partition waits, for its state cannot be read; the others go on",
				"topic", p.Topic, "partition", p.Partition, "state_topic", g.State.Topic, "error", denied("topic", g.State.Topic, "Read", err))
		}
		select {
		case g.loads <- loaded{p, log, table, err}:
		case <-ctx.Done():
			if table != nil {
				table.clear()
			}
			return
		}
		if err == nil || !sleep(ctx, loadAgain) {
			return
		}
	}
}

func (g *generation) tryLoad(ctx context.Context, topic *stateLook, p *owned, log *stateLog, said tenure) (*stateTable, error) {
	if err := topic.ensure(ctx, p.TopicPartition, g.counts[p.Topic]); err != nil {
		return nil, err
	}
	err := topic.turns.take(ctx, p.TopicPartition, func() (err error) {
		log.changes, err = g.Client.ListOffsets(ctx, p.Topic, p.Partition, kafka.LastOffset)
		return err
	})
	if err != nil {
		return nil, err
	}
	var table *stateTable
	var began time.Time
	counted := int64(0)
	err = topic.turns.take(ctx, TopicPartition{g.State.Topic, p.Partition}, func() (err error) {
		began = time.Now()
		shown := began
		table, err = log.load(ctx, said, g.p.states.room, func(at loading) {
			g.Metrics.State.Loaded.Add(float64(at.records - counted))
			if counted = at.records; time.Since(shown) >= progressEvery {
				shown = time.Now()
				g.Log.Info("loading the state", "topic", p.Topic, "partition", p.Partition,
					"records", at.records, "bytes", at.bytes, "percent", 100*at.next/max(at.end, 1))
			}
		})
		return err
	})
	if log.orphans > 0 {
		g.Log.Warn("the state has users by hashes of another privacy.hash_key: they are removed, and each user costs a call",
			"topic", p.Topic, "partition", p.Partition, "state_topic", g.State.Topic, "entries", log.orphans)
		log.orphans = 0
	}
	if err == nil {
		g.Log.Info("the state is loaded", "topic", p.Topic, "partition", p.Partition, "users", len(table.entries),
			"records", counted, "epoch", log.own.Epoch.String(), "took", time.Since(began).Round(time.Millisecond).String())
	}
	return table, err
}

// adopt takes the state of a partition that waited for it. Its next commit certifies the
// new owner, and when that is accepted its records may be registered.
func (g *generation) adopt(l loaded) {
	p := l.part
	if p.unloaded = l.err; l.err != nil {
		return
	}
	s := &state{log: l.log, own: l.log.own, end: l.log.changes, table: l.table, queue: map[userKey]usync.Version{}}
	g.have(p, s)
	g.p.states.begin(p.TopicPartition, s)
	g.fetch.setSpare(p.TopicPartition, false)
	p.heardAt = time.Now()
	p.metrics.Ready(metrics.WaitsForState)
}
