//go:build faults

package consumer

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/consumer/trace"
	"usersync/sync/vendortest"
)

// day has users that change faster than slow vendors take them, and a worker that
// hands over to another one in the middle of it.
func day(r *red) {
	first := r.start()
	r.hot()
	r.both(vendortest.Rule{Latency: 2 * time.Second})
	n := 0
	busy := func() {
		for range 3 {
			for user := range 10 {
				n++
				r.tell(strconv.Itoa(1+user), n)
			}
			r.watch(time.Second)
		}
	}
	busy()
	r.watch(20 * time.Second)
	busy()
	r.start()
	r.terminate(first)
	r.watch(20 * time.Second)
	busy()
	r.watch(3 * time.Minute)
}

// firstIsSlow has a vendor that takes longer for an older version than for a newer.
func firstIsSlow(r *red) {
	r.start()
	r.hot()
	r.both(vendortest.Rule{User: "1", Latency: 5 * time.Second, First: 1, Last: 1})
	r.tell("1", 1)
	r.watch(time.Second)
	r.tell("1", 2)
	r.watch(time.Minute)
}

// oneIsDown has an outage of one vendor, with more users than its window holds.
func oneIsDown(r *red) {
	r.start()
	r.hot()
	r.down = destHaptik
	r.hap.SetRules(vendortest.Rule{Latency: 400 * time.Millisecond, Status: 503, For: 3 * time.Minute})
	r.writeAll(numbers(1, 400)...)
	r.watch(3 * time.Minute)
	r.watch(3 * time.Minute)
}

// zombie has a coordinator that has given a member's partitions to another one and
// goes on answering its heartbeats, but accepts none of its commits.
func zombie(r *red) {
	w := r.start(func(c *Config) { c.Lane.Concurrency = 2 })
	r.hot()
	r.both(vendortest.Rule{Latency: 480 * time.Millisecond})
	r.writeAll(numbers(1, 300)...)
	r.watch(5 * time.Second)
	members := map[string]bool{}
	for _, e := range r.ledger.Events(func(e trace.Event) bool { return e.Kind == trace.Assigned }) {
		members[e.Member] = true
	}
	r.kafka.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.kafka.KeepControl()
		return nil, nil, members[req.(*kmsg.OffsetCommitRequest).MemberID]
	})
	r.kafka.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.kafka.KeepControl()
		return req.ResponseKind(), nil, members[req.(*kmsg.HeartbeatRequest).MemberID]
	})
	time.Sleep(30 * time.Second) // longer than a lease
	r.writeAll(numbers(1, 300)...)
	for _, d := range both {
		for member := range members {
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group, leave.MemberID = "usersync."+d, member
			leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: member}}
			if _, err := leave.RequestWith(r.t.Context(), r.out); err != nil {
				r.t.Error(err)
			}
		}
	}
	r.start()
	time.Sleep(time.Minute)
	w.kill()
}

// appliedLate has a call whose reply never comes and which is applied after the
// next one was.
func appliedLate(r *red) {
	r.start()
	r.hot()
	r.both(vendortest.Rule{Answer: vendortest.Hang, ApplyAfter: 25 * time.Second, User: "1", Last: 1})
	r.tell("1", 1)
	r.watch(time.Second)
	r.tell("1", 2)
	r.watch(3 * time.Minute)
}

// killedOnTheWire has a worker that is killed with a call on the wire, which is
// applied after its successor's.
func killedOnTheWire(r *red) {
	w := r.start()
	r.hot()
	r.tell("1", 1)
	r.watch(5 * time.Second)
	r.both(vendortest.Rule{Answer: vendortest.Hang, ApplyAfter: 58 * time.Second, User: "1", Last: 1})
	r.tell("1", 2)
	time.Sleep(time.Second)
	w.kill()
	r.start()
	r.tell("1", 3)
	time.Sleep(time.Minute)
	r.watch(3 * time.Minute)
}

// rejectsAll has vendors that reject everything for a while, and then a user whom
// they do not know yet.
func rejectsAll(r *red) {
	r.ledger.poison = func(trace.Event) []string { return nil }
	r.start()
	r.hot()
	r.down = destTaptalk
	r.tap.SetRules(vendortest.Rule{Status: 400, Code: "40002", Field: "fullName"})
	r.tell("1", 1)
	r.tell("2", 2)
	r.watch(10 * time.Minute)
	r.tap.SetRules()
	r.tell("3", 3)
	r.watch(5 * time.Minute)
}

// poisonAndOutage has a user that is rarely wrong, and an outage before its dead
// letter is due.
func poisonAndOutage(r *red) {
	r.ledger.poison = func(wrote trace.Event) []string {
		if wrote.User == "13" {
			return []string{destTaptalk}
		}
		return nil
	}
	r.start(func(c *Config) { c.Lane.Release.Settle = time.Minute })
	r.hot()
	r.down = destTaptalk
	r.tap.SetRules(vendortest.Rule{User: "13", Status: 400, Code: "40002", Field: "fullName"})
	r.tell("13", 1)
	for n := range 20 {
		r.tell("1", 2+n)
		r.watch(time.Second)
	}
	r.tap.SetRules(vendortest.Rule{Status: 503, For: 3 * time.Minute})
	for n := range 5 {
		r.tell(strconv.Itoa(1+n), 100+n)
		r.watch(2 * time.Second)
	}
	r.watch(6 * time.Minute)
}
