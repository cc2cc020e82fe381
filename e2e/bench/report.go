package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is all that was measured, and where.
type report struct {
	Args    []string
	Commit  string
	Machine string
	Began   time.Time
	Notes   []string `json:",omitempty"`
	Cells   []summed
	Fresh   []fresh `json:",omitempty"`
}

// summed is a cell, with what its rounds amount to.
type summed struct {
	result
	Rows []row
}

func newReport(ctx context.Context, args []string) *report {
	return &report{Args: args, Commit: commit(ctx), Machine: machine(), Began: time.Now().UTC().Truncate(time.Second)}
}

func (r *report) add(c result) { r.Cells = append(r.Cells, summed{c, summarise(c)}) }

// commit says which sources were measured.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine says on what.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d x %s, %s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.Version())
}

// write writes the files that the options ask for.
func (r *report) write(o options) error {
	var errs []error
	if o.json != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		errs = append(errs, err, os.WriteFile(o.json, append(text, '\n'), 0o644))
	}
	if o.markdown != "" {
		errs = append(errs, os.WriteFile(o.markdown, []byte(r.markdown()), 0o644))
	}
	if o.plots != "" {
		errs = append(errs, r.draw(o.plots))
	}
	return errors.Join(errs...)
}

// title names a cell.
func title(c cell) string {
	return fmt.Sprintf("%s: %s changes of %s users, %s", c.Workload, thousands(c.Changes), thousands(c.Distinct), conditions(c))
}

// conditions say how the vendor and the records are.
func conditions(c cell) string {
	schema := ""
	if c.Schema {
		schema = ", with schema"
	}
	return fmt.Sprintf("%v, %d in flight%s", c.Latency, c.Concurrency, schema)
}

func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// markdown returns the report for people.
func (r *report) markdown() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "`make bench BENCH='%s'` at %s, %s, on %s.\n\n", strings.Join(r.Args, " "), r.Commit, r.Began.Format(time.DateOnly), r.Machine)
	b.WriteString("Medians of the rounds, with the lowest and the highest; each ratio is of one round.\n" +
		"CPU is less what the same process takes to start and stop with nothing to do.\n")
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	for _, c := range r.Cells {
		fmt.Fprintf(&b, "\n### %s\n\n", strings.ToUpper(c.Workload[:1])+title(c.cell)[1:])
		if c.Rounds != nil && c.again() {
			c.unchanged(&b)
			continue
		}
		fmt.Fprintf(&b, "Records of %d bytes; rounds: %d. The calls take %v at the least.\n\n", c.Bytes, len(c.Rounds), c.least().Round(time.Millisecond))
		c.delivered(&b)
	}
	r.saved(&b)
	if len(r.Fresh) > 0 {
		b.WriteString("\n### A single change, to who is idle: from Kafka's acknowledgement to the vendor\n\n")
		b.WriteString("| | changes | median, ms | p99, ms | most, ms |\n|---|--:|--:|--:|--:|\n")
		for _, f := range r.Fresh {
			fmt.Fprintf(&b, "| %s | %d | %.1f | %.1f | %.1f |\n", f.Contender, f.Changes, f.P50, f.P99, f.Max)
		}
	}
	b.WriteString("\n")
	for _, c := range contenders {
		if r.has(c.name) {
			fmt.Fprintf(&b, "- %s: %s\n", c.name, c.about)
		}
	}
	return b.String()
}

// saved is the table of the calls that the worker did not have to make: without it each
// change is one.
func (r *report) saved(b *bytes.Buffer) {
	if !slices.ContainsFunc(r.Cells, func(c summed) bool { return c.calls() != nil }) {
		return
	}
	b.WriteString("\n### Calls that the worker saved: one for each change would be all\n\n")
	b.WriteString("| | changes | distinct users | calls | saved |\n|---|--:|--:|--:|--:|\n")
	for _, c := range r.Cells {
		if x := c.calls(); x != nil {
			fmt.Fprintf(b, "| %s, %s | %s | %s | %s | %.1f %% |\n", c.Workload, conditions(c.cell),
				thousands(c.Changes), thousands(c.Distinct), span(*x), 100*(1-x.Median/float64(c.Changes)))
		}
	}
}

// calls are those that the worker made, nil if it did not take part, or was cut short.
func (c summed) calls() *stat {
	for _, x := range c.Rows {
		if x.Contender == nameWorker && x.Share == 1 {
			return &x.Calls
		}
	}
	return nil
}

// has reports whether a contender took part anywhere.
func (r *report) has(name string) bool {
	return slices.ContainsFunc(r.Fresh, func(f fresh) bool { return f.Contender == name }) ||
		slices.ContainsFunc(r.Cells, func(c summed) bool {
			return slices.ContainsFunc(c.Rows, func(x row) bool { return x.Contender == name })
		})
}

// again reports whether the users had not changed.
func (c summed) again() bool {
	w, _ := workloadNamed(c.Workload)
	return w.again
}

// delivered is the table of a cell in which users changed.
func (c summed) delivered(b *bytes.Buffer) {
	b.WriteString("| | wall / least | wall / loop | calls a user | CPU a call / bare | CPU a call, µs | CPU a change, µs | peak memory, MB | memory / loop | stale writes | users wrong | wall, s | before that, s |\n" +
		"|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	cut := false
	for _, x := range c.Rows {
		name, stale, wrong := x.Contender, "–", "–"
		if x.Calls.Max > 0 {
			stale, wrong = span(x.Stale), span(x.Wrong)
		}
		if x.Share < 1 {
			name, wrong, cut = name+" *", "–", true
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name,
			show(x.WallLeast, 2), show(x.WallLoop, 2), show(x.CallsUser, 2), show(x.CPUBare, 2), show(x.CPUCall, 0), show(x.CPURecord, 1),
			show(x.Peak, 0), show(x.PeakLoop, 1), stale, wrong, show(x.Wall, 2), show(x.First, 2))
	}
	b.WriteString("\nWall is from the first call to the end of the last one; before that is from joining the group to the first call, in which the worker reads ahead.\n")
	if cut {
		b.WriteString("\n\\* Cut short at the limit; its time is what it would have been at that speed.\n")
	}
}

// unchanged is the table of a cell in which nobody had changed.
func (c summed) unchanged(b *bytes.Buffer) {
	fmt.Fprintf(b, "Records of %d bytes; rounds: %d. All of it was delivered before.\n\n", c.Bytes, len(c.Rounds))
	b.WriteString("| | CPU a record / fetch and `json.Valid` | CPU a record, µs | calls | peak memory, MB | wall, s |\n|---|--:|--:|--:|--:|--:|\n")
	for _, x := range c.Rows {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", x.Contender, show(x.CPUValid, 2), show(x.CPURecord, 1), span(x.Calls), show(x.Peak, 0), show(x.Wall, 2))
	}
}

// show writes a figure with so many decimals.
func show(s *stat, decimals int) string {
	if s == nil {
		return "–"
	}
	middle, low, high := fmt.Sprintf("%.*f", decimals, s.Median), fmt.Sprintf("%.*f", decimals, s.Min), fmt.Sprintf("%.*f", decimals, s.Max)
	if low == high {
		return middle
	}
	return fmt.Sprintf("**%s** (%s–%s)", middle, low, high)
}

// span writes a count: the lowest and the highest, for what must not happen must not
// happen once.
func span(s stat) string {
	if s.Min == s.Max {
		return fmt.Sprintf("%.0f", s.Min)
	}
	return fmt.Sprintf("%.0f–%.0f", s.Min, s.Max)
}
