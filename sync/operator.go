package sync

import (
	"slices"
	"time"
)

// Pause keeps calls from starting, or lets them start again. What comes in meanwhile
// waits as behind a held lane; calls in flight end, and letters whose time has come are
// written. It outlives Drop.
func (l *Lane) Pause(paused bool) { l.paused = paused }

// Accept says that an operator has looked at what was given up before the time at: its
// letters are written although the latch is closed, without another chance, and don't
// count against the budget afterwards. What has another chance just now is not among
// them. It returns how many records it is about that were not accepted before.
func (l *Lane) Accept(at time.Time) int {
	records := 0
	for _, letter := range l.release.letters {
		if letter.gone || letter.accepted || !letter.Failed.Before(at) {
			continue
		}
		letter.accepted, letter.due = true, letter.Failed // nobody has to be waited for any more
		records += letter.count
	}
	l.release.sort()
	return records
}

// sort puts the letters in the order in which they are written. One that is being
// written stays the first, for until it is there is no other.
func (r *release) sort() {
	slices.SortStableFunc(r.letters, func(a, b *Letter) int {
		switch {
		case a.writing:
			return -1
		case b.writing:
			return 1
		}
		return a.due.Compare(b.due)
	})
}
