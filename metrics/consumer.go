package metrics

import (
	"math"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Consumer is the stage that speaks to Kafka: membership, fetching, commits.
type Consumer struct {
	// Generations counts the group generations joined.
	Generations prometheus.Counter
	// Errors counts Kafka requests that failed, by operation: join, metadata,
	// list_offsets, offset_fetch, fetch, commit, leave, control.
	Errors *Counters
	// Commits counts commit requests by outcome.
	Commits Commits
	// CommitDuration is in seconds, from sending a commit to its answer.
	CommitDuration prometheus.Histogram
	// LastCommit is the Unix time in seconds of the last accepted commit.
	LastCommit prometheus.Gauge
	// LeaseValid is 1 while calls may start: membership was proven by a commit
	// less than half a session timeout ago.
	LeaseValid prometheus.Gauge
	// Drains counts the ends of generations with partitions.
	Drains Drains
	// DrainDuration is in seconds, from the revoke or the shutdown until the
	// last call had ended.
	DrainDuration prometheus.Histogram
	// ControlIgnored is how many records of the control topic are not understood.
	ControlIgnored prometheus.Gauge
	// ControlUnreadable is 1 while the control topic cannot be read: what operators say
	// is not heard then, and calls go on with what was said before.
	ControlUnreadable prometheus.Gauge
	// EndAheadWaits counts how often a partition's changes had to wait until a
	// commit had announced that calls may be made for them.
	EndAheadWaits prometheus.Counter

	records         *prometheus.CounterVec
	assigned        *prometheus.GaugeVec
	halted          *prometheus.GaugeVec
	waiting         *prometheus.GaugeVec
	topics          *prometheus.GaugeVec
	frontier        *prometheus.GaugeVec
	lag             *prometheus.GaugeVec
	uncommitted     *prometheus.GaugeVec
	headroom        *prometheus.GaugeVec
	headroomSeconds *prometheus.GaugeVec

	mu         sync.Mutex
	partitions map[partitionKey]*Partition
}

// Commits is the commit requests by what became of them.
type Commits struct {
	Success prometheus.Counter // every partition was accepted
	Stale   prometheus.Counter // the generation is over: another member may own the partitions
	Error   prometheus.Counter // anything else
}

// Drains is the ends of generations by how they went.
type Drains struct {
	Complete prometheus.Counter // every call in flight had its answer
	Cut      prometheus.Counter // the deadline passed, or the membership was lost, and calls were cancelled
}

type partitionKey struct {
	topic     string
	partition int
}

func (k partitionKey) labels() []string { return []string{k.topic, strconv.Itoa(k.partition)} }

func newConsumer(f factory) *Consumer {
	commits := f.counterVec("consumer_commits_total", "Offset commits by outcome.", "outcome")
	drains := f.counterVec("consumer_drains_total",
		"Ends of generations by whether every call in flight had its answer.", "outcome")
	return &Consumer{
		Generations: f.counter("consumer_generations_total", "Consumer group generations joined."),
		Errors: f.counters("consumer_errors_total", "Kafka requests that failed, by operation.", []string{"op"},
			each("join", "metadata", "list_offsets", "offset_fetch", "fetch", "commit", "leave", "control")...),
		Commits: Commits{
			Success: commits.WithLabelValues("success"),
			Stale:   commits.WithLabelValues("stale"),
			Error:   commits.WithLabelValues("error"),
		},
		CommitDuration: f.histogram("consumer_commit_duration_seconds", "Time from sending an offset commit to its answer.",
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10),
		LastCommit: f.gauge("consumer_last_commit_timestamp_seconds", "When the last offset commit was accepted; 0 before the first."),
		LeaseValid: f.gauge("lease_valid", "1 while a recent commit proves membership, so that calls may start."),
		Drains: Drains{
			Complete: drains.WithLabelValues("complete"),
			Cut:      drains.WithLabelValues("cut"),
		},
		DrainDuration: f.histogram("consumer_drain_duration_seconds", "Time from a revoke or a shutdown until the last call had ended.",
			.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 60),
		ControlIgnored: f.gauge("control_ignored_records", "Records of the control topic that are of an unknown kind or version, or malformed."),
		ControlUnreadable: f.gauge("control_unreadable",
			"1 while the control topic cannot be read, so that a pause or an acceptance is not heard."),
		EndAheadWaits: f.counter("consumer_end_ahead_waits_total",
			"Times that a partition's changes waited for the commit that announces calls for them."),

		records:  f.counterVec("consumer_records_total", "Records fetched.", "topic"),
		assigned: f.gaugeVec("consumer_assigned_partitions", "Partitions owned.", "topic"),
		halted: f.gaugeVec("consumer_partition_halted",
			"1 if the partition is owned but no longer read, by the reason.", "topic", "partition", "reason"),
		waiting: f.gaugeVec("consumer_partition_waiting",
			"1 if the partition is owned and not read yet, or not at the moment, by the reason.", "topic", "partition", "reason"),
		topics: f.gaugeVec("consumer_topic_partitions", "Partitions that the topic has, whoever owns them.", "topic"),
		frontier: f.gaugeVec("consumer_frontier_offset",
			"Offset of the first record that is not settled, up to which may be committed; absent until the log was seen.", "topic", "partition"),
		lag: f.gaugeVec("consumer_lag_records",
			"Log end minus the offset that may be committed.", "topic", "partition"),
		uncommitted: f.gaugeVec("consumer_uncommitted_records",
			"Offset up to which records were read minus the offset that may be committed.", "topic", "partition"),
		headroom: f.gaugeVec("consumer_retention_headroom_records",
			"Records that retention may still delete before it deletes one that was not delivered.", "topic", "partition"),
		headroomSeconds: f.gaugeVec("consumer_retention_headroom_seconds",
			"Time until retention deletes a record that was not delivered, if nothing more is delivered and the log's start moves on as in the last hours; "+
				"+Inf while it does not move or nothing waits.", "topic", "partition"),
		partitions: map[partitionKey]*Partition{},
	}
}

// Topics shows how many partitions each topic has. One that is not named is gone.
func (c *Consumer) Topics(partitions map[string]int) {
	c.topics.Reset()
	for topic, n := range partitions {
		c.topics.WithLabelValues(label(topic)).Set(float64(n))
	}
}

// Assign makes the series of a partition that this process now owns. For one
// that is owned already it returns the same Partition.
func (c *Consumer) Assign(topic string, partition int) *Partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := partitionKey{label(topic), partition}
	if p, ok := c.partitions[k]; ok {
		return p
	}
	labels := k.labels()
	p := &Partition{
		Records:         c.records.WithLabelValues(k.topic),
		consumer:        c,
		key:             k,
		lag:             c.lag.WithLabelValues(labels...),
		uncommitted:     c.uncommitted.WithLabelValues(labels...),
		headroom:        c.headroom.WithLabelValues(labels...),
		headroomSeconds: c.headroomSeconds.WithLabelValues(labels...),
	}
	// Until a record of it is known nothing waits, in an empty topic for good; the 0 of a
	// new gauge would say that retention was faster.
	p.headroomSeconds.Set(math.Inf(1))
	c.partitions[k] = p
	c.assigned.WithLabelValues(k.topic).Inc()
	return p
}

// Revoke deletes the series of a partition that this process no longer owns:
// a lag that nobody measures any more must not stay on show. The counter of the
// topic's records stays. A partition that is not owned is left alone.
func (c *Consumer) Revoke(topic string, partition int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := partitionKey{label(topic), partition}
	if _, ok := c.partitions[k]; !ok {
		return
	}
	delete(c.partitions, k)
	c.assigned.WithLabelValues(k.topic).Dec()
	labels := prometheus.Labels{"topic": k.topic, "partition": strconv.Itoa(k.partition)}
	for _, vec := range []*prometheus.GaugeVec{c.halted, c.waiting, c.frontier, c.lag, c.uncommitted, c.headroom, c.headroomSeconds} {
		vec.DeletePartialMatch(labels)
	}
}
