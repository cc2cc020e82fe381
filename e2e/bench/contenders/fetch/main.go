// Command fetch reads the records and nothing else, with the requests that the worker
// makes. It may look at each: is it JSON, or what is in it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"usersync/e2e/bench/internal/byhand"
)

// looks are what may be done with a record's value.
var looks = map[string]func(value []byte) error{
	"nothing": func([]byte) error { return nil },
	"valid": func(value []byte) error {
		if !json.Valid(value) {
			return errors.New("a record is not JSON")
		}
		return nil
	},
	"decode": func(value []byte) error {
		_, err := byhand.Decode(value)
		return err
	},
}

func main() {
	look := flag.String("look", "nothing", "what is done with each record: nothing, valid or decode")
	from := flag.String("from", "", "the `offset` of each partition's first record, with commas")
	to := flag.String("to", "", "the `offset` behind each partition's last record, with commas")
	byhand.Main(func(ctx context.Context, o byhand.Options) error {
		l := loop{topic: o.Topic, transport: &kafka.Transport{MetadataTopics: []string{o.Topic}}, addr: kafka.TCP(strings.Split(o.Brokers, ",")...)}
		var err error
		if l.next, err = offsets(*from); err != nil {
			return err
		}
		if l.end, err = offsets(*to); err != nil {
			return err
		}
		var ok bool
		if l.look, ok = looks[*look]; !ok {
			return fmt.Errorf("-look: %q is not nothing, valid or decode", *look)
		}
		began := time.Now()
		for l.left() {
			if err := l.fetch(ctx); err != nil {
				return err
			}
		}
		return byhand.Done(ctx, map[string]any{"records": l.records, "bytes": l.bytes, "seconds": time.Since(began).Seconds()})
	})
}

func offsets(list string) (all []int64, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// loop reads each partition from next to end.
type loop struct {
	topic          string
	transport      *kafka.Transport
	addr           net.Addr
	look           func(value []byte) error
	next, end      []int64
	value          []byte // of the record at hand
	records, bytes int
}

func (l *loop) left() bool {
	for p := range l.next {
		if l.next[p] < l.end[p] {
			return true
		}
	}
	return false
}

// fetch makes one request for all partitions that are not at their end.
func (l *loop) fetch(ctx context.Context) error {
	const most = 1 << 20 // as much as the worker asks for
	t := fetch.RequestTopic{Topic: l.topic}
	for p := range l.next {
		// They take turns at being first, for a broker fills its answer in their order.
		if p = (p + l.records) % len(l.next); l.next[p] < l.end[p] {
			t.Partitions = append(t.Partitions, fetch.RequestPartition{
				Partition: int32(p), CurrentLeaderEpoch: -1, FetchOffset: l.next[p], LogStartOffset: -1, PartitionMaxBytes: most,
			})
		}
	}
	res, err := l.transport.RoundTrip(ctx, l.addr, &fetch.Request{
		ReplicaID: -1, MaxWaitTime: 500, MinBytes: 1, MaxBytes: most, IsolationLevel: 1, SessionEpoch: -1, Topics: []fetch.RequestTopic{t},
	})
	if err != nil {
		return err
	}
	for _, t := range res.(*fetch.Response).Topics {
		for i := range t.Partitions {
			if err := l.take(&t.Partitions[i]); err != nil {
				return fmt.Errorf("%s/%d: %w", t.Topic, t.Partitions[i].Partition, err)
			}
		}
	}
	return nil
}

func (l *loop) take(p *fetch.ResponsePartition) error {
	if p.ErrorCode != 0 {
		return kafka.Error(p.ErrorCode)
	}
	if p.RecordSet.Records == nil {
		return nil
	}
	for {
		r, err := p.RecordSet.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.record(int(p.Partition), r); err != nil {
			return err
		}
	}
}

func (l *loop) record(partition int, r *protocol.Record) error {
	defer r.Key.Close()
	defer r.Value.Close()
	if r.Offset < l.next[partition] || r.Offset >= l.end[partition] {
		return nil // batches come whole
	}
	l.next[partition] = r.Offset + 1
	if n := r.Value.Len(); n > cap(l.value) {
		l.value = make([]byte, n)
	}
	l.value = l.value[:r.Value.Len()]
	if _, err := io.ReadFull(r.Value, l.value); err != nil {
		return err
	}
	l.records++
	l.bytes += len(l.value)
	return l.look(l.value)
}
