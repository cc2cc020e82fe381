package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"usersync/consumer"
	"usersync/consumer/event"
)

// Forget removes of a user what usersync keeps and can remove: what the state topic says.
// It records that nothing is to be done about the user's dead letters any more, and
// writes to w what Kafka still holds and until when, which nobody can remove by record.
// Nothing is removed while the workers have yet to deal with a record of the user: what
// they deliver they note again. The error says that, or that something remains.
func Forget(ctx context.Context, c *Config, user string, asJSON bool, w, said io.Writer) error {
	return forget(ctx, c, user, asJSON, w, said, network{})
}

func forget(ctx context.Context, c *Config, user string, asJSON bool, w, said io.Writer, n network) error {
	d, err := newDesk(c, "usersync-forget", said, n)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.open(ctx); err != nil {
		return err
	}
	if err := d.mayNote(ctx); err != nil {
		return err
	}
	x := &forgetting{desk: d, id: user, last: map[consumer.TopicPartition]int64{}, report: &forgetReport{User: d.user(user).String(), Remains: []remnant{}}}
	if x.keys, err = d.decoder(); err != nil {
		return err
	}
	if err := x.look(ctx); err != nil {
		return err
	}
	err = x.remove(ctx)
	if err := errors.Join(err, publish(w, asJSON, x.report)); err != nil { // what was removed is said all the same
		return err
	}
	if n := len(x.report.Remains); n > 0 {
		return fmt.Errorf("Kafka still holds records of the user in %d places, which no command can remove one by one", n)
	}
	return nil
}

// forgetting is one on its way.
type forgetting struct {
	*desk
	id      string
	keys    *event.Decoder
	sources []extent
	last    map[consumer.TopicPartition]int64 // the last record of the user in each partition that the workers read
	letters []consumer.ControlRecord          // that they are discarded
	report  *forgetReport
}

// look finds out what there is of the user. It asks all that an operator may not be
// allowed to ask, so that such an operator has removed nothing.
func (x *forgetting) look(ctx context.Context) error {
	found, err := x.find(ctx, x.id)
	if err != nil {
		return err
	}
	x.sources = found.extents
	maps.Copy(x.last, found.last)
	for _, topic := range x.config.Kafka.Topics { // each keeps its records in its own way
		if h, ok := found.topics[topic]; ok {
			if err := x.remains(ctx, topic, h); err != nil {
				return err
			}
		}
	}
	if err := x.findLetters(ctx); err != nil {
		return err
	}
	if err := x.findRetries(ctx); err != nil {
		return err
	}
	return x.settled(ctx)
}

// settled returns an error if the workers of a destination have yet to deal with a record
// of the user.
func (x *forgetting) settled(ctx context.Context) error {
	var problems []error
	for _, t := range x.targets {
		commits, err := x.committed(ctx, t.name, x.config.Kafka.fetched()...)
		if err != nil {
			return err
		}
		var waiting []string
		for tp, offset := range x.last {
			if commits[tp].Offset <= offset {
				waiting = append(waiting, fmt.Sprintf("%s/%d@%d", tp.Topic, tp.Partition, offset))
			}
		}
		if len(waiting) > 0 {
			slices.Sort(waiting)
			problems = append(problems, fmt.Errorf("%s: the workers have yet to deal with %s of the user, and would note the user again, so nothing was removed; explain says what they wait for, and then this can be repeated",
				t.name, strings.Join(waiting, ", ")))
		}
	}
	return errors.Join(problems...)
}

// remove removes what the state says, in each partition where it may say something, and
// records that the dead letters are discarded.
func (x *forgetting) remove(ctx context.Context) error {
	for i := range x.targets {
		state := x.state(i)
		if state == nil {
			break
		}
		for _, source := range x.sources {
			if err := state.Forget(ctx, source.TopicPartition, x.id); err != nil {
				return err
			}
			x.report.Forgotten++
		}
	}
	topic := x.config.Kafka.ControlTopic
	if topic == "" || len(x.letters) == 0 {
		return nil
	}
	if err := consumer.NewControlTopic(x.client, topic).Put(ctx, x.letters...); err != nil {
		return err
	}
	x.report.Discarded = len(x.letters)
	return nil
}

// findLetters lists the user's dead letters.
func (x *forgetting) findLetters(ctx context.Context) error {
	var last *consumer.DeadLetter
	err := x.readLetters(ctx, func(l *consumer.DeadLetter) {
		if userOf(x.keys, l) != x.id {
			return
		}
		tp := consumer.TopicPartition{Topic: l.At.Topic, Partition: l.At.Partition}
		x.letters = append(x.letters, consumer.Handled{TopicPartition: tp, Offset: l.At.Offset, At: time.Now().UTC(), How: consumer.HandledDiscarded, Written: l.Written})
		x.report.Letters = append(x.report.Letters, place(l.At))
		if last == nil || last.Written.Before(l.Written) {
			last = l
		}
	})
	if err != nil || last == nil {
		return err
	}
	slices.Sort(x.report.Letters)
	return x.remains(ctx, x.config.Kafka.DeadLetterTopic, holding{len(x.letters), last.At, last.Written})
}

// findRetries lists what the retry topic has of the user. It stays there after its turn.
func (x *forgetting) findRetries(ctx context.Context) error {
	topic := x.config.Kafka.RetryTopic
	if topic == "" {
		return nil
	}
	var h holding
	err := x.readEach(ctx, topic, func(r *event.Record) {
		if id, ok := x.keys.User(r.Key); !ok || id != x.id {
			return
		}
		x.last[consumer.TopicPartition{Topic: r.Topic, Partition: r.Partition}] = r.Offset
		h.add(positionOf(r), r.Time)
	})
	if err != nil || h.records == 0 {
		return err
	}
	return x.remains(ctx, topic, h)
}

// remains notes what a topic still holds.
func (x *forgetting) remains(ctx context.Context, topic string, h holding) error {
	kept, err := x.client.Cleanup(ctx, topic)
	if err != nil {
		return err
	}
	y := remnant{Topic: topic, Records: h.records, Newest: place(h.newest)}
	switch {
	case kept.Deletes && kept.Retention >= 0:
		until := h.written.Add(kept.Retention)
		y.Until, y.How = &until, "removed by age some time after that"
	case kept.Compacted:
		y.How = "stays until the row is deleted: the connector's tombstone then has it compacted away"
	default:
		y.How = "stays for ever: the topic removes nothing by age"
	}
	x.report.Remains = append(x.report.Remains, y)
	return nil
}

// forgetReport says what was removed, and what remains.
type forgetReport struct {
	User      string    `json:"user"`      // the hash
	Forgotten int       `json:"forgotten"` // places in the state where there is nothing of the user any more
	Letters   []string  `json:"dead_letters"`
	Discarded int       `json:"discarded"`
	Remains   []remnant `json:"remains"`
}

// remnant is what a topic still holds.
type remnant struct {
	Topic   string     `json:"topic"`
	Records int        `json:"records"`
	Newest  string     `json:"newest"`
	Until   *time.Time `json:"until,omitempty"`
	How     string     `json:"how"`
}

func (r *forgetReport) print(w io.Writer) {
	fmt.Fprintf(w, "user %s: removed from the state in %d places; %d dead letters, %d recorded as discarded\n", r.User, r.Forgotten, len(r.Letters), r.Discarded)
	for _, l := range r.Letters {
		fmt.Fprintf(w, "  dead letter %s\n", l)
	}
	for _, x := range r.Remains {
		until := ""
		if x.Until != nil {
			until = " until " + x.Until.UTC().Format(time.RFC3339) + ","
		}
		fmt.Fprintf(w, "topic %s still holds %d records, the newest %s:%s %s\n", x.Topic, x.Records, x.Newest, until, x.How)
	}
}
