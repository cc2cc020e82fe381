// Package metrics holds every series that usersync exposes: one struct of
// collectors per stage of the pipeline, once for each destination.
//
// The structs are the registry's only writers: a stage holds its own struct and
// increments fields, so the hot path looks no label up and a misspelled name
// does not compile. Every series of a stage carries the label destination, since
// each destination is a consumer group with its own lag, lane and dead letters.
//
// What may be in a label: names from the configuration (destination, topic),
// partition numbers and constants. A user ID, or anything else that was read
// from a record or from a reply, may not. Where a constant comes from another
// package, Counters bounds how many of them become series.
//
// Every type of this package may be used from several goroutines.
package metrics

import (
	"runtime"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// namespace is the prefix of every name.
const namespace = "usersync"

// Metrics is every collector of a process.
type Metrics struct {
	reg   prometheus.Registerer
	build *prometheus.GaugeVec

	mu           sync.Mutex
	destinations map[string]*Destination
}

// Destination is the collectors of one destination's pipeline, by stage.
type Destination struct {
	Consumer    *Consumer
	Events      *Events
	Lane        *Lane
	Calls       *Calls
	DeadLetters *DeadLetters
	State       *State
	// Failures is exposed by nothing here; the status page shows it.
	Failures *Failures
}

// New registers the collectors of the destinations named, whose series exist
// from then on: an increase from an absent series to 1 is invisible to PromQL's
// increase(). With a nil reg everything works but nothing is exposed.
//
// A registry takes one New; like prometheus.MustRegister it panics on a second.
func New(reg prometheus.Registerer, destinations ...string) *Metrics {
	m := &Metrics{
		reg: reg,
		build: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace,
			Name:      "build_info",
			Help:      "Which build is running: always 1.",
		}, []string{"version", "revision", "goversion"}),
		destinations: map[string]*Destination{},
	}
	for _, name := range destinations {
		m.For(name)
	}
	return m
}

// For returns the collectors of a destination. One that New did not name is
// added, so the answer is never nil and what it counts is never lost.
func (m *Metrics) For(destination string) *Destination {
	destination = label(destination)
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := m.destinations[destination]; ok {
		return d
	}
	// The label is added to whatever is registered through the wrapper, so no
	// series of a stage can be without it.
	f := factory{promauto.With(prometheus.WrapRegistererWith(
		prometheus.Labels{"destination": destination}, m.reg))}
	d := &Destination{
		Consumer:    newConsumer(f),
		Events:      newEvents(f),
		Lane:        newLane(f),
		Calls:       newCalls(f),
		DeadLetters: newDeadLetters(f),
		State:       newState(f),
		Failures:    &Failures{},
	}
	m.destinations[destination] = d
	return d
}

// Build exposes which build is running.
func (m *Metrics) Build(version, revision string) {
	m.build.WithLabelValues(label(version), label(revision), runtime.Version()).Set(1)
}

// label makes a text from outside fit for a label: on one that is not UTF-8 the
// client library panics.
func label(s string) string { return strings.ToValidUTF8(s, "?") }

// factory makes the collectors of one destination.
type factory struct{ promauto.Factory }

func (f factory) counter(name, help string) prometheus.Counter {
	return f.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func (f factory) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return f.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	return f.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

func (f factory) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return f.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// histogram is both classic and native: a Prometheus scrapes native ones only
// when it is told to, so the buckets stay.
func (f factory) histogram(name, help string, buckets ...float64) prometheus.Histogram {
	return f.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets:                        buckets,
		NativeHistogramBucketFactor:    1.1,
		NativeHistogramMaxBucketNumber: 160,
	})
}
