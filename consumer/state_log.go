package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// stateLog is one partition of the state topic, of which it reads and writes what is
// about one group and one topic of changes. It is used by one goroutine at a
// time: the one that loads it, and then those that write to it, one after the other.
type stateLog struct {
	storage
	prefix  string
	nonce   uint64  // tells its markers from those of others with the same epoch
	word    keyWord // of the key of its users' hashes
	changes int64   // where the log of changes ends
	own     tenure  // what may be certified of it
	// orphans is how many users were removed as it was loaded, for their hashes have
	// another key.
	orphans int

	epoch epoch   // the highest that was seen or tried
	begin bool    // the next batch begins with a marker of a new epoch
	void  bool    // and with the word that nothing before it counts
	old   []epoch // markers to be removed then
	end   int64   // the log is at least as long
}

// storage is a partition of the state topic.
type storage interface {
	// length returns the offset of the next record that is written.
	length(ctx context.Context) (int64, error)
	// read is Client.readOn.
	read(ctx context.Context, from int64) (records []event.Record, next int64, err error)
	// write is Client.produce.
	write(ctx context.Context, records ...event.Record) (base int64, err error)
}

// stored is a partition in Kafka.
type stored struct {
	client *Client
	TopicPartition
}

func (s stored) length(ctx context.Context) (int64, error) {
	return s.client.ListOffsets(ctx, s.Topic, s.Partition, kafka.LastOffset)
}

// stateBytes is how much of the state one fetch brings. At a rate limit a batch has one
// record, see rereadBytes, and all partitions are loaded at the same time.
const stateBytes = 16 << 10

func (s stored) read(ctx context.Context, from int64) ([]event.Record, int64, error) {
	return s.client.readOn(ctx, s.TopicPartition, from, stateBytes)
}

func (s stored) write(ctx context.Context, records ...event.Record) (int64, error) {
	return s.client.produce(ctx, s.TopicPartition, records...)
}

// togetherInState is how many records one batch has: some 50 kB.
const togetherInState = 500

// errStateCut says that the log has become shorter.
type errStateCut struct{ was, is int64 }

func (e *errStateCut) Error() string {
	return fmt.Sprintf("the log was at least %d long, and now ends at %d: it lost its tail, or was made anew; what is lost costs a call for each user",
		e.was, e.is)
}

// append writes records, in order, and returns nil once all replicas in sync have them.
//
// After an error some of them may be there, or come to be there later, behind what is
// written next. So whatever is written next begins with a marker of a new epoch: what
// comes late is then told from it like the record of a zombie. The caller writes the
// same records again, or newer ones of the same users.
func (l *stateLog) append(ctx context.Context, records []stateRecord) error {
	for {
		some := records[:min(len(records), togetherInState)]
		records = records[len(some):]
		if err := l.batch(ctx, some); err != nil {
			return err
		}
		if len(records) == 0 {
			return nil
		}
	}
}

// batch appends one batch.
func (l *stateLog) batch(ctx context.Context, records []stateRecord) error {
	var batch []event.Record
	add := func(r stateRecord) {
		batch = append(batch, event.Record{Key: r.key(l.prefix), Value: r.value(), Headers: r.headers()})
	}
	marker := -1
	if l.begin {
		l.epoch++
		if l.void {
			add(stateRecord{kind: stateVoid, epoch: l.epoch})
		}
		for _, epoch := range l.old {
			add(stateRecord{kind: stateMarker, epoch: epoch, gone: true})
		}
		marker = len(batch)
		add(stateRecord{kind: stateMarker, epoch: l.epoch, nonce: l.nonce, word: l.word})
	}
	for _, r := range records {
		r.epoch = l.epoch
		add(r)
	}
	if len(batch) == 0 {
		return nil
	}
	base, err := l.write(ctx, batch...)
	if err == nil && base < l.end {
		err = &errStateCut{l.end, base}
		l.void, l.end = true, base+int64(len(batch))
	}
	if err != nil {
		l.begin = true
		return err
	}
	l.end = base + int64(len(batch))
	l.own.End = l.end
	if marker >= 0 {
		l.own.Epoch, l.own.Marker = l.epoch, base+int64(marker)
		l.begin, l.void, l.old = false, false, nil
	}
	return nil
}

// loading is how far a log is read.
type loading struct {
	records, bytes int64
	next, end      int64
}

// noData is how long a broker that sends nothing is left alone.
const noData = 100 * time.Millisecond

// load reads the log, says in it that another owner begins, and returns what is known
// of the users of the partition. said is what the last commit certified. progress is
// told after each fetch, on this goroutine. After an error it is called again.
func (l *stateLog) load(ctx context.Context, said tenure, room *stateRoom, progress func(loading)) (table *stateTable, err error) {
	f := newStateFold(l.prefix, l.word, said, l.changes, newStateTable(room))
	defer func() {
		if err != nil {
			f.table.clear()
		}
	}()
	end, err := l.length(ctx)
	if err != nil {
		return nil, err
	}
	at := loading{end: end}
	if _, err = l.fold(ctx, f, &at, end, progress); err != nil {
		return nil, err
	}
	if f.otherKey() {
		if err = l.removeOrphans(ctx, f.table); err != nil {
			return nil, err
		}
	}
	l.begin, l.void = true, l.void || !f.proven()
	l.epoch, l.end = max(l.epoch, f.epoch, said.Epoch).successor()-1, at.next
	if l.old = f.old; l.void {
		l.old = nil
		f.void()
	}
	for l.begin {
		if err = l.append(ctx, nil); err != nil {
			return nil, err
		}
		// Somebody else may have begun since: a former owner that has not noticed yet, or
		// one that was given the partition and lost it again. Its epoch must be another.
		foreign, err := l.fold(ctx, f, &at, l.own.Marker+1, progress)
		if err != nil {
			return nil, err
		}
		if foreign.owner() >= l.own.Epoch.owner() {
			l.epoch, l.begin = foreign.successor()-1, true
		}
	}
	if err = l.append(ctx, f.burials()); err != nil {
		return nil, err
	}
	return f.table, nil
}

// removeOrphans removes the users of a table, whose hashes have another key: nobody can
// name them any more, so nothing would ever replace them. It does so before the marker
// with the new key's word: who finds that looks for none of them.
func (l *stateLog) removeOrphans(ctx context.Context, t *stateTable) error {
	l.begin = false
	var some []stateRecord
	for user := range t.entries {
		if some = append(some, stateRecord{user: user, gone: true}); len(some) < togetherInState {
			continue
		}
		if err := l.append(ctx, some); err != nil {
			return err
		}
		l.orphans += len(some)
		some = some[:0]
	}
	l.orphans += len(some)
	return l.append(ctx, some)
}

// burials are the records that say of users that nothing is known.
func (f *stateFold) burials() []stateRecord {
	var all []stateRecord
	for user, why := range f.buried {
		all = append(all, stateRecord{user: user, version: usync.Version{Status: usync.Unknown, Cause: why, Offset: f.table.get(user).Offset}})
	}
	return all
}

// fold takes what the log holds up to end into f. It returns the highest epoch of the
// markers of others among it.
func (l *stateLog) fold(ctx context.Context, f *stateFold, at *loading, end int64, progress func(loading)) (foreign epoch, err error) {
	at.end = end
	for at.next < end {
		records, next, err := l.read(ctx, at.next)
		if err != nil {
			return 0, err
		}
		for i := range records {
			r, ours, err := f.add(&records[i])
			if err != nil {
				return 0, err
			}
			if ours && r.kind == stateMarker && r.nonce != l.nonce && !r.gone {
				foreign = max(foreign, r.epoch)
			}
			at.records++
			at.bytes += int64(len(records[i].Key) + len(records[i].Value))
		}
		switch next {
		case at.next:
			if !sleep(ctx, noData) {
				return 0, ctx.Err()
			}
		case nothingLeft: // it became shorter meanwhile
			return foreign, nil
		}
		at.next = next
		progress(*at)
	}
	return foreign, nil
}
