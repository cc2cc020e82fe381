package links

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Names are links that one process reaches by names, as it would reach hosts: so all
// processes can have the same URL for what they reach by links of their own. It is a
// SOCKS5 proxy (RFC 1928), and what it is asked for becomes a connection of that link.
type Names struct {
	links    map[string]*Link
	listener net.Listener
	running  sync.WaitGroup
}

// NewNames returns a proxy for links by the names of their hosts; ports are ignored. The
// caller ends it with Close, before the links.
func NewNames(ctx context.Context, links map[string]*Link) (*Names, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy for names: %w", err)
	}
	n := &Names{links: links, listener: l}
	n.running.Go(n.accept)
	return n, nil
}

// URL is that of the proxy, as HTTP_PROXY takes one.
func (n *Names) URL() string { return "socks5://" + n.listener.Addr().String() }

// Close returns when nobody is being asked any more whom it wants to reach.
func (n *Names) Close() {
	_ = n.listener.Close()
	n.running.Wait()
}

func (n *Names) accept() {
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			return // it was closed
		}
		n.running.Go(func() { n.pass(conn.(*net.TCPConn)) })
	}
}

// asking is how long a client may take to say whom it wants to reach.
const asking = 5 * time.Second

// What SOCKS5 answers: no credentials are asked for, and the outcome, before an address
// that nobody looks at.
var (
	welcome = []byte{5, 0}
	granted = []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	refused = []byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}
)

// pass hands a connection over to the link that it asks for. A link that is cut refuses,
// and the client has sent nothing by then, as if it had been refused by the host.
func (n *Names) pass(conn *net.TCPConn) {
	_ = conn.SetDeadline(time.Now().Add(asking)) // fails only where reading does
	name, err := asked(conn)
	link := n.links[name]
	if err == nil && link != nil && link.adopt(conn) {
		return
	}
	_, _ = conn.Write(refused) // it may be gone
	// Closed with something unread the connection would be reset, and the answer lost.
	_ = conn.CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
}

// asked reads whom a client wants to reach.
func asked(conn io.ReadWriter) (name string, err error) {
	var head [5]byte // version and count of methods; version, command, 0, form and length of the name
	if _, err := io.ReadFull(conn, head[:2]); err != nil {
		return "", err
	}
	if _, err := io.CopyN(io.Discard, conn, int64(head[1])); err != nil {
		return "", err
	}
	if _, err := conn.Write(welcome); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return "", err
	}
	const connect, domain = 1, 3
	if head[0] != 5 || head[1] != connect || head[3] != domain {
		return "", fmt.Errorf("no request to connect to a name: %v", head)
	}
	rest := make([]byte, int(head[4])+binary.Size(uint16(0)))
	if _, err := io.ReadFull(conn, rest); err != nil {
		return "", err
	}
	return string(rest[:head[4]]), nil
}

// adopt takes a connection that came another way, tells its client so, and reports
// whether it did: not while the link is cut.
func (l *Link) adopt(conn *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		return false
	}
	if _, err := conn.Write(granted); err != nil {
		return false
	}
	_ = conn.SetDeadline(time.Time{})
	l.take(conn)
	return true
}
