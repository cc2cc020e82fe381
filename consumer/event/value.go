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

// cell is a column of a row, not yet decoded; without JSON the row lacks it.
type cell struct {
	json   []byte
	schema *schema
}

func (r row) column(name string) cell {
	return cell{r.fields.get(name), r.schema.field(name)}
}

// maxShared is the length up to which the texts of a row share an allocation. A value
// may outlive its row, when a later change of the user leaves it out; it should
// not keep much of the row with it.
const maxShared = 256

// shares reports whether c is a text that may stand in the allocation of its row.
func (c cell) shares() bool {
	return len(c.json) > 0 && len(c.json) <= maxShared && isPlain(c.json) && !c.schema.converts()
}

// mapped decodes the columns that the destinations use.
func (d *Decoder) mapped(in *scratch, r, before row) (usync.Columns, error) {
	values := make([]any, len(d.columns))
	size := 0
	for i, name := range d.columns {
		c := r.column(name)
		if c.json == nil {
			// The table has no such column, or not any more. Taking it for NULL would
			// blank a field that the vendor holds.
			values[i] = usync.Unavailable{NoColumn: true}
			continue
		}
		if d.placeholder.in(c.json) {
			if c = d.known(before, name); c.json == nil {
				values[i] = usync.Unavailable{}
				continue
			}
		}
		if c.shares() {
			size += len(c.json)
		}
		in.cells[i] = c
	}
	var texts strings.Builder
	texts.Grow(size)
	for i, name := range d.columns {
		c := in.cells[i]
		switch {
		case c.json == nil: // unavailable
		case c.shares():
			from := texts.Len()
			texts.Write(c.json[1 : len(c.json)-1])
			values[i] = texts.String()[from:]
		default:
			v, ok := decodeValue(c.json, c.schema)
			if !ok {
				return usync.Columns{}, &Error{codeBadColumn, name}
			}
			values[i] = v
		}
	}
	return usync.NewColumns(d.columns, values), nil
}

// known returns a column of a row as it was before, if that holds a real value.
// A blank one may be invented: under an index as replica identity Debezium
// fills columns that it does not know and that must not be null.
func (d *Decoder) known(before row, name string) cell {
	c := before.column(name)
	if c.json == nil || d.placeholder.in(c.json) {
		return cell{}
	}
	switch v, _ := decodeValue(c.json, c.schema); v := v.(type) {
	case nil:
		return cell{}
	case string:
		if strings.TrimSpace(v) == "" {
			return cell{}
		}
	case []any:
		if len(v) == 0 {
			return cell{}
		}
	}
	return c
}

// decodeValue decodes a column. It reports false if the value is not what its
// schema says.
func decodeValue(raw []byte, s *schema) (any, bool) {
	if isNull(raw) {
		return nil, true
	}
	if s.converts() {
		return logicalTypes[s.logical()](raw, s)
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
		o, _ := parseObject(raw)
		m := make(map[string]any)
		for name, member := range o.backward() {
			v, ok := decodeValue(member, s.field(string(name)))
			if !ok {
				return nil, false
			}
			if _, later := m[string(name)]; !later {
				m[string(name)] = v
			}
		}
		return m, true
	}
	return number(raw), true
}

// number keeps integers exact, and anything else as it was written: a float64
// would round a decimal and any ID above 2^53.
func number(raw []byte) any {
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
		return n
	}
	return json.Number(raw)
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
		if !isPlain(raw) {
			_, ok := p.spellings[text(raw)]
			return ok
		}
		_, ok := p.spellings[string(raw[1:len(raw)-1])]
		return ok
	case '[':
		elements := parseArray(raw)
		return p.spelled(elements) || slices.ContainsFunc(elements, p.in)
	case '{':
		o, _ := parseObject(raw)
		for _, member := range o.backward() {
			if p.in(member) {
				return true
			}
		}
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
