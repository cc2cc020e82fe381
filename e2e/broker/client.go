package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Client is what a test asks of a running Kafka, one broker or a cluster. Its
// methods may be called from several goroutines, and wait for a Kafka that is
// about to answer for as long as their context lasts.
type Client struct {
	kafka    *kgo.Client
	addrs    []string
	replicas int16 // of a topic
}

func newClient(addrs []string) (*Client, error) {
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(addrs...),
		// Later requests name topics by ID; the names are what tests have.
		kgo.MaxVersions(kversion.V3_0_0()),
		// A frozen broker never answers, and another one may.
		kgo.RequestTimeoutOverhead(5*time.Second),
	)
	if err != nil {
		return nil, err
	}
	return &Client{kafka: kafka, addrs: addrs, replicas: int16(len(addrs))}, nil
}

// Addrs returns the addresses that need no credentials, one of each broker; they
// stay the same across restarts.
func (c *Client) Addrs() []string { return slices.Clone(c.addrs) }

// ready waits until Kafka names all of the brokers, and a controller.
func (c *Client) ready(ctx context.Context, ids ...int32) error {
	return c.poll(ctx, func() error {
		resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, c.kafka)
		if err != nil {
			return err
		}
		if resp.ControllerID < 0 {
			return fmt.Errorf("%w: no controller", errNotYet)
		}
		for _, id := range ids {
			if !slices.ContainsFunc(resp.Brokers, func(b kmsg.MetadataResponseBroker) bool { return b.NodeID == id }) {
				return fmt.Errorf("%w: no broker %d", errNotYet, id)
			}
		}
		return nil
	})
}

// errNotYet is an answer that is not the one that is waited for.
var errNotYet = errors.New("not yet")

// poll asks until the answer is good, or an error that does not pass by itself. At
// the end of ctx it returns the last one.
func (c *Client) poll(ctx context.Context, ask func() error) error {
	for tick := time.Tick(50 * time.Millisecond); ; {
		err := ask()
		if !passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick:
		}
	}
}

// passing reports whether an error is one that a broker gives while it comes or goes.
func passing(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	return kerr.IsRetriable(err) || errors.Is(err, errNotYet) || errors.Is(err, io.EOF)
}
