package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/consumer/event"
	usync "usersync/sync"
)

const headerPrefix = "usersync."

// form says what the value of a dead letter is.
type form string

const (
	formOriginal  form = "original"  // the record, as it was: has no form header
	formColumns   form = "columns"   // the mapped columns, as a JSON object
	formReference form = "reference" // null: nothing but where to look
)

// letter is a change that is given up, with all that is known of it.
type letter struct {
	Position    usync.Position
	Destination string
	Reason      string // from a bounded set: "rejected", "undecodable", ...
	Code, Field string // constants, never text of an answer
	Attempts    int
	FailedAt    time.Time
	SourceTime  time.Time // when the source committed the change; zero: unknown
	Key         []byte    // stands in for the record's, if that is gone
	Columns     usync.Columns
}

// deadLetters writes to the dead-letter topic. Its methods may be called from
// several goroutines.
type deadLetters struct {
	client  *Client
	topic   string
	version string // of this program
}

// write puts l into the dead-letter topic and returns nil once all replicas that
// are in sync have it. After an error it may be there or not: whoever calls write
// again accepts a duplicate. No error carries anything of the record.
//
// The value is the record as it was, read again by its position. If that is gone
// or larger than the topic allows, it is the columns that were kept of it, and if
// these are too large as well, or there are none, null: the position in the
// headers then leads to the record, for as long as the source topic has it. The
// lesser forms leave out the record's own headers, which may be what is too large.
// The key is kept unless not even that fits.
func (d *deadLetters) write(ctx context.Context, l letter) error {
	original, err := d.client.refetch(ctx, l.Position.Topic, l.Position.Partition, l.Position.Offset)
	if err != nil && !errors.Is(err, errRecordGone) {
		return fmt.Errorf("dead letter for %s: reading the record again: %w", at(l.Position), err)
	}
	return d.put(ctx, draft{l, original})
}

// draft is a letter with the record that it is about, nil if that is gone.
type draft struct {
	letter
	original *event.Record
}

// put writes one letter, in the best form that fits.
func (d *deadLetters) put(ctx context.Context, x draft) error {
	var err error
	for _, r := range d.forms(x.letter, x.original) {
		var ids []int
		if ids, err = d.partitions(ctx); err == nil {
			_, err = d.client.produce(ctx, TopicPartition{d.topic, partitionOf(r.Key, ids)}, r)
		}
		if !tooLarge(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("dead letter for %s: %w", at(x.Position), err)
	}
	return nil
}

// putAll writes letters with one request for each partition of the topic that they
// go to. After an error any of them may be there or not, see write.
func (d *deadLetters) putAll(ctx context.Context, list []draft) error {
	ids, err := d.partitions(ctx)
	if err != nil {
		return fmt.Errorf("dead letters from %s on: %w", at(list[0].Position), err)
	}
	byPartition := map[int][]draft{}
	for _, x := range list {
		key := x.Key
		if x.original != nil {
			key = x.original.Key
		}
		id := partitionOf(key, ids)
		byPartition[id] = append(byPartition[id], x)
	}
	for id, some := range byPartition {
		if err := d.putTogether(ctx, id, some); err != nil {
			return err
		}
	}
	return nil
}

// putTogether writes letters to one partition, in halves when they are too large for
// one batch.
func (d *deadLetters) putTogether(ctx context.Context, id int, list []draft) error {
	if len(list) == 1 {
		return d.put(ctx, list[0])
	}
	best := make([]event.Record, len(list))
	for i, x := range list {
		best[i] = d.forms(x.letter, x.original)[0]
	}
	_, err := d.client.produce(ctx, TopicPartition{d.topic, id}, best...)
	if tooLarge(err) {
		half := len(list) / 2
		if err := d.putTogether(ctx, id, list[:half]); err != nil {
			return err
		}
		return d.putTogether(ctx, id, list[half:])
	}
	if err != nil {
		return fmt.Errorf("dead letters from %s on: %w", at(list[0].Position), err)
	}
	return nil
}

func tooLarge(err error) bool {
	return errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge)
}

func at(p usync.Position) string { return fmt.Sprintf("%s/%d@%d", p.Topic, p.Partition, p.Offset) }

// forms returns what may be written for l, best first. original is nil if the
// record is gone.
func (d *deadLetters) forms(l letter, original *event.Record) []event.Record {
	var list []event.Record
	if original != nil {
		if l.SourceTime.IsZero() {
			l.SourceTime = original.Time
		}
		l.Key = original.Key
		r := event.Record{Key: original.Key, Value: original.Value}
		for _, h := range original.Headers {
			// A record that was a dead letter before and was put back still has
			// these. Two of a name would leave a reader to guess.
			if !strings.HasPrefix(h.Key, headerPrefix) {
				r.Headers = append(r.Headers, h)
			}
		}
		r.Headers = append(r.Headers, d.headers(l, formOriginal)...)
		list = append(list, r)
	}
	if columns := encodeColumns(l.Columns); columns != nil {
		list = append(list, event.Record{Key: l.Key, Value: columns, Headers: d.headers(l, formColumns)})
	}
	reference := event.Record{Key: l.Key, Headers: d.headers(l, formReference)}
	bare := event.Record{Headers: reference.Headers}
	return append(list, reference, bare)
}

// encodeColumns returns the columns as JSON, or nil if there are none. A column
// whose value was not available is left out: null would say that it was NULL.
func encodeColumns(columns usync.Columns) []byte {
	if columns.Len() == 0 {
		return nil
	}
	known := make(map[string]any, columns.Len())
	for name, v := range columns.All() {
		if _, unavailable := v.(usync.Unavailable); !unavailable {
			known[name] = v
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(known) != nil {
		return nil // an impossible value; what is left is the reference
	}
	return bytes.TrimSpace(b.Bytes())
}

func (d *deadLetters) headers(l letter, f form) []event.Header {
	code := l.Code
	if l.Field != "" {
		code += " (field " + l.Field + ")"
	}
	fields := []struct{ name, value string }{
		{"destination", l.Destination},
		{"reason", l.Reason},
		{"error", code},
		{"source.topic", l.Position.Topic},
		{"source.partition", strconv.Itoa(l.Position.Partition)},
		{"source.offset", strconv.FormatInt(l.Position.Offset, 10)},
		{"source.timestamp", timestamp(l.SourceTime)},
		{"attempts", strconv.Itoa(l.Attempts)},
		{"failed_at", timestamp(l.FailedAt)},
		{"version", d.version},
	}
	if f != formOriginal {
		fields = append(fields, struct{ name, value string }{"form", string(f)})
	}
	headers := make([]event.Header, len(fields))
	for i, h := range fields {
		headers[i] = event.Header{Key: headerPrefix + h.name, Value: []byte(h.value)}
	}
	return headers
}

const timestampLayout = "2006-01-02T15:04:05.000Z07:00"

func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timestampLayout)
}

// partitions returns the partitions of the topic, which is not created if it is
// missing.
func (d *deadLetters) partitions(ctx context.Context) ([]int, error) {
	found, err := d.client.Metadata(ctx, []string{d.topic})
	if err != nil {
		return nil, err
	}
	if len(found[d.topic]) == 0 {
		return nil, fmt.Errorf("topic %q: %w", d.topic, kafka.UnknownTopicOrPartition)
	}
	ids := make([]int, len(found[d.topic]))
	for i, p := range found[d.topic] {
		ids[i] = p.ID
	}
	return ids, nil
}

// partitionOf is the partition that a Java producer would choose: all letters of a
// user stay in order, whoever else writes to the topic.
func partitionOf(key []byte, ids []int) int {
	return kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: key}, ids...)
}
