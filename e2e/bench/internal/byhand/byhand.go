// Package byhand is what the contenders have in common that people write by hand: a
// record is decoded with encoding/json, becomes the request that the worker would make
// of it, and is sent with net/http.
package byhand

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
)

// ServerKey is the credential of every contender.
const ServerKey = "a2V5OmtleS1zZWNyZXQ=" // key:key-secret, in base64

// Options say where a contender reads and what it calls.
type Options struct {
	Brokers, Topic, Group, URL string
	Concurrency                int
}

// Main runs a contender until a signal ends it, and exits with 1 if it failed.
func Main(run func(context.Context, Options) error) {
	var o Options
	flag.StringVar(&o.Brokers, "brokers", "", "`addresses` of Kafka, with commas")
	flag.StringVar(&o.Topic, "topic", "", "`topic` with the changes")
	flag.StringVar(&o.Group, "group", "", "consumer `group`")
	flag.StringVar(&o.URL, "url", "", "base `URL` of the vendor")
	flag.IntVar(&o.Concurrency, "concurrency", 1, "calls in flight")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	// What the signal cuts off is not committed, so nothing is lost by ending there.
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Done says on the standard output what came of the work, as a line of JSON, and waits
// for the signal: who measures looks at the process before that.
func Done(ctx context.Context, result any) error {
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// Reader returns kafka-go's usual consumer.
func (o Options) Reader(c kafka.ReaderConfig) *kafka.Reader {
	c.Brokers, c.Topic, c.GroupID = strings.Split(o.Brokers, ","), o.Topic, o.Group
	c.StartOffset = kafka.FirstOffset
	c.MaxWait = 500 * time.Millisecond // as the worker; by default it is 10 s, which a shutdown waits for
	return kafka.NewReader(c)
}

// Client makes the calls.
type Client struct {
	url  string
	http http.Client
}

// NewClient returns a client whose connections are enough for so many calls at once.
func NewClient(url string, concurrency int) *Client {
	return &Client{
		url:  url + "/v1/server/user/update",
		http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}},
	}
}

// Post makes one call and reads the answer.
func (c *Client) Post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Server-Key", ServerKey)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New("the vendor answered " + resp.Status)
	}
	return nil
}

// Row is what the calls need of a row.
type Row struct {
	ID        int64
	FullName  string `json:"full_name"`
	Email     string
	Phone     string
	Username  string
	AvatarURL string `json:"avatar_url"`
}

// Decode reads a Debezium envelope, with or without a schema around it.
func Decode(value []byte) (Row, error) {
	var e struct {
		After   *Row
		Payload *struct{ After *Row }
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return Row{}, err
	}
	switch {
	case e.After != nil:
		return *e.After, nil
	case e.Payload != nil && e.Payload.After != nil:
		return *e.Payload.After, nil
	default:
		return Row{}, errors.New("the event has no row")
	}
}

// Payload is the body of the call for a row: what TapTalk's user update takes, in the
// worker's order.
func Payload(r Row) ([]byte, error) {
	return json.Marshal(struct {
		ID        string `json:"xcUserID"`
		FullName  string `json:"fullName"`
		Email     string `json:"email"`
		Phone     string `json:"phone"`
		Username  string `json:"username"`
		Thumbnail string `json:"photoThumbnailURL"`
		Photo     string `json:"photoFullsizeURL"`
	}{strconv.FormatInt(r.ID, 10), r.FullName, r.Email, strings.TrimPrefix(r.Phone, "+"), r.Username, r.AvatarURL, r.AvatarURL})
}

// Deliver makes the call that a record is about.
func (c *Client) Deliver(ctx context.Context, value []byte) error {
	row, err := Decode(value)
	if err != nil {
		return err
	}
	body, err := Payload(row)
	if err != nil {
		return err
	}
	return c.Post(ctx, body)
}
