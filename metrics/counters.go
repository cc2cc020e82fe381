package metrics

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// other is the label value of what does not get a series of its own.
const other = "other"

// maxExtra is how many series a family may gain after it was made. The label
// values are constants of other packages; this keeps a mistake there from
// becoming a series for each user.
const maxExtra = 200

// Counters is a counter split by one or two labels whose values are few, but
// known in full only to another package. The usual ones exist from the start.
type Counters struct {
	vec   *prometheus.CounterVec
	other []string
	known map[pair]prometheus.Counter // read without a lock: never written again

	mu    sync.Mutex
	extra map[pair]prometheus.Counter
}

// pair is the label values of one series. An array makes a map key without
// allocation.
type pair [2]string

func pairOf(values []string) (p pair) {
	copy(p[:], values)
	return p
}

// counters makes a family; each of known is the label values of one series.
func (f factory) counters(name, help string, labels []string, known ...[]string) *Counters {
	c := &Counters{
		vec:   f.counterVec(name, help, labels...),
		other: slices.Repeat([]string{other}, len(labels)),
		known: make(map[pair]prometheus.Counter, len(known)),
		extra: map[pair]prometheus.Counter{},
	}
	for _, values := range known {
		c.known[pairOf(values)] = c.vec.WithLabelValues(values...)
	}
	return c
}

// Of returns the counter of the label values, in the order of the labels. What
// the family has no room for, or what is no label value, counts as "other".
func (c *Counters) Of(values ...string) prometheus.Counter {
	p := pairOf(values)
	if counter, ok := c.known[p]; ok {
		return counter
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if counter, ok := c.extra[p]; ok {
		return counter
	}
	if len(c.extra) < maxExtra && !slices.Contains(values, "") {
		if counter, err := c.vec.GetMetricWithLabelValues(values...); err == nil {
			c.extra[p] = counter
			return counter
		}
	}
	return c.vec.WithLabelValues(c.other...)
}

// each makes the label values of a family with one label.
func each(values ...string) [][]string {
	all := make([][]string, len(values))
	for i, v := range values {
		all[i] = []string{v}
	}
	return all
}

// with makes the label values of a family with two labels: each of values
// beside the same last one.
func with(last string, values ...string) [][]string {
	all := make([][]string, len(values))
	for i, v := range values {
		all[i] = []string{v, last}
	}
	return all
}
