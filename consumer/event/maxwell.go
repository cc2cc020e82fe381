package event

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxwell reads what Maxwell's daemon writes of a MySQL binlog.
type maxwell struct{}

// maxwellOps are the types of events of a row.
var maxwellOps = map[string]string{
	"insert":           opCreate,
	"update":           opUpdate,
	"delete":           opDelete,
	"bootstrap-insert": opRead,
}

func (maxwell) value(_ *Decoder, in *scratch, r *Record) (news, error) {
	v, err := in.value.read(r.Value, inValue)
	switch {
	case err != nil:
		return news{}, err
	case isNull(v.json):
		return tombstone(r), nil
	case !v.isObject():
		return news{}, &Error{codeNotObject, inValue}
	}
	o := v.object
	kind := string(scalar(o.get("type")))
	switch {
	case strings.HasPrefix(kind, "table-"), strings.HasPrefix(kind, "database-"):
		return news{op: string(skipSchemaChange), skip: skipSchemaChange}, nil
	case kind == "bootstrap-start", kind == "bootstrap-complete":
		return news{op: string(skipBootstrap), skip: skipBootstrap}, nil
	}
	n := news{op: opUnknown, table: maxwellTable(o.get("database"), o.get("table"))}
	if op, known := maxwellOps[kind]; known {
		n.op = op
	}
	if seconds, err := strconv.ParseInt(string(scalar(o.get("ts"))), 10, 64); err == nil && seconds > 0 {
		n.source = time.Unix(seconds, 0).UTC()
	}
	switch n.op {
	case opUnknown:
		return n, nil
	case opDelete:
		n.delete = true
		return n, nil
	}
	data := o.find("data")
	if !data.isObject() {
		return n, &Error{codeNoRow, inValue}
	}
	n.row = row{fields: data.object}
	return n, nil
}

// key reads both forms that Maxwell documents for kafka_key_format: hash,
// {"database":"app","table":"users","pk.id":1}, and array,
// ["app","users",[{"id":1}]].
func (maxwell) key(d *Decoder, in *scratch, b []byte) (identity, error) {
	v, err := in.key.read(b, inKey)
	if err != nil {
		return identity{}, err
	}
	var id identity
	switch v.json[0] {
	case '{':
		id.table = maxwellTable(v.object.get("database"), v.object.get("table"))
		for name, raw := range v.object.backward() {
			if name, ok := bytes.CutPrefix(name, []byte("pk.")); ok {
				d.primaryKey(in, name, raw)
			}
		}
	case '[':
		a := parseArray(v.json)
		if len(a) != 3 || a[2][0] != '[' {
			return identity{}, &Error{codeNotObject, inKey}
		}
		id.table = maxwellTable(a[0], a[1])
		for _, e := range slices.Backward(parseArray(a[2])) {
			o, _ := parseObject(e)
			for name, raw := range o.backward() {
				d.primaryKey(in, name, raw)
			}
		}
	default:
		return d.connectKey(in, b)
	}
	return id, nil
}

// primaryKey keeps a column of the key, unless a later one of that name was kept. In a
// key, and only there, Maxwell writes the names of columns in lower case.
func (d *Decoder) primaryKey(in *scratch, name, raw []byte) {
	for i, column := range d.userColumns {
		if in.ids[i].json == nil && strings.EqualFold(column, string(name)) {
			in.ids[i] = cell{json: raw}
		}
	}
}

func maxwellTable(database, name []byte) table { return table{scalar(database), scalar(name)} }
