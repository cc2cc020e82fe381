package metrics

import (
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// other is the label value of what does not get a series of its own.
const other = "other"

// maxExtra is how many series a family may gain after it was made. The label
// values are constants of other packages; this keeps a mistake there from
// becoming a series for each user.
const maxExtra = 200

// Counters is a counter split by labels whose values are few, but known in full
// only to another package. The usual ones exist from the start.
type Counters struct {
	vec   *prometheus.CounterVec
	other prometheus.Counter
	known map[string]prometheus.Counter // read without a lock: never written again

	mu    sync.Mutex
	extra map[string]prometheus.Counter
}

// counters makes a family; each of known is the label values of one series.
func (f factory) counters(name, help string, labels []string, known ...[]string) *Counters {
	vec := f.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	c := &Counters{
		vec:   vec,
		other: vec.WithLabelValues(slices.Repeat([]string{other}, len(labels))...),
		known: make(map[string]prometheus.Counter, len(known)),
		extra: map[string]prometheus.Counter{},
	}
	for _, values := range known {
		c.known[key(values)] = vec.WithLabelValues(values...)
	}
	return c
}

// Of returns the counter of the label values, in the order of the labels. A
// value that the family has no room for, or that is no label value, is counted
// as "other".
func (c *Counters) Of(values ...string) prometheus.Counter {
	k := key(values)
	if counter, ok := c.known[k]; ok {
		return counter
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if counter, ok := c.extra[k]; ok {
		return counter
	}
	if len(c.extra) >= maxExtra || slices.Contains(values, "") {
		return c.other
	}
	counter, err := c.vec.GetMetricWithLabelValues(values...)
	if err != nil {
		return c.other
	}
	c.extra[k] = counter
	return counter
}

func key(values []string) string { return strings.Join(values, "\xff") }

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
