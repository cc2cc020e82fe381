package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"usersync/consumer"
)

// Pause tells all workers to make no call to a destination until Resume, and says so to
// w. What comes in meanwhile waits. It returns when the control topic has it, which the
// workers read within about a second.
func Pause(ctx context.Context, c *Config, destination string, asJSON bool, w io.Writer) error {
	return tell(ctx, c, destination, asJSON, w, network{}, pause)
}

// Resume takes a Pause back.
func Resume(ctx context.Context, c *Config, destination string, asJSON bool, w io.Writer) error {
	return tell(ctx, c, destination, asJSON, w, network{}, resume)
}

// AcceptLetters tells all workers that what they have given up by now for a destination
// may go to the dead-letter topic, however much it is.
func AcceptLetters(ctx context.Context, c *Config, destination string, asJSON bool, w io.Writer) error {
	return tell(ctx, c, destination, asJSON, w, network{}, accept)
}

// counter is where an operator's words go: the control topic, and what it says so far.
type counter struct {
	client      *consumer.Client
	topic       *consumer.ControlTopic
	known       *consumer.Controls
	destination string
}

// openCounter connects to the control topic of c, which must be as it has to be. The
// caller closes the client. The error is a Problem if c itself does not do.
func openCounter(ctx context.Context, c *Config, destination string, n network) (*counter, error) {
	if err := c.has(destination); err != nil {
		return nil, err
	}
	k := c.Kafka
	if k.ControlTopic == "" {
		return nil, Problem{Key: "kafka.control_topic", Text: "is not set, and it is how the workers are told; name a topic with one partition and cleanup.policy=compact, and restart the workers with it"}
	}
	client, err := k.client("usersync-control", n.dial)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	counter := &counter{client: client, topic: consumer.NewControlTopic(client, k.ControlTopic), destination: destination}
	if err := counter.open(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return counter, nil
}

func (o *counter) open(ctx context.Context) error {
	if err := o.client.Probe(ctx); err != nil {
		return err
	}
	findings, err := o.topic.Check(ctx)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	for _, f := range findings {
		if f.Severity == consumer.Error {
			return fmt.Errorf("kafka.control_topic: topic %s: %s", f.Topic, f.Text)
		}
	}
	o.known, err = o.topic.Read(ctx)
	return err
}

// tell opens the counter, lets say speak, and publishes what that returns.
func tell(ctx context.Context, c *Config, destination string, asJSON bool, w io.Writer, n network,
	say func(context.Context, *counter) (told, error),
) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	o, err := openCounter(ctx, c, destination, n)
	if err != nil {
		return err
	}
	defer o.client.Close()
	said, err := say(ctx, o)
	if err != nil {
		return err
	}
	said.Destination = destination
	return publish(w, asJSON, said)
}

// told is what a command has told the workers.
type told struct {
	Destination string    `json:"destination"`
	State       string    `json:"state"` // "paused", "running" or "accepted"
	Since       time.Time `json:"since"`
	Changed     bool      `json:"changed"` // false: so it was before
	text        string
}

func (t told) print(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", t.Destination, t.text) }

func pause(ctx context.Context, o *counter) (told, error) {
	if p, ok := o.known.Paused(o.destination); ok {
		return told{State: "paused", Since: p.At, text: "is paused already, since " + p.At.Format(time.RFC3339)}, nil
	}
	now := time.Now().UTC()
	err := o.topic.Put(ctx, consumer.Pause{Destination: o.destination, At: now})
	return told{State: "paused", Since: now, Changed: true, text: "paused; calls in flight end, and what comes in waits until: usersync resume " + o.destination}, err
}

func resume(ctx context.Context, o *counter) (told, error) {
	now := time.Now().UTC()
	p, ok := o.known.Paused(o.destination)
	if !ok {
		return told{State: "running", Since: now, text: "is not paused"}, nil
	}
	err := o.topic.Remove(ctx, consumer.Pause{Destination: o.destination})
	return told{State: "running", Since: now, Changed: true, text: fmt.Sprintf("resumed, after %s", short(now.Sub(p.At).Round(time.Second)))}, err
}

func accept(ctx context.Context, o *counter) (told, error) {
	now := time.Now().UTC()
	err := o.topic.Put(ctx, consumer.Accept{Destination: o.destination, At: now})
	return told{State: "accepted", Since: now, Changed: true, text: "accepted; what was given up until now goes to the dead-letter topic, also where there is more than dead_letters.budget"}, err
}
