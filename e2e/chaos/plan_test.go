package chaos

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"usersync/e2e/vendors"
)

// kind is what a fault does.
type kind string

// The faults of each track. What is due next in a track waits for the end of what
// is, so no worker is killed while it is frozen, and no two brokers are ever down.
const (
	kill      kind = "worker killed"
	terminate kind = "worker terminated"
	blink     kind = "worker frozen for less than its session"
	freeze    kind = "worker frozen for longer than its session"
	scale     kind = "workers added or removed"

	brokerKill      kind = "broker killed" // the dead-letter topic takes no letter until it is back
	brokerFreeze    kind = "broker frozen"
	moveLeader      kind = "leader moved"
	moveCoordinator kind = "coordinator moved"

	connectKill    kind = "connect killed"
	connectRestart kind = "connect restarted"

	cutKafka   kind = "worker cut off from Kafka"
	holeKafka  kind = "black hole to Kafka"
	slowKafka  kind = "slow link to Kafka"
	resetKafka kind = "connections to Kafka reset"
	cutVendor  kind = "worker cut off from a vendor"
	holeVendor kind = "black hole to a vendor"
	slowVendor kind = "slow link to a vendor"

	down      kind = "vendor down"
	hang      kind = "vendor silent"
	slow      kind = "vendor slow"
	throttle  kind = "vendor throttles"
	some500   kind = "some answers 500"
	dropped   kind = "applied, reply dropped"
	late      kind = "applied late"
	rotate    kind = "key rotated"
	rejectAll kind = "vendor rejects everyone"
)

// The tracks.
const (
	workersTrack = "workers"
	brokersTrack = "brokers"
	connectTrack = "connect"
	linksTrack   = "links"
)

// tracks are all of them, with the kinds that take turns there; those of a vendor
// are called by its name.
var tracks = map[string][]kind{
	workersTrack:    {kill, terminate, blink, freeze, scale, kill, scale},
	brokersTrack:    {brokerKill, moveLeader, moveCoordinator, brokerFreeze},
	connectTrack:    {connectKill, connectRestart},
	linksTrack:      {cutKafka, holeKafka, slowKafka, resetKafka, cutVendor, holeVendor, slowVendor},
	vendors.TapTalk: {down, hang, slow, throttle, some500, dropped, late, rotate, rejectAll},
	vendors.Haptik:  {down, hang, slow, throttle, some500, dropped, late, rotate, rejectAll},
}

// span is between how many seconds something takes.
type span struct{ from, to float64 }

// lengths of faults. What delays a call, in sum and with its timeout, stays below
// confirm_after, beyond which nothing is promised; and nothing that fails a part of
// the calls lasts for give_up_after.
var lengths = map[kind]span{
	kill: {0, 8}, terminate: {0, 8}, blink: {1, 4}, freeze: {12, 18}, scale: {0, 0},
	brokerKill: {3, 10}, brokerFreeze: {2, 8}, moveLeader: {0, 0}, moveCoordinator: {0, 0},
	connectKill: {0, 3}, connectRestart: {0, 3},
	cutKafka: {2, 12}, holeKafka: {2, 12}, slowKafka: {3, 8}, resetKafka: {0, 0},
	cutVendor: {2, 8}, holeVendor: {1, 4}, slowVendor: {3, 8},
	down: {1, 5}, hang: {3, 5}, slow: {3, 8}, throttle: {3, 8}, some500: {3, 8},
	dropped: {3, 10}, late: {3, 10}, rotate: {1, 5}, rejectAll: {1, 5},
}

// pauses are between two faults of a track.
var pauses = map[string]span{
	workersTrack: {2, 4}, brokersTrack: {3, 6}, connectTrack: {30, 60}, linksTrack: {2, 5},
	// A lane that was held is probed again about as long after the fault as that took.
	vendors.TapTalk: {7, 11}, vendors.Haptik: {7, 11},
}

// fault is one line of a schedule.
type fault struct {
	Track string
	Kind  kind
	At    time.Duration // since the round began
	For   time.Duration
	Pick  int     // of what there is to choose from, whatever that will be
	Size  float64 // from 0 to 1: how bad
}

func (f fault) String() string {
	return fmt.Sprintf("%6.1f s  %5.1f s  %-8s  %-42s  pick %4d  size %.2f", f.At.Seconds(), f.For.Seconds(), f.Track, f.Kind, f.Pick, f.Size)
}

// The beginning of each round is for two troubles that would be lost among others:
// one vendor applies calls late, while newer ones of their users are delivered; and
// the other one alone is down, so that it can be seen that the first does not suffer.
const (
	lateAt, lateFor = time.Second, 5 * time.Second
	// When the doubts about the late calls are over: else what waits for them hides
	// whether anything else does.
	soloAt, soloFor = lateAt + lateFor + doubt + 5*time.Second, 14 * time.Second
	rest            = soloAt + soloFor + 2*time.Second // until everything else may begin
)

// solo is the vendor that is down in that time.
func solo(seed uint64) string { return vendors.Destinations[seed%uint64(len(vendors.Destinations))] }

// plan returns the schedule of a seed, which nothing else decides, in the order of
// time. Of a longer one the shorter is the beginning.
func plan(seed uint64, length time.Duration) []fault {
	all := []fault{
		{Track: solo(seed + 1), Kind: late, At: lateAt, For: lateFor, Size: .9},
		{Track: solo(seed), Kind: down, At: soloAt, For: soloFor},
	}
	for name, kinds := range tracks {
		h := fnv.New64a()
		h.Write([]byte(name))
		random := rand.New(rand.NewPCG(seed, h.Sum64()))
		between := func(s span) time.Duration {
			return time.Duration((s.from + (s.to-s.from)*random.Float64()) * float64(time.Second))
		}
		at := rest
		if name == connectTrack {
			at += between(span{0, 40})
		}
		for {
			for _, i := range random.Perm(len(kinds)) {
				at += between(span{0, pauses[name].from / 2})
				f := fault{Track: name, Kind: kinds[i], At: at, For: between(lengths[kinds[i]]), Pick: random.IntN(1000), Size: random.Float64()}
				if at += f.For; at > length {
					break
				}
				all = append(all, f)
				at += between(pauses[name])
			}
			if at > length {
				break
			}
		}
	}
	slices.SortStableFunc(all, func(a, b fault) int {
		if a.At != b.At {
			return int(a.At - b.At)
		}
		return strings.Compare(a.Track, b.Track)
	})
	return all
}

// TestPlan: a seed says all, no fault is left out of an hour, and no kind of fault out
// of the schedule that always runs.
func TestPlan(t *testing.T) {
	if slices.Equal(plan(1, 2*time.Minute), plan(2, 2*time.Minute)) {
		t.Error("two seeds have the same schedule")
	}
	hour := plan(7, time.Hour)
	if !slices.Equal(hour, plan(7, time.Hour)) {
		t.Error("one seed has two schedules")
	}
	for track, kinds := range tracks {
		for _, k := range kinds {
			if !slices.ContainsFunc(hour, func(f fault) bool { return f.Track == track && f.Kind == k }) {
				t.Errorf("%s: never %q", track, k)
			}
		}
	}
	always := plan(fixed, length)
	for k := range lengths {
		if !slices.ContainsFunc(always, func(f fault) bool { return f.Kind == k }) {
			t.Errorf("seed %d never has %q in %v: choose another", fixed, k, length)
		}
	}
	until := map[string]time.Duration{}
	for _, f := range hour {
		if f.At < until[f.Track] || f.At+f.For > time.Hour {
			t.Errorf("%v: it begins before the last one has ended, or ends too late", f)
		}
		until[f.Track] = f.At + f.For
	}
	short := plan(7, 10*time.Minute)
	for _, f := range short {
		if !slices.Contains(hour, f) {
			t.Errorf("%v: not so in an hour", f)
		}
	}
}

// TestOther: what is to change something never chooses what is there already.
func TestOther(t *testing.T) {
	for n := 2; n <= slots; n++ {
		for than := range n {
			chosen := map[int]bool{}
			for pick := range 10 {
				chosen[other(than, n, pick)] = true
			}
			if chosen[than] || len(chosen) != n-1 {
				t.Errorf("of %d, other than %d: %v", n, than, chosen)
			}
		}
	}
}
