package event

import (
	"encoding/json"
	"errors"
)

// plain reads rows as plain JSON objects, as a JDBC source connector or an
// application of one's own writes them: a row is an upsert, null a delete.
type plain struct{}

func (plain) value(d *Decoder, in *scratch, r *Record) (news, error) {
	payload, s, err := d.values.unwrap(&in.value, r.Value, inValue)
	switch {
	case err != nil:
		return news{}, err
	case isNull(payload.json):
		return tombstone(r), nil
	case !payload.isObject():
		return news{}, &Error{codeNotObject, inValue}
	}
	return news{op: opUpsert, row: row{payload.object, s}}, nil
}

// key reads a key as Kafka Connect writes it, or as plain text: producers of
// one's own often write user-1, without quotes.
func (plain) key(d *Decoder, in *scratch, b []byte) (identity, error) {
	id, err := d.connectKey(in, b)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == codeBadJSON && isText(b) {
		quoted, err := json.Marshal(string(b))
		in.bareKey(cell{json: quoted})
		return identity{}, err
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
