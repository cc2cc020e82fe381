package consumer

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"usersync/consumer/event"
)

// mark is a record that was read: the sign by which a log is known again. A topic
// that was deleted and created again has the same name and accepts the old offsets,
// and kafka-go's protocol versions carry no topic IDs. The zero mark is none.
//
// A record that is there no longer proves nothing: retention or compaction may have
// removed it. Neither changes one that it leaves.
type mark struct {
	next int64  // the offset after the record
	at   int64  // its time in milliseconds; 0 if that is the broker's
	sum  uint32 // of its key and value; 0 without a value
}

// castagnoli has an instruction of its own on most processors.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// markOf returns the sign of r. The time is what tells two snapshots of the same
// rows apart, where the value itself doesn't say when it was taken. Key and value go
// into one sum: that of a key alone would give away whose it is, for IDs can be
// tried one after the other, and it is kept where anybody may look who sees the
// group. So a tombstone has the time only.
func markOf(r *event.Record) mark {
	m := mark{next: r.Offset + 1}
	if len(r.Value) > 0 {
		m.sum = sumOf(r.Key, r.Value)
	}
	if !r.BrokerTime {
		m.at = r.Time.UnixMilli()
	}
	return m
}

func (m mark) none() bool { return m.next == 0 }

func (m mark) offset() int64 { return m.next - 1 }

// String is the form that a note has of m: offset, time and sum.
func (m mark) String() string { return fmt.Sprintf("%d/%d/%08x", m.offset(), m.at, m.sum) }

func parseMark(s string) (mark, error) {
	fields := strings.Split(s, "/")
	if len(fields) != 3 {
		return mark{}, fmt.Errorf("%d fields in a mark, want 3", len(fields))
	}
	offset, err := strconv.ParseUint(fields[0], 10, 62)
	if err != nil {
		return mark{}, err
	}
	at, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return mark{}, err
	}
	sum, err := strconv.ParseUint(fields[2], 16, 32)
	if err != nil {
		return mark{}, err
	}
	return mark{next: int64(offset) + 1, at: at, sum: uint32(sum)}, nil
}
