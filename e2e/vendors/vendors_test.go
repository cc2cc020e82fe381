package vendors_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"usersync/e2e/vendors"
	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// send makes one call as a worker would and returns the HTTP status and the body;
// 0 if there was no answer.
func send(t *testing.T, base, destination, user, name string) (int, string) {
	t.Helper()
	path, body := "/v1/server/user/update", fmt.Sprintf(`{"xcUserID":%q,"fullName":%q,"n":12345678901234567890}`, user, name)
	if destination == vendors.Haptik {
		path, body = "/v1.0/user/", fmt.Sprintf(`{"auth_id":%q,"name":%q}`, user, name)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(body))
	if err != nil {
		t.Error(err) // it may be called beside the test's goroutine
		return 0, ""
	}
	req.Header.Set("Server-Key", "aWQ6c2VjcmV0") // id:secret
	req.Header.Set("Client-Id", "id")
	req.Header.Set("Authorization", "Bearer secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(b)
}

// until polls, since the vendors see a client go a moment after it has.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for tick := time.Tick(10 * time.Millisecond); !done(); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// Each call is known by the worker that made it, whose ports stay the same, and
// tells when it came, when it ended and what it changed, in the order of both.
func TestCallsAreAttributed(t *testing.T) {
	v := vendors.Start(t)
	one, two := v.URLs("one"), v.URLs("two/2")
	if again := v.URLs("one"); again[vendors.TapTalk] != one[vendors.TapTalk] || again[vendors.Haptik] != one[vendors.Haptik] {
		t.Errorf("other ports when asked again: %v, were %v", again, one)
	}
	for _, destination := range vendors.Destinations {
		began := time.Now()
		send(t, one[destination], destination, "7", "first")
		send(t, two[destination], destination, "7", "second")
		send(t, one[destination], destination, "8", "other")
		calls := v.Calls(func(c vendors.Call) bool { return c.Destination == destination })
		var got []string
		for _, c := range calls {
			got = append(got, fmt.Sprint(c.Caller, " ", c.User, " ", c.Name(), " ", c.Verdict, " ", c.Order, " ", c.Status, " ", c.Overlap))
			if c.Received.Before(began) || c.Ended.Before(c.Received) || c.Applied.Before(c.Received) || time.Now().Before(c.Ended) {
				t.Errorf("received %v, applied %v, ended %v", c.Received, c.Applied, c.Ended)
			}
			began = c.Ended
		}
		want := "[one 7 first applied 1 200 1 two/2 7 second applied 2 200 1 one 8 other applied 3 200 1]"
		if fmt.Sprint(got) != want {
			t.Errorf("%s: got %v\nwant %v", destination, got, want)
		}
		if applied := v.Applied(destination); len(applied) != 2 || len(applied["7"]) != 2 || applied["7"][1].Name() != "second" {
			t.Errorf("%s: applied %v", destination, applied)
		}
		if name := v.Name(destination, "7"); name != "second" {
			t.Errorf("%s holds %q", destination, name)
		}
		if users := v.Users(destination); len(users) != 2 || vendors.NameOf(destination, users["8"]) != "other" {
			t.Errorf("%s holds %v", destination, users)
		}
		if v.Current(destination, "9") != nil || v.Count(destination) != 3 {
			t.Errorf("%s: %v, %d calls", destination, v.Current(destination, "9"), v.Count(destination))
		}
	}
	if n := fmt.Sprint(v.Current(vendors.TapTalk, "7")["n"]); n != "12345678901234567890" {
		t.Errorf("a large number became %s", n)
	}
}

// Calls of one user that are in flight at once are counted, and a call that its
// client gave up is seen to end, and to be saved later.
func TestOverlapAndLateCalls(t *testing.T) {
	v := vendors.Start(t)
	url := v.URLs("worker")[vendors.TapTalk]
	v.SetRules(vendors.TapTalk, vendortest.Rule{Name: "late", Answer: vendortest.Hang, Last: 2, ApplyAfter: time.Second})
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	hang := func(user string) {
		calls := v.Count(vendors.TapTalk)
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/server/user/update",
				strings.NewReader(`{"xcUserID":"`+user+`","fullName":"late"}`))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Server-Key", "aWQ6c2VjcmV0")
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
				t.Error("an answer to a call that hangs")
			}
		})
		until(t, "the call is there", func() bool { return v.Count(vendors.TapTalk) == calls+1 })
	}
	hang("7")
	hang("8")
	_, cursor := v.Feed(vendors.TapTalk, 0)
	if status, _ := send(t, url, vendors.TapTalk, "7", "in time"); status != 200 {
		t.Errorf("status %d", status)
	}
	calls, cursor := v.Feed(vendors.TapTalk, cursor)
	last := calls[len(calls)-1]
	if last.Overlap != 2 || last.Ended.IsZero() || v.Stats(vendors.TapTalk).MaxOverlap != 2 {
		t.Errorf("overlap %d of %d, ended %v", last.Overlap, v.Stats(vendors.TapTalk).MaxOverlap, last.Ended)
	}
	giveUp()
	late := map[string]vendors.Call{}
	until(t, "both have ended and are saved", func() bool {
		calls, cursor = v.Feed(vendors.TapTalk, cursor)
		for _, c := range calls {
			late[c.User] = c
		}
		return len(late) == 2 && !late["7"].Ended.IsZero() && !late["7"].Applied.IsZero() &&
			!late["8"].Ended.IsZero() && !late["8"].Applied.IsZero()
	})
	for user, c := range late {
		if c.Rule != "late" || c.Status != 0 || c.Applied.Sub(c.Received) < time.Second {
			t.Errorf("user %s: rule %q, status %d, saved after %v", user, c.Rule, c.Status, c.Applied.Sub(c.Received))
		}
	}
	saved := v.Applied(vendors.TapTalk)["7"]
	if name := v.Name(vendors.TapTalk, "7"); len(saved) != 2 || name != saved[1].Name() {
		t.Errorf("it holds %q, and has saved %v", name, saved)
	}
}

// What a test sets is what the vendors do, each of them alone.
func TestRulesKeysAndKnobs(t *testing.T) {
	v := vendors.Start(t)
	urls := v.URLs("worker")
	expect := func(destination string, want int, text string) {
		t.Helper()
		status, body := send(t, urls[destination], destination, "7", "Ann")
		if status != want || !strings.Contains(body, text) {
			t.Errorf("%s: %d %s, want %d %s", destination, status, body, want, text)
		}
	}
	v.SetKnobs(vendors.TapTalk, taptalktest.Knobs{StatusMode: taptalktest.Mirrored})
	v.SetRules(vendors.TapTalk, vendortest.Rule{User: "7", Status: 429, RetryAfter: time.Second, Last: 1})
	expect(vendors.TapTalk, 429, "")
	expect(vendors.TapTalk, 200, "")
	expect(vendors.Haptik, 200, "Ann")

	v.SetKnobs(vendors.Haptik, haptiktest.Knobs{PostExisting: "409"})
	expect(vendors.Haptik, 409, "")
	v.SetKeys(vendors.Haptik, vendortest.Key{ID: "id", Secret: "another"})
	expect(vendors.Haptik, 401, "")
	expect(vendors.TapTalk, 200, "")

	v.SetKeys(vendors.Haptik)
	v.SetKnobs(vendors.Haptik, haptiktest.Knobs{})
	v.Latency(50 * time.Millisecond)
	for _, destination := range vendors.Destinations {
		expect(destination, 200, "")
		all := v.Calls(func(c vendors.Call) bool { return c.Destination == destination })
		if last := all[len(all)-1]; last.Ended.Sub(last.Received) < 50*time.Millisecond {
			t.Errorf("%s answered after %v", destination, last.Ended.Sub(last.Received))
		}
	}
}

// More calls than fit into a page come in pages, each call once.
func TestPaging(t *testing.T) {
	const calls = 12_000
	v := vendors.Start(t)
	url := v.URLs("worker")[vendors.TapTalk]
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < calls; i += 8 {
				if status, _ := send(t, url, vendors.TapTalk, strconv.Itoa(i%1000), strconv.Itoa(i)); status != 200 {
					t.Errorf("status %d", status)
					return
				}
			}
		})
	}
	wg.Wait()
	began := time.Now()
	feed, cursor := v.Feed(vendors.TapTalk, 0)
	t.Logf("read in %v", time.Since(began))
	seen := map[int]bool{}
	for _, c := range feed {
		seen[c.Seq] = true
		if c.Ended.IsZero() || c.Verdict != vendortest.Applied {
			t.Fatalf("call %d has not ended, or is %s", c.Seq, c.Verdict)
		}
	}
	if len(feed) != calls || len(seen) != calls {
		t.Errorf("%d entries of %d calls, want %d", len(feed), len(seen), calls)
	}
	if more, next := v.Feed(vendors.TapTalk, cursor); len(more) != 0 || next != cursor {
		t.Errorf("%d more where nothing was done", len(more))
	}
	for user, calls := range v.Applied(vendors.TapTalk) {
		for i := 1; i < len(calls); i++ {
			if calls[i-1].Order >= calls[i].Order {
				t.Fatalf("user %s: order %d before %d", user, calls[i-1].Order, calls[i].Order)
			}
		}
	}
}
