package ledger

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"usersync/consumer/trace"
)

// Ledger keeps the books of what was written, called for, settled and committed,
// and checks each event against them. It may be used from several goroutines.
type Ledger struct {
	report func(Finding)

	mu      sync.Mutex
	events  []trace.Event
	written map[trace.TopicPartition][]written
	deletes map[string]int64 // the newest delete of each user
	dests   map[string]*account
	frozen  map[string]bool // workers that are, or once were
}

type written struct {
	offset int64
	user   string
}

// account is what the ledger knows of one destination.
type account struct {
	commit   map[trace.TopicPartition]committed
	settled  map[string]map[trace.TopicPartition]int64 // by user: the newest change that is settled
	checked  map[trace.TopicPartition]int              // up to where commits were checked
	newest   map[trace.TopicPartition]map[string]int64 // of the checked ones, by user
	owner    map[trace.TopicPartition]member
	assigned map[member][]trace.TopicPartition
	flights  map[string][]flight // by user
	letters  map[string]int      // by user; "" for records that could not be read
	reasons  map[string]int
	halts    []string
	calls    int
	done     int
	members  map[string]bool // that have a generation
}

type committed struct {
	offset     int64
	generation int
}

// member is a worker in a generation.
type member struct {
	worker     string
	generation int
}

// flight is a call that has not ended.
type flight struct {
	trace.Event
	// loose: its worker was killed or frozen since it began, see rules.go.
	loose bool
	// stranger: it began when the partition was another's, which is a fault unless
	// nothing of it leaves.
	stranger bool
}

// New returns an empty ledger. It calls report, which must not call it back, with
// each finding.
func New(report func(Finding)) *Ledger {
	return &Ledger{
		report: report, written: map[trace.TopicPartition][]written{}, deletes: map[string]int64{},
		dests: map[string]*account{}, frozen: map[string]bool{},
	}
}

// account needs l.mu.
func (l *Ledger) account(destination string) *account {
	a := l.dests[destination]
	if a == nil {
		a = &account{
			commit: map[trace.TopicPartition]committed{}, settled: map[string]map[trace.TopicPartition]int64{},
			checked: map[trace.TopicPartition]int{}, newest: map[trace.TopicPartition]map[string]int64{},
			owner: map[trace.TopicPartition]member{}, assigned: map[member][]trace.TopicPartition{},
			flights: map[string][]flight{}, letters: map[string]int{}, reasons: map[string]int{}, members: map[string]bool{},
		}
		l.dests[destination] = a
	}
	return a
}

// Note takes the next event.
func (l *Ledger) Note(e trace.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	tp := e.TopicPartition()
	switch e.Kind {
	case Wrote:
		l.written[tp] = append(l.written[tp], written{e.Offset, e.User})
		if e.Outcome == Deleted {
			l.deletes[e.User] = e.Offset
		}
		return
	case Killed, Frozen:
		l.out(e)
		return
	case Applied, Thawed, Terminated, Exited:
		return // the probes'
	default: // a worker's
	}
	a := l.account(e.Destination)
	switch e.Kind {
	case trace.Assigned:
		l.assign(a, e)
	case trace.Revoked:
		delete(a.members, e.Member)
		a.revoke(member{e.Worker, e.Generation})
	case trace.Call:
		l.call(a, e)
	case trace.Called:
		l.called(a, e)
	case trace.Commit:
		if e.OK() {
			l.commit(a, e)
		}
	case trace.Unchanged: // whether it is so, the vendor's content tells in the end
		a.settle(e)
	case trace.Letter:
		a.letters[e.User]++
		a.reasons[e.Outcome]++
		if e.User != "" {
			a.settle(e)
		}
	case trace.Passed:
		a.reset(e.TopicPartition(), e.Offset)
	case trace.Halt:
		a.halts = append(a.halts, fmt.Sprintf("%s/%d %s", e.Topic, e.Partition, e.Outcome))
	}
}

func (l *Ledger) assign(a *account, e trace.Event) {
	a.members[e.Member] = true
	a.assigned[member{e.Worker, e.Generation}] = e.Partitions
	for _, tp := range e.Partitions {
		o, ok := a.owner[tp]
		if ok && o.generation > e.Generation {
			if !l.frozen[e.Worker] {
				l.found(OldGeneration, e, nil, "%v in generation %d, after generation %d", tp, e.Generation, o.generation)
			}
			continue // it takes nothing from the owner: a call under it is a stranger's
		}
		a.owner[tp] = member{e.Worker, e.Generation}
	}
}

// revoke takes from a member what it has left: from its own word on, a call or a
// commit of it is a stranger's.
func (a *account) revoke(m member) {
	for _, tp := range a.assigned[m] {
		if a.owner[tp] == m {
			delete(a.owner, tp)
		}
	}
	delete(a.assigned, m)
}

func (a *account) settle(e trace.Event) {
	tp := e.TopicPartition()
	if a.settled[e.User] == nil {
		a.settled[e.User] = map[trace.TopicPartition]int64{}
	}
	a.settled[e.User][tp] = max(a.settled[e.User][tp], e.Offset+1)
	a.done++
}

func (l *Ledger) call(a *account, e trace.Event) {
	f := flight{Event: e}
	if o := a.owner[e.TopicPartition()]; o.worker != e.Worker {
		// A process that was frozen between its check and this line stops at the next
		// check: its call is judged by whether anything of it leaves.
		if f.stranger = l.frozen[e.Worker]; !f.stranger {
			l.found(StrangerCall, e, nil, "for %v, which %q owns since generation %d", e.TopicPartition(), o.worker, o.generation)
		}
	}
	for _, other := range a.flights[e.User] {
		if !other.loose && !f.stranger {
			l.found(Overlap, e, []trace.Event{other.Event, e}, "user %s, by %s since %v as well", e.User, other.Worker, other.At)
		}
	}
	a.flights[e.User] = append(a.flights[e.User], f)
}

func (l *Ledger) called(a *account, e trace.Event) {
	a.calls++
	i := slices.IndexFunc(a.flights[e.User], func(f flight) bool {
		return f.Worker == e.Worker && f.Offset == e.Offset && f.TopicPartition() == e.TopicPartition()
	})
	if i >= 0 {
		if f := a.flights[e.User][i]; f.stranger && !e.Unsent() {
			l.found(StrangerCall, e, []trace.Event{f.Event, e}, "for %v, after it was frozen", e.TopicPartition())
		}
		a.flights[e.User] = slices.Delete(a.flights[e.User], i, i+1)
		if len(a.flights[e.User]) == 0 {
			delete(a.flights, e.User)
		}
	}
	if e.OK() {
		a.settle(e)
	}
}

// out takes a worker out: it is dead, or frozen.
func (l *Ledger) out(e trace.Event) {
	if e.Kind == Frozen {
		l.frozen[e.Worker] = true
	}
	for _, a := range l.dests {
		for _, flights := range a.flights {
			for i := range flights {
				flights[i].loose = flights[i].loose || flights[i].Worker == e.Worker
			}
		}
	}
}

// commit checks an accepted commit: the partition is one of those that its
// generation was assigned, it does not go back, and the newest change of each user
// below it is settled.
func (l *Ledger) commit(a *account, e trace.Event) {
	tp := e.TopicPartition()
	if !slices.Contains(a.assigned[member{e.Worker, e.Generation}], tp) {
		l.found(StrangerWrote, e, nil, "%v in generation %d", tp, e.Generation)
	}
	last := a.commit[tp]
	if e.Generation < last.generation {
		return // accepted before that generation began: only its answer is late
	}
	if e.Offset < last.offset {
		l.found(CommitBack, e, nil, "%v from %d to %d", tp, last.offset, e.Offset)
	}
	a.commit[tp] = committed{e.Offset, e.Generation}
	if a.newest[tp] == nil {
		a.newest[tp] = map[string]int64{}
	}
	list := l.written[tp]
	touched := map[string]bool{}
	i := a.checked[tp]
	for ; i < len(list) && list[i].offset < e.Offset; i++ {
		a.newest[tp][list[i].user] = list[i].offset
		touched[list[i].user] = true
	}
	a.checked[tp] = i
	for _, user := range slices.Sorted(maps.Keys(touched)) {
		if offset := a.newest[tp][user]; !l.isSettled(a, tp, user, offset) {
			l.found(Unsettled, e, l.about(e, user), "%v is committed up to %d, and the change of user %s at %d is not settled", tp, e.Offset, user, offset)
		}
	}
}

// isSettled reports whether a change, or a newer one of its user, is settled. A
// delete needs no call, and settles what came before it.
func (l *Ledger) isSettled(a *account, tp trace.TopicPartition, user string, offset int64) bool {
	deleted, ok := l.deletes[user]
	return a.settled[user][tp] > offset || ok && deleted >= offset
}

// found needs l.mu.
func (l *Ledger) found(name Name, e trace.Event, events []trace.Event, format string, args ...any) {
	l.report(Finding{Name: name, At: e.At, Destination: e.Destination, Worker: e.Worker, Text: fmt.Sprintf(format, args...), Trace: events})
}

// about is what the trace has of a user and of what could have settled it, up to e.
func (l *Ledger) about(e trace.Event, user string) []trace.Event {
	const most = 30
	var all []trace.Event
	for _, f := range l.events {
		mine := f.User == user || f.User == "" && (f.Kind != trace.Commit || f.TopicPartition() == e.TopicPartition())
		if mine && (f.Destination == e.Destination || f.Destination == "") {
			all = append(all, f)
		}
	}
	return all[max(0, len(all)-most):]
}
