package consumer

import "time"

// sayEvery is how often a trouble that lasts is said again.
const sayEvery = time.Minute

// trouble is what fails again and again. It knows when that is worth a line of the
// log: once it has lasted for some time, then every minute, and when it is over.
// The zero trouble has not begun. It has no lock.
type trouble struct {
	since time.Time // the first failure; zero: there is none
	said  time.Time
}

// again notes a failure and reports whether it is to be said now. Less than patience
// after the first it is not.
func (t *trouble) again(now time.Time, patience time.Duration) bool {
	if t.since.IsZero() {
		t.since = now
	}
	if now.Sub(t.since) < patience || now.Sub(t.said) < sayEvery {
		return false
	}
	t.said = now
	return true
}

// over notes a success. It returns how long the trouble has lasted, and whether it
// was said, so that its end is too.
func (t *trouble) over(now time.Time) (lasted time.Duration, said bool) {
	if !t.since.IsZero() {
		lasted, said = now.Sub(t.since).Round(time.Second), !t.said.IsZero()
	}
	*t = trouble{}
	return lasted, said
}
