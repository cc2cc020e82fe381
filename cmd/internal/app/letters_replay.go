package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"usersync/consumer"
	"usersync/consumer/event"
)

// ReplayLetters asks the workers to deliver the dead letters that filter lets through
// after all, each to its destination only. One that a newer change follows is refused,
// and so is one whose record is gone from the source, and what cannot be decoded still. What was asked is recorded letter by letter:
// a command that was interrupted can be repeated and goes on where it stopped. What the
// workers have then passed over, because they could not tell whether it still was the
// newest, takes filter.Again. If dry is set it only says what it would do. It calls no
// destination.
//
// What became of each goes to w; the error says that some were refused.
func ReplayLetters(ctx context.Context, c *Config, filter LetterFilter, dry, asJSON bool, w, said io.Writer) error {
	return replayLetters(ctx, c, filter, dry, asJSON, w, said, network{})
}

func replayLetters(ctx context.Context, c *Config, filter LetterFilter, dry, asJSON bool, w, said io.Writer, n network) error {
	if c.Kafka.RetryTopic == "" {
		return Problem{Key: "kafka.retry_topic", Text: "is not set, and it is how the workers are asked; name a topic with the partitions of the source, and restart the workers with it"}
	}
	f, err := openHandled(ctx, c, filter, said, n)
	if err != nil {
		return err
	}
	defer f.close()
	findings, err := consumer.CheckRetries(ctx, f.client, c.Kafka.Topics, c.Kafka.RetryTopic)
	if err != nil {
		return err
	}
	for _, x := range findings {
		if x.Severity == consumer.Error {
			return fmt.Errorf("kafka.retry_topic: topic %s: %s", x.Topic, x.Text)
		}
	}
	if err := f.inSource(ctx); err != nil {
		return err
	}
	r := &letterReport{DryRun: dry, verb: "replayed"}
	chosen := f.choose(r)
	f.announce(chosen)
	err = f.removeOutlived(ctx, r, f.handle(ctx, r, chosen, f.replay))
	return r.finish(w, asJSON, err)
}

// DiscardLetters records that nothing is to be done about the dead letters that filter
// lets through. They stay in the topic. Otherwise it is like ReplayLetters.
func DiscardLetters(ctx context.Context, c *Config, filter LetterFilter, dry, asJSON bool, w, said io.Writer) error {
	return discardLetters(ctx, c, filter, dry, asJSON, w, said, network{})
}

func discardLetters(ctx context.Context, c *Config, filter LetterFilter, dry, asJSON bool, w, said io.Writer, n network) error {
	f, err := openHandled(ctx, c, filter, said, n)
	if err != nil {
		return err
	}
	defer f.close()
	r := &letterReport{DryRun: dry, verb: "discarded"}
	var chosen [][]*deadLetter
	for _, l := range f.letters {
		if l.Status == letterOpen {
			chosen = append(chosen, []*deadLetter{l})
		} else {
			r.add(l, "was "+l.Status+" before", true)
		}
	}
	err = f.handle(ctx, r, chosen, func(ctx context.Context, some []*deadLetter) error {
		return f.record(ctx, letterDiscarded, some)
	})
	return r.finish(w, asJSON, f.removeOutlived(ctx, r, err))
}

// openHandled is openLetters for a command that records what it does.
func openHandled(ctx context.Context, c *Config, filter LetterFilter, said io.Writer, n network) (*letterFile, error) {
	if c.Kafka.ControlTopic == "" {
		return nil, Problem{Key: "kafka.control_topic", Text: "is not set, and it is where it is recorded what was done with a dead letter; name a topic with one partition and cleanup.policy=compact"}
	}
	return openLetters(ctx, c, filter, said, n)
}

// choose returns the letters to be replayed, those for the same record and destination
// together, in the order of the source. The others it reports.
func (f *letterFile) choose(r *letterReport) [][]*deadLetter {
	type change struct {
		destination string
		source      consumer.TopicPartition
		offset      int64
	}
	index := map[change]int{}
	var chosen [][]*deadLetter
	for _, l := range f.letters {
		if why, done := f.refuse(l); why != "" {
			r.add(l, why, done)
			continue
		}
		k := change{l.Destination, l.source(), l.Offset}
		if i, ok := index[k]; ok {
			chosen[i] = append(chosen[i], l)
			continue
		}
		index[k] = len(chosen)
		chosen = append(chosen, []*deadLetter{l})
	}
	slices.SortStableFunc(chosen, func(a, b []*deadLetter) int {
		return cmp.Or(cmp.Compare(a[0].Topic, b[0].Topic), cmp.Compare(a[0].Partition, b[0].Partition), cmp.Compare(a[0].Offset, b[0].Offset))
	})
	return chosen
}

// refuse returns why a letter is not to be replayed, empty if it is; done says that
// nothing is left to be done about it.
func (f *letterFile) refuse(l *deadLetter) (why string, done bool) {
	switch {
	case l.Status == letterDiscarded, l.Status == letterReplayed && !f.repeats:
		return "was " + l.Status + " before", true
	case f.decoders[l.Destination] == nil:
		return "its destination is not in the configuration", false
	case !slices.Contains(f.config.Kafka.Topics, l.Topic):
		return "its source topic is not one of kafka.topics", false
	case l.bad != "":
		return "still undecodable: " + l.bad + "; change the configuration first", false
	case l.user == "":
		return "its key names no user", false
	case l.Superseded:
		return "superseded: a newer change of its user is in the source; discard it", false
	case l.searched == 0:
		return "its source partition does not exist any more", false
	case l.Gone:
		return l.whyGone(), false
	}
	return "", false
}

// announce says what the replay will cost.
func (f *letterFile) announce(chosen [][]*deadLetter) {
	for _, t := range f.targets {
		calls := 0
		for _, some := range chosen {
			if some[0].Destination == t.name {
				calls++
			}
		}
		if calls > 0 {
			fmt.Fprintf(f.said, "%s: %s\n", t.name, effort(calls, t.RateLimit))
		}
	}
}

// handle does with each group of letters what do does, and reports it. It stops at the
// first error.
func (f *letterFile) handle(ctx context.Context, r *letterReport, chosen [][]*deadLetter, do func(context.Context, []*deadLetter) error) error {
	p := startProgress(f.said, r.verb, int64(len(chosen)))
	defer p.stop()
	for _, some := range chosen {
		if !r.DryRun {
			if err := do(ctx, some); err != nil {
				if gone, ok := errors.AsType[errGone](err); ok {
					r.add(some[0], gone.Error(), false)
					continue
				}
				return fmt.Errorf("%w; %d were %s before that, and the same command goes on from here", err, r.Done, r.verb)
			}
		}
		for _, l := range some {
			r.add(l, "", true)
		}
		p.add(int64(len(some)), 1)
	}
	return nil
}

// removeOutlived removes from the control topic what was done with letters that are
// gone, unless the command only shows what it would do or has failed before. Nobody else
// does, and every worker has all that is there in memory.
func (f *letterFile) removeOutlived(ctx context.Context, r *letterReport, before error) error {
	if before != nil || r.DryRun {
		return before
	}
	const together = 1000 // far from the size that a broker refuses
	for some := range slices.Chunk(f.outlived, together) {
		if err := f.control.Remove(ctx, some...); err != nil {
			return fmt.Errorf("what was done with letters that are gone stays for now: %w", err)
		}
	}
	if n := len(f.outlived); n > 0 {
		fmt.Fprintf(f.said, "%s: %s records about dead letters that are gone are removed\n", f.config.Kafka.ControlTopic, grouped(int64(n)))
	}
	return nil
}

// errGone says that there is nothing left to replay.
type errGone string

func (e errGone) Error() string { return string(e) }

// replay writes a change to the retry topic, and then that its letters are replayed. If
// it ends between the two it is written again the next time, which costs a call.
func (f *letterFile) replay(ctx context.Context, some []*deadLetter) error {
	l := some[0]
	full, err := f.again(ctx, l)
	if err != nil {
		return err
	}
	r := original(full)
	if !full.Original {
		if r, err = f.fromSource(ctx, l); err != nil {
			return err
		}
	}
	err = f.client.WriteRetry(ctx, f.config.Kafka.RetryTopic, consumer.Retry{
		Destination: l.Destination, Command: consumer.Replay, Source: full.Source, SourceTime: r.Time, Searched: l.searched,
		Key: r.Key, Value: r.Value, Headers: r.Headers,
	})
	if err != nil {
		return err
	}
	return f.record(ctx, letterReplayed, some)
}

// fromSource reads the record of a letter that does not have it.
func (f *letterFile) fromSource(ctx context.Context, l *deadLetter) (*event.Record, error) {
	var found *event.Record
	err := f.client.Scan(ctx, l.source(), l.Offset, l.Offset+1, func(r *event.Record) error {
		found = r
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, errGone(l.whyGone())
	}
	if code := undecodable(f.decoders[l.Destination], found); code != "" {
		return nil, errGone("still undecodable: " + code + "; change the configuration first")
	}
	return found, nil
}

// record writes what was done with letters.
func (f *letterFile) record(ctx context.Context, how string, some []*deadLetter) error {
	records := make([]consumer.ControlRecord, len(some))
	for i, l := range some {
		records[i] = consumer.Handled{TopicPartition: l.at(), Offset: l.letter.At.Offset, At: time.Now().UTC(), How: how, Written: l.letter.Written}
	}
	return f.control.Put(ctx, records...)
}

// letterReport says what was done with letters.
type letterReport struct {
	DryRun  bool         `json:"dry_run"`
	Done    int          `json:"done"`    // letters
	Before  int          `json:"before"`  // nothing was left to be done about these
	Refused int          `json:"refused"` // these it could not be done with
	Letters []letterFate `json:"letters"`
	verb    string
}

// letterFate is what was done with one.
type letterFate struct {
	ID          string `json:"id"`
	Destination string `json:"destination"`
	Done        bool   `json:"done"`
	Why         string `json:"why,omitempty"` // nothing was done
}

func (r *letterReport) add(l *deadLetter, why string, done bool) {
	switch {
	case why == "":
		r.Done++
	case done:
		r.Before++
	default:
		r.Refused++
	}
	r.Letters = append(r.Letters, letterFate{l.ID, l.Destination, why == "", why})
}

// finish publishes r. The error is err, or says that letters were refused.
func (r *letterReport) finish(w io.Writer, asJSON bool, err error) error {
	if failed := publish(w, asJSON, r); err == nil {
		err = failed
	}
	if err == nil && r.Refused > 0 {
		err = fmt.Errorf("%d dead letters could not be %s", r.Refused, r.verb)
	}
	return err
}

func (r *letterReport) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range r.Letters {
		fate := l.Why
		if l.Done {
			fate = r.verb
			if r.DryRun {
				fate = "would be " + r.verb
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", l.ID, l.Destination, fate)
	}
	_ = t.Flush() // the error sticks to w
	verb := r.verb
	if r.DryRun {
		verb = "would be " + verb
	}
	fmt.Fprintf(w, "%s %s, %s done before, %s refused\n", grouped(int64(r.Done)), verb, grouped(int64(r.Before)), grouped(int64(r.Refused)))
}
