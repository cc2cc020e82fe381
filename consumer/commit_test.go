package consumer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"

	"usersync/metrics"
	usync "usersync/sync"
)

func TestNoteRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := note{
			End:     rapid.Int64Min(0).Draw(t, "end"),
			Born:    rapid.IntMin(0).Draw(t, "born"),
			Drained: rapid.Bool().Draw(t, "drained"),
		}
		for _, bucket := range rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "control") {
			want.Control.add(bucket)
		}
		want.Sends = rapid.StringMatching(`([0-9a-f]{16})?`).Draw(t, "sends")
		if rapid.Bool().Draw(t, "read") {
			want.Last = mark{rapid.Int64Range(1, 1<<62).Draw(t, "next"), rapid.Int64().Draw(t, "at"), rapid.Uint32().Draw(t, "sum")}
		}
		got, ok := parseNote(want.String())
		if !ok || got != want {
			t.Fatalf("%q is read as %+v, %v; want %+v", want, got, ok, want)
		}
		if n := len(want.String()); n > 200 {
			t.Fatalf("%d bytes; a broker takes 4096 at most, and keeps one for each partition", n)
		}
	})
}

// TestForeignMetadata: what this program did not write says nothing of the last
// owner. Words that it does not know yet are a later version's.
func TestForeignMetadata(t *testing.T) {
	for s, want := range map[string]bool{
		"":                              false,
		"some text":                     false,
		"usersync/2 end=5 born=1":       false,
		"usersync/1 end=x born=1":       false,
		"usersync/1 end=5 born=":        false,
		"usersync/1 end=5 control=":     false,
		"usersync/1 control=3f,100":     false,
		"usersync/1 last=-1/0/0":        false,
		"usersync/1 last=5/0":           false,
		"usersync/1 last=5/0/123456789": false,
		"usersync/1 end=5 born=1 x":     true,
		" usersync/1\tend=5  born=1":    true,
	} {
		if n, ok := parseNote(s); ok != want || ok && n != (note{End: 5, Born: 1}) {
			t.Errorf("parseNote(%q) = %+v, %v, want %v", s, n, ok, want)
		}
	}
}

// FuzzParseNote: any group tool can write any metadata.
func FuzzParseNote(f *testing.F) {
	f.Add("")
	f.Add("usersync/1 end=10000 born=3 drained control=3f,a0 sends=5f0e1d2c3b4a5968 last=41/1767225600000/0a1b2c3d")
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := parseNote(s)
		if !ok {
			if n != (note{}) {
				t.Errorf("%+v of what cannot be read", n)
			}
			return
		}
		if again, ok := parseNote(n.String()); !ok || again != n {
			t.Errorf("%+v, then %+v", n, again)
		}
	})
}

// TestInherit is what a new owner believes of the last one (G1).
func TestInherit(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := now.Add
	for name, test := range map[string]struct {
		metadata string
		end      int64
		until    time.Time
	}{
		"another tool's":             {"", math.MaxInt64, at(time.Minute)},
		"it did not come to its end": {note{End: 500}.String(), 500, at(time.Minute)},
		"it drained":                 {note{End: 500, Drained: true}.String(), 0, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			var p owned
			p.inherit(now, Committed{Offset: 40, Metadata: test.metadata}, time.Minute)
			if p.front.offset() != 40 || p.committed != 40 || p.start != 40 {
				t.Errorf("starts at %d, %d, %d; want 40", p.front.offset(), p.committed, p.start)
			}
			if p.end != 0 {
				t.Errorf("calls may be made up to %d before anything was announced", p.end)
			}
			if got, want := p.sent(test.end-1), (usync.Sent{Possibly: true, Until: test.until, Remapped: true}); test.end > 0 && got != want {
				t.Errorf("the last change in doubt is %+v, want %+v", got, want)
			}
			if got := p.sent(test.end); got.Possibly && test.end < math.MaxInt64 {
				t.Errorf("offset %d is in doubt: %+v", test.end, got)
			}
		})
	}
}

// TestDoubtIsHandedOn: an owner that ends before it has read what the one before
// it may have sent leaves that doubt to the next. Else a call of a killed worker
// could land after two quick rebalances, and nobody would look (G1).
func TestDoubtIsHandedOn(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	killed := Committed{Offset: 100, Metadata: note{End: 20_000}.String()}
	until := now.Add(time.Minute)
	var p owned
	p.inherit(now, killed, time.Minute)
	p.front.advance(200)
	later := now.Add(5 * time.Second)

	if n := p.note(later); n.End != 20_000 || n.Drained {
		t.Errorf("note %+v, want the end that was inherited: 20000", n)
	}
	if n := p.lastNote(later, false); n.End != 20_000 || n.Drained {
		t.Errorf("last note %+v, want doubt up to 20000", n)
	}
	// What cannot be applied any more may have been: the state of the user is as of before.
	if n := p.lastNote(until, false); n.End != 20_000 || n.Drained {
		t.Errorf("last note %+v, want doubt up to 20000 also when no call can land any more", n)
	}
	p.hears(300)
	if n := p.lastNote(later, false); n.End != 300 || n.Drained {
		t.Errorf("last note %+v, want doubt up to the end of the log when it was taken over", n)
	}
	p.hears(400)
	if n := p.lastNote(later, false); n.End != 300 {
		t.Errorf("last note %+v: what came later was not sent by a former owner", n)
	}
	if n := p.lastNote(until, true); n.Drained {
		t.Errorf("last note %+v in a doubt of its own", n)
	}
	p.front.advance(20_000)
	if n := p.lastNote(later, false); !n.Drained {
		t.Errorf("last note %+v: all of it was read, so the lane knows its doubts", n)
	}
	if n := p.note(later); n.End != 20_000+headroom {
		t.Errorf("note %+v, want an end ahead of what was read", n)
	}
}

// requests records what a committer sends, and answers as told.
type requests struct {
	sent  []CommitRequest
	codes map[TopicPartition]kafka.Error // 0 unless listed; -1: no answer
	err   error
}

func (r *requests) commit(_ context.Context, req CommitRequest) (map[TopicPartition]kafka.Error, error) {
	r.sent = append(r.sent, req)
	if r.err != nil {
		return nil, r.err
	}
	codes := map[TopicPartition]kafka.Error{}
	for _, p := range req.Partitions {
		if code := r.codes[p.TopicPartition]; code != -1 {
			codes[p.TopicPartition] = code
		}
	}
	return codes, nil
}

// offsets is what the last request commits.
func (r *requests) offsets() map[int]int64 {
	offsets := map[int]int64{}
	for _, p := range r.sent[len(r.sent)-1].Partitions {
		offsets[p.Partition] = p.Offset
	}
	return offsets
}

// part is an owned partition that has registered up to position, may call up to
// end, and has committed.
func part(id int, committed, position, end int64) *owned {
	p := &owned{TopicPartition: TopicPartition{"users", id}, committed: committed, end: end}
	p.front.advance(position)
	return p
}

func TestCommitterSends(t *testing.T) {
	held := part(0, 10, 20, 20+headroom)
	held.front.hold(20)
	halted, added := part(1, 10, 20, 20+headroom), part(2, -1, 0, 0)
	halted.halt, added.added = &Halt{}, true
	for name, test := range map[string]struct {
		part *owned
		all  bool
		want map[int]int64
	}{
		"what moved":                         {part(0, 10, 20, 20+headroom), false, map[int]int64{0: 20}},
		"up to what is held":                 {held, false, map[int]int64{0: 20}},
		"not what did not move":              {part(0, 20, 20, 20+headroom), false, nil},
		"that too, when everything is asked": {part(0, 20, 20, 20+headroom), true, map[int]int64{0: 20}},
		"never less than was accepted":       {part(0, 30, 20, 20+headroom), true, map[int]int64{0: 30}},
		"a new end when the old one is near": {part(0, 20, 20, 20+headroom/2), false, map[int]int64{0: 20}},
		"nothing of a halted partition":      {halted, true, nil},
		"nothing of one that waits its turn": {added, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var r requests
			c := committer{request: r.commit, group: "g", id: 7, member: "m", answers: make(chan commitAnswer, 1)}
			sent := c.send(t.Context(), time.Now(), []*owned{test.part}, test.all, func(p *owned) (note, []string) { return p.note(time.Now()), nil })
			if sent != (test.want != nil) || c.pending != sent {
				t.Fatalf("sent %v, pending %v, want %v", sent, c.pending, test.want)
			}
			if !sent {
				return
			}
			<-c.answers
			if got := r.offsets(); !maps.Equal(got, test.want) {
				t.Errorf("committed %v, want %v", got, test.want)
			}
			req := r.sent[0]
			if req.Group != "g" || req.Generation != 7 || req.Member != "m" {
				t.Errorf("as %s, %d, %s", req.Group, req.Generation, req.Member)
			}
			n, ok := parseNote(req.Partitions[0].Metadata)
			if !ok || n.Drained || n.End != test.part.front.position+headroom {
				t.Errorf("note %+v, %v", n, ok)
			}
		})
	}
}

// proving returns a generation that does nothing but commit.
func proving(t *testing.T, r *requests, parts ...*owned) *generation {
	cfg := &Config{Metrics: metrics.New(nil, "test").For("test"), Log: slog.New(slog.DiscardHandler)}
	g := &generation{Config: cfg, p: &Pipeline{}, gen: &kafka.Generation{}, parts: parts, byName: map[TopicPartition]*owned{}, lease: lease{length: 20 * time.Second}}
	g.lane = usync.NewLane(usync.LaneConfig{Metrics: cfg.Metrics})
	g.commit = committer{request: r.commit, answers: make(chan commitAnswer, 1)}
	for _, p := range parts {
		g.byName[p.TopicPartition] = p
	}
	g.callCtx, g.kill = context.WithCancel(t.Context())
	g.stateCtx, g.unwrite = context.WithCancel(t.Context())
	t.Cleanup(g.kill)
	t.Cleanup(g.unwrite)
	return g
}

// turn is one turn of the loop, as far as commits go; it reports whether one was
// sent and answered.
func (g *generation) turn() bool {
	g.prove(time.Now())
	if !g.commit.pending {
		return false
	}
	g.answered(<-g.commit.answers)
	return true
}

// TestAnswersAreTakenByPartition: only what was accepted counts, and only that
// proves membership (G2, G7).
func TestAnswersAreTakenByPartition(t *testing.T) {
	zero, one := TopicPartition{"users", 0}, TopicPartition{"users", 1}
	for name, test := range map[string]struct {
		codes               map[TopicPartition]kafka.Error
		err                 error
		committed           []int64
		lease, again, ended bool
	}{
		"both accepted":    {committed: []int64{20, 20}, lease: true},
		"one not accepted": {codes: map[TopicPartition]kafka.Error{one: kafka.UnknownTopicOrPartition}, committed: []int64{20, 10}, lease: true, again: true},
		"one not answered": {codes: map[TopicPartition]kafka.Error{zero: -1}, committed: []int64{10, 20}, lease: true, again: true},
		"none answered":    {codes: map[TopicPartition]kafka.Error{zero: -1, one: -1}, committed: []int64{10, 10}, again: true},
		"no answer":        {err: errors.New("connection lost"), committed: []int64{10, 10}, again: true},
		"the generation over": {
			codes:     map[TopicPartition]kafka.Error{zero: kafka.IllegalGeneration, one: kafka.IllegalGeneration},
			committed: []int64{10, 10}, ended: true,
		},
		"not a member any more": {
			codes:     map[TopicPartition]kafka.Error{zero: kafka.UnknownMemberId, one: kafka.UnknownMemberId},
			committed: []int64{10, 10}, ended: true,
		},
		"another one of that name": {
			codes:     map[TopicPartition]kafka.Error{zero: kafka.FencedInstanceID, one: kafka.FencedInstanceID},
			committed: []int64{10, 10}, ended: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := proving(t, &requests{codes: test.codes, err: test.err}, part(0, 10, 20, 0), part(1, 10, 20, 0))
				if !g.turn() {
					t.Fatal("nothing was committed")
				}
				for i, p := range g.parts {
					if p.committed != test.committed[i] {
						t.Errorf("partition %d: %d counts as committed, want %d", i, p.committed, test.committed[i])
					}
					if accepted := p.committed == 20; accepted != (p.end == 20+headroom) {
						t.Errorf("partition %d: calls may be made up to %d, accepted %v", i, p.end, accepted)
					}
				}
				if g.lease.valid() != test.lease || g.commit.failed != test.again || g.evicted != test.ended {
					t.Errorf("lease %v, failed %v, evicted %v", g.lease.valid(), g.commit.failed, g.evicted)
				}
				if (g.callCtx.Err() != nil) != test.ended {
					t.Errorf("calls in flight cancelled: %v", g.callCtx.Err())
				}
			})
		})
	}
}

// TestCommitsInTime: soon after a failure, at most once a second otherwise, and
// every five seconds although nothing moved, to keep the lease.
func TestCommitsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := requests{err: errors.New("connection lost")}
		p := part(0, -1, 20, 0)
		g := proving(t, &r, p)
		happens := map[time.Duration]func(){
			300 * time.Millisecond:  func() { r.err = nil },
			2 * time.Second:         func() { p.front.advance(21) },
			2500 * time.Millisecond: func() { p.front.advance(22) },
		}
		began := time.Now()
		var at []time.Duration
		for passed := time.Duration(0); passed < 9*time.Second; passed = time.Since(began) {
			if now := happens[passed]; now != nil {
				now()
			}
			if g.turn() {
				at = append(at, passed)
			}
			time.Sleep(100 * time.Millisecond)
		}
		want := []time.Duration{0, 200, 400, 2000, 3000, 5400}
		for i := range want {
			want[i] *= time.Millisecond
		}
		if !slices.Equal(at, want) {
			t.Errorf("committed at %v, want %v", at, want)
		}
	})
}

// TestLoopWakesWhileALetterIsWritten: a dead-letter topic that does not answer
// must not slow the other users down to a commit's pace (G5).
func TestLoopWakesWhileALetterIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := proving(t, &requests{}, part(0, 10, 20, 0))
		g.turn()
		g.lane = usync.NewLane(usync.LaneConfig{Metrics: g.Metrics, Concurrency: 1})
		now := time.Now()
		g.lane.SetRate(now, 10)
		g.lane.Submit(now, usync.Change{User: "1", Op: usync.Delete}, usync.Place{Hold: &place{}}, usync.Sent{})
		g.writing = true
		if d := g.sleep(now); d != 0 {
			t.Errorf("sleeps for %v although a change could go now", d)
		}
	})
}
