package consumer

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestFrontierIsTheFirstHeldOffset holds the list against a plain set of offsets:
// G2 rests on it.
func TestFrontierIsTheFirstHeldOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f frontier
		held := map[*place]int64{}
		released := []*place{}
		next, before := int64(0), int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"hold": func(t *rapid.T) {
				offset := next + rapid.Int64Range(0, 3).Draw(t, "gap")
				held[f.hold(offset)] = offset
				next = offset + 1
			},
			"advance": func(t *rapid.T) {
				// Below what is registered it says nothing new.
				to := max(0, next+rapid.Int64Range(-5, 5).Draw(t, "by"))
				f.advance(to)
				next = max(next, to)
			},
			"release": func(t *rapid.T) {
				if len(held) == 0 {
					return
				}
				places := slices.SortedFunc(maps.Keys(held), func(a, b *place) int { return int(held[a] - held[b]) })
				p := rapid.SampledFrom(places).Draw(t, "place")
				p.Release()
				delete(held, p)
				released = append(released, p)
			},
			"release again": func(t *rapid.T) {
				if len(released) == 0 {
					return
				}
				rapid.SampledFrom(released).Draw(t, "place").Release()
			},
			"": func(t *rapid.T) {
				want := next
				if len(held) > 0 {
					want = slices.Min(slices.Collect(maps.Values(held)))
				}
				if got := f.offset(); got != want {
					t.Fatalf("offset %d, want %d: held %v, registered up to %d", got, want, held, next)
				}
				if f.offset() < before {
					t.Fatalf("the frontier went back from %d to %d", before, f.offset())
				}
				before = f.offset()
				if f.position != next {
					t.Fatalf("position %d, want %d", f.position, next)
				}
				if f.held != len(held) {
					t.Fatalf("%d places held, want %d", f.held, len(held))
				}
			},
		})
	})
}

// BenchmarkFrontier shows what a place costs while many others are held: as much
// as while few are, and one allocation.
func BenchmarkFrontier(b *testing.B) {
	for name, others := range map[string]int{"alone": 0, "among 100000": 100_000} {
		b.Run(name, func(b *testing.B) {
			var f frontier
			for i := range others {
				f.hold(int64(i))
			}
			b.ReportAllocs()
			for b.Loop() {
				p := f.hold(f.position)
				if f.offset() < 0 {
					b.Fatal("no offset")
				}
				p.Release()
			}
		})
	}
}
