package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"usersync/consumer"
	"usersync/consumer/event"
)

// LetterFilter says which dead letters a command is about: those for which all that is
// set holds.
type LetterFilter struct {
	IDs          []string // PARTITION/OFFSET in the dead-letter topic, with or without its name before it
	Destination  string
	Reason       string
	User         string // the ID, as it is in the database
	Status       string // open, replayed or discarded
	Since, Until time.Time
	// Again: of those that IDs name, what was replayed before is replayed once more.
	Again bool
}

// The statuses of a letter.
const (
	letterOpen      = "open"
	letterReplayed  = consumer.HandledReplayed
	letterDiscarded = consumer.HandledDiscarded
)

// deadLetter is a letter with what is known of it now.
type deadLetter struct {
	ID          string     `json:"id"`
	Destination string     `json:"destination"`
	Reason      string     `json:"reason"`
	Error       string     `json:"error"`
	Topic       string     `json:"source_topic"`
	Partition   int        `json:"source_partition"`
	Offset      int64      `json:"source_offset"`
	User        string     `json:"user,omitempty"` // its hash; empty: the key names none
	FailedAt    time.Time  `json:"failed_at"`
	Attempts    int        `json:"attempts"`
	Form        string     `json:"form"`
	Status      string     `json:"status"`
	HandledAt   *time.Time `json:"handled_at,omitempty"`
	// Superseded: the source has a newer change of the user.
	Superseded bool `json:"superseded"`
	// Gone: the source no longer has the letter's record.
	Gone bool `json:"gone"`

	letter   consumer.DeadLetter // without key and value
	sum      uint64              // of key and value
	user     string
	bad      string    // why the record cannot be decoded still
	searched int64     // up to where the source was searched for something newer; 0: it was not
	written  time.Time // when its record was, by the source topic's clock
}

func (l *deadLetter) at() consumer.TopicPartition {
	return consumer.TopicPartition{Topic: l.letter.At.Topic, Partition: l.letter.At.Partition}
}

func (l *deadLetter) source() consumer.TopicPartition {
	return consumer.TopicPartition{Topic: l.Topic, Partition: l.Partition}
}

// letterFile is what the dead-letter topic and the control topic say together.
type letterFile struct {
	*desk
	control  *consumer.ControlTopic // nil: there is none
	handled  *consumer.Controls
	decoders map[string]*event.Decoder // by destination
	keys     *event.Decoder
	letters  []*deadLetter            // by time
	repeats  bool                     // what was replayed before may be replayed once more
	strange  int                      // records that are no dead letters
	outlived []consumer.ControlRecord // what was done with letters that are gone
}

// openLetters connects and reads the letters that filter lets through.
func openLetters(ctx context.Context, c *Config, filter LetterFilter, said io.Writer, n network) (*letterFile, error) {
	ids, err := filter.ids(c.Kafka.DeadLetterTopic)
	if err != nil {
		return nil, err
	}
	d, err := newDesk(c, "usersync-dead-letters", said, n)
	if err != nil {
		return nil, err
	}
	f := &letterFile{desk: d, decoders: map[string]*event.Decoder{}, keys: d.targets[0].decoder, repeats: filter.Again}
	for _, t := range d.targets {
		f.decoders[t.name] = t.decoder
	}
	if err := f.read(ctx, filter, ids); err != nil {
		d.close()
		return nil, err
	}
	return f, nil
}

// ids returns the places that the filter names. The error is a Problem.
func (x LetterFilter) ids(topic string) (map[consumer.TopicPartition][]int64, error) {
	ids := map[consumer.TopicPartition][]int64{}
	for _, id := range x.IDs {
		words := strings.Split(strings.TrimPrefix(id, topic+"/"), "/")
		if len(words) == 2 {
			partition, err1 := strconv.Atoi(words[0])
			offset, err2 := strconv.ParseInt(words[1], 10, 64)
			if err1 == nil && err2 == nil && partition >= 0 && offset >= 0 {
				tp := consumer.TopicPartition{Topic: topic, Partition: partition}
				if !slices.Contains(ids[tp], offset) {
					ids[tp] = append(ids[tp], offset)
				}
				continue
			}
		}
		return nil, Problem{Text: fmt.Sprintf("%q is no dead letter: give PARTITION/OFFSET, as dead-letters list shows it, or %s/PARTITION/OFFSET", id, topic)}
	}
	return ids, nil
}

func (f *letterFile) read(ctx context.Context, filter LetterFilter, ids map[consumer.TopicPartition][]int64) error {
	if err := f.open(ctx); err != nil {
		return err
	}
	if topic := f.config.Kafka.ControlTopic; topic != "" {
		f.control = consumer.NewControlTopic(f.client, topic)
		var err error
		if f.handled, err = f.control.Read(ctx); err != nil {
			return err
		}
	}
	extents, err := f.extents(ctx, f.config.Kafka.DeadLetterTopic)
	if err != nil {
		return err
	}
	f.outlived = outlived(f.handled.HandledIn(f.config.Kafka.DeadLetterTopic), extents)
	if len(ids) > 0 {
		if extents, err = pick(extents, ids); err != nil {
			return err
		}
	}
	p := startProgress(f.said, "reading "+f.config.Kafka.DeadLetterTopic, length(extents))
	defer p.stop()
	for _, x := range extents {
		err := f.client.Scan(ctx, x.TopicPartition, x.start, x.end, func(r *event.Record) error {
			p.add(1, 1)
			f.add(r, filter)
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(f.letters, func(a, b *deadLetter) int {
		return cmp.Or(a.letter.Written.Compare(b.letter.Written), cmp.Compare(a.letter.At.Partition, b.letter.At.Partition), cmp.Compare(a.letter.At.Offset, b.letter.At.Offset))
	})
	if missing := f.missing(ids); len(missing) > 0 {
		return fmt.Errorf("dead letter %s: the topic has no dead letter there any more, or it is not what the other flags ask for; dead-letters list shows what there is", strings.Join(missing, ", "))
	}
	return nil
}

// missing returns which of the letters that were named were not found.
func (f *letterFile) missing(ids map[consumer.TopicPartition][]int64) []string {
	var missing []string
	for tp, offsets := range ids {
		for _, offset := range offsets {
			if !slices.ContainsFunc(f.letters, func(l *deadLetter) bool { return l.at() == tp && l.letter.At.Offset == offset }) {
				missing = append(missing, fmt.Sprintf("%d/%d", tp.Partition, offset))
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// outlived returns those of handled whose letters are not in the dead-letter topic any
// more: retention has removed them, or the topic was made anew and is shorter now.
func outlived(handled []consumer.Handled, extents []extent) []consumer.ControlRecord {
	var gone []consumer.ControlRecord
	for _, h := range handled {
		if !slices.ContainsFunc(extents, func(x extent) bool {
			return x.TopicPartition == h.TopicPartition && x.start <= h.Offset && h.Offset < x.end
		}) {
			gone = append(gone, h)
		}
	}
	return gone
}

// pick returns an extent of one record for each of ids.
func pick(extents []extent, ids map[consumer.TopicPartition][]int64) ([]extent, error) {
	for tp := range ids {
		if !slices.ContainsFunc(extents, func(x extent) bool { return x.TopicPartition == tp }) {
			return nil, fmt.Errorf("topic %s has no partition %d", tp.Topic, tp.Partition)
		}
	}
	var list []extent
	for _, x := range extents {
		for _, offset := range ids[x.TopicPartition] {
			if offset < x.start || offset >= x.end {
				return nil, fmt.Errorf("dead letter %d/%d is not in topic %s: partition %[1]d has offsets from %[4]d up to %[5]d", x.Partition, offset, x.Topic, x.start, x.end-1)
			}
			list = append(list, extent{x.TopicPartition, offset, offset + 1})
		}
	}
	return list, nil
}

// add takes in a record of the dead-letter topic.
func (f *letterFile) add(r *event.Record, filter LetterFilter) {
	x, ok := consumer.ReadDeadLetter(r)
	if !ok {
		f.strange++
		return
	}
	l := &deadLetter{
		ID: fmt.Sprintf("%d/%d", r.Partition, r.Offset), Destination: x.Destination, Reason: x.Reason, Error: x.Error,
		Topic: x.Source.Topic, Partition: x.Source.Partition, Offset: x.Source.Offset,
		FailedAt: x.FailedAt, Attempts: x.Attempts, Form: x.Form, Status: letterOpen, letter: x,
	}
	if l.user = userOf(f.keys, &x); l.user != "" {
		l.User = f.user(l.user).String()
	}
	if h, ok := f.handled.Handled(l.at(), r.Offset, r.Time); ok {
		l.Status, l.HandledAt = h.How, &h.At
	}
	if !filter.matches(l) {
		return
	}
	if d := f.decoders[l.Destination]; d != nil && x.Original {
		l.bad = undecodable(d, original(&x))
	}
	l.sum = sumOf(x.Key, x.Value)
	l.letter.Key, l.letter.Value, l.letter.Headers = nil, nil, nil
	f.letters = append(f.letters, l)
}

// original is the record that was given up.
func original(x *consumer.DeadLetter) *event.Record {
	return &event.Record{
		Topic: x.Source.Topic, Partition: x.Source.Partition, Offset: x.Source.Offset,
		Time: x.SourceTime, Key: x.Key, Value: x.Value, Headers: x.Headers,
	}
}

// undecodable returns the code of what keeps r from being decoded, empty for nothing.
func undecodable(d *event.Decoder, r *event.Record) string {
	_, err := d.Decode(r)
	if e, ok := errors.AsType[*event.Error](err); ok {
		return e.Code + " (" + e.Field + ")"
	}
	return ""
}

func (x LetterFilter) matches(l *deadLetter) bool {
	when := l.FailedAt
	if when.IsZero() {
		when = l.letter.Written
	}
	return (x.Destination == "" || x.Destination == l.Destination) &&
		(x.Reason == "" || x.Reason == l.Reason) &&
		(x.User == "" || x.User == l.user) &&
		(x.Status == "" || x.Status == l.Status) &&
		(x.Since.IsZero() || !when.Before(x.Since)) &&
		(x.Until.IsZero() || when.Before(x.Until))
}
