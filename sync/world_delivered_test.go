package sync

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// store is a Delivered whose table is lost with its owner, unlike a log of what it
// learned, as far as that was written.
type store struct {
	epoch   string
	table   map[whose]Version
	log     []entry
	durable int     // how much of the log is
	mapping *string // the one in use
}

type whose struct {
	user string
	partition
}

type entry struct {
	whose
	Version
}

func ofUser(user string, at Position) whose { return whose{user, partition{at.Topic, at.Partition}} }

func (s *store) Known(user string, at Position) Version {
	v := s.table[ofUser(user, at)]
	v.Cause = "" // there is no room for it
	return v
}

func (s *store) Learn(user string, at Position, v Version) {
	key := ofUser(user, at)
	if (v.Status == Unknown) != (v.Cause != "") && s.table[key].Status != Unknown {
		panic(fmt.Sprintf("a version without a reason, or with one too many: %+v", v))
	}
	s.table[key] = v
	s.log = append(s.log, entry{key, v})
}

func (s *store) Move(user string, at Position, row RowHash) {
	key := ofUser(user, at)
	v := s.table[key]
	if v.Status != Held && v.Status != Deleted || at.Offset < v.Offset {
		panic(fmt.Sprintf("%s moved from %+v to %d", user, v, at.Offset))
	}
	v.Offset, v.Row = at.Offset, row
	s.table[key] = v
}

func (s *store) Row(user string, columns Columns) (h RowHash) {
	row, _ := AppendRow(fmt.Appendf(nil, "%s %s ", s.epoch, *s.mapping), user, columns)
	sum := sha256.Sum256(row)
	copy(h[:], sum[:])
	return h
}

func (s *store) Fingerprint(body []byte) (f Fingerprint) {
	sum := sha256.Sum256(append([]byte(s.epoch+" "), body...))
	copy(f[:], sum[:])
	return f
}

// flush makes all durable that was learned.
func (s *store) flush() { s.durable = len(s.log) }

// kill loses the table, and all but more entries of what is not durable.
func (s *store) kill(more int) {
	s.log = s.log[:s.durable+more]
	s.flush()
	s.table = map[whose]Version{}
	for _, e := range s.log {
		s.table[e.whose] = e.Version
	}
}

// loseTail loses what was written last, though it was acknowledged. What is left is
// believed no more.
func (s *store) loseTail(left int) {
	s.log = s.log[:left]
	s.durable = left
	s.kill(0)
	for key, v := range s.table {
		v.Status = Unknown
		s.table[key] = v
		s.log = append(s.log, entry{key, v})
	}
	s.flush()
}

// repeats is the topic in which an operator has changes sent once more.
type repeats struct {
	log   []Change
	read  int
	floor map[int]int
}

var repeatsAt = Position{Topic: "retry"}

type repeatHold struct {
	floor  map[int]int
	offset int
}

func (h repeatHold) Release() {
	if h.floor[h.offset]--; h.floor[h.offset] == 0 {
		delete(h.floor, h.offset)
	}
}

func (r *repeats) frontier() int {
	return slices.Min(append(slices.Collect(maps.Keys(r.floor)), r.read))
}

// remember turns on what is remembered.
func (w *world) remember() *store {
	w.state = &store{epoch: "1", table: map[whose]Version{}, mapping: &w.mapping.inUse}
	w.repeats.floor = map[int]int{}
	w.newLane()
	return w.state
}

// repeat has a change sent once more.
func (w *world) repeat(offset int, force bool) {
	c := w.log[offset]
	c.Force = force
	w.repeats.log = append(w.repeats.log, c)
}

// submitRepeats gives the lane all that an operator wants sent, which it does when the
// rows' own records were read. What was read before the lane began may have been sent
// by its predecessor.
func (w *world) submitRepeats(until time.Time, end int) {
	for r := &w.repeats; r.read < len(r.log); r.read++ {
		c := r.log[r.read]
		c.Columns.values = slices.Clone(c.Columns.values)
		r.floor[r.read]++
		at := repeatsAt
		at.Offset = int64(r.read)
		w.lane.Submit(w.now, c, Place{at, repeatHold{r.floor, r.read}}, Sent{r.read < end && !until.IsZero(), until, w.mapping.unknown})
	}
}

// back panics if a call is for an older change than was delivered and only an operator
// can have asked for it.
func (w *world) back(c *Call) {
	if offset := int(c.Position.Offset); w.state != nil && !w.lossy && offset < w.start && offset+1 < w.newest[c.user.id] {
		panic(fmt.Sprintf("%s was to get %d again, and had %d", c.user.id, offset, w.newest[c.user.id]-1))
	}
}

// notGone reports whether the newest change of a user deletes it, and what the
// destination holds is not what that sends, although no letter says why.
func (w *world) notGone(user string) bool {
	i := len(w.log) - 1
	for w.log[i].User != user {
		i--
	}
	return w.anonymize && w.log[i].Op == Delete && w.holds[user] != anonymous && !w.lettered(user, i, i)
}

// anonymous is what a delete sends, if it sends anything. It replaces e as well.
const anonymous = "gone,"

// truthful panics if the destination does not hold what it is known to hold of a user,
// with no call of this lane in flight that may have changed it.
func (w *world) truthful() {
	if w.state == nil || w.untold {
		return
	}
	for key, v := range w.state.table {
		if slices.ContainsFunc(w.flights, func(f *flight) bool { return f.call.user.id == key.user }) {
			continue
		}
		body := w.holds[key.user]
		short, _, _ := strings.Cut(body, ",") // e may have been left out, and be there from before
		switch {
		case v.Status != Held && (v.Status != Deleted || v.Print == Fingerprint{}):
		case v.Print != w.state.Fingerprint([]byte(body)) && v.Print != w.state.Fingerprint([]byte(short)):
			panic(fmt.Sprintf("%s is not what it has: %q, history %v", key.user, body, w.history))
		}
	}
}
