package links_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"usersync/e2e/links"
)

// A test that waits in vain, as behind a black hole, waits this long; one that
// waits for something waits until limit.
const (
	inVain = 300 * time.Millisecond
	limit  = 30 * time.Second
)

func TestPasses(t *testing.T) {
	l := link(t)
	a, b := dial(t, l), dial(t, l)
	large := bytes.Repeat([]byte("large"), 1<<20)
	go func() { _, _ = a.Write(large) }() // more than the sockets hold
	echoed := make([]byte, len(large))
	if _, err := io.ReadFull(a, echoed); err != nil || !bytes.Equal(echoed, large) {
		t.Errorf("5 MB came back wrong, or not: %v", err)
	}
	echo(t, b, "small")
	if err := b.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(b); len(rest) > 0 || err != nil {
		t.Errorf("after the end of what was sent: %q, %v, want the end of what is echoed", rest, err)
	}
}

func TestCut(t *testing.T) {
	l := link(t)
	conn := dial(t, l)
	echo(t, conn, "before")
	l.Cut()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from a connection that was cut", n)
	}
	if _, err := net.Dial("tcp", l.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting: %v, want to be refused", err)
	}
	heal(t, l)
	echo(t, dial(t, l), "after")
}

func TestReset(t *testing.T) {
	l := link(t)
	conn := dial(t, l)
	echo(t, conn, "before")
	l.Reset()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
	echo(t, dial(t, l), "after")
}

// Behind a black hole a connection is neither closed nor answered, whether it was
// there before or not, and an end that closes is not noticed by the other one.
func TestBlackHole(t *testing.T) {
	l := link(t)
	before, gone := dial(t, l), dial(t, l)
	echo(t, before, "before")
	echo(t, gone, "before")
	l.BlackHole()
	during := dial(t, l)
	for _, conn := range []*net.TCPConn{before, during, gone} {
		send(t, conn, "lost?")
		silent(t, conn)
	}
	gone.Close()
	heal(t, l)
	for _, conn := range []*net.TCPConn{before, during} {
		receive(t, conn, "lost?")
		echo(t, conn, "after")
	}
}

// The target must not learn that the client is gone before the link heals.
func TestBlackHoleHidesTheEnd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l, err := links.Open(t.Context(), listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := dial(t, l)
	target, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	l.BlackHole()
	client.Close()
	silent(t, target)
	heal(t, l)
	deadline(t, target, limit)
	if _, err := target.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("healed: %v, want the end", err)
	}
}

func TestSlow(t *testing.T) {
	const latency, jitter = 150 * time.Millisecond, 50 * time.Millisecond
	l := link(t)
	conn := dial(t, l)
	echo(t, conn, "before")
	l.Slow(latency, jitter)
	if d := took(func() { echo(t, conn, "slowly") }); d < 2*(latency-jitter) {
		t.Errorf("there and back in %v, want %v or more", d, 2*(latency-jitter))
	}
	l.Slow(time.Hour, 0)
	send(t, conn, "one")
	send(t, conn, "two")
	silent(t, conn)
	heal(t, l)
	receive(t, conn, "onetwo") // what was on the way, in order
}

func TestLimit(t *testing.T) {
	const rate, size = 1 << 20, 256 << 10
	l := link(t)
	conn := dial(t, l)
	l.Limit(rate)
	// It goes there and back at the same time, so once is what it takes, less the
	// first piece, which has nothing to wait for.
	if d, want := took(func() { echo(t, conn, strings.Repeat("x", size)) }), time.Second/5; d < want {
		t.Errorf("%d bytes at %d a second took %v, want %v or more", size, rate, d, want)
	}
}

// A target that is down is a link that breaks off.
func TestTargetRefuses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := listener.Addr().String()
	listener.Close()
	l, err := links.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// It may be broken off before the client has noticed that it stands.
	conn, err := net.Dial("tcp", l.Addr())
	if err == nil {
		defer conn.Close()
		deadline(t, conn, limit)
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

// Close ends connections in every state and leaves nothing running.
func TestClose(t *testing.T) {
	healthy, hole, slow, cut := link(t), link(t), link(t), link(t)
	for _, l := range []*links.Link{healthy, hole, slow, cut} {
		echo(t, dial(t, l), "open")
	}
	hole.BlackHole()
	slow.Slow(time.Hour, 0)
	for _, l := range []*links.Link{hole, slow} {
		conn := dial(t, l)
		send(t, conn, "on its way")
		conn.Close()
	}
	full := dial(t, hole) // and one that has more in hand than it may hold
	deadline(t, full, inVain)
	if _, err := full.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a black hole took 64 MB: %v", err)
	}
	cut.Cut()
	for _, l := range []*links.Link{healthy, hole, slow, cut} {
		l.Close()
		if err := l.Heal(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := net.Dial("tcp", l.Addr()); err == nil {
			t.Error("a closed link took a connection")
		}
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if bytes.Contains(stacks, []byte("usersync/e2e/links.(*")) {
		t.Errorf("still running:\n%s", stacks)
	}
}

// link returns a link to an echo server. Both end with the test.
func link(t *testing.T) *links.Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(conn, conn) // ends as the test ends it
				conn.Close()
			})
		}
	})
	l, err := links.Open(t.Context(), listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		listener.Close()
		serving.Wait()
	})
	return l
}

func dial(t *testing.T, l *links.Link) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	deadline(t, conn, limit)
	return conn.(*net.TCPConn)
}

func deadline(t *testing.T, conn net.Conn, d time.Duration) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	deadline(t, conn, limit)
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); string(got) != want {
		t.Fatalf("received %q, %v, want %d bytes of what was sent", got[:n], err, len(want))
	}
}

func echo(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() { _, _ = conn.Write([]byte(text)) }) // what is not sent does not come back
	receive(t, conn, text)
}

// silent checks that a connection is there and says nothing.
func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	deadline(t, conn, inVain)
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v, want to wait in vain", n, err)
	}
	deadline(t, conn, limit)
}

func heal(t *testing.T, l *links.Link) {
	t.Helper()
	if err := l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}
