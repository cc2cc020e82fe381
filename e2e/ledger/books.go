package ledger

import (
	"maps"
	"math"
	"slices"

	"usersync/consumer/trace"
)

// Events returns all events that match accepts, in their order.
func (l *Ledger) Events(match func(trace.Event) bool) []trace.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []trace.Event
	for _, e := range l.events {
		if match(e) {
			all = append(all, e)
		}
	}
	return all
}

// Joined reports whether a member is in a generation, as far as it has said.
func (l *Ledger) Joined(destination, member string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(destination).members[member]
}

// Committed returns up to where a partition is committed.
func (l *Ledger) Committed(destination string, tp trace.TopicPartition) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(destination).commit[tp].offset
}

// Settled returns up to where a partition could be committed: the first change
// that is not settled or, when all are, behind the last.
func (l *Ledger) Settled(destination string, tp trace.TopicPartition) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(destination)
	list := l.written[tp]
	for _, w := range list[min(len(list), a.checked[tp]):] {
		if !l.isSettled(a, tp, w.user, w.offset) {
			return w.offset
		}
	}
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].offset + 1
}

// Partitions returns those that changes were written to.
func (l *Ledger) Partitions() []trace.TopicPartition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.written))
}

// Letters returns how many dead letters were written, by user; those for records
// that could not be read are under "".
func (l *Ledger) Letters(destination string) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.account(destination).letters)
}

// Excused reports whether a dead letter says why a user is not right.
func (l *Ledger) Excused(destination, user string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(destination).letters[user] > 0
}

// Reasons returns how many dead letters were written, by reason.
func (l *Ledger) Reasons(destination string) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.account(destination).reasons)
}

// Halts returns the partitions that were halted, with the reasons, such as
// "users/0 topic_gone".
func (l *Ledger) Halts(destination string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.account(destination).halts)
}

// Calls returns how many calls have ended.
func (l *Ledger) Calls(destination string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(destination).calls
}

// Done returns how many calls and dead letters have settled a change.
func (l *Ledger) Done(destination string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(destination).done
}

// Reset notes that an operator has set a group's offset.
func (l *Ledger) Reset(destination string, tp trace.TopicPartition, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(destination).reset(tp, offset)
}

func (a *account) reset(tp trace.TopicPartition, offset int64) {
	a.commit[tp], a.checked[tp] = committed{offset: offset}, 0
}

// Suspend lets the commits of a partition pass unchecked until a Reset: those of a
// topic that has just been recreated may still be the old one's.
func (l *Ledger) Suspend(tp trace.TopicPartition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.dests {
		a.checked[tp] = math.MaxInt
	}
}

// Lose forgets the changes of a partition below an offset, which nobody can read
// any more, and what was committed. It returns their users.
func (l *Ledger) Lose(tp trace.TopicPartition, below int64) (users []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written[tp] = slices.DeleteFunc(l.written[tp], func(w written) bool {
		if w.offset < below {
			users = append(users, w.user)
		}
		return w.offset < below
	})
	for _, a := range l.dests {
		a.commit[tp], a.checked[tp] = committed{}, 0
	}
	return users
}

// Recreate forgets all that was known of a partition: the topic is another one now.
func (l *Ledger) Recreate(tp trace.TopicPartition) (users []string) {
	users = l.Lose(tp, math.MaxInt64)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.dests {
		delete(a.newest, tp)
		for _, settled := range a.settled {
			delete(settled, tp)
		}
	}
	return users
}
