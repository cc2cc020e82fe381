package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"usersync/e2e/process"
	"usersync/e2e/worker"
)

// used is what a process took.
type used struct {
	cpu    time.Duration // user and system
	peak   int64         // resident bytes
	lasted time.Duration // from its start until it was done
	joined time.Time     // when a group had its partitions
	share  float64       // of the records that were committed by then; 1 unless it was cut short
	output []byte
}

// run has a contender do a job, and ends it when it is done or the limit is over.
func (b *bench) run(ctx context.Context, c contender, j job) (used, error) {
	u, err := b.runProcess(ctx, c, j)
	if err != nil {
		return used{}, fmt.Errorf("%s: %w", j.name, err)
	}
	return u, nil
}

func (b *bench) runProcess(ctx context.Context, c contender, j job) (used, error) {
	if c.kind == group {
		if err := b.coordinated(ctx, c.groupID(j)); err != nil {
			return used{}, err
		}
	}
	began := time.Now()
	p, err := b.start(c, j)
	if err != nil {
		return used{}, err
	}
	defer p.Kill()
	u := used{share: 1}
	if c.kind == group {
		u.joined, u.share, err = b.untilCommitted(ctx, c, j, p)
	} else {
		err = b.untilSaid(ctx, p)
	}
	if err != nil {
		return used{}, err
	}
	u.lasted = time.Since(began)
	if u.peak, err = peak(p.Pid()); err != nil {
		return used{}, err
	}
	if err := p.End(ctx, syscall.SIGTERM, time.Minute); err != nil {
		return used{}, err
	}
	u.cpu = p.CPU()
	u.output, err = os.ReadFile(p.Stdout())
	return u, err
}

// start starts a contender. The caller ends it.
func (b *bench) start(c contender, j job) (*process.Process, error) {
	args, err := c.args(b, j)
	if err != nil {
		return nil, err
	}
	path := b.binaries[c.pkg]
	if c.pkg == "" {
		path = "java"
	}
	return process.Start(process.Command{Name: j.name, Path: path, Args: args, Logs: b.dir})
}

// often is the time between two questions whether a contender is done. The asking takes
// part of the same processors.
const often = 50 * time.Millisecond

// wait polls until done says so, or the limit is over, which it reports.
func wait(ctx context.Context, limit time.Duration, p *process.Process, done func(context.Context) (bool, error)) (over bool, err error) {
	deadline := time.After(limit)
	for tick := time.Tick(often); ; {
		ok, err := done(ctx)
		if ok || err != nil {
			return false, err
		}
		select {
		case <-tick:
		case <-deadline:
			return true, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-p.Done():
			text, err := os.ReadFile(p.Stderr())
			return false, errors.Join(fmt.Errorf("it ended by itself:\n%s", text[max(0, len(text)-4000):]), err)
		}
	}
}

// startLimit is how long a contender may take before it has joined its group, and how long
// what is not bounded otherwise may take.
const startLimit = 2 * time.Minute

// untilSaid waits for the line that a contender without a group ends its work with.
func (b *bench) untilSaid(ctx context.Context, p *process.Process) error {
	over, err := wait(ctx, max(b.limit, startLimit), p, func(context.Context) (bool, error) {
		info, err := os.Stat(p.Stdout())
		return err == nil && info.Size() > 0, err
	})
	if over {
		return errors.New("it is not done in time")
	}
	return err
}

// untilCommitted waits until a group has joined, has committed all records and has no call
// in flight, and returns when it had joined, and the share of the records that it has
// committed: below 1 if the limit was over first.
func (b *bench) untilCommitted(ctx context.Context, c contender, j job, p *process.Process) (joined time.Time, share float64, err error) {
	over, err := wait(ctx, startLimit, p, func(ctx context.Context) (bool, error) { return b.joined(ctx, c.groupID(j)) })
	if over {
		err = errors.New("it has not joined its group in time")
	}
	if err != nil {
		return joined, 0, err
	}
	joined = time.Now()
	_, err = wait(ctx, j.limit, p, func(ctx context.Context) (bool, error) {
		var err error
		share, err = b.committed(ctx, c.groupID(j), j)
		if share < 1 || err != nil {
			return false, err
		}
		return b.atRest(ctx, j, p)
	})
	return joined, share, err
}

// atRest reports whether a contender that has committed everything has nothing left to do.
func (b *bench) atRest(ctx context.Context, j job, p *process.Process) (bool, error) {
	if j.vendor == nil {
		return j.state == "" || loaded(ctx, j, p), nil
	}
	stats, err := j.vendor.stats(ctx)
	return stats.InFlight == 0, err
}

// coordinated waits until the broker coordinates a group. On a busy machine it takes seconds
// to make what that needs, and not everyone who is compared here would try again.
func (b *bench) coordinated(ctx context.Context, group string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		_, err := b.kafka.Committed(ctx, group)
		if !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-time.After(often):
		case <-ctx.Done():
			return err
		}
	}
}

// joined reports whether a group has a member that has its partitions.
func (b *bench) joined(ctx context.Context, group string) (bool, error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	resp, err := req.RequestWith(ctx, b.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Groups[0].ErrorCode)
	}
	switch {
	case errors.Is(err, kerr.GroupIDNotFound), kerr.IsRetriable(err):
		return false, nil
	case err != nil:
		return false, err
	}
	return resp.Groups[0].State == "Stable" && len(resp.Groups[0].Members) > 0, nil
}

// committed returns the share of the job's records that a group has committed.
func (b *bench) committed(ctx context.Context, group string, j job) (float64, error) {
	offsets, err := b.kafka.Committed(ctx, group)
	if kerr.IsRetriable(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var done, records int64
	for p, to := range j.to {
		from := j.from[p]
		records += to - from
		if c, ok := offsets[j.topic][int32(p)]; ok {
			done += min(max(c.Offset-from, 0), to-from)
		}
	}
	if records == 0 {
		return 1, nil
	}
	return float64(done) / float64(records), nil
}

// loaded reports whether a worker knows of every user what was delivered.
func loaded(ctx context.Context, j job, p *process.Process) bool {
	w := worker.Worker{Process: p, Name: j.name}
	_, body, err := w.Ask(ctx, "/metrics")
	if err != nil {
		return false // it does not listen yet
	}
	users, _, err := worker.Sum(body, "state_entries")
	if err == nil && users >= float64(j.Distinct) {
		return true
	}
	// Each answer takes the worker some of the time that is measured.
	select {
	case <-time.After(10 * often):
	case <-ctx.Done():
	}
	return false
}

// peak returns the most memory that a process ever had resident. The kernel's figure for
// an ended child is no use: it begins with the memory of the process that started it.
func peak(pid int) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, fmt.Errorf("peak memory (it takes Linux): %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("peak memory: the kernel does not say VmHWM")
}

// spent returns the time of processors that a running process has taken, to about 10 ms.
func spent(pid int) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may have spaces. Behind it are the state, ten more numbers,
	// and the user's and the system's time in hundredths of a second.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var all time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		all += time.Duration(n) * 10 * time.Millisecond
	}
	return all, nil
}

// said is what a reader says of its own work.
type said struct {
	Records int
	Seconds float64
}

func (u used) said() (s said, err error) {
	err = json.Unmarshal(u.output, &s)
	return s, err
}
