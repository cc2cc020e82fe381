package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"usersync/e2e/broker"
	"usersync/e2e/worker"
)

var (
	stateUsers = flag.String("state-users", "10000", "of how many users TestStateLoads has a worker load the state, such as 100000,1000000")
	stateBatch = flag.Int("state-batch", 1, "how many records a batch of that state has: one is what a rate limit leaves of them")
)

// statePartitions is how many the topics of TestStateLoads have.
const statePartitions = 6

// TestStateLoads: what workers that are gone have written of each user is known to the
// next one before it reads a change. Its log says how long that takes and how much
// memory, beside a worker with nothing to load.
func TestStateLoads(t *testing.T) {
	d := deploy(t, statePartitions, nil)
	d.Config["kafka.state_topic_create"] = false
	for _, key := range []string{"base_url", "client_id", "token", "timeout", "rate_limit"} {
		d.Config["destinations.haptik."+key] = nil
	}
	t.Logf("%10s %10s %8s %8s %8s %12s", "users", "records", "seconds", "of CPU", "MB", "MB at most")
	for _, n := range append([]string{"0"}, strings.Split(*stateUsers, ",")...) {
		users, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		d.Config["kafka.state_topic"], d.Config["kafka.group_id"] = "state-"+n, "loading-"+n
		records := leaveState(t, d, users)
		w := d.Launch(t, "loading-"+n, nil)
		worker.Until(t, 10*time.Minute, "the state is loaded", func() bool { return len(w.Lines("the state is loaded")) == statePartitions })
		last := slices.MaxFunc(w.Lines("the state is loaded"), func(a, b worker.Line) int { return a.Time.Compare(b.Time) })
		took := last.Time.Sub(w.Lines("joined")[0].Time)
		u := usageOf(w.Pid())
		t.Logf("%10d %10d %8.1f %8.1f %8d %12d", users, records, took.Seconds(), u.cpu, u.now, u.most)
		worker.Until(t, worker.Limit, "all of them are known, and nobody else", func() bool {
			known, series := w.Metric("state_entries")
			return series == 1 && known == float64(users)
		})
		w.Stop()
	}
}

// leaveState writes what two owners of each partition leave behind, one after the other,
// and commits what the second certifies. It returns how many records that are.
func leaveState(t *testing.T, d *worker.Deployment, users int) int {
	t.Helper()
	topic := d.Config["kafka.state_topic"].(string)
	create(t, d.Broker, topic, statePartitions, map[string]string{"cleanup.policy": "compact"})
	transport := new(kafka.Transport) // a new one, which has never heard that there is no such topic
	defer transport.CloseIdleConnections()
	var group errgroup.Group
	var ends [statePartitions]int64
	for p := range statePartitions {
		group.Go(func() error {
			if _, _, err := d.Broker.Offsets(t.Context(), topic, int32(p)); err != nil { // waits for its leader
				return err
			}
			client := &kafka.Client{Addr: kafka.TCP(d.Broker.Addrs()...), Transport: transport}
			// Nothing is believed about a change that the source does not have. This is of nobody.
			source := stateLog{client: client, topic: "users", partition: p}
			if _, err := source.write(t.Context(), kafka.Record{}); err != nil {
				return err
			}
			l := stateLog{client: client, topic: topic, partition: p, prefix: d.Group(worker.TapTalk) + "/users/"}
			marker, err := l.leave(t.Context(), (users+statePartitions-1-p)/statePartitions)
			if err != nil {
				return err
			}
			ends[p] = l.end
			note := fmt.Sprintf("usersync/1 end=0 born=%d drained state=2.0@%d+%d", statePartitions, marker, ends[p])
			return d.Broker.SetOffset(t.Context(), d.Group(worker.TapTalk), "users", int32(p), broker.Committed{Metadata: note})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, end := range ends {
		records += int(end)
	}
	return records
}

// stateLog is a partition of the state topic, written as consumer/state_record.go says and
// by nothing that the worker uses for it.
type stateLog struct {
	client    *kafka.Client
	topic     string
	partition int
	prefix    string // of its keys

	mu  sync.Mutex
	end int64
}

// leave writes what two owners leave behind, of whom the first has seen a fifth of the
// users, and returns the offset of the second's marker.
func (l *stateLog) leave(ctx context.Context, users int) (marker int64, err error) {
	for owner, users := range []int{users / 5, users} {
		epoch := uint64(owner+1) << 24
		key := binary.BigEndian.AppendUint64([]byte(l.prefix), epoch)
		value := binary.BigEndian.AppendUint64(binary.AppendUvarint([]byte{1}, epoch), 1)
		if marker, err = l.write(ctx, kafka.Record{Key: kafka.NewBytes(key), Value: kafka.NewBytes(value)}); err != nil {
			return 0, err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(8) // the order of users does not matter
		for from := 0; from < users; from += *stateBatch {
			group.Go(func() error {
				batch := make([]kafka.Record, min(*stateBatch, users-from))
				for i := range batch {
					batch[i] = l.held(from+i, epoch)
				}
				_, err := l.write(ctx, batch...)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return 0, err
		}
	}
	return marker, nil
}

// held is the record that says what the destination has of a user.
func (l *stateLog) held(user int, epoch uint64) kafka.Record {
	hash := sha256.Sum256(fmt.Append(nil, l.partition, user))
	key := append([]byte(l.prefix), hash[:16]...)
	const held, noCause, offset = 2, 0, 0
	value := append(binary.AppendUvarint([]byte{1}, epoch), held, noCause, offset)
	value = append(value, hash[16:]...)
	row := kafka.Header{Key: "row", Value: hash[16:24]}
	return kafka.Record{Key: kafka.NewBytes(key), Value: kafka.NewBytes(value), Headers: []kafka.Header{row}}
}

// write appends a batch and returns its offset. A broker with much to do may lose its
// lead for a moment. It may be called from several goroutines.
func (l *stateLog) write(ctx context.Context, batch ...kafka.Record) (base int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, worker.Limit)
	defer cancel()
	for tick := time.Tick(100 * time.Millisecond); ; {
		res, err := l.client.Produce(ctx, &kafka.ProduceRequest{
			Topic: l.topic, Partition: l.partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(batch...),
		})
		if err == nil {
			err = res.Error
		}
		if err == nil {
			l.written(res.BaseOffset + int64(len(batch)))
			return res.BaseOffset, nil
		}
		if code, ok := errors.AsType[kafka.Error](err); !ok || !code.Temporary() {
			return 0, fmt.Errorf("write to %s/%d: %w", l.topic, l.partition, err)
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return 0, fmt.Errorf("write to %s/%d: %w", l.topic, l.partition, err)
		}
	}
}

// written notes that the log is at least that long.
func (l *stateLog) written(end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = max(l.end, end)
}

// usage is what a process has needed so far, as far as the system says.
type usage struct {
	cpu  float64 // seconds
	now  int     // MB resident
	most int
}

// usageOf asks Linux; elsewhere it is zero.
func usageOf(pid int) (u usage) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		kb := 0
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			u.now = kb / 1024
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			u.most = kb / 1024
		}
	}
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if fields := strings.Fields(string(stat)); len(fields) > 14 {
		const perSecond = 100 // clock ticks; Linux shows no others
		user, _ := strconv.Atoi(fields[13])
		system, _ := strconv.Atoi(fields[14])
		u.cpu = float64(user+system) / perSecond
	}
	return u
}
