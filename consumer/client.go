package consumer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

const (
	// requestTimeout bounds a request whose caller set no deadline: kafka-go
	// would wait for ever on a connection that died without saying so.
	requestTimeout = 10 * time.Second
	// metadataAge is the longest that kafka-go keeps what it knows of leaders. It
	// refreshes at random times below that; nothing else makes it look again.
	metadataAge = 3 * time.Second
)

// ClientConfig says how to reach a Kafka cluster.
type ClientConfig struct {
	Brokers  []string // host:port
	ClientID string
	TLS      *tls.Config // nil: plaintext
	SASL     SASL        // zero: no authentication
	// Dial opens the connections; nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Topics are all topics that this client will ask about. kafka-go keeps the
	// metadata of these only; without a list it would fetch that of the cluster.
	Topics []string
}

// SASL holds the credentials for Kafka. Mechanism is "plain", "scram-sha-256",
// "scram-sha-512" or empty.
type SASL struct{ Mechanism, Username, Password string }

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "plain":
		return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, s.Username, s.Password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, s.Username, s.Password)
	default:
		return nil, fmt.Errorf("unknown SASL mechanism %q", s.Mechanism)
	}
}

// Client talks to one Kafka cluster. kafka-go has two ways to connect, a Dialer
// for the group protocol and a Transport for everything else; this is the one
// place that sets up both, so that neither misses TLS or a password.
// Its methods may be called from several goroutines.
type Client struct {
	brokers   []string
	addr      net.Addr
	dialer    *kafka.Dialer
	transport *kafka.Transport
}

// NewClient returns a client; it does not connect. The error says what of the
// configuration cannot be used.
func NewClient(cfg ClientConfig) (*Client, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("no Kafka brokers")
	}
	mechanism, err := cfg.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	dial := cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	dial = bounded(dial)
	return &Client{
		brokers: cfg.Brokers,
		addr:    kafka.TCP(cfg.Brokers...),
		dialer: &kafka.Dialer{
			ClientID:      cfg.ClientID,
			Timeout:       requestTimeout,
			DialFunc:      dial,
			TLS:           cfg.TLS,
			SASLMechanism: mechanism,
		},
		transport: &kafka.Transport{
			ClientID:       cfg.ClientID,
			Dial:           dial,
			DialTimeout:    requestTimeout / 2,
			MetadataTTL:    metadataAge,
			MetadataTopics: cfg.Topics,
			TLS:            cfg.TLS,
			SASL:           mechanism,
		},
	}, nil
}

// Close closes the connections that are not in use; those in use close when they
// are done.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// roundTrip sends req to the broker that kafka-go routes it to.
func (c *Client) roundTrip(ctx context.Context, req kafka.Request) (kafka.Response, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	return c.transport.RoundTrip(ctx, c.addr, req)
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int
}

// PartitionInfo is what the cluster's metadata says of a partition.
type PartitionInfo struct {
	ID     int
	Leader int // broker ID; -1 while there is none
	// Replicas is how many brokers keep it.
	Replicas int
}

// Metadata returns the partitions of the topics, in order, as the client last saw
// them, at most a few seconds ago. A topic that does not exist has no entry; that
// is an answer, not an error. Topics not listed in the configuration are unknown.
func (c *Client) Metadata(ctx context.Context, topics []string) (map[string][]PartitionInfo, error) {
	res, err := c.roundTrip(ctx, &metadata.Request{TopicNames: topics})
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	found := make(map[string][]PartitionInfo, len(topics))
	for _, t := range res.(*metadata.Response).Topics {
		switch kafka.Error(t.ErrorCode) {
		case 0, kafka.LeaderNotAvailable:
		case kafka.UnknownTopicOrPartition:
			continue
		default:
			return nil, fmt.Errorf("metadata: %w", denied("topic", t.Name, "Describe", fmt.Errorf("topic %s: %w", t.Name, kafka.Error(t.ErrorCode))))
		}
		infos := make([]PartitionInfo, len(t.Partitions))
		for i, p := range t.Partitions {
			infos[i] = PartitionInfo{ID: int(p.PartitionIndex), Leader: int(p.LeaderID), Replicas: len(p.ReplicaNodes)}
			if p.ErrorCode == int16(kafka.LeaderNotAvailable) {
				infos[i].Leader = -1
			}
		}
		found[t.Name] = infos
	}
	return found, nil
}

// Brokers returns how many brokers the cluster has, as the client last saw it.
func (c *Client) Brokers(ctx context.Context) (int, error) {
	res, err := c.roundTrip(ctx, &metadata.Request{TopicNames: []string{}})
	if err != nil {
		return 0, fmt.Errorf("metadata: %w", err)
	}
	return len(res.(*metadata.Response).Brokers), nil
}

// ListOffsets asks the partition's leader for an offset: kafka.FirstOffset for the
// log start, kafka.LastOffset for the log end, or milliseconds since 1970 for the
// first record that is not older, which is the log end when there is none.
// The answer comes from the broker, never from a cache; the error is a
// kafka.Error when the broker gave one.
func (c *Client) ListOffsets(ctx context.Context, topic string, partition int, at int64) (int64, error) {
	return c.listOffsets(ctx, TopicPartition{topic, partition}, at, readUncommitted)
}

func (c *Client) listOffsets(ctx context.Context, tp TopicPartition, at int64, isolation int8) (int64, error) {
	topic, partition := tp.Topic, tp.Partition
	res, err := c.roundTrip(ctx, &listoffsets.Request{
		ReplicaID:      -1,
		IsolationLevel: isolation,
		Topics: []listoffsets.RequestTopic{{Topic: topic, Partitions: []listoffsets.RequestPartition{
			{Partition: int32(partition), CurrentLeaderEpoch: -1, Timestamp: at},
		}}},
	})
	if err != nil {
		return 0, fmt.Errorf("list offsets of %s/%d: %w", topic, partition, err)
	}
	for _, t := range res.(*listoffsets.Response).Topics {
		for _, p := range t.Partitions {
			switch {
			case p.ErrorCode != 0:
				return 0, fmt.Errorf("list offsets of %s/%d: %w", topic, partition, kafka.Error(p.ErrorCode))
			case p.Offset >= 0:
				return p.Offset, nil
			case at >= 0:
				return c.listOffsets(ctx, tp, kafka.LastOffset, isolation)
			}
		}
	}
	return 0, fmt.Errorf("list offsets of %s/%d: no answer", topic, partition)
}

// Committed is what a group has committed for a partition.
type Committed struct {
	Offset   int64 // -1: nothing
	Metadata string
	Err      error // this partition's answer; the others may be fine
}

// CommittedOffsets asks the coordinator what the group has committed. The error
// is about the request; each partition carries its own.
func (c *Client) CommittedOffsets(ctx context.Context, group string, topics map[string][]int) (map[TopicPartition]Committed, error) {
	req := &offsetfetch.Request{GroupID: group, Topics: []offsetfetch.RequestTopic{}}
	for topic, partitions := range topics {
		t := offsetfetch.RequestTopic{Name: topic}
		for _, p := range partitions {
			t.PartitionIndexes = append(t.PartitionIndexes, int32(p))
		}
		req.Topics = append(req.Topics, t)
	}
	res, err := c.roundTrip(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("offsets of group %q: %w", group, err)
	}
	answer := res.(*offsetfetch.Response)
	if answer.ErrorCode != 0 {
		return nil, fmt.Errorf("offsets of group %q: %w", group, kafka.Error(answer.ErrorCode))
	}
	committed := map[TopicPartition]Committed{}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			v := Committed{Offset: p.CommittedOffset, Metadata: p.Metadata}
			if p.ErrorCode != 0 {
				v.Err = kafka.Error(p.ErrorCode)
			}
			committed[TopicPartition{t.Name, int(p.PartitionIndex)}] = v
		}
	}
	return committed, nil
}

// CommitRequest commits offsets as a member of a generation.
type CommitRequest struct {
	Group      string
	Generation int
	Member     string
	Partitions []PartitionCommit
}

// PartitionCommit is the offset of the next record to read, and a note beside it.
type PartitionCommit struct {
	TopicPartition
	Offset   int64
	Metadata string
}

// Commit sends r to the coordinator and returns the code of each partition, 0 for
// accepted. A partition without an entry was not answered. The error is about the
// request, whose outcome is then unknown.
//
// kafka-go's own commit says "leader epoch 0", which a later consumer could take
// for the truth, and reports only the first partition's error.
func (c *Client) Commit(ctx context.Context, r CommitRequest) (map[TopicPartition]kafka.Error, error) {
	req := &offsetcommit.Request{GroupID: r.Group, GenerationID: int32(r.Generation), MemberID: r.Member, RetentionTimeMs: -1}
	at := map[string]int{}
	for _, p := range r.Partitions {
		i, ok := at[p.Topic]
		if !ok {
			i = len(req.Topics)
			at[p.Topic] = i
			req.Topics = append(req.Topics, offsetcommit.RequestTopic{Name: p.Topic})
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, offsetcommit.RequestPartition{
			PartitionIndex:       int32(p.Partition),
			CommittedOffset:      p.Offset,
			CommitTimestamp:      -1,
			CommittedLeaderEpoch: -1,
			CommittedMetadata:    p.Metadata,
		})
	}
	res, err := c.roundTrip(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("commit for group %q: %w", r.Group, err)
	}
	codes := make(map[TopicPartition]kafka.Error, len(r.Partitions))
	for _, t := range res.(*offsetcommit.Response).Topics {
		for _, p := range t.Partitions {
			codes[TopicPartition{t.Name, int(p.PartitionIndex)}] = kafka.Error(p.ErrorCode)
		}
	}
	return codes, nil
}

// LeaveGroup takes the member out of the group, so that its partitions are handed
// on at once and not when its session expires. A member that is already gone is
// no error.
func (c *Client) LeaveGroup(ctx context.Context, group, member string) error {
	res, err := c.roundTrip(ctx, &leavegroup.Request{
		GroupID: group,
		Members: []leavegroup.RequestMember{{MemberID: member}},
	})
	if err != nil {
		return fmt.Errorf("leave group %q: %w", group, err)
	}
	answer := res.(*leavegroup.Response)
	code := kafka.Error(answer.ErrorCode)
	for _, m := range answer.Members {
		if code == 0 {
			code = kafka.Error(m.ErrorCode)
		}
	}
	if code != 0 && code != kafka.UnknownMemberId {
		return fmt.Errorf("leave group %q: %w", group, code)
	}
	return nil
}

// String names the brokers.
func (c *Client) String() string { return strings.Join(c.brokers, ",") }
