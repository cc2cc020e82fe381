package ledger

import (
	"slices"
	"testing"
	"time"

	"usersync/consumer/trace"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

var users0 = trace.TopicPartition{Topic: "users", Partition: 0}

// The events of the tables: what is not said is a, of taptalk, user 7, users/0.

func event(seconds float64, kind trace.Kind, edit ...func(*trace.Event)) trace.Event {
	e := trace.Event{At: at(seconds), Kind: kind, Worker: "a", Destination: "taptalk", Topic: "users", User: "7"}
	for _, f := range edit {
		f(&e)
	}
	return e
}

func by(worker string) func(*trace.Event) { return func(e *trace.Event) { e.Worker = worker } }
func of(user string) func(*trace.Event)   { return func(e *trace.Event) { e.User = user } }
func on(offset int64) func(*trace.Event)  { return func(e *trace.Event) { e.Offset = offset } }
func said(what string) func(*trace.Event) { return func(e *trace.Event) { e.Outcome = what } }
func to(dest string) func(*trace.Event)   { return func(e *trace.Event) { e.Destination = dest } }
func under(generation int) func(*trace.Event) {
	return func(e *trace.Event) { e.Generation = generation }
}

func wrote(offset int64, user string) trace.Event {
	return event(0, Wrote, on(offset), of(user), by(""), func(e *trace.Event) { e.Destination = "" })
}

func assigned(seconds float64, worker string, generation int) trace.Event {
	return event(seconds, trace.Assigned, by(worker), under(generation), func(e *trace.Event) { e.Partitions = []trace.TopicPartition{users0} })
}

func revoked(seconds float64) trace.Event {
	return event(seconds, trace.Revoked, under(1))
}

func commits(seconds float64, worker string, generation int, offset int64) trace.Event {
	return event(seconds, trace.Commit, by(worker), under(generation), on(offset), of(""), said(trace.OK))
}

func delivered(seconds float64, offset int64, more ...func(*trace.Event)) []trace.Event {
	return []trace.Event{
		event(seconds, trace.Call, append(more, on(offset))...),
		event(seconds+.1, trace.Called, append(more, on(offset), said(trace.OK))...),
	}
}

// join flattens events and lists of them.
func join(parts ...any) (all []trace.Event) {
	for _, p := range parts {
		switch p := p.(type) {
		case trace.Event:
			all = append(all, p)
		case []trace.Event:
			all = append(all, p...)
		}
	}
	return all
}

// check compares the names of what was found.
func check(t *testing.T, found []Finding, want ...Name) {
	t.Helper()
	var got []Name
	for _, f := range found {
		got = append(got, f.Name)
		if f.Text == "" || f.String() == "" {
			t.Errorf("%s says nothing", f.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
		for _, f := range found {
			t.Log(f)
		}
	}
}

func TestLedger(t *testing.T) {
	begin := join(wrote(0, "7"), wrote(1, "8"), wrote(2, "7"), assigned(1, "a", 1))
	tests := []struct {
		name   string
		events []trace.Event
		want   []Name
	}{
		{"a good day", join(delivered(2, 2), commits(3, "a", 1, 1), delivered(4, 1, of("8")), commits(5, "a", 1, 3)), nil},
		{"nothing called for", join(commits(3, "a", 1, 1)), []Name{Unsettled}},
		{"called for, and not answered", join(event(2, trace.Call, on(2)), commits(3, "a", 1, 1)), []Name{Unsettled}},
		{"called for in vain", join(event(2, trace.Call, on(2)), event(3, trace.Called, on(2), said("failed: http_503")), commits(4, "a", 1, 1)), []Name{Unsettled}},
		{"an older version delivered", join(delivered(2, 0), delivered(3, 1, of("8")), commits(4, "a", 1, 3)), []Name{Unsettled}},
		{"once for each user", join(commits(2, "a", 1, 3)), []Name{Unsettled, Unsettled}},
		{"given up", join(event(2, trace.Letter, on(2), said("rejected")), delivered(3, 1, of("8")), commits(4, "a", 1, 3)), nil},
		{"the commit was refused", join(event(2, trace.Commit, on(3), under(1), said("Illegal Generation"))), nil},
		{
			"to the other destination", join(delivered(2, 2, func(e *trace.Event) { e.Destination = "haptik" }), commits(3, "a", 1, 1)),
			[]Name{StrangerCall, Unsettled},
		},
		{"a delete needs no call", join(event(1, Wrote, on(3), said(Deleted)), delivered(2, 1, of("8")), commits(4, "a", 1, 4)), nil},
		{"what came after it does", join(event(1, Wrote, on(3), said(Deleted)), event(1, Wrote, on(4)), delivered(2, 1, of("8")), commits(4, "a", 1, 5)), []Name{Unsettled}},

		{"two at once", join(event(2, trace.Call, on(0)), event(3, trace.Call, on(2))), []Name{Overlap}},
		{"of one of them an end", join(event(2, trace.Call, on(0)), event(3, trace.Called, on(0), said("unsure: timeout")), event(3, trace.Call, on(2))), nil},
		{"of the other", join(event(2, trace.Call, on(0)), event(3, trace.Called, on(1), of("8"), said(trace.OK)), event(3, trace.Call, on(2))), []Name{Overlap}},
		{"two workers at once", join(event(2, trace.Call, on(0)), assigned(3, "b", 2), event(4, trace.Call, by("b"), on(2))), []Name{Overlap}},
		{"the first was killed", join(event(2, trace.Call, on(0)), event(2, Killed), assigned(3, "b", 2), event(4, trace.Call, by("b"), on(2))), nil},
		{"the first was frozen", join(event(2, trace.Call, on(0)), event(2, Frozen), assigned(3, "b", 2), event(4, trace.Call, by("b"), on(2)),
			event(5, Thawed), event(6, trace.Called, on(0), said(trace.OK)), event(6, trace.Called, by("b"), on(2), said(trace.OK))), nil},
		{"another was killed", join(event(2, trace.Call, on(0)), event(2, Killed, by("c")), assigned(3, "b", 2), event(4, trace.Call, by("b"), on(2))), []Name{Overlap}},

		{"nobody's partition", join(event(2, trace.Call, on(0), func(e *trace.Event) { e.Partition = 5 })), []Name{StrangerCall}},
		{"another's partition", join(assigned(2, "b", 2), event(3, trace.Call, on(0))), []Name{StrangerCall}},
		{"it thaws and stops", join(event(1, Frozen), assigned(2, "b", 2), event(3, Thawed), event(3, trace.Call, on(0)), event(3, trace.Called, on(0), said("unsent: lease"))), nil},
		{"it thaws beside the owner's call", join(event(1, Frozen), assigned(2, "b", 2), event(3, trace.Call, by("b"), on(2)), event(3, trace.Call, on(0)), event(3, trace.Called, on(0), said("unsent: lease"))), nil},
		{"it thaws and calls", join(event(1, Frozen), assigned(2, "b", 2), event(3, Thawed), event(3, trace.Call, on(0)), event(3, trace.Called, on(0), said(trace.OK))), []Name{StrangerCall}},
		{"a commit of what was not assigned", join(commits(2, "a", 2, 0)), []Name{StrangerWrote}},
		{"a commit of a stranger", join(commits(2, "b", 1, 0)), []Name{StrangerWrote}},
		{"an answer that comes late", join(delivered(2, 2), delivered(2, 1, of("8")), assigned(3, "b", 2), commits(4, "b", 2, 3), commits(5, "a", 1, 1)), nil},
		{"a commit that goes back", join(delivered(2, 2), delivered(2, 1, of("8")), commits(4, "a", 1, 3), commits(5, "a", 1, 2)), []Name{CommitBack}},
		{"under the next owner", join(delivered(2, 2), delivered(2, 1, of("8")), commits(4, "a", 1, 3), assigned(5, "b", 2), commits(6, "b", 2, 2)), []Name{CommitBack}},
		{"a call after its own word", join(revoked(2), event(3, trace.Call, on(0))), []Name{StrangerCall}},
		{"a commit after it", join(revoked(2), commits(3, "a", 1, 0)), []Name{StrangerWrote}},
		{"the next owner calls", join(revoked(2), assigned(2, "b", 2), event(3, trace.Call, by("b"), on(0))), nil},
		{"it is late with its word", join(assigned(2, "b", 2), revoked(3), event(3, trace.Call, by("b"), on(0))), nil},
		{"it owns them again", join(assigned(2, "a", 2), revoked(3), event(3, trace.Call, on(0))), nil},
		{"an older generation", join(assigned(2, "b", 3), assigned(3, "a", 2)), []Name{OldGeneration}},
		{"frozen before it said so", join(event(1, Frozen), assigned(2, "b", 3), event(3, Thawed), assigned(3, "a", 2), event(4, trace.Call, by("b"), on(2))), nil},
		{"and calls", join(event(1, Frozen), assigned(2, "b", 3), assigned(3, "a", 2), event(4, trace.Call, on(0)), event(4, trace.Called, on(0), said(trace.OK))), []Name{StrangerCall}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var found []Finding
			l := New(func(f Finding) { found = append(found, f) })
			for _, e := range slices.Concat(begin, tt.events) {
				l.Note(e)
			}
			check(t, found, tt.want...)
		})
	}
}

func TestBooks(t *testing.T) {
	l := New(func(f Finding) { t.Error(f) })
	equal := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	joined := assigned(1, "a", 1)
	joined.Member = "m"
	for _, e := range join(wrote(0, "7"), wrote(1, "8"), wrote(2, "7"), joined, delivered(2, 2)) {
		l.Note(e)
	}
	equal("settled up to", l.Settled("taptalk", users0), int64(1))
	equal("of the other", l.Settled("haptik", users0), int64(0))
	l.Note(event(3, trace.Letter, on(1), of("8"), said("rejected")))
	l.Note(event(3, trace.Letter, on(9), of(""), said("undecodable")))
	l.Note(commits(4, "a", 1, 3))
	l.Note(event(5, trace.Halt, said("topic_gone")))
	equal("settled up to", l.Settled("taptalk", users0), int64(3))
	equal("committed", l.Committed("taptalk", users0), int64(3))
	equal("letters of 8", l.Letters("taptalk")["8"], 1)
	equal("excused", l.Excused("taptalk", "8"), true)
	equal("excused", l.Excused("taptalk", "7"), false)
	equal("rejected", l.Reasons("taptalk")["rejected"], 1)
	equal("calls", l.Calls("taptalk"), 1)
	equal("settled", l.Done("taptalk"), 2)
	equal("halts", l.Halts("taptalk")[0], "users/0 topic_gone")
	equal("joined", l.Joined("taptalk", "m"), true)
	equal("partitions", len(l.Partitions()), 1)
	equal("events", len(l.Events(func(e trace.Event) bool { return e.Kind == Wrote })), 3)
	revoked := event(6, trace.Revoked)
	revoked.Member = "m"
	l.Note(revoked)
	equal("joined", l.Joined("taptalk", "m"), false)

	l.Reset("taptalk", users0, 0)
	l.Note(commits(7, "a", 1, 1))
	equal("after an operator set it back", l.Committed("taptalk", users0), int64(1))
	equal("users lost", len(l.Lose(users0, 1)), 1)
	equal("users of a topic that was recreated", len(l.Recreate(users0)), 2)
	l.Note(wrote(0, "7"))
	equal("settled in the new one", l.Settled("taptalk", users0), int64(0))
	l.Suspend(users0)
	l.Note(commits(8, "a", 1, 1))
}

func TestMerge(t *testing.T) {
	a := join(assigned(1, "a", 1), event(2, trace.Call), event(3, trace.Called, said(trace.OK)), event(4, trace.Revoked))
	b := join(assigned(3.9995, "b", 2), event(3.9996, trace.Call, by("b")))
	kinds := func(events []trace.Event) (all []trace.Kind) {
		for _, e := range events {
			all = append(all, e.Kind)
		}
		return all
	}
	ends := []trace.Kind{trace.Assigned, trace.Call, trace.Called, trace.Revoked, trace.Assigned, trace.Call}
	for _, traces := range [][][]trace.Event{{a, b}, {b, a}} {
		if got := kinds(Merge(Tick, slices.Clone(traces)...)); !slices.Equal(got, ends) {
			t.Errorf("within a tick: %v, want %v", got, ends)
		}
	}
	want := []trace.Kind{trace.Assigned, trace.Call, trace.Called, trace.Assigned, trace.Call, trace.Revoked}
	if got := kinds(Merge(0, a, b)); !slices.Equal(got, want) {
		t.Errorf("by the clock alone: %v, want %v", got, want)
	}
	vendor := join(event(2, Applied), event(2.0001, Applied))
	if got := kinds(Merge(Tick, a[:3], vendor)); !slices.Equal(got, []trace.Kind{trace.Assigned, trace.Call, Applied, Applied, trace.Called}) {
		t.Errorf("applied within a tick of its call: %v", got)
	}
	if got := kinds(Merge(time.Hour, a)); !slices.Equal(got, kinds(a)) {
		t.Errorf("a trace of its own was put in another order: %v", got)
	}
}
