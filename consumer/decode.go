package consumer

import (
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
	code    string // set if the record cannot be decoded
}

// decode turns what comes in into portions, off the loop's goroutine. It returns
// when in is closed or ctx ends.
func decode(ctx context.Context, d *event.Decoder, in <-chan fetched, out chan<- *portion) {
	for f := range in {
		b := &portion{fetched: f, events: make([]decoded, len(f.Records))}
		for i := range f.Records {
			r := &f.Records[i]
			b.events[i].offset, b.events[i].written = r.Offset, r.Time
			e, err := d.Decode(r)
			if err != nil {
				b.events[i].code = codeOf(err)
				continue
			}
			b.events[i].event = e
		}
		b.Records = nil
		select {
		case out <- b:
		case <-ctx.Done():
			return
		}
	}
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*event.Error](err); ok {
		return e.Code
	}
	return "other"
}
