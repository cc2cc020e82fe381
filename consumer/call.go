package consumer

import (
	"context"
	"time"

	usync "usersync/sync"
)

// callAll makes one call after the other, until no more are begun. There is a goroutine for
// each that may be in flight, and not for each call: a new one would have to grow its stack
// for net/http each time.
func (g *generation) callAll() {
	t := timeout{parent: usync.WithPermit(g.callCtx, g.lease.valid), after: g.Lane.Timeout}
	defer t.close()
	for c := range g.begun {
		g.calls <- ended{c, g.call(&t, c)}
	}
}

// call makes one call.
func (g *generation) call(t *timeout, c *usync.Call) error {
	if c.Probe {
		if err := g.Target.Reload(); err != nil {
			g.Log.Warn("reading the credentials again failed; the old ones stay in use", "error", err)
		}
	}
	defer t.stop()
	return g.Target.Deliver(usync.WithRequests(t.start(), &c.Requests), c.Payload)
}

// timeout bounds one call after the other with one context and one timer, for as long as
// none takes too long: to make and register both for each call, as context.WithTimeout
// does, takes 3 % of the processor's time for it. It is for one goroutine, which starts and
// stops it in turns. What a call leaves behind is not cancelled by stop, and must not use
// the context after it.
type timeout struct {
	parent context.Context
	after  time.Duration

	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer // nil: there is no context yet, or it is over
}

// start returns the context of a call that begins now.
func (t *timeout) start() context.Context {
	if t.timer != nil {
		t.timer.Reset(t.after)
		return t.ctx
	}
	ctx, cancel := context.WithCancelCause(t.parent)
	t.ctx, t.cancel = ctx, cancel
	t.timer = time.AfterFunc(t.after, func() { cancel(context.DeadlineExceeded) })
	return ctx
}

// stop ends the time of a call. If it was over by then, even if the call had ended right
// before, the context is cancelled or will be in a moment: the next call takes a new one.
func (t *timeout) stop() {
	if !t.timer.Stop() {
		t.close()
	}
}

// close lets go of the context.
func (t *timeout) close() {
	if t.timer != nil {
		t.cancel(nil)
		t.timer = nil
	}
}
