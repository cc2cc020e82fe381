package app

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// planReport is a plan. Times are in seconds.
type planReport struct {
	Users        int64             `json:"users"`
	Changes      float64           `json:"changes_per_second"`
	Latency      float64           `json:"latency"`
	Outage       float64           `json:"outage"`
	State        bool              `json:"state"` // it is kept what was delivered
	Replicas     int               `json:"replicas"`
	Partitions   int               `json:"partitions"`
	Memory       int64             `json:"memory_bytes"` // of each process, at worst
	Load         float64           `json:"state_load"`   // at a start, at worst
	Destinations []planDestination `json:"destinations"`
	Problems     []string          `json:"problems"`
	Advice       []string          `json:"advice"`
}

// planDestination is about one destination.
type planDestination struct {
	Name        string   `json:"destination"`
	RateLimit   float64  `json:"rate_limit"` // 0: none
	Usual       float64  `json:"calls_per_second"`
	Most        float64  `json:"calls_per_second_most"`
	InFlight    int      `json:"calls_in_flight"` // of all processes, at the most calls a second
	Configured  int      `json:"concurrency_configured"`
	Concurrency int      `json:"concurrency"` // of each process
	FirstCalls  int      `json:"first_snapshot_calls_per_user"`
	First       *float64 `json:"first_snapshot"` // null: it never ends
	Again       *float64 `json:"later_snapshot"` // the same
	Drain       *float64 `json:"drain"`          // after the outage; the same
	StateUsers  int      `json:"state_users"`

	window int
	capped bool // the most is what the processes make
}

func (r *planReport) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

func (r *planReport) advise(format string, args ...any) {
	r.Advice = append(r.Advice, fmt.Sprintf(format, args...))
}

func (r *planReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s users, %s changes a second, calls of %s, an outage of %s\n\n",
		grouped(r.Users), quantity(r.Changes), seconds(&r.Latency), seconds(&r.Outage))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DEPLOYMENT\t\tBECAUSE")
	fmt.Fprintf(t, "replicas\t%d\tone may be away, and a process makes %s calls a second\n", r.Replicas, grouped(callsOfProcess))
	fmt.Fprintf(t, "partitions\t%d\tat least one for each process, and room to grow: to add some later, the connector has to pause\n", r.Partitions)
	fmt.Fprintf(t, "memory\t%d MiB\tof each process, at worst: full windows%s, and a heap that has doubled\n", r.Memory>>20, r.ifState(", what was delivered, with one process away", ""))
	if r.State {
		fmt.Fprintf(t, "loading the state\t%s\tat worst, at a start and after a rebalance\n", seconds(&r.Load))
	}
	_ = t.Flush() // w keeps its error, here and below
	for _, x := range r.Destinations {
		fmt.Fprintln(w)
		x.print(w, r)
	}
	fmt.Fprintln(w)
	for _, text := range r.Problems {
		fmt.Fprintf(w, "problem: %s\n", text)
	}
	for _, text := range r.Advice {
		fmt.Fprintf(w, "advice: %s\n", text)
	}
	fmt.Fprintln(w, "What was measured and what is assumed: docs/operations.md, Capacity.")
}

func (x *planDestination) print(w io.Writer, r *planReport) {
	limit := "the rate limit, of all processes together"
	switch {
	case x.capped:
		limit = "as many as the processes make, with one away"
	case x.RateLimit == 0:
		limit = "no rate limit: twice the changes, or what one process makes"
	}
	first := "one call for each user, beside the changes"
	if x.FirstCalls > 1 {
		first = "two calls for each user that Haptik does not have, beside the changes; first_write: post spares one"
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\t\tBECAUSE\n", strings.ToUpper(x.Name))
	fmt.Fprintf(t, "calls a second, usually\t%s\tone for each change; fewer where a user changes again while it waits\n", quantity(x.Usual))
	fmt.Fprintf(t, "calls a second, at most\t%s\t%s\n", quantity(x.Most), limit)
	fmt.Fprintf(t, "calls in flight\t%s\tat most, of all processes: %s a second of %s each\n", grouped(int64(x.InFlight)), quantity(x.Most), seconds(&r.Latency))
	fmt.Fprintf(t, "concurrency\t%d\tof each process, with one away; %d is configured\n", x.Concurrency, x.Configured)
	fmt.Fprintf(t, "first snapshot\t%s\t%s\n", seconds(x.First), first)
	fmt.Fprintf(t, "later snapshots\t%s\t%s\n", seconds(x.Again), r.ifState("the state topic: no call for who has not changed", "one call for each user; with kafka.state_topic only for who has changed"))
	fmt.Fprintf(t, "after the outage\t%s\tuntil everybody is up to date, one call for each user that changed, beside the changes\n", seconds(x.Drain))
	_ = t.Flush()
}

// ifState chooses by whether it is kept what was delivered.
func (r *planReport) ifState(yes, no string) string {
	if r.State {
		return yes
	}
	return no
}

// quantity is a number a second, with no more digits than mean something.
func quantity(x float64) string {
	if x >= 1000 {
		return grouped(int64(math.Round(x)))
	}
	return fmt.Sprintf("%.4g", x)
}

// seconds is a time for people; nil is one that never ends.
func seconds(s *float64) string {
	const minute, hour, day, year = 60, 3600, 86400, 365 * 86400
	switch {
	case s == nil:
		return "never"
	case *s == 0:
		return "0"
	case *s < 1:
		return fmt.Sprintf("%.3g ms", *s*1000)
	case *s < 2*minute:
		return fmt.Sprintf("%.3g s", *s)
	case *s < 2*hour:
		return fmt.Sprintf("%.0f minutes", *s/minute)
	case *s < 3*day:
		return fmt.Sprintf("%.1f hours", *s/hour)
	case *s < 2*year:
		return fmt.Sprintf("%.0f days", *s/day)
	case *s < 100*year:
		return fmt.Sprintf("%.0f years", *s/year)
	default:
		return "over 100 years"
	}
}
