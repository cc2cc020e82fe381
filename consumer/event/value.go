package event

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	usync "usersync/sync"
)

// row is a row of the table, not yet decoded.
type row struct {
	fields object
	schema *schema
}

// column returns a column's JSON, nil if the row lacks it, and its schema.
func (r row) column(name string) ([]byte, *schema) {
	return r.fields.get(name), r.schema.field(name)
}

// mapped decodes the columns that the destinations use.
func (d *Decoder) mapped(r, before row) (map[string]any, error) {
	columns := make(map[string]any, len(d.columns))
	for _, name := range d.columns {
		raw, s := r.column(name)
		if raw != nil && d.placeholder.in(raw) {
			raw, s = d.known(before, name)
		}
		if raw == nil {
			// Not sent, or the table has no such column any more. Taking it for
			// NULL would blank a field that the vendor holds.
			columns[name] = usync.Unavailable{}
			continue
		}
		v, ok := decodeValue(raw, s)
		if !ok {
			return nil, &Error{codeBadColumn, name}
		}
		columns[name] = v
	}
	return columns, nil
}

// known returns a column of a row as it was before, if that holds a real value.
// A blank one may be invented: under an index as replica identity Debezium
// fills columns that it does not know and that must not be null.
func (d *Decoder) known(before row, name string) ([]byte, *schema) {
	raw, s := before.column(name)
	if raw == nil || d.placeholder.in(raw) {
		return nil, nil
	}
	switch v, _ := decodeValue(raw, s); v := v.(type) {
	case nil:
		return nil, nil
	case string:
		if strings.TrimSpace(v) == "" {
			return nil, nil
		}
	case []any:
		if len(v) == 0 {
			return nil, nil
		}
	}
	return raw, s
}

// decodeValue decodes a column. It reports false if the value is not what its
// schema says.
func decodeValue(raw []byte, s *schema) (any, bool) {
	if isNull(raw) {
		return nil, true
	}
	if convert, ok := logicalTypes[s.logical()]; ok {
		return convert(raw, s)
	}
	switch raw[0] {
	case 't':
		return true, true
	case 'f':
		return false, true
	case '"':
		return text(raw), true
	case '[':
		elements := parseArray(raw)
		a := make([]any, len(elements))
		var ok bool
		for i, e := range elements {
			if a[i], ok = decodeValue(e, s.items()); !ok {
				return nil, false
			}
		}
		return a, true
	case '{':
		members, _ := parseObject(raw)
		m := make(map[string]any, len(members))
		var ok bool
		for _, f := range members {
			name := string(f.name)
			if m[name], ok = decodeValue(f.value, s.field(name)); !ok {
				return nil, false
			}
		}
		return m, true
	}
	return number(string(raw)), true
}

// number keeps integers exact, and anything else as it was written: a float64
// would round a decimal and any ID above 2^53.
func number(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return n
	}
	return json.Number(s)
}

// placeholder recognises the value that Debezium puts where it does not know
// the column. It is configured as a string, and comes in the shape of the
// column's type. Debezium documents the string; the other shapes are those of
// its Postgres connector, as of version 3: see docs/events.md.
type placeholder struct {
	bytes     []byte
	spellings map[string]struct{}
}

func newPlaceholder(s string) (placeholder, error) {
	b := []byte(s)
	if digits, ok := strings.CutPrefix(s, "hex:"); ok { // as in Debezium's own setting
		var err error
		if b, err = hex.DecodeString(digits); err != nil {
			return placeholder{}, err
		}
	}
	p := placeholder{bytes: b, spellings: make(map[string]struct{})}
	if len(b) == 0 {
		return p, nil
	}
	quoted, err := json.Marshal(string(b))
	if err != nil {
		return placeholder{}, err
	}
	for _, spelling := range []string{
		string(b),
		base64.StdEncoding.EncodeToString(b), // bytea
		base64.URLEncoding.EncodeToString(b), // binary.handling.mode=base64-url-safe
		hex.EncodeToString(b),                // binary.handling.mode=hex
		nameUUID(b),                          // an element of uuid[]
		"{" + string(quoted) + ":" + string(quoted) + "}", // hstore as JSON
	} {
		p.spellings[spelling] = struct{}{}
	}
	return p, nil
}

// nameUUID returns the version 3 UUID of b, without a name space as Java makes it.
func nameUUID(b []byte) string {
	h := md5.Sum(b)
	h[6] = h[6]&0x0f | 0x30
	h[8] = h[8]&0x3f | 0x80
	s := hex.EncodeToString(h[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// in reports whether raw is the placeholder or contains it: an array or object
// of which a part is unknown is not known.
func (p *placeholder) in(raw []byte) bool {
	if len(p.bytes) == 0 {
		return false
	}
	switch raw[0] {
	case '"':
		if slices.Contains(raw, '\\') {
			_, ok := p.spellings[text(raw)]
			return ok
		}
		_, ok := p.spellings[string(raw[1:len(raw)-1])]
		return ok
	case '[':
		elements := parseArray(raw)
		return p.spelled(elements) || slices.ContainsFunc(elements, p.in)
	case '{':
		members, _ := parseObject(raw)
		return slices.ContainsFunc(members, func(m member) bool { return p.in(m.value) })
	}
	return false
}

// spelled reports whether the elements of an array are the placeholder's bytes
// one by one, which is how it looks in an array of numbers or booleans.
func (p *placeholder) spelled(elements [][]byte) bool {
	if len(elements) != len(p.bytes) {
		return false
	}
	for i, e := range elements {
		if !spells(e, p.bytes[i]) {
			return false
		}
	}
	return true
}

func spells(raw []byte, b byte) bool {
	switch raw[0] {
	case 't':
		return b != 0
	case 'f', 'n':
		return b == 0 && raw[0] == 'f'
	case '"': // a decimal: base64 of one byte
		return text(raw) == base64.StdEncoding.EncodeToString([]byte{b})
	case '{': // a decimal with its own scale
		o, _ := parseObject(raw)
		value := o.get("value")
		return value != nil && value[0] == '"' && spells(value, b)
	case '[':
		return false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return err == nil && f == float64(int8(b)) // Java's bytes are signed
}
