package sync

import (
	"container/heap"
	"time"
)

// fifo is a queue of users in order of arrival. A user leaves it from the front
// only, so one that has nothing to do any more is skipped when it gets there.
type fifo struct {
	head, tail []*user
}

func (q *fifo) push(u ...*user) { q.tail = append(q.tail, u...) }

func (q *fifo) pop() *user {
	if len(q.head) == 0 {
		q.head, q.tail = q.tail, q.head[:0]
		for i, j := 0, len(q.head)-1; i < j; i, j = i+1, j-1 {
			q.head[i], q.head[j] = q.head[j], q.head[i]
		}
	}
	if len(q.head) == 0 {
		return nil
	}
	last := len(q.head) - 1
	u := q.head[last]
	q.head[last] = nil
	q.head = q.head[:last]
	return u
}

func (q *fifo) len() int { return len(q.head) + len(q.tail) }

// alarm says when a user wants to be looked at.
type alarm struct {
	at   time.Time
	user *user
}

// alarms is a heap of them, earliest first. An alarm that no longer applies is
// left in place: whoever is woken looks at its own deadlines again.
type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	old := *a
	last := old[len(old)-1]
	old[len(old)-1] = alarm{}
	*a = old[:len(old)-1]
	return last
}

func (a *alarms) set(at time.Time, u *user) { heap.Push(a, alarm{at, u}) }

// due removes and returns the user of the earliest alarm that has gone off.
func (a *alarms) due(now time.Time) *user {
	if len(*a) == 0 || (*a)[0].at.After(now) {
		return nil
	}
	return heap.Pop(a).(alarm).user
}

// next is the time of the earliest alarm, zero if there is none.
func (a alarms) next() time.Time {
	if len(a) == 0 {
		return time.Time{}
	}
	return a[0].at
}
