package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/metrics"
	usync "usersync/sync"
)

// TestLeaseIsHalfASession: calls may start only as long as no other member can
// own the partitions (G7).
func TestLeaseIsHalfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lease{length: 20 * time.Second}
		if l.valid() {
			t.Error("valid before anything has proven membership")
		}

		sent := time.Now()
		time.Sleep(8 * time.Second) // the answer is slow; what counts is when it was asked
		l.renew(sent)
		time.Sleep(12*time.Second - 1)
		if !l.valid() {
			t.Error("not valid just before half a session after the commit was sent")
		}
		time.Sleep(time.Nanosecond)
		if l.valid() {
			t.Error("valid half a session after the commit was sent")
		}

		l.renew(time.Now())
		if !l.valid() {
			t.Error("a new proof does not renew it")
		}
		l.end()
		if l.valid() {
			t.Error("valid after the membership was lost")
		}
	})
}

// TestLeaseAfterAFreeze: a process that was stopped between sending a commit and
// reading the answer wakes up without the right to call.
func TestLeaseAfterAFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lease{length: 20 * time.Second}
		sent := time.Now()
		time.Sleep(time.Minute)
		l.renew(sent)
		if l.valid() {
			t.Error("valid a minute after the commit was sent")
		}
	})
}

// TestLeaseAsksBothClocks: the monotonic clock stands still while a machine
// sleeps, and the wall clock can be set to a time before the commit. A clock that
// jumps is made up here by a commit whose wall time is off.
func TestLeaseAsksBothClocks(t *testing.T) {
	for name, jump := range map[string]struct {
		by   time.Duration
		want bool
	}{
		"the machine slept":          {time.Minute, false},
		"set forward a little":       {time.Second, true},
		"set back a little":          {-time.Second, true},
		"set back by half a session": {-20 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lease{length: 20 * time.Second}
				l.renew(time.Now().Round(0).Add(-jump.by))
				if l.valid() != jump.want {
					t.Errorf("valid %v, want %v", l.valid(), jump.want)
				}
			})
		})
	}
}

// TestLeaseRunsFromTheSending: an answer that took long proves no more than what
// was true when the commit was sent.
func TestLeaseRunsFromTheSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := TopicPartition{"users", 0}
		g := &generation{
			Config: &Config{Metrics: metrics.New(nil).For("test")}, p: NewPipeline(Config{Metrics: metrics.New(nil).For("test")}),
			lane: usync.NewLane(usync.LaneConfig{}), gen: &kafka.Generation{}, byName: map[TopicPartition]*owned{tp: {TopicPartition: tp}}, lease: lease{length: 20 * time.Second},
		}
		answer := commitAnswer{
			sent: time.Now(), parts: []PartitionCommit{{TopicPartition: tp}}, ends: []int64{headroom}, named: [][]string{nil},
			codes: map[TopicPartition]kafka.Error{tp: 0},
		}
		time.Sleep(15 * time.Second)
		g.answered(answer)
		if !g.lease.valid() {
			t.Error("no lease 15 s after the sending")
		}
		time.Sleep(6 * time.Second)
		if g.lease.valid() {
			t.Error("G7: still a lease 21 s after the sending, 6 s after the answer")
		}
	})
}
