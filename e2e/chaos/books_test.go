package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

// people are all users by what traces call them.
var people = sync.OnceValue(func() map[string]int {
	all := map[string]int{}
	for id := 1; id <= marked; id++ {
		all[worker.Hash(strconv.Itoa(id))] = id
	}
	return all
})

// change is a record of the topic.
type change struct {
	id      int
	name    string // with single blanks; "" of a delete
	poison  string // the destination whose vendor rejects it
	deleted bool
	record  *kgo.Record // of poison: what its dead letter has to hold
}

// topic is what is in the topic so far. Its reader writes it, beside all others.
type topic struct {
	mu      sync.Mutex
	changes map[trace.TopicPartition][]change // index is the offset
	fresh   map[trace.TopicPartition][]trace.Event
	err     error
}

func newTopic() *topic {
	return &topic{changes: map[trace.TopicPartition][]change{}, fresh: map[trace.TopicPartition][]trace.Event{}}
}

// take takes the next record of a partition.
func (t *topic) take(r *kgo.Record) {
	c, err := read(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	tp := trace.TopicPartition{Topic: r.Topic, Partition: int(r.Partition)}
	if err == nil && r.Offset != int64(len(t.changes[tp])) {
		err = fmt.Errorf("it follows the one at %d", len(t.changes[tp])-1)
	}
	if err != nil && t.err == nil {
		t.err = fmt.Errorf("record at %d of %v: %w", r.Offset, tp, err)
	}
	t.changes[tp] = append(t.changes[tp], c)
	// The producer's time: it is from before the broker had the record.
	e := trace.Event{At: r.Timestamp, Kind: ledger.Wrote, Topic: tp.Topic, Partition: tp.Partition, Offset: r.Offset, User: worker.Hash(strconv.Itoa(c.id))}
	if c.deleted {
		e.Outcome = ledger.Deleted
	}
	t.fresh[tp] = append(t.fresh[tp], e)
}

func read(r *kgo.Record) (change, error) {
	var key struct{ ID int }
	if err := json.Unmarshal(r.Key, &key); err != nil {
		return change{}, err
	}
	c := change{id: key.ID, deleted: true}
	var value struct {
		After *struct {
			Name  *string `json:"full_name"`
			Email *string `json:"email"`
		}
	}
	if r.Value == nil { // the tombstone after a delete
		return c, nil
	}
	if err := json.Unmarshal(r.Value, &value); err != nil || value.After == nil {
		return c, err
	}
	c.deleted = false
	if value.After.Name != nil {
		c.name = words(*value.After.Name)
	}
	for _, d := range vendors.Destinations {
		if value.After.Email != nil && *value.After.Email == poison(d) {
			c.poison, c.record = d, keep(r)
		}
	}
	return c, nil
}

// drain returns what was written since it was last asked.
func (t *topic) drain() map[trace.TopicPartition][]trace.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := t.fresh
	t.fresh = map[trace.TopicPartition][]trace.Event{}
	return fresh
}

// end is up to where a partition is known.
func (t *topic) end(tp trace.TopicPartition) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(len(t.changes[tp]))
}

// ends are those of all partitions.
func (t *topic) ends() map[trace.TopicPartition]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[trace.TopicPartition]int64{}
	for tp, changes := range t.changes {
		all[tp] = int64(len(changes))
	}
	return all
}

// at is a change; one that is not known is nobody's.
func (t *topic) at(tp trace.TopicPartition, offset int64) change {
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset < 0 || offset >= int64(len(t.changes[tp])) {
		return change{}
	}
	return t.changes[tp][offset]
}

// without says which partitions have no change to a name, from these offsets on.
func (t *topic) without(name string, from map[trace.TopicPartition]int64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for tp, changes := range t.changes {
		if !slices.ContainsFunc(changes[from[tp]:], func(c change) bool { return c.name == name }) {
			all = append(all, fmt.Sprint(tp))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// delay is how late an event may be written after its time, and still go before
// what came after it. A frozen worker writes when it thaws, and is waited for.
const delay = 3 * time.Second

// reach is the longest freeze, the latest that a vendor applies a call, a silent link,
// and what all of it takes on a machine that is busy.
const reach = 18*time.Second + 10*time.Second + 4*time.Second + 8*time.Second

// books merge what the workers, the vendors, the topic and the runner say into one
// trace, a moment late, and give it to the ledger and the probes. They are for one
// goroutine.
type books struct {
	*ledger.Ledger
	topic      *topic
	regression *ledger.Regression
	blame      *ledger.Blame
	judged     *ledger.Letters
	events     map[string][]trace.Event // what waits to be merged, by source
	next       map[string]int           // in the vendors' feeds; the rounds of a ground read on
	seen       map[string]map[int]bool  // the calls of those that were noted
	calls      map[carrier][]trace.Event
	delivered  map[delivery]bool
	unchanged  map[string]int // by destination: changes that needed no call
	letters    []trace.Event
	callers    string               // what the names of the round's workers begin with
	unknown    []saved              // applied, and by no call so far
	regrouped  map[string]time.Time // by destination: when it was last noted that partitions were taken or left
	accepted   map[owned]time.Time  // when it was last noted that a commit was accepted
	repeats    func(trace.Event)    // is told of each call that repeats a delivered change
}

// carrier is whose calls they are, and about whom.
type carrier struct{ worker, destination, user string }

// saved is what a vendor has saved, by the name it holds since.
type saved struct {
	trace.Event
	name string
}

type owned struct {
	destination string
	tp          trace.TopicPartition
}

type delivery struct {
	destination string
	tp          trace.TopicPartition
	offset      int64
}

func newBooks(t *topic, next map[string]int, callers string, report func(ledger.Finding), repeats func(trace.Event)) *books {
	poison := func(wrote trace.Event) []string {
		if d := t.at(wrote.TopicPartition(), wrote.Offset).poison; d != "" {
			return []string{d}
		}
		return nil
	}
	return &books{
		Ledger: ledger.New(report), topic: t, callers: callers,
		regression: ledger.NewRegression(reach, report), blame: ledger.NewBlame(report), judged: ledger.NewLetters(report, poison),
		events: map[string][]trace.Event{}, next: next, seen: map[string]map[int]bool{},
		calls: map[carrier][]trace.Event{}, delivered: map[delivery]bool{}, unchanged: map[string]int{}, regrouped: map[string]time.Time{}, accepted: map[owned]time.Time{}, repeats: repeats,
	}
}

// tell notes what the runner did to a worker.
func (b *books) tell(kind trace.Kind, name string, at time.Time) {
	b.events["runner"] = append(b.events["runner"], trace.Event{At: at, Kind: kind, Worker: name})
}

// read takes what a worker has written.
func (b *books) read(events []trace.Event, name string) {
	for i := range events {
		events[i].Worker = name // its own name for itself is not known to the vendors
	}
	b.events[name] = append(b.events[name], events...)
}

// ask takes what the vendors have saved.
func (b *books) ask(v *vendors.Vendors) {
	for _, d := range vendors.Destinations {
		var calls []vendors.Call
		calls, b.next[d] = v.Feed(d, b.next[d])
		if b.seen[d] == nil {
			b.seen[d] = map[int]bool{}
		}
		for _, c := range calls {
			if c.Order == 0 || b.seen[d][c.Seq] || !strings.HasPrefix(c.Caller, b.callers) {
				continue
			}
			b.seen[d][c.Seq] = true
			// Which change it was is found when the calls before it are known.
			b.events[d] = append(b.events[d], trace.Event{
				At: c.Applied, Kind: ledger.Applied, Worker: c.Caller, Destination: d, User: worker.Hash(c.User), Outcome: c.Name(),
			})
		}
	}
}

// merge notes everything up to delay ago, or to a time before that at which a worker
// was frozen that is still so.
func (b *books) merge(until time.Time) {
	for tp, fresh := range b.topic.drain() {
		source := fmt.Sprint(tp)
		b.events[source] = append(b.events[source], fresh...)
		for _, e := range fresh {
			b.judged.Note(e) // now, since who has to be judged is asked before it is merged
		}
	}
	for _, source := range b.events {
		for _, e := range source {
			if e.At.After(until) {
				break
			}
			if e.Topic != "" && e.Kind != ledger.Wrote && e.Offset > b.topic.end(e.TopicPartition()) {
				until = e.At.Add(-1) // the reader of the topic has not come so far
				break
			}
		}
	}
	var due [][]trace.Event
	for _, name := range slices.Sorted(maps.Keys(b.events)) {
		source := b.events[name]
		n := slices.IndexFunc(source, func(e trace.Event) bool { return e.At.After(until) })
		if n < 0 {
			n = len(source)
		}
		if n > 0 {
			due = append(due, source[:n])
		}
		if b.events[name] = source[n:]; n == len(source) {
			delete(b.events, name)
		}
	}
	for _, e := range ledger.Merge(ledger.Tick, due...) {
		b.note(e)
	}
}

func (b *books) note(e trace.Event) {
	who := carrier{e.Worker, e.Destination, e.User}
	at := delivery{e.Destination, e.TopicPartition(), e.Offset}
	switch e.Kind {
	case trace.Call:
		b.calls[who] = append(b.calls[who], e)
		if b.delivered[at] {
			b.repeats(e)
		}
	case trace.Called:
		if e.OK() {
			b.delivered[at] = true
		}
	case trace.Unchanged:
		b.unchanged[e.Destination]++
		b.delivered[at] = true // what it would have sent was, by an earlier change
	case trace.Assigned, trace.Revoked:
		b.regrouped[e.Destination] = time.Now()
	case trace.Commit:
		if e.OK() {
			b.accepted[owned{e.Destination, e.TopicPartition()}] = time.Now()
		}
	case trace.Letter:
		b.letters = append(b.letters, e)
		b.judged.Note(e)
	case ledger.Applied:
		s := saved{e, e.Outcome}
		s.Outcome = ""
		if returns(people()[e.User]) {
			return
		}
		if !b.resolve(&s) {
			b.unknown = append(b.unknown, s)
			return
		}
		e = s.Event
	default: // the ledger's and the probes'
	}
	b.Note(e)
	b.regression.Note(e)
	b.blame.Note(e)
}

// resolve finds the change that a vendor has saved: the newest that the caller had
// begun a call for and that has this name. It reports false if there is none.
func (b *books) resolve(s *saved) bool {
	for _, c := range slices.Backward(b.calls[carrier{s.Worker, s.Destination, s.User}]) {
		if b.topic.at(c.TopicPartition(), c.Offset).name == s.name {
			s.Topic, s.Partition, s.Offset = c.Topic, c.Partition, c.Offset
			return true
		}
	}
	return false
}

// end reports what is wrong now that nothing more will come.
func (b *books) end(report func(ledger.Finding)) {
	b.regression.End()
	for _, s := range b.unknown {
		if b.resolve(&s) {
			continue // a busy worker has written its line after it was read
		}
		report(ledger.Finding{
			Name: ledger.Uncarried, At: s.At, Destination: s.Destination, Worker: s.Worker,
			Text:  fmt.Sprintf("user %s, by no call that its trace knows", s.User),
			Trace: b.calls[carrier{s.Worker, s.Destination, s.User}],
		})
	}
}

// TestUncarried: what a vendor has saved must have come by a call, of which the trace
// may tell late.
func TestUncarried(t *testing.T) {
	all := newTopic()
	tp := trace.TopicPartition{Topic: "users"}
	all.changes[tp] = []change{{id: 1, name: "first"}, {id: 1, name: "second"}}
	event := func(kind trace.Kind, offset int64, outcome string) trace.Event {
		return trace.Event{Kind: kind, Worker: "w1-1", Destination: vendors.TapTalk, Topic: "users", Offset: offset, User: worker.Hash("1"), Outcome: outcome}
	}
	for applied, want := range map[string]int{"first": 0, "second": 0, "third": 1} {
		found := map[ledger.Name]int{}
		report := func(f ledger.Finding) { found[f.Name]++ }
		b := newBooks(all, map[string]int{}, "w1-", report, func(trace.Event) {})
		b.note(trace.Event{Kind: trace.Assigned, Worker: "w1-1", Destination: vendors.TapTalk, Partitions: []trace.TopicPartition{tp}})
		b.note(event(trace.Call, 0, ""))
		b.note(trace.Event{Kind: ledger.Applied, Worker: "w1-1", Destination: vendors.TapTalk, User: worker.Hash("1"), Outcome: applied})
		b.note(event(trace.Called, 0, trace.OK))
		b.note(event(trace.Call, 1, ""))
		b.end(report)
		if found[ledger.Uncarried] != want || len(found) != want {
			t.Errorf("%q: %v, want %d", applied, found, want)
		}
	}
}
