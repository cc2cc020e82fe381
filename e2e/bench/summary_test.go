package main

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for want, sorted := range map[float64][]float64{3: {3}, 2.5: {1, 2, 3, 9}, 4: {1, 4, 100}} {
		if got := median(sorted); got != want {
			t.Errorf("median of %v: %v", sorted, got)
		}
	}
}

// find returns the row of a contender.
func find(t *testing.T, rows []row, name string) row {
	t.Helper()
	for _, r := range rows {
		if r.Contender == name {
			return r
		}
	}
	t.Fatalf("there is no %s", name)
	return row{}
}

func near(t *testing.T, what string, got *stat, want stat) {
	t.Helper()
	if got == nil {
		t.Errorf("%s: none, want %+v", what, want)
		return
	}
	for _, pair := range [][2]float64{{got.Median, want.Median}, {got.Min, want.Min}, {got.Max, want.Max}} {
		if math.Abs(pair[0]-pair[1]) > 1e-6 {
			t.Errorf("%s: %+v, want %+v", what, *got, want)
			return
		}
	}
}

// A ratio is of two figures of the same round: when the machine was busy for one of them
// it was for the other.
func TestRatiosArePaired(t *testing.T) {
	c := cell{Workload: "hot", Changes: 400, Distinct: 100, Latency: 10 * time.Millisecond, Concurrency: 10} // 100 ms at the least
	var rounds [][]run
	for i, loop := range []float64{0.1, 0.4, 0.2} {
		worker := []float64{1.5, 1, 2}[i] * loop
		rounds = append(rounds, []run{
			{Contender: nameWorker, Records: 400, Calls: 110, Wall: worker, CPU: 0.055, Peak: 30e6, Share: 1},
			{Contender: nameLoop, Records: 400, Calls: 100, Wall: loop, CPU: 0.01, Peak: 15e6, Share: 1},
			{Contender: nameDecode, Records: 400, Wall: 0.1, CPU: 0.01, Peak: 20e6, Share: 1},
			{Contender: "ordered", Records: 400, Calls: 100, Wall: 4, CPU: 0.01, Peak: 15e6, Share: 0.25},
		})
	}
	rows := summarise(result{c, rounds})
	w := find(t, rows, nameWorker)
	near(t, "wall over the loop's", w.WallLoop, stat{1.5, 1, 2})
	near(t, "wall over the least", w.WallLeast, stat{4, 1.5, 4})
	near(t, "calls a user", w.CallsUser, stat{1.1, 1.1, 1.1})
	near(t, "CPU a call", w.CPUCall, stat{500, 500, 500})
	near(t, "CPU a change", w.CPURecord, stat{137.5, 137.5, 137.5})
	near(t, "memory over the loop's", w.PeakLoop, stat{2, 2, 2})
	// A bare call is 100 µs, and 400 records of 25 µs are shared by 110 calls.
	bare := 100 + 400*25/110.0
	near(t, "CPU over the bare", w.CPUBare, stat{500 / bare, 500 / bare, 500 / bare})

	// Who was cut short is judged by what it was done with.
	o := find(t, rows, "ordered")
	near(t, "calls a user, cut short", o.CallsUser, stat{4, 4, 4})
	near(t, "CPU a change, cut short", o.CPURecord, stat{100, 100, 100})
	if o.Share != 0.25 {
		t.Errorf("share %v", o.Share)
	}

	d := find(t, rows, nameDecode)
	if d.CPUCall != nil || d.WallLeast != nil || d.CPUBare != nil || d.CallsUser != nil {
		t.Errorf("who calls nobody has figures of calls: %+v", d)
	}
	if w.CPUValid != nil {
		t.Errorf("a ratio to who did not take part: %+v", w.CPUValid)
	}
	if len(rows) != 4 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestFresh(t *testing.T) {
	var waits []time.Duration
	for ms := 200; ms >= 0; ms-- {
		waits = append(waits, time.Duration(ms)*time.Millisecond)
	}
	if got, want := summariseFresh("x", waits), (fresh{"x", 201, 100, 198, 0, 200}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
