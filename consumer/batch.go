package consumer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"usersync/consumer/event"
)

// abortMarker is the type of the control record that ends an aborted transaction.
const abortMarker = 0

// logAppendTime is the attribute of a batch whose time is the broker's. kafka-go gives
// the producer's all the same, until the cleaner writes the batch anew.
const logAppendTime = 1 << 3

// errUnknownBatch says that a fetch response holds a record batch of a kind that
// this reader has no rule for: message formats from before Kafka 0.11.
var errUnknownBatch = errors.New("unknown kind of record batch")

// decodePartition returns the committed records of p from offset from on, in
// order, and the offset to fetch next. That offset is above from whenever p holds
// any batch, even one without a single record for us: an offset range may hold
// control records, aborted transactions, or what compaction left of a batch, and
// a reader that waits for a record there would ask for the same batch for ever.
//
// On an error, what was decoded before it is not lost: it is returned without the
// error, which then meets the next fetch as its first batch.
//
// The records are copies. Those that kafka-go hands out point into pages that a
// whole response shares, and one waiting change would keep megabytes alive.
func decodePartition(topic string, from int64, p *fetch.ResponsePartition) (records []event.Record, next int64, err error) {
	stream, ok := p.RecordSet.Records.(*protocol.RecordStream)
	if !ok {
		if p.RecordSet.Records == nil {
			return nil, from, nil
		}
		return nil, from, fmt.Errorf("%w: %T", errUnknownBatch, p.RecordSet.Records)
	}
	d := decoder{topic: topic, partition: int(p.Partition), next: from, aborts: newAborts(p.AbortedTransactions)}
	for _, b := range stream.Records {
		if err := d.batch(b); err != nil {
			if d.next > from {
				break
			}
			return nil, from, err
		}
	}
	return d.records, d.next, nil
}

// decoder walks the batches of one partition of one response.
type decoder struct {
	topic     string
	partition int
	next      int64 // records below it were not asked for (batches come whole) or are done
	aborts    aborts
	records   []event.Record
}

func (d *decoder) batch(b protocol.RecordReader) error {
	switch b := b.(type) {
	case *protocol.ControlBatch:
		// A response may begin with the marker of a transaction that began before
		// it. Were that one opened later, its marker would be behind us.
		d.aborts.reach(b.BaseOffset)
		return d.control(b)
	case *protocol.RecordBatch:
		d.aborts.reach(b.BaseOffset)
		drop := b.Attributes.Transactional() && d.aborts.open(b.ProducerID)
		return d.data(b, drop)
	default:
		return fmt.Errorf("%w: %T", errUnknownBatch, b)
	}
}

// data takes the records of b, or passes over them when drop is set.
func (d *decoder) data(b *protocol.RecordBatch, drop bool) error {
	start := d.next
	for {
		r, err := b.ReadRecord()
		if errors.Is(err, io.EOF) {
			d.passed(start, b.BaseOffset)
			return nil
		}
		if err != nil {
			return err
		}
		if r.Offset < d.next || drop {
			d.next = max(d.next, r.Offset+1)
			release(r)
			continue
		}
		rec, err := d.copy(r)
		if err != nil {
			return err
		}
		rec.BrokerTime = b.Attributes&logAppendTime != 0
		d.records = append(d.records, rec)
		d.next = r.Offset + 1
	}
}

// control reads the markers of b. Only the end of an aborted transaction matters:
// what its producer writes afterwards is good again.
func (d *decoder) control(b *protocol.ControlBatch) error {
	start := d.next
	for {
		r, err := b.ReadControlRecord()
		if errors.Is(err, io.EOF) {
			d.passed(start, b.BaseOffset)
			return nil
		}
		if err != nil {
			return err
		}
		if r.Type == abortMarker {
			d.aborts.end(b.ProducerID)
		}
		d.next = max(d.next, r.Offset+1)
	}
}

// passed moves beyond a batch that had nothing at or above start. The batch says
// where it ends, but kafka-go keeps that to itself. What is certain: the broker
// sent it because start lies in it or below it, all its records are known, and so
// neither start nor base holds one. One step a fetch is slow in a long compacted
// tail, but the next batch of the response, if there is one, takes over from here.
func (d *decoder) passed(start, base int64) {
	if d.next == start {
		d.next = max(start, base) + 1
	}
}

// copy takes r out of the pages of its response.
func (d *decoder) copy(r *protocol.Record) (event.Record, error) {
	defer release(r)
	key, err := protocol.ReadAll(r.Key)
	if err != nil {
		return event.Record{}, err
	}
	value, err := protocol.ReadAll(r.Value)
	if err != nil {
		return event.Record{}, err
	}
	rec := event.Record{Topic: d.topic, Partition: d.partition, Offset: r.Offset, Time: r.Time, Key: key, Value: value}
	if len(r.Headers) > 0 {
		rec.Headers = make([]event.Header, len(r.Headers))
		for i, h := range r.Headers {
			rec.Headers[i] = event.Header(h)
		}
	}
	return rec, nil
}

// release gives the pages of r back to kafka-go's pool.
func release(r *protocol.Record) {
	if r.Key != nil {
		_ = r.Key.Close() // it never fails: it drops a reference
	}
	if r.Value != nil {
		_ = r.Value.Close()
	}
}

// aborts knows which producers are inside an aborted transaction. The broker
// lists the aborted transactions of a response by producer and first offset; each
// lasts until that producer's abort marker.
type aborts struct {
	pending []fetch.ResponseTransaction // by first offset; not reached yet
	within  map[int64]bool              // producer ID
}

func newAborts(list []fetch.ResponseTransaction) aborts {
	pending := slices.Clone(list)
	slices.SortFunc(pending, func(a, b fetch.ResponseTransaction) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return aborts{pending: pending, within: map[int64]bool{}}
}

// reach opens the transactions that begin at or below offset. Each is taken off
// the list: were it looked up again at the next batch, it would swallow what the
// same producer committed after its abort marker.
func (a *aborts) reach(offset int64) {
	for len(a.pending) > 0 && a.pending[0].FirstOffset <= offset {
		a.within[a.pending[0].ProducerID] = true
		a.pending = a.pending[1:]
	}
}

func (a *aborts) open(producer int64) bool { return a.within[producer] }

func (a *aborts) end(producer int64) { delete(a.within, producer) }
