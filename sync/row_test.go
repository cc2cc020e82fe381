package sync

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

// rowReader reads what AppendRow writes.
type rowReader struct{ b []byte }

func (r *rowReader) take(n int) []byte {
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *rowReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	r.take(size)
	return n
}

func (r *rowReader) signed() int64 {
	n, size := binary.Varint(r.b)
	r.take(size)
	return n
}

func (r *rowReader) text() string { return string(r.take(int(r.number()))) }

func (r *rowReader) columns() map[string]any {
	m := map[string]any{}
	for range r.number() {
		name := r.text()
		m[name] = r.value()
	}
	return m
}

func (r *rowReader) value() any {
	switch kind := r.take(1)[0]; kind {
	case rowNull:
		return nil
	case rowUnavailable:
		return Unavailable{}
	case rowNoColumn:
		return Unavailable{NoColumn: true}
	case rowFalse, rowTrue:
		return kind == rowTrue
	case rowInteger:
		return r.signed()
	case rowUnsigned:
		return r.number()
	case rowNumber:
		return json.Number(r.text())
	case rowText:
		return r.text()
	case rowTime:
		return time.Unix(r.signed(), int64(r.number()))
	case rowArray:
		a := make([]any, r.number())
		for i := range a {
			a[i] = r.value()
		}
		return a
	case rowMap:
		return r.columns()
	default:
		panic(fmt.Sprint("no kind: ", kind))
	}
}

// drawColumns draws a row with every kind of value.
func drawColumns(t *rapid.T) map[string]any {
	value := rapid.OneOf(
		drawValue(3),
		rapid.Just(any(Unavailable{NoColumn: true})),
		rapid.Map(rapid.Int64Range(-1e12, 1e12), func(ns int64) any { return time.Unix(ns/1000, ns%1000) }),
	)
	name := rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "ab", ""}), rapid.String())
	return rapid.MapOfN(name, value, 0, 12).Draw(t, "columns")
}

// TestRowIsReadAgain: all of a row can be read from what stands for it. So two rows with
// the same bytes are the same (G1).
func TestRowIsReadAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user, columns := rapid.String().Draw(t, "user"), drawColumns(t)
		prefix := []byte("before")
		b, ok := AppendRow(prefix, user, ColumnsOf(columns))
		if !ok || string(b[:len(prefix)]) != string(prefix) {
			t.Fatalf("%v, %q", ok, b)
		}
		r := rowReader{b[len(prefix):]}
		gotUser, got := r.text(), r.columns()
		if gotUser != user || !reflect.DeepEqual(got, columns) || len(r.b) > 0 {
			t.Fatalf("%q with %#v came back as %q with %#v, and %d bytes more", user, columns, gotUser, got, len(r.b))
		}
	})
}

// TestSameRowSameBytes: whatever the order in which a row was put together, and the zone
// in which a time is told.
func TestSameRowSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := drawColumns(t)
		one, _ := AppendRow(nil, "1", ColumnsOf(columns))
		two, _ := AppendRow(nil, "1", ColumnsOf(anew(columns).(map[string]any)))
		if string(one) != string(two) {
			t.Fatalf("%#v has two encodings:\n%q\n%q", columns, one, two)
		}
	})
}

// anew returns the same value, put together in another order.
func anew(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for _, name := range slices.Backward(slices.Sorted(maps.Keys(v))) {
			m[name] = anew(v[name])
		}
		return m
	case []any:
		a := make([]any, len(v))
		for i := range v {
			a[i] = anew(v[i])
		}
		return a
	case time.Time:
		return v.In(time.FixedZone("elsewhere", 3600))
	}
	return v
}

// TestRowOfAnUnknownKind: what has no kind could be taken for something else.
func TestRowOfAnUnknownKind(t *testing.T) {
	for _, v := range []any{1.5, 7, []byte("x"), []any{float32(1)}, map[string]any{"a": struct{}{}}} {
		if b, ok := AppendRow(nil, "1", ColumnsOf(map[string]any{"v": v})); ok {
			t.Errorf("%T is written as %q", v, b)
		}
	}
}

// compared has the lane remember payloads of others, so that no row is mapped for the sake
// of having one.
func (w *world) compared() {
	for i := range remembered {
		w.write(fmt.Sprint("other", i), "v")
	}
	w.run(time.Minute)
	w.history = nil
}

// TestSameRowIsNotMapped: a row that is the one which was delivered needs no payload to
// know that it needs no call, as often as it comes, on a held lane too (R2).
func TestSameRowIsNotMapped(t *testing.T) {
	w := newWorld()
	s := w.remember()
	w.row("u", "v1", "e1")
	w.run(time.Minute)
	w.compared()
	w.lane.blame.held, w.lane.blame.probeAt = true, w.now.Add(time.Hour)
	mapped, writes := w.mapped, len(s.log)
	for range 3 {
		w.row("u", "v1", "e1")
		w.run(time.Minute)
	}
	w.lane.blame.held = false
	w.says(t)
	if w.mapped != mapped || len(s.log) != writes || len(w.lane.users) != 0 {
		t.Errorf("%d payloads were made and %d versions written; %d users are in the lane", w.mapped-mapped, len(s.log)-writes, len(w.lane.users))
	}
	if got := testutil.ToFloat64(w.lane.m.Lane.Deliveries.Unchanged); got != 3 || w.known().Offset != int64(len(w.log))-1 {
		t.Errorf("%v changes are counted, and %+v is known; want 3, and the last offset", got, w.known())
	}
}

// TestUnusualIsMapped: a row that is the same is mapped all the same if its hash is not all
// that counts, or counts for nothing.
func TestUnusualIsMapped(t *testing.T) {
	for name, test := range map[string]struct {
		make func(w *world) // what is unusual, before the row is written again
		want []string       // what is sent
	}{
		"another value":            {func(w *world) { w.log[0].Columns = w.log[0].Columns.plus("e", "e2") }, []string{"v1,e2"}},
		"a value that is left out": {func(w *world) { w.log[0].Columns = w.log[0].Columns.plus("e", Unavailable{}) }, []string{"v1"}},
		"another mapping":          {func(w *world) { w.mapping.inUse = "'" }, []string{"v1',e1"}},
		"another target":           {func(w *world) { w.state.epoch = "2" }, []string{"v1,e1"}},
		"not known any more":       {func(w *world) { w.lane.distrust("u", w.log[0].Position, CauseDoubt) }, []string{"v1,e1"}},
		"a row that is not known": {func(w *world) {
			key := ofUser("u", w.log[0].Position)
			v := w.state.table[key]
			v.Row = RowHash{}
			w.state.table[key] = v
		}, nil},
		"a row of what is not known": {func(w *world) {
			key := ofUser("u", w.log[0].Position)
			v := w.state.table[key]
			v.Status = Unknown
			w.state.table[key] = v
		}, []string{"v1,e1"}},
		"nobody to compare with":           {func(w *world) { w.lane.control = w.lane.control[:remembered-1] }, nil},
		"a control call of the last owner": {func(w *world) { w.lane.Suspect("u", w.now.Add(30*time.Second)) }, []string{"v1,e1", "v1,e1"}},
		"an operator's wish":               {func(w *world) { w.log[0].Force = true }, []string{"v1,e1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.remember()
			w.row("u", "v1", "e1")
			w.run(time.Minute)
			w.compared()
			mapped := w.mapped
			test.make(w)
			again := w.log[0]
			again.Position.Offset = int64(len(w.log))
			w.log = append(w.log, again)
			w.untold = true // a payload without e leaves it as it is there
			w.run(time.Hour)
			if w.mapped == mapped {
				t.Error("no payload was made")
			}
			for i := range test.want {
				test.want[i] = "u=" + test.want[i]
			}
			if !slices.Equal(w.history, test.want) {
				t.Errorf("sent %v, want %v", w.history, test.want)
			}
			mapped = w.mapped
			again.Position.Offset, again.Force = int64(len(w.log)), false
			w.log = append(w.log, again)
			w.run(time.Hour)
			if len(w.history) != len(test.want) || w.mapped > mapped+1 {
				t.Errorf("the same once more: sent %v", w.history)
			}
		})
	}
}

// TestSameRowProvesTheMapping: a row that needs no payload has one, so the row before it
// that has none is at fault itself (G4).
func TestSameRowProvesTheMapping(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.compared()
	w.write("bad", "bad")
	w.run(time.Minute)
	mapped := w.mapped
	w.deliver("v1")
	if len(w.letters) != 1 || w.mapped != mapped {
		t.Errorf("%d letters, want that of the row without a payload; %d payloads were made", len(w.letters), w.mapped-mapped)
	}
}

// TestSameRowOfAnotherOwner: an owner with another mapping may have made something else of
// the same row, and sent it (G1).
func TestSameRowOfAnotherOwner(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.compared()
	w.apply("u", "theirs")
	w.mapping.unknown = true
	w.write("u", "v1")
	w.submit(w.now.Add(-time.Hour), len(w.log))
	w.run(time.Hour)
	w.says(t, "theirs", "v1")
}

// TestSameRowBehindAnother: v2 waits when the row is again as it was delivered. Were that
// passed over, v2 would be sent (G1).
func TestSameRowBehindAnother(t *testing.T) {
	w := newWorld()
	w.remember()
	w.deliver("v1")
	w.compared()
	w.lane.cfg.Concurrency = 0
	w.deliver("v2")
	w.deliver("v1")
	w.lane.cfg.Concurrency = 1
	w.run(time.Hour)
	w.says(t)
}
