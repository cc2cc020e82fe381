package consumer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	usync "usersync/sync"
	"usersync/sync/vendortest"
)

// inRetries runs test in a bubble with a retry topic of two partitions.
func inRetries(t *testing.T, test func(b *bubble)) {
	t.Helper()
	inBubble(t, 2, func(b *bubble) {
		b.configure = func(c *Config) { c.RetryTopic = "retry" }
		test(b)
	}, kfake.SeedTopics(2, "retry"))
}

// retry asks for a record of the source once more, as a command does that has
// searched up to the offset searched.
func (b *bubble) retry(dest, user string, offset, searched int64) {
	b.t.Helper()
	b.askFor(Replay, dest, user, offset, searched)
}

// askFor has a command ask for a record of the source once more.
func (b *bubble) askFor(command Command, dest, user string, offset, searched int64) {
	b.t.Helper()
	partition := int(b.partitionOf(user))
	c := b.kafka.client("users", "retry")
	original, err := c.refetch(b.t.Context(), "users", partition, offset)
	if err != nil {
		b.t.Fatal(err)
	}
	err = c.WriteRetry(b.t.Context(), "retry", Retry{
		Destination: dest, Command: command, SourceTime: original.Time, Searched: searched,
		Source: usync.Position{Topic: "users", Partition: partition, Offset: offset}, Key: original.Key, Value: original.Value, Headers: original.Headers,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	tp := TopicPartition{"retry", partition}
	_, end, err := c.Bounds(b.t.Context(), tp)
	if err != nil {
		b.t.Fatal(err)
	}
	b.ends[tp] = end
}

// givenUp: user 2 has its first change, at offset 0 of partition 0, in the
// dead-letter topic of both destinations, and the vendors accept everybody now.
func (b *bubble) givenUp() *worker {
	b.t.Helper()
	w := b.start()
	b.reject("2")
	b.write("2", name(1))
	b.writeAll(numbers(10, 15)...)
	others := 16
	b.until(time.Hour, "both have given up", func() bool {
		b.write("14", name(others)) // someone to compare with
		others++
		return b.ledger.letters(destTaptalk) == 1 && b.ledger.letters(destHaptik) == 1
	})
	b.latency(20 * time.Millisecond)
	b.commits(10*time.Minute, both...)
	return w
}

// retried checks how many records of the retry topic ended so.
func (w *worker) retried(dest, outcome string, want float64) {
	w.b.t.Helper()
	if n := w.metric("retry_records_total", "destination", dest, "outcome", outcome); n != want {
		w.b.t.Errorf("%s: %v records of the retry topic are %s, want %v", dest, n, outcome, want)
	}
}

// unread keeps a topic from being read until it is removed.
func (b *bubble) unread(topic string) *kfake.FaultHandle {
	return b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: -1})
}

// end0 is where partition 0 of the source ends.
func (b *bubble) end0() int64 { return b.ends[users0] }

// TestReplay replays a dead letter of which nothing newer is there, to one of the
// destinations.
func TestReplay(t *testing.T) {
	inRetries(t, func(b *bubble) {
		w := b.givenUp()
		b.retry(destTaptalk, "2", 0, b.end0())
		b.settles(time.Minute)
		if tap, hap := b.has(destTaptalk, "2"), b.has(destHaptik, "2"); tap != name(1) || hap != "" {
			b.t.Errorf("TapTalk has %q and Haptik %q", tap, hap)
		}
		w.retried(destTaptalk, retrySubmitted, 1)
		w.retried(destHaptik, retryElsewhere, 1)
	})
}

// newerThanReplay are the places where something newer than a replayed change can be,
// that was written after the command has looked.
var newerThanReplay = map[string]func(b *bubble, w *worker, replay func()){
	"waiting": func(b *bubble, _ *worker, replay func()) {
		b.both(vendortest.Rule{Status: 503})
		b.writeAll("2", "14")
		time.Sleep(30 * time.Second)
		replay()
		time.Sleep(30 * time.Second)
		b.latency(20 * time.Millisecond)
	},
	"in flight": func(b *bubble, _ *worker, replay func()) {
		b.latency(5 * time.Second)
		b.writeAll("2")
		time.Sleep(2 * time.Second)
		replay()
	},
	"delivered": func(b *bubble, _ *worker, replay func()) {
		b.writeAll("2")
		b.commits(time.Minute, both...)
		replay()
	},
	"delivered by another worker": func(b *bubble, w *worker, replay func()) {
		b.writeAll("2")
		b.commits(time.Minute, both...)
		w.stop()
		replay()
		b.start()
	},
	"unchanged": func(b *bubble, _ *worker, replay func()) {
		b.writeAll("2")
		b.commits(time.Minute, both...)
		b.writeAll("2")
		b.commits(time.Minute, both...)
		replay()
	},
	"unchanged, and that forgotten": func(b *bubble, w *worker, replay func()) {
		b.writeAll("2")
		b.commits(time.Minute, both...)
		b.writeAll("2")
		b.commits(time.Minute, both...)
		w.kill()
		replay()
		b.start()
	},
	"not read yet": func(b *bubble, w *worker, replay func()) {
		w.stop()
		replay()
		b.writeAll("2")
		b.start()
	},
	"still to come": func(b *bubble, _ *worker, replay func()) {
		b.latency(5 * time.Second)
		replay()
		time.Sleep(2 * time.Second)
		b.writeAll("2")
	},
}

// TestReplayOfAnOldChange replays a dead letter when something newer was written after
// the command has looked. The user must not be taken back (G1); if what was delivered is
// kept, not even when the command has overlooked it.
func TestReplayOfAnOldChange(t *testing.T) {
	for where, test := range newerThanReplay {
		for _, mode := range []struct{ kept, overlooked bool }{{}, {kept: true}, {kept: true, overlooked: true}} {
			t.Run(fmt.Sprintf("%s,kept=%v,overlooked=%v", where, mode.kept, mode.overlooked), func(t *testing.T) {
				inRetries(t, func(b *bubble) {
					if mode.kept {
						b.keeping()
					}
					w := b.givenUp()
					searched := b.end0()
					test(b, w, func() {
						if mode.overlooked {
							searched = b.end0()
						}
						for _, d := range both {
							b.retry(d, "2", 0, searched)
						}
					})
					b.settles(10 * time.Minute)
					for _, d := range both {
						order := b.applied(d, "2")
						if b.has(d, "2") != name(0) || where != "still to come" && slices.Contains(order, name(1)) {
							b.t.Errorf("%s has had %v, the database has %q", d, order, name(0))
						}
					}
				})
			})
		}
	}
}

// TestReplayBeforeAnUndecodable: a newer record of the user cannot be decoded, and its key
// tells whose it is. What it says nobody knows, so an older change is not sent (G1).
func TestReplayBeforeAnUndecodable(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		inRetries(t, func(b *bubble) {
			w := b.givenUp()
			searched := b.end0()
			b.raw(&kgo.Record{Key: []byte(keyOf("2")), Value: []byte("<bad>")})
			time.Sleep(10 * time.Second)
			if restarted { // then it is searched for, and else noted as it is read
				w.stop()
				w = b.start()
			}
			b.retry(destTaptalk, "2", 0, searched)
			time.Sleep(time.Minute)
			w.retried(destTaptalk, retrySuperseded, 1)
			if sent := b.applied(destTaptalk, "2"); len(sent) > 0 {
				t.Errorf("restarted %v: the vendor has had %v", restarted, sent)
			}
			b.private()
		})
	}
}

// TestReplayBehindAnother: a newer change is delivered while the replay waits behind one
// that has to wait.
func TestReplayBehindAnother(t *testing.T) {
	inRetries(t, func(b *bubble) {
		w := b.givenUp()
		end := b.end0()
		unread := b.unread("retry")
		b.retry(destTaptalk, "2", 0, end)
		b.retry(destTaptalk, "10", 1, end+2)
		b.retry(destTaptalk, "12", 2, end)
		unread.Remove()
		time.Sleep(10 * time.Second)
		b.write("12", name(50))
		time.Sleep(10 * time.Second)
		b.write("14", name(51))
		b.settles(time.Minute)
		w.retried(destTaptalk, retrySubmitted, 2)
		w.retried(destTaptalk, retrySuperseded, 1)
	})
}

// TestReplayThatLandsLate: a worker is killed with the call of a replay on the wire. The
// next owner delivers a newer change, and only then the vendor applies the replay (G1).
func TestReplayThatLandsLate(t *testing.T) {
	for does, late := range map[string]time.Duration{
		"the replay is read with the newer change":            0,
		"the replay is read when the newer change is settled": 5 * time.Second,
		"the replay is read when it has landed":               5 * time.Minute,
	} {
		for _, kept := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,kept=%v", does, kept), func(t *testing.T) {
				inRetries(t, func(b *bubble) {
					if kept {
						b.keeping()
					}
					replayLandsLate(b, late)
				})
			})
		}
	}
}

func replayLandsLate(b *bubble, late time.Duration) {
	w := b.givenUp()
	b.both(vendortest.Rule{Answer: vendortest.Hang, ApplyAfter: 58 * time.Second, User: "2", Last: 1})
	calls := b.tap.Calls() + b.hap.Calls()
	for _, d := range both {
		b.retry(d, "2", 0, b.end0())
	}
	b.until(10*time.Second, "both calls are on the wire", func() bool { return b.tap.Calls()+b.hap.Calls() == calls+2 })
	w.kill()
	b.writeAll("2")
	unread := b.unread("retry")
	next := b.start()
	b.until(2*time.Minute, "the newer change is delivered", func() bool { return b.has(destTaptalk, "2") == name(0) && b.has(destHaptik, "2") == name(0) })
	time.Sleep(late)
	unread.Remove()
	b.settles(10 * time.Minute)
	for _, d := range both {
		if order := b.applied(d, "2"); !slices.Equal(order, []string{name(0), name(1), name(0)}) {
			b.t.Errorf("%s has had %v", d, order)
		}
		next.retried(d, retryMended, 1)
	}
}

// TestReplayWaitsForTheSource: what the command has looked at must have been read, or
// it would be delivered after the replay. It waits for as long as the source cannot be
// fetched.
func TestReplayWaitsForTheSource(t *testing.T) {
	inRetries(t, func(b *bubble) {
		w := b.givenUp()
		for _, d := range both {
			b.retry(d, "2", 0, b.end0()+1)
		}
		unread := b.unread("users")
		b.write("14", name(0))
		time.Sleep(10 * time.Minute)
		if !b.said("waits until its source partition is read", "offset=0") || b.has(destTaptalk, "2") != "" {
			b.t.Error("it did not wait, or did not say so")
		}
		unread.Remove()
		b.settles(time.Minute)
		w.retried(destTaptalk, retrySubmitted, 1)
		if b.has(destTaptalk, "2") != name(1) {
			b.t.Error("it was not replayed in the end")
		}
	})
}

// TestRetryRecordsThatAreNone: nothing that somebody may have written to the retry topic
// stops it, or harms a user.
func TestRetryRecordsThatAreNone(t *testing.T) {
	inRetries(t, func(b *bubble) {
		w := b.givenUp()
		header := func(name, value string) kgo.RecordHeader {
			return kgo.RecordHeader{Key: headerPrefix + name, Value: []byte(value)}
		}
		with := func(value string, edit ...kgo.RecordHeader) *kgo.Record {
			r := &kgo.Record{Topic: "retry", Key: []byte(keyOf("14")), Value: []byte(value), Headers: append([]kgo.RecordHeader{
				header("destination", destTaptalk), header("command", "replay"), header("source.topic", "users"),
				header("source.partition", "0"), header("source.offset", "0"), header("searched", "1"),
			}, edit...)}
			return r
		}
		row := `{"id":14,"full_name":"` + name(99) + `"}`
		b.raw(
			&kgo.Record{Topic: "retry", Key: []byte(keyOf("14")), Value: []byte(row)},
			with(row, header("destination", "")),
			with(row, header("command", "drop")),
			with(row, header("source.topic", "others")),
			with(row, header("source.partition", "1")),
			with(row, header("source.offset", "x")),
			with(row, header("source.offset", "-1")),
			with(row, header("searched", "0")),
			with("<bad>"),
		)
		b.settles(time.Minute)
		w.retried(destTaptalk, retryMalformed, 8)
		w.retried(destTaptalk, retryBad, 1)
		b.retry(destTaptalk, "2", 0, b.end0())
		b.settles(time.Minute)
		if b.has(destTaptalk, "2") != name(1) {
			b.t.Error("what came after them was not replayed")
		}
	})
}

// TestReplayOfWhatCannotBeSearched: retention has removed what came after the command
// had looked, so nobody knows whether there was something newer.
func TestReplayOfWhatCannotBeSearched(t *testing.T) {
	inRetries(t, func(b *bubble) {
		w := b.givenUp()
		searched := b.end0()
		original := b.end0() - 1
		b.writeAll("2", "14", "16")
		b.commits(time.Minute, both...)
		w.stop()
		b.retry(destTaptalk, "14", original, searched)
		if err := b.kafka.DeleteRecords("users", 0, b.end0()); err != nil {
			b.t.Fatal(err)
		}
		w = b.start()
		b.settles(time.Minute)
		w.retried(destTaptalk, retryOutdated, 1)
	})
}
