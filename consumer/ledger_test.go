package consumer

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// ledger holds the guarantees against the trace, event by event, as it comes.
type ledger struct {
	b  *bubble
	mu sync.Mutex

	events  []string // the trace, for a failed test
	all     []traced
	written map[TopicPartition][]wroteChange
	deletes map[string]int64 // the newest delete of each user
	dests   map[string]*account
	faults  map[string]int // by guarantee
}

// traced is an event and whose it is.
type traced struct {
	Trace
	worker int
}

type wroteChange struct {
	offset int64
	user   string
}

// account is what the ledger knows of one destination.
type account struct {
	commit  map[TopicPartition]int64
	settled map[string]map[TopicPartition]int64 // by user: the newest change that is settled
	checked map[TopicPartition]int              // up to where commits were checked
	newest  map[TopicPartition]map[string]int64 // of the checked ones, by user
	owner   map[TopicPartition]member
	flights map[string]flightOf
	letters map[string]int // by user; "" for undecodable records
	reasons map[string]int
	halts   []string
	calls   int
	members map[string]bool // that have a generation
}

type member struct{ worker, generation int }

type flightOf struct {
	member
	TopicPartition
	offset int64
	began  time.Time
}

func (l *ledger) account(dest string) *account {
	if l.dests == nil {
		l.dests, l.faults = map[string]*account{}, map[string]int{}
	}
	a := l.dests[dest]
	if a == nil {
		a = &account{
			commit: map[TopicPartition]int64{}, settled: map[string]map[TopicPartition]int64{}, checked: map[TopicPartition]int{},
			newest: map[TopicPartition]map[string]int64{}, owner: map[TopicPartition]member{}, flights: map[string]flightOf{},
			letters: map[string]int{}, reasons: map[string]int{}, members: map[string]bool{},
		}
		l.dests[dest] = a
	}
	return a
}

// wrote notes a change of a user that needs to be settled by a call or a letter.
func (l *ledger) wrote(c change, user string, deleted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.written == nil {
		l.written, l.deletes = map[TopicPartition][]wroteChange{}, map[string]int64{}
	}
	l.written[c.TopicPartition] = append(l.written[c.TopicPartition], wroteChange{c.offset, user})
	if deleted {
		l.deletes[user] = c.offset
	}
}

// note takes one event of a worker's trace.
func (l *ledger) note(worker int, t Trace) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(t.Destination)
	tp := TopicPartition{t.Topic, t.Partition}
	l.events = append(l.events, fmt.Sprintf("%s w%d %s %s %s/%d@%d user %s %s %v gen %d",
		t.At.Format("04:05.000"), worker, t.Destination, t.Kind, t.Topic, t.Partition, t.Offset, t.User, t.Outcome, t.Partitions, t.Generation))
	l.all = append(l.all, traced{t, worker})
	switch t.Kind {
	case TraceAssigned:
		a.members[t.Member] = true
		for _, p := range t.Partitions {
			if o, ok := a.owner[p]; ok && o.generation > t.Generation {
				l.fault("G7", "%s: w%d was assigned %v in generation %d after generation %d", t.Destination, worker, p, t.Generation, o.generation)
			}
			a.owner[p] = member{worker, t.Generation}
		}
	case TraceCall:
		l.call(worker, a, tp, t)
	case TraceCalled:
		a.calls++
		delete(a.flights, t.User)
		if t.Outcome == "ok" {
			a.settle(t.User, tp, t.Offset)
		}
	case TraceLetter:
		a.letters[t.User]++
		a.reasons[t.Outcome]++
		if t.User != "" {
			a.settle(t.User, tp, t.Offset)
		}
	case TraceHalt:
		a.halts = append(a.halts, fmt.Sprintf("%v %s", tp, t.Outcome))
	case TraceCommit:
		if t.Outcome == "ok" {
			l.commit(worker, a, tp, t)
		}
	case TraceRevoked:
		delete(a.members, t.Member)
	}
}

func (a *account) settle(user string, tp TopicPartition, offset int64) {
	if a.settled[user] == nil {
		a.settled[user] = map[TopicPartition]int64{}
	}
	if offset >= a.settled[user][tp] {
		a.settled[user][tp] = offset + 1
	}
}

func (l *ledger) call(worker int, a *account, tp TopicPartition, t Trace) {
	if o := a.owner[tp]; o.worker != worker {
		l.fault("G7", "%s: w%d calls for %v, which w%d owns since generation %d", t.Destination, worker, tp, o.worker, o.generation)
	}
	if f, ok := a.flights[t.User]; ok {
		l.fault("G3", "%s: two calls in flight for user %s: w%d since %v, and w%d", t.Destination, t.User, f.worker, f.began, worker)
	}
	a.flights[t.User] = flightOf{member: member{worker: worker}, TopicPartition: tp, offset: t.Offset, began: t.At}
}

// commit checks an accepted commit: it does not go back, it is the owner's, and
// the newest change of each user below it is settled.
func (l *ledger) commit(worker int, a *account, tp TopicPartition, t Trace) {
	if o := a.owner[tp]; o.worker != worker {
		l.fault("G7", "%s: w%d commits %v, which w%d owns since generation %d", t.Destination, worker, tp, o.worker, o.generation)
	}
	if t.Offset < a.commit[tp] {
		l.fault("G7", "%s: the commit of %v went back from %d to %d", t.Destination, tp, a.commit[tp], t.Offset)
	}
	a.commit[tp] = t.Offset
	list := l.written[tp]
	if a.newest[tp] == nil {
		a.newest[tp] = map[string]int64{}
	}
	touched := map[string]bool{}
	i := a.checked[tp]
	for ; i < len(list) && list[i].offset < t.Offset; i++ {
		a.newest[tp][list[i].user] = list[i].offset
		touched[list[i].user] = true
	}
	a.checked[tp] = i
	for user := range touched {
		offset := a.newest[tp][user]
		if a.settled[user][tp] > offset || l.deletes[user] >= offset {
			continue // a delete needs no call, and settles what came before it
		}
		l.fault("G2", "%s: w%d committed %v up to %d, and the change of user %s at %d is not settled\n%s", t.Destination, worker, tp, t.Offset, user, offset, l.about(t.Destination, user, tp))
	}
}

// killed forgets the calls that a killed worker had in flight.
func (l *ledger) killed(worker int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.dests {
		maps.DeleteFunc(a.flights, func(_ string, f flightOf) bool { return f.worker == worker })
	}
}

// fault needs l.mu.
func (l *ledger) fault(guarantee, format string, args ...any) {
	l.faults[guarantee]++
	if l.faults[guarantee] <= 3 {
		l.b.t.Errorf(guarantee+": "+format, args...)
	}
}

// joined reports whether a member is in a generation, as far as it has said.
func (l *ledger) joined(dest, member string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(dest).members[member]
}

func (l *ledger) committed(dest string, tp TopicPartition) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(dest).commit[tp]
}

// excused reports whether a dead letter says why a user is not right.
func (l *ledger) excused(dest, user string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(dest).letters[user] > 0
}

// letters is how many dead letters a destination wrote.
func (l *ledger) letters(dest string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, k := range l.account(dest).letters {
		n += k
	}
	return n
}

// calls is how many calls to a destination have ended.
func (l *ledger) calls(dest string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(dest).calls
}

// about is what the trace has of a user; it needs l.mu.
func (l *ledger) about(dest, user string, tp TopicPartition) string {
	var found []string
	for _, e := range l.events {
		if strings.Contains(e, dest) && (strings.Contains(e, " user "+user+" ") || strings.Contains(e, " user  ") &&
			(!strings.Contains(e, " commit ") || strings.Contains(e, fmt.Sprintf("%s/%d@", tp.Topic, tp.Partition)))) {
			found = append(found, e)
		}
	}
	return strings.Join(found[max(0, len(found)-30):], "\n")
}

// trace is the last n events, or those that contain a word.
func (l *ledger) trace(n int, word string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, e := range l.events {
		if strings.Contains(e, word) {
			found = append(found, e)
		}
	}
	return strings.Join(found[max(0, len(found)-n):], "\n")
}
