package app

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"usersync/consumer/event"
	usync "usersync/sync"
	"usersync/sync/haptik"
	"usersync/sync/taptalk"
)

// A target is a configured destination and what leads to it: from the bytes of
// a record to a change, from there to a payload, from there to a call.
type target struct {
	name string
	*Delivery
	decoder     *event.Decoder
	mapping     *usync.Mapping
	destination usync.Destination
}

// sends stands for all that decides what t is sent for a record, and where to. The
// program is a part of it, since another may clean a value in another way.
func (t target) sends(e Events, program string) string {
	what, _ := json.Marshal([]any{ // texts, and maps of texts: it never fails
		program, e, t.BaseURL, t.Mapping, t.Deletes, t.Anonymize, t.OnNull, t.OnUnavailable, t.PhoneRegion,
	})
	sum := sha256.Sum256(what)
	return hex.EncodeToString(sum[:8])
}

// group returns the consumer group of a destination.
func (k Kafka) group(destination string) string { return k.GroupID + "." + destination }

// groups returns the consumer groups of the configured destinations.
func (c *Config) groups() []string {
	var groups []string
	if c.TapTalk != nil {
		groups = append(groups, c.Kafka.group(taptalkName))
	}
	if c.Haptik != nil {
		groups = append(groups, c.Kafka.group(haptikName))
	}
	return groups
}

// targets makes the destinations of c, each of which calls through the transport
// that it is given.
func (c *Config) targets(transport func(destination string) http.RoundTripper) ([]target, error) {
	var ts []target
	if t := c.TapTalk; t != nil {
		mapping, mappingErr := t.mapping()
		client, err := t.client(transport(taptalkName))
		if err := errors.Join(mappingErr, err); err != nil {
			return nil, fmt.Errorf("%s: %w", taptalkName, err)
		}
		ts = append(ts, target{name: taptalkName, Delivery: &t.Delivery, mapping: mapping, destination: client})
	}
	if h := c.Haptik; h != nil {
		mapping, mappingErr := h.mapping()
		client, err := h.client(transport(haptikName))
		if err := errors.Join(mappingErr, err); err != nil {
			return nil, fmt.Errorf("%s: %w", haptikName, err)
		}
		ts = append(ts, target{name: haptikName, Delivery: &h.Delivery, mapping: mapping, destination: client})
	}
	for i := range ts {
		var err error
		// Each has a decoder of its own: it keeps the columns of one mapping.
		if ts[i].decoder, err = c.Events.decoder(ts[i].mapping.Columns()); err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
	}
	return ts, nil
}

func (t *TapTalk) client(rt http.RoundTripper) (*taptalk.Client, error) {
	return taptalk.New(taptalk.Config{
		BaseURL:         t.BaseURL,
		ServerKeyID:     t.ServerKeyID,
		ServerKeySecret: t.ServerKeySecret,
		AllowHTTP:       t.AllowHTTP,
		Transport:       rt,
	})
}

func (h *Haptik) client(rt http.RoundTripper) (*haptik.Client, error) {
	return haptik.New(haptik.Config{
		BaseURL:    h.BaseURL,
		ClientID:   h.ClientID,
		Token:      h.Token,
		FirstWrite: h.FirstWrite,
		AllowHTTP:  h.AllowHTTP,
		Transport:  rt,
	})
}
