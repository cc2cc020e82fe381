package consumer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// done is what is settled of a partition of the retry topic above what is committed. One
// user of a resync who fails holds the offset, for as long as retry.give_up_after, and
// nothing that is known of the others keeps them from being sent: that is what was asked
// for. So the next owner has to hear who was sent already.
//
//	offset   100        101 ---- 132      133        134 ---- 5000
//	         it fails   settled           on its way settled
//	done     100-5000/100,133
type done struct {
	to  int64   // all from what is committed up to here is settled,
	but []int64 // but these, in order
}

// mostPending is how many places a note lists at most. What lies behind more of them is
// sent again; a broker takes 4096 bytes for all that a note says.
const mostPending = 100

// has reports whether the record at offset is settled.
func (d done) has(offset int64) bool {
	_, pending := slices.BinarySearch(d.but, offset)
	return offset < d.to && !pending
}

// note is the form of d in a commit of offset; empty if it says nothing.
func (d done) note(offset int64) string {
	d.but = d.but[below(d.but, offset):]
	if d.to-offset <= int64(len(d.but)) {
		return ""
	}
	pending := make([]string, len(d.but))
	for i, o := range d.but {
		pending[i] = strconv.FormatInt(o, 10)
	}
	return fmt.Sprintf("%d-%d/%s", offset, d.to, strings.Join(pending, ","))
}

// below is how many of offsets, which are in order, lie below one.
func below(offsets []int64, offset int64) int {
	n, _ := slices.BinarySearch(offsets, offset)
	return n
}

// parseDone reads what note makes. In a commit of another offset it says nothing:
// somebody has set that, and left the note.
func parseDone(s string, offset int64) done {
	first, rest, _ := strings.Cut(s, "-")
	to, pending, _ := strings.Cut(rest, "/")
	from, err1 := strconv.ParseInt(first, 10, 64)
	var d done
	var err2, err3 error
	d.to, err2 = strconv.ParseInt(to, 10, 64)
	for o := range strings.SplitSeq(pending, ",") {
		if pending == "" {
			break
		}
		at, err := strconv.ParseInt(o, 10, 64)
		d.but, err3 = append(d.but, at), cmp.Or(err3, err)
	}
	if cmp.Or(err1, err2, err3) != nil || from != offset || !slices.IsSorted(d.but) {
		return done{}
	}
	return d
}

// Settled reports whether the group has dealt with the record at offset: it lies below the
// commit or, in the retry topic, the note says so. A retry may wait behind one that fails.
func (c Committed) Settled(offset int64) bool {
	n, _ := parseNote(c.Metadata)
	return offset < c.Offset || parseDone(n.Done, c.Offset).has(offset)
}

// settled returns what a note says of p, of the retry topic, beside the offset that is
// committed. While something is still to be written down that it depends on, what was
// settled before that is.
func (p *owned) settled(offset int64) string {
	if !p.retry {
		return ""
	}
	if p.written() {
		p.done = p.front.done(p.done)
	}
	return p.done.note(offset)
}

// done is what is settled above the first place that is held. before is what was said to
// be, also of records that are not registered yet.
func (f *frontier) done(before done) done {
	d := done{to: max(f.position, before.to)}
	for p := f.first; p != nil && len(d.but) <= mostPending; p = p.next {
		d.but = append(d.but, p.offset)
	}
	d.but = append(d.but, before.but[below(before.but, f.position):]...)
	if len(d.but) > mostPending {
		d.to, d.but = d.but[mostPending], d.but[:mostPending]
	}
	return d
}
