package consumer

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"usersync/consumer/event"
	usync "usersync/sync"
	"usersync/sync/sabotage"
)

// tenure is what a commit certifies of the state beside the offset: whose it is, and
// how much of it there was. The zero tenure certifies nothing: no state was kept, or
// another tool made the commit.
type tenure struct {
	Epoch  epoch
	Marker int64 // where its marker is, in the state topic
	End    int64 // the offset after the last record of it that was acknowledged
}

// epoch orders those who write to the state of a partition. Its upper bits count the
// owners; the lower ones count how often one of them had to begin anew, see
// stateLog.append. So an owner that does so after it was replaced, and does not know it
// yet, stays below its successor.
type epoch int64

const ownEpochs = 1 << 24 // of one owner: one a second for half a year

// successor is the first epoch of an owner after that of e.
func (e epoch) successor() epoch { return (e/ownEpochs + 1) * ownEpochs }

// owner is which owner has e.
func (e epoch) owner() int64 { return int64(e / ownEpochs) }

// String is the form in a note, such as "7.0".
func (e epoch) String() string { return fmt.Sprintf("%d.%d", e/ownEpochs, e%ownEpochs) }

func parseEpoch(s string) (epoch, error) {
	owner, own, _ := strings.Cut(s, ".")
	n, errOwner := strconv.ParseUint(owner, 10, 32)
	m, errOwn := strconv.ParseUint(own, 10, 24)
	return epoch(n)*ownEpochs + epoch(m), cmp.Or(errOwner, errOwn)
}

// String is the form in a note.
func (t tenure) String() string { return fmt.Sprintf("%v@%d+%d", t.Epoch, t.Marker, t.End) }

// parseTenure reads what String makes.
func parseTenure(s string) (t tenure, err error) {
	first, rest, _ := strings.Cut(s, "@")
	marker, end, _ := strings.Cut(rest, "+")
	var errs [3]error
	t.Epoch, errs[0] = parseEpoch(first)
	t.Marker, errs[1] = strconv.ParseInt(marker, 10, 64)
	t.End, errs[2] = strconv.ParseInt(end, 10, 64)
	if err := cmp.Or(errs[:]...); err != nil {
		return tenure{}, fmt.Errorf("tenure of the state: %w", err)
	}
	return t, nil
}

// stateFold reads the log of one partition's state, record by record, into a table.
//
// A record is only as good as whoever wrote it. An owner that was frozen between an
// answer and its write, and thawed after its successor had delivered something newer,
// is a zombie: its record is the last one of that user, and wrong. It is known by its
// epoch, which is lower than one that stands before it, or than that of the owner
// whose commit was accepted last and whose marker stands before it (which compaction
// may have left alone there). Nothing is known of that user then, and it is written
// down before the first commit of whoever reads it, for that hides what the zombie is
// known by.
//
// Nor is anything known of a user whose entry is about a change that the log of changes
// does not have. A broker that was not in sync may have become leader there, and another
// change may be written to that offset, or below it:
//
//	offset     2        5         7
//	the log    v1 ----- v2 ------ v3        v3 is delivered; another user's place at 2 is held
//	the log    v1 -|                        its end is lost; the next owner goes on at 2
//	the log    v1 ----- v4                  v4 is older than v3, by its offset
//
// That is written down before the first commit as well: later the log may be longer.
type stateFold struct {
	prefix  string
	word    keyWord // of the key of whoever reads it
	said    tenure  // by the last commit
	changes int64   // where the log of changes ends
	table   *stateTable

	epoch  epoch                   // the highest so far
	found  keyWord                 // the one of the newest marker that has any
	buried map[userKey]usync.Cause // of whom it is to be written down that nothing is known
	old    []epoch                 // markers that tell no more than the tenure does

	proof    bool // at the end that was certified, or behind it, is a record of that owner or of a later one
	stranger bool // the record right before that end is somebody else's
}

func newStateFold(prefix string, word keyWord, said tenure, changes int64, table *stateTable) *stateFold {
	return &stateFold{prefix: prefix, word: word, said: said, changes: changes, table: table, buried: map[userKey]usync.Cause{}}
}

// add takes the next record of the log and returns it; ours is false for one of another
// group or topic. The error says that it cannot be read: what it replaces may not
// be true any more, so then nothing can be said of the whole partition.
func (f *stateFold) add(e *event.Record) (r stateRecord, ours bool, err error) {
	r, ours, err = parseState(f.prefix, e.Key, e.Value)
	if err != nil {
		return r, ours, fmt.Errorf("state record %s/%d@%d: %w", e.Topic, e.Partition, e.Offset, err)
	}
	r.parseHeaders(e.Headers)
	r.offset = e.Offset
	good := ours && !r.gone && r.epoch >= f.said.Epoch
	f.proof = f.proof || good && r.offset >= f.said.End-1
	f.stranger = f.stranger || !good && r.offset == f.said.End-1
	switch {
	case !ours:
		return r, false, nil
	case r.kind == stateVoid:
		f.void()
	case r.kind == stateMarker && !r.gone && r.epoch < f.said.Epoch:
		f.old = append(f.old, r.epoch)
	case r.kind == stateUser:
		f.learn(r)
	}
	if r.kind == stateMarker && r.word != 0 && r.epoch >= f.epoch { // and not of a zombie
		f.found = r.word
	}
	if !r.gone {
		f.epoch = max(f.epoch, r.epoch)
	}
	return r, true, nil
}

// learn takes what r says of a user.
func (f *stateFold) learn(r stateRecord) {
	delete(f.buried, r.user)
	switch {
	case r.gone:
		f.table.remove(r.user)
	case r.version.Offset >= f.changes && !sabotage.On(sabotage.TrustLostTail):
		f.bury(r.user, CauseCut, 0)
	case f.zombie(r):
		f.bury(r.user, CauseZombie, r.version.Offset)
	default:
		f.table.put(r.user, r.version)
	}
}

// bury takes it that nothing is known of a user.
func (f *stateFold) bury(user userKey, why usync.Cause, offset int64) {
	f.table.put(user, usync.Version{Status: usync.Unknown, Cause: why, Offset: offset})
	f.buried[user] = why
}

// zombie reports whether r was written by an owner that had been replaced.
func (f *stateFold) zombie(r stateRecord) bool {
	return (r.epoch < f.epoch || r.epoch < f.said.Epoch && r.offset > f.said.Marker) && !sabotage.On(sabotage.TrustZombie)
}

// void forgets everything so far.
func (f *stateFold) void() {
	f.table.clear()
	clear(f.buried)
}

// otherKey reports whether the users of the log have hashes with another key: then none of
// them is anybody.
func (f *stateFold) otherKey() bool { return f.found != 0 && f.found != f.word }

// proven reports whether the log, read up to its end, holds all that the tenure says
// it does: then something stands where that ends, or behind it. A log can lose its tail when a broker becomes leader that was not in sync, and
// be made anew by an operator. What it says of a user may then have been taken back by a
// record that is gone.
func (f *stateFold) proven() bool {
	if sabotage.On(sabotage.TrustLostTail) {
		return true
	}
	return f.said.Epoch > 0 && f.proof && !f.stranger && !f.otherKey()
}
