package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"usersync/consumer"
	"usersync/consumer/event"
	usync "usersync/sync"
)

// ResyncOptions say whom to send again.
type ResyncOptions struct {
	User string // the ID; empty: all users, for which c must have one destination only
	// Resume is when an earlier resync of all users began, which this one goes on with;
	// zero: it begins anew.
	Resume time.Time
	DryRun bool
	JSON   bool
}

// Resync asks the workers to send the newest row of a user, or of all, to the
// destinations of c, whatever is known to be held there: somebody edited users at the
// vendor, or restored them. The workers keep to the rate limit, and a change that comes
// in later wins. No vendor is called from here.
//
// What was asked for goes to w. After an error some of it may have been; the error says
// how to go on.
func Resync(ctx context.Context, c *Config, o ResyncOptions, w, said io.Writer) error {
	return runResync(ctx, c, o, w, said, network{})
}

func runResync(ctx context.Context, c *Config, o ResyncOptions, w, said io.Writer, n network) error {
	if c.Kafka.RetryTopic == "" {
		return Problem{Key: "kafka.retry_topic", Text: "is not set, and it is how the workers are asked; name a topic with the partitions of the source, and restart the workers with it"}
	}
	d, err := newDesk(c, "usersync-resync", said, n)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.open(ctx); err != nil {
		return err
	}
	findings, err := consumer.CheckRetries(ctx, d.client, c.Kafka.Topics, c.Kafka.RetryTopic)
	if err != nil {
		return err
	}
	for _, f := range findings {
		if f.Severity == consumer.Error {
			return fmt.Errorf("kafka.retry_topic: topic %s: %s", f.Topic, f.Text)
		}
	}
	x := &resync{desk: d, options: o, report: &resyncReport{DryRun: o.DryRun, Since: time.Now().UTC().Truncate(time.Second)}}
	if !o.Resume.IsZero() {
		x.report.Since = o.Resume
	}
	if o.User != "" {
		err = x.one(ctx)
	} else {
		err = x.all(ctx)
	}
	if len(x.report.Destinations) > 0 { // what was asked for is said all the same
		err = errors.Join(err, publish(w, o.JSON, x.report))
	}
	return err
}

// resync is one on its way.
type resync struct {
	*desk
	options ResyncOptions
	report  *resyncReport
}

// one asks for one user.
func (x *resync) one(ctx context.Context) error {
	found, err := x.find(ctx, x.options.User)
	switch {
	case err != nil:
		return err
	case found.newest == nil:
		return found.nobody()
	}
	var problems []error
	for i := range x.targets {
		t := &x.targets[i]
		if err := sendable(t, found.newest); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", t.name, err))
			continue // the other one may well be sent the user
		}
		y := resyncDestination{Name: t.name, Users: 1}
		if !x.options.DryRun {
			if err := x.ask(ctx, t.name, &found.newest.record, found.newest.extent.end); err != nil {
				return errors.Join(append(problems, err)...)
			}
			y.Asked = 1
		}
		y.Effort = effort(y.Users, t.RateLimit)
		x.report.Destinations = append(x.report.Destinations, y)
	}
	return errors.Join(problems...)
}

// sendable returns why nothing can be sent to t of the newest record of a user.
func sendable(t *target, newest *sighting) error {
	e, err := newest.to(t)
	if err != nil {
		return fmt.Errorf("the newest record of the user cannot be decoded: %w", err)
	}
	payload, _, err := t.mapping.Payload(&e.Change)
	switch {
	case err != nil:
		return fmt.Errorf("the newest row has no payload: %w; change the mapping or the row", err)
	case payload.Body == nil:
		return errors.New("the newest change is a delete, and with deletes: skip nothing is sent for it")
	}
	return nil
}

// ask writes that a record is to be delivered. The source was read up to end, and has
// nothing newer of its user there.
func (x *resync) ask(ctx context.Context, destination string, r *event.Record, end int64) error {
	return x.client.WriteRetry(ctx, x.config.Kafka.RetryTopic, consumer.Retry{
		Destination: destination, Command: consumer.Resync,
		Source:     positionOf(r),
		SourceTime: r.Time, Searched: end, Key: r.Key, Value: r.Value, Headers: r.Headers,
	})
}

// all asks for every user who has a payload. The source is read twice: to know whose
// newest row is where, and for these rows.
func (x *resync) all(ctx context.Context) error {
	if len(x.targets) != 1 {
		return errors.New("all users are sent to one destination at a time; name it with --destination")
	}
	t := x.targets[0]
	c, err := take(ctx, x.desk, t.decoder, func(_ *event.Record, c *usync.Change) bool {
		if c == nil {
			return false
		}
		p, _, err := t.mapping.Payload(c)
		return err == nil && p.Body != nil
	})
	if err != nil {
		return err
	}
	before, err := x.asked(ctx, t.name)
	if err != nil {
		return err
	}
	y := resyncDestination{Name: t.name}
	wanted := make([]map[int64]struct{}, len(c.extents))
	for i := range wanted {
		wanted[i] = map[int64]struct{}{}
	}
	for _, n := range c.users {
		switch _, done := before[c.position(n)]; {
		case !n.mark:
			y.Nothing++
		case done:
			y.Before++
		default:
			wanted[n.extent][n.offset] = struct{}{}
			y.Users++
		}
	}
	y.Effort = effort(y.Users, t.RateLimit)
	fmt.Fprintf(x.said, "%s: %s\n", t.name, y.Effort)
	if err := x.fits(ctx, y.Users, t.RateLimit); err != nil {
		return err
	}
	if !x.options.DryRun {
		if y.Asked, err = x.askAll(ctx, t.name, c.extents, wanted); err != nil {
			return fmt.Errorf("%w; %d users were asked for before that, and --all --destination %s --resume %s goes on from here",
				err, y.Asked, t.name, x.report.Since.Format(time.RFC3339))
		}
	}
	x.report.Destinations = []resyncDestination{y}
	return nil
}

// askAll asks for the records at the wanted offsets of each extent, and returns for how
// many it did.
func (x *resync) askAll(ctx context.Context, destination string, extents []extent, wanted []map[int64]struct{}) (int, error) {
	fmt.Fprintf(x.said, "if this is interrupted: --all --destination %s --resume %s goes on from there\n", destination, x.report.Since.Format(time.RFC3339))
	var asked atomic.Int64
	err := x.read(ctx, extents, func(i int, r *event.Record) error {
		if _, ok := wanted[i][r.Offset]; !ok {
			return nil
		}
		if err := x.ask(ctx, destination, r, extents[i].end); err != nil {
			return err
		}
		asked.Add(1)
		return nil
	})
	return int(asked.Load()), err
}

// asked returns the records that an earlier resync has asked for, if this one goes on
// with it. The retry topic itself knows.
func (x *resync) asked(ctx context.Context, destination string) (map[usync.Position]struct{}, error) {
	if x.options.Resume.IsZero() {
		return nil, nil
	}
	before := map[usync.Position]struct{}{}
	return before, x.readEach(ctx, x.config.Kafka.RetryTopic, func(r *event.Record) {
		y, ok := consumer.ReadRetry(r)
		if ok && y.Destination == destination && y.Command == consumer.Resync && !r.Time.Before(x.options.Resume) {
			before[y.Source] = struct{}{}
		}
	})
}

// fits makes sure that nothing is removed from the retry topic before its turn.
func (x *resync) fits(ctx context.Context, calls int, rate float64) error {
	topic := x.config.Kafka.RetryTopic
	kept, err := x.client.Cleanup(ctx, topic)
	if err != nil {
		return err
	}
	if took := lasting(calls, rate); kept.Deletes && kept.Retention >= 0 && took > kept.Retention {
		return fmt.Errorf("kafka.retry_topic: topic %s keeps records for %s, and at the rate limit these calls take %s: the last would be removed before they are read; raise its retention.ms to %d or more",
			topic, kept.Retention, took, (2 * took).Milliseconds())
	}
	return nil
}
