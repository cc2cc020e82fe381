package consumer

import (
	"testing"
	"time"
)

// TestInheritedMapping: what the last owner may have sent is known from its change only
// if it had the same mapping, by its own word (G1).
func TestInheritedMapping(t *testing.T) {
	for name, test := range map[string]struct {
		metadata string
		unknown  bool
	}{
		"the same":                 {note{End: 500, Sends: "ours"}.String(), false},
		"another":                  {note{End: 500, Sends: "theirs"}.String(), true},
		"several":                  {note{End: 500}.String(), true},
		"what another tool wrote":  {"", true},
		"another, with an old end": {note{End: 40, Sends: "theirs"}.String(), false},
		"another, that drained":    {note{End: 500, Sends: "theirs", Drained: true}.String(), false},
	} {
		t.Run(name, func(t *testing.T) {
			p := owned{sends: "ours"}
			p.inherit(time.Now(), Committed{Offset: 40, Metadata: test.metadata}, time.Minute)
			p.hears(600)
			if s := p.sent(40); test.unknown != (s.Possibly && s.Remapped) {
				t.Errorf("the first change: %+v; want unknown: %v", s, test.unknown)
			}
			// Whoever comes next reads again what both may have sent, until that is settled.
			first := p.front.hold(40)
			p.front.advance(1000)
			if n := p.note(time.Now()); (n.Sends == "") != test.unknown {
				t.Errorf("note %q while the change at 40 is not settled; the last owner's mapping was not known: %v", n, test.unknown)
			}
			first.Release()
			if n := p.lastNote(time.Now(), true); n.Sends != "ours" {
				t.Errorf("note %q when nothing that the last owner sent is read again", n)
			}
		})
	}
}
