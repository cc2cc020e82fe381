package consumer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"usersync/sync/vendortest"
)

// second is another mapping of TapTalk than that of all other tests. It says II after
// each name.
func second(t *testing.T) func(*Config) {
	return mapped(t, destTaptalk, map[string]any{
		"fullName": `full_name + " II"`, "email": "email", "phone": "phone", "username": "username",
	}, nil)
}

// unworded is a worker whose commits do not tell what it sends, as those of earlier
// versions.
func unworded(c *Config) { c.Sends = "" }

// TestMappingChangesOverALostCall: a call is lost, or its worker killed, and the next
// worker has another mapping. What it delivers is not what will be applied late, though
// it is made of the same change, so it has to be sent again (G1); and until then nothing
// may be taken for held (G9). With the same mapping that costs no call.
func TestMappingChangesOverALostCall(t *testing.T) {
	const one, two = "1", "2" // which mapping
	for name, tt := range map[string]struct {
		first    func(*Config)
		graceful bool
		owners   []string // the mapping of each that follows
		want     []string // what is applied, in order
		held     []string // the same when it is kept what was delivered; nil: no different
	}{
		"killed":               {owners: []string{two}, want: []string{two, one, two}},
		"killed, no word":      {first: unworded, owners: []string{two}, want: []string{two, one, two}},
		"killed, same mapping": {owners: []string{one}, want: []string{one, one}},
		"a rollout":            {graceful: true, owners: []string{two}, want: []string{one, two, one, two}},
		"a rollout, same mapping": {
			graceful: true, owners: []string{one}, want: []string{one, one, one}, held: []string{one, one},
		},
		// The third worker reads again what the second may have sent, and the first.
		"two rollouts": {graceful: true, owners: []string{two, two}, want: []string{one, two, two, one, two}},
		"and back":     {graceful: true, owners: []string{two, one}, want: []string{one, two, one, one, one}},
	} {
		for _, kept := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, kept=%v", name, kept), func(t *testing.T) {
				t.Parallel()
				inBubble(t, 2, func(b *bubble) {
					if kept {
						b.keeping()
					}
					w := b.losesACall(tt.first)
					if tt.graceful {
						time.Sleep(12 * time.Second) // it has timed out, and was made again
						w.stop()
					} else {
						w.kill()
					}
					for i, mapping := range tt.owners {
						if i > 0 {
							b.alive[0].stop()
						}
						if mapping == two {
							b.start(second(t))
						} else {
							b.start()
						}
						b.hot()
					}
					b.commits(5*time.Minute, both...)
					want := tt.want
					if kept && tt.held != nil {
						want = tt.held
					}
					b.has12(t, want)
					b.again("2") // a new snapshot
					b.commits(5*time.Minute, both...)
					if !kept {
						want = append(want, want[len(want)-1])
					}
					b.has12(t, want)
				})
			})
		}
	}
}

// losesACall starts a worker and returns when a call to TapTalk about user 2 is on the
// wire. It is applied after 58 seconds, and nobody is told.
func (b *bubble) losesACall(edit ...func(*Config)) *worker {
	b.t.Helper()
	edit = slices.DeleteFunc(edit, func(f func(*Config)) bool { return f == nil })
	w := b.start(edit...)
	b.hot()
	b.both(vendortest.Rule{Answer: vendortest.Hang, ApplyAfter: 58 * time.Second, User: "2", Last: 1})
	calls := b.tap.Calls()
	b.write("2", name(1))
	for b.tap.Calls() == calls {
		time.Sleep(10 * time.Millisecond)
	}
	return w
}

// has12 compares what TapTalk has applied about user 2: by which mapping, in order.
func (b *bubble) has12(t *testing.T, want []string) {
	t.Helper()
	var got []string
	for _, s := range b.applied(destTaptalk, "2") {
		got = append(got, map[string]string{name(1): "1", name(1) + " II": "2"}[s])
	}
	if !slices.Equal(got, want) {
		t.Errorf("TapTalk has applied what the mappings %q make of the change, want %q", got, want)
	}
	if has := b.has(destHaptik, "2"); has != name(1) {
		t.Errorf("Haptik has %q", has)
	}
}

// TestMappingChangesCost: with another mapping, who may have been sent something by the
// last owner costs one more call, and nobody else does (G9).
func TestMappingChangesCost(t *testing.T) {
	for _, kept := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept=%v", kept), func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				if kept {
					b.keeping()
				}
				w := b.start()
				b.hot()
				b.rowsOf(numbers(1, 40)...)
				b.settles(time.Minute)
				b.rowsOf(numbers(41, 60)...) // not committed yet
				w.kill()
				w = b.start(second(t))
				b.commits(5*time.Minute, both...)
				b.rowsOf(numbers(61, 80)...)
				b.commits(5*time.Minute, both...)
				for _, dest := range both {
					want := map[string]float64{destTaptalk: 20, destHaptik: 0}[dest]
					if got := w.metric("confirm_calls_total", "destination", dest); got != want {
						t.Errorf("%s: %v confirm calls, want %v", dest, got, want)
					}
					if got := w.metric("deliveries_total", "destination", dest, "outcome", "delivered"); dest == destTaptalk && got != 60 {
						t.Errorf("%s: %v calls, want one for each of 40 users, and 20 that confirm", dest, got)
					}
				}
			})
		})
	}
}
