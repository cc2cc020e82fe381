package links

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	pieceSize = 16 << 10
	onTheWay  = 64 // pieces that a slow link holds in each direction
)

// connection is one connection through a link: the client's, and the one to the
// target that was made for it.
type connection struct {
	link   *Link
	client *net.TCPConn
	ctx    context.Context
	end    context.CancelFunc

	mu     sync.Mutex
	target *net.TCPConn // nil until it stands
}

// piece is what one read gave.
type piece struct {
	data []byte
	err  error     // the last piece says why there is no more
	at   time.Time // when it was read
	luck float64   // its part of the jitter, from -1 to 1
}

func newConnection(l *Link, client *net.TCPConn) *connection {
	ctx, cancel := context.WithCancel(context.Background())
	return &connection{link: l, client: client, ctx: ctx, end: cancel}
}

// close ends both connections in good order, as far as TCP has one.
func (c *connection) close() {
	c.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.client.Close() // whoever closes does not care for what was left
	if c.target != nil {
		_ = c.target.Close()
	}
}

// reset ends both connections with an RST, which is how the kernel closes one that
// may not linger.
func (c *connection) reset() {
	c.mu.Lock()
	_ = c.client.SetLinger(0) // fails only where it is closed already
	if c.target != nil {
		_ = c.target.SetLinger(0)
	}
	c.mu.Unlock()
	c.close()
}

// run passes everything on until both directions have ended, or the connection.
func (c *connection) run() {
	defer c.link.forget(c)
	if !c.connect() {
		// The kernel has accepted the client long ago, so this is as close to a
		// refusal as it gets.
		c.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.pass(c.target, c.client) })
	both.Go(func() { c.pass(c.client, c.target) })
	both.Wait()
	c.close()
}

// connect reaches the target, when the link lets anything pass.
func (c *connection) connect() bool {
	if !c.wait(func(f faults) (time.Time, bool) { return time.Time{}, !f.hole }) {
		return false
	}
	conn, err := new(net.Dialer).DialContext(c.ctx, "tcp", c.link.target)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = conn.(*net.TCPConn)
	if c.ctx.Err() != nil { // closed meanwhile, and without this one
		_ = c.target.Close()
		return false
	}
	return true
}

// pass passes on one direction, and its end.
func (c *connection) pass(to, from *net.TCPConn) {
	pieces := make(chan piece, onTheWay)
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { c.read(from, pieces) })
	var last time.Time // when the last piece went
	for p := range pieces {
		passed := c.wait(func(f faults) (time.Time, bool) {
			due := p.at.Add(f.latency + time.Duration(p.luck*float64(f.jitter)))
			if f.rate > 0 {
				free := last.Add(time.Duration(len(p.data)) * time.Second / time.Duration(f.rate))
				due = later(due, free)
			}
			return due, !f.hole
		})
		if !passed {
			return
		}
		last = time.Now()
		if _, err := to.Write(p.data); err != nil {
			c.reset()
			return
		}
		switch {
		case errors.Is(p.err, io.EOF):
			_ = to.CloseWrite() // the other direction may go on
			return
		case p.err != nil:
			c.reset()
			return
		}
	}
}

// read reads until the end, which is a piece too.
func (c *connection) read(from *net.TCPConn, pieces chan<- piece) {
	defer close(pieces)
	for {
		data := make([]byte, pieceSize)
		n, err := from.Read(data)
		p := piece{data: data[:n], err: err, at: time.Now(), luck: 2*rand.Float64() - 1}
		select {
		case pieces <- p:
		case <-c.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// wait waits until the link, whose faults may change meanwhile, lets something
// pass: may says from when on, and whether at all. It returns false when the
// connection ends first.
func (c *connection) wait(may func(faults) (from time.Time, ever bool)) bool {
	for {
		f, changed := c.link.now()
		from, ever := may(f)
		var due <-chan time.Time
		if ever {
			due = time.After(time.Until(from))
			if !from.After(time.Now()) {
				return c.ctx.Err() == nil
			}
		}
		select {
		case <-due:
		case <-changed:
		case <-c.ctx.Done():
			return false
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
