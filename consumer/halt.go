package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

const (
	minBackoff  = 100 * time.Millisecond
	maxBackoff  = 3 * time.Second
	corruptAt   = 3                // failed decodings in a row of one partition alone
	goneAfter   = 12 * time.Second // for how long, and how often, brokers
	goneAnswers = 5                // must say that a topic does not exist
)

// haltReason is why a partition is not read any further, from a bounded set.
type haltReason string

// None of these is repaired by going on from another offset: records would be
// skipped or read twice without anyone having decided so. An operator does, with
// usersync offsets accept-loss or Kafka's own offset tool.
const (
	haltBelow     haltReason = "out_of_range_below" // retention was faster: records are lost
	haltAbove     haltReason = "out_of_range_above" // the log was cut: truncated, or recreated
	haltGone      haltReason = "topic_gone"
	haltRecreated haltReason = "topic_recreated" // it has the name, and other records
	haltCorrupt   haltReason = "corrupt"
)

// haltError ends the reading of one partition.
type haltError struct {
	TopicPartition
	Reason haltReason
	Offset int64 // the next record that would have been read
	// LogStart and LogEnd are what the leader holds, when Reason is about that.
	LogStart, LogEnd int64
}

func (e *haltError) Error() string {
	s := fmt.Sprintf("%s/%d halted at offset %d: %s", e.Topic, e.Partition, e.Offset, e.Reason)
	if e.Reason == haltBelow || e.Reason == haltAbove {
		s += fmt.Sprintf(" (the log holds %d to %d)", e.LogStart, e.LogEnd)
	}
	return s
}

// unknownTopic counts what brokers said, just now and not out of a cache, about a
// topic that they don't know. A broker says so for a moment after it started, so
// once is not enough.
type unknownTopic struct {
	answers int
	since   time.Time
}

// gone notes one more such answer and reports whether they are enough.
func (u *unknownTopic) gone() bool {
	if u.answers == 0 {
		u.since = time.Now()
	}
	u.answers++
	return u.answers >= goneAnswers && time.Since(u.since) >= goneAfter
}

// failed takes a failure that parts share: they back off, and look for their
// leader again, whatever it was. It returns what their reader must be told.
func (f *fetcher) failed(ctx context.Context, parts []*partition, err error) []fetched {
	f.cfg.OnError("fetch", err)
	failures := 0
	for _, p := range parts {
		p.failures++
		failures = max(failures, p.failures)
	}
	f.backOff(parts, backoff(failures))
	for _, p := range parts {
		f.say(p, err)
	}
	if len(parts) == 1 {
		if halt := f.judge(ctx, parts[0], err); halt != nil {
			return []fetched{f.halt(parts[0], halt)}
		}
	}
	f.mu.Lock()
	for _, p := range parts {
		p.suspect = p.suspect || suspicious(err)
		p.leader = -1
	}
	f.mu.Unlock()
	signal(f.displaced)
	return nil
}

// sayAfter is how long a partition may fail in silence: to find its new leader takes
// seconds.
const sayAfter = 10 * time.Second

// say notes that p could not be fetched or looked into, and says so now and then.
func (f *fetcher) say(p *partition, err error) {
	if p.trouble.again(time.Now(), sayAfter) {
		f.cfg.Log.Warn("a partition cannot be fetched; it is tried again",
			"topic", p.Topic, "partition", p.Partition, "offset", p.next, "error", denied("topic", p.Topic, "Read", err))
		f.stuck(p, true)
	}
}

func (f *fetcher) stuck(p *partition, is bool) {
	if f.cfg.OnStuck != nil {
		f.cfg.OnStuck(p.TopicPartition, is)
	}
}

// backOff keeps parts from being fetched for a while. They come back together,
// so that they can share a request again.
func (f *fetcher) backOff(parts []*partition, delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := time.Now().Add(delay)
	for _, p := range parts {
		p.retryAt = at
	}
}

// backoff is exponential, with jitter over its upper half: the clients of a broker
// that comes back must not all come at once.
func backoff(failures int) time.Duration {
	d := min(maxBackoff, minBackoff<<min(failures-1, 10))
	return d/2 + rand.N(d/2)
}

// suspicious says that err may come from the bytes of a record batch, and not from
// the network or from the broker's knowledge of who leads what. kafka-go fails the
// whole response for one bad batch in it, with errors of no particular type, and a
// truncated compressed batch looks like a closed connection. So this errs on the
// side of suspicion, whose price is a request for each partition.
func suspicious(err error) bool {
	if _, ok := errors.AsType[*fetch.Error](err); ok {
		return false // kafka-go could not route the request
	}
	if code, ok := errors.AsType[kafka.Error](err); ok {
		return code == kafka.InvalidMessage // the broker itself found it corrupt
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return false
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe)
}

// undecodable is suspicious without the errors that a cut connection gives too.
func undecodable(err error) bool {
	return suspicious(err) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// judge decides whether err, which concerns p alone, is the end of it.
func (f *fetcher) judge(ctx context.Context, p *partition, err error) *haltError {
	switch {
	case errors.Is(err, kafka.OffsetOutOfRange):
		return f.outOfRange(ctx, p)
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		if p.unknown.gone() {
			return p.haltError(haltGone)
		}
	case undecodable(err) && f.client.leaderAnswers(ctx, p.TopicPartition):
		p.undecodable++
		if p.undecodable >= corruptAt {
			return p.haltError(haltCorrupt)
		}
	}
	return nil
}

func (p *partition) haltError(r haltReason) *haltError {
	return &haltError{TopicPartition: p.TopicPartition, Reason: r, Offset: p.next}
}

// outOfRange asks the leader what it holds. A fetch that is out of range does not
// say on which side, and one below the log start is lost data, so guessing won't do.
// A nil result means that p is within the range, or that the leader did not say.
func (f *fetcher) outOfRange(ctx context.Context, p *partition) *haltError {
	halt := p.haltError(haltBelow)
	var err error
	halt.LogStart, err = f.client.ListOffsets(ctx, p.Topic, p.Partition, kafka.FirstOffset)
	if err == nil {
		halt.LogEnd, err = f.client.ListOffsets(ctx, p.Topic, p.Partition, kafka.LastOffset)
	}
	switch {
	case err != nil:
		f.cfg.OnError("list_offsets", err)
		return nil
	case p.next < halt.LogStart:
		return halt
	case p.next > halt.LogEnd:
		halt.Reason = haltAbove
		return halt
	}
	return nil
}

// sameLog decides whether a topic is still the one that it was. A recreated one has
// the same name, and kafka-go's protocol versions carry no topic IDs; but the last
// record read tells, as long as it is still there. It is asked after any failure:
// where the new topic's leader is another broker, all that a fetch ever hears of
// the change is that the old one does not lead it.
// It returns neither when it cannot tell yet.
func (f *fetcher) sameLog(ctx context.Context, p *partition) (same bool, halt *haltError) {
	// The end comes first: a new log may be too short now, and long enough for the
	// next fetch.
	end, err := f.client.ListOffsets(ctx, p.Topic, p.Partition, kafka.LastOffset)
	switch {
	case err != nil:
		f.cfg.OnError("list_offsets", err)
		f.say(p, err)
		if errors.Is(err, kafka.UnknownTopicOrPartition) && p.unknown.gone() {
			return false, p.haltError(haltGone)
		}
		return false, nil
	case p.next > end:
		return false, f.outOfRange(ctx, p)
	case p.last.none():
		return true, nil
	}
	halt, err = f.compare(ctx, p)
	switch {
	case errors.Is(err, errRecordGone): // by retention or compaction; the next fetch checks the range
		f.recognise(ctx, p)
		return true, nil
	case err != nil:
		f.cfg.OnError("fetch", err)
		f.say(p, err)
		return false, nil
	}
	return halt == nil, halt
}

// compare reads the record of the mark again. The error is about reading it.
func (f *fetcher) compare(ctx context.Context, p *partition) (*haltError, error) {
	r, err := f.client.refetch(ctx, p.Topic, p.Partition, p.last.offset())
	if err != nil {
		return nil, err
	}
	if markOf(r) != p.last {
		return p.haltError(haltRecreated), nil
	}
	return nil, nil
}

// recognise remembers the record before the first that will be read, where no commit
// has told of one: the topic may be recreated before another one comes, and the
// owner's commits give the new one the old one's offset.
func (f *fetcher) recognise(ctx context.Context, p *partition) {
	if p.next == 0 {
		return
	}
	r, err := f.client.refetch(ctx, p.Topic, p.Partition, p.next-1)
	switch {
	case err == nil:
		p.last = markOf(r)
	case !errors.Is(err, errRecordGone) && ctx.Err() == nil:
		f.cfg.OnError("fetch", err)
	}
}

// halt takes p out of fetching for good and returns the news for its reader.
func (f *fetcher) halt(p *partition, halt *haltError) fetched {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.halted = true
	return fetched{Topic: p.Topic, Partition: p.Partition, From: p.next, Next: p.next, Err: halt}
}
