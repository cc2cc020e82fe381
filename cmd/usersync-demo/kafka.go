package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const partitions = 4

// kafka is the cluster, with two topics that belong to this run. It uses another
// client library than the worker, so that the two can't share a mistake.
// Its methods may be called from several goroutines.
type kafka struct {
	fake    *kfake.Cluster // nil: a real cluster
	brokers []string
	client  *kgo.Client
	group   string // the prefix of the groups
	users   string // the topic of changes
	dead    string // the topic of dead letters

	mu     sync.Mutex
	ends   offsets
	failed error // the first record that could not be written
}

// startKafka starts a cluster in this process, or uses a real one.
func startKafka(ctx context.Context, brokers []string) (*kafka, error) {
	k := &kafka{brokers: brokers, group: "usersync-demo", ends: offsets{}}
	if len(brokers) == 0 {
		var err error
		// All that is asked of it is on loopback, at a port that the system chooses.
		if k.fake, err = kfake.NewCluster(kfake.NumBrokers(1)); err != nil {
			return nil, fmt.Errorf("embedded Kafka: %w", err)
		}
		k.brokers = k.fake.ListenAddrs()
	} else {
		k.group += "-" + strconv.FormatInt(time.Now().Unix(), 36) // others may be trying it too
	}
	k.users, k.dead = k.group+".public.users", k.group+".dead-letters"
	var err error
	k.client, err = kgo.NewClient(kgo.SeedBrokers(k.brokers...), kgo.ClientID("usersync-demo"),
		kgo.ConsumeTopics(k.dead), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.MetadataMinAge(100*time.Millisecond))
	if err == nil {
		err = k.create(ctx)
	}
	if err != nil {
		k.close()
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return k, nil
}

// create makes the topics.
func (k *kafka) create(ctx context.Context) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range []string{k.users, k.dead} {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, -1
		largest := "1000000"
		if name == k.dead {
			t.NumPartitions, largest = 1, "2000000" // with room for the headers
		}
		for setting, value := range map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": largest} {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = setting, new(value)
			t.Configs = append(t.Configs, c)
		}
		req.Topics = append(req.Topics, t)
	}
	res, err := req.RequestWith(ctx, k.client)
	if err != nil {
		return err
	}
	for _, t := range res.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create topic %s: %w", t.Topic, err)
		}
	}
	return nil
}

// send writes a change. Records of one key are written in the order of the calls.
func (k *kafka) send(c change) {
	k.client.Produce(context.Background(), &kgo.Record{Topic: k.users, Key: c.key, Value: c.value}, func(r *kgo.Record, err error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if err == nil {
			k.ends[r.Partition] = max(k.ends[r.Partition], r.Offset+1)
		} else if k.failed == nil {
			k.failed = err
		}
	})
}

// flush waits until all that was sent is written.
func (k *kafka) flush(ctx context.Context) error {
	if err := k.client.Flush(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

// offsets is the next offset of each partition.
type offsets map[int32]int64

func (o offsets) sum() int64 {
	var n int64
	for _, offset := range o {
		n += offset
	}
	return n
}

// covers reports whether o has passed all of other.
func (o offsets) covers(other offsets) bool {
	for p, offset := range other {
		if o[p] < offset {
			return false
		}
	}
	return true
}

// written is how far the topic of changes goes.
func (k *kafka) written() offsets {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.ends)
}

// committed asks how far the group of a destination has come.
func (k *kafka) committed(ctx context.Context, destination string) (offsets, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = k.group + "." + destination
	t := kmsg.NewOffsetFetchRequestTopic()
	t.Topic = k.users
	for p := range int32(partitions) {
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(ctx, k.client)
	if err != nil {
		return nil, err
	}
	o := offsets{}
	err = kerr.ErrorForCode(res.ErrorCode)
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
			o[p.Partition] = max(0, p.Offset) // -1: nothing yet
		}
	}
	return o, err
}

// close takes the groups and topics away again and ends an embedded cluster.
func (k *kafka) close() {
	if k.client != nil && k.fake == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		req := kmsg.NewPtrDeleteTopicsRequest()
		for _, name := range []string{k.users, k.dead} {
			t := kmsg.NewDeleteTopicsRequestTopic()
			t.Topic = new(name)
			req.Topics, req.TopicNames = append(req.Topics, t), append(req.TopicNames, name)
		}
		groups := kmsg.NewPtrDeleteGroupsRequest()
		groups.Groups = []string{k.group + ".taptalk", k.group + ".haptik"}
		// What cannot be taken away carries the demo's name.
		_, _ = groups.RequestWith(ctx, k.client)
		_, _ = req.RequestWith(ctx, k.client)
	}
	if k.client != nil {
		k.client.Close()
	}
	if k.fake != nil {
		k.fake.Close()
	}
}
