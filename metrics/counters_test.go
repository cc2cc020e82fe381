package metrics

import (
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func testCounters(labels ...string) *Counters {
	known := each("timeout", "http_503")
	if len(labels) == 2 {
		known = with("decoded", "create", "update")
	}
	return factory{promauto.With(nil)}.counters("test_total", "help", labels, known...)
}

func TestCountersOf(t *testing.T) {
	one, two := testCounters("code"), testCounters("op", "outcome")
	tests := []struct {
		name   string
		family *Counters
		values []string
		want   []string // the series that counts
	}{
		{"known", one, []string{"timeout"}, []string{"timeout"}},
		{"new", one, []string{"40002"}, []string{"40002"}},
		{"empty", one, []string{""}, []string{"other"}},
		{"not UTF-8", one, []string{"\xff"}, []string{"other"}},
		{"too few", two, []string{"create"}, []string{"other", "other"}},
		{"too many", one, []string{"a", "b"}, []string{"other"}},
		{"known of two", two, []string{"create", "decoded"}, []string{"create", "decoded"}},
		{"new of two", two, []string{"create", "skipped"}, []string{"create", "skipped"}},
		{"half empty", two, []string{"create", ""}, []string{"other", "other"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			series := tt.family.vec.WithLabelValues(tt.want...)
			before := testutil.ToFloat64(series)
			tt.family.Of(tt.values...).Inc()
			tt.family.Of(tt.values...).Inc()
			if got := testutil.ToFloat64(series) - before; got != 2 {
				t.Errorf("the series %q counted %v, want 2", tt.want, got)
			}
		})
	}
}

// A caller that uses a user ID as a code must not make a series for each user.
func TestCountersAreBounded(t *testing.T) {
	c := testCounters("code")
	for i := range 10 * maxExtra {
		c.Of(strconv.Itoa(i)).Inc()
	}
	if got, want := testutil.CollectAndCount(c.vec), 2+maxExtra+1; got != want {
		t.Errorf("%d series, want %d", got, want)
	}
	if got, want := testutil.ToFloat64(c.Of(other)), float64(9*maxExtra); got != want {
		t.Errorf("other counted %v, want %v", got, want)
	}
	c.Of("3").Inc() // the earlier ones go on
	if got := testutil.ToFloat64(c.vec.WithLabelValues("3")); got != 2 {
		t.Errorf("counted %v, want 2", got)
	}
}

func TestCountersConcurrently(t *testing.T) {
	c := testCounters("code")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 100 {
				c.Of("timeout").Inc()
				c.Of(strconv.Itoa(i)).Inc()
			}
		})
	}
	wg.Wait()
	var sum float64
	for _, code := range []string{"timeout", "0", "99"} {
		sum += testutil.ToFloat64(c.Of(code))
	}
	if sum != 408 {
		t.Errorf("counted %v, want 408", sum)
	}
}

// Every record and every call passes here.
func TestCountersDoNotAllocate(t *testing.T) {
	var counter prometheus.Counter
	c := testCounters("op", "outcome")
	if n := testing.AllocsPerRun(100, func() { counter = c.Of("update", "decoded") }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	counter.Inc()
}
