package event

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// A record is checked once and then cut up in place: whatever the functions
// below are given is known to be JSON, so that they need no error paths, and a
// column that nobody mapped is stepped over and never decoded.

// maxDepth is how deep a record may be nested. Rows are not: this is what keeps
// a hostile record from costing stack, or time that grows faster than its size.
const maxDepth = 64

// check returns why b, which stands in the given field, is not JSON that can be read.
func check(b []byte, field string) error {
	switch {
	case len(b) == 0:
		return &Error{codeEmpty, field}
	case b[0] == 0: // Confluent's wire format: Avro, Protobuf or JSON Schema
		return &Error{codeNotJSON, field}
	case !utf8.Valid(b): // encoding/json would put U+FFFD there and say nothing
		return &Error{codeInvalidUTF8, field}
	case deep(b):
		return &Error{codeTooDeep, field}
	case !json.Valid(b):
		return &Error{codeBadJSON, field}
	}
	return nil
}

// deep reports whether b, which need not be JSON, is nested too deeply.
func deep(b []byte) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// object holds an object's members as they stand.
type object []member

type member struct {
	name  []byte // decoded
	value []byte // JSON
}

// get returns the value of the last member of that name, as every JSON reader
// does, or nil.
func (o object) get(name string) []byte {
	for _, m := range slices.Backward(o) {
		if string(m.name) == name {
			return m.value
		}
	}
	return nil
}

func (o object) has(name string) bool { return o.get(name) != nil }

// parseObject cuts b up if it is an object.
func parseObject(b []byte) (object, bool) {
	i := skipSpace(b, 0)
	if b[i] != '{' {
		return nil, false
	}
	o := make(object, 0, 16)
	for i = skipSpace(b, i+1); b[i] != '}'; {
		end := skipString(b, i)
		name := b[i+1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name = []byte(text(b[i:end]))
		}
		i = skipSpace(b, skipSpace(b, end)+1) // over the colon
		end = skipValue(b, i)
		o = append(o, member{name, b[i:end]})
		i = next(b, end)
	}
	return o, true
}

// parseArray cuts b, an array, up into its elements.
func parseArray(b []byte) [][]byte {
	var a [][]byte
	for i := skipSpace(b, 1); b[i] != ']'; {
		end := skipValue(b, i)
		a = append(a, b[i:end])
		i = next(b, end)
	}
	return a
}

// next returns where the next member or element, or the closing bracket, begins.
func next(b []byte, i int) int {
	i = skipSpace(b, i)
	if b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	return i
}

// text decodes b, a string.
func text(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b[1 : len(b)-1])
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return "" // not reached: b was checked
	}
	return s
}

// scalar returns a string or a number as text, and "" for anything else.
func scalar(b []byte) string {
	switch {
	case len(b) == 0 || isNull(b) || b[0] == '{' || b[0] == '[':
		return ""
	case b[0] == '"':
		return text(b)
	}
	return string(b)
}

func isNull(b []byte) bool { return string(b) == "null" }

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipString returns where the string that begins at i ends; len(b) if it does not.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// skipValue returns where the value that begins at i ends.
func skipValue(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // the end of a number, true, false or null
			}
			depth--
		case ',', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}
