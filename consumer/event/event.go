// Package event turns a Kafka record into the change of a user that it tells
// of. It reads what Debezium writes (envelope or flattened, with or without
// schema, told apart record by record), what Maxwell writes, and plain JSON
// rows. It does no I/O and knows nothing of what came before.
package event

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	usync "usersync/sync"
)

// Config says how to read records. It is the events section of the
// configuration file, and the columns that the destinations' mappings use.
type Config struct {
	Format      string   // debezium, maxwell or json
	Tables      []string // schema.table, or database.table where there are no schemas; empty: all
	UserID      string   // expression over the row; must derive from the message key
	Placeholder string   // Debezium's unavailable.value.placeholder; empty: there is none
	Columns     []string // the columns to keep, by their names in the row; repeats do not count
}

// Event is what a record means: a change, or that there is nothing to do.
type Event struct {
	Change usync.Change // set when Skip is empty
	Skip   Skip
	// Op is what happened, for metrics: create, update, read, delete, upsert (a
	// row that does not say which), tombstone, truncate, message, heartbeat,
	// schema_change, transaction, bootstrap, or unknown.
	Op string
}

// Skip is why a record changes no user: truncate, message, heartbeat,
// schema_change, transaction, bootstrap, other_table or keyless_tombstone.
type Skip string

const (
	skipTruncate         Skip = "truncate"
	skipMessage          Skip = "message"
	skipHeartbeat        Skip = "heartbeat"
	skipSchemaChange     Skip = "schema_change"
	skipTransaction      Skip = "transaction"
	skipBootstrap        Skip = "bootstrap"
	skipOtherTable       Skip = "other_table"
	skipKeylessTombstone Skip = "keyless_tombstone"
)

// The operations that are not also the name of a Skip.
const (
	opCreate    = "create"
	opUpdate    = "update"
	opRead      = "read"
	opDelete    = "delete"
	opUpsert    = "upsert"
	opTombstone = "tombstone"
	opUnknown   = "unknown"
)

// Error says that a record cannot be decoded, now or ever. It carries no byte
// of the record.
type Error struct {
	// Code is one of empty, not_json, bad_json, not_object, invalid_utf8,
	// too_deep, bad_schema, unknown_op, no_row, null_key, no_user_id,
	// bad_user_id, key_mismatch and bad_column.
	Code string
	// Field is key, value, or the name of a configured column.
	Field string
}

// The codes of an Error; docs/events.md explains them to the operator.
const (
	codeEmpty       = "empty"
	codeNotJSON     = "not_json"
	codeBadJSON     = "bad_json"
	codeNotObject   = "not_object"
	codeInvalidUTF8 = "invalid_utf8"
	codeTooDeep     = "too_deep"
	codeBadSchema   = "bad_schema"
	codeUnknownOp   = "unknown_op"
	codeNoRow       = "no_row"
	codeNullKey     = "null_key"
	codeNoUserID    = "no_user_id"
	codeBadUserID   = "bad_user_id"
	codeKeyMismatch = "key_mismatch"
	codeBadColumn   = "bad_column"
)

const (
	inKey   = "key"
	inValue = "value"
)

// Error names the code and the field.
func (e *Error) Error() string { return "undecodable: " + e.Code + " (" + e.Field + ")" }

// Decoder decodes records. It is safe for concurrent use.
type Decoder struct {
	format      format
	tables      []table
	user        *usync.Expression
	userColumns []string
	columns     []string // sorted: all rows share them, see usync.Columns
	placeholder placeholder
	keys        schemas
	values      schemas
	scratches   sync.Pool
}

// format is what differs between the formats: what a value that is not null
// says, and where the key's columns are, which go into in.ids.
type format interface {
	value(d *Decoder, in *scratch, r *Record) (news, error)
	key(d *Decoder, in *scratch, b []byte) (identity, error)
}

// news is what a record's value says.
type news struct {
	op     string
	skip   Skip
	delete bool
	table  table
	row    row // of an upsert
	before row // the row as it was, where the source really knows; else empty
	source time.Time
}

// identity is what a record's key says, beside the columns of the user-ID expression.
type identity struct {
	null  bool
	table table
}

// New returns a Decoder, or an error that names each setting it cannot use.
func New(c Config) (*Decoder, error) {
	d := &Decoder{columns: slices.Compact(slices.Sorted(slices.Values(c.Columns)))}
	var errs []error
	switch c.Format {
	case "debezium":
		d.format = debezium{}
	case "maxwell":
		d.format = maxwell{}
	case "json":
		d.format = plain{}
	default:
		errs = append(errs, fmt.Errorf("format: %q is not one of debezium, maxwell, json", c.Format))
	}
	for _, name := range c.Tables {
		t, ok := parseTable(name)
		if !ok {
			errs = append(errs, fmt.Errorf("tables: %q is not of the form schema.table", name))
		}
		d.tables = append(d.tables, t)
	}
	var err error
	if d.user, err = usync.CompileExpression(c.UserID); err != nil {
		errs = append(errs, fmt.Errorf("user_id: %w", err))
	} else if d.userColumns = d.user.Columns(); len(d.userColumns) == 0 {
		errs = append(errs, errors.New("user_id: uses no column"))
	}
	if d.placeholder, err = newPlaceholder(c.Placeholder); err != nil {
		errs = append(errs, fmt.Errorf("unavailable_placeholder: %w", err))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return d, nil
}

// Decode returns what r means, or an *Error. The result shares no memory with r.
func (d *Decoder) Decode(r *Record) (Event, error) {
	in := d.take()
	defer d.give(in)
	e, err := d.decode(in, r)
	if err != nil {
		return Event{Op: e.Op}, err
	}
	return e, nil
}

func (d *Decoder) decode(in *scratch, r *Record) (Event, error) {
	n, err := d.news(in, r)
	e := Event{Op: n.op, Skip: n.skip}
	if err != nil || n.skip != "" {
		return e, err
	}
	if !d.wants(n.table) {
		e.Skip = skipOtherTable
		return e, nil
	}
	if n.op == opUnknown {
		return e, &Error{codeUnknownOp, inValue}
	}
	id, err := d.identity(in, r.Key)
	if err != nil {
		return e, err
	}
	switch {
	case n.op == opTombstone && id.null:
		// The tombstone of a table without a primary key names nobody.
		e.Skip = skipKeylessTombstone
		return e, nil
	case id.null:
		return e, &Error{codeNullKey, inKey}
	case !d.wants(id.table):
		e.Skip = skipOtherTable
		return e, nil
	}
	e.Change, err = d.change(in, n)
	e.Change.Position = usync.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	e.Change.Written = r.Time
	return e, err
}

// news reads the value. Null means the same in every format, however it is spelled.
func (d *Decoder) news(in *scratch, r *Record) (news, error) {
	if r.Value == nil {
		return tombstone(r), nil
	}
	n, err := d.format.value(d, in, r)
	if err != nil {
		n.op = opUnknown
	}
	return n, err
}

// tombstone is the news of a null value. Only a header can tell its table.
func tombstone(r *Record) news {
	return news{op: opTombstone, delete: true, table: flatTable(object{}, r.Headers)}
}

// identity reads the key.
func (d *Decoder) identity(in *scratch, key []byte) (identity, error) {
	if key == nil {
		return identity{null: true}, nil
	}
	return d.format.key(d, in, key)
}

// User returns the user that a key names, if it names one of the tables that are
// asked for.
func (d *Decoder) User(key []byte) (user string, ok bool) {
	in := d.take()
	defer d.give(in)
	id, err := d.identity(in, key)
	if err != nil || id.null || !d.wants(id.table) {
		return "", false
	}
	user, err = d.userID(in, inKey)
	return user, err == nil
}

// change puts together what the value and the key say.
//
// The user of a delete is read from the key only: what a deleted row held is
// known to Debezium only under REPLICA IDENTITY FULL, and invented otherwise.
// The user of an upsert must be the key's too: Kafka orders and compacts by key,
// so a user spread over several keys would have no newest change.
func (d *Decoder) change(in *scratch, n news) (usync.Change, error) {
	user, err := d.userID(in, inKey)
	if err != nil {
		return usync.Change{}, err
	}
	c := usync.Change{User: user, Op: usync.Delete, Source: n.source}
	if n.delete {
		return c, nil
	}
	if err := d.sameUser(in, n.row, user); err != nil {
		return usync.Change{}, err
	}
	c.Op = usync.Upsert
	c.Columns, err = d.mapped(in, n.row, n.before)
	return c, err
}

// wants reports whether changes of t are asked for. A record that does not say
// its table is: flattened records do so only if the connector is told to.
func (d *Decoder) wants(t table) bool {
	if len(d.tables) == 0 || len(t.name) == 0 {
		return true
	}
	return slices.ContainsFunc(d.tables, func(w table) bool {
		return bytes.Equal(w.name, t.name) && (len(t.parent) == 0 || bytes.Equal(w.parent, t.parent))
	})
}

// table names a table and the schema it is in, or the database where the
// connector knows no schemas. Parts that are not known are empty.
type table struct{ parent, name []byte }

func parseTable(s string) (table, bool) {
	parent, name, _ := strings.Cut(s, ".")
	return table{[]byte(parent), []byte(name)}, parent != "" && name != ""
}
