package sync

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFifoIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q fifo
		var model []*user
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				u := &user{id: fmt.Sprint(rapid.Int().Draw(t, "id"))}
				q.push(u)
				model = append(model, u)
			},
			"pop": func(t *rapid.T) {
				got := q.pop()
				if len(model) == 0 {
					if got != nil {
						t.Fatalf("%v out of nothing", got.id)
					}
					return
				}
				if got != model[0] {
					t.Fatalf("%v, want %v", got, model[0].id)
				}
				model = model[1:]
			},
			"": func(t *rapid.T) {
				if q.len() != len(model) {
					t.Fatalf("length %d, want %d", q.len(), len(model))
				}
			},
		})
	})
}

func TestAlarmsRingInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a alarms
		now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		var set []time.Time
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				at := now.Add(time.Duration(rapid.IntRange(-5, 50).Draw(t, "in")) * time.Second)
				a.set(at, &user{due: at})
				set = append(set, at)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "for")) * time.Second)
			},
			"ring": func(t *rapid.T) {
				slices.SortFunc(set, time.Time.Compare)
				for u := a.due(now); u != nil; u = a.due(now) {
					if len(set) == 0 || !u.due.Equal(set[0]) || u.due.After(now) {
						t.Fatalf("alarm of %v at %v, want one of %v", u.due, now, set)
					}
					set = set[1:]
				}
				if len(set) > 0 && !set[0].After(now) {
					t.Fatalf("%v did not ring at %v", set[0], now)
				}
			},
			"": func(t *rapid.T) {
				var want time.Time
				if len(set) > 0 {
					want = slices.MinFunc(set, time.Time.Compare)
				}
				if !a.next().Equal(want) {
					t.Fatalf("next at %v, want %v", a.next(), want)
				}
			},
		})
	})
}

// TestQueuesTakeTurns: those who fail again and again must not starve new
// arrivals, nor the other way round; and a user that changes keeps its turn (G5).
func TestQueuesTakeTurns(t *testing.T) {
	w := newWorld()
	w.lane.cfg.Concurrency = 1
	for i := range 4 {
		w.submitOne(fmt.Sprint("old", i), "v")
		w.end(w.call(t, fmt.Sprint("old", i), "v"), &CallError{Verdict: Failed, Code: "http_503"})
	}
	w.lane.blame.held = false
	w.pass(time.Minute)
	for i := range 4 {
		w.submitOne(fmt.Sprint("new", i), "v")
	}
	w.submitOne("new0", "v2")
	var order []string
	for c := w.lane.Next(w.now); c != nil; c = w.lane.Next(w.now) {
		if again := w.lane.Next(w.now); again != nil {
			t.Fatal("two calls at a concurrency of one")
		}
		order = append(order, c.user.id[:3])
		if len(order) == 2 && c.user.id != "new0" && order[1] == "new" {
			t.Errorf("%s before new0: a change must not cost a user its turn", c.user.id)
		}
		w.end(c, nil)
	}
	for i := 0; i+1 < len(order); i += 2 {
		if order[i] == order[i+1] {
			t.Errorf("order %v, want both kinds in turn", order)
			break
		}
	}
	if len(order) != 8 {
		t.Errorf("%d calls, want 8", len(order))
	}
}

// BenchmarkLaneSubmitSettle is what a change costs beside its call.
func BenchmarkLaneSubmitSettle(b *testing.B) {
	for name, others := range map[string]int{"alone": 0, "among 100000 waiting": 100_000} {
		b.Run(name, func(b *testing.B) {
			w := newWorld()
			w.lane.cfg.Concurrency = 1
			columns := ColumnsOf(map[string]any{"v": "value"})
			change := func(user string, offset int64) Change {
				return Change{User: user, Op: Upsert, Columns: columns, Position: Position{Topic: "users", Offset: offset}}
			}
			for i := range others {
				user := fmt.Sprint("w", i)
				w.lane.Submit(w.now, change(user, int64(i)), Place{Hold: &noHold{}}, Sent{})
				c := w.lane.Next(w.now)
				w.lane.Done(w.now, c, &CallError{Verdict: Failed, Code: "http_503"})
				w.lane.blame.held = false
			}
			b.ReportAllocs()
			for b.Loop() {
				others++
				w.lane.Submit(w.now, change("u", int64(others)), Place{Hold: &noHold{}}, Sent{})
				c := w.lane.Next(w.now)
				if c == nil || c.user.id != "u" {
					b.Fatal("another call")
				}
				w.lane.Done(w.now, c, nil)
			}
		})
	}
}

type noHold struct{}

func (*noHold) Release() {}
