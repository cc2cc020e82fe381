package consumer

import (
	"cmp"
	"context"
	"errors"
	"time"

	"usersync/consumer/event"
)

// portion is what one fetch of one partition brought, decoded.
type portion struct {
	fetched
	events []decoded
	next   int // the first that is not registered
}

// decoded is one record as the loop needs it.
type decoded struct {
	offset  int64
	written time.Time
	event   event.Event
	code    string   // set if the record cannot be decoded;
	user    string   // then, if its key can be, whom it is about
	retry   *retried // set if it is one of the retry topic
}

// whose is the user that the record is about, if any.
func (e *decoded) whose() string {
	if e.event.Skip != "" {
		return ""
	}
	return cmp.Or(e.event.Change.User, e.user)
}

// decode turns what comes in into portions, off the loop's goroutine. It returns
// when in is closed or ctx ends.
func (c *Config) decode(ctx context.Context, in <-chan fetched, out chan<- *portion) {
	for f := range in {
		b := &portion{fetched: f, events: make([]decoded, len(f.Records))}
		for i := range f.Records {
			if r := &f.Records[i]; r.Topic == c.RetryTopic {
				b.events[i] = c.decodeRetry(r)
			} else {
				b.events[i] = decodeRecord(c.Decoder, r)
			}
		}
		b.Records = nil
		select {
		case out <- b:
		case <-ctx.Done():
			return
		}
	}
}

func decodeRecord(d *event.Decoder, r *event.Record) decoded {
	x := decoded{offset: r.Offset, written: r.Time}
	var err error
	if x.event, err = d.Decode(r); err != nil {
		x.event, x.code = event.Event{}, codeOf(err)
		x.user, _ = d.User(r.Key)
	}
	return x
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*event.Error](err); ok {
		return e.Code
	}
	return "other"
}
