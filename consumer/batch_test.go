package consumer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"pgregory.net/rapid"
)

const (
	transactional = 1 << 4
	control       = 1 << 5
)

// logBatch is a record batch as a log holds it; encode gives its bytes.
type logBatch struct {
	base     int64
	last     int32 // offset delta of the last offset it covers, kept by compaction
	attrs    int16
	producer int64
	records  []batchRecord
}

type batchRecord struct {
	delta      int32
	key, value []byte
}

// encode writes b in the v2 format of the Kafka protocol documentation.
func (b logBatch) encode() []byte {
	be := binary.BigEndian
	var body []byte // from the attributes on: what the checksum covers
	body = be.AppendUint16(body, uint16(b.attrs))
	body = be.AppendUint32(body, uint32(b.last))
	body = be.AppendUint64(body, 1000) // first and last timestamp
	body = be.AppendUint64(body, 1000)
	body = be.AppendUint64(body, uint64(b.producer))
	body = be.AppendUint16(body, 0) // producer epoch
	body = be.AppendUint32(body, 0) // base sequence
	body = be.AppendUint32(body, uint32(len(b.records)))
	for _, r := range b.records {
		rec := []byte{0} // attributes
		rec = binary.AppendVarint(rec, 0)
		rec = binary.AppendVarint(rec, int64(r.delta))
		for _, field := range [][]byte{r.key, r.value} {
			if field == nil {
				rec = binary.AppendVarint(rec, -1)
				continue
			}
			rec = append(binary.AppendVarint(rec, int64(len(field))), field...)
		}
		rec = binary.AppendVarint(rec, 0) // headers
		body = append(binary.AppendVarint(body, int64(len(rec))), rec...)
	}
	out := be.AppendUint64(nil, uint64(b.base))
	out = be.AppendUint32(out, uint32(9+len(body)))
	out = be.AppendUint32(out, 0) // leader epoch
	out = append(out, 2)
	out = be.AppendUint32(out, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(out, body...)
}

// response is what kafka-go makes of these bytes in a fetch response.
func response(t *testing.T, raw []byte, aborted ...fetch.ResponseTransaction) *fetch.ResponsePartition {
	t.Helper()
	p, err := parse(raw, aborted...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parse(raw []byte, aborted ...fetch.ResponseTransaction) (*fetch.ResponsePartition, error) {
	p := &fetch.ResponsePartition{Partition: 3, AbortedTransactions: aborted}
	sized := append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...)
	_, err := p.RecordSet.ReadFrom(bufio.NewReaderSize(bytes.NewReader(sized), len(sized)+64))
	return p, err
}

func values(n int32, base int64) []batchRecord {
	var out []batchRecord
	for i := range n {
		out = append(out, batchRecord{delta: i, key: []byte("k"), value: fmt.Append(nil, base+int64(i))})
	}
	return out
}

func marker(base, producer int64, commit bool) logBatch {
	key := []byte{0, 0, 0, 0}
	if commit {
		key[3] = 1
	}
	return logBatch{base: base, attrs: transactional | control, producer: producer, records: []batchRecord{{key: key, value: []byte{0, 0, 0, 0, 0, 0}}}}
}

func aborted(producer, first int64) fetch.ResponseTransaction {
	return fetch.ResponseTransaction{ProducerID: producer, FirstOffset: first}
}

// partitionLogs are what a log holds from an offset on, and which of its records count.
var partitionLogs = map[string]struct {
	from    int64
	batches []logBatch
	aborted []fetch.ResponseTransaction
	want    []int64
	next    int64
}{
	"nothing": {from: 5, next: 5},
	"plain":   {from: 5, batches: []logBatch{{base: 5, last: 1, records: values(2, 5)}}, want: []int64{5, 6}, next: 7},
	"from the middle of a batch": {
		from: 6, batches: []logBatch{{base: 5, last: 2, records: values(3, 5)}}, want: []int64{6, 7}, next: 8,
	},
	"a lone empty batch is stepped through": {from: 5, batches: []logBatch{{base: 5, last: 9}}, next: 6},
	"inside an empty batch":                 {from: 9, batches: []logBatch{{base: 5, last: 9}}, next: 10},
	"an empty batch further up":             {from: 5, batches: []logBatch{{base: 8, last: 9}}, next: 9},
	"three empty batches":                   {from: 5, batches: []logBatch{{base: 5, last: 9}, {base: 15, last: 9}, {base: 25, last: 9}}, next: 26},
	"empty, then records": {
		from: 5, batches: []logBatch{{base: 5, last: 9}, {base: 15, last: 0, records: values(1, 15)}}, want: []int64{15}, next: 16,
	},
	"compacted tail, asked for again": {
		from: 7, batches: []logBatch{{base: 5, last: 9, records: values(2, 5)}}, next: 8,
	},
	"one producer commits, aborts, commits": {
		from: 0,
		batches: []logBatch{
			{base: 0, attrs: transactional, producer: 7, records: values(1, 0)},
			marker(1, 7, true),
			{base: 2, attrs: transactional, producer: 7, records: values(1, 2)},
			marker(3, 7, false),
			{base: 4, attrs: transactional, producer: 7, records: values(1, 4)},
			marker(5, 7, true),
		},
		aborted: []fetch.ResponseTransaction{aborted(7, 2)},
		want:    []int64{0, 4}, next: 6,
	},
	"an unlisted order of aborts, two producers": {
		from: 0,
		batches: []logBatch{
			{base: 0, attrs: transactional, producer: 7, records: values(1, 0)},
			{base: 1, attrs: transactional, producer: 8, records: values(1, 1)},
			marker(2, 7, false),
			{base: 3, attrs: transactional, producer: 7, records: values(1, 3)},
			marker(4, 8, false), marker(5, 7, true),
		},
		aborted: []fetch.ResponseTransaction{aborted(8, 1), aborted(7, 0)},
		want:    []int64{3}, next: 6,
	},
	"an aborted producer's plain records count": {
		from: 0,
		batches: []logBatch{
			{base: 0, attrs: transactional, producer: 7, records: values(1, 0)},
			{base: 1, producer: 7, records: values(1, 1)},
		},
		aborted: []fetch.ResponseTransaction{aborted(7, 0)},
		want:    []int64{1}, next: 2,
	},
	"an abort's marker comes first, its records came before": {
		from: 3,
		batches: []logBatch{
			marker(3, 7, false),
			{base: 4, attrs: transactional, producer: 7, records: values(1, 4)},
			marker(5, 7, true),
		},
		aborted: []fetch.ResponseTransaction{aborted(7, 2)},
		want:    []int64{4}, next: 6,
	},
	"nothing but a marker":   {from: 3, batches: []logBatch{marker(3, 7, true)}, next: 4},
	"a marker compacted out": {from: 3, batches: []logBatch{{base: 3, attrs: control | transactional}}, next: 4},
}

func TestDecodePartition(t *testing.T) {
	for name, tc := range partitionLogs {
		t.Run(name, func(t *testing.T) {
			var raw []byte
			for _, b := range tc.batches {
				raw = append(raw, b.encode()...)
			}
			records, next, err := decodePartition("users", tc.from, response(t, raw, tc.aborted...))
			if err != nil || next != tc.next {
				t.Errorf("next %d, error %v; want %d and none", next, err, tc.next)
			}
			var got []int64
			for _, r := range records {
				got = append(got, r.Offset)
				if r.Topic != "users" || r.Partition != 3 || string(r.Value) != fmt.Sprint(r.Offset) {
					t.Errorf("record %+v is not the one at its offset", r)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("records %v, want %v", got, tc.want)
			}
		})
	}
}

// A tombstone deletes a user, an empty value is only undecodable.
func TestDecodeKeepsNullAndEmptyApart(t *testing.T) {
	raw := logBatch{last: 1, records: []batchRecord{{delta: 0, key: []byte{}, value: nil}, {delta: 1, key: nil, value: []byte{}}}}.encode()
	got, _, err := decodePartition("users", 0, response(t, raw))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d records, error %v", len(got), err)
	}
	if got[0].Value != nil || got[0].Key == nil || len(got[0].Key) != 0 {
		t.Errorf("tombstone with an empty key came out as %#v", got[0])
	}
	if got[1].Key != nil || got[1].Value == nil || len(got[1].Value) != 0 {
		t.Errorf("empty value with a null key came out as %#v", got[1])
	}
}

// The records of a response must outlive it: kafka-go hands its pages to the next one.
func TestDecodeCopiesOutOfPages(t *testing.T) {
	value := bytes.Repeat([]byte("a"), 1000)
	first, _, err := decodePartition("users", 0, response(t, logBatch{records: []batchRecord{{key: []byte("k"), value: value}}}.encode()))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		_, _, err := decodePartition("users", 0, response(t, logBatch{records: []batchRecord{{key: []byte("x"), value: bytes.Repeat([]byte("b"), 1000)}}}.encode()))
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first[0].Value, value) || string(first[0].Key) != "k" {
		t.Error("a later response overwrote a record")
	}
}

func TestDecodeUnknownBatch(t *testing.T) {
	good := &protocol.RecordBatch{BaseOffset: 4, Records: protocol.NewRecordReader(protocol.Record{Offset: 4})}
	old := &protocol.MessageSet{BaseOffset: 5, Records: protocol.NewRecordReader(protocol.Record{Offset: 5})}
	p := &fetch.ResponsePartition{RecordSet: protocol.RecordSet{Records: &protocol.RecordStream{Records: []protocol.RecordReader{good, old}}}}

	records, next, err := decodePartition("users", 4, p)
	if err != nil || next != 5 || len(records) != 1 {
		t.Errorf("what precedes the unknown batch: %d records, next %d, error %v", len(records), next, err)
	}
	p.RecordSet.Records = &protocol.RecordStream{Records: []protocol.RecordReader{old}}
	if _, next, err := decodePartition("users", 5, p); !errors.Is(err, errUnknownBatch) || next != 5 {
		t.Errorf("the unknown batch itself: next %d, error %v", next, err)
	}
}

// logModel is a partition's log with every shape a broker can serve, and beside
// it the answer: the offsets of the committed records that compaction left.
type logModel struct {
	batches   []logBatch
	aborted   []abortedRange
	committed []int64
	end       int64
}

type abortedRange struct{ producer, first, last int64 }

func drawLog(t *rapid.T) logModel {
	var m logModel
	type txn struct {
		first   int64
		offsets []int64
	}
	open := map[int64]*txn{}
	end := func(producer int64, commit bool) {
		m.batches = append(m.batches, marker(m.end, producer, commit))
		if commit {
			m.committed = append(m.committed, open[producer].offsets...)
		} else {
			m.aborted = append(m.aborted, abortedRange{producer, open[producer].first, m.end})
		}
		delete(open, producer)
		m.end++
	}
	for range rapid.IntRange(1, 25).Draw(t, "batches") {
		producer := rapid.Int64Range(1, 3).Draw(t, "producer")
		if open[producer] != nil && rapid.Bool().Draw(t, "end") {
			end(producer, rapid.Bool().Draw(t, "commit"))
			continue
		}
		b := logBatch{base: m.end, last: rapid.Int32Range(0, 6).Draw(t, "last"), producer: producer}
		if rapid.Bool().Draw(t, "transactional") {
			b.attrs = transactional
			if open[producer] == nil {
				open[producer] = &txn{first: m.end}
			}
		}
		for delta := range b.last + 1 {
			if rapid.IntRange(0, 2).Draw(t, "compacted") == 0 {
				continue
			}
			offset := b.base + int64(delta)
			b.records = append(b.records, batchRecord{delta: delta, value: fmt.Append(nil, offset)})
			if b.attrs == transactional {
				open[producer].offsets = append(open[producer].offsets, offset)
			} else {
				m.committed = append(m.committed, offset)
			}
		}
		m.end += int64(b.last) + 1
		// Compaction may also take a whole batch away, and leave a gap.
		if len(b.records) > 0 || rapid.Bool().Draw(t, "kept") {
			m.batches = append(m.batches, b)
		}
	}
	for producer := range int64(4) { // read_committed ends before the first open transaction
		if open[producer] != nil {
			end(producer, rapid.Bool().Draw(t, "commit"))
		}
	}
	slices.Sort(m.committed)
	return m
}

// serve answers a fetch as a broker does: whole batches from the one that holds
// offset on, with the aborted transactions that overlap them.
func (m *logModel) serve(offset int64, limit int) (raw []byte, aborted []fetch.ResponseTransaction) {
	first, last := int64(-1), int64(-1)
	for _, b := range m.batches {
		if b.base+int64(b.last) < offset || limit == 0 {
			continue
		}
		limit--
		raw = append(raw, b.encode()...)
		if first < 0 {
			first = b.base
		}
		last = b.base + int64(b.last)
	}
	for _, a := range m.aborted {
		if a.last >= first && a.first <= last {
			aborted = append(aborted, fetch.ResponseTransaction{ProducerID: a.producer, FirstOffset: a.first})
		}
	}
	return raw, aborted
}

// readsExactlyTheCommittedRecords follows a drawn log from its start to its end.
func readsExactlyTheCommittedRecords(t *rapid.T) {
	m := drawLog(t)
	offset, got := int64(0), []int64{}
	for {
		raw, aborted := m.serve(offset, rapid.IntRange(1, 5).Draw(t, "limit"))
		if len(raw) == 0 {
			break
		}
		p, err := parse(raw, aborted...)
		if err != nil {
			t.Fatal(err)
		}
		records, next, err := decodePartition("users", offset, p)
		if err != nil {
			t.Fatal(err)
		}
		if next <= offset || next > m.end {
			t.Fatalf("from %d to %d, log end %d", offset, next, m.end)
		}
		for _, r := range records {
			if string(r.Value) != fmt.Sprint(r.Offset) || r.Offset < offset || r.Offset >= next {
				t.Fatalf("record %d (%s) between %d and %d", r.Offset, r.Value, offset, next)
			}
			got = append(got, r.Offset)
		}
		offset = next
	}
	if !slices.Equal(got, m.committed) {
		t.Fatalf("read %v, committed %v", got, m.committed)
	}
}

func TestDecodeProperty(t *testing.T) { rapid.Check(t, readsExactlyTheCommittedRecords) }

func FuzzDecodePartition(f *testing.F) { f.Fuzz(rapid.MakeFuzz(readsExactlyTheCommittedRecords)) }
