package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"usersync/consumer"
	"usersync/consumer/event"
	usync "usersync/sync"
)

// ExplainOptions say whom an explanation is about and what it may show.
type ExplainOptions struct {
	User       string   // the ID
	Metrics    []string // URLs of the workers' /metrics; empty: they are not asked
	ShowValues bool     // personal data
	JSON       bool
}

// Explain writes to w why each destination of c holds, or does not hold, what the newest
// row of a user says. Nothing is changed and no vendor is called. The error is about
// what could not be read.
func Explain(ctx context.Context, c *Config, o ExplainOptions, w, said io.Writer) error {
	return explain(ctx, c, o, w, said, network{})
}

func explain(ctx context.Context, c *Config, o ExplainOptions, w, said io.Writer, n network) error {
	d, err := newDesk(c, "usersync-explain", said, n)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.open(ctx); err != nil {
		return err
	}
	x := &explanation{desk: d, options: o, controls: new(consumer.Controls)}
	r, err := x.run(ctx, n)
	if err != nil {
		return err
	}
	return publish(w, o.JSON, r)
}

// explanation is one on its way.
type explanation struct {
	*desk
	options  ExplainOptions
	found    *search
	letters  []explainLetter
	controls *consumer.Controls
	lanes    []laneView
}

func (x *explanation) run(ctx context.Context, n network) (*explainReport, error) {
	var err error
	if x.found, err = x.find(ctx, x.options.User); err != nil {
		return nil, err
	}
	if x.found.newest == nil {
		return x.withoutRow(ctx)
	}
	commits := make([]consumer.Committed, len(x.targets))
	for i, t := range x.targets {
		all, err := x.committed(ctx, t.name, x.config.Kafka.Topics...)
		if err != nil {
			return nil, err
		}
		commits[i] = all[x.found.newest.extent.TopicPartition]
	}
	if topic := x.config.Kafka.ControlTopic; topic != "" {
		if x.controls, err = consumer.NewControlTopic(x.client, topic).Read(ctx); err != nil {
			return nil, err
		}
	}
	if err := x.findLetters(ctx); err != nil {
		return nil, err
	}
	if x.lanes, err = lanesOf(ctx, x.options.Metrics, x.said, n); err != nil {
		return nil, err
	}
	r := x.newReport()
	for i := range x.targets {
		y, err := x.destination(ctx, i, commits[i])
		if err != nil {
			return nil, err
		}
		r.Destinations = append(r.Destinations, *y)
	}
	return r, nil
}

// findLetters looks for the user's dead letters: those with the user's key, and those of
// the newest change.
func (x *explanation) findLetters(ctx context.Context) error {
	decoder, err := x.decoder()
	if err != nil {
		return err
	}
	return x.readLetters(ctx, func(l *consumer.DeadLetter) {
		newest := l.Source == x.found.newest.position()
		if userOf(decoder, l) != x.options.User && !newest {
			return
		}
		how := "open"
		if h, ok := x.controls.Handled(consumer.TopicPartition{Topic: l.At.Topic, Partition: l.At.Partition}, l.At.Offset, l.Written); ok {
			how = h.How
		}
		x.letters = append(x.letters, explainLetter{
			At: place(l.At), Source: place(l.Source), Destination: l.Destination, Newest: newest,
			FailedAt: l.FailedAt, Reason: l.Reason, Error: l.Error, Attempts: l.Attempts, Status: how,
		})
	})
}

// destination explains one.
func (x *explanation) destination(ctx context.Context, i int, commit consumer.Committed) (*explainDestination, error) {
	t, newest := &x.targets[i], x.found.newest
	y := &explainDestination{Name: t.name, Committed: commit.Offset, Letters: []explainLetter{}}
	e, undecodable := newest.to(t)
	f := facts{op: e.Change.Op, offset: newest.record.Offset, end: newest.extent.end, settled: newest.record.Offset < commit.Offset}
	for _, l := range x.letters {
		if l.Destination == t.name {
			y.Letters = append(y.Letters, l)
			f.letter = f.letter || l.Newest
		}
	}
	var body []byte
	if undecodable != nil {
		f.op, y.Invalid = unreadable, undecodable.Error() // code and field
	} else {
		payload, omitted, err := t.mapping.Payload(&e.Change)
		y.wouldSend(payload.Body, omitted, err, x.options.ShowValues)
		body, f.mapped, f.incomplete = payload.Body, payload.Body != nil, usync.Partial(omitted, err)
	}
	v, err := x.held(ctx, i, y, &f, commit, body)
	if err != nil {
		return nil, err
	}
	y.Verdict, y.cause = f.judge(v), v.Cause
	if y.Retry, err = x.retry(ctx, t.name); err != nil {
		return nil, err
	}
	members, err := x.client.Members(ctx, x.config.Kafka.group(t.name))
	if ignoreAccess(err) != nil {
		return nil, err
	} else if err != nil {
		members = -1
	}
	y.Members = members
	y.Because = x.because(y)
	return y, nil
}

// retry returns what the retry topic says of the newest change to a destination and its
// group has not settled yet, nil if that is nothing or cannot be read.
func (x *explanation) retry(ctx context.Context, destination string) (*explainRetry, error) {
	newest := x.found.newest.position()
	tp := consumer.TopicPartition{Topic: x.config.Kafka.RetryTopic, Partition: newest.Partition}
	if tp.Topic == "" {
		return nil, nil
	}
	topics, err := x.client.Metadata(ctx, []string{tp.Topic})
	if err != nil || len(topics[tp.Topic]) <= tp.Partition {
		return nil, ignoreAccess(err)
	}
	start, end, err := x.client.Bounds(ctx, tp)
	if err != nil {
		return nil, ignoreAccess(err)
	}
	commits, err := x.client.CommitsOf(ctx, x.config.Kafka.group(destination), map[string][]int{tp.Topic: {tp.Partition}})
	if err != nil {
		return nil, err
	}
	commit := commits[tp]
	if commit.Err != nil {
		return nil, fmt.Errorf("commit of %s/%d: %w", tp.Topic, tp.Partition, commit.Err)
	}
	var found *explainRetry
	err = x.client.Scan(ctx, tp, max(start, commit.Offset), end, func(r *event.Record) error {
		if y, ok := consumer.ReadRetry(r); ok && y.Destination == destination && y.Source == newest && !commit.Settled(r.Offset) {
			found = &explainRetry{At: place(positionOf(r)), Command: string(y.Command), Asked: r.Time}
		}
		return nil
	})
	return found, ignoreAccess(err)
}

// ignoreAccess returns err unless it says that the operator may not look there: then the
// rest is explained all the same.
func ignoreAccess(err error) error {
	if _, forbidden := errors.AsType[*consumer.AccessError](err); forbidden {
		return nil
	}
	return err
}

// held asks the state what the destination i holds, notes it in y, and fills in f. body is
// what would be sent now.
func (x *explanation) held(ctx context.Context, i int, y *explainDestination, f *facts, commit consumer.Committed, body []byte) (usync.Version, error) {
	state := x.state(i)
	if state == nil {
		return usync.Version{}, nil
	}
	f.kept = true
	if f.mapped {
		f.print = state.Fingerprint(body)
	}
	k, proven, err := state.Find(ctx, x.found.newest.extent.TopicPartition, commit.Metadata, x.options.User)
	v := k.Version
	switch {
	case err != nil:
		return v, err
	case !proven:
		y.Held = "nothing is believed: the state is not the one that the last commit certifies, or has hashes of another privacy.hash_key"
	case v.Status == usync.Held && f.mapped && v.Print == f.print:
		y.Held = fmt.Sprintf("what would be sent now, as of offset %d, noted %s", v.Offset, when(k.Written))
	case f.filled(v):
		y.Held = fmt.Sprintf("the newest change, as of offset %d, noted %s; its row leaves values out, so what was sent is not known here", v.Offset, when(k.Written))
	case v.Status == usync.Held:
		y.Held = fmt.Sprintf("something else than what would be sent now, as of offset %d, noted %s", v.Offset, when(k.Written))
	case v.Status == usync.Deleted:
		y.Held = fmt.Sprintf("deleted as of offset %d, noted %s", v.Offset, when(k.Written))
	case v.Status == usync.Unknown:
		y.Held = fmt.Sprintf("not known since offset %d (%s), noted %s", v.Offset, cmp.Or(v.Cause, "no cause"), when(k.Written))
	default:
		y.Held = "nothing is known"
	}
	return v, nil
}

// wouldSend notes what the mapping gives for the newest row now.
func (y *explainDestination) wouldSend(body []byte, omitted []usync.Omission, err error, values bool) {
	if err != nil {
		y.Invalid = err.Error() // code and field
	}
	if body == nil {
		return
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(body, &fields) // the mapping wrote it
	y.Fields = slices.Sorted(maps.Keys(fields))
	if values {
		y.Values = body
	}
	for _, o := range omitted {
		y.Omitted = append(y.Omitted, o.Field+" ("+o.Reason+")")
	}
}

// newReport is what is not about one destination.
func (x *explanation) newReport() *explainReport {
	n := x.found.newest
	r := &explainReport{
		User: x.user(x.options.User).String(), Records: x.found.records(), Several: len(x.found.last) > 1,
		Newest: &explainChange{At: place(n.position()), Written: n.record.Time, Op: n.event.Op, Fields: []string{}},
	}
	e, err := n.event, n.err
	for i := 0; err != nil && i < len(x.targets); i++ {
		e, err = n.to(&x.targets[i])
	}
	if err != nil {
		r.Newest.Undecodable = n.err.Error() // code and field
		return r
	}
	r.Newest.Op = e.Op
	if source := e.Change.Source; !source.IsZero() {
		r.Newest.Source = &source
	}
	for name := range e.Change.Columns.All() {
		r.Newest.Fields = append(r.Newest.Fields, name)
	}
	if x.options.ShowValues {
		r.Newest.Row = string(n.record.Value)
	}
	return r
}

// age is how long ago something was, for people.
func age(t time.Time) string { return time.Since(t).Truncate(time.Second).String() }
