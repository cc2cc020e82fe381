package consumer

import (
	"runtime"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	usync "usersync/sync"
)

func aUser(n int) (u userKey) {
	copy(u[:], strconv.Itoa(n))
	return u
}

// A table says what was put into it last, or nothing; of somebody who is to be found
// there, it says nothing only when there was no room.
func TestStateTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room := &stateRoom{limit: rapid.Int64Range(1, 6).Draw(t, "limit")}
		tables := []*stateTable{newStateTable(room), newStateTable(room)}
		full := false // was there no room at any time?
		models := []map[userKey]usync.Version{{}, {}}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "table")
			user := aUser(rapid.IntRange(0, 7).Draw(t, "user"))
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				tables[i].clear()
				models[i] = map[userKey]usync.Version{}
			case 1, 2:
				tables[i].remove(user)
				delete(models[i], user)
			default:
				v := usync.Version{Status: usync.Status(rapid.IntRange(1, 3).Draw(t, "status")), Offset: rapid.Int64Range(0, 1<<61).Draw(t, "offset")}
				if v.Status == usync.Unknown {
					v.Cause = rapid.SampledFrom(causes).Draw(t, "cause")
					v.Settled = rapid.Bool().Draw(t, "settled")
				} else {
					v.Print[3] = rapid.Byte().Draw(t, "print")
				}
				v.Row[5] = rapid.Byte().Draw(t, "row")
				tables[i].put(user, v)
				models[i][user] = v
			}
			entries := int64(0)
			full = full || room.used.Load() == room.limit
			for i, table := range tables {
				entries += int64(len(table.entries))
				for n := range 8 {
					got, want := table.get(aUser(n)), models[i][aUser(n)]
					if got != want && (got != usync.Version{} || !full) {
						t.Fatalf("user %d is %+v, want %+v (full: %v)", n, got, want, full)
					}
				}
			}
			if used := room.used.Load(); used != entries || used > room.limit {
				t.Fatalf("%d entries, %d counted, %d allowed", entries, used, room.limit)
			}
		}
	})
}

// BenchmarkStateTable shows what an entry takes, and how long it takes to put one.
func BenchmarkStateTable(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000, 2_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				before := heapInUse()
				table := newStateTable(&stateRoom{limit: int64(n)})
				for i := range n {
					table.put(userKey{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)}, usync.Version{Status: usync.Held, Offset: int64(i)})
				}
				b.ReportMetric(float64(heapInUse()-before)/float64(n), "heap-B/user")
				table.clear()
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/table")
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
