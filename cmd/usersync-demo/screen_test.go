package main

import (
	"strings"
	"testing"
	"time"
)

// terminalOf applies what a screen wrote to a terminal that never scrolls.
func terminalOf(t *testing.T, written string) []string {
	t.Helper()
	lines := []string{""}
	row := 0
	for written != "" {
		rest, isEscape := strings.CutPrefix(written, "\x1b[")
		switch {
		case isEscape && strings.HasPrefix(rest, "J"):
			lines = lines[:row+1]
			lines[row] = ""
			written = rest[1:]
		case isEscape:
			n := 0
			for rest[0] >= '0' && rest[0] <= '9' {
				n = 10*n + int(rest[0]-'0')
				rest = rest[1:]
			}
			if rest[0] != 'A' || n > row {
				t.Fatalf("unknown sequence, or above the top: %q", written)
			}
			row -= n
			written = rest[1:]
		case strings.HasPrefix(written, "\r\n"):
			row++
			if row == len(lines) {
				lines = append(lines, "")
			}
			written = written[2:]
		case written[0] == '\n':
			t.Fatal("a line ends without CR")
		case written[0] == '\r':
			written = written[1:]
		default:
			lines[row] += written[:1]
			written = written[1:]
		}
	}
	return lines
}

// The log grows above the table, which stays one, and no line of which wraps.
func TestLiveScreen(t *testing.T) {
	var out strings.Builder
	s := newScreen(&out)
	s.live, s.width = true, func() int { return 10 }
	s.printf("header\n")
	s.update("", "t1\nt2\n")
	s.printf("log 1\n")
	s.update("", "t1\na line that is too long\nt3\n")
	s.printf("log 2\n")
	if got, want := strings.Join(terminalOf(t, out.String()), "|"), "header|log 1|log 2|t1|a line th|t3|"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.finish()
	s.printf("end\n")
	if got, want := strings.Join(terminalOf(t, out.String()), "|"), "header|log 1|log 2|end|"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func sampleLane() lane {
	return lane{
		vendor: &vendor{title: "Haptik", destination: "haptik"}, state: "refused", inFlight: 3, perSec: 12.4, calls: 4567,
		lag: 1234, saved: 5678, planted: 1, right: 9999, users: 10000,
	}
}

func TestPlainScreen(t *testing.T) {
	var out strings.Builder
	s := newScreen(&out)
	begun := s.begin()
	v := view{lanes: []lane{sampleLane()}}
	for i := range 50 { // twelve seconds of views
		v.at = begun.Add(time.Duration(i) * refresh)
		s.show(v)
	}
	const line = "  haptik   held: refused; 12 calls/s, 3 in flight, lag 1,234, 5,678 saved, 1 dead, 9,999/10,000 users right\n"
	if got := strings.Count(out.String(), line); got != 3 || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("%d lines of numbers, want 3:\n%s", got, out.String())
	}
}

func TestTable(t *testing.T) {
	v := view{records: 12345, perSec: 300.4, lanes: []lane{sampleLane()}}
	want := `
         state           calls/s in flight      lag    saved  dead      users right
haptik   held: refused        12         3    1,234    5,678     1     9,999/10,000
01:02.3  12,345 records, 300/s
keys:  p poison  s slow  d down  k key  l limit  w kill  q verdict
`
	if got := v.table(62*time.Second + 300*time.Millisecond); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestVerdict(t *testing.T) {
	fine := func() *result {
		l := sampleLane()
		l.right, l.lag = l.users, 0
		return &result{
			view: view{lanes: []lane{l}}, planted: 1, took: 58 * time.Second,
			tally: tally{snapshot: 10000, updates: 9000, inserts: 1000, deletes: 5},
			troubles: []outcome{
				{trouble: &trouble{kind: kind{name: "poison"}}, at: 1500 * time.Millisecond, healed: 4500 * time.Millisecond},
				{trouble: &trouble{kind: kind{name: "down", end: mended("down", "")}, vendor: l.vendor}, at: time.Minute, lasted: 5 * time.Second, healed: -1},
			},
		}
	}
	tests := []struct {
		name  string
		edit  func(*result, *lane)
		right bool
		want  string
	}{
		{"fine", func(*result, *lane) {}, true, "\nusers right: 10000/10000 haptik, and 1 in the dead-letter topic, as planted\n"},
		{"nothing planted", func(r *result, l *lane) { r.planted, l.planted = 0, 0 }, true, "\nusers right: 10000/10000 haptik\n"},
		{"wrong users", func(_ *result, l *lane) { l.right -= 1200 }, false, "WRONG    Haptik: 1,200 users are not as the database has them"},
		{"wrong is last", func(_ *result, l *lane) { l.right-- }, false, "\nusers right: 9999/10000 haptik\n"},
		{"given up without a reason", func(_ *result, l *lane) { l.others = 2 }, false, "2 users are in the dead-letter topic with nothing wrong about them"},
		{"poison not given up", func(_ *result, l *lane) { l.planted = 0 }, false, "1 users that nobody takes are not in the dead-letter topic"},
		{"not done", func(_ *result, l *lane) { l.lag = 3 }, false, "3 records are not dealt with"},
		{"what changed", func(*result, *lane) {}, true, "20,005 in 58s: 10,000 users in the snapshot, then 9,000 updates, 1,000 new users and 5 deletes\n"},
		{"what it cost", func(*result, *lane) {}, true, "4,567 to Haptik; 5,678 of 20,000 changes (28%) cost none"},
		{"poison", func(*result, *lane) {}, true, "00:01.5  poison  both     planted, all dealt with 4.5s later\n"},
		{"not healed", func(*result, *lane) {}, true, "01:00.0  down    Haptik   lasted 5.0s, not healed\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := fine()
			tt.edit(r, &r.lanes[0])
			text := r.text()
			if !strings.Contains(text, tt.want) {
				t.Errorf("got\n%s\nwant %q", text, tt.want)
			}
			if r.right() != tt.right || strings.Contains(text, "WRONG") == tt.right {
				t.Errorf("right: %v\n%s", r.right(), text)
			}
		})
	}
}

func TestComma(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := comma(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
