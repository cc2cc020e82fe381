package consumer

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stateTopic makes the state topic, as it should be or not.
func (b *bubble) stateTopic(partitions int, policy string) {
	b.t.Helper()
	if err := b.kafka.CreateTopic("state", int32(partitions), map[string]string{"cleanup.policy": policy}); err != nil {
		b.t.Fatal(err)
	}
}

// unready waits a minute at most until every destination says that it is not ready, and why.
func (w *worker) unready(why string) {
	w.b.t.Helper()
	for dest, p := range w.pipelines {
		w.b.until(time.Minute, fmt.Sprintf("%s is not ready: %s", dest, why), func() bool {
			err := p.Ready()
			return err != nil && strings.Contains(err.Error(), why)
		})
	}
}

// ready fails unless every destination is.
func (w *worker) ready() {
	w.b.t.Helper()
	for _, p := range w.pipelines {
		if err := p.Ready(); err != nil {
			w.b.t.Error(err)
		}
	}
}

// TestStateCannotBeRead: a partition whose state cannot be read makes no call and passes
// no offset, says what is wrong, and goes on by itself when that is mended.
func TestStateCannotBeRead(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(b *bubble)
		why   string
		mend  func(b *bubble)
	}{
		"no topic": {
			func(*bubble) {}, "topic state does not exist", func(b *bubble) { b.stateTopic(2, "compact") },
		},
		"too few partitions": {
			func(b *bubble) { b.stateTopic(1, "compact") }, "topic state has 1 partitions, and this is number 1",
			func(b *bubble) {
				if err := b.kafka.client("state").grow(b.t.Context(), "state", 2); err != nil {
					b.t.Fatal(err)
				}
			},
		},
		"not compacted": {
			func(b *bubble) { b.stateTopic(2, "delete") }, `cleanup.policy is "delete"`,
			func(b *bubble) {
				if err := b.kafka.DeleteTopic("state"); err != nil {
					b.t.Fatal(err)
				}
				b.stateTopic(2, "compact")
			},
		},
		"a record of a later version": {
			func(b *bubble) {
				b.stateTopic(2, "compact")
				for _, dest := range both {
					key := statePrefix("usersync."+dest, "users") + voidKey
					b.kafka.produce(&kgo.Record{Topic: "state", Partition: 1, Key: []byte(key), Value: []byte{stateFormat + 1}})
				}
			}, "the value has no known form", func(b *bubble) { b.remakeState(nil) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				tc.spoil(b)
				w := b.start(func(c *Config) { c.State = stateOf() })
				b.write("1", "somebody")
				w.unready(tc.why)
				time.Sleep(time.Minute)
				if now := b.saved(); len(now) > 0 {
					t.Errorf("users were saved: %v", now)
				}
				tc.mend(b)
				b.settles(2 * time.Minute)
				w.ready()
			})
		})
	}
}

// TestStateTopicIsMade: what is missing of the topic is made, if that is allowed.
func TestStateTopicIsMade(t *testing.T) {
	for _, have := range []int{0, 1} {
		t.Run(fmt.Sprint(have), func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				if have > 0 {
					b.stateTopic(have, "compact")
				}
				w := b.start(func(c *Config) {
					c.State = stateOf()
					c.State.Create = true
				})
				b.write("1", "somebody")
				b.settles(2 * time.Minute)
				w.ready()
				client := b.kafka.client("state", "users")
				found, err := CheckState(b.t.Context(), client, []string{"users"}, "state", false)
				if err != nil || len(found) > 0 {
					t.Errorf("CheckState: %v, %v", found, err)
				}
			})
		})
	}
}

// TestStateTopicIsAskedAboutOnce: a rebalance of many partitions is no storm of requests,
// and neither is it when the topic is not as it must be.
func TestStateTopicIsAskedAboutOnce(t *testing.T) {
	const partitions = 20
	inBubble(t, partitions, func(b *bubble) {
		b.stateTopic(partitions, "delete")
		asked := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Resource: "state", Observe: true, Count: -1})
		began := time.Now()
		w := b.start(func(c *Config) { c.State = stateOf() })
		w.unready(`cleanup.policy is "delete"`)
		time.Sleep(time.Minute) // virtual time
		looks := len(both) * int(time.Since(began)/loadAgain+1)
		if n := asked.Hits(); n < looks/2 || n > looks {
			t.Errorf("it was asked %d times while the topic was not as it must be, want about %d", n, looks)
		}
		if err := b.kafka.DeleteTopic("state"); err != nil {
			t.Fatal(err)
		}
		b.stateTopic(partitions, "compact")
		time.Sleep(time.Minute) // virtual time
		w.ready()
		w.stop()
		before := asked.Hits()
		w = b.start(func(c *Config) { c.State = stateOf() })
		b.write("1", "somebody")
		b.settles(time.Minute)
		w.ready()
		if n, want := asked.Hits()-before, len(both); n != want {
			t.Errorf("it was asked %d times at a start, want once for each of %d destinations", n, want)
		}
	})
}

// TestStateTopicCannotBeMade: that is asked for once in a while, not by each partition.
func TestStateTopicCannotBeMade(t *testing.T) {
	const partitions = 20
	inBubble(t, partitions, func(b *bubble) {
		asked := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		began := time.Now()
		w := b.start(func(c *Config) {
			c.State = stateOf()
			c.State.Create = true
		})
		w.unready("making the topic state")
		time.Sleep(time.Minute) // virtual time
		if n, most := asked.Hits(), len(both)*int(time.Since(began)/loadAgain+1); n < most/2 || n > most {
			t.Errorf("it was asked for %d times, want about %d", n, most)
		}
		asked.Remove()
		b.write("1", "somebody")
		b.settles(time.Minute)
		w.ready()
	})
}

// TestStateLoadIsSaid: a load that takes long says now and then how far it is, and its
// partition is shown to wait as long as that.
func TestStateLoadIsSaid(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.keeping()
		w := b.start()
		b.hot()
		b.rowsOf(numbers(1, 600)...)
		b.settles(5 * time.Minute)
		w.stop()
		const each = 2 * time.Second // of a fetch
		b.kafka.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.kafka.KeepControl()
			if f := req.(*kmsg.FetchRequest); len(f.Topics) == 1 && f.Topics[0].Topic == "state" {
				b.kafka.SleepControl(func() { time.Sleep(each) }) // virtual time
			}
			return nil, nil, false
		})
		began := time.Now()
		w = b.start()
		w.shows(time.Minute, 1, "state_loading_partitions")
		b.until(time.Minute, "it is said how far it is", func() bool {
			return b.said("loading the state", "topic=users", "partition=0", "percent=")
		})
		w.shows(time.Second, 1, "state_loading_partitions")
		if w.metric("state_loaded_records_total", "destination", destTaptalk) == 0 {
			t.Error("no record is counted yet")
		}
		w.shows(10*time.Minute, 0, "state_loading_partitions")
		if n, most := strings.Count(b.logs.String(), "loading the state"), len(both)*int(time.Since(began)/progressEvery); n > most {
			t.Errorf("it was said %d times, want at most %d", n, most)
		}
	})
}

// TestStateCannotBeWritten: calls go on, under the lease, no offset is passed that
// depends on what is not written, and that is said; it is made up for by itself.
func TestStateCannotBeWritten(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.keeping()
		w := b.start()
		b.hot()
		b.write("1", "before")
		b.settles(time.Minute)
		passed := b.ends[TopicPartition{"users", 0}]
		var mended atomic.Bool
		b.kafka.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.kafka.KeepControl()
			produce := req.(*kmsg.ProduceRequest)
			if mended.Load() || len(produce.Topics) != 1 || produce.Topics[0].Topic != "state" {
				return nil, nil, false
			}
			res := produce.ResponseKind().(*kmsg.ProduceResponse)
			res.Topics = []kmsg.ProduceResponseTopic{{Topic: "state", Partitions: []kmsg.ProduceResponseTopicPartition{{
				ErrorCode: kerr.NotEnoughReplicas.Code,
			}}}}
			return res, nil, true
		})
		b.write("1", "while")
		w.unready("the state of users/0 cannot be written")
		time.Sleep(2 * time.Minute) // longer than a lease
		b.write("2", "while")
		time.Sleep(time.Minute)
		b.right(both...)
		b.holds(TopicPartition{"users", 0}, passed)
		mended.Store(true)
		b.settles(time.Minute)
		w.ready()
	})
}

// TestStateIsAway: the brokers do not answer for the state topic when a worker starts.
func TestStateIsAway(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.ListOffsets, kmsg.Fetch} {
		t.Run(key.Name(), func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				b.keeping()
				w := b.start() // there is something to read afterwards
				b.write("1", "before")
				b.settles(time.Minute)
				w.stop()
				away := b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Topic: "state", Err: kerr.UnknownServerError, Count: -1})
				w = b.start()
				before := b.saved()
				b.write("1", "while")
				w.unready("the state of users/1 cannot be read")
				time.Sleep(2 * time.Minute)
				b.calledMore(before, 0)
				away.Remove()
				b.settles(time.Minute)
				b.calledMore(before, 1)
				w.ready()
			})
		})
	}
}
