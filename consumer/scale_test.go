package consumer

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"usersync/consumer/event"
	"usersync/e2e/plot"
	"usersync/metrics"
	usync "usersync/sync"
	"usersync/sync/taptalk"
)

// What a deployment costs as it grows is in docs/scaling.md. These tests hold how each
// cost grows, at sizes that take seconds; with -scale they take minutes, and print the
// document's tables.
var (
	atScale = flag.Bool("scale", false, "run TestScale at the sizes of docs/scaling.md, and print its tables")
	drawTo  = flag.String("pictures", "", "have TestScaleUsers draw memory by users into this directory")
)

// sizes returns what to measure: a few are enough to see how a cost grows.
func sizes(few, all []int) []int {
	if *atScale {
		return all
	}
	return few
}

// table is one of the document.
type table strings.Builder

func newTable(columns ...string) *table {
	t := &table{}
	t.row(columns)
	t.row(strings.Split(strings.Repeat("--- ", len(columns)-1)+"---", " "))
	return t
}

func (t *table) row(cells []string) {
	fmt.Fprintf((*strings.Builder)(t), "\n| %s |", strings.Join(cells, " | "))
}

func (t *table) add(cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
	}
	t.row(text)
}

func (t *table) String() string { return (*strings.Builder)(t).String() }

// heapOf is the heap that stays in use by what build makes, in bytes.
func heapOf(build func() any) float64 {
	used := func() uint64 {
		runtime.GC()
		runtime.GC() // the first one leaves what is in pools
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	built := build()
	after := used()
	runtime.KeepAlive(built)
	return float64(after) - float64(before)
}

// crowded is a lane with users who wait, and the places that they hold.
type crowded struct {
	tb      testing.TB
	lane    *usync.Lane
	front   frontier
	decoder *event.Decoder
}

func newCrowded(tb testing.TB) *crowded {
	tb.Helper()
	m := mapping(tb, taptalk.Fields, expressions[destTaptalk])
	d, err := event.New(event.Config{Format: "debezium", UserID: "id", Placeholder: "__debezium_unavailable_value", Columns: m.Columns()})
	if err != nil {
		tb.Fatal(err)
	}
	lane := usync.NewLane(usync.LaneConfig{
		Mapper: m, Concurrency: 1, Timeout: 10 * time.Second, Metrics: metrics.New(nil, destTaptalk).For(destTaptalk),
	})
	return &crowded{tb: tb, lane: lane, decoder: d}
}

// change reads a record of a user as a pipeline does, and gives the lane what it says.
func (c *crowded) change(user int) {
	offset, id := c.front.position, strconv.Itoa(user)
	value := fmt.Sprintf(`{"before":null,"after":{"id":%s,"full_name":%q,%s},"source":{"schema":"public","table":"users","ts_ms":1767225600000},"op":"u"}`,
		id, name(user), personal(id))
	e := decodeRecord(c.decoder, &event.Record{Topic: "users", Offset: offset, Key: []byte(keyOf(id)), Value: []byte(value)})
	if e.code != "" {
		c.tb.Fatal(e.code)
	}
	at := usync.Position{Topic: "users", Offset: offset}
	c.lane.Submit(time.Unix(0, 0), e.event.Change, usync.Place{At: at, Hold: c.front.hold(offset)}, usync.Sent{})
}

// waiting has so many users wait, each of whom has changed so often.
func waiting(tb testing.TB, users, changes int) *crowded {
	tb.Helper()
	c := newCrowded(tb)
	for range changes {
		for user := range users {
			c.change(user)
		}
	}
	return c
}

// shared are the tables of a process that owns so many partitions, with their users spread
// over them, who were counted as the first delivery does.
func shared(partitions, users int) *states {
	s := ownStates(partitions, users/partitions)
	s.severalHave(userKey{})
	return s
}

// TestScaleUsers: memory is so much for each user who waits, however often that one
// changed, and so much for each who is remembered (G6). What the window counts is what it
// is there to bound: the heap.
func TestScaleUsers(t *testing.T) {
	const mb = 1e6
	lines := []plot.Line{
		{Name: "waiting", Colour: "#e0752d"}, {Name: "remembered", Colour: "#3274d9"}, {Name: "in 12 parts", Colour: "#b877d9"},
	}
	out := newTable("users", "waiting: heap, MB", "bytes a user", "counted in the window", "remembered, 1 partition: heap, MB", "bytes a user", "12 partitions, bytes a user")
	var first []float64
	for _, users := range sizes([]int{10_000, 100_000}, []int{10_000, 30_000, 100_000, 300_000, 1_000_000}) {
		var window int
		each := []float64{
			heapOf(func() any { c := waiting(t, users, 1); window = c.lane.Bytes(); return c }),
			heapOf(func() any { return shared(1, users) }),
			heapOf(func() any { return shared(12, users) }),
		}
		for i, bytes := range each {
			lines[i].Points = append(lines[i].Points, [2]float64{float64(users), bytes / mb})
			each[i] = bytes / float64(users)
		}
		counted := float64(window) / float64(users)
		out.add(users, math.Round(each[0]*float64(users)/mb), math.Round(each[0]), math.Round(counted),
			math.Round(each[1]*float64(users)/mb), math.Round(each[1]), math.Round(each[2]))
		if first == nil {
			first = each
		}
		for i, bytes := range each {
			if most := 1.6 * first[i]; bytes > most {
				t.Errorf("%s: %.0f bytes for each of %d users, want at most %.0f", lines[i].Name, bytes, users, most)
			}
		}
		if each[0] > 1.2*counted {
			t.Errorf("the window counts %.0f bytes for each user who waits, who takes %.0f", counted, each[0])
		}
	}
	t.Log(out)
	if *drawTo != "" {
		text := plot.Lines("Heap in MB, by users waiting and users remembered", func(users float64) string { return strconv.Itoa(int(users)) }, lines)
		if err := os.WriteFile(filepath.Join(*drawTo, "scaling-memory.svg"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScaleChanges: it makes no difference to memory and places how often users change.
func TestScaleChanges(t *testing.T) {
	const users = 10_000
	once := heapOf(func() any { return waiting(t, users, 1) })
	var held int
	often := heapOf(func() any { c := waiting(t, users, 10); held = c.front.held; return c })
	t.Logf("%d users: %.0f bytes each after one change, %.0f after ten, with %d places held", users, once/users, often/users, held)
	if often > 1.2*once || held != users {
		t.Errorf("ten changes of %d users take %.0f bytes and %d places, one takes %.0f bytes", users, often, held, once)
	}
}

// TestScaleSeries: each partition of a destination has five series, whoever reads them.
func TestScaleSeries(t *testing.T) {
	count := func(partitions int) (series, bytes int) {
		reg := prometheus.NewRegistry()
		m := metrics.New(reg, destTaptalk).For(destTaptalk).Consumer
		for p := range partitions {
			m.Assign("app.public.users", p).Observe(metrics.Progress{Frontier: 1, Position: 1, LogEnd: 1}, time.Unix(0, 0))
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, f := range families {
			series += len(f.Metric)
			if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
				t.Fatal(err)
			}
		}
		return series, text.Len()
	}
	out := newTable("partitions owned", "series of a destination", "bytes of a scrape")
	none, _ := count(0)
	for _, partitions := range sizes([]int{1, 100}, []int{1, 10, 100, 1000}) {
		series, bytes := count(partitions)
		out.add(partitions, series, bytes)
		if want := none + 1 + 1 + 5*partitions; series != want { // the topic has two of its own
			t.Errorf("%d series with %d partitions, want %d", series, partitions, want)
		}
	}
	t.Log(out)
}

// TestScaleNotes: a commit takes so many bytes for each partition, whatever it has of users.
func TestScaleNotes(t *testing.T) {
	usual := note{End: 25_000_000, Born: 12, Sends: "5f0e1d2c3b4a5968", Last: mark{24_990_000, 1767225600000, 0xa1b2c3d4}, State: tenure{7 * ownEpochs, 120, 24_000_000}}
	most := usual
	for n := range 256 {
		most.Control.add(byte(n))
	}
	most.End, most.Last.next, most.State = math.MaxInt64, math.MaxInt64, tenure{math.MaxUint32 * ownEpochs, math.MaxInt64, math.MaxInt64}
	pending := done{to: math.MaxInt64 - 1}
	for n := range int64(mostPending) {
		pending.but = append(pending.but, math.MaxInt64-2*mostPending+2*n)
	}
	most.Done = pending.note(pending.but[0])
	t.Logf("%d bytes as usual, %d at most", len(usual.String()), len(most.String()))
	if n := len(most.String()); n > 4096 {
		t.Errorf("a note may have %d bytes; a broker takes 4096", n)
	}
	if n := len(usual.String()); n > 150 {
		t.Errorf("a note has %d bytes as a rule, want at most 150", n)
	}
}
