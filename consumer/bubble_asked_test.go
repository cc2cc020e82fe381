package consumer

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// asked is what a bubble's brokers were asked, but for what the test itself writes.
type asked struct {
	mu       sync.Mutex
	requests map[string]int
	bytes    map[string]int
}

func (b *bubble) counting() *asked {
	a := &asked{requests: map[string]int{}, bytes: map[string]int{}}
	b.kafka.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		a.mu.Lock()
		defer a.mu.Unlock()
		name := kmsg.NameForKey(r.Key())
		a.requests[name]++
		a.bytes[name] += len(r.AppendTo(nil))
		return nil, nil, false
	})
	return a
}

// take returns how often each kind of request was made, and all their bytes, since the last
// take. A new connection begins with ApiVersions.
func (a *asked) take() (requests, bytes map[string]int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	requests, bytes = a.requests, a.bytes
	a.requests, a.bytes = map[string]int{}, map[string]int{}
	return requests, bytes
}
