package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"usersync/consumer/event"
)

// Map is a dry run: it reads records from r, one a line, and prints to w the
// requests that each of them would cause, alone and on its own, with personal
// data. Nothing is sent. A line is
//
//	{"key": ..., "value": ..., "headers": {...}}
//
// with JSON or null for key and value, or the key, a tab and the value, as
// Kafka's console consumer prints them with print.key=true. The error says how
// many lines are no record, or one that would become a dead letter.
func Map(ctx context.Context, c *Config, r io.Reader, w io.Writer) error {
	requests := new(recorder)
	targets, err := c.targets(func(string) http.RoundTripper { return requests })
	if err != nil {
		return err
	}
	m := &mapper{out: bufio.NewWriter(w), targets: targets, requests: requests, suspects: make(map[string]*suspect)}
	in := bufio.NewReader(r)
	for number := 1; ctx.Err() == nil; number++ {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			m.line(ctx, number, line)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(m.out.Flush(), fmt.Errorf("line %d: %w", number, err))
		}
	}
	m.warn()
	if err := errors.Join(m.out.Flush(), ctx.Err()); err != nil {
		return err
	}
	if m.bad > 0 {
		return fmt.Errorf("%d of %d lines cannot be mapped", m.bad, m.lines)
	}
	return nil
}

// mapper is a dry run on its way.
type mapper struct {
	out        *bufio.Writer // an error sticks, and Flush returns it
	targets    []target
	requests   *recorder
	lines, bad int
	suspects   map[string]*suspect // by what they are called in a warning
}

// line maps one record for every destination.
func (m *mapper) line(ctx context.Context, number int, line []byte) {
	m.lines++
	record, err := parseRecord(line)
	if err != nil {
		m.bad++
		fmt.Fprintf(m.out, "line %d: %v\n", number, err)
		return
	}
	record.Offset = int64(number)
	good := true
	for _, t := range m.targets {
		prefix := fmt.Sprintf("line %d: %s: ", number, t.name)
		if err := m.deliver(ctx, t, record, prefix); err != nil {
			good = false
			fmt.Fprintf(m.out, "%s%v\n", prefix, err)
		}
	}
	if !good {
		m.bad++
	}
}

// deliver prints what record causes at one destination. Its error is one that
// would make the record a dead letter.
func (m *mapper) deliver(ctx context.Context, t target, record *event.Record, prefix string) error {
	e, err := t.decoder.Decode(record)
	switch {
	case err != nil:
		return err
	case e.Skip != "":
		fmt.Fprintf(m.out, "%sskipped: %s\n", prefix, e.Skip)
		return nil
	}
	m.suspect(&e.Change)
	payload, omissions, err := t.mapping.Payload(&e.Change)
	switch {
	case err != nil:
		return err
	case payload.Body == nil:
		fmt.Fprintf(m.out, "%sskipped: delete\n", prefix)
		return nil
	}
	m.requests.sent = m.requests.sent[:0]
	// It fails, since nothing is sent. What counts is what the recorder saw.
	_ = t.destination.Deliver(ctx, payload)
	for _, request := range m.requests.sent {
		fmt.Fprintf(m.out, "%s%s\n", prefix, request)
	}
	for _, o := range omissions {
		fmt.Fprintf(m.out, "%snote: %s is %s\n", prefix, o.Field, o.Reason)
	}
	return nil
}

// recorder is a transport that sends nothing. It makes a dry run show what the
// destination's own client does, and not what this package thinks it does.
type recorder struct{ sent []string }

var errDryRun = errors.New("dry run")

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	defer req.Body.Close()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.sent = append(r.sent, fmt.Sprintf("%s %s %s", req.Method, req.URL.RequestURI(), body))
	return nil, errDryRun
}

// warn prints which columns may be decimals in disguise.
func (m *mapper) warn() {
	for _, name := range slices.Sorted(maps.Keys(m.suspects)) {
		if m.suspects[name].guilty() {
			fmt.Fprintf(m.out, "warning: %s looks like a decimal in base64; "+
				"use decimal.handling.mode=string in the connector, or records with schema\n", name)
		}
	}
}
