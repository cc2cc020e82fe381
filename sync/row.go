package sync

import (
	"encoding/binary"
	"encoding/json"
	"time"
)

// RowHash stands for a row and for what makes a payload of it. Zero stands for no row.
//
// The same row, mapped by the same program and configuration, always gives the same bytes:
// a mapping reads nothing but the user's ID and the columns, neither a clock nor what came
// before. So of two rows with one hash only one has to be mapped to know that both send
// the same. Eight bytes are enough. A row that has changed is taken for the one that was
// delivered only if both happen to have the same hash, with a key that nobody outside
// knows: once in 2^64 changes, which is a million of them a second for half a million years.
type RowHash [8]byte

// The kinds of a value. They only have to differ, for as long as hashes are kept.
const (
	rowNull byte = iota
	rowUnavailable
	rowNoColumn
	rowFalse
	rowTrue
	rowInteger
	rowUnsigned
	rowNumber
	rowText
	rowTime
	rowArray
	rowMap
)

// AppendRow appends to b all of an upsert's row that a payload can depend on, in such a
// way that two rows have the same bytes only if they are the same: each value begins with
// its kind, and what has no fixed length with its length. It is not ok if a value has no
// kind here.
//
// All columns of a change are taken, for whoever decodes it keeps those that the mapping
// reads, and no others.
func AppendRow(b []byte, user string, columns Columns) (_ []byte, ok bool) {
	b = binary.AppendUvarint(appendText(b, user), uint64(columns.Len()))
	for name, v := range columns.All() {
		if b, ok = appendValue(appendText(b, name), v); !ok {
			return nil, false
		}
	}
	return b, true
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendMap appends m in the order of its names.
func appendMap(b []byte, m map[string]any) (_ []byte, ok bool) {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for _, name := range sortedKeys(m) {
		if b, ok = appendValue(appendText(b, name), m[name]); !ok {
			return nil, false
		}
	}
	return b, true
}

func appendValue(b []byte, v any) (_ []byte, ok bool) {
	switch v := v.(type) {
	case nil:
		return append(b, rowNull), true
	case Unavailable:
		if v.NoColumn {
			return append(b, rowNoColumn), true
		}
		return append(b, rowUnavailable), true
	case bool:
		if v {
			return append(b, rowTrue), true
		}
		return append(b, rowFalse), true
	case int64:
		return binary.AppendVarint(append(b, rowInteger), v), true
	case uint64:
		return binary.AppendUvarint(append(b, rowUnsigned), v), true
	case json.Number:
		return appendText(append(b, rowNumber), string(v)), true
	case string:
		return appendText(append(b, rowText), v), true
	case time.Time: // in which zone it was written shows nowhere
		b = binary.AppendVarint(append(b, rowTime), v.Unix())
		return binary.AppendUvarint(b, uint64(v.Nanosecond())), true
	case []any:
		b = binary.AppendUvarint(append(b, rowArray), uint64(len(v)))
		for _, e := range v {
			if b, ok = appendValue(b, e); !ok {
				return nil, false
			}
		}
		return b, true
	case map[string]any:
		return appendMap(append(b, rowMap), v)
	default:
		return nil, false
	}
}

// row returns what stands for the row of c. A delete has none: what it sends costs next to
// nothing to make.
func (l *Lane) row(c *Change) RowHash {
	if c.Op == Delete {
		return RowHash{}
	}
	return l.cfg.Delivered.Row(c.User, c.Columns)
}

// passes reports whether c needs no call since its row is the one whose payload the
// destination holds, and counts it like [Lane.skip]. So c is not even mapped, nor is
// anything begun about its user, which is most of what a row of a new snapshot costs here.
//
// Whatever is unusual is mapped: a delete, what an operator wants sent, what a former owner
// may have sent, and anybody of whom the lane knows more than what is held, such as a
// change on its way, a doubt, a failure or a payload to compare with.
func (l *Lane) passes(now time.Time, c *Change, at Place, sent Sent) bool {
	if l.trust != Trusted || c.Op == Delete || c.Force || sent.Possibly || l.users[c.User] != nil {
		return false
	}
	l.forgetControl(c.User)
	if len(l.control) < remembered {
		return false // its payload is needed
	}
	v := l.cfg.Delivered.Known(c.User, c.Position)
	if v.Status != Held || v.Row == (RowHash{}) || v.Row != l.row(c) {
		return false
	}
	l.m.Lane.Deliveries.Unchanged.Inc()
	l.cfg.Delivered.Move(c.User, c.Position, v.Row)
	l.mapped(now, c)
	at.Hold.Release()
	return true
}
