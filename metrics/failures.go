package metrics

import (
	"slices"
	"sync"
	"time"
)

// maxFailures is how many kinds of failures are remembered of a destination.
const maxFailures = 8

// Failure is a kind of failure and how often it was seen. Like a label it holds
// constants and names of fields, and nothing else of a record or a reply.
type Failure struct {
	What  string // "failed", "rejected", "refused", "throttled", "invalid_payload" or "undecodable"
	Code  string
	Field string // the destination's name of the field at fault, if there is one
	Count int
	Last  time.Time
}

// Failures is the newest failures of a destination, for people: a counter says
// neither when something failed last nor, of what is rare, that it did at all. It is
// no series, since a time for each code and field would be hundreds of them.
type Failures struct {
	mu  sync.Mutex
	all []Failure // the newest last
}

// Note counts a failure. When there are too many kinds, the one that was not seen
// for the longest is forgotten.
func (f *Failures) Note(now time.Time, what, code, field string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := Failure{What: what, Code: code, Field: field}
	same := func(x Failure) bool { return x.What == what && x.Code == code && x.Field == field }
	if i := slices.IndexFunc(f.all, same); i >= 0 {
		seen = f.all[i]
		f.all = slices.Delete(f.all, i, i+1)
	} else if len(f.all) == maxFailures {
		f.all = slices.Delete(f.all, 0, 1)
	}
	seen.Count++
	seen.Last = now
	f.all = append(f.all, seen)
}

// Newest returns what is remembered, the newest first.
func (f *Failures) Newest() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	newest := slices.Clone(f.all)
	slices.Reverse(newest)
	return newest
}
