package event

import "errors"

// plain reads rows as plain JSON objects, as a JDBC source connector or an
// application of one's own writes them: a row is an upsert, null a delete.
type plain struct{}

func (plain) value(d *Decoder, r *Record) (news, error) {
	payload, s, err := d.schemas.unwrap(r.Value, inValue)
	if err != nil {
		return news{}, err
	}
	if isNull(payload) {
		return tombstone(r), nil
	}
	o, ok := parseObject(payload)
	if !ok {
		return news{}, &Error{codeNotObject, inValue}
	}
	return news{op: opUpsert, row: row{o, s}}, nil
}

// key reads a key as Kafka Connect writes it, or as plain text: producers of
// one's own often write user-1, without quotes.
func (plain) key(d *Decoder, b []byte) (identity, error) {
	id, err := d.connectKey(b)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == codeBadJSON && isText(b) {
		return d.bareKey(string(b)), nil
	}
	return id, err
}

// isText reports whether b was meant as text: not as broken JSON, nor as the
// bytes of a number.
func isText(b []byte) bool {
	if b[0] == '{' || b[0] == '[' || b[0] == '"' {
		return false
	}
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
