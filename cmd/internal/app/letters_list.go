package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"usersync/consumer"
	"usersync/consumer/event"
)

// ListLetters writes the dead letters that filter lets through to w, oldest first, and
// marks those that a newer change of their user follows, and those whose record the
// source no longer has. It holds no personal data:
// users are hashes. Progress goes to said.
func ListLetters(ctx context.Context, c *Config, filter LetterFilter, asJSON bool, w, said io.Writer) error {
	return listLetters(ctx, c, filter, asJSON, w, said, network{})
}

func listLetters(ctx context.Context, c *Config, filter LetterFilter, asJSON bool, w, said io.Writer, n network) error {
	f, err := openLetters(ctx, c, filter, said, n)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.inSource(ctx); err != nil {
		return err
	}
	if f.strange > 0 {
		fmt.Fprintf(said, "%d records of %s are no dead letters and were passed over\n", f.strange, c.Kafka.DeadLetterTopic)
	}
	return publish(w, asJSON, letterList{Letters: append([]*deadLetter{}, f.letters...)})
}

// letterList is what is listed.
type letterList struct {
	Letters []*deadLetter `json:"letters"`
}

func (x letterList) print(w io.Writer) {
	if len(x.Letters) == 0 {
		fmt.Fprintln(w, "no dead letters")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tDESTINATION\tREASON\tERROR\tSOURCE\tUSER\tFAILED AT\tSTATUS")
	for _, l := range x.Letters {
		status := l.Status
		switch {
		case l.Superseded:
			status += ", superseded"
		case l.Gone:
			status += ", record gone"
		}
		user := l.User
		if user == "" {
			user = "?"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s/%d@%d\t%s\t%s\t%s\n", l.ID, l.Destination, l.Reason, l.Error,
			l.Topic, l.Partition, l.Offset, user, l.FailedAt.Format(time.RFC3339), status)
	}
	_ = t.Flush() // the error sticks to w
}

// ShowLetter writes everything about one dead letter to w. Its key, value and own headers,
// which hold personal data, only if values is set.
func ShowLetter(ctx context.Context, c *Config, id string, values, asJSON bool, w, said io.Writer) error {
	return showLetter(ctx, c, id, values, asJSON, w, said, network{})
}

func showLetter(ctx context.Context, c *Config, id string, values, asJSON bool, w, said io.Writer, n network) error {
	f, err := openLetters(ctx, c, LetterFilter{IDs: []string{id}}, said, n)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.inSource(ctx); err != nil {
		return err
	}
	l := f.letters[0]
	full, err := f.again(ctx, l)
	if err != nil {
		return err
	}
	x := letterView{deadLetter: l, Version: full.Version, SourceTime: full.SourceTime, KeyBytes: len(full.Key), ValueBytes: len(full.Value)}
	if l.bad != "" {
		x.Undecodable = l.bad
	}
	if values {
		x.Key, x.Value = content(full.Key), content(full.Value)
		for _, h := range full.Headers {
			x.Headers = append(x.Headers, letterHeader{h.Key, *content(h.Value)})
		}
	}
	return publish(w, asJSON, x)
}

// again reads a letter with all that is in it.
func (f *letterFile) again(ctx context.Context, l *deadLetter) (*consumer.DeadLetter, error) {
	var full *consumer.DeadLetter
	at := l.letter.At.Offset
	err := f.client.Scan(ctx, l.at(), at, at+1, func(r *event.Record) error {
		if x, ok := consumer.ReadDeadLetter(r); ok {
			full = &x
		}
		return nil
	})
	if err == nil && full == nil {
		err = errors.New("it is not in the topic any more")
	}
	if err != nil {
		return nil, fmt.Errorf("dead letter %s: %w", l.ID, err)
	}
	return full, nil
}

// letterView is one letter, in full.
type letterView struct {
	*deadLetter
	SourceTime  time.Time      `json:"source_time"`
	Version     string         `json:"version"`
	Undecodable string         `json:"undecodable,omitempty"` // with the configuration of now
	KeyBytes    int            `json:"key_bytes"`
	ValueBytes  int            `json:"value_bytes"`
	Key         *string        `json:"key,omitempty"`
	Value       *string        `json:"value,omitempty"`
	Headers     []letterHeader `json:"headers,omitempty"`
}

type letterHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// content is bytes as text, or in base64 if they are none.
func content(b []byte) *string {
	text := string(b)
	switch {
	case b == nil:
		text = "null"
	case !utf8.Valid(b):
		text = "base64:" + base64.StdEncoding.EncodeToString(b)
	}
	return &text
}

func (x letterView) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, value) }
	line("letter", fmt.Sprintf("%s/%s", x.letter.At.Topic, x.ID))
	line("destination", x.Destination)
	line("reason", x.Reason)
	line("error", x.Error)
	line("source", fmt.Sprintf("%s/%d@%d", x.Topic, x.Partition, x.Offset))
	line("source time", x.SourceTime.Format(time.RFC3339))
	line("user", x.User)
	line("attempts", fmt.Sprint(x.Attempts))
	line("failed at", x.FailedAt.Format(time.RFC3339))
	line("version", x.Version)
	line("status", x.Status)
	line("superseded", fmt.Sprint(x.Superseded))
	if x.Gone && !x.Superseded {
		line("gone", x.whyGone())
	}
	line("form", fmt.Sprintf("%s, key of %d bytes, value of %d bytes", x.Form, x.KeyBytes, x.ValueBytes))
	if x.Undecodable != "" {
		line("undecodable", x.Undecodable)
	}
	if x.Key != nil {
		line("key", *x.Key)
		line("value", *x.Value)
	}
	for _, h := range x.Headers {
		line("header "+h.Name, h.Value)
	}
	_ = t.Flush() // the error sticks to w
}
