package event

import (
	"encoding/json"
	"sync"
)

// schema is the part of a Kafka Connect schema that says how to read a value.
type schema struct {
	Name       string            `json:"name"`
	Field      string            `json:"field"`
	Fields     []*schema         `json:"fields"`
	Items      *schema           `json:"items"`
	Parameters map[string]string `json:"parameters"`
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

// The bounds of the cache: a topic has a schema for its keys and one for each
// version of its table.
const (
	maxSchemas    = 64
	maxSchemaSize = 64 << 10
)

// schemas remembers parsed schemas by their text. With schemas on, each record
// repeats its schema, which is several times larger than the row, so parsing it
// would be most of the work.
type schemas struct {
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed == nil || len(c.parsed) >= maxSchemas {
		c.parsed = make(map[string]*schema)
	}
	c.parsed[string(b)] = s
	return s, nil
}

// unwrap returns what a key or value holds, and its schema if it carries one.
// With schemas on, Kafka Connect's JSON converter writes exactly two members.
func (c *schemas) unwrap(b []byte, field string) (payload []byte, s *schema, err error) {
	i := skipSpace(b, 0)
	payload = b[i:skipValue(b, i)]
	o, ok := parseObject(b)
	if !ok || len(o) != 2 || !o.has("payload") || !o.has("schema") {
		return payload, nil, nil
	}
	raw := o.get("schema")
	if isNull(raw) {
		return o.get("payload"), nil, nil
	}
	if raw[0] != '{' {
		return payload, nil, nil
	}
	s, err = c.parse(raw, field)
	return o.get("payload"), s, err
}
