package connect

import (
	"maps"
	"strings"

	"usersync/e2e/postgres"
)

// What the default configuration of the connector names.
const (
	// Topic is where the changes of the table are.
	Topic = "app.public.users"
	// Slot is the replication slot in PostgreSQL.
	Slot = "usersync"
	// Signals is the table, (id text, type text, data text), through which the
	// connector is told to do things, such as a snapshot while it streams.
	Signals = "public.debezium_signal"
)

// Debezium returns a configuration of the PostgreSQL connector: the changes of the
// table public.users after a snapshot of it, as docs/events.md recommends, with
// more over it. How much of a row a change tells is the table's REPLICA IDENTITY.
func Debezium(db *postgres.Server, more map[string]string) map[string]string {
	host, port, _ := strings.Cut(db.Addr(), ":")
	config := map[string]string{
		"connector.class":   "io.debezium.connector.postgresql.PostgresConnector",
		"database.hostname": host,
		"database.port":     port,
		"database.user":     postgres.User,
		"database.dbname":   postgres.Database,

		"topic.prefix":           "app",
		"table.include.list":     "public.users",
		"signal.data.collection": Signals,
		"snapshot.mode":          "initial",
		"decimal.handling.mode":  "string",
		"tombstones.on.delete":   "true",

		"plugin.name":                 "pgoutput",
		"slot.name":                   Slot,
		"publication.name":            "usersync",
		"publication.autocreate.mode": "filtered",
		// With nothing to write the slot would hold PostgreSQL's log for ever.
		"heartbeat.interval.ms": "1000",

		"topic.creation.default.partitions":         "1",
		"topic.creation.default.replication.factor": "1",
		// Half a second by default, which is how long a test would wait each time.
		"poll.interval.ms": "50",
	}
	maps.Copy(config, more)
	return config
}
