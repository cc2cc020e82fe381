package consumer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ControlRecord is one of the kinds of record in the control topic. Its identity is
// the key, so of two about the same thing the newer holds; a key without a value is
// as if there had never been a record.
type ControlRecord interface{ key() string }

// Pause says that no call is made to a destination.
type Pause struct {
	Destination string    `json:"-"`
	At          time.Time `json:"at"` // when it was decided
}

// Accept says that whatever a destination's workers had given up before At may be
// written to the dead-letter topic, however many there are.
type Accept struct {
	Destination string    `json:"-"`
	At          time.Time `json:"at"`
}

// Halt says that a partition is not read any further, and why. The worker that owns
// the partition writes it, and removes it when the partition goes on.
type Halt struct {
	Destination    string `json:"-"`
	TopicPartition `json:"-"`
	At             time.Time `json:"at"`     // when it halted first: a later owner that halts for the same does not change it
	Reason         string    `json:"reason"` // as in usersync_consumer_partition_halted
	Offset         int64     `json:"offset"` // the first record that cannot be had: all below are settled, or still are being
}

// Loss says that an operator has accepted what a halt has made of a partition: it is
// to be read on from Offset.
type Loss struct {
	Destination    string `json:"-"`
	TopicPartition `json:"-"`
	At             time.Time `json:"at"`
	Halted         time.Time `json:"halted"` // the At of the halt that was looked at: for another it means nothing
	Offset         int64     `json:"offset"`
}

// Handled says what an operator has done with a dead letter, which is named by its
// place in the dead-letter topic.
type Handled struct {
	TopicPartition `json:"-"`
	Offset         int64     `json:"-"`
	At             time.Time `json:"at"`
	How            string    `json:"how"` // HandledReplayed or HandledDiscarded
	// Written is the letter's own time, by which another one at the same place, of a topic
	// that was made anew, is told apart. Zero: it was not noted.
	Written time.Time `json:"written,omitzero"`
}

// What can be done with a dead letter.
const (
	HandledReplayed  = "replayed"
	HandledDiscarded = "discarded"
)

func (p Pause) key() string  { return "pause/" + p.Destination }
func (a Accept) key() string { return "accept/" + a.Destination }
func (h Halt) key() string   { return "halt/" + h.Destination + "/" + h.path() }
func (l Loss) key() string   { return "accept-loss/" + l.Destination + "/" + l.path() }
func (h Handled) key() string {
	return fmt.Sprintf("letter/%s/%d", h.path(), h.Offset)
}

// path is the partition as part of a key: there is no slash in a topic's name.
func (tp TopicPartition) path() string { return fmt.Sprintf("%s/%d", tp.Topic, tp.Partition) }

// controlVersion is that of the values. A reader ignores another one: what an older
// program cannot understand it must not guess at.
const controlVersion = 1

// errUnknownControl is why a record is ignored. It says no more: a topic that was named
// by mistake may hold anything.
var errUnknownControl = errors.New("a control record of another version, of an unknown kind or malformed")

// encodeControl returns the value of r.
func encodeControl(r ControlRecord) ([]byte, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	// All kinds are objects with at least one field.
	return append(fmt.Appendf(nil, `{"v":%d,`, controlVersion), value[1:]...), nil
}

// parseControlKey returns the record that has a key, without its value.
func parseControlKey(key string) (ControlRecord, error) {
	words := strings.Split(key, "/")
	kind, args := words[0], words[1:]
	switch {
	case kind == "pause" && len(args) == 1:
		return Pause{Destination: args[0]}, nil
	case kind == "accept" && len(args) == 1:
		return Accept{Destination: args[0]}, nil
	case kind == "halt" && len(args) == 3:
		tp, err := partitionOfKey(args[1:])
		return Halt{Destination: args[0], TopicPartition: tp}, err
	case kind == "accept-loss" && len(args) == 3:
		tp, err := partitionOfKey(args[1:])
		return Loss{Destination: args[0], TopicPartition: tp}, err
	case kind == "letter" && len(args) == 3:
		tp, err := partitionOfKey(args[:2])
		offset, bad := strconv.ParseInt(args[2], 10, 64)
		return Handled{TopicPartition: tp, Offset: offset}, errors.Join(err, bad)
	default:
		return nil, errUnknownControl
	}
}

func partitionOfKey(args []string) (TopicPartition, error) {
	n, err := strconv.Atoi(args[1])
	return TopicPartition{Topic: args[0], Partition: n}, err
}

// parseControl fills in r, of which the key is known already.
func parseControl(r ControlRecord, value []byte) (ControlRecord, error) {
	var of struct {
		V int `json:"v"`
	}
	err := json.Unmarshal(value, &of)
	if err == nil && of.V != controlVersion {
		err = errUnknownControl
	}
	if err != nil {
		return nil, err
	}
	switch r := r.(type) {
	case Pause:
		return readInto(r, value)
	case Accept:
		return readInto(r, value)
	case Halt:
		return readInto(r, value)
	case Loss:
		return readInto(r, value)
	case Handled:
		return readInto(r, value)
	}
	return nil, errUnknownControl
}

func readInto[T ControlRecord](r T, value []byte) (ControlRecord, error) {
	err := json.Unmarshal(value, &r)
	return r, err
}

// Controls is what the control topic says: the newest record of each key. It is not
// changed once it is handed out, so goroutines may share it.
type Controls struct {
	records map[string]ControlRecord
	// Ignored is how many records were not understood: of an unknown kind, of another
	// version, or malformed.
	Ignored int
}

// clone returns a copy that may be changed.
func (c *Controls) clone() *Controls {
	if c == nil {
		return &Controls{records: map[string]ControlRecord{}}
	}
	return &Controls{records: maps.Clone(c.records), Ignored: c.Ignored}
}

// apply takes one record of the topic.
func (c *Controls) apply(key string, value []byte) {
	r, err := parseControlKey(key)
	if err == nil && len(value) > 0 {
		r, err = parseControl(r, value)
	}
	switch {
	case err != nil:
		c.Ignored++
	case len(value) == 0:
		delete(c.records, r.key())
	default:
		c.records[r.key()] = r
	}
}

// find returns the record with the key of like.
func find[R ControlRecord](c *Controls, like R) (R, bool) {
	if c == nil {
		return like, false
	}
	r, ok := c.records[like.key()].(R)
	return r, ok
}

// Paused returns the pause of a destination, if it is paused.
func (c *Controls) Paused(destination string) (Pause, bool) {
	return find(c, Pause{Destination: destination})
}

// Accepted returns the newest acceptance of a destination's letters, if there is one.
func (c *Controls) Accepted(destination string) (Accept, bool) {
	return find(c, Accept{Destination: destination})
}

// Handled returns what was done with a dead letter that was written then, if anything.
func (c *Controls) Handled(tp TopicPartition, offset int64, written time.Time) (Handled, bool) {
	h, ok := find(c, Handled{TopicPartition: tp, Offset: offset})
	return h, ok && (h.Written.IsZero() || h.Written.Equal(written))
}

// HandledIn returns what was done with the dead letters of a topic, in no order.
func (c *Controls) HandledIn(topic string) []Handled {
	if c == nil {
		return nil
	}
	var all []Handled
	for _, r := range c.records {
		if h, ok := r.(Handled); ok && h.Topic == topic {
			all = append(all, h)
		}
	}
	return all
}

// Loss returns what was accepted of a partition, if anything.
func (c *Controls) Loss(destination string, tp TopicPartition) (Loss, bool) {
	return find(c, Loss{Destination: destination, TopicPartition: tp})
}

// Halt returns why a partition is halted, if it is.
func (c *Controls) Halt(destination string, tp TopicPartition) (Halt, bool) {
	return find(c, Halt{Destination: destination, TopicPartition: tp})
}

// Halts returns the halted partitions of a destination, in order.
func (c *Controls) Halts(destination string) []Halt {
	var halts []Halt
	if c == nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(c.records)) {
		if h, ok := c.records[key].(Halt); ok && h.Destination == destination {
			halts = append(halts, h)
		}
	}
	return halts
}
