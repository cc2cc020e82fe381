package app

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"usersync/consumer"
	"usersync/metrics"
)

// series is what a worker's metrics say of one destination, by name without the prefix.
type series map[string][]*dto.Metric

// readSeries gathers what there is of each destination.
func readSeries(g prometheus.Gatherer) (map[string]series, error) {
	families, err := g.Gather()
	if err != nil {
		return nil, fmt.Errorf("gathering the metrics: %w", err)
	}
	return byDestination(slices.Values(families)), nil
}

// byDestination keeps of metrics what is a worker's, for each destination; those of none
// have an empty name.
func byDestination(families iter.Seq[*dto.MetricFamily]) map[string]series {
	all := map[string]series{}
	for f := range families {
		name, ours := strings.CutPrefix(f.GetName(), "usersync_")
		if !ours {
			continue
		}
		for _, m := range f.GetMetric() {
			d := labelOf(m, "destination")
			if all[d] == nil {
				all[d] = series{}
			}
			all[d][name] = append(all[d][name], m)
		}
	}
	return all
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// valueOf is the value of a counter, a gauge, or what is not said to be either.
func valueOf(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
}

// sum adds up the series of that name.
func (s series) sum(name string) float64 {
	var sum float64
	for _, m := range s[name] {
		sum += valueOf(m)
	}
	return sum
}

// of returns the value of the series of which a label has that value.
func (s series) of(name, label, value string) float64 {
	var sum float64
	for _, m := range s[name] {
		if labelOf(m, label) == value {
			sum += valueOf(m)
		}
	}
	return sum
}

// maxWords is how many values of a label are named in one line.
const maxWords = 10

// split names the values of a label of what is not 0, the largest first:
// "rejected: 3; refused: 1".
func (s series) split(name, label string) string {
	found := slices.DeleteFunc(slices.Clone(s[name]), func(m *dto.Metric) bool { return valueOf(m) == 0 })
	slices.SortStableFunc(found, func(a, b *dto.Metric) int { return cmp.Compare(valueOf(b), valueOf(a)) })
	var words []string
	for _, m := range found[:min(len(found), maxWords)] {
		words = append(words, clip(labelOf(m, label))+": "+number(valueOf(m)))
	}
	if more := len(found) - maxWords; more > 0 {
		var rest float64
		for _, m := range found[maxWords:] {
			rest += valueOf(m)
		}
		words = append(words, plural(float64(more), "other")+": "+number(rest))
	}
	return strings.Join(words, "; ")
}

// moment is the time that a gauge holds; zero if there was none.
func (s series) moment(name string) time.Time {
	seconds := s.sum(name)
	if seconds == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(seconds * 1000))
}

// reading is what the metrics say of a destination.
type reading struct {
	series
	now        time.Time
	state      string // of the lane
	oldest     time.Time
	partitions []partition // those that need somebody first, then by lag
	lag        float64     // of all
}

// partition is one that this worker owns.
type partition struct {
	consumer.TopicPartition
	waits, halted                              string // why it is not read
	measured                                   bool
	frontier, lag, uncommitted, room, deadline float64
}

func read(s series, now time.Time) *reading {
	r := &reading{series: s, now: now, state: metrics.StateRunning, oldest: s.moment("oldest_pending_event_timestamp_seconds")}
	for _, m := range s["lane_state"] {
		if reason := labelOf(m, "reason"); valueOf(m) == 1 && reason != metrics.StateRunning {
			r.state = reason
		}
	}
	owned := map[consumer.TopicPartition]*partition{}
	each := func(name string, take func(*partition, *dto.Metric)) {
		for _, m := range s["consumer_"+name] {
			n, err := strconv.Atoi(labelOf(m, "partition"))
			if err != nil {
				continue // no number is written by nobody
			}
			tp := consumer.TopicPartition{Topic: labelOf(m, "topic"), Partition: n}
			if owned[tp] == nil {
				owned[tp] = &partition{TopicPartition: tp}
			}
			take(owned[tp], m)
		}
	}
	each("lag_records", func(p *partition, m *dto.Metric) { p.lag = valueOf(m) })
	each("uncommitted_records", func(p *partition, m *dto.Metric) { p.uncommitted = valueOf(m) })
	each("retention_headroom_records", func(p *partition, m *dto.Metric) { p.room = valueOf(m) })
	each("retention_headroom_seconds", func(p *partition, m *dto.Metric) { p.deadline = valueOf(m) })
	each("frontier_offset", func(p *partition, m *dto.Metric) { p.frontier, p.measured = valueOf(m), true })
	each("partition_waiting", func(p *partition, m *dto.Metric) { p.waits = labelOf(m, "reason") })
	each("partition_halted", func(p *partition, m *dto.Metric) { p.halted = labelOf(m, "reason") })
	for _, p := range owned {
		r.partitions = append(r.partitions, *p)
		r.lag += p.lag
	}
	slices.SortFunc(r.partitions, worseFirst)
	return r
}

// owned returns a partition, nil if this worker does not own it.
func (r *reading) owned(tp consumer.TopicPartition) *partition {
	i := slices.IndexFunc(r.partitions, func(p partition) bool { return p.TopicPartition == tp })
	if i < 0 {
		return nil
	}
	return &r.partitions[i]
}

// worseFirst puts what is not read before what is, and then goes by lag.
func worseFirst(a, b partition) int {
	rank := func(p partition) int {
		switch {
		case p.halted != "":
			return 0
		case p.waits != "":
			return 1
		default:
			return 2
		}
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.lag, a.lag),
		cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// row is a partition in words.
func (p *partition) row() partitionRow {
	row := partitionRow{
		Name: fmt.Sprintf("%s/%d", clip(p.Topic), p.Partition), Is: "read",
		Lag: "?", Uncommitted: "?", Frontier: "?", Headroom: "not known yet",
	}
	switch {
	case p.halted != "":
		row.Is = "halted: " + p.halted
	case p.waits != "":
		row.Is = "waits: " + p.waits
	}
	if !p.measured {
		return row
	}
	// An offset is looked up elsewhere, so it has no commas.
	row.Lag, row.Uncommitted, row.Frontier = number(p.lag), number(p.uncommitted), strconv.FormatFloat(p.frontier, 'f', 0, 64)
	switch {
	case p.lag == 0:
		row.Headroom = "nothing waits"
	case math.IsInf(p.deadline, 1):
		row.Headroom = "retention has removed nothing of late; " + number(p.room) + " records away"
	default:
		row.Headroom = span(time.Duration(min(p.deadline, 1e9))*time.Second) + ", " + number(p.room) + " records away"
	}
	return row
}
