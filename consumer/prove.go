package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"usersync/consumer/trace"
	usync "usersync/sync"
	"usersync/sync/sabotage"
)

// prove commits what has moved, now and then everything, to keep the lease and
// to announce how far calls may go.
func (g *generation) prove(now time.Time) {
	if g.commit.pending {
		return
	}
	// The commit before the first record: without it nothing proves membership,
	// and a new owner would not know from where to doubt.
	all := now.Sub(g.commit.lastAll) >= proveEvery || !g.lease.valid()
	wanted := false
	for _, p := range g.parts {
		_, passing := p.passing()
		wanted = wanted || passing
		if p.halted() {
			continue
		}
		_, announced := g.lane.Controls(p.at(0))
		all = all || !announced
		begins := p.end == 0 && p.state != nil // nothing of it is registered before
		wanted = wanted || !announced || begins || p.end > 0 && p.near()
	}
	since := now.Sub(g.commit.lastSent)
	switch {
	case g.commit.failed && since < retryCommit:
		return
	case !g.commit.failed && !wanted && since < commitEvery:
		return
	}
	g.sendCommit(now, all, false)
}

// sendCommit sends a commit, if there is anything to commit.
func (g *generation) sendCommit(now time.Time, all, drained bool) bool {
	var doubts map[usync.Position]bool
	if drained {
		doubts = g.lane.Doubts()
	}
	// Not derived from the generation: a drain commits after its end.
	return g.commit.send(context.WithoutCancel(g.callCtx), now, g.parts, all, func(p *owned) (note, []string) {
		n := p.note(now)
		if drained {
			n = p.lastNote(now, doubts[p.at(0)])
		}
		users, _ := g.lane.Controls(p.at(0))
		for _, user := range users {
			n.Control.add(bucketOf(user))
		}
		return n, users
	})
}

// answered takes the coordinator's answer to a commit, each partition's by itself.
func (g *generation) answered(a commitAnswer) {
	g.commit.pending = false
	m := g.Metrics.Consumer
	m.CommitDuration.Observe(time.Since(a.sent).Seconds())
	g.commit.failed = a.err != nil
	if a.err != nil {
		m.Commits.Error.Inc()
		m.Errors.Of("commit").Inc()
		g.accepted(a.err)
		return
	}
	var refusal error
	for i, c := range a.parts {
		p := g.byName[c.TopicPartition]
		code, ok := a.codes[c.TopicPartition]
		if !ok {
			code = kafka.Unknown
		}
		outcome := trace.OK
		switch code {
		case 0:
			if g.passed(p, c) {
				g.over = true
			}
			p.committed, p.end = max(p.committed, c.Offset), max(p.end, a.ends[i])
			g.lane.Announced(a.named[i])
			g.lease.renew(a.sent)
			m.Commits.Success.Inc()
			m.LastCommit.Set(float64(time.Now().UnixMilli()) / 1000)
		case kafka.IllegalGeneration, kafka.UnknownMemberId, kafka.FencedInstanceID:
			g.lost()
			m.Commits.Stale.Inc()
			outcome = code.Title()
		default:
			g.commit.failed = true
			m.Commits.Error.Inc()
			m.Errors.Of("commit").Inc()
			outcome = code.Title()
			refusal = cmp.Or(refusal, g.refusal(c.TopicPartition, code))
		}
		g.p.tell(trace.Event{
			Kind: trace.Commit, Topic: c.Topic, Partition: c.Partition, Offset: c.Offset, Outcome: outcome,
			Generation: int(g.gen.ID), Member: g.gen.MemberID,
		})
	}
	if !g.evicted {
		g.accepted(refusal)
	}
}

// refusal says what code, the answer to a commit, is about. To commit takes the
// right to read the topic and to be in the group, so this is where it shows when one
// of them is taken away, be it that nothing is there to be fetched.
func (g *generation) refusal(tp TopicPartition, code kafka.Error) error {
	err := fmt.Errorf("commit of %s/%d: %w", tp.Topic, tp.Partition, code)
	if code == kafka.GroupAuthorizationFailed {
		return denied("group", g.Group, "Read", err)
	}
	return denied("topic", tp.Topic, "Read", err)
}

// accepted takes what became of a commit. While none is accepted the lease runs out
// and no call is made, so a failure is said at once, and again while it lasts.
// Without access nothing is read or called either, and the pipeline is not ready.
func (g *generation) accepted(err error) {
	access, forbidden := errors.AsType[*AccessError](err)
	if now := time.Now(); err == nil {
		if lasted, said := g.commits.over(now); said {
			g.Log.Info("commits are accepted again", "after", lasted)
		}
	} else if g.commits.again(now, 0) {
		if forbidden {
			g.Log.Error("the access to Kafka was taken away; nothing goes on before it is back", "error", access)
		} else {
			g.Log.Warn("a commit failed; it is tried again, and without one no call is made", "error", err)
		}
	}
	switch {
	case forbidden:
		g.denied = true
		g.p.missing(access)
	case err == nil && g.denied:
		g.denied = false
		g.p.missing(nil)
	}
}

// lost cancels all calls: somebody else owns the partitions, or may any moment.
func (g *generation) lost() {
	if !g.evicted {
		g.Log.Warn("the membership was lost; calls in flight are cancelled", "generation", g.gen.ID)
	}
	g.evicted = true
	g.lease.end()
	g.kill()
	g.unwrite()
}

// drain ends the generation: nothing new is started, what was not sent is left to
// the next owner, and calls in flight get the time to end. Meanwhile commits go
// on, because they keep the session and with it the partitions, while heartbeats
// have already stopped. The last commit tells the next owner what may still be
// applied; calls that had to be cut are known to be in doubt, so that is a clean
// end too.
func (g *generation) drain(hard context.Context) {
	began := time.Now()
	deadline := time.NewTimer(g.DrainTimeout)
	defer deadline.Stop()
	keep := time.NewTicker(commitEvery)
	defer keep.Stop()
	give, cut := hard.Done(), false
	if !g.commit.pending && !g.evicted {
		g.sendCommit(began, true, false) // is the membership still there?
	}
	for g.lane.InFlight() > 0 || g.writing || g.commit.pending || g.flushing() || sabotage.On(sabotage.EndlessDrain) && hard.Err() == nil {
		g.p.turned.Store(time.Now().UnixNano())
		g.flush(time.Now())
		select {
		case e := <-g.calls:
			g.ended(e)
		case l := <-g.letters:
			g.wrote(l)
		case f := <-g.flushes:
			g.flushed(f)
		case a := <-g.commit.answers:
			g.answered(a)
		case <-keep.C:
			if !g.commit.pending && !g.evicted {
				g.sendCommit(time.Now(), true, false)
			}
		case <-deadline.C:
			if cut || g.lane.InFlight() == 0 && !g.writing {
				cut = true
				g.unwrite() // what is not written is read again by the next owner
				continue
			}
			cut = true
			g.Log.Warn("calls in flight are cancelled: the drain took too long", "calls", g.lane.InFlight())
			g.kill()
			deadline.Reset(produceWait) // to write down that their outcome is not known
		case <-give:
			give, cut = nil, true
			g.kill()
			g.unwrite()
		}
	}
	if !g.evicted && g.sendCommit(time.Now(), true, true) {
		g.answered(<-g.commit.answers)
	}
	g.Metrics.Consumer.DrainDuration.Observe(time.Since(began).Seconds())
	if cut || g.evicted {
		g.Metrics.Consumer.Drains.Cut.Inc()
	} else {
		g.Metrics.Consumer.Drains.Complete.Inc()
	}
}
