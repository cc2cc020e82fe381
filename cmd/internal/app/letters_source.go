package app

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"usersync/consumer/event"
)

// A letter may be replayed while its change is the newest of its user. Two things in the
// source say so together. Nothing newer is there; and the letter's own record still is,
// for then nothing newer can have been there and be gone: of the records of a key,
// compaction removes the last one last, and retention removes the older ones first.
//
//	offset   10        20         30
//	before   v1        v2         delete
//	now                                     v1 is in a letter, and would bring the user back
//
// Within a partition the offset says what is newer. A user who moved when partitions were
// added has newer rows in another one, where nothing but the clock tells.

// inSource finds out what the source has of the letters' records and of what came after
// them. However many letters there are, it is searched once.
func (f *letterFile) inSource(ctx context.Context) error {
	letters := slices.DeleteFunc(slices.Clone(f.letters), func(l *deadLetter) bool {
		return l.user == "" || !slices.Contains(f.config.Kafka.Topics, l.Topic)
	})
	if len(letters) == 0 {
		return nil
	}
	extents, err := f.extents(ctx, f.config.Kafka.Topics...)
	if err != nil {
		return err
	}
	own := make([][]*deadLetter, len(extents)) // the letters about each
	byUser := map[string][]*deadLetter{}
	for _, l := range letters {
		if i := slices.IndexFunc(extents, func(x extent) bool { return x.TopicPartition == l.source() }); i >= 0 {
			own[i] = append(own[i], l)
			byUser[l.user] = append(byUser[l.user], l)
		}
	}
	if err := f.findOwn(ctx, extents, own); err != nil {
		return err
	}
	if err := f.skipOlder(ctx, extents, own); err != nil {
		return err
	}
	var mu sync.Mutex
	return f.desk.read(ctx, extents, func(_ int, r *event.Record) error {
		user, ok := f.keys.User(r.Key)
		if !ok || byUser[user] == nil {
			return nil
		}
		// What cannot be decoded counts: it has a letter of its own.
		if e, err := f.keys.Decode(r); err == nil && e.Skip != "" {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, l := range byUser[user] {
			l.Superseded = l.Superseded || l.before(r)
		}
		return nil
	})
}

// findOwn finds out which of the letters' records the source still has. It notes when
// these were written, for the letters do not always say that.
func (f *letterFile) findOwn(ctx context.Context, extents []extent, own [][]*deadLetter) error {
	total := 0
	for _, letters := range own {
		total += len(letters)
	}
	p := startProgress(f.said, "looking for the records of dead letters in "+topicsOf(extents), int64(total))
	defer p.stop()
	for i, x := range extents {
		byOffset := map[int64][]*deadLetter{}
		for _, l := range own[i] {
			byOffset[l.Offset] = append(byOffset[l.Offset], l)
			l.searched, l.Gone = x.end, true
		}
		err := f.client.Pick(ctx, x.TopicPartition, slices.Sorted(maps.Keys(byOffset)), func(r *event.Record) error {
			for _, l := range byOffset[r.Offset] {
				p.add(1, 1)
				l.Gone, l.written = !f.isOf(l, r), r.Time
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// skipOlder lets each extent start where something newer than a letter's record may be:
// behind the first one of its own, and where the log has come to the time of the oldest.
func (f *letterFile) skipOlder(ctx context.Context, extents []extent, own [][]*deadLetter) error {
	var oldest time.Time // zero: no record is left to compare with
	for _, l := range slices.Concat(own...) {
		if !l.Gone && (oldest.IsZero() || l.written.Before(oldest)) {
			oldest = l.written
		}
	}
	for i := range extents {
		x := &extents[i]
		start := x.end
		if !oldest.IsZero() {
			var err error
			if start, err = f.client.ListOffsets(ctx, x.Topic, x.Partition, oldest.UnixMilli()); err != nil {
				return err
			}
		}
		for _, l := range own[i] {
			start = min(start, l.Offset+1)
		}
		x.start = min(max(x.start, start), x.end)
	}
	return nil
}

// before reports whether r, which is about the letter's user, came after the letter's
// record. At the same time in another partition counts, for nothing tells.
func (l *deadLetter) before(r *event.Record) bool {
	if r.Topic == l.Topic && r.Partition == l.Partition {
		return l.Offset < r.Offset
	}
	return !l.Gone && !r.Time.Before(l.written)
}

// isOf reports whether r, which is at the place of the letter's record, is that record.
// The topic may have been made anew since.
func (f *letterFile) isOf(l *deadLetter, r *event.Record) bool {
	if l.letter.Original {
		return l.sum == sumOf(r.Key, r.Value)
	}
	// Such a letter was written without the record or is too small for it: whose it is and
	// when it was have to do. One without a time never saw its record.
	if user, ok := f.keys.User(r.Key); !ok || user != l.user || l.letter.SourceTime.IsZero() {
		return false
	}
	at := l.letter.SourceTime.UnixMilli()
	e, err := f.keys.Decode(r)
	return at == r.Time.UnixMilli() || err == nil && at == e.Change.Source.UnixMilli()
}

// sums are compared within this process only.
var sums = maphash.MakeSeed()

func sumOf(key, value []byte) uint64 {
	return maphash.Comparable(sums, [2]uint64{maphash.Bytes(sums, key), maphash.Bytes(sums, value)})
}

// whyGone says what is wrong with a letter whose record is gone, and what to do.
func (l *deadLetter) whyGone() string {
	return fmt.Sprintf("the source no longer has the record at %s: a newer one may have been removed; change the row, or resync", place(l.letter.Source))
}
