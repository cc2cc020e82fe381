package consumer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	usync "usersync/sync"
)

// inDeadLetters runs test with a source topic that holds one record, at offset 0
// of partition 0, and a dead-letter topic of many partitions.
func inDeadLetters(t *testing.T, source *kgo.Record, test func(t *testing.T, k *fakeKafka, d *deadLetters)) {
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		for topic, partitions := range map[string]int32{"users": 1, "dead": 31} {
			limit := map[string]string{"users": "1000000", "dead": "2000"}[topic]
			if err := k.CreateTopic(topic, partitions, map[string]string{"max.message.bytes": limit}); err != nil {
				t.Fatal(err)
			}
		}
		source.Topic = "users"
		k.produce(source)
		test(t, k, &deadLetters{client: k.client("users", "dead"), topic: "dead", version: "v1.2.3"})
	})
}

// consume returns the only record of the dead-letter topic.
func consume(t *testing.T, k *fakeKafka) *kgo.Record {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.Dialer(k.net.DialContext), kgo.ConsumeTopics("dead"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fetches := c.PollFetches(ctx)
	if err := fetches.Err(); err != nil || fetches.NumRecords() != 1 {
		t.Fatalf("%d dead letters, error %v", fetches.NumRecords(), err)
	}
	return fetches.Records()[0]
}

func headersOf(r *kgo.Record) map[string]string {
	m := map[string]string{}
	for _, h := range r.Headers {
		m[h.Key] += string(h.Value)
	}
	return m
}

func columnsNamed(name string) usync.Columns { return usync.ColumnsOf(map[string]any{"name": name}) }

func aLetter() letter {
	return letter{
		Position:    usync.Position{Topic: "users", Partition: 0, Offset: 0},
		Destination: "taptalk", Reason: "rejected", Code: "40002", Field: "email", Attempts: 3,
		FailedAt:   time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC),
		SourceTime: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC),
		Key:        []byte(`{"id":7}`),
		Columns:    usync.ColumnsOf(map[string]any{"id": int64(7), "name": "<Ann>", "bio": usync.Unavailable{}}),
	}
}

func TestDeadLetterIsTheOriginal(t *testing.T) {
	source := &kgo.Record{Key: []byte(`{"id":7}`), Value: []byte("the value"), Headers: []kgo.RecordHeader{
		{Key: "__op", Value: []byte("u")}, {Key: "usersync.reason", Value: []byte("of an earlier time")},
	}}
	inDeadLetters(t, source, func(t *testing.T, k *fakeKafka, d *deadLetters) {
		if err := d.write(t.Context(), aLetter()); err != nil {
			t.Fatal(err)
		}
		got := consume(t, k)
		if string(got.Key) != `{"id":7}` || string(got.Value) != "the value" {
			t.Errorf("key %q, value %q", got.Key, got.Value)
		}
		if want := javaPartition(t, got.Key, 31); got.Partition != want {
			t.Errorf("in partition %d, want %d", got.Partition, want)
		}
		want := map[string]string{
			"__op": "u", "usersync.destination": "taptalk", "usersync.reason": "rejected", "usersync.error": "40002 (field email)",
			"usersync.source.topic": "users", "usersync.source.partition": "0", "usersync.source.offset": "0",
			"usersync.source.timestamp": "2026-03-01T11:00:00.000Z", "usersync.attempts": "3",
			"usersync.failed_at": "2026-03-01T12:00:00.005Z", "usersync.version": "v1.2.3",
		}
		headers := headersOf(got)
		for name, value := range want {
			if headers[name] != value {
				t.Errorf("header %s is %q, want %q", name, headers[name], value)
			}
		}
		if len(headers) != len(want) {
			t.Errorf("headers %v", headers)
		}
	})
}

// javaPartition asks franz-go, whose default hash is that of the Java client, where
// a record with this key belongs.
func javaPartition(t *testing.T, key []byte, partitions int) int32 {
	t.Helper()
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("dead").Partition(&kgo.Record{Key: key}, partitions))
}

func TestDeadLetterKeepsNulls(t *testing.T) {
	inDeadLetters(t, &kgo.Record{Key: []byte("k"), Value: nil}, func(t *testing.T, k *fakeKafka, d *deadLetters) {
		if err := d.write(t.Context(), aLetter()); err != nil {
			t.Fatal(err)
		}
		if got := consume(t, k); got.Value != nil || headersOf(got)["usersync.form"] != "" {
			t.Errorf("value %q, headers %v", got.Value, headersOf(got))
		}
	})
}

func TestDeadLetterForms(t *testing.T) {
	large := strings.Repeat("x", 5000)
	key := []byte(`{ "id": 7 }`) // the record's; the letter's own stands in for it
	columns := `{"id":7,"name":"<Ann>"}`
	for name, tc := range map[string]struct {
		source           *kgo.Record
		gone             bool
		edit             func(*letter)
		form, key, value string
	}{
		"the record is gone":         {source: &kgo.Record{Key: key, Value: []byte("v")}, gone: true, form: "columns", key: `{"id":7}`, value: columns},
		"its value is too large":     {source: &kgo.Record{Key: key, Value: []byte(large)}, form: "columns", key: string(key), value: columns},
		"its headers are too large":  {source: &kgo.Record{Key: key, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(large)}}}, form: "columns", key: string(key), value: columns},
		"the columns are too large":  {source: &kgo.Record{Key: key, Value: []byte(large)}, edit: func(l *letter) { l.Columns = columnsNamed(large) }, form: "reference", key: string(key)},
		"gone, and no columns":       {source: &kgo.Record{Value: []byte("v")}, gone: true, edit: func(l *letter) { l.Columns = usync.Columns{} }, form: "reference", key: `{"id":7}`},
		"even the key is too large":  {source: &kgo.Record{Key: []byte(large)}, form: "reference"},
		"columns that have no value": {source: &kgo.Record{Value: []byte("v")}, gone: true, edit: func(l *letter) { l.Columns = usync.ColumnsOf(map[string]any{"f": func() {}}) }, form: "reference", key: `{"id":7}`},
	} {
		t.Run(name, func(t *testing.T) {
			inDeadLetters(t, tc.source, func(t *testing.T, k *fakeKafka, d *deadLetters) {
				if tc.gone {
					if err := k.DeleteRecords("users", 0, 1); err != nil {
						t.Fatal(err)
					}
				}
				l := aLetter()
				if tc.edit != nil {
					tc.edit(&l)
				}
				if err := d.write(t.Context(), l); err != nil {
					t.Fatal(err)
				}
				got := consume(t, k)
				if f := headersOf(got)["usersync.form"]; f != tc.form || string(got.Key) != tc.key || string(got.Value) != tc.value {
					t.Errorf("form %q, key %.40q, value %.40q", f, got.Key, got.Value)
				}
			})
		})
	}
}

// Only an acknowledgement by all replicas lets the offset pass.
func TestDeadLetterAsksForAllReplicas(t *testing.T) {
	inDeadLetters(t, &kgo.Record{Value: []byte("v")}, func(t *testing.T, k *fakeKafka, d *deadLetters) {
		var acks int16
		k.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			acks = r.(*kmsg.ProduceRequest).Acks
			return nil, nil, false
		})
		if err := d.write(t.Context(), aLetter()); err != nil || acks != -1 {
			t.Errorf("acks %d, error %v", acks, err)
		}
	})
}

func TestDeadLetterFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		key   kmsg.Key
		err   *kerr.Error
		topic string
		want  error
	}{
		"replicas are missing":      {kmsg.Produce, kerr.NotEnoughReplicas, "dead", kafka.NotEnoughReplicas},
		"no topic":                  {kmsg.Produce, kerr.NotEnoughReplicas, "nowhere", kafka.UnknownTopicOrPartition},
		"the source cannot be read": {kmsg.Fetch, kerr.NotLeaderForPartition, "dead", kafka.NotLeaderForPartition},
	} {
		t.Run(name, func(t *testing.T) {
			inDeadLetters(t, &kgo.Record{Key: []byte("secret"), Value: []byte("secret")}, func(t *testing.T, k *fakeKafka, d *deadLetters) {
				k.Fault(kfake.Fault{Keys: []kmsg.Key{tc.key}, Err: tc.err, Count: -1})
				d.topic = tc.topic
				l := aLetter()
				l.Columns = columnsNamed("secret")
				err := d.write(t.Context(), l)
				if !errors.Is(err, tc.want) {
					t.Fatalf("error %v, want %v", err, tc.want)
				}
				if strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "users/0@0") {
					t.Errorf("error text: %v", err)
				}
				if k.TopicInfo("nowhere") != nil {
					t.Error("the topic was created")
				}
			})
		})
	}
}
