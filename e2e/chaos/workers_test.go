package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"usersync/consumer/trace"
	"usersync/e2e/ledger"
	"usersync/e2e/links"
	"usersync/e2e/worker"
)

// slots is how many workers there can be at once.
const slots = 4

// slot is the place of a worker, with ways of its own to Kafka.
type slot struct {
	number int
	wanted bool      // there is to be a worker
	held   bool      // but not now: the last one was ended by a fault that goes on
	after  time.Time // and not before this
	*member
}

// member is a worker in its slot.
type member struct {
	*worker.Worker
	vendors map[string]*links.Link // by destination
	read    int64                  // up to where its trace was
	told    time.Time              // to stop
	frozen  time.Time              // since when it is; stays until merging has gone past that
	thawed  time.Time
}

// sample is what a worker has said of itself.
type sample struct {
	*member
	at      time.Time
	ready   bool // so it owns partitions, and shows all there is
	metrics string
}

// running are the slots with a worker that was not told to stop, and is not frozen.
func (r *round) running() []*slot {
	var all []*slot
	for _, s := range r.slots {
		if s.member != nil && s.told.IsZero() && s.frozen.IsZero() {
			all = append(all, s)
		}
	}
	return all
}

// pick returns one of them, nil if there is none.
func (r *round) pick(f fault) *slot {
	if all := r.running(); len(all) > 0 {
		return all[f.Pick%len(all)]
	}
	return nil
}

// tend launches what is wanted and is not there, takes leave of what has ended, and
// reads traces.
func (r *round) tend(now time.Time) {
	for _, s := range r.slots {
		if s.member == nil {
			if s.wanted && !s.held && now.After(s.after) {
				r.launch(s)
			}
			continue
		}
		ended := false
		select {
		case <-s.Done():
			ended = true
		default:
		}
		if !ended {
			r.read(s.member, false)
		}
		switch {
		case ended && s.told.IsZero() && s.read == 0 && r.kafkaTroubled(now):
			// It may not join before Kafka has answered its first questions. Who runs it
			// starts it again.
			r.leave(s, ledger.Killed, now)
			s.after = now.Add(2 * time.Second)
		case ended && s.told.IsZero():
			r.t.Fatalf("seed %d: %s has ended by itself:\n%s", r.seed, s.Name, s.Last())
		case ended:
			if code := s.Exit(time.Second); code != 0 {
				r.t.Errorf("%s ended with code %d: %s", s.Name, code, s.Last())
			}
			r.find(ledger.Drain{Bound: drainBound}.Check(s.Name, s.told, now, now)...)
			r.drains = append(r.drains, now.Sub(s.told))
			r.leave(s, ledger.Exited, now)
		case !s.told.IsZero():
			r.find(ledger.Drain{Bound: 3 * drainBound}.Check(s.Name, s.told, time.Time{}, now)...)
		}
	}
}

// kafkaTroubled reports whether workers may not reach Kafka, or could not a moment ago.
func (r *round) kafkaTroubled(now time.Time) bool {
	for _, t := range r.tracks {
		if t.name != brokersTrack && t.name != linksTrack {
			continue
		}
		if t.now != nil || t.busy || now.Sub(t.ended) < connecting {
			return true
		}
	}
	return false
}

// callers is what the names of the round's workers begin with.
func (r *round) callers() string { return fmt.Sprintf("w%d-", r.number) }

func (r *round) launch(s *slot) {
	r.launched++
	name := fmt.Sprintf("%s%d", r.callers(), r.launched)
	toVendors, config, env := r.d.Links(r.t, name)
	config["kafka.brokers"] = r.p.Cluster.Via(s.number)
	r.config = config
	d := *r.d
	d.Env = append(slices.Clone(d.Env), env...)
	m := &member{vendors: toVendors}
	m.Worker = d.Launch(r.t, name, config)
	s.member = m
	r.beside.Go(func() {
		for tick := time.Tick(time.Second); ; {
			select {
			case <-tick:
			case <-m.Done():
				return
			case <-r.ctx.Done(): // a round that has failed waits for this before its workers are ended
				return
			}
			ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
			status, _, err := m.Ask(ctx, "/readyz")
			body := ""
			if err == nil {
				_, body, err = m.Ask(ctx, "/metrics")
			}
			cancel()
			if err != nil {
				continue // frozen, busy or gone
			}
			select {
			case r.samples <- sample{m, time.Now(), status == http.StatusOK, body}:
			case <-r.ctx.Done():
				return
			}
		}
	})
}

// leave takes a worker out of its slot that has ended in this way.
func (r *round) leave(s *slot, how trace.Kind, at time.Time) {
	r.books.tell(how, s.Name, at)
	r.read(s.member, true)
	r.private("log of "+s.Name, s.Log())
	s.member = nil
}

// read takes what is new in a worker's trace: whole lines, or all there is when it
// has ended.
func (r *round) read(m *member, ended bool) {
	f, err := os.Open(m.Trace)
	if os.IsNotExist(err) {
		return // not yet
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, m.read, 1<<40))
	if err != nil {
		r.t.Fatal(err)
	}
	if !ended {
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	m.read += int64(len(text))
	events, err := trace.Read(bytes.NewReader(text))
	if err != nil {
		r.t.Fatalf("%s: %v", m.Name, err)
	}
	r.private("trace of "+m.Name, string(text))
	r.books.read(events, m.Name)
}

// until is up to where traces can be merged: what is later may still be written.
func (r *round) until(now time.Time) time.Time {
	until := now.Add(-delay)
	for _, s := range r.slots {
		if s.member == nil || s.frozen.IsZero() {
			continue
		}
		if !s.thawed.IsZero() && now.Sub(s.thawed) > delay {
			s.frozen, s.thawed = time.Time{}, time.Time{}
		} else if s.frozen.Before(until) {
			until = s.frozen
		}
	}
	return until
}

func (r *round) kill(s *slot) {
	s.held = true
	s.Kill()
	r.kills = append(r.kills, time.Now())
	r.leave(s, ledger.Killed, time.Now())
}

func (r *round) terminate(s *slot) {
	s.told = time.Now()
	r.books.tell(ledger.Terminated, s.Name, s.told)
	s.Terminate()
}

// connecting is the longest that a worker asks before it gives up, and what a busy
// machine needs to end it.
const connecting = 30 * time.Second

// stopping is how long the kernel may take to stop all threads of a process.
const stopping = 20 * time.Millisecond

func (r *round) freeze(s *slot) {
	s.Send(syscall.SIGSTOP)
	s.frozen = time.Now().Add(stopping)
	r.books.tell(ledger.Frozen, s.Name, s.frozen)
}

func (r *round) thaw(s *slot) {
	s.thawed = time.Now()
	r.books.tell(ledger.Thawed, s.Name, s.thawed)
	s.Send(syscall.SIGCONT)
}

// scale sets how many workers there are to be.
func (r *round) scale(n int) {
	for i, s := range r.slots {
		s.wanted = i < n
		if !s.wanted && s.member != nil && s.told.IsZero() {
			r.terminate(s)
		}
	}
}
