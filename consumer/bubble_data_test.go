package consumer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shardEmail is what the users of one shard have in common.
const shardEmail = planted + "@shard.example.org"

// writeShard writes all users at once; those that are in the shard get its email.
func (b *bubble) writeShard(users []string, in func(i int) bool) {
	records := make([]*kgo.Record, len(users))
	for i, user := range users {
		email := planted + "@example.org"
		if in(i) {
			email = shardEmail
		}
		b.rows[user] = name(i)
		value := fmt.Sprintf(`{"before":null,"after":{"id":%s,"full_name":%q,"email":%q},"op":"c"}`, user, name(i), email)
		records[i] = &kgo.Record{Partition: b.partitionOf(user), Key: []byte(keyOf(user)), Value: []byte(value)}
	}
	for i, c := range b.raw(records...) {
		b.ledger.wrote(c, users[i], name(i))
	}
}

// behind is how many records of the topic a group has not committed.
func (b *bubble) behind(dest string) int64 {
	var n int64
	for tp, end := range b.ends {
		n += end - b.ledger.committed(dest, tp)
	}
	return n
}

// grow gives the topic more partitions; users move to their new ones at once.
func (b *bubble) grow(partitions int) {
	b.t.Helper()
	b.more("users", partitions)
	b.parts = partitions
	b.out = b.kafka.producer() // the old one does not know of them yet
	time.Sleep(10 * time.Millisecond)
}

// more gives a topic more partitions.
func (b *bubble) more(topic string, partitions int) {
	b.t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, int32(partitions)
	req.Topics, req.TimeoutMillis = append(req.Topics, t), 1000
	res, err := req.RequestWith(b.t.Context(), b.out)
	if err != nil || res.Topics[0].ErrorCode != 0 {
		b.t.Fatalf("adding partitions: %v, %+v", err, res)
	}
}

// bodyField is a field of a payload.
func bodyField(body []byte, field string) string {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return ""
	}
	s, _ := fields[field].(string)
	return s
}

// number is the n of name(n), or -1.
func number(name string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(name, planted+" "))
	if err != nil {
		return -1
	}
	return n
}
