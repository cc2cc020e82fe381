package event

import (
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

func (maxwell) value(_ *Decoder, r *Record) (news, error) {
	b := r.Value[skipSpace(r.Value, 0):]
	if b[0] == 'n' {
		return tombstone(r), nil
	}
	o, ok := parseObject(b)
	if !ok {
		return news{}, &Error{codeNotObject, inValue}
	}
	kind := scalar(o.get("type"))
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
	if seconds, err := strconv.ParseInt(scalar(o.get("ts")), 10, 64); err == nil && seconds > 0 {
		n.source = time.Unix(seconds, 0).UTC()
	}
	switch n.op {
	case opUnknown:
		return n, nil
	case opDelete:
		n.delete = true
		return n, nil
	}
	data, ok := parseMember(o, "data")
	if !ok {
		return n, &Error{codeNoRow, inValue}
	}
	n.row = row{fields: data}
	return n, nil
}

// key reads both forms that Maxwell documents for kafka_key_format: hash,
// {"database":"app","table":"users","pk.id":1}, and array,
// ["app","users",[{"id":1}]].
func (maxwell) key(d *Decoder, b []byte) (identity, error) {
	if err := check(b, inKey); err != nil {
		return identity{}, err
	}
	b = b[skipSpace(b, 0):]
	var id identity
	var pk object
	switch b[0] {
	case '{':
		o, _ := parseObject(b)
		id.table = maxwellTable(o.get("database"), o.get("table"))
		for _, m := range o {
			if name, ok := strings.CutPrefix(string(m.name), "pk."); ok {
				pk = append(pk, member{[]byte(name), m.value})
			}
		}
	case '[':
		a := parseArray(b)
		if len(a) != 3 || a[2][0] != '[' {
			return identity{}, &Error{codeNotObject, inKey}
		}
		id.table = maxwellTable(a[0], a[1])
		for _, e := range parseArray(a[2]) {
			if o, ok := parseObject(e); ok {
				pk = append(pk, o...)
			}
		}
	default:
		return d.connectKey(b)
	}
	var err error
	id.columns, err = d.idColumns(row{fields: d.unfold(pk)}, inKey)
	return id, err
}

// unfold gives the columns of a key the names that the user-ID expression has
// for them: Maxwell writes them in lower case there, and only there.
func (d *Decoder) unfold(pk object) object {
	for i, m := range pk {
		for _, name := range d.userColumns {
			if strings.EqualFold(name, string(m.name)) {
				pk[i].name = []byte(name)
			}
		}
	}
	return pk
}

func maxwellTable(database, name []byte) table { return table{scalar(database), scalar(name)} }
