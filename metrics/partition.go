package metrics

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Partition is the series of one owned partition. After its revoke it may still
// be written to, without effect on what is exposed.
type Partition struct {
	// Records counts the records fetched of the partition's topic.
	Records prometheus.Counter

	consumer        *Consumer
	key             partitionKey
	lag             prometheus.Gauge
	uncommitted     prometheus.Gauge
	headroom        prometheus.Gauge
	headroomSeconds prometheus.Gauge

	mu    sync.Mutex
	trend trend
}

// Progress is where a partition stands. The offsets are those of the next record.
type Progress struct {
	LogStart int64 // the oldest record that the broker still has
	Frontier int64 // the first offset that may not be committed yet
	Position int64 // up to where records have been read and registered
	LogEnd   int64 // where the next record will be written
}

// Observe shows where the partition stands at the time now.
func (p *Partition) Observe(x Progress, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.consumer.settledTo(p, x.Frontier)
	p.lag.Set(float64(max(0, x.LogEnd-x.Frontier)))
	p.uncommitted.Set(float64(max(0, x.Position-x.Frontier)))
	headroom := float64(max(0, x.Frontier-x.LogStart))
	p.headroom.Set(headroom)
	rate := p.trend.observe(x.LogStart, now)
	switch {
	case x.Frontier < x.LogStart: // retention was faster
		p.headroomSeconds.Set(0)
	case x.Frontier >= x.LogEnd || rate == 0:
		p.headroomSeconds.Set(math.Inf(1))
	default:
		p.headroomSeconds.Set(headroom / rate)
	}
}

// settledTo shows the frontier of p. Its series begins here and not with the
// assignment: who reads a lag of 0 must be able to tell whether it was measured.
func (c *Consumer) settledTo(p *Partition, frontier int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.partitions[p.key] == p {
		c.frontier.WithLabelValues(p.key.labels()...).Set(float64(frontier))
	}
}

// haltReasons are the values of the label reason.
var haltReasons = []string{"out_of_range_below", "out_of_range_above", "topic_gone", "topic_recreated", "corrupt"}

// Halt shows that the partition is not read any more, and why. Of several
// reasons each is shown, until the revoke.
func (p *Partition) Halt(reason string) {
	if !slices.Contains(haltReasons, reason) {
		reason = other
	}
	p.show(p.consumer.halted, reason)
}

// The reasons why a partition is not read.
const (
	WaitsForOlder  = "added"       // it was added later: the older partitions are read first
	WaitsForLeader = "unreachable" // nothing is committed for it, and its leader does not say where it starts
	WaitsForState  = "state"       // what was delivered is not loaded yet
	WaitsForFetch  = "fetch"       // it cannot be fetched for more than a moment: nobody knows what it holds by now
)

// Wait shows that the partition is not read, and why, until Ready or the revoke. reason
// is one of the constants.
func (p *Partition) Wait(reason string) { p.show(p.consumer.waiting, reason) }

// Ready shows that the partition does not wait for that reason any more.
func (p *Partition) Ready(reason string) {
	c := p.consumer
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting.DeleteLabelValues(append(p.key.labels(), reason)...)
}

// show sets a series to 1, unless Revoke has deleted it: a late report must not
// bring it back.
func (p *Partition) show(vec *prometheus.GaugeVec, reason string) {
	c := p.consumer
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.partitions[p.key] == p {
		vec.WithLabelValues(append(p.key.labels(), reason)...).Set(1)
	}
}

// Kafka does not say when it will delete a record: that follows from time and
// size limits, by whole segments, every few minutes. What can be seen is how far
// the log's start moved. The trend looks back for one to two windows, so that what
// moved before is forgotten. Within less than minTrend a segment that went says
// nothing about the next: it counts as if it had taken that long.
const (
	trendWindow = 6 * time.Hour
	minTrend    = time.Hour
)

// trend is how fast a log's start moves.
type trend struct {
	from, next mark // next takes the place of from once it is a window old
}

type mark struct {
	at     time.Time
	offset int64
}

// observe returns the records a second that retention deleted of late.
func (t *trend) observe(start int64, now time.Time) float64 {
	m := mark{now, start}
	if t.from.at.IsZero() || start < t.from.offset { // the first look, or another log
		t.from, t.next = m, m
	}
	if now.Sub(t.next.at) >= trendWindow {
		t.from, t.next = t.next, m
	}
	return float64(start-t.from.offset) / max(now.Sub(t.from.at), minTrend).Seconds()
}
