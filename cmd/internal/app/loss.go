package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"usersync/consumer"
)

// lossTimeout bounds AcceptLoss: to find the end of a corrupt batch takes a request for
// each of its offsets.
const lossTimeout = 5 * time.Minute

// AcceptLoss shows in w which partitions of a destination are halted, why, and what is
// lost if they go on, for all or for the one that is named as TOPIC/NUMBER. With yes it
// tells the workers that they may go on, else it ends with an error if any is halted.
func AcceptLoss(ctx context.Context, c *Config, destination, partition string, yes, asJSON bool, w io.Writer) error {
	return acceptLoss(ctx, c, destination, partition, yes, asJSON, w, network{})
}

func acceptLoss(ctx context.Context, c *Config, destination, partition string, yes, asJSON bool, w io.Writer, n network) error {
	ctx, cancel := context.WithTimeout(ctx, lossTimeout)
	defer cancel()
	o, err := openCounter(ctx, c, destination, n)
	if err != nil {
		return err
	}
	defer o.client.Close()
	r, losses, err := o.losses(ctx, c.Kafka.group(destination), partition)
	if err != nil {
		return err
	}
	if yes && len(losses) > 0 {
		if err := o.topic.Put(ctx, losses...); err != nil {
			return err
		}
		r.Accepted = true
	}
	if err := publish(w, asJSON, r); err != nil {
		return err
	}
	switch {
	case partition != "" && len(r.Partitions) == 0:
		return fmt.Errorf("%s is not halted for %s; without --partition all that are halted are shown", partition, destination)
	case len(r.Partitions) > len(losses):
		return errors.New("not every halted partition can go on by accepting a loss")
	case len(losses) > 0 && !yes:
		return errors.New("nothing was changed; to go on like this add --yes")
	}
	return nil
}

// lossReport is what halts have cost, or will have.
type lossReport struct {
	Destination string          `json:"destination"`
	Accepted    bool            `json:"accepted"`
	Partitions  []partitionLoss `json:"partitions"`
}

// partitionLoss is what one halt costs.
type partitionLoss struct {
	Topic     string    `json:"topic"`
	Partition int       `json:"partition"`
	Reason    string    `json:"reason"`
	Since     time.Time `json:"since"`
	Committed int64     `json:"committed"` // -1: nothing is
	Halted    int64     `json:"halted_at"` // the first offset that cannot be had
	LogStart  int64     `json:"log_start"`
	LogEnd    int64     `json:"log_end"`
	GoOn      *int64    `json:"go_on_at,omitempty"` // nil: no loss can be accepted
	Lost      *int64    `json:"lost,omitempty"`     // offsets; nil: nobody can say how many
	Text      string    `json:"text"`
}

// losses finds out what every halt of the destination costs, or that of one partition,
// and returns what is to be written to accept it.
func (o *counter) losses(ctx context.Context, group, partition string) (*lossReport, []consumer.ControlRecord, error) {
	r := &lossReport{Destination: o.destination, Partitions: []partitionLoss{}}
	var losses []consumer.ControlRecord
	now := time.Now().UTC()
	for _, h := range o.known.Halts(o.destination) {
		if partition != "" && partition != fmt.Sprintf("%s/%d", h.Topic, h.Partition) {
			continue
		}
		p, err := o.loss(ctx, group, h)
		if err != nil {
			return nil, nil, err
		}
		r.Partitions = append(r.Partitions, p)
		if p.GoOn != nil {
			losses = append(losses, consumer.Loss{Destination: o.destination, TopicPartition: h.TopicPartition, At: now, Halted: h.At, Offset: *p.GoOn})
		}
	}
	return r, losses, nil
}

// loss finds out what one halt costs now: retention may have gone on since.
func (o *counter) loss(ctx context.Context, group string, h consumer.Halt) (partitionLoss, error) {
	p := partitionLoss{Topic: h.Topic, Partition: h.Partition, Reason: h.Reason, Since: h.At, Halted: h.Offset}
	if h.Reason == "topic_gone" {
		p.Text = "create the topic again; the workers join by themselves"
		return p, nil
	}
	committed, err := o.client.CommittedOffsets(ctx, group, map[string][]int{h.Topic: {h.Partition}})
	if err == nil {
		err = committed[h.TopicPartition].Err
	}
	if err != nil {
		return p, err
	}
	p.Committed = committed[h.TopicPartition].Offset
	if p.LogStart, p.LogEnd, err = o.client.Bounds(ctx, h.TopicPartition); err != nil {
		return p, err
	}
	switch h.Reason {
	case "out_of_range_below":
		lost := max(p.LogStart-h.Offset, 0)
		p.GoOn, p.Lost = &p.LogStart, &lost
		p.Text = "retention has removed what was not delivered yet; to mend the users among it take a new snapshot of the table"
	case "corrupt":
		next, err := o.client.PastCorrupt(ctx, h.TopicPartition, h.Offset)
		if err != nil {
			return p, err
		}
		lost := next - h.Offset
		p.GoOn, p.Lost = &next, &lost
		p.Text = "a batch cannot be read; what comes before it is delivered first"
	case "out_of_range_above", "topic_recreated":
		p.GoOn = &p.LogStart
		p.Text = fmt.Sprintf("it is another log; what the old one held from offset %d on is lost, and all of the new one is read", h.Offset)
	default:
		p.Text = "this program does not know what that is; a newer version of it does"
	}
	return p, nil
}

func (r *lossReport) print(w io.Writer) {
	if len(r.Partitions) == 0 {
		fmt.Fprintf(w, "%s: no partition is halted\n", r.Destination)
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PARTITION\tREASON\tSINCE\tCOMMITTED\tHALTED AT\tLOG\tGO ON AT\tLOST OFFSETS")
	for _, p := range r.Partitions {
		goOn, lost := "-", "unknown"
		if p.GoOn != nil {
			goOn = fmt.Sprint(*p.GoOn)
		}
		if p.Lost != nil {
			lost = grouped(*p.Lost)
		}
		fmt.Fprintf(t, "%s/%d\t%s\t%s\t%d\t%d\t%d to %d\t%s\t%s\n", p.Topic, p.Partition, p.Reason, p.Since.Format(time.RFC3339),
			p.Committed, p.Halted, p.LogStart, p.LogEnd, goOn, lost)
	}
	_ = t.Flush() // an error sticks to w
	for _, p := range r.Partitions {
		fmt.Fprintf(w, "%s/%d: %s\n", p.Topic, p.Partition, p.Text)
	}
	if r.Accepted {
		fmt.Fprintf(w, "%s: accepted; the owners go on at these offsets, at once or when they meet the same halt again\n", r.Destination)
	}
}
