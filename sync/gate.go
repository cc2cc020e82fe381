package sync

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// gate is where a call is let go. net/http calls GotConn when it has a connection
// and hands the request to the connection's write loop only after the hook has
// returned. The hook can't refuse, and to cancel the context would race with that
// loop; but a connection that it closes takes no byte more.
//
// Between the hook and the write another goroutine has to be scheduled, which
// takes milliseconds on a busy machine: enough for a process to be frozen there,
// and to send the call when it thaws, long after its partitions went to another.
// So the connection asks once more, right before the system call.
//
// Another place to ask would be a Read of the request's body. It is too late:
// net/http flushes the headers before it reads a body of a type it doesn't know.
type gate struct {
	permit       func() bool
	open, denied atomic.Bool // a byte may have left; the permit was refused before one could
}

func newGate(ctx context.Context) *gate {
	if permit, ok := ctx.Value(permitKey{}).(func() bool); ok {
		return &gate{permit: permit}
	}
	return &gate{permit: func() bool { return true }}
}

func (g *gate) gotConn(info httptrace.GotConnInfo) {
	if !g.permit() {
		g.denied.Store(true)
		info.Conn.Close()
		return
	}
	conn := info.Conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*gatedConn); ok {
		c.gate.Store(g)
		return
	}
	g.open.Store(true) // a connection that does not ask
}

// write reports whether a write may be made now.
func (g *gate) write() bool {
	if g.permit() {
		g.open.Store(true)
		return true
	}
	g.denied.Store(!g.open.Load())
	return false
}

// failure says how a call ended that has no reply.
func (g *gate) failure(ctx context.Context, err error) *CallError {
	e := &CallError{Verdict: Failed, Code: networkCode(ctx, err), Ambiguous: g.open.Load()}
	switch {
	case g.denied.Load():
		e.Code, e.Unsent = "lease", true
	case !e.Ambiguous && e.Code == "canceled":
		e.Unsent = true
	}
	return e
}

// gatedConn is a connection that asks the gate of the call that it carries before
// each write. Until the first call has it, it carries the TLS handshake.
type gatedConn struct {
	net.Conn
	gate atomic.Pointer[gate]
}

var errNoPermit = errors.New("no permit to write")

func (c *gatedConn) Write(b []byte) (int, error) {
	if g := c.gate.Load(); g != nil && !g.write() {
		_ = c.Close() // nothing more leaves on it, whoever asks
		return 0, errNoPermit
	}
	return c.Conn.Write(b)
}

// dialGated opens a connection for a transport whose calls go through gates.
func dialGated(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: c}, nil
}
