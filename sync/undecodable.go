package sync

import (
	"slices"
	"time"
)

// run is a stretch of undecodable records of one partition, held at its first.
type run struct {
	from   Position
	to     evidence // the last
	count  int
	code   string // of the first
	hold   Hold
	letter *Letter // once it is given up
}

// longestList bounds the runs that wait in one partition. Past it the newest
// grows, over good records too: whoever writes the letters decodes each record
// of a run again and leaves out those that can be.
const longestList = 1000

// partition is a partition of a topic as a key.
type partition struct {
	topic string
	id    int
}

// undecodable keeps the records that no decoder understands. They are no user's
// fault and no destination's: a topic may have changed its format. So none is
// given up before the row of a later record of its topic has been read, and then
// the budget applies. They are kept as ranges: a flood costs no memory.
type undecodable struct {
	fresh   map[string][]*run // by topic, one of a partition at most: no row was read since
	last    map[partition]*run
	runs    map[partition]int
	records int
}

func newUndecodable() undecodable {
	return undecodable{fresh: make(map[string][]*run), last: make(map[partition]*run), runs: make(map[partition]int)}
}

// add notes a record and keeps its hold until its letter is written, or gives
// it back at once where an earlier record of the same run is held.
func (d *undecodable) add(e evidence, code string, hold Hold, r *release) {
	d.records++
	key := e.partition()
	last := d.last[key]
	switch {
	case last == nil || last.letter != nil && (last.letter.writing || d.runs[key] < longestList):
		last = &run{from: e.at, to: e, count: 1, code: code, hold: hold}
		d.last[key] = last
		d.runs[key]++
		d.fresh[e.at.Topic] = append(d.fresh[e.at.Topic], last)
		return
	case last.letter != nil: // what was proven of the run is not of this record
		r.remove(last.letter)
		last.letter = nil
		d.fresh[e.at.Topic] = append(d.fresh[e.at.Topic], last)
	}
	last.to = last.to.or(e)
	last.count++
	hold.Release()
}

// decoded gives up the runs before e, a record whose row was read: the fault is
// theirs. What has no row, such as a tombstone, proves nothing.
func (d *undecodable) decoded(now time.Time, e evidence, r *release) {
	runs := d.fresh[e.at.Topic]
	if len(runs) == 0 {
		return
	}
	d.fresh[e.at.Topic] = slices.DeleteFunc(runs, func(run *run) bool {
		if !e.after(run.to) {
			return false
		}
		run.letter = &Letter{
			From: run.from, To: run.to.at, Reason: reasonUndecodable, Code: run.code,
			Failed: now, count: run.count, run: run,
		}
		r.add(now, run.letter)
		return true
	})
}

// forget drops the runs of a partition whose records can not be read any more.
func (d *undecodable) forget(at Position, r *release) {
	for _, l := range r.letters {
		switch {
		case l.run == nil || l.gone || !l.From.SamePartition(at):
		case l.writing:
			l.dropped = true
		default:
			r.remove(l)
			d.drop(l.run)
		}
	}
	d.fresh[at.Topic] = slices.DeleteFunc(d.fresh[at.Topic], func(run *run) bool {
		if !run.from.SamePartition(at) {
			return false
		}
		d.drop(run)
		return true
	})
}

// written forgets a run and releases its place.
func (d *undecodable) written(l *Letter) {
	d.drop(l.run)
	l.run.hold.Release()
}

func (d *undecodable) drop(run *run) {
	key := partition{run.from.Topic, run.from.Partition}
	if d.last[key] == run {
		delete(d.last, key)
	}
	d.runs[key]--
	d.records -= run.count
}
