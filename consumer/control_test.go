package consumer

import (
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// compact is the configuration of a control topic.
var compact = map[string]string{"cleanup.policy": "compact"}

// inControl runs test with a control topic, and a client that knows it.
func inControl(t *testing.T, test func(t *testing.T, k *fakeKafka, topic *ControlTopic)) {
	t.Helper()
	inKafka(t, func(t *testing.T, k *fakeKafka) {
		if err := k.CreateTopic("control", 1, compact); err != nil {
			t.Fatal(err)
		}
		test(t, k, NewControlTopic(k.client("control"), "control"))
	})
}

// TestControlTopic writes and removes records of every kind: of each key the newest
// holds, for its own destination and partition only.
func TestControlTopic(t *testing.T) {
	inControl(t, func(t *testing.T, _ *fakeKafka, topic *ControlTopic) {
		at, later := time.UnixMilli(1_000).UTC(), time.UnixMilli(2_000).UTC()
		users1, dead0 := TopicPartition{"app.users", 1}, TopicPartition{"dead", 0}
		halt := Halt{Destination: "haptik", TopicPartition: users1, At: at, Reason: "corrupt", Offset: 7}
		loss := Loss{Destination: "haptik", TopicPartition: users1, At: later, Halted: at, Offset: 9}
		letter := Handled{TopicPartition: dead0, Offset: 3, At: at, How: HandledDiscarded, Written: later}
		write := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		write(topic.Put(t.Context(), Pause{"taptalk", at}, Pause{"haptik", at}, Accept{"taptalk", at}, halt, loss, letter))
		write(topic.Put(t.Context(), Accept{"taptalk", later}))
		write(topic.Remove(t.Context(), Pause{Destination: "haptik"}))
		c, err := topic.Read(t.Context())
		write(err)
		if p, ok := c.Paused("taptalk"); !ok || !p.At.Equal(at) {
			t.Errorf("taptalk is paused: %v, %+v", ok, p)
		}
		if _, ok := c.Paused("haptik"); ok {
			t.Error("haptik is paused although that was taken back")
		}
		if a, ok := c.Accepted("taptalk"); !ok || !a.At.Equal(later) {
			t.Errorf("accepted: %v, %+v", ok, a)
		}
		if _, ok := c.Accepted("haptik"); ok {
			t.Error("one destination's letters are accepted for the other")
		}
		if got := c.Halts("haptik"); !reflect.DeepEqual(got, []Halt{halt}) || c.Halts("taptalk") != nil {
			t.Errorf("halts %+v", got)
		}
		if got, _ := c.Loss("haptik", users1); got != loss {
			t.Errorf("loss %+v", got)
		}
		if _, ok := c.Loss("haptik", TopicPartition{"app.users", 11}); ok {
			t.Error("a loss of one partition is accepted for another")
		}
		if got, _ := c.Handled(dead0, 3, later); got != letter {
			t.Errorf("letter %+v", got)
		}
		if _, ok := c.Handled(dead0, 3, at); ok {
			t.Error("one letter's record is taken for that of another one at its place")
		}
		if _, ok := c.Handled(dead0, 4, later); ok {
			t.Error("one letter's record is taken for another's")
		}
	})
}

// TestControlIgnores reads what no such program writes: it is passed over and counted.
func TestControlIgnores(t *testing.T) {
	inControl(t, func(t *testing.T, k *fakeKafka, topic *ControlTopic) {
		bad := map[string]string{
			"":                        `{"v":1}`,
			"pause":                   `{"v":1}`,
			"pause/taptalk/x":         `{"v":1}`,
			"resume/taptalk":          `{"v":1}`,
			"pause/taptalk":           `{"v":2,"at":"2026-01-01T00:00:00Z"}`,
			"accept/taptalk":          `{"v":1,"at":"yesterday"}`,
			"accept/haptik":           `nothing`,
			"halt/taptalk/users/none": `{"v":1}`,
			"letter/dead/0/":          `{"v":1}`,
		}
		for key, value := range bad {
			k.produce(&kgo.Record{Topic: "control", Key: []byte(key), Value: []byte(value)})
		}
		c, err := topic.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.Ignored != len(bad) || len(c.records) > 0 {
			t.Errorf("%d of %d are ignored, and taken for good: %v", c.Ignored, len(bad), c.records)
		}
	})
}

// TestControlCheck asks whether the topic is as it must be, and how it is mended.
func TestControlCheck(t *testing.T) {
	for name, c := range map[string]struct {
		partitions int32 // 0: there is none
		policy     string
		want       string
	}{
		"fine":       {1, "compact", ""},
		"missing":    {0, "", "missing"},
		"partitions": {2, "compact", "control_partitions"},
		"deleted":    {1, "delete", "control_not_compacted"},
		"both":       {1, "compact,delete", "control_not_compacted"},
	} {
		t.Run(name, func(t *testing.T) {
			inKafka(t, func(t *testing.T, k *fakeKafka) {
				if c.partitions > 0 {
					if err := k.CreateTopic("control", c.partitions, map[string]string{"cleanup.policy": c.policy}); err != nil {
						t.Fatal(err)
					}
				}
				findings, err := NewControlTopic(k.client("control"), "control").Check(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				for _, f := range findings {
					got += f.Code
				}
				if got != c.want {
					t.Errorf("found %v, want %q", findings, c.want)
				}
			})
		})
	}
}
