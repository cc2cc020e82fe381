package consumer

import (
	"context"
	"math"
	"testing"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// Each protection of the state's log has one story here that only it gives a good end.
// Random ones (TestStateIsNeverWrong) need too many coincidences for some of them.

// story is a partition of the state topic, and what its owners do. They are named in the
// order in which they begin.
type story struct {
	*fakeStorage
	t      *testing.T
	said   tenure // by the last commit that was accepted
	vendor map[userKey]byte
	owners uint64
	word   keyWord // of the key that owners have from now on
	// changes is where the log of changes ends.
	changes int64
	next    []func() error // what becomes of the writes to come; nil: it succeeds
}

func newStory(t *testing.T) *story {
	s := &story{fakeStorage: &fakeStorage{}, t: t, changes: math.MaxInt64, vendor: map[userKey]byte{}}
	s.fail = func() (lost, late bool) {
		if len(s.next) == 0 {
			return false, false
		}
		first := s.next[0]
		s.next = s.next[1:]
		return first() != nil, false
	}
	return s
}

// load has an owner begin; the error is of a write that was made to fail.
func (s *story) load() (*fakeOwner, error) {
	s.owners++
	log := &stateLog{storage: s, prefix: "p/", nonce: s.owners, word: s.word, changes: s.changes}
	table, err := log.load(context.Background(), s.said, &stateRoom{limit: math.MaxInt64}, func(loading) {})
	return &fakeOwner{log: log, table: table, queue: map[userKey]usync.Version{}}, err
}

// begin has an owner begin, and its first commit accepted.
func (s *story) begin() *fakeOwner {
	s.t.Helper()
	o, err := s.load()
	if err != nil {
		s.t.Fatal(err)
	}
	s.said = o.log.own
	return o
}

// deliver has an owner make a call, and freeze before it is written down.
func (s *story) deliver(o *fakeOwner, user userKey, payload byte) {
	s.vendor[user] = payload
	v := usync.Version{Status: usync.Held, Print: usync.Fingerprint{payload}}
	o.table.put(user, v)
	o.queue[user] = v
}

// note has an owner write down what it has delivered.
func (s *story) note(o *fakeOwner) {
	s.t.Helper()
	if err := o.flush(); err != nil {
		s.t.Fatal(err)
	}
}

// commit has an owner deliver, write it down, and commit.
func (s *story) commit(o *fakeOwner, user userKey, payload byte) {
	s.t.Helper()
	s.deliver(o, user, payload)
	s.note(o)
	s.said = o.log.own
}

// others write to the same partition, and nothing of theirs but the last stays.
func (s *story) others(n int) {
	for range n {
		s.append([]event.Record{{Key: []byte("q/0"), Value: []byte{1}}})
	}
}

// compactAll does all that compaction may ever do, tombstones included.
func (s *story) compactAll() {
	last := map[string]int64{}
	for _, r := range s.records {
		last[string(r.Key)] = r.Offset
	}
	var kept []event.Record
	for _, r := range s.records {
		if last[string(r.Key)] == r.Offset && len(r.Value) > 0 {
			kept = append(kept, r)
		}
	}
	s.records = kept
}

func lost() error { return errFakeLost }

func TestStateProtections(t *testing.T) {
	u := aUser(0)
	tellAll(t, u, map[string]func(s *story){
		// A thaws when B has delivered something newer, and begins anew, for a write of its
		// own had failed. Were that an epoch like any other, it would be as high as B's.
		"an owner that was replaced begins anew": func(s *story) {
			a := s.begin()
			s.deliver(a, u, 1)
			s.next = []func() error{lost}
			if a.flush() == nil {
				s.t.Fatal("the write did not fail")
			}
			s.commit(s.begin(), u, 2)
			s.note(a)
		},
		// C knows A's word for a zombie's by B's marker, which D removes.
		"what a zombie is known by is removed": func(s *story) {
			a := s.begin()
			s.deliver(a, u, 1)
			s.commit(s.begin(), u, 2)
			s.note(a)
			s.begin()
			s.begin()
			s.compactAll()
		},
		// A's word lands between what C has read and C's marker. D removes B's marker, which
		// it is known by, and is killed before it can say more.
		"a zombie lands before the marker of who begins": func(s *story) {
			a := s.begin()
			s.deliver(a, u, 1)
			s.commit(s.begin(), u, 2)
			s.next = []func() error{func() error { s.note(a); return nil }}
			s.begin()
			s.next = []func() error{nothing, lost}
			_, _ = s.load()
			s.compactAll()
		},
		// C was given the partition before B was, and has not noticed that it lost it: with
		// its marker of the same epoch it makes compaction take B's away.
		"a marker is replaced by another one of its epoch": func(s *story) {
			a := s.begin()
			s.deliver(a, u, 1)
			s.next = []func() error{func() error {
				s.commit(s.begin(), u, 2)
				s.note(a)
				s.next = []func() error{lost}
				return nil
			}}
			_, _ = s.load()
			s.compactAll()
		},
	})
}

// TestStateTail: what is lost of the log's end is not believed from what is left.
func TestStateTail(t *testing.T) {
	u, other := aUser(0), aUser(1)
	tellAll(t, u, map[string]func(s *story){
		"the tail is gone": func(s *story) {
			a := s.begin()
			s.commit(a, u, 1)
			s.commit(a, u, 2)
			s.cut(s.said.End - 1)
		},
		"others have filled the place of the tail": func(s *story) {
			a := s.begin()
			s.commit(a, u, 1)
			s.commit(a, u, 2)
			s.cut(s.said.End - 1)
			s.others(2)
			s.compactAll()
		},
		"the owner has gone on behind it": func(s *story) {
			a := s.begin()
			s.commit(a, u, 1)
			s.commit(a, u, 2)
			s.cut(s.said.End - 1)
			s.others(1)
			s.deliver(a, other, 1)
			s.note(a)
		},
		"the tail goes while the owner runs": func(s *story) {
			a := s.begin()
			s.commit(a, u, 1)
			s.commit(a, u, 2)
			s.cut(s.said.End - 1)
			s.deliver(a, other, 1)
			for range 2 { // the first one is answered with an offset that is too low
				_ = a.flush()
			}
			s.said = a.log.own
		},
	})
}

// tellAll tells each story and asks in the end whether what is believed of u is true.
func tellAll(t *testing.T, u userKey, stories map[string]func(s *story)) {
	t.Helper()
	for name, tell := range stories {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			tell(s)
			s.next = nil
			last := s.begin()
			if v := last.table.get(u); v.Status == usync.Held && v.Print[0] != s.vendor[u] {
				t.Errorf("the last owner believes that the vendor holds %d, and it holds %d", v.Print[0], s.vendor[u])
			}
		})
	}
}

func nothing() error { return nil }

// Two that begin at once have different epochs: a process that keeps its table has to
// find out by the epoch that somebody else was certified meanwhile.
func TestStateEpochsDiffer(t *testing.T) {
	s := newStory(t)
	s.begin()
	var first *fakeOwner
	s.next = []func() error{func() error { first, _ = s.load(); return nil }}
	second, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	if first.log.own.Epoch == second.log.own.Epoch {
		t.Errorf("both have epoch %v", second.log.own.Epoch)
	}
}
