package consumer

import (
	"math"
	"testing"

	usync "usersync/sync"
)

// keyed is a story of two users whose hashes have the key that the word 1 tells.
func keyed(t *testing.T) (*story, *fakeOwner) {
	s := newStory(t)
	s.word = 1
	o := s.begin()
	s.commit(o, userKey{1}, 1)
	s.commit(o, userKey{2}, 1)
	return s, o
}

// alone says that the log has nobody but that user, and whoever begins next believes it.
func (s *story) alone(t *testing.T, user userKey) {
	t.Helper()
	s.compactAll()
	for _, r := range s.records {
		if x, _, err := parseState("p/", r.Key, r.Value); err != nil || x.kind == stateUser && x.user != user {
			t.Errorf("left behind: %+v, %v", x, err)
		}
	}
	if o := s.begin(); o.table.get(user).Status != usync.Held || len(o.table.entries) != 1 {
		t.Errorf("the next owner knows %v", o.table.entries)
	}
}

// TestStateOfAnotherKey: with another key nothing that is there is believed, and none of
// it stays behind: nobody could name whom it is about.
func TestStateOfAnotherKey(t *testing.T) {
	third := userKey{3}
	t.Run("the next owner has it", func(t *testing.T) {
		s, _ := keyed(t)
		s.word = 2
		o := s.begin()
		if o.log.orphans != 2 || len(o.table.entries) != 0 {
			t.Errorf("%d were removed, and it knows %v", o.log.orphans, o.table.entries)
		}
		s.commit(o, third, 1)
		s.alone(t, third)
	})
	t.Run("it is killed in between", func(t *testing.T) {
		s, _ := keyed(t)
		s.word = 2
		s.next = []func() error{nothing, lost} // the entries are removed, and it does not begin
		if _, err := s.load(); err == nil {
			t.Fatal("it has begun")
		}
		s.next = []func() error{lost}
		if _, err := s.load(); err == nil {
			t.Fatal("it has begun")
		}
		s.commit(s.begin(), third, 1)
		s.alone(t, third)
	})
	t.Run("it fails again and again", func(t *testing.T) {
		s, o := keyed(t)
		for i := range togetherInState { // more than one write
			s.deliver(o, userKey{9, byte(i), byte(i >> 8)}, 1)
		}
		s.note(o)
		s.said = o.log.own
		s.word = 2
		s.next = []func() error{lost, nothing, lost}
		o, err := s.load()
		if err == nil {
			t.Fatal("it has begun")
		}
		if _, err := o.log.load(t.Context(), s.said, &stateRoom{limit: math.MaxInt64}, func(loading) {}); err == nil {
			t.Fatal("it has begun")
		}
		s.commit(s.begin(), third, 1)
		s.alone(t, third)
	})
	t.Run("the former owner thaws", func(t *testing.T) {
		s, zombie := keyed(t)
		s.word = 2
		o := s.begin()
		s.commit(o, third, 1)
		zombie.log.begin = true // its last write was not answered
		s.note(zombie)
		if err := zombie.log.append(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		s.alone(t, third)
	})
	t.Run("there was no word", func(t *testing.T) { // it was written by an older version
		s := newStory(t)
		s.commit(s.begin(), third, 1)
		s.word = 2
		s.alone(t, third)
	})
}

// TestStateOfAnotherKeyComesBack: an owner has removed all users, and fails to say that it
// begins. A zombie with the old key brings more of them back than one write has room for.
// When the owner tries again it must not say that it begins before it has removed these:
// whoever comes next would look for none.
func TestStateOfAnotherKeyComesBack(t *testing.T) {
	s, zombie := keyed(t)
	s.word = 2
	s.next = []func() error{nothing, lost} // they are removed; it does not begin
	o, err := s.load()
	if err == nil {
		t.Fatal("it has begun")
	}
	for i := range togetherInState + 1 {
		s.deliver(zombie, userKey{9, byte(i), byte(i >> 8)}, 1)
	}
	s.note(zombie)
	s.next = []func() error{nothing, lost} // the first of them are removed
	if _, err := o.log.load(t.Context(), s.said, &stateRoom{limit: math.MaxInt64}, func(loading) {}); err == nil {
		t.Fatal("it has begun")
	}
	third := userKey{3}
	s.commit(s.begin(), third, 1)
	s.alone(t, third)
}
