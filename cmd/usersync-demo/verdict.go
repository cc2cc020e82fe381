package main

import (
	"fmt"
	"strings"
	"time"
)

// result is what the demo ends with.
type result struct {
	view
	tally    tally
	took     time.Duration
	planted  int
	troubles []outcome
}

// outcome is a trouble, looked back at.
type outcome struct {
	*trouble
	at, lasted time.Duration
	healed     time.Duration // after its end; below 0: not at all
}

// right reports whether each vendor holds each user as it must, and none was given
// up but those that were planted.
func (r *result) right() bool {
	for _, l := range r.lanes {
		if l.right != l.users || l.planted != r.planted || l.others > 0 || l.lag > 0 {
			return false
		}
	}
	return true
}

// text is the verdict.
func (r *result) text() string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s %s\n", what, fmt.Sprintf(format, args...))
	}
	t := r.tally
	upserts := int64(t.snapshot + t.updates + t.inserts)
	b.WriteString("\nVerdict\n")
	line("changes", "%s in %s: %s users in the snapshot, then %s updates, %s new users and %s deletes",
		comma(upserts+int64(t.deletes)), r.took.Round(time.Second), comma(int64(t.snapshot)), comma(int64(t.updates)), comma(int64(t.inserts)), comma(int64(t.deletes)))
	for _, l := range r.lanes {
		line("calls", "%s to %s%s; %s of %s changes (%d%%) cost none: a newer one of the same user came in time",
			comma(int64(l.calls)), l.vendor.title, l.vendor.note, comma(l.saved), comma(upserts), 100*l.saved/max(1, upserts))
	}
	for _, o := range r.troubles {
		line("trouble", "%s", o.text())
	}
	for _, l := range r.lanes {
		for _, w := range r.wrong(l) {
			line("WRONG", "%s: %s", l.vendor.title, w)
		}
	}
	var counts []string
	for _, l := range r.lanes {
		counts = append(counts, fmt.Sprintf("%d/%d %s", l.right, l.users, l.vendor.destination))
	}
	b.WriteString("\nusers right: " + strings.Join(counts, ", "))
	if r.planted > 0 && r.right() {
		fmt.Fprintf(&b, ", and %d in the dead-letter topic, as planted", r.planted)
	}
	b.WriteString("\n")
	return b.String()
}

// wrong lists what is wrong with a destination.
func (r *result) wrong(l lane) []string {
	var all []string
	note := func(n int64, what string) {
		if n > 0 {
			all = append(all, comma(n)+" "+what)
		}
	}
	note(int64(l.users-l.right), "users are not as the database has them")
	note(int64(l.others), "users are in the dead-letter topic with nothing wrong about them")
	note(int64(r.planted-l.planted), "users that nobody takes are not in the dead-letter topic")
	note(l.lag, "records are not dealt with")
	return all
}

// text says how long it lasted and how long it took to heal.
func (o *outcome) text() string {
	who := "both"
	if o.vendor != nil {
		who = o.vendor.title
	}
	s := fmt.Sprintf("%s  %-6s  %-7s", clock(o.at), o.name, who)
	if o.end != nil {
		s += fmt.Sprintf("  lasted %s,", tenths(o.lasted))
	} else {
		s += "  planted,"
	}
	if o.healed < 0 {
		return s + " not healed"
	}
	return s + fmt.Sprintf(" all dealt with %s later", tenths(o.healed))
}

// clock writes a time since the start.
func clock(d time.Duration) string {
	d = d.Round(100 * time.Millisecond)
	return fmt.Sprintf("%02d:%04.1f", int(d.Minutes()), (d % time.Minute).Seconds())
}

// tenths writes a duration as people say it.
func tenths(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// comma writes a number, not below 0, with its thousands apart.
func comma(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
