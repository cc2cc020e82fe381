package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"text/tabwriter"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// MapDiff tells what would change at the destinations if the configuration became next:
// it reads the source topics of next to their ends, and maps the newest row of each user
// with both. Nothing is sent, and what it writes to w holds no personal data; progress
// goes to said.
func MapDiff(ctx context.Context, last, next *Config, asJSON bool, w, said io.Writer) error {
	return mapDiff(ctx, last, next, asJSON, w, said, network{})
}

func mapDiff(ctx context.Context, last, next *Config, asJSON bool, w, said io.Writer, n network) error {
	if !reflect.DeepEqual(last.Events, next.Events) {
		return errors.New("the two files differ in their events section, so that the users themselves may be others; make it the same in both to compare the mappings")
	}
	d, err := newDesk(next, "usersync-map", said, n)
	if err != nil {
		return err
	}
	defer d.close()
	before, err := last.targets(func(string) http.RoundTripper { return new(recorder) })
	if err != nil {
		return err
	}
	r := newDiffReport(before, d.targets)
	if err := d.open(ctx); err != nil {
		return err
	}
	decoder, err := next.Events.decoder(r.reads)
	if err != nil {
		return err
	}
	c, err := take(ctx, d, decoder, r.compare)
	if err != nil {
		return err
	}
	for _, n := range c.users {
		if n.op == usync.Upsert {
			r.count(n.mark)
		}
	}
	r.Undecodable = c.undecodable
	r.finish()
	return publish(w, asJSON, r)
}

// difference is what two mappings make of one row.
type difference uint8

const (
	same     difference = iota
	differs             // both have a payload, and they differ
	lost                // only the old one has
	gained              // only the new one has
	neither             // has one
	outcomes            // how many of these there are
)

// marks are those of one row, one for each destination.
type marks [2]difference

// diffReport says what differs.
type diffReport struct {
	Users        int               `json:"users"`
	Incomplete   int               `json:"incomplete_rows"`
	Undecodable  int               `json:"undecodable_records"`
	Destinations []destinationDiff `json:"destinations"`

	reads []string // the columns that the mappings read
}

// destinationDiff is about one destination.
type destinationDiff struct {
	Name    string  `json:"destination"`
	Same    int     `json:"same"`
	Differ  int     `json:"differ"`             // sent again, with another payload or for the first time
	Lost    int     `json:"no_payload_anymore"` // dead letters to come
	Gained  int     `json:"payload_only_now"`   // among those that differ
	Neither int     `json:"no_payload"`
	Hours   float64 `json:"hours"` // at the rate limit; 0 without one
	Note    string  `json:"note,omitempty"`

	rate         float64
	before, next *target // before is nil if the destination is new
	counts       [outcomes]int
}

func newDiffReport(before, next []target) *diffReport {
	r := new(diffReport)
	for i := range next {
		x := destinationDiff{Name: next[i].name, rate: next[i].RateLimit, next: &next[i]}
		if k := slices.IndexFunc(before, func(t target) bool { return t.name == next[i].name }); k >= 0 {
			x.before = &before[k]
		}
		switch {
		case x.before == nil:
			x.Note = "the destination is new: every user is sent"
		case x.before.BaseURL != x.next.BaseURL:
			x.Note = "base_url differs: every user is another one there"
		}
		r.Destinations = append(r.Destinations, x)
	}
	r.reads = r.columns()
	return r
}

// columns are those that any of the mappings reads.
func (r *diffReport) columns() []string {
	var all []string
	for _, x := range r.Destinations {
		all = append(all, x.next.mapping.Columns()...)
		if x.before != nil {
			all = append(all, x.before.mapping.Columns()...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// rowDiff is what is kept of a row.
type rowDiff struct {
	marks      marks
	incomplete bool
}

// compare maps a row with both.
func (r *diffReport) compare(_ *event.Record, c *usync.Change) rowDiff {
	if c == nil {
		return rowDiff{}
	}
	d := rowDiff{incomplete: incomplete(c, r.reads)}
	for i := range r.Destinations {
		d.marks[i] = r.Destinations[i].compare(c)
	}
	return d
}

func (x *destinationDiff) compare(c *usync.Change) difference {
	next, _, nextErr := x.next.mapping.Payload(c)
	var last usync.Payload
	lastErr := errors.New("the destination is new")
	if x.before != nil {
		last, _, lastErr = x.before.mapping.Payload(c)
	}
	switch {
	case lastErr != nil && nextErr != nil:
		return neither
	case nextErr != nil:
		return lost
	case lastErr != nil:
		return gained
	case x.Note != "", !bytes.Equal(last.Body, next.Body):
		return differs
	default:
		return same
	}
}

// count takes a user into account.
func (r *diffReport) count(d rowDiff) {
	r.Users++
	if d.incomplete {
		r.Incomplete++
	}
	for i := range r.Destinations {
		r.Destinations[i].counts[d.marks[i]]++
	}
}

// finish works out the figures that follow from others.
func (r *diffReport) finish() {
	for i := range r.Destinations {
		x := &r.Destinations[i]
		x.Same, x.Lost, x.Gained, x.Neither = x.counts[same], x.counts[lost], x.counts[gained], x.counts[neither]
		x.Differ = x.counts[differs] + x.Gained
		if x.rate > 0 {
			x.Hours = float64(x.Differ) / x.rate / 3600
		}
	}
}

func (r *diffReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s users\n", grouped(int64(r.Users)))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DESTINATION\tSAME\tDIFFER\tOF WHICH NEW\tNO PAYLOAD ANY MORE\tNO PAYLOAD\tTO SEND")
	for _, x := range r.Destinations {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.Name, grouped(int64(x.Same)), grouped(int64(x.Differ)),
			grouped(int64(x.Gained)), grouped(int64(x.Lost)), grouped(int64(x.Neither)), effort(x.Differ, x.rate))
	}
	_ = table.Flush() // w keeps its error
	for _, x := range r.Destinations {
		if x.Note != "" {
			fmt.Fprintf(w, "%s: %s\n", x.Name, x.Note)
		}
		if x.Lost > 0 {
			fmt.Fprintf(w, "%s: %s users that have a payload now would have none, and become dead letters when they are read\n", x.Name, grouped(int64(x.Lost)))
		}
	}
	if r.Incomplete > 0 {
		fmt.Fprintf(w, "%s rows leave out values that did not change; fields that use these were not compared\n", grouped(int64(r.Incomplete)))
	}
	if r.Undecodable > 0 {
		fmt.Fprintf(w, "%s records cannot be decoded and were passed over\n", grouped(int64(r.Undecodable)))
	}
	fmt.Fprintln(w, "A new mapping applies to rows that are read from then on. For those who differ and do not change, take a new snapshot of the table or run resync --all.")
}
