package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// auditReport is what an audit has found.
type auditReport struct {
	Users        int                `json:"users"` // who have a row
	Undecodable  int                `json:"undecodable_records"`
	Destinations []auditDestination `json:"destinations"`
	Remarks      []string           `json:"remarks"`

	wrong int
}

// auditDestination is about one destination.
type auditDestination struct {
	Name   string          `json:"destination"`
	Counts map[verdict]int `json:"counts"`
	Users  []auditUser     `json:"users"`  // that are not as they should be
	Unsaid int             `json:"unsaid"` // how many more of them there are
}

// auditUser is one that is not as it should be.
type auditUser struct {
	User    string  `json:"user"` // the hash that logs have, or the ID
	Verdict verdict `json:"verdict"`
	Cause   string  `json:"cause,omitempty"` // a constant

	// Of the newest change; the topic is empty if there is none.
	Topic     string `json:"topic,omitempty"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
}

func (u *auditUser) position() usync.Position {
	return usync.Position{Topic: u.Topic, Partition: u.Partition, Offset: u.Offset}
}

// add notes the verdict on a user.
func (f *finding) add(user userKey, at usync.Position, v verdict, cause string) {
	f.counts[v]++
	if v.fine() {
		return
	}
	f.users = append(f.users, auditUser{User: user.String(), Verdict: v, Cause: cause, Topic: at.Topic, Partition: at.Partition, Offset: at.Offset})
	if f.limit > 0 && len(f.users) > 2*f.limit+1000 { // all users may be wrong, and memory is for the others
		f.cut()
	}
}

// cut puts the users in order and leaves out those that are too many to list.
func (f *finding) cut() {
	slices.SortFunc(f.users, func(x, y auditUser) int {
		return cmp.Or(cmp.Compare(x.Verdict, y.Verdict), cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition),
			cmp.Compare(x.Offset, y.Offset), cmp.Compare(x.User, y.User))
	})
	if f.limit > 0 && len(f.users) > f.limit {
		f.users = f.users[:f.limit]
	}
}

// list says which users of f are listed, in clear if that is asked for.
func (a *audit) list(ctx context.Context, decoder *event.Decoder, f *finding) error {
	f.cut()
	if !a.options.ShowIDs || len(f.users) == 0 {
		return nil
	}
	return a.identify(ctx, decoder, f.users)
}

// identify puts IDs in place of hashes. Nothing has kept them, so the records are read
// once more; one that is gone meanwhile, or never was, leaves a hash.
func (a *audit) identify(ctx context.Context, decoder *event.Decoder, users []auditUser) error {
	wanted := map[usync.Position]*auditUser{}
	stretches := slices.Clone(a.rows.extents)
	for i := range stretches {
		stretches[i].start, stretches[i].end = stretches[i].end, stretches[i].start
	}
	for i := range users {
		u := &users[i]
		wanted[u.position()] = u
		for k := range stretches {
			if x := &stretches[k]; x.Topic == u.Topic && x.Partition == u.Partition {
				x.start, x.end = min(x.start, u.Offset), max(x.end, u.Offset+1)
			}
		}
	}
	stretches = slices.DeleteFunc(stretches, func(x extent) bool { return x.start >= x.end })
	return a.read(ctx, stretches, func(_ int, r *event.Record) error {
		u := wanted[positionOf(r)]
		if u == nil {
			return nil
		}
		if id, ok := decoder.User(r.Key); ok {
			u.User = id // nobody else has this position
		}
		return nil
	})
}

func (a *audit) newReport() *auditReport {
	r := &auditReport{Undecodable: a.rows.undecodable, Remarks: []string{}}
	for _, n := range a.rows.users {
		if slices.Contains(n.mark.op[:], usync.Upsert) {
			r.Users++
		}
	}
	if a.config.Kafka.StateTopic == "" {
		r.remark("kafka.state_topic is not set: only users that are pending, or whose newest change was given up, can be told from the others")
	}
	if a.config.Privacy.HashKey == (usync.Secret{}) && !a.options.ShowIDs {
		r.remark("privacy.hash_key is not set: the hashes are good for this run only; --show-ids prints IDs")
	}
	if r.Undecodable > 0 {
		r.remark("%s records of the source topics cannot be decoded, by one destination at least; where the key names the user, the verdict there is about that record", grouped(int64(r.Undecodable)))
	}
	if a.rows.several > 0 {
		r.remark("%s times a user was found in another partition than before; which row is the newest, there only the clock tells", grouped(int64(a.rows.several)))
	}
	return r
}

func (r *auditReport) remark(format string, args ...any) {
	r.Remarks = append(r.Remarks, fmt.Sprintf(format, args...))
}

// add takes what was found of a destination.
func (r *auditReport) add(f *finding) {
	x := auditDestination{Name: f.target.name, Counts: f.counts, Users: f.users}
	wrong := 0
	for v, n := range f.counts {
		if !v.fine() {
			wrong += n
		}
	}
	x.Unsaid = wrong - len(f.users)
	for _, tp := range f.unproven {
		r.remark("%s: the state of %s/%d is not the one that the last commit certifies, or has hashes of another privacy.hash_key: nothing in it is believed, and its users are taken for never delivered", x.Name, tp.Topic, tp.Partition)
	}
	r.wrong += wrong
	r.Destinations = append(r.Destinations, x)
}

func (r *auditReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s users have a row\n", grouped(int64(r.Users)))
	for _, x := range r.Destinations {
		fmt.Fprintf(w, "\n%s\n", x.Name)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, v := range verdicts {
			if n := x.Counts[v.verdict]; n > 0 {
				fmt.Fprintf(table, "  %s\t%s\t%s\n", v.verdict, grouped(int64(n)), v.means)
			}
		}
		if len(x.Users) > 0 {
			fmt.Fprintf(table, "\n  USER\tVERDICT\tCAUSE\tNEWEST CHANGE\n")
		}
		for _, u := range x.Users {
			newest := "none"
			if u.Topic != "" {
				newest = fmt.Sprintf("%s/%d@%d", u.Topic, u.Partition, u.Offset)
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", u.User, u.Verdict, cmp.Or(u.Cause, "-"), newest)
		}
		_ = table.Flush() // w keeps its error
		if x.Unsaid > 0 {
			fmt.Fprintf(w, "  and %s more; --limit 0 lists all\n", grouped(int64(x.Unsaid)))
		}
	}
	if len(r.Remarks) > 0 {
		fmt.Fprintln(w)
	}
	for _, remark := range r.Remarks {
		fmt.Fprintln(w, remark)
	}
}
