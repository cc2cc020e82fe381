package watch

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/e2e/vendors"
	"usersync/e2e/worker"
	"usersync/sync/vendortest"
)

// cause is a trouble, and the alerts that it must raise.
type cause struct {
	name    string // of the namespace
	alerts  []string
	more    worker.Config // over that of all
	vendors bool          // of its own, which can be in trouble
	linked  bool          // the worker reaches Kafka through a link
	quiet   bool          // nobody changes by himself
	trouble func(p *place)
	mend    func(p *place)
}

const (
	taptalk = vendors.TapTalk
	haptik  = vendors.Haptik
)

// poison are users that TapTalk rejects, where it takes others.
func poison(users ...string) []vendortest.Rule {
	var rules []vendortest.Rule
	for _, user := range users {
		rules = append(rules, vendortest.Rule{User: user, Code: "40002", Field: "fullName"})
	}
	return rules
}

// well has both vendors do as they are asked.
func well(p *place) {
	p.d.Vendors.SetRules(taptalk)
	p.d.Vendors.SetRules(haptik)
	p.d.Vendors.SetKeys(taptalk)
}

// again makes a topic that was deleted, as soon as its name is free.
func again(what string) func(p *place) {
	return func(p *place) {
		p.t.Helper()
		worker.Until(p.t, worker.Limit, "the topic is there again", func() bool {
			return p.kafka.CreateTopic(p.t.Context(), p.topic(what), 1, settings(what)) == nil
		})
	}
}

// causes are all of them, each in a namespace of its own.
var causes = slices.Concat(vendorCauses, recordCauses, kafkaCauses)

var vendorCauses = []cause{
	{name: "calm", trouble: func(*place) {}, mend: func(*place) {}},
	{
		name: "outage", vendors: true, // TapTalk answers nobody, Haptik rejects everybody
		alerts: []string{"UserSyncDestinationHeld critical", "UserSyncStale critical"},
		trouble: func(p *place) {
			p.d.Vendors.SetRules(taptalk, vendortest.Rule{Status: 503})
			p.d.Vendors.SetRules(haptik, vendortest.Rule{Status: 400})
		},
		mend: well,
	},
	{
		name: "key", vendors: true, // TapTalk says so inside a 200
		alerts: []string{"UserSyncDestinationRefused critical"},
		trouble: func(p *place) {
			p.d.Vendors.SetKeys(taptalk, vendortest.Key{ID: "another", Secret: "one"})
			p.d.Vendors.SetRules(haptik, vendortest.Rule{Status: 401})
		},
		mend: well,
	},
	{
		name: "slow", vendors: true,
		more: worker.Config{
			"destinations.taptalk.concurrency": 2, "destinations.haptik.concurrency": 2,
			"destinations.taptalk.window_bytes": 32 << 10, "destinations.haptik.window_bytes": 32 << 10,
		},
		alerts: []string{
			"UserSyncDestinationSlow warning", "UserSyncSaturated warning", "UserSyncWindowFull warning",
			"UserSyncLagGrowing warning", "UserSyncFreshnessBurn critical", "UserSyncFreshnessBurn warning",
		},
		trouble: func(p *place) { p.d.Vendors.Latency(800 * time.Millisecond) },
		mend:    well,
	},
	{
		name: "limit", vendors: true, // TapTalk says so inside a 200
		alerts: []string{"UserSyncDestinationThrottled warning"},
		trouble: func(p *place) {
			p.d.Vendors.SetRules(taptalk, vendortest.Rule{Status: 429, Probability: .3, RetryAfter: time.Second})
			p.d.Vendors.SetRules(haptik, vendortest.Rule{Status: 429, Probability: .3})
		},
		mend: well,
	},
	{
		name: "flaky", vendors: true, // one node of three is bad, and replies are lost
		alerts: []string{"UserSyncDestinationFailing warning", "UserSyncRepliesLost warning"},
		trouble: func(p *place) {
			p.d.Vendors.SetRules(taptalk, vendortest.Rule{Status: 500, Probability: .4})
			p.d.Vendors.SetRules(haptik, vendortest.Rule{Answer: vendortest.Reset, Probability: .2})
		},
		mend: well,
	},
	{
		name: "paused", // and retention goes on, and a partition is added
		alerts: []string{
			"UserSyncPaused warning", "UserSyncPartitionWaiting warning", "UserSyncPartitionWaiting critical",
			"UserSyncRetentionHeadroom critical", "UserSyncRetentionHeadroom warning",
		},
		trouble: func(p *place) {
			p.write(p.changes(1, 200)...)
			p.settled()
			p.usersync("pause", taptalk)
			worker.Until(p.t, worker.Limit, "taptalk is paused", func() bool {
				paused, _ := p.w.Metric("lane_state", `destination="taptalk"`, `reason="paused"`)
				return paused == 1
			})
			p.write(p.changes(1, 50)...)
			committed, err := p.kafka.Committed(p.t.Context(), p.d.Group(taptalk))
			p.must(err)
			p.must(p.kafka.DeleteRecords(p.t.Context(), p.topic("users"), 0, committed[p.topic("users")][0].Offset-10))
			p.must(p.kafka.AddPartitions(p.t.Context(), p.topic("users"), 2))
		},
		mend: func(p *place) {
			p.usersync("resume", taptalk)
			for _, what := range []string{"state", "retry"} { // they have as many as the source
				p.must(p.kafka.AddPartitions(p.t.Context(), p.topic(what), 2))
			}
		},
	},
}

var recordCauses = []cause{
	{
		name: "poison", vendors: true, // dead letters, which cannot be written at first
		alerts: []string{"UserSyncDeadLetterWritesFailing critical"},
		trouble: func(p *place) {
			p.d.Vendors.SetRules(taptalk, poison("901")...)
			p.must(p.kafka.DeleteTopic(p.t.Context(), p.topic("dead")))
			p.write(p.changes(901, 1)...)
		},
		mend: again("dead"),
	},
	{
		name: "letters", vendors: true,
		alerts: []string{"UserSyncDeadLetters warning"},
		trouble: func(p *place) {
			p.d.Vendors.SetRules(taptalk, poison("901", "902")...)
			p.write(p.changes(901, 2)...)
		},
		mend: well,
	},
	{
		name: "latched", vendors: true, // more of them at once than the budget allows
		more:   worker.Config{"dead_letters.budget": 1, "dead_letters.settle": "3s"},
		alerts: []string{"UserSyncDeadLettersLatched critical"},
		trouble: func(p *place) {
			p.d.Vendors.SetRules(taptalk, poison("901", "902", "903", "904")...)
			p.write(p.changes(901, 4)...)
		},
		mend: well,
	},
	{
		name: "format", quiet: true, // no record can be decoded any more
		alerts: []string{"UserSyncUndecodableRecords warning", "UserSyncStalled critical"},
		trouble: func(p *place) {
			p.write(&kgo.Record{Topic: p.topic("users"), Key: []byte(`{"id":1}`), Value: []byte(`<user id="1"/>`)})
		},
		mend: func(p *place) { p.flows = true },
	},
	{
		name: "mapping", quiet: true, // TapTalk takes no ID as long as that
		alerts: []string{"UserSyncUnmappedUsers warning"},
		trouble: func(p *place) {
			id := strings.Repeat("1", 60)
			r := p.changes(1, 1)[0]
			r.Key = []byte(strings.Replace(string(r.Key), `"id":1`, `"id":"`+id+`"`, 1))
			r.Value = []byte(strings.Replace(string(r.Value), `"id":1`, `"id":"`+id+`"`, 1))
			p.write(r)
		},
		mend: func(p *place) { p.flows = true },
	},
	{
		name:   "retries", // somebody else writes to the retry topic
		alerts: []string{"UserSyncRetriesUnusable warning"},
		trouble: func(p *place) {
			p.write(&kgo.Record{Topic: p.topic("retry"), Key: []byte(`{"id":1}`), Value: []byte("garbage")})
		},
		mend: func(*place) {},
	},
	{
		name: "moved", more: worker.Config{"kafka.retry_topic": nil, "kafka.state_topic": nil},
		alerts: []string{"UserSyncPartitionConflicts warning"},
		trouble: func(p *place) {
			p.must(p.kafka.AddPartitions(p.t.Context(), p.topic("users"), 2))
			p.flows = false
			p.settled()
			worker.Until(p.t, worker.Limit, "both partitions are owned", func() bool {
				owned, _ := p.w.Metric("consumer_assigned_partitions", `destination="taptalk"`)
				return owned == 2
			})
			records := append(p.changes(501, 1), p.changes(501, 1)...)
			records[1].Partition = 1
			p.must(p.kafka.ProduceTo(p.t.Context(), records...))
			p.settled()
			more := append(p.changes(501, 20), p.changes(501, 20)...)
			for i, r := range more {
				r.Partition = int32(i / 20)
			}
			p.must(p.kafka.ProduceTo(p.t.Context(), more...))
		},
		mend: func(p *place) { p.flows = true },
	},
}

var kafkaCauses = []cause{
	{
		name: "halted", quiet: true, // retention was faster
		alerts: []string{"UserSyncPartitionHalted critical"},
		trouble: func(p *place) {
			p.write(p.changes(1, 50)...)
			p.settled()
			p.w.Stop()
			p.write(p.changes(1, 50)...)
			p.must(p.kafka.DeleteRecords(p.t.Context(), p.topic("users"), 0, 80))
			p.launch()
		},
		mend: func(p *place) {
			p.usersync("offsets", "accept-loss", taptalk, "--yes")
			p.usersync("offsets", "accept-loss", haptik, "--yes")
		},
	},
	{
		name: "control", alerts: []string{"UserSyncControlUnreadable warning"},
		trouble: func(p *place) { p.must(p.kafka.DeleteTopic(p.t.Context(), p.topic("control"))) },
		mend:    again("control"),
	},
	{
		name: "state", alerts: []string{"UserSyncStateUnwritable critical"},
		trouble: func(p *place) { p.must(p.kafka.DeleteTopic(p.t.Context(), p.topic("state"))) },
		mend:    again("state"),
	},
	{
		name: "killed", alerts: []string{"UserSyncDown critical", "UserSyncDestinationUnserved critical"},
		trouble: func(p *place) { p.w.Kill() },
		mend:    (*place).launch,
	},
	{
		name: "cut", linked: true, alerts: []string{"UserSyncNotMember critical"},
		trouble: func(p *place) { p.kafka.Link(0).Cut() },
		mend:    func(p *place) { p.must(p.kafka.Link(0).Heal(p.t.Context())) },
	},
	{
		name: "crashing", quiet: true, alerts: []string{"UserSyncRestarting critical"},
		trouble: func(p *place) {
			for starts := range 2 {
				p.w.Kill()
				p.launch()
				worker.Until(p.t, worker.Limit, "Prometheus has seen it start", func() bool {
					all, err := p.prometheus.Query(p.t.Context(), `changes(process_start_time_seconds{namespace="crashing"}[2m])`)
					return err == nil && len(all) == 1 && all[0].Points[0].Value == float64(starts+1)
				})
			}
		},
		mend: func(*place) {},
	},
	{
		name: "unseen", quiet: true, more: worker.Config{"kafka.retry_topic": nil, "kafka.state_topic": nil},
		alerts: []string{"UserSyncPartitionsUnseen critical"},
		trouble: func(p *place) {
			p.must(p.kafka.AddPartitions(p.t.Context(), p.topic("users"), 2))
			p.unseen = p.d.Start(p.t, "unseen", nil)
		},
		mend: func(p *place) {
			p.unseen.Stop()
			p.flows = true // the new partition is read from its first record on
		},
	},
	{
		name: "rebalances", alerts: []string{"UserSyncRebalancing warning"},
		trouble: func(p *place) {
			p.d.Start(p.t, "second", nil).Stop()
			p.d.Start(p.t, "third", nil).Stop()
		},
		mend: func(*place) {},
	},
}
