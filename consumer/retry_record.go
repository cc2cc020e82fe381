package consumer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// Command is what a record of the retry topic asks for.
type Command string

// The commands.
const (
	Replay Command = "replay" // a change that was given up is delivered after all
	Resync Command = "resync" // a change is delivered again, whatever is known of it
)

// Retry is a record of the retry topic: a change that an operator wants delivered, or
// delivered again. Whoever reads it delivers it only if it still is the newest of its
// user.
type Retry struct {
	Destination string
	Command     Command
	Source      usync.Position // of the record in its source topic
	SourceTime  time.Time      // when the source committed the change; zero: unknown
	// Searched is up to where the source partition was searched for a newer change of
	// the user, and had none. Whoever reads this searches the rest.
	Searched int64
	Key      []byte // of the record, as it was
	Value    []byte
	Headers  []event.Header
}

// WriteRetry puts r into the retry topic, into the partition of the source's number,
// and returns nil once all replicas in sync have it. After an error it may be there
// or not: writing it again costs a call. No error carries anything of the record.
func (c *Client) WriteRetry(ctx context.Context, topic string, r Retry) error {
	if _, err := c.produce(ctx, TopicPartition{topic, r.Source.Partition}, r.record()); err != nil {
		return fmt.Errorf("retry of %s: %w", at(r.Source), err)
	}
	return nil
}

// record is the form in which r is written.
func (r Retry) record() event.Record {
	record := event.Record{Key: r.Key, Value: r.Value, Headers: slices.Clone(r.Headers)}
	for _, h := range []struct{ name, value string }{
		{"destination", r.Destination},
		{"command", string(r.Command)},
		{"source.topic", r.Source.Topic},
		{"source.partition", strconv.Itoa(r.Source.Partition)},
		{"source.offset", strconv.FormatInt(r.Source.Offset, 10)},
		{"source.timestamp", timestamp(r.SourceTime)},
		{"searched", strconv.FormatInt(r.Searched, 10)},
	} {
		record.Headers = append(record.Headers, event.Header{Key: headerPrefix + h.name, Value: []byte(h.value)})
	}
	return record
}

// ReadRetry reads a record of the retry topic; ok is false for what is none, or is
// not in the partition of its user.
func ReadRetry(r *event.Record) (x Retry, ok bool) {
	fields, own := splitHeaders(r.Headers)
	partition, err1 := strconv.Atoi(fields["source.partition"])
	offset, err2 := strconv.ParseInt(fields["source.offset"], 10, 64)
	searched, err3 := strconv.ParseInt(fields["searched"], 10, 64)
	x = Retry{
		Destination: fields["destination"], Command: Command(fields["command"]),
		Source:     usync.Position{Topic: fields["source.topic"], Partition: partition, Offset: offset},
		SourceTime: parseTimestamp(fields["source.timestamp"]), Searched: searched,
		Key: r.Key, Value: r.Value, Headers: own,
	}
	ok = err1 == nil && err2 == nil && err3 == nil && offset >= 0 && searched > offset && partition == r.Partition &&
		x.Source.Topic != "" && x.Destination != "" && (x.Command == Replay || x.Command == Resync)
	return x, ok
}
