package sync

import (
	"slices"
	"testing"
	"time"
)

// TestInheritedDoubtOfAnotherMapping: nothing is known of what another mapping has made
// of a change. It may be another payload, or one where this mapping has none (G1).
func TestInheritedDoubtOfAnotherMapping(t *testing.T) {
	for name, test := range map[string]struct {
		write any // which the last owner may have sent; as world.write takes it
		newer any // nil: nothing
		want  []string
	}{
		"another payload":             {"v1", nil, []string{"u=v1", "u=theirs", "u=v1"}},
		"a delete that has one there": {nil, "v2", []string{"u=v2", "u=theirs", "u=v2"}},
		"a row that has one there":    {"bad", "v2", []string{"u=v2", "u=theirs", "u=v2"}},
		"a delete, and nothing newer": {nil, nil, []string{"u=theirs"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.mapping.unknown = true
			w.write("u", test.write)
			w.late = append(w.late, landing{w.now.Add(30 * time.Second), "u", "theirs"})
			w.submit(w.now.Add(time.Minute), len(w.log))
			w.run(time.Second)
			if test.newer != nil {
				w.write("u", test.newer)
			}
			w.run(time.Hour)
			if !slices.Equal(w.history, test.want) {
				t.Errorf("applied %v, want %v", w.history, test.want)
			}
			w.settled(t)
		})
	}
}

// TestHeldUntilAnotherMapping: what is held is not known any more when an owner with
// another mapping may have sent the change as well, however long ago (G1).
func TestHeldUntilAnotherMapping(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.apply("u", "theirs")
	w.mapping.unknown, w.read = true, 0
	w.submit(w.now.Add(-time.Hour), len(w.log))
	if v := w.known(); v.Status != Unknown {
		t.Errorf("known is %+v", v)
	}
	w.run(time.Hour)
	w.says(t, "v1", "theirs", "v1")
	w.settled(t)
}
