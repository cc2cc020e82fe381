package app

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"usersync/consumer/event"
	usync "usersync/sync"
)

// TestCensus: within a partition the log is the order, whatever the clock says; between
// two the clock is.
func TestCensus(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		out, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.ListenAddrs()...), kgo.Dialer(b.net.DialContext), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		start := time.Now()
		put := func(partition int32, user int, after time.Duration, name string) {
			t.Helper()
			r := &kgo.Record{
				Topic: "users", Partition: partition, Timestamp: start.Add(after), Key: fmt.Appendf(nil, `{"id":%d}`, user),
				Value: fmt.Appendf(nil, `{"id":%d,"full_name":%q}`, user, name),
			}
			if name == "" {
				r.Value = nil
			}
			if err := out.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		put(0, 1, time.Hour, "a")
		put(0, 1, time.Minute, "b") // the newest, by a clock that was set back
		put(1, 2, 0, "a")
		put(0, 2, time.Minute, "b") // the user moved here
		put(0, 3, time.Minute, "a")
		put(1, 3, 0, "b") // the user moved away from there
		put(1, 4, 0, "a")
		put(1, 4, 0, "") // deleted
		b.row(5, `bad`)
		b.row(6, `"full_name":"a"`)
		b.row(6, `bad`)

		var said bytes.Buffer
		d, err := newDesk(b.config(), "test", &said, b.outside())
		if err != nil {
			t.Fatal(err)
		}
		defer d.close()
		c, err := take(t.Context(), d, d.targets[0].decoder, nameIn)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.users) != 6 || c.undecodable != 2 || c.several != 2 {
			t.Errorf("%d users, %d undecodable, %d in several partitions", len(c.users), c.undecodable, c.several)
		}
		for user, want := range map[string]string{"1": "users/0 b", "2": "users/0 b", "3": "users/0 a", "4": "users/1 deleted", "6": "users/1 undecodable"} {
			n := c.users[d.user(user)]
			if n.op == usync.Delete {
				n.mark = "deleted"
			}
			at := c.position(n)
			if got := fmt.Sprintf("%s/%d %s", at.Topic, at.Partition, n.mark); got != want {
				t.Errorf("user %s: %s, want %s", user, got, want)
			}
		}
	})
}

// nameIn is what TestCensus keeps of a record.
func nameIn(_ *event.Record, c *usync.Change) string {
	if c == nil {
		return "undecodable"
	}
	v, _ := c.Columns.Get("full_name")
	name, _ := v.(string)
	return name
}

// TestProgress: somebody who waits for hours is told how far it is.
func TestProgress(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *bubble) {
		var said buffer
		p := startProgress(&said, "reading users", 10)
		p.add(4, 5)
		time.Sleep(progressEvery + time.Second) // virtual time
		p.add(1_234_563, 5)
		time.Sleep(progressEvery)
		p.stop()
		if got := said.String(); got != "reading users: 4 records, 50%\nreading users: 1,234,567 records, 100%\n" {
			t.Error(got)
		}
	})
}

func TestEffort(t *testing.T) {
	for _, tt := range []struct {
		calls int
		rate  float64
		want  string
	}{
		{0, 20, "no calls"},
		{1000, 0, "1,000 calls, without a rate limit"},
		{1001, 20, "1,001 calls, 51s at 20 a second"},
		{10_000_000, 20, "10,000,000 calls, 138.9 hours at 20 a second"},
	} {
		if got := effort(tt.calls, tt.rate); got != tt.want {
			t.Errorf("%d at %g: %s, want %s", tt.calls, tt.rate, got, tt.want)
		}
	}
}

// BenchmarkCensus reports what a user costs in memory while their newest rows are
// searched for, with what an audit of two destinations keeps of each.
func BenchmarkCensus(b *testing.B) {
	decoder, err := event.New(event.Config{Format: "json", UserID: "id", Columns: []string{"name"}})
	if err != nil {
		b.Fatal(err)
	}
	const users = 200_000
	padding := strings.Repeat("x", 400)
	for b.Loop() {
		c := &census[auditMark]{
			hash: newUserKeys("key"), users: map[userKey]newest[auditMark]{},
			mark: func(*event.Record, *usync.Change) auditMark { return auditMark{} },
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		for i := range users {
			c.count(0, decoder, &event.Record{
				Offset: int64(i), Key: fmt.Appendf(nil, `{"id":%d}`, i),
				Value: fmt.Appendf(nil, `{"id":%d,"name":"n","bio":"%s"}`, i, padding),
			})
		}
		took := time.Since(began)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/users, "B/user")
		b.ReportMetric(users/took.Seconds(), "records/s")
		if len(c.users) != users {
			b.Fatalf("%d users", len(c.users))
		}
	}
}
