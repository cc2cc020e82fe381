package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"usersync/e2e/connect"
	"usersync/e2e/links"
	"usersync/e2e/pipeline"
	"usersync/e2e/vendors"
	"usersync/sync/vendortest"
)

// track runs its faults one after the other.
type track struct {
	name   string
	faults []fault       // that are still to come
	now    *fault        // the one under way
	until  time.Duration // since the round began
	end    func()
	busy   bool      // with something slow, beside the loop
	ended  time.Time // when the last one had
}

// done is the end of something beside the loop: of something slow in a track, or of
// a part of the round, which has no track.
type done struct {
	*track
	err error
}

func (r *round) tell(d done) {
	select {
	case r.done <- d:
	case <-r.ctx.Done():
	}
}

// slowly does something beside the loop; its track waits for it.
func (r *round) slowly(t *track, do func(context.Context) error) {
	t.busy = true
	r.beside.Go(func() {
		ctx, cancel := context.WithTimeoutCause(r.ctx, slowLimit, fmt.Errorf("not within %v", slowLimit))
		defer cancel()
		r.tell(done{t, do(ctx)})
	})
}

// advance begins what is due in a track, and ends what has gone on for long enough;
// all of it when the round is being calmed.
func (r *round) advance(t *track, now time.Duration, calm bool) {
	switch {
	case t.busy:
	case t.now != nil:
		if !calm && now < t.until {
			return
		}
		if t.end != nil {
			t.end()
			t.end = nil
		}
		if t.busy {
			return // it has ended when that has
		}
		r.recovering(t.now.Kind)
		t.now, t.ended = nil, time.Now()
	case !calm && len(t.faults) > 0 && now >= t.faults[0].At:
		f := t.faults[0]
		if !r.begin(t, f) {
			return // it waits for somebody to hit
		}
		t.now, t.until, t.faults = &f, now+f.For, t.faults[1:]
		r.report.Faults[f.Kind]++
	}
}

// begin begins a fault. What it leaves to be undone is the track's end. It reports
// false, and has done nothing, if there is nobody whom the fault could hit.
func (r *round) begin(t *track, f fault) bool {
	switch t.name {
	case workersTrack:
		return r.beginWorker(t, f)
	case brokersTrack:
		r.beginBroker(t, f)
	case connectTrack:
		if f.Kind == connectKill {
			r.p.Connect.Kill()
		} else {
			r.slowly(t, r.p.Connect.Stop)
		}
		t.end = func() { r.slowly(t, r.p.Connect.Restart) }
	case linksTrack:
		return r.beginLink(t, f)
	default:
		r.beginVendor(t, f)
	}
	return true
}

func (r *round) beginWorker(t *track, f fault) bool {
	if f.Kind == scale {
		now := 0
		for _, s := range r.slots {
			if s.wanted {
				now++
			}
		}
		r.scale(other(now-1, slots, f.Pick) + 1)
		return true
	}
	s := r.pick(f)
	if s == nil {
		return false
	}
	switch f.Kind {
	case kill:
		r.kill(s)
		t.end = func() { s.held = false }
	case terminate:
		s.held = true
		r.terminate(s)
		t.end = func() { s.held = false }
	default:
		m := s.member
		r.freeze(s)
		t.end = func() {
			if s.member == m {
				r.thaw(s)
			}
		}
	}
	return true
}

// other is one of the first n numbers, but not this one.
func other(than, n, pick int) int { return (than + 1 + pick%(n-1)) % n }

// otherBroker is one that is not this one.
func (r *round) otherBroker(than int32, f fault) int32 {
	nodes := r.p.Cluster.Nodes()
	return nodes[other(slices.Index(nodes, than), len(nodes), int(10*f.Size))]
}

func (r *round) beginBroker(t *track, f fault) {
	k := r.p.Cluster
	id := k.Nodes()[f.Pick%len(k.Nodes())]
	switch f.Kind {
	case brokerKill:
		k.Kill(id)
		t.end = func() {
			r.slowly(t, func(ctx context.Context) error {
				if err := k.Restart(ctx, id); err != nil {
					return err
				}
				// Before the next one goes, or two of three replicas may be behind.
				for _, topic := range append(r.logs(), "__consumer_offsets", pipeline.DeadLetters) {
					if err := k.Synced(ctx, topic); err != nil {
						return err
					}
				}
				return nil
			})
		}
	case brokerFreeze:
		if err := k.Freeze(id); err != nil {
			r.t.Fatal(err)
		}
		t.end = func() {
			if err := k.Thaw(id); err != nil {
				r.t.Fatal(err)
			}
			r.slowly(t, func(ctx context.Context) error { return k.Synced(ctx, connect.Topic) })
		}
	case moveLeader:
		r.slowly(t, func(ctx context.Context) error {
			partition, logs := int32(f.Pick%partitions), r.logs()
			topic := logs[f.Pick/partitions%len(logs)]
			leader, err := k.Leader(ctx, topic, partition)
			if err != nil {
				return err
			}
			return k.MoveLeader(ctx, topic, partition, r.otherBroker(leader, f))
		})
	case moveCoordinator:
		r.slowly(t, func(ctx context.Context) error {
			group := r.d.Group(vendors.Destinations[f.Pick%2])
			coordinator, err := k.Coordinator(ctx, group)
			if err != nil {
				return err
			}
			return k.MoveCoordinator(ctx, group, r.otherBroker(coordinator, f))
		})
	default:
		r.t.Fatalf("no fault of a broker: %v", f.Kind)
	}
}

func (r *round) beginLink(t *track, f fault) bool {
	s := r.pick(f)
	if s == nil {
		return false
	}
	var hit []*links.Link
	switch f.Kind {
	case cutVendor, holeVendor, slowVendor:
		hit = append(hit, s.vendors[vendors.Destinations[f.Pick%2]])
	default:
		nodes := r.p.Cluster.Nodes()
		if one := f.Pick % (2 * len(nodes)); one < len(nodes) { // from one broker only
			nodes = nodes[one : one+1]
		}
		for _, id := range nodes {
			hit = append(hit, r.p.Cluster.Link(s.number, id))
		}
	}
	for _, l := range hit {
		switch f.Kind {
		case cutKafka, cutVendor:
			l.Cut()
		case holeKafka, holeVendor:
			l.BlackHole()
		case slowKafka, slowVendor:
			latency := time.Duration(20+300*f.Size) * time.Millisecond
			l.Slow(latency, latency/2)
		case resetKafka:
			l.Reset()
		default:
			r.t.Fatalf("no fault of a link: %v", f.Kind)
		}
	}
	t.end = func() {
		for _, l := range hit {
			if err := l.Heal(r.ctx); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return true
}

func (r *round) beginVendor(t *track, f fault) {
	d := t.name
	if f.Kind == rotate {
		r.rotations[d]++
		r.setKeys(d)
		t.end = func() { r.writeKey(d) }
		return
	}
	part := f.Size / 2
	r.setRules(d, map[kind]vendortest.Rule{
		down:      {Status: 503},
		hang:      {Answer: vendortest.Hang},
		slow:      {Latency: time.Duration(500+2000*f.Size) * time.Millisecond},
		throttle:  {Status: 429, Rate: 50, RetryAfter: time.Second},
		some500:   {Status: 500, Probability: .1 + part},
		dropped:   {Answer: vendortest.Reset, Apply: true, Probability: .05 + part},
		late:      {Answer: vendortest.Reset, ApplyAfter: time.Duration(4000+6000*f.Size) * time.Millisecond, Probability: .05 + part/2},
		rejectAll: {Status: 400, Code: "40002", Field: "107"},
	}[f.Kind])
	t.end = func() { r.setRules(d) }
}

// setRules gives a vendor its script: what it always does, and then more.
func (r *round) setRules(destination string, more ...vendortest.Rule) {
	rules := []vendortest.Rule{
		{Latency: 10 * time.Millisecond},
		{Name: "poison", Where: map[string]string{"email": poison(destination)}, Status: 400, Code: "40002", Field: "107"},
	}
	r.d.Vendors.SetRules(destination, append(rules, more...)...)
}

// keyIDs are what the harness's configuration names.
var keyIDs = map[string]string{vendors.TapTalk: "key", vendors.Haptik: "client"}

func (r *round) key(destination string) string {
	return fmt.Sprintf("%s-%d-%d", secret, r.seed, r.rotations[destination])
}

// setKeys makes the newest key the only valid one, which the workers do not have
// before writeKey.
func (r *round) setKeys(destination string) {
	r.d.Vendors.SetKeys(destination, vendortest.Key{ID: keyIDs[destination], Secret: r.key(destination)})
}

func (r *round) writeKey(destination string) {
	if err := os.WriteFile(r.keyFiles[destination], []byte(r.key(destination)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}
