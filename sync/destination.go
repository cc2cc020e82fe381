package sync

import "context"

// Payload is the full state of a user that one call hands to a destination.
type Payload struct {
	User string
	// Body is a JSON object. Two payloads of a user are the same state if and
	// only if their bodies are equal: a mapping writes fields in a fixed order.
	Body []byte
}

// Destination is an outside service that keeps a copy of every user.
// Its methods may be called from several goroutines.
type Destination interface {
	// Deliver makes one attempt to give the destination p and returns nil or a
	// *CallError. It may need more than one request for that, but never sends
	// the same request twice. ctx is cancelled when the attempt takes too long,
	// with context.DeadlineExceeded as its cause, and it is of no use after Deliver
	// has returned.
	Deliver(ctx context.Context, p Payload) error
	// Reload reads the credentials from their files again. An error leaves the
	// old ones in place.
	Reload() error
}

// Kind says how a field's value is normalised.
type Kind uint8

// The kinds of fields.
const (
	Text     Kind = iota // NFC, trimmed, white space collapsed, control characters stripped
	ID                   // a decimal or a string, sent as it is
	Email                // a bare address, domain in lower case
	Phone                // digits with country code
	URL                  // absolute, http or https, no user information
	Language             // ISO 639-1, two letters
	Object               // a flat object of strings: custom data
)

// Field is one field that a destination accepts.
type Field struct {
	Name     string
	Kind     Kind
	Required bool
	// Max is the longest value in runes; 0 means no limit. A longer Text is cut,
	// a longer ID makes the payload invalid, anything else longer counts as blank.
	Max int
}
