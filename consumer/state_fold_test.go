package consumer

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// fakeStorage is a partition of the state topic that does all that a real one may do.
type fakeStorage struct {
	records []event.Record // with gaps, where compaction has been
	next    int64
	fail    func() (lost, late bool) // asked at each write
	late    [][]event.Record         // not answered, and not there yet
}

var errFakeLost = errors.New("no answer")

//nolint:unparam // it is a storage
func (s *fakeStorage) length(context.Context) (int64, error) { return s.next, nil }

// read returns two records at a time.
//
//nolint:unparam // it is a storage
func (s *fakeStorage) read(_ context.Context, from int64) ([]event.Record, int64, error) {
	i, _ := slices.BinarySearchFunc(s.records, from, func(r event.Record, at int64) int { return int(r.Offset - at) })
	some := s.records[i:min(i+2, len(s.records))]
	if len(some) == 0 {
		return nil, nothingLeft, nil
	}
	return some, some[len(some)-1].Offset + 1, nil
}

func (s *fakeStorage) write(_ context.Context, records ...event.Record) (int64, error) {
	if lost, late := s.fail(); lost {
		if late {
			s.late = append(s.late, records)
		}
		return 0, errFakeLost
	}
	return s.append(records), nil
}

func (s *fakeStorage) append(records []event.Record) int64 {
	base := s.next
	for _, r := range records {
		r.Offset = s.next
		s.records = append(s.records, r)
		s.next++
	}
	return base
}

// compact removes the record at i if there is a newer one of its key.
func (s *fakeStorage) compact(i int) {
	for _, r := range s.records[i+1:] {
		if string(r.Key) == string(s.records[i].Key) {
			s.records = slices.Delete(slices.Clone(s.records), i, i+1)
			return
		}
	}
}

// cut loses the tail of the log.
func (s *fakeStorage) cut(end int64) {
	s.next = min(s.next, end)
	s.records = slices.DeleteFunc(slices.Clone(s.records), func(r event.Record) bool { return r.Offset >= end })
}

// fakeOwner is one that has loaded the state. What it delivers it first has in mind, and
// writes later: the moment in between is the one to be frozen in.
type fakeOwner struct {
	log   *stateLog
	table *stateTable
	queue map[userKey]usync.Version
}

// flush writes what is in mind.
func (o *fakeOwner) flush() error {
	var records []stateRecord
	for user, v := range o.queue {
		records = append(records, stateRecord{user: user, version: v})
	}
	if err := o.log.append(context.Background(), records); err != nil {
		return err
	}
	clear(o.queue)
	return nil
}

// ownership is a partition whose owners come, freeze, thaw and are killed.
type ownership struct {
	*fakeStorage
	rand        *rapid.T
	owner       *fakeOwner // nil: none at the moment
	confirmed   bool       // a commit of the owner was accepted
	zombies     []*fakeOwner
	said        tenure
	vendor      map[userKey]byte     // what it holds
	uncommitted map[userKey]struct{} // whoever begins next reads a change of these again
	offset      int64
	owners      uint64
}

func (w *ownership) n(most int, what string) int { return rapid.IntRange(0, most).Draw(w.rand, what) }

// takeOver has a new owner begin, or try to.
func (w *ownership) takeOver() {
	if w.owner != nil {
		w.zombies = append(w.zombies, w.owner)
	}
	w.owner, w.confirmed = nil, false
	w.owners++
	log := &stateLog{storage: w, prefix: "p/", nonce: w.owners, word: 1, changes: math.MaxInt64}
	for range 3 {
		table, err := log.load(context.Background(), w.said, &stateRoom{limit: math.MaxInt64}, func(loading) {})
		if err != nil {
			continue
		}
		w.owner = &fakeOwner{log: log, table: table, queue: map[userKey]usync.Version{}}
		for user := range w.uncommitted { // the lane reads a change again that may have been sent
			w.learn(user, usync.Version{Status: usync.Unknown, Cause: usync.CausePossiblySent, Offset: w.offset})
		}
		return
	}
}

func (w *ownership) learn(user userKey, v usync.Version) {
	w.owner.table.put(user, v)
	w.owner.queue[user] = v
}

// deliver has the owner make a call; its outcome may stay unknown.
func (w *ownership) deliver(user userKey) {
	payload := byte(1 + w.n(2, "payload"))
	w.offset++
	w.vendor[user] = payload
	w.uncommitted[user] = struct{}{}
	v := usync.Version{Status: usync.Unknown, Cause: usync.CauseAttempted, Offset: w.offset}
	if w.n(3, "outcome") > 0 {
		v = usync.Version{Status: usync.Held, Offset: w.offset, Print: usync.Fingerprint{payload}}
	}
	w.learn(user, v)
}

// commit has the owner commit: what it delivered, if that is durable.
func (w *ownership) commit() {
	if len(w.owner.queue) == 0 || w.n(2, "flush") > 0 && w.owner.flush() == nil {
		clear(w.uncommitted)
	}
	w.said, w.confirmed = w.owner.log.own, true
}

// check holds what the owner believes against what is true.
func (w *ownership) check() {
	if w.owner == nil {
		return
	}
	for user, e := range w.owner.table.entries {
		if v := e.version(); v.Status == usync.Held && v.Print[0] != w.vendor[user] {
			w.rand.Fatalf("owner %v believes that the vendor holds %d of user %q, and it holds %d; the commit says %v",
				w.owner.log.own, v.Print[0], user[:1], w.vendor[user], w.said)
		}
	}
}

func (w *ownership) step() {
	switch w.n(11, "step") {
	case 0, 1, 2:
		if w.owner != nil && w.confirmed {
			w.deliver(aUser(w.n(2, "user")))
		}
	case 3, 4:
		if w.owner != nil {
			w.commit()
		}
	case 5:
		w.takeOver()
	case 6, 7: // a zombie thaws
		if len(w.zombies) > 0 {
			_ = w.zombies[w.n(len(w.zombies)-1, "zombie")].flush() // it tries again when it thaws again
		}
	case 8:
		if len(w.late) > 0 {
			i := w.n(len(w.late)-1, "late")
			w.append(w.late[i])
			w.late = slices.Delete(w.late, i, i+1)
		}
	case 9:
		for range w.n(5, "compacted") {
			if len(w.records) > 0 {
				w.compact(w.n(len(w.records)-1, "record"))
			}
		}
	case 10: // the broker fails, and whoever becomes leader lacks the tail; others write on
		w.cut(int64(w.n(int(w.next), "end")))
		for range w.n(4, "of others") {
			w.append([]event.Record{{Key: []byte("q/" + strconv.Itoa(w.n(2, "other"))), Value: []byte{1}}})
		}
		w.takeOver()
	default:
		w.append([]event.Record{{Key: []byte("q/" + strconv.Itoa(w.n(2, "other"))), Value: []byte{1}}})
	}
	w.check()
}

// Whatever happens to a log and to those who write to it, an owner never believes of a
// user what is not so: not when zombies write behind its back, writes land late, the log
// is compacted at the worst moment, or loses its tail.
func TestStateIsNeverWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &ownership{fakeStorage: &fakeStorage{}, rand: t, vendor: map[userKey]byte{}, uncommitted: map[userKey]struct{}{}}
		w.fail = func() (lost, late bool) {
			n := w.n(9, "write")
			return n < 2, n == 0
		}
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			w.step()
		}
	})
}
