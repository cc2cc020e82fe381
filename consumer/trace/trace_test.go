package trace

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// every has every field.
var every = Event{
	At: time.Unix(0, 1_767_225_600_123_456_789), Worker: "host-1", Destination: "taptalk", Kind: Commit,
	Topic: "users", Partition: 2, Offset: 17, User: "6ed4", Outcome: OK, Generation: 3, Member: "m-1",
	Partitions: []TopicPartition{{"users", 0}, {"users", 2}},
}

const everyLine = `{"at":1767225600123456789,"worker":"host-1","destination":"taptalk","kind":"commit","topic":"users","partition":2,"offset":17,` +
	`"user":"6ed4","outcome":"ok","generation":3,"member":"m-1","partitions":[{"topic":"users","partition":0},{"topic":"users","partition":2}]}` + "\n"

// writes keeps each write by itself.
type writes []string

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, string(b))
	return len(b), nil
}

// The encoding is read by programs that are older or newer than the writer.
func TestEncodingIsStable(t *testing.T) {
	var got writes
	w := NewWriter(&got)
	for _, e := range []Event{every, {At: time.Unix(0, 5), Kind: Revoked}} {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if want := (writes{everyLine, `{"at":5,"kind":"revoked"}` + "\n"}); !reflect.DeepEqual(got, want) {
		t.Errorf("written:\n%q\nwant\n%q", got, want)
	}
	read, err := Read(strings.NewReader(strings.Join(got, "")))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Event{every, {At: time.Unix(0, 5), Kind: Revoked}}; !reflect.DeepEqual(read, want) {
		t.Errorf("read\n%v\nwant\n%v", read, want)
	}
	for i := range reflect.TypeFor[Event]().NumField() {
		if reflect.ValueOf(every).Field(i).IsZero() {
			t.Errorf("the test has no %s", reflect.TypeFor[Event]().Field(i).Name)
		}
	}
}

// A process may be killed anywhere in a line, and another may go on in its file.
func TestHalfALine(t *testing.T) {
	for cut := range len(everyLine) {
		name := filepath.Join(t.TempDir(), "trace")
		if err := os.WriteFile(name, []byte(everyLine+everyLine[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readFile(t, name); len(got) != 1 {
			t.Errorf("cut after %d bytes: %d events", cut, len(got))
		}
		f, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := NewWriter(f).Write(every); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		want := 2
		if cut == len(everyLine)-1 {
			want = 3 // it lacked nothing but its end, which Open wrote
		}
		if got := readFile(t, name); len(got) != want {
			t.Errorf("cut after %d bytes and gone on: %d events, want %d", cut, len(got), want)
		}
	}
}

func readFile(t *testing.T, name string) []Event {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	events, err := Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// What is no trace must not pass for one without events.
func TestNoTrace(t *testing.T) {
	for _, text := range []string{"hello\n", "\n", `{"kind":7}` + "\n", `{"at":"noon"}` + "\n", everyLine + "half a word"} {
		if events, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read as %v", text, events)
		}
	}
}

func TestOpenIsPrivate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "trace")
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	if _, err := Open(filepath.Join(name, "below")); err == nil {
		t.Error("a file below a file was opened")
	}
}

func TestOutcomes(t *testing.T) {
	for outcome, want := range map[string][4]bool{
		OK: {true, false, false}, "unsure: timeout": {false, true, false}, "unsent: lease": {false, false, true}, "failed: http_503": {},
	} {
		e := Event{Outcome: outcome}
		if got := [4]bool{e.OK(), e.Unsure(), e.Unsent(), e.Throttled()}; got != want {
			t.Errorf("%s: %v, want %v", outcome, got, want)
		}
	}
}
