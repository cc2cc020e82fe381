package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"usersync/consumer"
	"usersync/consumer/event"
	usync "usersync/sync"
)

// AuditOptions say what an audit looks at and what it tells.
type AuditOptions struct {
	// Snapshot is when a snapshot of the whole table began, after which every row has a
	// record that is not older: a user without one is deleted. Zero: there was none.
	Snapshot time.Time
	ShowIDs  bool // users in clear, and not as hashes
	Limit    int  // of the users to list for each destination; 0: all
	JSON     bool
}

// Audit finds out of each user whether each destination of c holds what the newest row
// says, as far as Kafka knows, and writes to w what it found. Nothing is changed and no
// vendor is called. The error says how many users are not in sync, or what could not
// be read.
func Audit(ctx context.Context, c *Config, o AuditOptions, w, said io.Writer) error {
	return runAudit(ctx, c, o, w, said, network{})
}

func runAudit(ctx context.Context, c *Config, o AuditOptions, w, said io.Writer, n network) error {
	d, err := newDesk(c, "usersync-audit", said, n)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.open(ctx); err != nil {
		return err
	}
	a := &audit{desk: d, options: o, states: make([]*consumer.StateReader, len(d.targets))}
	for i := range a.states {
		a.states[i] = d.state(i)
	}
	r, err := a.run(ctx)
	if err != nil {
		return err
	}
	if err := publish(w, o.JSON, r); err != nil {
		return err
	}
	if r.wrong > 0 {
		return fmt.Errorf("%s users are not in sync, or it cannot be told", grouped(int64(r.wrong)))
	}
	return nil
}

// audit is one on its way. What it compares is read in this order: the source, the
// commits, the letters, the state. Whatever is below a commit was settled before that was made, so
// that what came of it is found in what is read afterwards.
type audit struct {
	*desk
	options AuditOptions
	rows    *census[auditMark]
	letters letterIndex
	states  []*consumer.StateReader // one for each destination; nil where it is not kept
}

// auditMark is what an audit keeps of a row: what each destination would be sent now.
type auditMark struct {
	op         [2]usync.Op // or unreadable
	print      [2]usync.Fingerprint
	mapped     [2]bool
	incomplete [2]bool
	seen       [2]bool // judged already, by what the state says
}

func (a *audit) run(ctx context.Context) (*auditReport, error) {
	decoder, err := a.decoder()
	if err != nil {
		return nil, err
	}
	if a.rows, err = take(ctx, a.desk, decoder, a.mark); err != nil {
		return nil, err
	}
	commits := make([]map[consumer.TopicPartition]consumer.Committed, len(a.targets))
	for i, t := range a.targets {
		if commits[i], err = a.committed(ctx, t.name, a.config.Kafka.Topics...); err != nil {
			return nil, err
		}
	}
	if a.letters, err = a.indexLetters(ctx); err != nil {
		return nil, err
	}
	r := a.newReport()
	for i := range a.targets {
		found, err := a.examine(ctx, i, commits[i])
		if err != nil {
			return nil, err
		}
		if err := a.list(ctx, decoder, found); err != nil {
			return nil, err
		}
		r.add(found)
	}
	return r, nil
}

// decoder keeps the columns of all destinations.
func (d *desk) decoder() (*event.Decoder, error) {
	var columns []string
	for _, t := range d.targets {
		columns = append(columns, t.mapping.Columns()...)
	}
	return d.config.Events.decoder(columns)
}

// mark maps a change for each destination.
func (a *audit) mark(r *event.Record, all *usync.Change) auditMark {
	var m auditMark
	for i := range a.targets {
		t, c := &a.targets[i], all
		if c == nil { // a column may be at fault that this destination does not use
			e, err := t.decoder.Decode(r)
			if err != nil {
				continue
			}
			c = &e.Change
		}
		p, omitted, err := t.mapping.Payload(c)
		m.op[i] = c.Op
		m.mapped[i] = err == nil && p.Body != nil
		m.incomplete[i] = usync.Partial(omitted, err)
		if a.states[i] != nil && m.mapped[i] {
			m.print[i] = a.states[i].Fingerprint(p.Body)
		}
	}
	return m
}

// committed returns what the group of a destination has committed of each partition of
// topics; an offset of -1 is nothing.
func (d *desk) committed(ctx context.Context, destination string, topics ...string) (map[consumer.TopicPartition]consumer.Committed, error) {
	found, err := d.client.Metadata(ctx, topics)
	if err != nil {
		return nil, err
	}
	ids := map[string][]int{}
	for topic, partitions := range found {
		for _, p := range partitions {
			ids[topic] = append(ids[topic], p.ID)
		}
	}
	group := d.config.Kafka.group(destination)
	commits, err := d.client.CommitsOf(ctx, group, ids)
	if err != nil {
		return nil, err
	}
	offsets := map[consumer.TopicPartition]consumer.Committed{}
	for topic, partitions := range ids {
		for _, p := range partitions {
			tp := consumer.TopicPartition{Topic: topic, Partition: p}
			commit, ok := commits[tp]
			if !ok {
				commit.Offset = -1
			}
			if commit.Err != nil {
				return nil, fmt.Errorf("commit of group %s for %s/%d: %w", group, topic, p, commit.Err)
			}
			offsets[tp] = commit
		}
	}
	return offsets, nil
}

// letterKey names a change that was given up.
type letterKey struct {
	destination string
	at          usync.Position
}

// letterIndex says which changes the dead-letter topic has, each with why.
type letterIndex map[letterKey]string

// indexLetters reads the dead-letter topic.
func (d *desk) indexLetters(ctx context.Context) (letterIndex, error) {
	all := letterIndex{}
	err := d.readLetters(ctx, func(l *consumer.DeadLetter) {
		all[letterKey{l.Destination, l.Source}] = l.Reason
	})
	return all, err
}

// finding is what an audit says of one destination.
type finding struct {
	target *target
	counts map[verdict]int
	users  []auditUser // not as they should be, and not all if there is a limit
	limit  int
	// unproven are partitions whose state nobody believes.
	unproven []consumer.TopicPartition
}

// examine judges every user of one destination: those of whom the state says something,
// partition by partition, and then the others.
func (a *audit) examine(ctx context.Context, i int, commits map[consumer.TopicPartition]consumer.Committed) (*finding, error) {
	found := &finding{target: &a.targets[i], counts: map[verdict]int{}, limit: a.options.Limit}
	tell := func(user userKey, n newest[auditMark], v usync.Version) {
		at := a.rows.position(n)
		found.add(user, at, a.facts(i, n, commits).judge(v), a.letters[letterKey{found.target.name, at}])
	}
	for e, x := range a.rows.extents {
		if a.states[i] == nil {
			break
		}
		lost, err := a.loses(ctx, x)
		if err != nil {
			return nil, err
		}
		proven, err := a.states[i].Read(ctx, x.TopicPartition, commits[x.TopicPartition].Metadata, func(k consumer.Known) {
			user := userKey(k.User)
			switch n, ok := a.rows.users[user]; {
			case ok && int(n.extent) == e:
				n.mark.seen[i] = true
				a.rows.users[user] = n
				tell(user, n, k.Version)
			case !ok && k.Version.Status == usync.Held && k.Version.Offset < x.end:
				found.add(user, usync.Position{}, lost, "")
			}
		})
		if err != nil {
			return nil, err
		}
		if !proven {
			found.unproven = append(found.unproven, x.TopicPartition)
		}
	}
	for user, n := range a.rows.users {
		if !n.mark.seen[i] {
			tell(user, n, usync.Version{})
		}
	}
	return found, nil
}

// loses is the verdict on users of a partition who have no record there any more.
func (d *desk) loses(ctx context.Context, x extent) (verdict, error) {
	kept, err := d.client.Cleanup(ctx, x.Topic)
	if err != nil {
		return "", err
	}
	if kept.Deletes && x.start > 0 {
		return aged, nil
	}
	return orphaned, nil
}

// state returns the reader of what the destination i is known to hold, nil if that is
// not kept.
func (d *desk) state(i int) *consumer.StateReader {
	t := d.targets[i]
	if d.config.Kafka.StateTopic == "" {
		return nil
	}
	cfg := consumer.StateConfig{Topic: d.config.Kafka.StateTopic, Key: d.hashKey, BaseURL: t.BaseURL, Epoch: t.StateEpoch}
	return consumer.NewStateReader(d.client, cfg, d.config.Kafka.group(t.name))
}

// facts are those of a user at the destination i.
func (a *audit) facts(i int, n newest[auditMark], commits map[consumer.TopicPartition]consumer.Committed) facts {
	x, at := a.rows.extents[n.extent], a.rows.position(n)
	_, letter := a.letters[letterKey{a.targets[i].name, at}]
	return facts{
		op: n.mark.op[i], offset: n.offset, end: x.end, letter: letter, kept: a.states[i] != nil,
		settled:    n.offset < commits[x.TopicPartition].Offset,
		vanished:   !a.options.Snapshot.IsZero() && n.written < a.options.Snapshot.UnixMilli(),
		mapped:     n.mark.mapped[i],
		print:      n.mark.print[i],
		incomplete: n.mark.incomplete[i],
	}
}
