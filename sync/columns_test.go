package sync

import (
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// plus returns a copy of c in which a column has another value.
func (c Columns) plus(name string, v any) Columns {
	row := maps.Collect(c.All())
	row[name] = v
	return ColumnsOf(row)
}

// at is the value of a column, nil if there is none.
func (c Columns) at(name string) any {
	v, _ := c.Get(name)
	return v
}

// TestColumns: they are what the row says, and nothing else.
func TestColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := drawColumns(t)
		c := ColumnsOf(row)
		if c.Len() != len(row) || !reflect.DeepEqual(maps.Collect(c.All()), row) {
			t.Fatalf("%#v became %#v", row, c)
		}
		for name, want := range row {
			if v, ok := c.Get(name); !ok || !reflect.DeepEqual(v, want) {
				t.Fatalf("%q is %#v, %t; want %#v", name, v, ok, want)
			}
		}
		name := rapid.String().Draw(t, "other")
		if _, want := row[name]; !want {
			if v, ok := c.Get(name); ok || v != nil {
				t.Fatalf("%q, which is not there, is %#v", name, v)
			}
		}
	})
}

// TestFilling: what an event leaves out is as it was before, and stays as it is where the
// row before does not tell it either; what it says counts. The row before stays as it is.
func TestFilling(t *testing.T) {
	older := Change{Columns: ColumnsOf(map[string]any{"a": "1", "b": "2", "c": nil, "d": "4"})}
	newer := Change{Columns: ColumnsOf(map[string]any{"b": Unavailable{}, "c": Unavailable{NoColumn: true}, "d": nil, "e": Unavailable{}})}
	newer.fillFrom(&older)
	want := map[string]any{"b": "2", "c": nil, "d": nil, "e": Unavailable{}}
	if got := maps.Collect(newer.Columns.All()); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	newer.fillFrom(&Change{Op: Delete})
	if got := maps.Collect(newer.Columns.All()); !reflect.DeepEqual(got, want) {
		t.Errorf("a delete filled in %v", got)
	}
}
