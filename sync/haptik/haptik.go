// Package haptik is the destination Haptik: its user API, where POST registers a
// user and PUT updates one.
package haptik

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	usync "usersync/sync"
)

// Fields are what the user API takes, in payload order. Haptik documents the
// names and that custom_data is flat; the length of a name is ours. auth_code and
// anything about the phone's model are left alone: they are not a user's state.
var Fields = []usync.Field{
	{Name: "auth_id", Kind: usync.ID, Required: true},
	{Name: "mobile_no", Kind: usync.Phone},
	{Name: "email", Kind: usync.Email, Max: 250},
	{Name: "name", Kind: usync.Text, Max: 250},
	{Name: "language_code", Kind: usync.Language},
	{Name: "custom_data", Kind: usync.Object},
}

// DefaultMapping maps the usual column names. custom_data has no default: what
// else of a row a support bot may see is for its owner to say.
var DefaultMapping = map[string]any{
	"mobile_no":     `phone`,
	"email":         `email`,
	"name":          `first(full_name, trim(first_name + " " + last_name), username, "Guest User")`,
	"language_code": `first(iso639_1(language), iso639_1(locale))`,
}

// DefaultAnonymize is what a deleted user is replaced by. Only a mapping that sends
// custom data knows what has to be replaced there.
var DefaultAnonymize = map[string]any{
	"mobile_no":     `""`,
	"email":         `""`,
	"name":          `"Deleted User"`,
	"language_code": `""`,
}

// Config is what [New] needs.
type Config struct {
	BaseURL         string
	ClientID, Token usync.Secret
	// FirstWrite is the method to try first: put (the default), or post for a
	// tenant that is known to be empty.
	FirstWrite string
	AllowHTTP  bool              // plain http to other hosts than loopback
	Transport  http.RoundTripper // nil: one of its own; see usync.Exchange
}

// Client delivers users to Haptik. Its methods may be called from several
// goroutines.
type Client struct {
	url       *url.URL
	first     string
	transport http.RoundTripper
	cfg       *Config // a pointer, so that no secret is in reach of a stray %+v
	header    atomic.Pointer[http.Header]
}

// New returns a client, or all that is wrong with cfg at once. It reads the
// credentials and connects to nothing.
func New(cfg Config) (*Client, error) {
	// The slash matters: without it Haptik redirects, and a redirect is refused.
	endpoint, baseErr := usync.Endpoint(cfg.BaseURL, "/v1.0/user/", cfg.AllowHTTP)
	if baseErr != nil {
		baseErr = fmt.Errorf("base_url: %w", baseErr)
	}
	c := &Client{url: endpoint, transport: cfg.Transport, cfg: &cfg}
	if c.transport == nil {
		c.transport = usync.NewTransport()
	}
	var firstErr error
	switch cfg.FirstWrite {
	case "", "put":
		c.first = http.MethodPut
	case "post":
		c.first = http.MethodPost
	default:
		firstErr = errors.New("first_write: must be put or post")
	}
	if err := errors.Join(baseErr, firstErr, c.Reload()); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the client ID and the token again. An error leaves the old ones in
// place.
func (c *Client) Reload() error {
	id, idErr := read("client_id", c.cfg.ClientID)
	token, tokenErr := read("token", c.cfg.Token)
	if err := errors.Join(idErr, tokenErr); err != nil {
		return err
	}
	c.header.Store(new(usync.Header("Authorization", "Bearer "+token, "Client-Id", id))) // names of headers have no case
	return nil
}

func read(name string, s usync.Secret) (string, error) {
	v, err := s.Read()
	if err == nil && strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		// net/http would refuse every call, and the log would say "connection".
		err = errors.New("has a space or a character that no HTTP header can hold")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// Deliver gives Haptik p and returns nil or a *usync.CallError. It takes a second
// request when the first answer is that the other method is the right one, and
// never a third: Haptik's pages contradict each other on what POST does to a user
// that exists, and two methods that point at each other would go on for ever.
func (c *Client) Deliver(ctx context.Context, p usync.Payload) error {
	s := readSent(p.Body)
	a := c.send(ctx, c.first, p.Body, s)
	if !a.other {
		return a.err
	}
	accepted := a.err == nil
	second := http.MethodPost
	if c.first == second {
		second = http.MethodPut
	}
	a = c.send(ctx, second, p.Body, s)
	if e, ok := errors.AsType[*usync.CallError](a.err); ok && accepted {
		// The first request had a 2xx: Haptik may well hold what it sent.
		e.Ambiguous, e.Unsent = true, false
	}
	return a.err
}

// send makes one request.
func (c *Client) send(ctx context.Context, method string, body []byte, s sent) answer {
	reply, err := usync.Exchange(ctx, c.transport, usync.Request{
		Method: method,
		URL:    c.url,
		Header: *c.header.Load(),
		Body:   body,
	})
	if err != nil {
		return answer{err: err}
	}
	return classify(method, reply, s)
}
