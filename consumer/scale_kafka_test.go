package consumer

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"
)

func total(counts map[string]int) int {
	n := 0
	for _, k := range counts {
		n += k
	}
	return n
}

// realClock is a clock that a bubble does not turn. Nothing waits there in real time, so
// what passes by it is what the processors take. It has to be made outside of the bubble.
func realClock(t *testing.T) func() time.Time {
	questions := make(chan chan time.Time)
	t.Cleanup(func() { close(questions) })
	go func() {
		for answer := range questions {
			answer <- time.Now()
		}
	}()
	answer := make(chan time.Time)
	return func() time.Time {
		questions <- answer
		return <-answer
	}
}

// kept are the costs of one worker that owns so many partitions.
type kept struct {
	start, restart, idle map[string]int // requests; idle: in a minute
	commit               float64        // bytes of a commit, for each partition
	loaded               time.Duration  // of the processors, until a restarted worker is ready
}

// keep has a worker deliver a change of each partition, leaves it alone for a minute, and
// starts it again, with the state that it kept.
func keep(t *testing.T, partitions int) (k kept) {
	clock := realClock(t)
	inBubble(t, partitions, func(b *bubble) {
		b.keeping()
		b.writeAll(numbers(0, partitions-1)...)
		a := b.counting()
		w := b.start()
		b.hot()
		b.settles(2 * time.Minute)
		k.start, _ = a.take()
		time.Sleep(time.Minute)
		idle, bytes := a.take()
		k.idle, k.commit = idle, float64(bytes["OffsetCommit"])/float64(idle["OffsetCommit"]*partitions)
		w.stop()
		a.take()
		began := clock()
		w = b.start()
		b.hot()
		k.loaded = clock().Sub(began)
		k.restart, _ = a.take()
		if n := w.metric("state_loading_partitions"); n > 0 {
			b.t.Errorf("%v partitions are being loaded still", n)
		}
	})
	return k
}

// TestScalePartitions: what a worker asks of Kafka while nothing happens does not depend on
// how many partitions it owns; what it asks at its start is so much for each of them.
func TestScalePartitions(t *testing.T) {
	out := newTable("partitions", "requests of a start", "connections", "of a restart", "connections", "of an idle minute", "bytes of a commit, a partition", "CPU of a restart")
	var all []kept
	// With as few partitions as there are brokers one of them may lead none, and is asked
	// for nothing: so the fewest are more.
	counts := sizes([]int{16, 32, 64}, []int{10, 30, 100, 1000})
	for _, partitions := range counts {
		k := keep(t, partitions)
		all = append(all, k)
		out.add(partitions, total(k.start), k.start["ApiVersions"], total(k.restart), k.restart["ApiVersions"], total(k.idle), math.Round(k.commit), k.loaded.Round(10*time.Millisecond))
		t.Logf("%d partitions: start %v, restart %v, idle %v", partitions, k.start, k.restart, k.idle)
	}
	t.Log(out)
	first, last := all[0], all[len(all)-1]
	for _, kind := range slices.Sorted(maps.Keys(last.idle)) {
		if few, many := first.idle[kind], last.idle[kind]; many > few+few/10+2 {
			t.Errorf("an idle minute has %d times %s with %d partitions, and %d with %d", few, kind, counts[0], many, counts[len(counts)-1])
		}
	}
	grow := func(of func(kept) map[string]int, from, to int) float64 {
		return float64(total(of(all[to]))-total(of(all[from]))) / float64(counts[to]-counts[from])
	}
	for name, of := range map[string]func(kept) map[string]int{
		"a start": func(k kept) map[string]int { return k.start }, "a restart": func(k kept) map[string]int { return k.restart },
	} {
		less, more := grow(of, 0, 1), grow(of, 1, len(all)-1)
		t.Logf("%s: %.1f and then %.1f requests for each partition more", name, less, more)
		if more > 1.3*less+1 {
			t.Errorf("%s takes %.1f requests for each partition more, and %.1f where there are many", name, less, more)
		}
	}
}

// joined are the costs of so many workers.
type joined struct {
	took, moved         time.Duration // until each has its partitions, and until one more has
	cpu                 time.Duration // of the processors until then, brokers and tests included
	generations         float64       // that the workers joined until then, each
	burst               int           // the most requests that a vendor had in a second
	start, idle, moving map[string]int
}

// settled waits until the workers own all partitions together, each of them some, and
// returns how long that took.
func (b *bubble) settled() time.Duration {
	b.t.Helper()
	began := time.Now()
	for ; ; time.Sleep(500 * time.Millisecond) {
		if time.Since(began) > 10*time.Minute {
			b.t.Fatal("the workers do not agree on who owns what")
		}
		whole := true
		for _, dest := range both {
			owned := 0.0
			for _, w := range b.alive {
				if w.pipelines[dest].Ready() != nil {
					whole = false // and it may have no such series yet
					break
				}
				n := w.metric("consumer_assigned_partitions", "destination", dest, "topic", "users")
				owned, whole = owned+n, whole && n > 0
			}
			whole = whole && owned == float64(b.parts)
		}
		if whole {
			return time.Since(began)
		}
	}
}

func join(t *testing.T, replicas, partitions int) (j joined) {
	const limit = 20.0
	clock := realClock(t)
	inBubble(t, partitions, func(b *bubble) {
		b.writeAll(numbers(0, partitions-1)...)
		a := b.counting()
		began := clock()
		for range replicas {
			b.start(func(c *Config) { c.RateLimit = limit })
		}
		j.took = b.settled()
		j.cpu = clock().Sub(began)
		j.start, _ = a.take()
		for _, w := range b.alive {
			j.generations += w.metric("consumer_generations_total", "destination", destTaptalk) / float64(replicas)
		}
		for _, dest := range both {
			rate := 0.0
			for _, w := range b.alive {
				rate += w.metric("rate_limit_calls_per_second", "destination", dest)
			}
			if math.Abs(rate-limit) > 1e-6 {
				t.Errorf("%s: %d replicas may make %v requests a second together, want %v", dest, replicas, rate, limit)
			}
		}
		b.settles(10 * time.Minute)
		j.burst = b.burst()
		a.take()
		time.Sleep(time.Minute)
		j.idle, _ = a.take()
		if replicas < partitions {
			b.start(func(c *Config) { c.RateLimit = limit })
			j.moved = b.settled()
			j.moving, _ = a.take()
		}
	})
	return j
}

// burst is the most requests that a vendor had in any second.
func (b *bubble) burst() int {
	most := 0
	for _, dest := range both {
		seconds := map[int64]int{}
		for user := range b.rows {
			for _, v := range b.versions(dest, user) {
				seconds[v.Received.Unix()]++
				most = max(most, seconds[v.Received.Unix()])
			}
		}
	}
	return most
}

// TestScaleReplicas: replicas cost Kafka so much each, and join in a time that does not
// depend on how many they are; the rate that they share is what is configured.
func TestScaleReplicas(t *testing.T) {
	partitions := sizes([]int{16}, []int{200})[0]
	out := newTable("replicas", "until each has its partitions", "generations each", "requests each", "CPU of all, each", "requests of an idle minute, each", "until one more has its own", "requests of that, each", "most calls in a second, at 20")
	var first joined
	for i, replicas := range sizes([]int{1, 8}, []int{1, 3, 10, 30, 100}) {
		j := join(t, replicas, partitions)
		n := float64(replicas)
		out.add(replicas, j.took, math.Round(j.generations*10)/10, math.Round(float64(total(j.start))/n), (j.cpu / time.Duration(replicas)).Round(10*time.Millisecond),
			math.Round(float64(total(j.idle))/n), j.moved, math.Round(float64(total(j.moving))/(n+1)), j.burst)
		t.Logf("%d replicas: start %v, idle %v, one more %v", replicas, j.start, j.idle, j.moving)
		if i == 0 {
			first = j
			continue
		}
		if each, alone := float64(total(j.idle))/n, float64(total(first.idle)); each > 1.3*alone {
			t.Errorf("%.0f requests in an idle minute for each of %d replicas, and %.0f for one alone", each, replicas, alone)
		}
		if j.took > first.took+30*time.Second {
			t.Errorf("%d replicas have their partitions after %v, one has them after %v", replicas, j.took, first.took)
		}
	}
	t.Log(out)
}
