package event

import (
	"bytes"
	"strconv"
	"time"
)

// debezium reads the events of Debezium's connectors, as they are (an envelope
// with the row before and after) or flattened by the transformation
// ExtractNewRecordState (the row alone).
type debezium struct{}

// debeziumOps are the letters that Debezium writes into op.
var debeziumOps = map[string]string{
	"c": opCreate,
	"u": opUpdate,
	"r": opRead,
	"d": opDelete,
	"t": string(skipTruncate),
	"m": string(skipMessage),
}

func debeziumOp(letter []byte) string {
	if op, ok := debeziumOps[string(letter)]; ok {
		return op
	}
	return opUnknown
}

func (debezium) key(d *Decoder, in *scratch, b []byte) (identity, error) {
	return d.connectKey(in, b)
}

func (debezium) value(d *Decoder, in *scratch, r *Record) (news, error) {
	payload, s, err := d.values.unwrap(&in.value, r.Value, inValue)
	if err != nil {
		return news{}, err
	}
	if isNull(payload.json) {
		// What ExtractNewRecordState makes of a delete unless it is told otherwise.
		return tombstone(r), nil
	}
	if !payload.isObject() {
		return news{}, &Error{codeNotObject, inValue}
	}
	o := payload.object
	if skip := notOfATable(o); skip != "" {
		return news{op: string(skip), skip: skip}, nil
	}
	if isEnvelope(o) {
		return envelope(o, s)
	}
	return flat(r, o, s)
}

// notOfATable tells the records that a connector writes about itself by their
// members: the names of their topics can be configured.
func notOfATable(o object) Skip {
	switch {
	case o.has("ts_ms") && o.len() == 1:
		return skipHeartbeat
	case o.has("databaseName") && (o.has("ddl") || o.has("tableChanges")):
		return skipSchemaChange
	case o.has("status") && o.has("event_count") && o.has("data_collections"):
		return skipTransaction
	}
	return ""
}

// isEnvelope tells an envelope from a row with a column named op.
func isEnvelope(o object) bool {
	return o.has("op") && (o.has("after") || o.has("before") || o.find("source").isObject())
}

func envelope(o object, s *schema) (news, error) {
	n := news{op: debeziumOp(scalar(o.get("op")))}
	source := o.find("source").object
	n.source = millis(source.get("ts_ms"))
	n.table = table{scalar(source.get("schema")), scalar(source.get("table"))}
	if len(n.table.parent) == 0 {
		n.table.parent = scalar(source.get("db"))
	}
	switch n.op {
	case string(skipTruncate), string(skipMessage):
		n.skip = Skip(n.op)
		return n, nil
	case opUnknown: // of this table, or of one that nobody asked for
		return n, nil
	case opDelete:
		n.delete = true
		return n, nil
	}
	after := o.find("after")
	if !after.isObject() {
		return n, &Error{codeNoRow, inValue}
	}
	n.row = row{after.object, s.field("after")}
	if n.op == opUpdate {
		n.before = row{o.find("before").object, s.field("before")}
	}
	return n, nil
}

// flat reads a row without its envelope. What the transformation adds to it, in
// fields or in headers, depends on its settings; nothing of it is certain.
func flat(r *Record, o object, s *schema) (news, error) {
	n := news{
		op:     opUpsert,
		table:  flatTable(o, r.Headers),
		row:    row{o, s},
		source: millis(added(o, r.Headers, "__source_ts_ms")),
	}
	if op := added(o, r.Headers, "__op"); len(op) > 0 {
		n.op = debeziumOp(op)
	}
	if string(scalar(o.get("__deleted"))) == "true" {
		n.op = opDelete
	}
	switch n.op {
	case opDelete:
		// The rest of such a row is invented unless the table has REPLICA
		// IDENTITY FULL.
		n.delete, n.row = true, row{}
	case string(skipTruncate), string(skipMessage):
		n.skip = Skip(n.op)
	}
	return n, nil
}

// flatTable returns the table that a flattened record or a tombstone names, if
// it does. The database does not stand in for a missing schema here: whether
// the connector knows schemas is not to be seen.
func flatTable(o object, headers []Header) table {
	first := func(names ...string) []byte {
		for _, name := range names {
			if v := added(o, headers, name); len(v) > 0 {
				return v
			}
		}
		return nil
	}
	return table{first("__schema", "__source_schema"), first("__table", "__source_table")}
}

// added returns what ExtractNewRecordState put into a field or a header.
func added(o object, headers []Header, name string) []byte {
	if v := scalar(o.get(name)); len(v) > 0 {
		return v
	}
	for _, h := range headers {
		if h.Key == name {
			return bytes.Trim(h.Value, `"`) // quoted by the JSON converter
		}
	}
	return nil
}

// millis reads milliseconds since 1970; zero if b is not that.
func millis(b []byte) time.Time {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}
