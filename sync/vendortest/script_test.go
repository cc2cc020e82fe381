package vendortest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	usync "usersync/sync"
	"usersync/sync/taptalk"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// world is a simulator on a virtual network with the real client before it.
type world struct {
	*taptalktest.Server
	client *taptalk.Client
}

// inBubble runs f in virtual time. When it returns, nothing of the simulator may
// be left: the bubble would not end.
func inBubble(t *testing.T, f func(t *testing.T, w world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		l, err := network.Listen("tcp", "localhost:8080")
		if err != nil {
			t.Fatal(err)
		}
		sim := taptalktest.New()
		srv := &http.Server{Handler: sim, ConnContext: sim.ConnContext}
		go func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}()
		defer srv.Close()
		defer sim.Close()
		rt := usync.NewTransport()
		rt.DialContext = network.DialContext
		defer rt.CloseIdleConnections()
		c, err := taptalk.New(taptalk.Config{
			BaseURL: "http://localhost:8080", Transport: rt,
			ServerKeyID: usync.Secret{Value: "id"}, ServerKeySecret: usync.Secret{Value: "secret"},
		})
		if err != nil {
			t.Fatal(err)
		}
		f(t, world{sim, c})
	})
}

// deliver sends a name and returns what became of it, nil for OK.
func (w world) deliver(ctx context.Context, user, name string) *usync.CallError {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body := fmt.Sprintf(`{"xcUserID":%q,"fullName":%q}`, user, name)
	e, _ := errors.AsType[*usync.CallError](w.client.Deliver(ctx, usync.Payload{User: user, Body: []byte(body)}))
	return e
}

// name is what the simulator holds of user 7.
func (w world) name() any { return w.Current("7")["fullName"] }

// The fault that all of convergence turns on: a call that was given up lands on
// top of a newer one.
func TestApplyLate(t *testing.T) {
	inBubble(t, func(t *testing.T, w world) {
		start := time.Now()
		w.SetRules(vendortest.Rule{Name: "late", Last: 1, Answer: vendortest.Hang, ApplyAfter: 15 * time.Second})
		if e := w.deliver(t.Context(), "7", "old"); e == nil || e.Code != "timeout" || !e.Ambiguous {
			t.Fatalf("got %v, want a timeout", e)
		}
		synctest.Wait() // the server notices that the client has gone
		if h := w.History("7"); h[0].Verdict != vendortest.Pending || w.Current("7") != nil {
			t.Fatalf("applied at once: %+v", h)
		}
		if e := w.deliver(t.Context(), "7", "new"); e != nil {
			t.Fatal(e)
		}
		if w.name() != "new" {
			t.Fatalf("got %v", w.name())
		}
		time.Sleep(5*time.Second - time.Nanosecond)
		synctest.Wait()
		if w.name() != "new" {
			t.Fatal("applied too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if w.name() != "old" {
			t.Fatal("not applied late")
		}
		h := w.History("7")
		want := []vendortest.Version{
			{Seq: 1, Verdict: vendortest.Applied, Order: 2, Rule: "late", Received: start, Applied: start.Add(15 * time.Second)},
			{Seq: 2, Verdict: vendortest.Applied, Order: 1, Status: 200, Received: start.Add(10 * time.Second), Applied: start.Add(10 * time.Second)},
		}
		for i := range want {
			want[i].User, want[i].Method, want[i].Body = "7", "POST", h[i].Body
			want[i].Overlap, want[i].Ended = 1, start.Add(10*time.Second) // the first one's client gives up as the second comes
			if fmt.Sprint(h[i]) != fmt.Sprint(want[i]) {
				t.Errorf("got  %+v\nwant %+v", h[i], want[i])
			}
		}
		if string(h[0].Body) != `{"xcUserID":"7","fullName":"old"}` {
			t.Errorf("got body %s", h[0].Body)
		}
		if w.MaxOverlap("7") != 1 || w.Calls() != 2 {
			t.Errorf("overlap %d, calls %d", w.MaxOverlap("7"), w.Calls())
		}
	})
}

func TestAnswers(t *testing.T) {
	failed := func(code string, ambiguous bool) *usync.CallError {
		return &usync.CallError{Verdict: usync.Failed, Code: code, Ambiguous: ambiguous}
	}
	for name, c := range map[string]struct {
		rule    vendortest.Rule
		want    *usync.CallError
		applied bool
		verdict any
		status  int
	}{
		"none":            {vendortest.Rule{}, nil, true, vendortest.Applied, 200},
		"latency":         {vendortest.Rule{Latency: 9 * time.Second}, nil, true, vendortest.Applied, 200},
		"hang":            {vendortest.Rule{Answer: vendortest.Hang}, failed("timeout", true), false, vendortest.Lost, 0},
		"hang, applied":   {vendortest.Rule{Answer: vendortest.Hang, Apply: true}, failed("timeout", true), true, vendortest.Applied, 0},
		"reset":           {vendortest.Rule{Answer: vendortest.Reset}, failed("connection", true), false, vendortest.Lost, 0},
		"reply dropped":   {vendortest.Rule{Answer: vendortest.Reset, Apply: true}, failed("connection", true), true, vendortest.Applied, 0},
		"truncated":       {vendortest.Rule{Answer: vendortest.Truncate}, failed("truncated", true), true, vendortest.Applied, 200},
		"HTML 502":        {vendortest.Rule{Answer: vendortest.HTML}, failed("http_502", true), false, vendortest.Lost, 502},
		"HTML 200":        {vendortest.Rule{Answer: vendortest.HTML, Status: 200}, failed("not_an_envelope", true), false, vendortest.Lost, 200},
		"504, applied":    {vendortest.Rule{Answer: vendortest.HTML, Status: 504, Apply: true}, failed("http_504", true), true, vendortest.Applied, 504},
		"500":             {vendortest.Rule{Status: 500}, failed("50001", false), false, vendortest.Lost, 200},
		"vendor's code":   {vendortest.Rule{Code: "49202"}, &usync.CallError{Verdict: usync.Refused, Code: "49202"}, false, vendortest.Lost, 200},
		"a field":         {vendortest.Rule{Field: "phone"}, &usync.CallError{Verdict: usync.Rejected, Code: "40002", Field: "phone"}, false, vendortest.Lost, 200},
		"429":             {vendortest.Rule{Status: 429}, &usync.CallError{Verdict: usync.Failed, Code: "429xx", Throttled: true}, false, vendortest.Lost, 200},
		"429, RetryAfter": {vendortest.Rule{Answer: vendortest.HTML, Status: 429, RetryAfter: 7 * time.Second}, &usync.CallError{Verdict: usync.Failed, Code: "http_429", Throttled: true, RetryAfter: 7 * time.Second}, false, vendortest.Lost, 429},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w world) {
				w.SetRules(c.rule)
				e := w.deliver(t.Context(), "7", "Ann")
				if (e == nil) != (c.want == nil) || e != nil && *e != *c.want {
					t.Errorf("got %+v, want %+v", e, c.want)
				}
				synctest.Wait()
				h := w.History("7")[0]
				if (w.Current("7") != nil) != c.applied || any(h.Verdict) != c.verdict || h.Status != c.status {
					t.Errorf("holds %v; history %+v", w.Current("7"), h)
				}
				if s := w.Stats(); s.InFlight != 0 || s.MaxInFlight != 1 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// A slow server does not know that its client has left.
func TestLatencyOutlivesTheClient(t *testing.T) {
	inBubble(t, func(t *testing.T, w world) {
		w.SetRules(vendortest.Rule{Latency: 25 * time.Second})
		if e := w.deliver(t.Context(), "7", "Ann"); e == nil || e.Code != "timeout" {
			t.Fatalf("got %v", e)
		}
		synctest.Wait()
		if s := w.Stats(); s.InFlight != 0 {
			t.Errorf("a call without a client is in flight: %+v", s)
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if w.name() != "Ann" {
			t.Error("not applied")
		}
	})
}

// ApplyAfter counts from the receipt, whatever else took time.
func TestApplyAfterLatency(t *testing.T) {
	inBubble(t, func(t *testing.T, w world) {
		start := time.Now()
		w.SetRules(vendortest.Rule{Latency: 5 * time.Second, ApplyAfter: 8 * time.Second})
		if e := w.deliver(t.Context(), "7", "Ann"); e != nil || time.Since(start) != 5*time.Second {
			t.Fatalf("got %v after %v", e, time.Since(start))
		}
		time.Sleep(time.Minute)
		if got := w.History("7")[0].Applied.Sub(start); got != 8*time.Second {
			t.Errorf("applied after %v", got)
		}
	})
}

func TestOverlapIsSeen(t *testing.T) {
	inBubble(t, func(t *testing.T, w world) {
		w.SetRules(vendortest.Rule{Latency: time.Second})
		var calls sync.WaitGroup
		for _, user := range []string{"7", "7", "8"} {
			calls.Go(func() {
				if e := w.deliver(t.Context(), user, "Ann"); e != nil {
					t.Errorf("%s: %v", user, e)
				}
			})
		}
		calls.Wait()
		if s := w.Stats(); s.MaxOverlap != 2 || s.MaxInFlight != 3 || w.MaxOverlap("7") != 2 || w.MaxOverlap("8") != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// Close must not wait for a vendor that never answers, nor let anything land later.
func TestCloseEndsEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, w world) {
		w.SetRules(
			vendortest.Rule{User: "7", Answer: vendortest.Hang, ApplyAfter: time.Hour},
			vendortest.Rule{User: "8", Latency: time.Hour},
		)
		var calls sync.WaitGroup
		for _, user := range []string{"7", "8"} {
			calls.Go(func() {
				if e := w.deliver(t.Context(), user, "Ann"); e == nil || e.Code != "connection" {
					t.Errorf("%s: got %v", user, e)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		w.Close()
		calls.Wait()
		if e := w.deliver(t.Context(), "9", "Ann"); e == nil {
			t.Error("a closed simulator answers")
		}
		if time.Since(start) != 0 || len(w.Users()) != 0 {
			t.Errorf("took %v, holds %v", time.Since(start), w.Users())
		}
		time.Sleep(2 * time.Hour)
		if len(w.Users()) != 0 {
			t.Errorf("applied after Close: %v", w.Users())
		}
	})
}

// hits delivers calls of users in turn and returns the numbers of those that a
// rule hit.
func (w world) hits(ctx context.Context, users ...string) []int {
	var hit []int
	for i, user := range users {
		if e := w.deliver(ctx, user, "Ann"); e != nil {
			hit = append(hit, i)
		}
	}
	return hit
}

func TestWhen(t *testing.T) {
	turns := []string{"a", "b", "a", "b", "a", "b", "a", "b"}
	for name, c := range map[string]struct {
		rule vendortest.Rule
		want []int
	}{
		"always":      {vendortest.Rule{}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		"user":        {vendortest.Rule{User: "b"}, []int{1, 3, 5, 7}},
		"method":      {vendortest.Rule{Method: "PUT"}, nil},
		"value":       {vendortest.Rule{Where: map[string]string{"xcUserID": "a"}}, []int{0, 2, 4, 6}},
		"any value":   {vendortest.Rule{Where: map[string]string{"fullName": ""}}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		"no value":    {vendortest.Rule{Where: map[string]string{"phone": ""}}, nil},
		"nth":         {vendortest.Rule{First: 3, Last: 3}, []int{2}},
		"nth of user": {vendortest.Rule{User: "b", First: 2, Last: 3}, []int{3, 5}},
		"of each":     {vendortest.Rule{PerUser: true, Last: 1}, []int{0, 1}},
		"above rate":  {vendortest.Rule{Rate: 5}, []int{5, 6, 7}},
		"later":       {vendortest.Rule{After: time.Second}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w world) {
				c.rule.Status = 500
				w.SetRules(c.rule)
				if got := w.hits(t.Context(), turns...); !slices.Equal(got, c.want) {
					t.Errorf("got %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestWhenTimePasses(t *testing.T) {
	t.Run("window", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w world) {
			w.SetRules(vendortest.Rule{After: 2 * time.Second, For: 3 * time.Second, Status: 500})
			var hit []int
			for second := range 8 {
				if e := w.deliver(t.Context(), "7", "Ann"); e != nil {
					hit = append(hit, second)
				}
				time.Sleep(time.Second)
			}
			if !slices.Equal(hit, []int{2, 3, 4}) {
				t.Errorf("got %v", hit)
			}
		})
	})
	t.Run("rate refills", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w world) {
			w.SetRules(vendortest.Rule{Rate: 5, Status: 429})
			users := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
			w.hits(t.Context(), users...)
			time.Sleep(400 * time.Millisecond)
			if got := w.hits(t.Context(), users...); !slices.Equal(got, []int{2, 3, 4, 5, 6, 7}) {
				t.Errorf("got %v", got)
			}
		})
	})
	t.Run("latencies add up, the first other rule decides", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w world) {
			w.SetRules(vendortest.Rule{Latency: time.Second}, vendortest.Rule{Latency: 2 * time.Second}, vendortest.Rule{Code: "50001"}, vendortest.Rule{Code: "40002"})
			start := time.Now()
			if e := w.deliver(t.Context(), "7", "Ann"); e == nil || e.Code != "50001" || time.Since(start) != 3*time.Second {
				t.Errorf("got %v after %v", e, time.Since(start))
			}
		})
	})
}

// A bad node rejects every call on its connections, and no other.
func TestOneBadNodeOfFour(t *testing.T) {
	inBubble(t, func(t *testing.T, w world) {
		w.SetRules(vendortest.Rule{Latency: time.Second}, vendortest.Rule{Nodes: 4, Status: 500})
		for round := range 3 {
			var calls sync.WaitGroup
			var mu sync.Mutex
			failed := 0
			for i := range 8 { // at once, so on eight connections, the same in each round
				calls.Go(func() {
					if e := w.deliver(t.Context(), fmt.Sprint(i), "Ann"); e != nil {
						mu.Lock()
						defer mu.Unlock()
						failed++
					}
				})
			}
			calls.Wait()
			if failed != 2 {
				t.Errorf("round %d: %d of 8 failed, want 2", round, failed)
			}
		}
	})
}

// Who is hit depends on the seed and the user, not on who came first.
func TestProbabilityIsReproducible(t *testing.T) {
	victims := func(seed uint64, users []string) (hit []string) {
		inBubble(t, func(t *testing.T, w world) {
			w.Seed(seed)
			w.SetRules(vendortest.Rule{Probability: 0.3, Status: 500})
			for _, i := range w.hits(t.Context(), users...) {
				hit = append(hit, users[i])
			}
		})
		slices.Sort(hit)
		return hit
	}
	var users []string
	for i := range 200 {
		users = append(users, fmt.Sprint(i%100))
	}
	first := victims(1, users)
	if len(first) < 40 || len(first) > 80 {
		t.Errorf("%d of 200 with a probability of 0.3", len(first))
	}
	slices.Reverse(users)
	if again := victims(1, users); !slices.Equal(first, again) {
		t.Errorf("another order, other victims: %v, %v", first, again)
	}
	if other := victims(2, users); slices.Equal(first, other) {
		t.Error("another seed, the same victims")
	}
}
