package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// plainEvery is how often numbers are printed where no table can be.
const plainEvery = 5 * time.Second

// screen is where the demo shows itself: on a terminal a log above a table that is
// drawn anew in its place, else lines.
type screen struct {
	out   io.Writer
	live  bool       // it is a terminal, in raw mode: a line ends with CR LF
	width func() int // of the terminal, in columns
	begun time.Time
	shown time.Time // when numbers were last printed
	table string    // below the log
	drawn int       // its lines that are on the terminal
}

func newScreen(out io.Writer) *screen { return &screen{out: out} }

// begin starts the clock of the log.
func (s *screen) begin() time.Time {
	s.begun = time.Now()
	return s.begun
}

// printf prints text above the table.
func (s *screen) printf(format string, args ...any) {
	s.update(fmt.Sprintf(format, args...), s.table)
}

// logf prints what happened, with its time.
func (s *screen) logf(what, format string, args ...any) {
	s.printf("%s  %-8s %s\n", clock(time.Since(s.begun)), what, fmt.Sprintf(format, args...))
}

// show brings the numbers up to date.
func (s *screen) show(v view) {
	if s.live {
		s.update("", v.table(v.at.Sub(s.begun)))
		return
	}
	if v.at.Sub(s.shown) < plainEvery {
		return
	}
	s.shown = v.at
	for _, l := range v.lanes {
		s.logf(l.vendor.destination, "%s", l.line())
	}
}

// finish takes the table off.
func (s *screen) finish() { s.update("", "") }

// update takes the table off, prints text and puts a table below it, in one write,
// so that nothing flickers.
func (s *screen) update(text, table string) {
	var b bytes.Buffer
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", s.drawn) // to its first line, and erase from there
	}
	b.WriteString(text)
	s.table, s.drawn = table, 0
	for line := range strings.Lines(table) {
		// A line that wraps would be two to erase.
		line = strings.TrimSuffix(line, "\n")
		b.WriteString(line[:min(len(line), s.width()-1)] + "\n")
		s.drawn++
	}
	out := b.Bytes()
	if s.live {
		out = bytes.ReplaceAll(out, []byte("\n"), []byte("\r\n"))
	}
	_, _ = s.out.Write(out) // when it fails nobody is there to be told
}

// stateText is the state of the lane for a column.
func (l *lane) stateText() string {
	switch l.state {
	case "failed", "refused", "rejected":
		return "held: " + l.state
	default:
		return l.state
	}
}

// line is the lane in one line.
func (l *lane) line() string {
	return fmt.Sprintf("%s; %.0f calls/s, %d in flight, lag %s, %s saved, %d dead, %s/%s users right", l.stateText(),
		l.perSec, l.inFlight, comma(l.lag), comma(l.saved), l.planted+l.others, comma(int64(l.right)), comma(int64(l.users)))
}

// table is the picture of all lanes.
func (v *view) table(elapsed time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-8s %-14s %8s %9s %8s %8s %5s %16s\n",
		"", "state", "calls/s", "in flight", "lag", "saved", "dead", "users right")
	for _, l := range v.lanes {
		fmt.Fprintf(&b, "%-8s %-14s %8.0f %9d %8s %8s %5d %16s\n", l.vendor.destination, l.stateText(),
			l.perSec, l.inFlight, comma(l.lag), comma(l.saved), l.planted+l.others, comma(int64(l.right))+"/"+comma(int64(l.users)))
	}
	fmt.Fprintf(&b, "%s  %s records, %.0f/s\nkeys:", clock(elapsed), comma(v.records), v.perSec)
	for _, k := range kinds {
		fmt.Fprintf(&b, "  %c %s", k.key, k.name)
	}
	b.WriteString("  q verdict\n")
	return b.String()
}

// header says what runs where.
func (s *screen) header(d *demo) {
	where := "in this process"
	if d.kafka.fake == nil {
		where = "yours"
	}
	var b strings.Builder
	b.WriteString("usersync: one user database, two vendors that each keep a copy, one worker, and some trouble.\n\n")
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s %s\n", what, fmt.Sprintf(format, args...))
	}
	line("Kafka", "%s (%s), topic %s", strings.Join(d.kafka.brokers, ","), where, d.kafka.users)
	for _, v := range d.vendors {
		line(v.title, "%s (simulated); a user: %[1]s/_sim/users/1", v.url)
	}
	line("worker", "the real one, pid %d: http://%s/ is its status page; /metrics, /readyz", d.worker.pid(), d.worker.address)
	line("", "%s, worker.log", d.path("usersync.yaml"))
	line("seed", "%d: the same one makes the same users and changes", d.Seed)
	b.WriteString("\nScaled for a demo, with the default in brackets:\n")
	for i, x := range scaled {
		fmt.Fprintf(&b, "  %-34s", fmt.Sprintf("%s %s (%s)", x.key, x.demo, x.production))
		if i%2 == 1 || i == len(scaled)-1 {
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
	s.printf("%s", b.String())
}
