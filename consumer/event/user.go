package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	usync "usersync/sync"
)

// idColumns decodes the columns of the user-ID expression. A column that the
// row lacks is left out, which the expression reads as not known.
func (d *Decoder) idColumns(r row, field string) (map[string]any, error) {
	columns := make(map[string]any, len(d.userColumns))
	for _, name := range d.userColumns {
		raw, s := r.column(name)
		if raw == nil {
			continue
		}
		if d.placeholder.in(raw) {
			columns[name] = usync.Unavailable{}
			continue
		}
		v, ok := decodeValue(raw, s)
		if !ok {
			return nil, &Error{codeBadUserID, field}
		}
		columns[name] = v
	}
	return columns, nil
}

// userID computes the user's ID. It is sent unchanged: trimming it could make
// two users one.
func (d *Decoder) userID(columns map[string]any, field string) (string, error) {
	v, err := d.user.Eval(columns)
	if err != nil {
		return "", &Error{codeBadUserID, field}
	}
	var id string
	switch v := v.(type) {
	case nil, usync.Unavailable:
		return "", &Error{codeNoUserID, field}
	case string:
		id = v
	case int, int64, uint64:
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

// bareKey is the identity that a key without column names gives: it is the
// column that the user-ID expression uses, if that is only one.
func (d *Decoder) bareKey(v any) identity {
	if len(d.userColumns) != 1 {
		return identity{}
	}
	return identity{columns: map[string]any{d.userColumns[0]: v}}
}

// connectKey reads a key as Kafka Connect's JSON converter writes it: an object,
// or a bare string or number where a transformation took the only column out,
// each with or without schema.
func (d *Decoder) connectKey(b []byte) (identity, error) {
	if err := check(b, inKey); err != nil {
		return identity{}, err
	}
	payload, s, err := d.schemas.unwrap(b, inKey)
	if err != nil {
		return identity{}, err
	}
	switch payload[0] {
	case 'n':
		return identity{null: true}, nil
	case '{':
		fields, _ := parseObject(payload)
		columns, err := d.idColumns(row{fields, s}, inKey)
		return identity{columns: columns}, err
	case '[':
		return identity{}, &Error{codeNotObject, inKey}
	}
	v, ok := decodeValue(payload, s)
	if !ok {
		return identity{}, &Error{codeBadUserID, inKey}
	}
	return d.bareKey(v), nil
}
