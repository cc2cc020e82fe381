package consumer

import "time"

// gatherLimit bounds how long the first changes of a backlog wait for the rest of it to be
// read. What is read in that time, some tens of thousands of changes, takes longer than
// that to deliver, so it is late by more in any case. To wait longer would save little: so
// many users wait by then that reading stays ahead of the calls by itself.
const gatherLimit = 2 * time.Second

// backlog is that a partition has more than one fetch brings.
//
// The lane makes one call of all changes of a user that wait together. Those of a backlog
// do not yet when calls begin with what is read of it first, and a user who changed again
// further on is called twice:
//
//	log     a1 b1 c1 | a2 d1 b2 | c2 a3    in three fetches
//	calls   a1 b1 c1   a2 d1 b2   c2 a3    as it is read
//	        d1 b2 c2 a3                    when all of it was
//
// So its changes are gathered first. The fetch itself says whether there is more: what it
// brings from the end of the log, as it does on a quiet day, is called for at once.
type backlog struct {
	lags  bool      // the newest fetch has left something behind it
	end   int64     // of the log, when the first such fetch was made
	until time.Time // changes are gathered; zero: they are not, or not any more
}

// gather begins to gather changes of p when it begins to lag, and can be registered. It
// does so once for each backlog: a log that grows as fast as it is read must not keep
// calls from being made.
func (g *generation) gather(now time.Time, p *owned) {
	if p.retry || p.end == 0 {
		return
	}
	b := &p.backlog
	lags := p.inbox.Next < p.inbox.LastStable
	if lags && !b.lags {
		b.end, b.until = p.inbox.LastStable, now.Add(gatherLimit)
		g.lane.Gather(p.at(0))
	}
	b.lags = lags
}

// gathered lets calls be made for what was gathered, when all of it was read, or as much
// as can be in time and in the window.
func (g *generation) gathered(now time.Time) {
	for _, p := range g.parts {
		b := &p.backlog
		if b.until.IsZero() || p.halt == nil && p.front.position < b.end && now.Before(b.until) && g.lane.Bytes() < g.Window {
			continue
		}
		b.until = time.Time{}
		g.lane.Gathered(p.at(0))
	}
}

// gathersUntil is when gathered has something to do although nothing comes in; zero for
// never.
func (g *generation) gathersUntil() time.Time {
	var first time.Time
	for _, p := range g.parts {
		if until := p.backlog.until; !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return first
}
