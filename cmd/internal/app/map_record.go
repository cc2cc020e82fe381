package app

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"usersync/consumer/event"
	usync "usersync/sync"
)

var errNoRecord = errors.New(`not a record: neither {"key": ..., "value": ...} nor a key, a tab and a value`)

// recordMembers are the members of a line that is a record. A line with any
// other is no record but a value, which may have a member of the name value.
var recordMembers = []string{"key", "value", "headers", "topic", "partition", "offset", "timestamp"}

// parseRecord reads a line of a dry run. A JSON null stays one: the decoder takes
// it as Kafka's own, since some converters write it.
func parseRecord(line []byte) (*event.Record, error) {
	// No JSON has a tab inside a string, nor would anybody print one elsewhere.
	if key, value, ok := bytes.Cut(line, []byte("\t")); ok {
		return &event.Record{Key: key, Value: value}, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil || members == nil {
		return nil, errNoRecord
	}
	_, isRecord := members["value"]
	for name := range members {
		isRecord = isRecord && slices.Contains(recordMembers, name)
	}
	if !isRecord {
		return nil, errNoRecord
	}
	headers, err := parseHeaders(members["headers"])
	if err != nil {
		return nil, err
	}
	return &event.Record{Key: members["key"], Value: members["value"], Headers: headers}, nil
}

// parseHeaders reads headers as an object, or as a list of keys and values, since
// a record may repeat one.
func parseHeaders(raw json.RawMessage) ([]event.Header, error) {
	if raw == nil {
		return nil, nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) == nil {
		var headers []event.Header
		for name, value := range object {
			headers = append(headers, event.Header{Key: name, Value: headerValue(value)})
		}
		return headers, nil
	}
	var list []struct {
		Key   string
		Value json.RawMessage
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil, errors.New(`not a record: headers are neither {"key": "value"} nor [{"key": ..., "value": ...}]`)
	}
	headers := make([]event.Header, len(list))
	for i, h := range list {
		headers[i] = event.Header{Key: h.Key, Value: headerValue(h.Value)}
	}
	return headers, nil
}

// headerValue returns the text of a string; anything else is JSON in the header.
func headerValue(raw json.RawMessage) []byte {
	var s *string
	if json.Unmarshal(raw, &s) == nil && s != nil {
		return []byte(*s)
	}
	return raw
}

// A suspect is a column whose values were text so far, each of which could be
// the base64 that Debezium writes for a decimal when it writes no schema. Only
// together do they tell: "user" is base64 too.
type suspect struct {
	padded  bool // one had the padding that words don't have
	cleared bool // one was no base64
}

func (s *suspect) guilty() bool { return s.padded && !s.cleared }

// maxDecimal is the length in base64 above which nobody's column is a decimal.
const maxDecimal = 24

// suspect looks at the values of a change. One that came with a schema is not
// text any more.
func (m *mapper) suspect(c *usync.Change) {
	look := func(name string, value any) {
		text, ok := value.(string)
		if !ok || text == "" {
			return
		}
		s := m.suspects[name]
		if s == nil {
			s = new(suspect)
			m.suspects[name] = s
		}
		_, err := base64.StdEncoding.DecodeString(text)
		s.cleared = s.cleared || err != nil || len(text) > maxDecimal
		s.padded = s.padded || strings.HasSuffix(text, "=")
	}
	look("the user's ID", c.User)
	for name, value := range c.Columns.All() {
		look("column "+name, value)
	}
}
