package app

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer"
	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/vendortest"
)

// TestExplainNames: each verdict, each reason of a dead letter and each cause of not
// knowing has words of its own.
func TestExplainNames(t *testing.T) {
	said := map[string]string{}
	because := func(what string, y *explainDestination) {
		t.Helper()
		text := new(explanation).because(y)
		if text == "" || text == string(y.Verdict) {
			t.Errorf("%s: nothing is said but %q", what, text)
		}
		if other := said[text]; other != "" {
			t.Errorf("%s and %s: %q", what, other, text)
		}
		said[text] = what
	}
	for _, v := range verdicts {
		if v.verdict != pending && v.verdict != unknownHeld { // they have causes
			because(string(v.verdict), &explainDestination{Verdict: v.verdict})
		}
	}
	because("deleted and sent", &explainDestination{Verdict: gone, Fields: []string{"fullName"}})
	for _, cause := range []usync.Cause{
		"", usync.CauseAttempted, usync.CausePossiblySent, usync.CauseDoubt, usync.CauseDeadLetter, usync.CauseConflict,
		usync.CauseResync, consumer.CauseZombie, consumer.CauseCut, usync.CauseMoved,
	} {
		because("unknown: "+string(cause), &explainDestination{Verdict: unknownHeld, cause: cause})
	}
	letter := func(reason, status string) *explainDestination {
		return &explainDestination{Verdict: deadLettered, Letters: []explainLetter{
			{Reason: "of an older change"}, {Newest: true, Reason: reason, Error: "code (field)", Status: status},
		}}
	}
	for _, reason := range []string{"undecodable", "invalid_payload", "rejected", "refused", "retries_exhausted"} {
		y := letter(reason, letterOpen)
		because("dead letter: "+reason, y)
		if text := becauseOfLetter(y); strings.HasPrefix(text, "it was given up: ") || !strings.Contains(text, "code (field)") {
			t.Errorf("%s has no words, or not what was wrong: %q", reason, text)
		}
	}
	because("replayed", letter("rejected", letterReplayed))
	because("discarded", letter("rejected", letterDiscarded))
	waits := letter("rejected", letterReplayed)
	waits.Retry = &explainRetry{Command: string(consumer.Replay), Asked: time.Now()}
	because("replayed, not read yet", waits)
}

// TestLaneViewNames: what a worker's metrics say of a change that waits.
func TestLaneViewNames(t *testing.T) {
	tp := consumer.TopicPartition{Topic: "users", Partition: 1}
	const owned = `usersync_consumer_lag_records{destination="taptalk",partition="1",topic="users"} 3` + "\n"
	state := func(reason string) string {
		return fmt.Sprintf("usersync_lane_state{destination=\"taptalk\",reason=%q} 1\n", reason)
	}
	partition := func(number int, what, reason string) string {
		return fmt.Sprintf("usersync_consumer_partition_%s{destination=\"taptalk\",partition=\"%d\",reason=%q,topic=\"users\"} 1\n", what, number, reason)
	}
	for name, tc := range map[string]struct {
		metrics, want string
		invalid       string
	}{
		"its turn":            {state(metrics.StateRunning) + "usersync_queue_users{destination=\"taptalk\"} 7\n", "calls flow at url; 0 users wait for the time of their next attempt, 7 for their turn", ""},
		"its next attempt":    {"usersync_queue_users{destination=\"taptalk\"} 7\nusersync_backoff_users{destination=\"taptalk\"} 7\n", "7 users wait for the time of their next attempt, 0 for their turn", ""},
		"withheld":            {state(metrics.StateRunning) + "usersync_queue_users{destination=\"taptalk\"} 7\nusersync_withheld_users{destination=\"taptalk\"} 5\n", "2 for their turn, 5 until their partition is read up to where its last owner may have delivered", ""},
		"awaiting":            {state(metrics.StateRunning) + "usersync_queue_users{destination=\"taptalk\"} 7\nusersync_awaiting_users{destination=\"taptalk\"} 4\n", "3 for their turn, 4 for 30 seconds at most until the state of another partition is loaded", ""},
		"no payload":          {state(metrics.StateRunning), "the row has no payload (missing_field (phone))", "missing_field (phone)"},
		"fails":               {state(metrics.StateFailed), "held: the destination fails for everyone (url); 0 users wait", ""},
		"rejects":             {state(metrics.StateRejected), "held: the destination rejects everyone (url); 0 users wait", ""},
		"refuses":             {state(metrics.StateRefused), "held: the destination refuses the credentials", ""},
		"throttles":           {state(metrics.StateThrottled), "asked to be left alone", ""},
		"nobody has one":      {state(metrics.StateUnmapped), "rows have no payload, and no later row has one", ""},
		"paused":              {state(metrics.StatePaused), "To let calls flow: usersync resume taptalk -c FILE", ""},
		"latched":             {state(metrics.StateLatched), "more records are at fault than dead_letters.budget (50), so none is given up", ""},
		"loading":             {partition(1, "waiting", metrics.WaitsForState), "partition users/1 is not read yet: it is being loaded what was delivered before", ""},
		"added":               {partition(1, "waiting", metrics.WaitsForOlder), "it was added, and the older partitions are read first", ""},
		"no leader":           {partition(1, "waiting", metrics.WaitsForLeader), "its leader does not say where it starts", ""},
		"halted":              {partition(1, "halted", "corrupt") + state(metrics.StateFailed), "partition users/1 is not read any further: corrupt", ""},
		"another one waits":   {partition(2, "waiting", metrics.WaitsForState), "calls flow at url", ""},
		"another one is shut": {partition(2, "halted", "corrupt"), "calls flow at url", ""},
	} {
		t.Run(name, func(t *testing.T) {
			views, err := readLanes("url", strings.NewReader(owned+tc.metrics))
			if err != nil {
				t.Fatal(err)
			}
			lane, ok := ownerOf(views, taptalkName, tp)
			if got := lane.because(&explainDestination{Invalid: tc.invalid}, tp, 50); !ok || !strings.Contains(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// TestExplainWaits: what only a worker knows, from one that runs.
func TestExplainWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(func(c *Config) {
			remembers(c)
		})
		ask := func(o *ExplainOptions) { o.Metrics = []string{"http://" + c.HTTP.Listen + "/metrics"} }
		p := b.start(c)
		p.ready()
		b.tap.SetRules(vendortest.Rule{User: "1", Status: 503})
		b.change(1, "first")
		b.until(time.Minute, "user 1 waits, and others are fine", func() bool {
			b.change(100, fmt.Sprint(time.Now().UnixNano()))
			_, body := p.get("/metrics")
			return strings.Contains(body, `usersync_backoff_users{destination="taptalk"} 1`) &&
				strings.Contains(body, `usersync_lane_state{destination="taptalk",reason="running"} 1`) &&
				strings.Contains(body, `usersync_queue_users{destination="taptalk"} 1`)
		})
		b.because(b.explained(c, 1, ask), pending, "calls flow at http://"+c.HTTP.Listen+"/metrics; 1 users wait for the time of their next attempt, 0 for their turn")
		b.tap.SetRules()
		b.idle(c)
		b.because(b.explained(c, 1, ask), inSync, "holds what the newest row gives")
		p.stop()

		tp := consumer.TopicPartition{Topic: "users", Partition: partitionIn(b.explained(c, 1).Newest.At)}
		away := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "state", Err: kerr.UnknownServerError, Count: -1})
		p = b.start(c)
		p.shows(time.Minute, fmt.Sprintf(`usersync_consumer_partition_waiting{destination="taptalk",partition="%d",reason="state",topic="users"} 1`, tp.Partition))
		var said bytes.Buffer
		views, err := lanesOf(t.Context(), []string{"http://127.0.0.1:1/metrics", "http://" + c.HTTP.Listen + "/metrics"}, &said, b.outside())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(said.String(), "metrics: ") || !strings.Contains(said.String(), "127.0.0.1:1") {
			t.Errorf("of the worker that does not answer it says %q", said.String())
		}
		lane, ok := ownerOf(views, taptalkName, tp)
		if got := lane.because(&explainDestination{}, tp, 50); !ok || !strings.Contains(got, "it is being loaded what was delivered before") {
			t.Errorf("while the state is away: %q", got)
		}
		away.Remove()
	})
}

// TestExplainRetry: what an operator has asked for and nobody has read yet.
func TestExplainRetry(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(func(c *Config) {
			remembers(c)
		}, b.retryTopic("retry", time.Hour), b.controlled())
		p := b.start(c)
		p.ready()
		b.change(1, "first")
		b.rejected(c)
		b.idle(c)
		p.stop()
		b.tap.SetRules(vendortest.Rule{User: "1", Status: 503})
		if err := replayLetters(t.Context(), c, LetterFilter{}, false, false, io.Discard, io.Discard, b.outside()); err != nil {
			t.Fatal(err)
		}
		b.because(b.explained(c, 2), deadLettered, "40002 (field fullName); it was replayed; a replay of it waits in the retry topic since")
		if y := b.explained(c, 2).Destinations[1]; y.Retry != nil {
			t.Errorf("haptik is asked for too: %+v", y.Retry)
		}
		if _, err := b.resynced(c, ResyncOptions{User: "1"}); err != nil {
			t.Fatal(err)
		}
		b.because(b.explained(c, 1), inSync, "holds what the newest row gives; a resync of it waits in the retry topic since")
		b.start(c)
		b.holds(time.Minute, 2, "rejected", taptalkName)
		b.until(time.Minute, "user 2 is in sync", func() bool { return b.explained(c, 2).Destinations[0].Verdict == inSync })
		b.because(b.explained(c, 1), unknownHeld, "an operator wanted the user sent again, and that did not end well yet; a resync of it waits")
		b.tap.SetRules()
		b.until(10*time.Minute, "nothing waits", func() bool {
			return b.explained(c, 1).Destinations[0].Retry == nil && b.explained(c, 2).Destinations[0].Retry == nil
		})
		b.because(b.explained(c, 1), inSync, "holds what the newest row gives")
		b.because(b.explained(c, 2), inSync, "holds what the newest row gives")
	})
}

// TestExplainWithoutRow: of whom the source has nothing any more, the state may still say
// that a destination holds something.
func TestExplainWithoutRow(t *testing.T) {
	for policy, want := range map[string]struct {
		verdict verdict
		because string
	}{
		"delete":  {aged, "the row's record was removed by age"},
		"compact": {orphaned, "there is no row any more"},
	} {
		t.Run(policy, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				if err := b.kafka.CreateTopic("people", 1, map[string]string{"cleanup.policy": policy}); err != nil {
					t.Fatal(err)
				}
				c := b.config(func(c *Config) {
					c.Kafka.Topics = []string{"people"}
					remembers(c)
				})
				b.start(c).ready()
				b.changeIn("people", 1, "first")
				b.holds(time.Minute, 1, "first")
				b.idle(c)
				b.because(b.explained(c, 1), inSync, "holds what the newest row gives")
				if err := b.kafka.DeleteRecords("people", 0, 1); err != nil {
					t.Fatal(err)
				}
				r := b.explained(c, 1)
				b.because(r, want.verdict, want.because)
				if r.Newest != nil || !strings.HasPrefix(r.Destinations[1].Held, "something, as of offset 0 of people/0") {
					t.Errorf("%+v", r)
				}
				var out bytes.Buffer
				if err := explain(t.Context(), c, ExplainOptions{User: "1"}, &out, &b.logs, b.outside()); err != nil || !strings.Contains(out.String(), "no record in the source") {
					t.Errorf("error %v, printed\n%s", err, &out)
				}
				err := explain(t.Context(), c, ExplainOptions{User: "4711"}, &out, &b.logs, b.outside())
				if err == nil || !strings.HasPrefix(err.Error(), "no record of people is about this user") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}
