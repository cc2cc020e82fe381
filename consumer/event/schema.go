package event

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// schema is the part of a Kafka Connect schema that says how to read a value.
type schema struct {
	Name       string            `json:"name"`
	Field      string            `json:"field"`
	Fields     []*schema         `json:"fields"`
	Items      *schema           `json:"items"`
	Parameters map[string]string `json:"parameters"`

	text string // itself as JSON, if it is remembered
}

// field returns the schema of a struct's field; nil if there is none.
func (s *schema) field(name string) *schema {
	if s == nil {
		return nil
	}
	for _, f := range s.Fields {
		if f != nil && f.Field == name {
			return f
		}
	}
	return nil
}

// items returns the schema of an array's elements; nil if there is none.
func (s *schema) items() *schema {
	if s == nil {
		return nil
	}
	return s.Items
}

// logical returns the name of the logical type.
func (s *schema) logical() string {
	if s == nil {
		return ""
	}
	return s.Name
}

// converts reports whether values of s mean something else than JSON says.
func (s *schema) converts() bool {
	name := s.logical()
	return name != "" && logicalTypes[name] != nil
}

// The bounds of the cache: a topic has a schema for its keys and one for each
// version of its table.
const (
	maxSchemas    = 64
	maxSchemaSize = 64 << 10
)

// schemas remembers parsed schemas by their text. With schemas on, each record
// repeats its schema, which is several times larger than the row, so reading it
// would be most of the work.
type schemas struct {
	// last is the one that was met last. Records of one topic mostly have the same, and
	// then it is not even looked up.
	last   atomic.Pointer[schema]
	mu     sync.RWMutex
	parsed map[string]*schema
}

func (c *schemas) parse(b []byte, field string) (*schema, error) {
	c.mu.RLock()
	s, ok := c.parsed[string(b)]
	c.mu.RUnlock()
	if ok {
		return s, nil
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, &Error{codeBadSchema, field}
	}
	if len(b) > maxSchemaSize {
		return s, nil
	}
	s.text = string(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed == nil || len(c.parsed) >= maxSchemas {
		c.parsed = make(map[string]*schema)
	}
	c.parsed[s.text] = s
	return s, nil
}

// unwrap reads a key or value and returns what it holds, and its schema if it carries
// one. With schemas on, Kafka Connect's JSON converter writes exactly two members.
func (c *schemas) unwrap(o *outline, b []byte, field string) (value, *schema, error) {
	last := c.last.Load()
	if payload, ok := o.payload(b, last); ok {
		return payload, last, nil
	}
	v, err := o.read(b, field)
	if err != nil {
		return value{}, nil, err
	}
	payload, raw := v.object.find("payload"), v.object.get("schema")
	switch {
	case payload.json == nil || raw == nil || v.object.len() != 2:
		return v, nil, nil
	case isNull(raw):
		return payload, nil, nil
	case raw[0] != '{':
		return v, nil, nil
	}
	s, err := c.parse(raw, field)
	if err == nil && s != last && s.text != "" {
		c.last.Store(s)
	}
	return payload, s, err
}

// payload reads the payload of a record that has the schema s and is written as Kafka
// Connect writes it. It looks at what comes behind the schema only, for the same
// bytes were found to be JSON before. Of anything else it reports false, also of what is
// broken: why, the reading of the whole record tells.
func (o *outline) payload(b []byte, s *schema) (value, bool) {
	if s == nil {
		return value{}, false
	}
	for _, part := range [...]string{`{"schema":`, s.text, `,"payload":`} {
		if len(b) < len(part) || string(b[:len(part)]) != part {
			return value{}, false
		}
		b = b[len(part):]
	}
	if !utf8.Valid(b) {
		return value{}, false
	}
	v, end := o.scan(b, 2) // it stands in the wrapper
	end = skipSpace(b, end)
	return v, at(b, end) == '}' && skipSpace(b, end+1) == len(b)
}
