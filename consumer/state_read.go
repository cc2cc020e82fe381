package consumer

import (
	"context"
	"math"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// StateReader looks at what one destination's workers have noted in the state topic
// from outside. Its methods may be called from several goroutines.
type StateReader struct {
	client *Client
	cfg    StateConfig
	group  string
}

// NewStateReader returns a reader of what a consumer group's workers have noted. cfg must
// be theirs: with another key or base URL nothing compares.
func NewStateReader(client *Client, cfg StateConfig, group string) *StateReader {
	return &StateReader{client, cfg, group}
}

// Fingerprint is what the state has of a user to whom body was delivered.
func (s *StateReader) Fingerprint(body []byte) usync.Fingerprint {
	return s.cfg.hash().print(body)
}

// Known is what the state says of one user.
type Known struct {
	User    [16]byte // the first half of the HMAC of the ID
	Version usync.Version
	Written time.Time // when that was noted, by Kafka's clock; zero if it was not asked for
}

// Read hands what the state says of the users of a source partition to each, in no
// order. note is what the group's commit says beside its offset. If proven is false,
// the log does not hold what that certifies, or its hashes have another key: the next
// owner will believe none of it, and neither should anybody else.
func (s *StateReader) Read(ctx context.Context, source TopicPartition, note string, each func(Known)) (proven bool, err error) {
	table, proven, err := s.fold(ctx, source, note, func(stateRecord, time.Time) {})
	if err != nil || !proven {
		return false, err
	}
	for user := range table.entries {
		each(Known{User: user, Version: table.get(user)})
	}
	return true, nil
}

// Find is Read for one user, by ID; proven as there. It also knows when and why.
func (s *StateReader) Find(ctx context.Context, source TopicPartition, note, id string) (k Known, proven bool, err error) {
	user := s.cfg.hash().user(id)
	k.User = user
	table, proven, err := s.fold(ctx, source, note, func(r stateRecord, at time.Time) {
		if r.kind == stateUser && r.user == user {
			k.Written = at
		}
	})
	if err != nil || !proven {
		return k, false, err
	}
	k.Version = table.get(user)
	return k, true, nil
}

// fold reads the log of a partition's state up to its end, and tells seen each record of
// this group.
func (s *StateReader) fold(ctx context.Context, source TopicPartition, note string, seen func(stateRecord, time.Time)) (*stateTable, bool, error) {
	n, _ := parseNote(note)
	tp := TopicPartition{s.cfg.Topic, source.Partition}
	start, end, err := s.client.Bounds(ctx, tp)
	if err != nil {
		return nil, false, err
	}
	// Asked after that: a worker may deliver what is written now.
	changes, err := s.client.ListOffsets(ctx, source.Topic, source.Partition, kafka.LastOffset)
	if err != nil {
		return nil, false, err
	}
	table := newStateTable(&stateRoom{limit: math.MaxInt64})
	f := newStateFold(statePrefix(s.group, source.Topic), s.cfg.hash().word(), n.State, changes, table)
	err = s.client.Scan(ctx, tp, start, end, func(e *event.Record) error {
		r, ours, err := f.add(e)
		if err == nil && ours {
			seen(r, e.Time)
		}
		return err
	})
	return table, f.proven(), err
}

// Forget removes what the state says of a user of a source partition. A worker that runs
// still has it in memory, and writes it again when it delivers a change of the user. If
// the entry happened to be the last one of the log and is compacted away, the next owner
// finds less than was certified and believes nothing of the partition, which costs
// calls.
func (s *StateReader) Forget(ctx context.Context, source TopicPartition, id string) error {
	r := stateRecord{kind: stateUser, user: s.cfg.hash().user(id), gone: true}
	_, err := s.client.produce(ctx, TopicPartition{s.cfg.Topic, source.Partition}, event.Record{Key: r.key(statePrefix(s.group, source.Topic))})
	return err
}
