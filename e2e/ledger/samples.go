package ledger

import (
	"fmt"
	"strings"
	"time"
)

// The probes below take samples, from metrics, logs or signals, and return what is
// wrong by then. None is safe for concurrent use.

// Work is what a worker has to do for a destination, and has done.
type Work struct {
	At                  time.Time
	Worker, Destination string
	Waiting             int64 // changes that are not settled
	Settled             int64 // so far, never less than before
	// Held: the destination is at fault or has asked to be left alone.
	Held bool
}

// Stall finds workers that have work to do and get nothing done: what a loop, a
// fetch or a call that is stuck looks like from outside.
type Stall struct {
	// Limit is how long that may take: a session timeout, after which a ghost's
	// partitions are handed on, and 15 s to join and read. Time in which the
	// destination is held does not count.
	Limit time.Duration
	lanes map[lane]still
}

// Add takes a sample.
func (s *Stall) Add(w Work) []Finding {
	if s.lanes == nil {
		s.lanes = map[lane]still{}
	}
	at := lane{w.Worker, w.Destination}
	now, d, found := s.lanes[at].sample(w.At, w.Waiting > 0, w.Held, w.Settled, s.Limit)
	s.lanes[at] = now
	if !found {
		return nil
	}
	return []Finding{{
		Name: Stalled, At: w.At, Destination: w.Destination, Worker: w.Worker,
		Text: fmt.Sprintf("%d changes wait, and none was settled for %v", w.Waiting, d),
	}}
}

// Progress is how far a partition is, for a destination.
type Progress struct {
	At          time.Time
	Destination string
	Partition   string
	Committed   int64
	Settled     int64 // up to where it could be committed, see [Ledger.Settled]
	Held        bool  // as in Work: the end of a doubt may wait for the destination
}

// Lag finds partitions whose commits stay behind what is settled.
type Lag struct {
	// Limit is how long that may take: the longest doubt, and what it takes to
	// confirm the user. Time in which the destination is held does not count.
	Limit      time.Duration
	partitions map[[2]string]still
}

// Add takes a sample.
func (l *Lag) Add(p Progress) []Finding {
	if l.partitions == nil {
		l.partitions = map[[2]string]still{}
	}
	at := [2]string{p.Destination, p.Partition}
	now, d, found := l.partitions[at].sample(p.At, p.Committed < p.Settled, p.Held, p.Committed, l.Limit)
	l.partitions[at] = now
	if !found {
		return nil
	}
	return []Finding{{
		Name: Stagnant, At: p.At, Destination: p.Destination,
		Text: fmt.Sprintf("%s stays committed up to %d for %v, and is settled up to %d", p.Partition, p.Committed, d, p.Settled),
	}}
}

// still is what has something to do and does not move, as its samples say.
type still struct {
	waiting bool
	done    int64
	idle    time.Duration // since it moved last, or got something to do, as far as it counts
	seen    time.Time     // of the last sample
}

// sample takes the next one and returns what is known then. It reports found, and for
// how long, once for each time that nothing moved for longer than limit.
func (s still) sample(at time.Time, waiting, held bool, done int64, limit time.Duration) (now still, idle time.Duration, found bool) {
	if !waiting || !s.waiting || done != s.done {
		return still{waiting: waiting, done: done, seen: at}, 0, false
	}
	if !held {
		s.idle += at.Sub(s.seen)
	}
	s.seen = at
	if idle = s.idle; idle > limit {
		s.idle, found = 0, true
	}
	return s, idle, found
}

// Drain finds a worker that took too long to stop, or has not stopped yet. Bound is
// the drain timeout and what it takes to say goodbye.
type Drain struct{ Bound time.Duration }

// Check judges a worker that was told to stop at told; exited is zero as long as it
// has not stopped.
func (d Drain) Check(worker string, told, exited, now time.Time) []Finding {
	state := "it took"
	if exited.IsZero() {
		state, exited = "it has not ended after", now
	}
	if took := exited.Sub(told); took > d.Bound {
		return []Finding{{Name: SlowDrain, At: exited, Worker: worker, Text: fmt.Sprintf("%s %v, and may take %v", state, took, d.Bound)}}
	}
	return nil
}

// Memory finds a worker that holds more than Limit bytes, for a destination or as
// a whole.
type Memory struct{ Limit int64 }

// Check judges a sample.
func (m Memory) Check(at time.Time, worker, destination string, bytes int64) []Finding {
	if bytes <= m.Limit {
		return nil
	}
	return []Finding{{Name: Heap, At: at, Worker: worker, Destination: destination, Text: fmt.Sprintf("%d bytes, at most %d are allowed", bytes, m.Limit)}}
}

// Isolation finds a destination that suffers from another one's trouble: while that
// one is broken, no change of this one may be older than Limit.
type Isolation struct{ Limit time.Duration }

// Check judges how old the oldest change is that healthy waits for, while broken is.
func (i Isolation) Check(at time.Time, broken, healthy string, oldest time.Duration) []Finding {
	if oldest <= i.Limit {
		return nil
	}
	return []Finding{{Name: Shared, At: at, Destination: healthy, Text: fmt.Sprintf("while %s is in trouble a change waits for %v, at most %v are allowed", broken, oldest, i.Limit)}}
}

// Privacy finds what was planted in personal values and credentials.
type Privacy struct{ Planted []string }

// Scan looks into a text; where names it, such as "log" or "metrics".
func (p Privacy) Scan(where, text string) []Finding {
	const around = 150
	var all []Finding
	for _, word := range p.Planted {
		if i := strings.Index(text, word); i >= 0 {
			all = append(all, Finding{Name: Private, Text: fmt.Sprintf("%q in the %s: ...%s...", word, where, text[max(0, i-around):min(len(text), i+around)])})
		}
	}
	return all
}
