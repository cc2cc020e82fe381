package consumer

import (
	"fmt"
	"math/rand/v2"
	"time"

	"usersync/consumer/trace"
	"usersync/metrics"
	usync "usersync/sync"
)

// StateConfig says where and how it is kept what was delivered, so that a user who did
// not change costs no call after a restart or in a new snapshot.
type StateConfig struct {
	Topic  string // compacted, with the partitions of the source topics; empty: it is not kept
	Create bool   // the topic, if it is missing or has too few partitions
	// Key of the hashes in the topic. With another key nothing is known of anybody, and
	// the entries with the old one are removed.
	Key []byte
	// BaseURL and Epoch are part of what is known: the same payload, sent elsewhere or
	// after the operator has changed the epoch, is another one.
	BaseURL, Epoch string
	// Program tells this program from another one, which may make another payload of the
	// same row. If it is empty, it is only told by its payload what has not changed.
	Program string
	// Users is how many of them are remembered by one process.
	Users int
}

// hash returns the hashes that the topic has. They are one goroutine's.
func (c StateConfig) hash() *stateHash { return newStateHash(c.Key, c.BaseURL, c.Epoch) }

// states keeps what one destination has of its users, for the partitions that this
// process owns. It belongs to the loop of the current generation and outlives it.
type states struct {
	cfg     StateConfig
	client  *Client
	group   string
	metrics *metrics.State
	hash    *stateHash
	rows    *rowHash
	room    *stateRoom
	parts   map[TopicPartition]*state
	crowd   crowd // of the tables of parts
	tell    func(trace.Event)
}

var _ usync.Delivered = (*states)(nil)

// newStates returns the states of a pipeline that has not begun; sends is as in [Config].
func newStates(cfg StateConfig, sends string, client *Client, group string, m *metrics.State) *states {
	return &states{
		cfg: cfg, client: client, group: group, metrics: m,
		hash: cfg.hash(), rows: newRowHash(cfg, sends), room: &stateRoom{limit: int64(cfg.Users)},
		parts: map[TopicPartition]*state{},
	}
}

// state is what is known of the users of one partition, and what of it is still to be
// written.
//
// A commit depends on what the lane has learned before: were an offset passed before it
// is durable that something else was sent, the next owner would believe what was there
// before. So while anything is to be written, only that may be committed which depends
// on what was.
type state struct {
	log   *stateLog
	table *stateTable
	own   tenure // what may be said of log in a commit
	end   int64  // of the log of changes, as it was heard last: all that is known is below
	// parts are those of the current generation whose offsets depend on it: the partition
	// itself, and that of the retry topic with its number.
	parts []*owned

	queue   map[userKey]usync.Version // to be written; the newest of each user
	sent    map[userKey]usync.Version // being written; nil when nothing is
	safe    map[*owned]int64          // what may be committed while there is anything of either
	retryAt time.Time                 // after a failure
	trouble trouble                   // while writing fails
	failed  error                     // the last failure, until a success
}

// unwritten is how many versions are not durable yet.
func (s *state) unwritten() int { return len(s.queue) + len(s.sent) }

// frontiers are what may be committed of the parts once all that was learned so far is
// durable.
func (s *state) frontiers() map[*owned]int64 {
	all := make(map[*owned]int64, len(s.parts))
	for _, p := range s.parts {
		all[p] = p.front.offset()
	}
	return all
}

// part returns the state of a position's partition, nil if it is not owned.
func (s *states) part(at usync.Position) *state {
	return s.parts[TopicPartition{at.Topic, at.Partition}]
}

// Known returns what is known of a user.
func (s *states) Known(user string, at usync.Position) usync.Version {
	if p := s.part(at); p != nil {
		return p.table.get(s.hash.user(user))
	}
	return usync.Version{}
}

// Learn replaces what is known of a user, also as of other partitions: see moved.
func (s *states) Learn(user string, at usync.Position, v usync.Version) {
	p := s.part(at)
	if p == nil {
		return
	}
	key := s.hash.user(user)
	s.learn(p, key, v)
	s.moved(p, key)
}

func (s *states) learn(p *state, key userKey, v usync.Version) {
	if v.Status == usync.Unknown {
		s.metrics.Unknown.Of(string(v.Cause)).Inc()
	}
	if p.table.get(key).Status == usync.Absent {
		s.joins(key)
	}
	p.table.put(key, v)
	if p.unwritten() == 0 {
		p.safe = p.frontiers()
	}
	p.queue[key] = v
}

// Move notes that a newer change has what is held already.
func (s *states) Move(user string, at usync.Position, row usync.RowHash) {
	if p := s.part(at); p != nil {
		key := s.hash.user(user)
		if v := p.table.get(key); holding(v) {
			v.Offset, v.Row = max(v.Offset, at.Offset), row
			p.table.put(key, v)
		}
	}
	s.tell(trace.Event{Kind: trace.Unchanged, Topic: at.Topic, Partition: at.Partition, Offset: at.Offset, User: user})
}

// Fingerprint returns that of a payload's body.
func (s *states) Fingerprint(body []byte) usync.Fingerprint { return s.hash.print(body) }

// Row returns the hash of a row.
func (s *states) Row(user string, columns usync.Columns) usync.RowHash {
	return s.rows.of(user, columns)
}

// begin takes the state of a partition that was loaded, and looks for users who have moved
// between it and another one.
func (s *states) begin(tp TopicPartition, p *state) {
	s.parts[tp] = p
	for user := range p.table.entries {
		s.joins(user)
	}
	if len(s.parts) == 1 {
		return
	}
	for user, e := range p.table.entries {
		if claims(e.version()) {
			s.conflict(user)
		}
	}
}

// keep returns the state of a partition from an earlier generation, if that ended with
// everything written and nobody else has made a call since: the last commit is then one
// of its epoch. Otherwise it has to be loaded.
func (s *states) keep(tp TopicPartition, said tenure) *state {
	p := s.parts[tp]
	if p != nil && p.own.Epoch != said.Epoch {
		s.drop(tp)
		return nil
	}
	return p
}

// drop forgets what is known of a partition's users. No write may be under way.
func (s *states) drop(tp TopicPartition) {
	if p := s.parts[tp]; p != nil {
		p.table.clear()
		delete(s.parts, tp)
	}
}

// newLog returns the log of a partition, to be loaded.
func (s *states) newLog(tp TopicPartition) *stateLog {
	return &stateLog{
		storage: stored{s.client, TopicPartition{s.cfg.Topic, tp.Partition}},
		prefix:  statePrefix(s.group, tp.Topic), nonce: rand.Uint64(), word: s.hash.word(),
	}
}

// flush begins to write what the lane has learned; each partition has one write under
// way. What is learned meanwhile goes together in the next one.
func (g *generation) flush(now time.Time) {
	for _, p := range g.parts {
		s := p.state
		if s == nil || len(s.queue) == 0 || s.sent != nil || s.retryAt.After(now) || g.evicted {
			continue
		}
		noted := s.frontiers() // depends on nothing that is learned later
		s.sent, s.queue = s.queue, map[userKey]usync.Version{}
		records := make([]stateRecord, 0, len(s.sent))
		for user, v := range s.sent {
			records = append(records, stateRecord{user: user, version: v})
		}
		g.wg.Go(func() {
			err := s.log.append(g.stateCtx, records)
			g.flushes <- flushed{p, noted, s.log.own, err}
		})
	}
}

// flushed is what became of a write.
type flushed struct {
	part  *owned
	noted map[*owned]int64 // what may be committed when it is there
	own   tenure
	err   error
}

// retryState is how long a write that failed is put off.
const retryState = time.Second

// flushed takes what became of a write.
func (g *generation) flushed(f flushed) {
	s, now := f.part.state, time.Now()
	m := g.Metrics.State
	written := s.sent
	s.sent, s.failed, s.own = nil, f.err, f.own
	if f.err == nil {
		s.safe = f.noted
		m.Writes.Success.Add(float64(len(written)))
		if lasted, said := s.trouble.over(now); said {
			g.Log.Info("the state is written again", "topic", g.State.Topic, "partition", f.part.Partition, "after", lasted)
		}
		return
	}
	m.Writes.Error.Add(float64(len(written)))
	for user, v := range written {
		if _, newer := s.queue[user]; !newer {
			s.queue[user] = v
		}
	}
	s.retryAt = now.Add(retryState)
	if s.trouble.again(now, 0) && !g.evicted {
		g.Log.Error("what was delivered cannot be written down; it is tried again, and no offset that depends on it is committed before",
			"topic", g.State.Topic, "partition", f.part.Partition, "error", denied("topic", g.State.Topic, "Write", f.err))
	}
}

// flushing reports whether anything that the lane has learned is still being made durable.
func (g *generation) flushing() bool {
	if g.stateCtx.Err() != nil {
		return false
	}
	for _, p := range g.parts {
		if p.state != nil && p.state.unwritten() > 0 {
			return true
		}
	}
	return false
}

// showState brings the gauges up to date, and says whose state cannot be used now.
func (g *generation) showState() {
	if g.p.states == nil {
		return
	}
	m := g.Metrics.State
	loading, pending := 0, 0
	var trouble error
	for _, p := range g.parts {
		switch {
		case p.loading:
			loading++
			if p.unloaded != nil {
				trouble = fmt.Errorf("the state of %s/%d cannot be read: %w", p.Topic, p.Partition, p.unloaded)
			}
		case p.state != nil:
			pending += p.state.unwritten()
			if p.state.failed != nil {
				trouble = fmt.Errorf("the state of %s/%d cannot be written: %w", p.Topic, p.Partition, p.state.failed)
			}
		}
	}
	m.Entries.Set(float64(g.p.states.room.used.Load()))
	m.Loading.Set(float64(loading))
	m.Pending.Set(float64(pending))
	g.p.troubled.Store(&trouble)
}
