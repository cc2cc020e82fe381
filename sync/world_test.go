package sync

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"usersync/metrics"
)

// world is a lane, one partition of changes and a destination, all in made-up
// time: a test says what the destination does with each call.
type world struct {
	now  time.Time
	lane *Lane
	log  []Change
	read int // the next offset to submit

	floor map[int]int // places held of each offset, of the lane in use
	owner int         // which lane it is: places of former ones mean nothing

	sent      *commit       // not answered yet
	accepts   time.Duration // how long a commit takes
	answered  time.Time
	committed commit
	suspects  []string // whom the former owner named
	suspected time.Time
	mapping   mappings

	flights []*flight
	late    []landing
	letters []*Letter
	holds   map[string]string // what the destination has of each user
	history []string          // every application, in order
	strict  bool              // e is required
	mapped  int               // how often a payload was made

	state     *store          // what is remembered; nil: nothing
	lossy     bool            // and may be lost
	chance    func(n int) int // what happens of n things
	untold    bool            // what is remembered is not compared with what the destination holds
	anonymize bool            // a delete sends something
	repeats   repeats
	start     int            // where the lane in use began to read
	newest    map[string]int // one more than the newest offset of each user that was ever delivered

	// delivered is one more than the offset of each user's change that the lane in
	// use delivered last.
	delivered map[string]int

	// answer says what becomes of a call.
	answer func(c *Call) reply
}

// reply is what the destination does with a call.
type reply struct {
	err     error
	takes   time.Duration
	applied bool
	lands   time.Duration // if positive: it is applied only that long after the call was sent
}

type flight struct {
	call  *Call
	reply reply
	end   time.Time
}

type landing struct {
	at   time.Time
	user string
	body string
}

// commit is what the next owner will know.
type commit struct {
	offset   int
	repeats  int
	controls []string
	suspects []string // inherited
	mapping  string   // of all that may have been sent since; mixed: of several owners
}

type testHold struct {
	w      *world
	owner  int
	offset int
}

func (h testHold) Release() {
	if h.owner != h.w.owner {
		return
	}
	h.w.floor[h.offset]--
	switch {
	case h.w.floor[h.offset] < 0:
		panic(fmt.Sprint("place released twice: ", h.offset))
	case h.w.floor[h.offset] == 0:
		delete(h.w.floor, h.offset)
	}
}

// Payload sends the column "v", with the mark of the mapping in use, and, if there is a
// column "e", that behind a comma. A "bad" v makes the payload invalid; an e that is unavailable is left out,
// or makes it invalid as well.
func (w *world) Payload(c *Change) (Payload, []Omission, error) {
	w.mapped++
	if c.Op == Delete {
		if w.anonymize {
			return Payload{User: c.User, Body: []byte(anonymous)}, nil, nil
		}
		return Payload{User: c.User}, nil, nil
	}
	if c.Columns.at("v") == "bad" {
		return Payload{}, nil, &InvalidError{Field: "v", Code: "missing"}
	}
	body := fmt.Append(nil, c.Columns.at("v"), w.mapping.inUse)
	e, ok := c.Columns.Get("e")
	switch u, unavailable := e.(Unavailable); {
	case unavailable && w.strict:
		return Payload{}, nil, &InvalidError{Field: "e", Code: u.reason()}
	case unavailable:
		return Payload{User: c.User, Body: body}, []Omission{{"e", u.reason()}}, nil
	case ok:
		body = fmt.Appendf(body, ",%v", e)
	}
	return Payload{User: c.User, Body: body}, nil, nil
}

var laneConfig = LaneConfig{
	Concurrency: 16,
	Timeout:     10 * time.Second,
	Retry: Retry{
		Initial: 200 * time.Millisecond, Multiplier: 2, Max: 30 * time.Second,
		GiveUpAfter: 15 * time.Minute, ConfirmAfter: time.Minute,
	},
	Release: Release{Budget: 50, Settle: 10 * time.Second},
}

func newWorld() *world {
	w := &world{
		now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), holds: map[string]string{}, floor: map[int]int{}, newest: map[string]int{},
		accepts: 50 * time.Millisecond,
		chance:  func(int) int { return 0 },
		answer:  func(*Call) reply { return reply{takes: 20 * time.Millisecond, applied: true} },
	}
	w.newLane()
	return w
}

func (w *world) newLane() {
	cfg := laneConfig
	cfg.Mapper = w
	cfg.Metrics = metrics.New(nil, "test").For("test")
	if w.state != nil {
		cfg.Delivered = w.state
	}
	w.lane = NewLane(cfg)
	w.owner++
	w.floor, w.delivered = map[int]int{}, map[string]int{}
}

// write appends a change to the log; a nil value deletes the user.
func (w *world) write(user string, v any) {
	c := Change{
		User: user, Op: Upsert, Columns: ColumnsOf(map[string]any{"v": v}),
		Position: Position{Topic: "users", Offset: int64(len(w.log))}, Written: w.now, Source: w.now,
	}
	if v == nil {
		c.Op, c.Columns = Delete, Columns{}
	}
	w.log = append(w.log, c)
}

// row appends a change with two columns.
func (w *world) row(user string, v, e any) {
	w.write(user, v)
	last := &w.log[len(w.log)-1]
	last.Columns = last.Columns.plus("e", e)
}

// frontier is what may be committed.
func (w *world) frontier() int {
	f := w.read
	for offset := range w.floor {
		f = min(f, offset)
	}
	return f
}

// submit gives the lane all that was written. possibly is as in Lane.Submit, for
// offsets below end.
func (w *world) submit(possibly time.Time, end int) {
	for ; w.read < len(w.log); w.read++ {
		c := w.log[w.read]
		c.Columns.values = slices.Clone(c.Columns.values)
		w.floor[w.read]++
		if slices.Contains(w.suspects, c.User) && w.suspected.After(w.now) {
			w.lane.Suspect(c.User, w.suspected)
		}
		w.lane.Submit(w.now, c, Place{c.Position, testHold{w, w.owner, w.read}}, Sent{w.read < end && !possibly.IsZero(), possibly, w.mapping.unknown})
	}
}

// note is the commit of this moment.
func (w *world) note() commit {
	c := commit{offset: w.frontier(), repeats: w.repeats.frontier()}
	c.mapping = w.mapping.note(c)
	c.controls, _ = w.lane.Controls(Position{Topic: "users"})
	if w.suspected.After(w.now) {
		c.suspects = w.suspects
	}
	return c
}

// commit sends what has changed since the last commit, one at a time.
func (w *world) commit() {
	if w.sent != nil && w.answered.After(w.now) {
		return
	}
	if w.sent != nil {
		w.committed, w.sent = *w.sent, nil
		w.lane.Announced(w.committed.controls)
	}
	next := w.note()
	if next.offset != w.committed.offset || next.repeats != w.committed.repeats || !slices.Equal(next.controls, w.committed.controls) || !slices.Equal(next.suspects, w.committed.suspects) {
		if w.state != nil {
			w.state.flush()
		}
		w.sent, w.answered = &next, w.now.Add(w.accepts)
	}
}

// turn lets everything happen that can happen now.
func (w *world) turn() {
	w.submit(time.Time{}, 0)
	w.submitRepeats(time.Time{}, 0)
	w.commit()
	for c := w.lane.Next(w.now); c != nil; c = w.lane.Next(w.now) {
		for _, f := range w.flights {
			if f.call.user.id == c.user.id && f.call.Started.Add(f.reply.takes).After(w.now) {
				panic("two calls in flight for " + c.user.id)
			}
		}
		w.back(c)
		r := w.answer(c)
		w.flights = append(w.flights, &flight{c, r, w.now.Add(r.takes)})
		if r.lands > 0 {
			w.late = append(w.late, landing{w.now.Add(r.lands), c.user.id, string(c.Payload.Body)})
		}
	}
	for l := w.lane.Letter(w.now); l != nil; l = w.lane.Letter(w.now) {
		w.letters = append(w.letters, l)
		w.lane.Written(w.now, l, true)
	}
	w.lane.Observe(w.now)
}

// step moves to the next thing that happens, at the latest to until, and
// reports whether there was one before it.
func (w *world) step(until time.Time) bool {
	w.turn()
	next := until
	for _, f := range w.flights {
		next = earliest(next, f.end)
	}
	for _, l := range w.late {
		next = earliest(next, l.at)
	}
	if w.sent != nil {
		next = earliest(next, w.answered)
	}
	if wake := w.lane.Wake(w.now); !wake.IsZero() {
		next = earliest(next, wake)
	}
	if next.Before(w.now) {
		next = w.now
	}
	w.advance(next)
	return next.Before(until)
}

// advance lets all happen that was to happen until now, which is the given time.
func (w *world) advance(now time.Time) {
	w.land(now)
	var ended []*flight
	w.flights = slices.DeleteFunc(w.flights, func(f *flight) bool {
		if f.end.After(w.now) {
			return false
		}
		ended = append(ended, f)
		return true
	})
	for _, f := range ended {
		if f.reply.applied {
			w.apply(f.call.user.id, string(f.call.Payload.Body))
		}
		if f.reply.err == nil {
			w.delivered[f.call.user.id] = int(f.call.Position.Offset) + 1
			w.newest[f.call.user.id] = max(w.newest[f.call.user.id], int(f.call.Position.Offset)+1)
		}
		w.lane.Done(w.now, f.call, f.reply.err)
	}
	w.truthful()
}

// land lets all land that was to land until the given time, with or without a lane.
func (w *world) land(now time.Time) {
	w.now = now
	w.late = slices.DeleteFunc(w.late, func(l landing) bool {
		if l.at.After(w.now) {
			return false
		}
		w.apply(l.user, l.body)
		return true
	})
}

// apply lets the destination take over what a payload says. It keeps an e that is
// left out.
func (w *world) apply(user, body string) {
	w.history = append(w.history, user+"="+body)
	if _, e, ok := strings.Cut(w.holds[user], ","); ok && !strings.Contains(body, ",") {
		body += "," + e
	}
	w.holds[user] = body
}

// run lets d pass.
func (w *world) run(d time.Duration) {
	for until := w.now.Add(d); w.step(until); {
	}
}
