package consumer

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"usersync/metrics"
)

const (
	// controlEvery is how often it is looked whether the control topic says more.
	controlEvery = time.Second
	// controlPatience is how long a pipeline waits at its start for what the topic says.
	controlPatience = 15 * time.Second
)

// tail keeps up with the control topic, and writes what this pipeline has to say there.
// A nil tail is that of a deployment without such a topic: it knows nothing.
type tail struct {
	topic   *ControlTopic
	log     *slog.Logger
	metrics *metrics.Consumer
	known   atomic.Pointer[Controls]
	news    chan struct{} // signals that known has changed
	first   chan struct{} // closed when the topic was read for the first time

	mu     sync.Mutex
	outbox map[string]notice // by key: what is to be written
	unsent chan struct{}     // signals that there is some
}

// notice is a record on its way to the topic, or the removal of one.
type notice struct {
	record ControlRecord
	remove bool
}

func newTail(topic *ControlTopic, log *slog.Logger, m *metrics.Consumer) *tail {
	return &tail{
		topic: topic, log: log.With("control_topic", topic.name), metrics: m,
		news: make(chan struct{}, 1), first: make(chan struct{}), outbox: map[string]notice{}, unsent: make(chan struct{}, 1),
	}
}

// controls returns what is known now; it may be nil. It may be called from any goroutine.
func (t *tail) controls() *Controls {
	if t == nil {
		return nil
	}
	return t.known.Load()
}

// changed signals that controls returns something else.
func (t *tail) changed() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.news
}

// run keeps up until ctx ends.
func (t *tail) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { t.writeAll(ctx) })
	t.follow(ctx)
	wg.Wait()
}

// await waits until the topic was read once: what an operator has decided holds from
// the first call on. But a topic that cannot be read must not keep users wrong, so it
// does not wait for ever.
func (t *tail) await(ctx context.Context) {
	limit := time.NewTimer(controlPatience)
	defer limit.Stop()
	select {
	case <-t.first:
	case <-ctx.Done():
	case <-limit.C:
		t.log.Error("the control topic cannot be read; work begins without what it says, and a destination that was paused is called")
	}
}

// follow reads the topic, and then looks again and again whether it says more. After
// a failure it is read from its start: it is small, and may be another one by now.
func (t *tail) follow(ctx context.Context) {
	var next int64
	var down trouble
	whole := true // read all of it
	for {
		end, err := t.look(ctx, next, whole)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			next, whole = end, false
			t.metrics.ControlUnreadable.Set(0)
			if lasted, said := down.over(time.Now()); said {
				t.log.Info("the control topic can be read again", "after", lasted)
			}
		default:
			whole = true
			t.metrics.ControlUnreadable.Set(1)
			t.metrics.Errors.Of("control").Inc()
			if down.again(time.Now(), sayAfter) {
				t.log.Error("the control topic cannot be read; work goes on with what is known of it", "error", err)
			}
		}
		if !sleep(ctx, controlEvery) {
			return
		}
	}
}

// look brings known up to date, which is as of offset next or, if it must be read
// whole, of no use. It returns up to where the topic was read.
func (t *tail) look(ctx context.Context, next int64, whole bool) (int64, error) {
	if whole {
		c, end, err := t.topic.read(ctx)
		if err != nil {
			return 0, err
		}
		t.learn(c)
		return end, nil
	}
	end, err := t.topic.end(ctx)
	switch {
	case err != nil:
		return 0, err
	case end < next: // it is another log
		return t.look(ctx, 0, true)
	case end == next:
		return end, nil
	}
	c, err := t.topic.readOn(ctx, t.known.Load(), next, end)
	if err != nil {
		return 0, err
	}
	t.learn(c)
	return end, nil
}

func (t *tail) learn(c *Controls) {
	if old := t.known.Swap(c); old == nil {
		close(t.first)
	} else if c.Ignored > old.Ignored {
		t.log.Warn("records of the control topic are not understood, and ignored; a newer version of this program may have written them", "records", c.Ignored)
	}
	t.metrics.ControlIgnored.Set(float64(c.Ignored))
	signal(t.news)
}

// put has records written, removed those without a value, as soon as that is possible.
func (t *tail) put(records ...ControlRecord) { t.post(false, records) }

// remove has records removed, as soon as that is possible.
func (t *tail) remove(records ...ControlRecord) { t.post(true, records) }

func (t *tail) post(remove bool, records []ControlRecord) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		t.outbox[r.key()] = notice{r, remove}
	}
	signal(t.unsent)
}

// writeAll writes what is posted until ctx ends.
func (t *tail) writeAll(ctx context.Context) {
	var down trouble
	for {
		select {
		case <-t.unsent:
		case <-ctx.Done():
			return
		}
		for t.writeSome(ctx, &down) {
			if !sleep(ctx, controlEvery) {
				return
			}
		}
	}
}

// writeSome tries to write what is posted, and reports whether some is left.
func (t *tail) writeSome(ctx context.Context, down *trouble) (left bool) {
	t.mu.Lock()
	some := maps.Clone(t.outbox)
	t.mu.Unlock()
	var put, remove []ControlRecord
	for _, key := range slices.Sorted(maps.Keys(some)) {
		if n := some[key]; n.remove {
			remove = append(remove, n.record)
		} else {
			put = append(put, n.record)
		}
	}
	var err error
	if len(put) > 0 {
		err = t.topic.Put(ctx, put...)
	}
	if err == nil && len(remove) > 0 {
		err = t.topic.Remove(ctx, remove...)
	}
	if err != nil {
		t.metrics.Errors.Of("control").Inc()
		if down.again(time.Now(), 0) {
			t.log.Error("the control topic cannot be written to; operators do not see there which partitions are halted", "error", err)
		}
		return ctx.Err() == nil
	}
	down.over(time.Now())
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.outbox, func(key string, n notice) bool { return some[key] == n })
	return len(t.outbox) > 0
}
