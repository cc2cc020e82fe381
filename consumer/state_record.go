package consumer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"slices"

	usync "usersync/sync"
)

// What the state topic holds. A key begins with the consumer group and the topic of
// the changes, so that one partition serves several of both. A group is that of one
// destination; another deployment has another group, and an account of its own. What
// follows is told by its length:
//
//	usersync.taptalk/app.public.users/ + 16 bytes   what the destination holds of a user
//	usersync.taptalk/app.public.users/ + 8 bytes    an owner begins: its epoch
//	usersync.taptalk/app.public.users/void          everything before it is not known any more
//
// The markers of owners have a key each, for compaction must not take the older one
// away before what it has told is in a commit.
const (
	stateFormat = 1
	voidKey     = "void"
)

// userKey stands for a user's ID: the first 16 bytes of its HMAC-SHA256.
type userKey [16]byte

// keyWord tells the key of the hashes from another one, and nothing of it.
type keyWord uint64

// stateKind is what a record of the state topic is about.
type stateKind uint8

const (
	stateUser   stateKind = iota // a version of a user
	stateMarker                  // an owner begins
	stateVoid                    // what stands before it is void
)

// stateRecord is a record of the state topic.
type stateRecord struct {
	kind    stateKind
	offset  int64 // in the state topic
	epoch   epoch // of the owner that wrote it
	nonce   uint64
	word    keyWord // of a marker; 0: it was written before there were any
	user    userKey
	version usync.Version
	gone    bool // a tombstone
}

// The causes that a lane does not know.
const (
	CauseZombie usync.Cause = "zombie" // written by an owner after it had been replaced
	CauseCut    usync.Cause = "cut"    // about a change that the log does not have any more
)

// causes have a number each in a record: the place in this list, which only grows.
var causes = []usync.Cause{
	"", usync.CauseAttempted, usync.CausePossiblySent, usync.CauseDoubt, usync.CauseDeadLetter, usync.CauseConflict, usync.CauseResync,
	CauseZombie, CauseCut, usync.CauseMoved,
}

// settledCause marks the number of the cause of a version that is Settled. An earlier
// version of this program takes it for a cause that it does not know, which is true.
const settledCause = 0x80

// causeOf returns the number of the cause of v.
func causeOf(v usync.Version) byte {
	n := byte(max(0, slices.Index(causes, v.Cause)))
	if v.Settled {
		n |= settledCause
	}
	return n
}

// setCause has v, which is Unknown, have the cause with a number, if it is known: a newer
// version may know more, and the cause is for people.
func setCause(v *usync.Version, n byte) {
	v.Settled = n&settledCause != 0
	if n &^= settledCause; int(n) < len(causes) {
		v.Cause = causes[n]
	}
}

// statePrefix is how the keys of one group and topic begin. A topic can't have a slash in
// it, and none is left in the group.
func statePrefix(group, topic string) string { return url.PathEscape(group) + "/" + topic + "/" }

// key returns the record's key.
func (r *stateRecord) key(prefix string) []byte {
	key := []byte(prefix)
	switch r.kind {
	case stateUser:
		return append(key, r.user[:]...)
	case stateMarker:
		return binary.BigEndian.AppendUint64(key, uint64(r.epoch))
	default:
		return append(key, voidKey...)
	}
}

// value returns the record's value.
func (r *stateRecord) value() []byte {
	if r.gone {
		return nil
	}
	value := binary.AppendUvarint([]byte{stateFormat}, uint64(r.epoch))
	switch r.kind {
	case stateUser:
		v := r.version
		value = append(value, byte(v.Status), causeOf(v))
		value = binary.AppendUvarint(value, uint64(v.Offset))
		if v.Status == usync.Held || v.Status == usync.Deleted {
			value = append(value, v.Print[:]...)
		}
	case stateMarker:
		value = binary.BigEndian.AppendUint64(value, r.nonce)
		if r.word != 0 {
			value = binary.BigEndian.AppendUint64(value, uint64(r.word))
		}
	case stateVoid: // there is nothing more to say
	}
	return value
}

var (
	errStateKey   = errors.New("the key has no known form")
	errStateValue = errors.New("the value has no known form; it was written by another program, or by a newer version of this one")
)

// parseState reads a record. ours is false for one of another group or topic,
// which is nothing to be looked at any further.
func parseState(prefix string, key, value []byte) (r stateRecord, ours bool, err error) {
	if len(key) < len(prefix) || string(key[:len(prefix)]) != prefix {
		return stateRecord{}, false, nil
	}
	rest := key[len(prefix):]
	r.gone = len(value) == 0
	switch {
	case len(rest) == len(r.user):
		copy(r.user[:], rest)
	case len(rest) == 8:
		r.kind, r.epoch = stateMarker, epoch(binary.BigEndian.Uint64(rest))
	case string(rest) == voidKey:
		r.kind = stateVoid
	default:
		return stateRecord{}, true, errStateKey
	}
	if r.gone {
		return r, true, nil
	}
	return r, true, r.parse(value)
}

// parse reads the value.
func (r *stateRecord) parse(value []byte) error {
	if value[0] != stateFormat {
		return fmt.Errorf("%w (format %d, known is %d)", errStateValue, value[0], stateFormat)
	}
	value = value[1:]
	number := func() int64 {
		n, size := binary.Uvarint(value)
		if size <= 0 || n > 1<<62 {
			value = nil
			return -1
		}
		value = value[size:]
		return int64(n)
	}
	written := epoch(number())
	switch {
	case written < 0 || r.kind == stateMarker && (written != r.epoch || len(value) != 8 && len(value) != 16) || r.kind == stateVoid && len(value) != 0:
		return errStateValue
	case r.kind == stateMarker:
		r.nonce = binary.BigEndian.Uint64(value)
		if len(value) == 16 {
			r.word = keyWord(binary.BigEndian.Uint64(value[8:]))
		}
		return nil
	}
	if r.epoch = written; r.kind == stateVoid {
		return nil
	}
	if len(value) < 2 || value[0] == byte(usync.Absent) || value[0] > byte(usync.Deleted) {
		return errStateValue
	}
	v := &r.version
	v.Status = usync.Status(value[0])
	if v.Status == usync.Unknown {
		setCause(v, value[1])
	}
	value = value[2:]
	v.Offset = number()
	printed := 0
	if v.Status != usync.Unknown {
		printed = copy(v.Print[:], value)
	}
	if v.Offset < 0 || len(value) != printed || printed != 0 && printed != len(v.Print) || v.Status != usync.Unknown && printed == 0 {
		return errStateValue
	}
	return nil
}

// stateHash makes the hashes of one destination's state. It is not safe for concurrent
// use. Both are keyed: IDs and payloads can be guessed.
type stateHash struct {
	mac    hash.Hash
	target string
	last   string // whom user was asked of last: a lane asks several times about each change
	key    userKey

	text, out []byte // used again and again
}

// newStateHash returns the hashes for a target, which is whatever makes the same body
// another payload: where it is sent to, and the epoch that an operator has set.
func newStateHash(key []byte, baseURL, epoch string) *stateHash {
	return &stateHash{mac: hmac.New(sha256.New, key), target: "payload\x00" + baseURL + "\x00" + epoch + "\x00"}
}

// user returns what stands for a user's ID. Its first digits are those in the log.
func (h *stateHash) user(id string) userKey {
	if id != h.last || id == "" {
		h.last, h.key = id, userKey(h.sum(id, nil))
	}
	return h.key
}

// print returns the fingerprint of a payload.
func (h *stateHash) print(body []byte) usync.Fingerprint {
	return usync.Fingerprint(h.sum(h.target, body))
}

// word returns that of the key.
func (h *stateHash) word() keyWord {
	return keyWord(binary.BigEndian.Uint64(h.sum("key\x00", nil)))
}

// sum is to be read before the next one is asked for.
func (h *stateHash) sum(s string, b []byte) []byte {
	h.mac.Reset()
	h.text = append(h.text[:0], s...)
	_, _ = h.mac.Write(h.text) // it never fails
	_, _ = h.mac.Write(b)
	h.out = h.mac.Sum(h.out[:0])
	return h.out[:16]
}
