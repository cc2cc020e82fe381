// Package loopback chooses the addresses that servers under test listen on.
package loopback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Free returns n different addresses of the loopback interface that nobody
// listens on. Their ports are below the range from which the system takes those
// of outgoing connections: one of those could take a port while its server is
// down, and a server keeps its address for life.
func Free(ctx context.Context, n int) ([]string, error) {
	const lowest, highest = 20000, 32000
	var (
		listen net.ListenConfig
		free   []string
		port   = lowest + int(time.Now().UnixNano()/1000)%(highest-lowest)
	)
	for range highest - lowest {
		if len(free) == n {
			return free, nil
		}
		if port++; port > highest {
			port = lowest
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := listen.Listen(ctx, "tcp", addr); err == nil {
			l.Close()
			free = append(free, addr)
		}
	}
	return nil, errors.New("no free port")
}
