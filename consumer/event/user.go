package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	usync "usersync/sync"
)

// userID computes the user's ID from in.ids. A column that is missing there is not
// known. The ID is sent unchanged: trimming it could
// make two users one.
func (d *Decoder) userID(in *scratch, field string) (string, error) {
	for i, c := range in.ids {
		switch {
		case c.json == nil:
			in.idValues[i] = usync.Unavailable{NoColumn: true}
			continue
		case d.placeholder.in(c.json):
			in.idValues[i] = usync.Unavailable{}
			continue
		}
		v, ok := decodeValue(c.json, c.schema)
		if !ok {
			return "", &Error{codeBadUserID, field}
		}
		in.idValues[i] = v
	}
	v, err := d.user.Eval(usync.NewColumns(d.userColumns, in.idValues))
	if err != nil {
		return "", &Error{codeBadUserID, field}
	}
	var id string
	switch v := v.(type) {
	case nil, usync.Unavailable:
		return "", &Error{codeNoUserID, field}
	case string:
		id = v
	case int64:
		return strconv.FormatInt(v, 10), nil
	case int, uint64:
		return fmt.Sprint(v), nil
	case json.Number: // a decimal, where the database has no other integers
		if strings.Trim(v.String(), "-0123456789") != "" {
			return "", &Error{codeBadUserID, field}
		}
		return v.String(), nil
	default:
		return "", &Error{codeBadUserID, field}
	}
	switch {
	case strings.TrimSpace(id) == "":
		return "", &Error{codeNoUserID, field}
	case strings.ContainsRune(id, utf8.RuneError):
		// Half a surrogate pair, or text that was damaged on its way: two users
		// may have been two until then.
		return "", &Error{codeInvalidUTF8, field}
	}
	return id, nil
}

// sameUser returns an error unless the row is of the user that the key names. Mostly it
// repeats the columns that came from the key to the letter, and nothing is computed again.
func (d *Decoder) sameUser(in *scratch, r row, user string) error {
	same := true
	for i, name := range d.userColumns {
		c := r.column(name)
		same = same && c.repeats(in.ids[i])
		in.ids[i] = c
	}
	if same {
		return nil
	}
	inRow, err := d.userID(in, inValue)
	if err == nil && inRow != user {
		err = &Error{codeKeyMismatch, inKey}
	}
	return err
}

// repeats reports whether c surely has the same value as other. What an array or an
// object holds may depend on a schema of its own.
func (c cell) repeats(other cell) bool {
	if c.json == nil || c.json[0] == '{' || c.json[0] == '[' || !bytes.Equal(c.json, other.json) {
		return false
	}
	return !c.schema.converts() && !other.schema.converts()
}

// bareKey takes a key without column names for the column that the user-ID expression
// uses, if that is only one.
func (in *scratch) bareKey(c cell) {
	if len(in.ids) == 1 {
		in.ids[0] = c
	}
}

// connectKey reads a key as Kafka Connect's JSON converter writes it: an object,
// or a bare string or number where a transformation took the only column out,
// each with or without schema.
func (d *Decoder) connectKey(in *scratch, b []byte) (identity, error) {
	payload, s, err := d.keys.unwrap(&in.key, b, inKey)
	if err != nil {
		return identity{}, err
	}
	switch payload.json[0] {
	case 'n':
		return identity{null: true}, nil
	case '{':
		r := row{payload.object, s}
		for i, name := range d.userColumns {
			in.ids[i] = r.column(name)
		}
		return identity{}, nil
	case '[':
		return identity{}, &Error{codeNotObject, inKey}
	}
	in.bareKey(cell{payload.json, s})
	return identity{}, nil
}
