package event

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/bits"
	"unicode/utf8"
)

// This file is the only one that looks at JSON byte by byte. One pass over a record
// checks it as strictly as json.Valid, in a fraction of the time, and notes where the
// members of its objects are. What comes later is known to be JSON, and needs no error paths.

// maxDepth is how deep a record may be nested. Rows are not: this is what keeps
// a hostile record from costing stack, or time that grows faster than its size.
const maxDepth = 64

// broken is where a text ends that is not JSON: so far behind every text that nothing
// that must follow is found there, and nobody has to ask whether it was reached.
const broken = math.MaxInt / 2

// read reads b, which stands in the given field of a record.
func (o *outline) read(b []byte, field string) (value, error) {
	switch {
	case len(b) == 0:
		return value{}, &Error{codeEmpty, field}
	case b[0] == 0: // Confluent's wire format: Avro, Protobuf or JSON Schema
		return value{}, &Error{codeNotJSON, field}
	case !utf8.Valid(b): // encoding/json would put U+FFFD there and say nothing
		return value{}, &Error{codeInvalidUTF8, field}
	}
	v, end := o.scan(b, 1)
	switch {
	case skipSpace(b, end) == len(b):
		return v, nil
	case deep(b):
		return value{}, &Error{codeTooDeep, field}
	}
	return value{}, &Error{codeBadJSON, field}
}

// scan reads the value that b begins with, nested as deep as is said, and returns
// where it ends.
func (o *outline) scan(b []byte, depth int) (value, int) {
	o.text, o.members = b, o.members[:0]
	start := skipSpace(b, 0)
	end, last := o.value(start, depth)
	if end == broken {
		return value{}, broken
	}
	return value{b[start:end], object{o, last}}, end
}

// value returns where the value that should begin at i ends and, of an object whose
// members are noted, the last of them.
func (o *outline) value(i, depth int) (end, last int) {
	switch at(o.text, i) {
	case '{':
		return o.object(i, depth)
	case '[':
		return o.array(i, depth), 0
	case '"':
		end, _ = stringEnd(o.text, i)
		return end, 0
	case 't':
		return wordEnd(o.text, i, "true"), 0
	case 'f':
		return wordEnd(o.text, i, "false"), 0
	case 'n':
		return wordEnd(o.text, i, "null"), 0
	}
	return numberEnd(o.text, i), 0
}

func (o *outline) object(i, depth int) (end, last int) {
	b := o.text
	if depth > maxDepth {
		return broken, 0
	}
	if i = skipSpace(b, i+1); at(b, i) == '}' {
		return i + 1, 0
	}
	for {
		m := member{name: i + 1, prev: last}
		i, m.escaped = stringEnd(b, i)
		m.nameEnd = i - 1
		if i = skipSpace(b, i); at(b, i) != ':' {
			return broken, 0
		}
		m.value = skipSpace(b, i+1)
		m.end, m.last = o.value(m.value, depth+1)
		if depth <= o.levels {
			o.members = append(o.members, m)
			last = len(o.members)
		}
		switch i = skipSpace(b, m.end); at(b, i) {
		case ',':
			i = skipSpace(b, i+1)
		case '}':
			return i + 1, last
		default:
			return broken, 0
		}
	}
}

func (o *outline) array(i, depth int) (end int) {
	b := o.text
	if depth > maxDepth {
		return broken
	}
	if i = skipSpace(b, i+1); at(b, i) == ']' {
		return i + 1
	}
	for {
		i, _ = o.value(i, depth+1)
		switch i = skipSpace(b, i); at(b, i) {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1
		default:
			return broken
		}
	}
}

// at returns the byte at i. Behind the end it is 0, which JSON has nowhere.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// stringEnd returns where the string that should begin at i ends, and whether
// anything in it is escaped.
func stringEnd(b []byte, i int) (end int, escaped bool) {
	if at(b, i) != '"' {
		return broken, false
	}
	for i = plainEnd(b, i+1); at(b, i) == '\\'; i = plainEnd(b, i) {
		escaped = true
		switch at(b, i+1) {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			for range 4 {
				if !isHex(at(b, i+2)) {
					return broken, false
				}
				i++
			}
			i += 2
		default:
			return broken, false
		}
	}
	if at(b, i) != '"' {
		return broken, false
	}
	return i + 1, escaped
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// plainEnd returns where a quote, a backslash or a control character comes, which are
// all that means something within a string. Strings are most of a record: they
// are looked through eight bytes at a time.
func plainEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		if found := special(binary.LittleEndian.Uint64(b[i:])); found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
		i++
	}
	return i
}

// special sets the highest bit of each byte of w that plainEnd looks for. Subtracting
// borrows from the byte above only where the one below was found, so the lowest
// bit that is set is right, and no other is asked for.
func special(w uint64) uint64 {
	const each, highest = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^each*'"', w^each*'\\' // 0 where it is one
	return ((quote-each)&^quote | (backslash-each)&^backslash | (w-each*' ')&^w) & highest
}

func wordEnd(b []byte, i int, word string) int {
	if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end
	}
	return broken
}

func numberEnd(b []byte, i int) int {
	if at(b, i) == '-' {
		i++
	}
	if at(b, i) == '0' { // and no digit may follow
		i++
	} else {
		i = digitsEnd(b, i)
	}
	if at(b, i) == '.' {
		i = digitsEnd(b, i+1)
	}
	if c := at(b, i); c == 'e' || c == 'E' {
		if c = at(b, i+1); c == '+' || c == '-' {
			i++
		}
		i = digitsEnd(b, i+1)
	}
	return i
}

// digitsEnd returns where the digits end of which there should be one at i.
func digitsEnd(b []byte, i int) int {
	from := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == from {
		return broken
	}
	return i
}

// deep reports whether b, which is not JSON that could be read, is nested too deeply.
func deep(b []byte) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
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

// parseArray cuts b, an array, up into its elements.
func parseArray(b []byte) [][]byte {
	var a [][]byte
	o := outline{text: b}
	for i := skipSpace(b, 1); b[i] != ']'; {
		end, _ := o.value(i, 1)
		a = append(a, b[i:end])
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return a
}

// text decodes b, a string.
func text(b []byte) string {
	if isPlain(b) {
		return string(b[1 : len(b)-1])
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return "" // not reached: b was read
	}
	return s
}
