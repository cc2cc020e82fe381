package vendortest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"usersync/sync/vendortest"
)

// A reader who asks again and again sees a call come, be saved and end, and never
// the same state twice. One who asks once sees each call once, as it is.
func TestFeed(t *testing.T) {
	inBubble(t, func(t *testing.T, w world) {
		w.SetRules(
			vendortest.Rule{User: "7", Last: 1, Latency: time.Second},
			vendortest.Rule{User: "8", Answer: vendortest.Hang, ApplyAfter: 20 * time.Second},
		)
		cursor := 0
		next := func(limit int) []vendortest.Version {
			t.Helper()
			synctest.Wait()
			calls, n := w.Feed(cursor, limit)
			cursor = n
			return calls
		}
		for _, user := range []string{"7", "8", "7"} {
			go func() { _ = w.deliver(t.Context(), user, "Ann") }() // the feed says what came of it
			synctest.Wait()
		}
		came := next(2)
		came = append(came, next(10)...)
		if len(came) != 3 || came[0].User != "7" || came[1].User != "8" || came[2].User != "7" {
			t.Fatalf("came: %+v", came)
		}
		if came[0].Overlap != 1 || came[1].Overlap != 1 || came[2].Overlap != 2 || w.MaxOverlap("7") != 2 {
			t.Errorf("overlaps %d, %d, %d", came[0].Overlap, came[1].Overlap, came[2].Overlap)
		}
		if !came[0].Ended.IsZero() || came[0].Verdict != vendortest.Pending || came[2].Ended.IsZero() {
			t.Errorf("the first one has ended, or the third has not: %+v", came)
		}
		if again := next(10); len(again) != 0 {
			t.Errorf("nothing has changed: %+v", again)
		}
		time.Sleep(time.Second)
		slow := next(10)
		if len(slow) != 1 || slow[0].Seq != 1 || slow[0].Ended.Sub(slow[0].Received) != time.Second || slow[0].Verdict != vendortest.Applied {
			t.Errorf("answered after a second: %+v", slow)
		}
		time.Sleep(9 * time.Second)
		if gone := next(10); len(gone) != 1 || gone[0].Seq != 2 || gone[0].Ended.IsZero() || !gone[0].Applied.IsZero() {
			t.Errorf("its client gives up after ten seconds: %+v", gone)
		}
		time.Sleep(10 * time.Second)
		if late := next(10); len(late) != 1 || late[0].Seq != 2 || late[0].Applied.Sub(late[0].Received) != 20*time.Second {
			t.Errorf("saved late: %+v", late)
		}
		cursor = 0
		if all := next(10); len(all) != 3 || all[0].Seq != 3 || all[1].Seq != 1 || all[2].Seq != 2 {
			t.Errorf("all at once: %+v", all)
		}
	})
}
