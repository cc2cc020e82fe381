package consumer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
)

// ProbeError says why a broker could not be used, and what to look at.
type ProbeError struct {
	Broker string // host:port
	Cause  string
	Remedy string
	Err    error
}

// Error names the broker, the cause and the remedy in one line.
func (e *ProbeError) Error() string {
	return fmt.Sprintf("Kafka broker %s: %s; %s", e.Broker, e.Cause, e.Remedy)
}

// Unwrap returns what the connection attempt ended with.
func (e *ProbeError) Unwrap() error { return e.Err }

// Probe finds out, before ctx ends, whether the cluster can be used: one of the
// configured brokers must accept the credentials and answer, and so must one of
// the addresses that the brokers give for themselves, since all traffic goes to
// those. The error joins a *ProbeError for each broker that was tried.
// It asks on connections of its own: the group and the transport retry in the
// background and report a wrong password no better than a slow network.
func (c *Client) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	advertised, err := c.probeAny(ctx, c.brokers)
	if err != nil {
		return err
	}
	if _, err := c.probeAny(ctx, advertised); err != nil {
		return fmt.Errorf("the brokers answer, but not at the addresses they advertise (advertised.listeners): %w", err)
	}
	return nil
}

// probeAny tries the brokers at the same time, because one that is cut off takes
// all the time there is. It returns the addresses that one of them advertises.
func (c *Client) probeAny(ctx context.Context, brokers []string) ([]string, error) {
	var (
		wg         sync.WaitGroup
		mu         sync.Mutex
		advertised []string
		problems   = make([]error, len(brokers))
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i, broker := range brokers {
		wg.Go(func() {
			found, err := c.probe(ctx, broker)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				problems[i] = c.explain(broker, err)
				return
			}
			advertised = found
			cancel() // one is enough: don't wait for the others
		})
	}
	wg.Wait()
	if advertised != nil {
		return advertised, nil
	}
	return nil, errors.Join(problems...)
}

// probe connects to one broker and asks it who is in the cluster: the first
// question that a broker answers only to those who are allowed in.
func (c *Client) probe(ctx context.Context, broker string) ([]string, error) {
	// kafka-go's dialer does not look at ctx once the TCP connection stands, so
	// the connection itself is cut when ctx ends.
	dialer := *c.dialer
	dialer.DialFunc = func(dctx context.Context, network, address string) (net.Conn, error) {
		conn, err := c.dialer.DialFunc(dctx, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	conn, err := dialer.DialContext(ctx, "tcp", broker)
	if err != nil {
		return nil, orTimeout(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	found, err := conn.Brokers()
	if err != nil {
		return nil, orTimeout(ctx, err)
	}
	addresses := []string{}
	for _, b := range found {
		addresses = append(addresses, net.JoinHostPort(b.Host, strconv.Itoa(b.Port)))
	}
	return addresses, nil
}

// orTimeout puts the end of ctx in place of what a connection cut for it said.
func orTimeout(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// explain turns what kafka-go reports into words that say what to do.
func (c *Client) explain(broker string, err error) *ProbeError {
	e := &ProbeError{Broker: broker, Err: err}
	switch {
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		e.Cause, e.Remedy = "authentication failed", "check kafka.sasl.username and kafka.sasl.password"
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		e.Cause, e.Remedy = "the broker does not offer this SASL mechanism", "check kafka.sasl.mechanism"
	case errors.Is(err, kafka.IllegalSASLState):
		e.Cause, e.Remedy = "the broker did not expect a login here", "check the port, or leave kafka.sasl.mechanism empty"
	case expired(err):
		e.Cause, e.Remedy = "its TLS certificate is not valid at this time: "+err.Error(), "renew the broker's certificate, or set the clock of this machine"
	case is[*tls.CertificateVerificationError](err):
		e.Cause, e.Remedy = "its TLS certificate cannot be verified: "+err.Error(), "check kafka.tls.ca_file and the host name in kafka.brokers"
	case alert(err) && !c.certificateEnd().IsZero(): // Java's own word for it is "unknown certificate"
		e.Cause = "it refused the TLS connection: " + err.Error() + "; the client certificate expired at " + c.certificateEnd().Format(time.RFC3339)
		e.Remedy = "renew kafka.tls.cert_file and kafka.tls.key_file"
	case alert(err):
		e.Cause, e.Remedy = "it refused the TLS connection: "+err.Error(), "check kafka.tls.cert_file and kafka.tls.key_file"
	case is[tls.RecordHeaderError](err):
		e.Cause, e.Remedy = "it does not speak TLS on this port", "check the port, or set kafka.tls.enabled: false"
	case strings.Contains(err.Error(), "expecting TLS"): // kafka-go's only sign of it
		e.Cause, e.Remedy = "it speaks TLS on this port", "set kafka.tls.enabled: true"
	case is[*net.DNSError](err):
		e.Cause, e.Remedy = "the host name does not resolve", "check kafka.brokers and DNS"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Cause, e.Remedy = "connection refused", "check the port in kafka.brokers and that the broker is up"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		e.Cause, e.Remedy = "no answer in time", "check the network path, firewalls and network policies"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrClosedPipe):
		e.Cause, e.Remedy = "it closed the connection", "check that kafka.tls and kafka.sasl are what this port expects"
	default:
		e.Cause, e.Remedy = err.Error(), "check kafka.brokers"
	}
	return e
}

// alert reports whether the broker broke off the TLS handshake. crypto/tls does not
// export the type of an alert that came in, only this sign of it (tls.AlertError is
// for QUIC).
func alert(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "remote error"
}

// certificateEnd returns when the client certificate expired, zero if it did not.
func (c *Client) certificateEnd() time.Time {
	if c.dialer.TLS == nil || len(c.dialer.TLS.Certificates) == 0 {
		return time.Time{}
	}
	leaf, err := x509.ParseCertificate(c.dialer.TLS.Certificates[0].Certificate[0])
	if err != nil || time.Now().Before(leaf.NotAfter) {
		return time.Time{} // one that cannot be parsed is not what expired
	}
	return leaf.NotAfter.UTC()
}

// expired reports whether the broker's certificate is out of date, or not valid yet.
func expired(err error) bool {
	e, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok && e.Reason == x509.Expired
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// bounded gives every connection a limit for the reads and writes that come
// without a deadline. kafka-go sets one for its requests, but clears it before it
// logs in: a broker that falls silent there would hold up all metadata for ever.
func bounded(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &boundedConn{Conn: conn}, nil
	}
}

// boundedConn reads and writes within requestTimeout when no deadline is set.
type boundedConn struct {
	net.Conn
	mu          sync.Mutex
	read, write time.Time // the deadlines that were set; zero: none
}

func (c *boundedConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.read.IsZero() {
		_ = c.Conn.SetReadDeadline(time.Now().Add(requestTimeout)) // fails only when closed, and Read says so
	}
	c.mu.Unlock()
	return c.Conn.Read(b)
}

func (c *boundedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if c.write.IsZero() {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(requestTimeout))
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *boundedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *boundedConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = t
	return c.Conn.SetReadDeadline(t)
}

func (c *boundedConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = t
	return c.Conn.SetWriteDeadline(t)
}
