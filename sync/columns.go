package sync

import (
	"iter"
	"maps"
	"slices"
)

// Columns holds the columns of a row that are mapped. A value is nil (NULL), string, bool,
// int64, uint64, json.Number (a decimal or float, as written), time.Time, []any,
// map[string]any, or [Unavailable].
//
// All rows that a decoder reads have the same names, and share them: what waits holds only
// values. There are a few, so looking one up compares names one by one.
type Columns struct {
	names  []string // sorted, each one once
	values []any
}

// NewColumns returns the columns with these names and values, and keeps both. The names
// are sorted, each is there once, and nobody changes them.
func NewColumns(names []string, values []any) Columns { return Columns{names, values} }

// ColumnsOf returns the columns of a row with values of its own.
func ColumnsOf(row map[string]any) Columns {
	c := Columns{names: slices.Sorted(maps.Keys(row))}
	for _, name := range c.names {
		c.values = append(c.values, row[name])
	}
	return c
}

// Clone returns the same columns with values of their own, so that a lane which fills in
// what is not known does it for one of both.
func (c Columns) Clone() Columns { return Columns{c.names, slices.Clone(c.values)} }

// Len is how many there are.
func (c Columns) Len() int { return len(c.values) }

// Get returns the value of a column, and whether there is such a column.
func (c Columns) Get(name string) (any, bool) {
	for i := range c.names {
		if c.names[i] == name {
			return c.values[i], true
		}
	}
	return nil, false
}

// All returns the names and values in the order of the names.
func (c Columns) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for i, name := range c.names {
			if !yield(name, c.values[i]) {
				return
			}
		}
	}
}
