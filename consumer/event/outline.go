package event

import (
	"bytes"
	"iter"
)

// outline notes where the members of an object are, and of the objects in it. Who
// asks for one of them does not look at the others again, and a column that
// nobody mapped is passed over once and never decoded.
type outline struct {
	text    []byte
	levels  int // how deep objects are noted; what is in deeper ones, or in arrays, is only checked
	members []member
}

// recordLevels are those of a record: Kafka Connect's wrapper, the envelope in it,
// and the row in that.
const recordLevels = 3

// member is a member of an object: positions in the text, and members that are
// counted from 1, so that 0 is none.
type member struct {
	name, nameEnd int // between the quotes
	escaped       bool
	value, end    int
	prev          int // the one before it in its object
	last          int // the last one of the object that is its value
}

// value is a value as it stands in the text; nil JSON is none.
type value struct {
	json   []byte
	object object // its members, as far as they are noted
}

func (v value) isObject() bool { return len(v.json) > 0 && v.json[0] == '{' }

// object is an object of an outline; the zero object has no members.
type object struct {
	in   *outline
	last int
}

// find returns the value of the last member of that name, as every JSON reader does.
func (o object) find(name string) value {
	for i := o.last; i != 0; {
		m := &o.in.members[i-1]
		if m.escaped && string(o.in.nameOf(m)) == name || !m.escaped && string(o.in.text[m.name:m.nameEnd]) == name {
			return value{o.in.text[m.value:m.end], object{o.in, m.last}}
		}
		i = m.prev
	}
	return value{}
}

// get returns the value of the last member of that name as JSON, or nil.
func (o object) get(name string) []byte { return o.find(name).json }

func (o object) has(name string) bool { return o.get(name) != nil }

func (o object) len() int {
	n := 0
	for range o.backward() {
		n++
	}
	return n
}

// backward returns the members from the last to the first: of two with one name
// the first that is met counts.
func (o object) backward() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, json []byte) bool) {
		for i := o.last; i != 0; {
			m := &o.in.members[i-1]
			if !yield(o.in.nameOf(m), o.in.text[m.value:m.end]) {
				return
			}
			i = m.prev
		}
	}
}

func (o *outline) nameOf(m *member) []byte {
	if m.escaped {
		return []byte(text(o.text[m.name-1 : m.nameEnd+1]))
	}
	return o.text[m.name:m.nameEnd]
}

// parseObject cuts b up if it is an object.
func parseObject(b []byte) (object, bool) {
	v, _ := (&outline{levels: 1}).scan(b, 1)
	return v.object, v.isObject()
}

// scalar returns a string or a number as text, and nothing for anything else.
func scalar(b []byte) []byte {
	switch {
	case len(b) == 0 || isNull(b) || b[0] == '{' || b[0] == '[':
		return nil
	case isPlain(b):
		return b[1 : len(b)-1]
	case b[0] == '"':
		return []byte(text(b))
	}
	return b
}

// isPlain reports whether b is a string that stands for itself.
func isPlain(b []byte) bool { return b[0] == '"' && bytes.IndexByte(b, '\\') < 0 }

func isNull(b []byte) bool { return string(b) == "null" }
