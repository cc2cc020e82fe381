package app

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"usersync/consumer"
)

// TestAcceptLoss lets retention win against workers that are down: the command shows
// what is lost, changes nothing before it is told to, and then they go on.
func TestAcceptLoss(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(b.controlled(), func(c *Config) { c.Kafka.Topics = []string{"people"} })
		if err := b.kafka.CreateTopic("people", 1, nil); err != nil {
			t.Fatal(err)
		}
		say := func(partition string, yes bool) (lossReport, error) { return b.acceptLoss(c, partition, yes) }
		p := b.start(c)
		p.ready()
		b.changeIn("people", 1, "Ann")
		b.holds(time.Minute, 1, "Ann")
		if r, err := say("", true); err != nil || len(r.Partitions) != 0 || r.Accepted {
			t.Errorf("with nothing halted: %+v, %v", r, err)
		}
		time.Sleep(10 * time.Second)
		p.stop()
		for user := range 4 {
			b.changeIn("people", 2+user, "Bob")
		}
		if err := b.kafka.DeleteRecords("people", 0, 3); err != nil {
			t.Fatal(err)
		}
		p = b.start(c)
		halted := `usersync_consumer_partition_halted{destination="taptalk",partition="0",reason="out_of_range_below",topic="people"} 1`
		p.shows(time.Minute, halted)
		time.Sleep(5 * time.Second)

		r, err := say("", false)
		if err == nil || !strings.Contains(err.Error(), "add --yes") || r.Accepted || len(r.Partitions) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		got := r.Partitions[0]
		if got.Reason != "out_of_range_below" || got.Committed != 1 || got.Halted != 1 || got.LogStart != 3 || got.LogEnd != 5 || *got.GoOn != 3 || *got.Lost != 2 {
			t.Errorf("%+v goes on at %d and loses %d", got, *got.GoOn, *got.Lost)
		}
		if _, err := say("people/1", true); err == nil || !strings.HasPrefix(err.Error(), "people/1 is not halted for taptalk") {
			t.Errorf("of a partition that is not halted: %v", err)
		}
		time.Sleep(time.Minute)
		p.shows(time.Second, halted)
		if r, err := say("people/0", true); err != nil || !r.Accepted {
			t.Fatalf("%+v, %v", r, err)
		}
		b.holds(time.Minute, 5, "Bob", taptalkName)
		if b.tap.Current("2") != nil || b.hap.Current("5") != nil {
			t.Error("a lost user is there, or the other destination has gone on")
		}
		var out bytes.Buffer
		if err := acceptLoss(b.t.Context(), c, haptikName, "", true, false, &out, b.outside()); err != nil || !strings.Contains(out.String(), "people/0   out_of_range_below  ") {
			t.Errorf("printed %s (%v)", out.String(), err)
		}
		b.holds(time.Minute, 5, "Bob")
	})
}

// acceptLoss runs the command for TapTalk and reads what it prints.
func (b *bubble) acceptLoss(c *Config, partition string, yes bool) (lossReport, error) {
	b.t.Helper()
	var out bytes.Buffer
	err := acceptLoss(b.t.Context(), c, taptalkName, partition, yes, true, &out, b.outside())
	var r lossReport
	if bad := json.Unmarshal(out.Bytes(), &r); bad != nil {
		b.t.Fatalf("printed %s (%v)", out.String(), bad)
	}
	return r, err
}

// TestLossOf tells of each reason what can be accepted.
func TestLossOf(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.config(b.controlled())
		b.start(c).ready() // it makes the group
		b.change(1, "Ann")
		o, err := openCounter(t.Context(), c, taptalkName, b.outside())
		if err != nil {
			t.Fatal(err)
		}
		defer o.client.Close()
		for reason, goesOn := range map[string]bool{
			"out_of_range_below": true, "out_of_range_above": true, "topic_recreated": true, "corrupt": true, "topic_gone": false, "of a later version": false,
		} {
			h := consumer.Halt{Destination: taptalkName, TopicPartition: consumer.TopicPartition{Topic: "users"}, Reason: reason}
			if p, err := o.loss(t.Context(), c.Kafka.group(taptalkName), h); err != nil || (p.GoOn != nil) != goesOn || p.Text == "" {
				t.Errorf("%s: %+v, %v", reason, p, err)
			}
		}
	})
}
