package consumer

import (
	"sync/atomic"

	usync "usersync/sync"
)

// stateTable is what is known of the users of one partition. It has no pointers, so
// that the garbage collector passes over millions of entries.
type stateTable struct {
	entries map[userKey]stateEntry
	room    *stateRoom
}

// stateEntry is a version.
type stateEntry struct {
	print usync.Fingerprint // of Unknown: the cause's number
	row   usync.RowHash
	at    uint64 // the offset, with the status in the upper two bits
}

const statusShift = 62

func entryOf(v usync.Version) stateEntry {
	e := stateEntry{print: v.Print, row: v.Row, at: uint64(v.Status)<<statusShift | uint64(v.Offset)}
	if v.Status == usync.Unknown {
		e.print = usync.Fingerprint{causeOf(v)}
	}
	return e
}

func (e stateEntry) version() usync.Version {
	v := usync.Version{Status: usync.Status(e.at >> statusShift), Offset: int64(e.at &^ (3 << statusShift)), Print: e.print, Row: e.row}
	if v.Status == usync.Unknown {
		v.Print = usync.Fingerprint{}
		setCause(&v, e.print[0])
	}
	return v
}

// stateRoom counts the entries of all tables of a destination. Tables are filled side
// by side, so it may be used from several goroutines.
type stateRoom struct {
	limit int64
	used  atomic.Int64
}

func newStateTable(room *stateRoom) *stateTable {
	return &stateTable{entries: map[userKey]stateEntry{}, room: room}
}

func (t *stateTable) get(user userKey) usync.Version { return t.entries[user].version() }

// put notes a version. When there is no room, an arbitrary other entry goes, or v
// itself if the room is that of other partitions. That costs a call, no more: the topic
// still has it, so a lane must not take nothing for unknown, which it need not write.
func (t *stateTable) put(user userKey, v usync.Version) {
	if _, ok := t.entries[user]; !ok {
		if t.room.used.Add(1) > t.room.limit {
			if !t.evict() {
				t.room.used.Add(-1)
				return
			}
		}
	}
	t.entries[user] = entryOf(v)
}

// evict makes room for one entry.
func (t *stateTable) evict() bool {
	for user := range t.entries { // in no order
		t.remove(user)
		return true
	}
	return false
}

func (t *stateTable) remove(user userKey) {
	if _, ok := t.entries[user]; ok {
		delete(t.entries, user)
		t.room.used.Add(-1)
	}
}

// clear forgets everything.
func (t *stateTable) clear() {
	t.room.used.Add(-int64(len(t.entries)))
	t.entries = map[userKey]stateEntry{}
}
