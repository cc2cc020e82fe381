package app

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	usync "usersync/sync"
)

// place is a position as people write it: topic/partition@offset.
func place(p usync.Position) string { return fmt.Sprintf("%s/%d@%d", p.Topic, p.Partition, p.Offset) }

// explainReport is what is known of one user.
type explainReport struct {
	User         string               `json:"user"` // the hash
	Records      int                  `json:"records"`
	Several      bool                 `json:"in_several_partitions"`
	Newest       *explainChange       `json:"newest_change,omitempty"` // nil: no record is about the user
	Destinations []explainDestination `json:"destinations"`
}

// explainChange is the newest change.
type explainChange struct {
	At          string     `json:"at"`
	Written     time.Time  `json:"written"`
	Source      *time.Time `json:"committed_by_database,omitempty"`
	Op          string     `json:"op"`
	Fields      []string   `json:"columns"`
	Undecodable string     `json:"undecodable,omitempty"`
	Row         string     `json:"value,omitempty"`
}

// explainDestination is about one destination.
type explainDestination struct {
	Name      string          `json:"destination"`
	Verdict   verdict         `json:"verdict"`
	Because   string          `json:"because"`
	Committed int64           `json:"committed"`      // of the partition of the newest change; -1: nothing
	Members   int             `json:"workers"`        // -1: not known
	Held      string          `json:"held,omitempty"` // empty where it is not kept
	Letters   []explainLetter `json:"dead_letters"`
	Retry     *explainRetry   `json:"retry,omitempty"`  // waits in the retry topic
	Fields    []string        `json:"fields,omitempty"` // that would be sent now
	Omitted   []string        `json:"omitted,omitempty"`
	Invalid   string          `json:"no_payload,omitempty"`
	Values    json.RawMessage `json:"payload,omitempty"`

	cause usync.Cause // why it is not known what is held
}

// explainRetry is what an operator has asked for and is not settled yet.
type explainRetry struct {
	At      string    `json:"at"` // in the retry topic
	Command string    `json:"command"`
	Asked   time.Time `json:"asked_at"`
}

// explainLetter is a dead letter of the user.
type explainLetter struct {
	At          string    `json:"at"`
	Source      string    `json:"source"`
	Newest      bool      `json:"of_newest_change"`
	Destination string    `json:"-"`
	FailedAt    time.Time `json:"failed_at"`
	Reason      string    `json:"reason"`
	Error       string    `json:"error"`
	Attempts    int       `json:"attempts"`
	Status      string    `json:"status"`
}

func (r *explainReport) print(w io.Writer) {
	if r.Newest == nil {
		fmt.Fprintf(w, "user %s: no record in the source\n", r.User)
	} else {
		r.Newest.print(w, r)
	}
	for i := range r.Destinations {
		r.Destinations[i].print(w)
	}
}

func (n *explainChange) print(w io.Writer, r *explainReport) {
	fmt.Fprintf(w, "user %s: %d records, the newest is %s\n", r.User, r.Records, n.At)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(table, "  %s\t%s\n", name, text)
		}
	}
	line("operation", n.Op)
	line("written", when(n.Written))
	if n.Source != nil {
		line("committed by the database", when(*n.Source))
	}
	line("columns", strings.Join(n.Fields, ", "))
	line("cannot be decoded", n.Undecodable)
	line("value", n.Row)
	if r.Several {
		line("note", "the user has records in several partitions; which is the newest, there only the clock tells")
	}
	_ = table.Flush() // w keeps its error
}

func (y *explainDestination) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n  %s\n", y.Name, y.Verdict, y.Because)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(table, "  %s\t%s\n", name, text)
		}
	}
	committed := "nothing"
	if y.Committed >= 0 {
		committed = fmt.Sprint(y.Committed)
	}
	line("committed", committed)
	if y.Members >= 0 {
		line("workers", fmt.Sprint(y.Members))
	}
	line("held", y.Held)
	if y.Retry != nil {
		line("retry", fmt.Sprintf("%s, a %s, asked for %s", y.Retry.At, y.Retry.Command, when(y.Retry.Asked)))
	}
	line("would be sent now", strings.Join(y.Fields, ", "))
	line("with no value for", strings.Join(y.Omitted, ", "))
	line("no payload", y.Invalid)
	line("payload", string(y.Values))
	for _, l := range y.Letters {
		which := "of an older change"
		if l.Newest {
			which = "of the newest change"
		}
		line("dead letter", fmt.Sprintf("%s, %s: %s, %s, %d attempts, %s, %s",
			l.At, which, l.Reason, cmp.Or(l.Error, "no code"), l.Attempts, when(l.FailedAt), l.Status))
	}
	_ = table.Flush()
}

// when is a time for people.
func when(t time.Time) string {
	return t.UTC().Format(time.RFC3339) + " (" + age(t) + " ago)"
}
