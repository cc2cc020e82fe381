package sync

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// garbage gives the lane a record that nobody understands, and returns its place.
func (w *world) garbage(partition int) Position {
	at := Position{Topic: "users", Partition: partition, Offset: int64(w.read)}
	w.log = append(w.log, Change{Op: Delete, Position: at})
	w.floor[w.read]++
	w.lane.Undecodable(at, w.now, "not_json", testHold{w, w.owner, w.read})
	w.read++
	return at
}

// reads gives the lane the next record of a partition with a row that has a
// payload, and settles it.
func (w *world) reads(partition int) {
	at := Position{Topic: "users", Partition: partition, Offset: int64(w.read)}
	w.log = append(w.log, Change{Op: Delete, Position: at})
	w.read++
	w.lane.bad.decoded(w.now, evidence{at, w.now}, &w.lane.release)
	w.lane.mapped(w.now, &Change{Op: Upsert, Position: at, Written: w.now})
}

// TestUndecodableNeedsALaterOne: as long as nothing after it decodes, it is as
// likely the topic that has changed its format (G4).
func TestUndecodableNeedsALaterOne(t *testing.T) {
	w := newWorld()
	w.lane.release.Budget = 0
	w.submitOne("before", "v")
	first := w.garbage(0)
	w.pass(time.Minute)
	for range 10_000 {
		w.garbage(0)
	}
	w.garbage(1)
	w.run(time.Hour)
	if len(w.letters) > 0 || w.frontier() != int(first.Offset) {
		t.Fatalf("%d letters, frontier %d, before anything else has decoded", len(w.letters), w.frontier())
	}
	if n := len(w.floor); n > 2 {
		t.Errorf("%d places held for two runs", n)
	}
	for what, c := range map[string]Change{
		"a record of another topic": {User: "x", Op: Upsert, Position: Position{Topic: "another", Offset: 1e6}, Written: w.now},
		"an older record":           {User: "x", Op: Upsert, Position: Position{Topic: "users", Partition: 2, Offset: 1e6}, Written: w.now.Add(-time.Hour - 1)},
		"a tombstone":               {User: "x", Op: Delete, Position: Position{Topic: "users", Offset: 1e6}, Written: w.now},
	} {
		w.lane.Submit(w.now, c, Place{c.Position, testHold{w, -1, 0}}, Sent{})
		w.run(time.Minute)
		if len(w.letters) > 0 {
			t.Fatalf("%s counts as proof", what)
		}
	}
	w.reads(2)
	w.run(time.Minute)
	if len(w.letters) != 2 {
		t.Fatalf("%d letters, want one for each partition's run", len(w.letters))
	}
	if l := w.letters[0]; l.From != first || l.To.Offset != first.Offset+10_000 || l.count != 10_001 || l.Code != "not_json" || l.Reason != reasonUndecodable {
		t.Errorf("letter %+v", l)
	}
	w.settled(t)
}

// TestUndecodableCountsByRecord: the budget is about records, not about runs.
func TestUndecodableCountsByRecord(t *testing.T) {
	for n, released := range map[int]bool{50: true, 51: false} {
		w := newWorld()
		for range n {
			w.garbage(0)
		}
		w.reads(0)
		w.run(time.Hour)
		if got := len(w.letters) == 1; got != released {
			t.Errorf("%d records with a budget of 50: released %v", n, got)
		}
	}
}

// TestUndecodableRunsAreBounded: every other record is bad, and none may be
// written. What is kept does not grow (G6); each bad one is in a letter.
func TestUndecodableRunsAreBounded(t *testing.T) {
	w := newWorld()
	for range 5000 {
		w.garbage(0)
		w.reads(0) // a good one between them
	}
	if n := len(w.floor); n != longestList {
		t.Errorf("%d places held, want %d", n, longestList)
	}
	if n := w.lane.bad.records; n != 5000 {
		t.Errorf("%d records counted", n)
	}
	w.lane.release.Budget = 0
	w.run(time.Minute)
	covered := map[int64]bool{}
	records := 0
	for _, l := range w.letters {
		records += l.count
		for o := l.From.Offset; o <= l.To.Offset; o++ {
			if covered[o] {
				t.Fatalf("offset %d is in two letters", o)
			}
			covered[o] = true
		}
	}
	if records != 5000 {
		t.Errorf("%d records in letters", records)
	}
	for o := int64(0); o < 10_000; o += 2 {
		if !covered[o] {
			t.Fatalf("offset %d is in no letter", o)
		}
	}
	w.settled(t)
}

// TestGrownRunIsProvenAgain: a run that grows past good records, since there are
// too many, is not written before something after its end was read (G4).
func TestGrownRunIsProvenAgain(t *testing.T) {
	w := newWorld()
	w.lane.release.Budget = 0
	for range longestList {
		w.garbage(0)
		w.reads(0)
	}
	last := w.garbage(0)
	w.run(time.Hour)
	if len(w.letters) != longestList-1 || w.frontier() != int(last.Offset)-2 {
		t.Errorf("%d letters, frontier %d: nothing proves that the last record is at fault", len(w.letters), w.frontier())
	}
	w.reads(0)
	w.run(time.Minute)
	if n := len(w.letters); n != longestList || w.letters[n-1].To != last {
		t.Errorf("%d letters, want %d", n, longestList)
	}
	w.settled(t)
}

// TestUndecodableWhileWriting: a run whose letter is being written does not grow,
// or what is added would pass unwritten (G2).
func TestUndecodableWhileWriting(t *testing.T) {
	w := newWorld()
	first := w.garbage(0)
	w.reads(0)
	w.pass(10 * time.Second)
	w.lane.bad.runs[partition{"users", 0}] = longestList // as if there were many
	l := w.lane.Letter(w.now)
	if l == nil || l.From != first {
		t.Fatalf("letter %+v", l)
	}
	second := w.garbage(0)
	w.wrote(l, true)
	if l.To != first || w.frontier() != int(second.Offset) {
		t.Errorf("the letter reaches to %v, frontier %d: the second record is lost", l.To, w.frontier())
	}
}

// TestUndecodableAccounts holds places, counts and letters against a list of
// records, in any order of events.
func TestUndecodableAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.lane.release.Budget = rapid.SampledFrom([]int{0, 3}).Draw(t, "budget")
		waiting := map[Position]bool{}
		var writing *Letter
		next := func() *Letter {
			if writing == nil {
				writing = w.lane.Letter(w.now)
			}
			return writing
		}
		t.Repeat(map[string]func(*rapid.T){
			"bad": func(t *rapid.T) {
				for range rapid.IntRange(1, 3).Draw(t, "n") {
					waiting[w.garbage(rapid.IntRange(0, 1).Draw(t, "partition"))] = true
				}
			},
			"good":   func(t *rapid.T) { w.reads(rapid.IntRange(0, 2).Draw(t, "partition")) },
			"pass":   func(t *rapid.T) { w.pass(time.Duration(rapid.IntRange(1, 12).Draw(t, "s")) * time.Second) },
			"write":  func(*rapid.T) { next() },
			"accept": func(*rapid.T) { w.lane.release.Budget = 0 },
			"written": func(t *rapid.T) {
				l := next()
				if l == nil {
					return
				}
				writing = nil
				ok := rapid.Bool().Draw(t, "ok")
				n := 0
				for at := range waiting {
					if at.SamePartition(l.From) && at.Offset >= l.From.Offset && at.Offset <= l.To.Offset {
						if n++; ok {
							delete(waiting, at)
						}
					}
				}
				if n != l.count {
					t.Fatalf("the letter counts %d records, %d of its range wait", l.count, n)
				}
				w.wrote(l, ok)
			},
			"": func(t *rapid.T) {
				if w.lane.bad.records != len(waiting) {
					t.Fatalf("%d records counted, %d wait", w.lane.bad.records, len(waiting))
				}
				want := w.read
				for at := range waiting {
					want = min(want, int(at.Offset))
				}
				if got := w.frontier(); got != want {
					t.Fatalf("frontier %d, want %d: %v", got, want, fmt.Sprint(w.floor))
				}
			},
		})
	})
}
