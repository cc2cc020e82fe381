// Package taptalk is the destination TapTalk: its server API's user update, which
// saves an unknown user as a new one.
package taptalk

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"

	usync "usersync/sync"
)

// Fields are what the user update takes, in payload order. TapTalk documents the
// names, what is required and the 50 of xcUserID; 250 is the limit of its sister
// product OneTalk, 100 is ours.
var Fields = []usync.Field{
	{Name: "xcUserID", Kind: usync.ID, Required: true, Max: 50},
	{Name: "fullName", Kind: usync.Text, Required: true, Max: 250},
	{Name: "email", Kind: usync.Email, Max: 250},
	{Name: "phone", Kind: usync.Phone},
	{Name: "username", Kind: usync.Text, Max: 100},
	{Name: "photoThumbnailURL", Kind: usync.URL},
	{Name: "photoFullsizeURL", Kind: usync.URL},
	{Name: "userRoleCode", Kind: usync.Text},
}

// DefaultMapping maps the usual column names. A username that is too long is left
// out: a shortened one is somebody else's. Role codes are made up by each TapTalk
// app, so there is no default for userRoleCode; a mapping names each one, such as
// {"staff": "agent"}[role].
var DefaultMapping = map[string]any{
	"fullName":          `first(full_name, trim(first_name + " " + last_name), username, "Guest User")`,
	"email":             `email`,
	"phone":             `phone`,
	"username":          `truncate(username, 100) == username ? username : nil`,
	"photoThumbnailURL": `avatar_url`,
	"photoFullsizeURL":  `avatar_url`,
}

// DefaultAnonymize is what a deleted user is replaced by. The role is no personal
// data, and its codes are the app's own, so a mapping that sends one has to say which
// it is then.
var DefaultAnonymize = map[string]any{
	"fullName":          `"Deleted User"`,
	"email":             `""`,
	"phone":             `""`,
	"username":          `""`,
	"photoThumbnailURL": `""`,
	"photoFullsizeURL":  `""`,
}

// Config is what [New] needs.
type Config struct {
	BaseURL                      string
	ServerKeyID, ServerKeySecret usync.Secret
	AllowHTTP                    bool              // plain http to other hosts than loopback
	Transport                    http.RoundTripper // nil: one of its own; see usync.Exchange
}

// Client delivers users to TapTalk. Its methods may be called from several
// goroutines.
type Client struct {
	url       *url.URL
	transport http.RoundTripper
	cfg       *Config // a pointer, so that no secret is in reach of a stray %+v
	header    atomic.Pointer[http.Header]
}

// New returns a client, or all that is wrong with cfg at once. It reads the
// credentials and connects to nothing.
func New(cfg Config) (*Client, error) {
	endpoint, err := usync.Endpoint(cfg.BaseURL, "/v1/server/user/update", cfg.AllowHTTP)
	if err != nil {
		err = fmt.Errorf("base_url: %w", err)
	}
	c := &Client{url: endpoint, transport: cfg.Transport, cfg: &cfg}
	if c.transport == nil {
		c.transport = usync.NewTransport()
	}
	if err := errors.Join(err, c.Reload()); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the server key again. An error leaves the old one in place.
func (c *Client) Reload() error {
	id, idErr := c.cfg.ServerKeyID.Read()
	if idErr != nil {
		idErr = fmt.Errorf("server_key_id: %w", idErr)
	}
	secret, secretErr := c.cfg.ServerKeySecret.Read()
	if secretErr != nil {
		secretErr = fmt.Errorf("server_key_secret: %w", secretErr)
	}
	if err := errors.Join(idErr, secretErr); err != nil {
		return err
	}
	c.header.Store(new(usync.Header("Server-Key", base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))))
	return nil
}

// Deliver makes one call and returns nil or a *usync.CallError.
func (c *Client) Deliver(ctx context.Context, p usync.Payload) error {
	reply, err := usync.Exchange(ctx, c.transport, usync.Request{
		Method: http.MethodPost,
		URL:    c.url,
		Header: *c.header.Load(),
		Body:   p.Body,
	})
	if err != nil {
		return err
	}
	if e := classify(reply); e != nil {
		return e // not "return classify(reply)": a nil *CallError is not a nil error
	}
	return nil
}
