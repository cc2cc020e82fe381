package metrics

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	var f Failures
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	f.Note(at(1), "failed", "http_503", "")
	f.Note(at(2), "rejected", "40002", "phone")
	f.Note(at(3), "rejected", "40002", "email") // another field is another failure
	f.Note(at(4), "failed", "http_503", "")
	want := []Failure{
		{"failed", "http_503", "", 2, at(4)},
		{"rejected", "40002", "email", 1, at(3)},
		{"rejected", "40002", "phone", 1, at(2)},
	}
	if got := fmt.Sprint(f.Newest()); got != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	f.Newest()[0].Count = 99
	if f.Newest()[0].Count != 2 {
		t.Error("what was returned is not a copy")
	}
}

// Whatever comes in as a code, a page of the newest failures stays a page.
func TestFailuresAreBounded(t *testing.T) {
	var f Failures
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 100 {
				f.Note(time.Unix(int64(i), 0), "failed", fmt.Sprint(i), "")
			}
		})
	}
	wg.Wait()
	f.Note(time.Unix(1000, 0), "failed", "last", "")
	got := f.Newest()
	if len(got) != maxFailures || got[0].Code != "last" {
		t.Errorf("%d are remembered, want %d with the last first: %v", len(got), maxFailures, got)
	}
}
