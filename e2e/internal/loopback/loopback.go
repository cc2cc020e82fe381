// Package loopback chooses the addresses that servers under test listen on.
package loopback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// The ports given out are below the range from which the system takes those of
// outgoing connections: one of those could take a port while its server is down, and
// a server keeps its address for life.
const (
	lowest = 20000
	blocks = 60
	size   = 200 // ports in a block; the first is its claim
)

// Free returns n different addresses of the loopback interface that nobody listens
// on, and that no other process asks for while this one lives. It may be called from
// several goroutines.
//
// Between the answer and the server's first Listen a port is nobody's. Test binaries
// run side by side, and one that looked for a free port just then would find this
// one. So a process claims a block of ports first, by listening on the block's first
// port until the process ends, however it does.
func Free(ctx context.Context, n int) ([]string, error) { return process.free(ctx, n) }

var process claim

// claim is what one process may give out.
type claim struct {
	mu    sync.Mutex
	held  net.Listener // on the block's first port; nil before the first call
	first int
	last  int // the port that was looked at last
}

func (c *claim) free(ctx context.Context, n int) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	var free []string
	for range size - 1 {
		if len(free) == n {
			break
		}
		// Round and round, so that a port comes again as late as it can.
		if c.last++; c.last == c.first+size {
			c.last = c.first + 1
		}
		if l, err := listen(ctx, c.last); err == nil {
			free = append(free, l.Addr().String())
			l.Close()
		}
	}
	if len(free) < n {
		return nil, fmt.Errorf("no free port: all of %d to %d are in use", c.first+1, c.first+size-1)
	}
	return free, nil
}

// take claims a block that is nobody's. Where it begins to look differs, so that a
// server that outlived its test is seldom in the way.
func (c *claim) take(ctx context.Context) error {
	if c.held != nil {
		return nil
	}
	begin := int(time.Now().UnixMicro() % blocks)
	for i := range blocks {
		first := lowest + (begin+i)%blocks*size
		if l, err := listen(ctx, first); err == nil {
			c.held, c.first, c.last = l, first, first
			return nil
		}
	}
	return errors.New("no free port: other processes have claimed all blocks of them")
}

func listen(ctx context.Context, port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
}
