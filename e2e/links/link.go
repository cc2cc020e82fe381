// Package links puts network faults between two processes: a TCP proxy on the
// loopback interface that a test can cut, slow down or turn into a black hole.
//
// Toxiproxy (v2.12) was looked at first. Taking away its black hole closes the
// connections, because it threw away what came in; its reset does not reach
// connections that are already open; and stopping it waits for no goroutine. What
// it does well, a delay and a rate, is little beside that.
package links

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"usersync/e2e/internal/loopback"
)

// Link is a way to one address. It passes everything until a method says
// otherwise, and the faults add up: a slow link can be cut as well. Its methods
// may be called from several goroutines.
type Link struct {
	addr, target string

	mu       sync.Mutex
	faults   faults
	changed  chan struct{} // closed, and made anew, when the faults change
	listener net.Listener  // nil while the link is cut or closed
	closed   bool
	open     map[*connection]struct{}

	running sync.WaitGroup // the acceptor, and all that a connection needs
}

// faults is what a link does to what passes.
type faults struct {
	hole            bool
	latency, jitter time.Duration
	rate            int // bytes a second, 0: no limit
}

// Open returns a link to an address, in its place: whoever connects to Addr
// reaches the target. The caller ends it with Close.
func Open(ctx context.Context, target string) (*Link, error) {
	addr, err := loopback.Free(ctx, 1)
	if err != nil {
		return nil, fmt.Errorf("link to %s: %w", target, err)
	}
	l := &Link{addr: addr[0], target: target, changed: make(chan struct{}), open: map[*connection]struct{}{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.listen(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Addr returns the link's own address, which it keeps for life.
func (l *Link) Addr() string { return l.addr }

// Cut closes the connections and refuses new ones.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut()
	l.end((*connection).close)
}

// Reset breaks off the connections there are, so that both ends see "connection
// reset by peer". New ones are welcome.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end((*connection).reset)
}

// BlackHole lets nothing pass in either direction, not even that an end has closed
// its connection. Connections stay, and new ones are taken and hear nothing. What
// was sent into it arrives after Heal, as what TCP sends again.
func (l *Link) BlackHole() { l.set(func(f *faults) { f.hole = true }) }

// Slow delays what passes, in each direction, by latency and up to jitter more or
// less. The order stays.
func (l *Link) Slow(latency, jitter time.Duration) {
	l.set(func(f *faults) { f.latency, f.jitter = latency, jitter })
}

// Limit lets pass so many bytes a second, of each connection in each direction.
func (l *Link) Limit(bytesPerSecond int) { l.set(func(f *faults) { f.rate = bytesPerSecond }) }

// Heal takes all faults away. It fails if a cut link cannot have its port back.
func (l *Link) Heal(ctx context.Context) error {
	l.set(func(f *faults) { *f = faults{} })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil || l.closed {
		return nil
	}
	return l.listen(ctx)
}

// Close cuts the link for good and returns when nothing of it runs any more.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.cut()
	l.end((*connection).close)
	l.mu.Unlock()
	l.running.Wait()
}

func (l *Link) set(change func(*faults)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.faults)
	close(l.changed)
	l.changed = make(chan struct{})
}

// now returns the faults and a channel that is closed when they change.
func (l *Link) now() (faults, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults, l.changed
}

// listen, cut and end need l.mu.
func (l *Link) listen(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", l.addr)
	if err != nil {
		return fmt.Errorf("link to %s: %w", l.target, err)
	}
	l.listener = listener
	l.running.Go(func() { l.accept(listener) })
	return nil
}

func (l *Link) cut() {
	if l.listener != nil {
		_ = l.listener.Close() // it has nothing to say that matters to a test
		l.listener = nil
	}
}

func (l *Link) end(how func(*connection)) {
	for c := range l.open {
		how(c)
	}
	clear(l.open)
}

// take has the link pass on a connection. It needs l.mu.
func (l *Link) take(conn *net.TCPConn) {
	c := newConnection(l, conn)
	l.open[c] = struct{}{}
	l.running.Go(c.run)
}

func (l *Link) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // it was closed
		}
		l.mu.Lock()
		if l.listener != listener { // cut since
			_ = conn.Close()
		} else {
			l.take(conn.(*net.TCPConn))
		}
		l.mu.Unlock()
	}
}

// forget drops a connection that has ended by itself.
func (l *Link) forget(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}
