package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// cutter dials for the group's membership. It keeps the connections, to be able to
// end what kafka-go waits for, and passes over brokers that are mute.
//
// kafka-go asks for the coordinator at the first of the configured brokers that
// takes a connection, each time. A broker that hangs still takes them, and so does a
// proxy in front of one that is dead: without this, nobody could join whose list
// begins with it, however well the others are.
type cutter struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	brokers []string

	mu   sync.Mutex
	open map[net.Conn]struct{}
	mute map[string]time.Time // when a connection to an address ended without a word from it
	done bool
}

// muteFor is how long a broker is passed over, unless all are mute.
const muteFor = requestTimeout

var errCut = errors.New("the group is being left")

func newCutter(c *Client) *cutter {
	return &cutter{dial: c.dialer.DialFunc, brokers: c.brokers, open: map[net.Conn]struct{}{}, mute: map[string]time.Time{}}
}

func (c *cutter) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := c.refuses(address); err != nil {
		return nil, err
	}
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		_ = conn.Close()
		return nil, errCut
	}
	t := &tracked{Conn: conn, of: c, address: address}
	c.open[t] = struct{}{}
	return t, nil
}

// refuses says why an address is not dialled, if it is not.
func (c *cutter) refuses(address string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return errCut
	}
	if c.isMute(address) && slices.ContainsFunc(c.brokers, func(b string) bool { return !c.isMute(b) }) {
		return fmt.Errorf("%s took the last connection and said nothing; it is tried again %v after that", address, muteFor)
	}
	return nil
}

// isMute needs c.mu.
func (c *cutter) isMute(address string) bool {
	at, ok := c.mute[address]
	return ok && time.Since(at) < muteFor
}

func (c *cutter) cut() {
	c.mu.Lock()
	open := slices.Collect(maps.Keys(c.open))
	c.done = true
	c.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close()
	}
}

// tracked is a connection of the group's.
type tracked struct {
	net.Conn
	of      *cutter
	address string
	spoke   atomic.Bool // something was read
}

func (t *tracked) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if n > 0 {
		t.spoke.Store(true)
	}
	return n, err
}

func (t *tracked) Close() error {
	t.of.mu.Lock()
	delete(t.of.open, t)
	if t.spoke.Load() {
		delete(t.of.mute, t.address)
	} else {
		t.of.mute[t.address] = time.Now()
	}
	t.of.mu.Unlock()
	return t.Conn.Close()
}
