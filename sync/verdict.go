package sync

import (
	"fmt"
	"time"
)

// Verdict is what a destination's answer says about a call.
type Verdict uint8

// The verdicts. Which answer is which is each destination's table; what follows
// from a verdict is decided here, by the blame rules.
const (
	OK       Verdict = iota // the destination holds what was sent
	Rejected                // the destination judges the record
	Failed                  // no answer, or one that may be different next time
	Refused                 // credentials, account or URL: it judges the caller
)

// String returns the verdict as metrics and logs name it.
func (v Verdict) String() string {
	return [...]string{"ok", "rejected", "failed", "refused"}[v]
}

// CallError is the outcome of a call that was not OK. It carries no text of the
// answer: a reply may repeat what was sent, and that is personal data.
type CallError struct {
	Verdict Verdict
	// Code names the answer, from a set that is bounded per destination, such as
	// "http_503", "40002" or "timeout".
	Code string
	// Field is the destination's name of the field at fault, if it named one.
	Field string
	// Ambiguous says that the destination may have applied the call, or may
	// still do so.
	Ambiguous bool
	// Unsent says that nothing reached the destination: the call counts neither
	// for nor against anyone when the process itself gave it up.
	Unsent bool
	// Throttled says that the destination asked for fewer calls. RetryAfter is
	// how long it asked to be left alone, at most five minutes; 0 if it did not say.
	Throttled  bool
	RetryAfter time.Duration
}

// Error names the verdict, the code and the field.
func (e *CallError) Error() string {
	s := fmt.Sprintf("%s: %s", e.Verdict, e.Code)
	if e.Field != "" {
		s += " (field " + e.Field + ")"
	}
	return s
}

// InvalidError says that a change has no payload: a required field is missing,
// or one that must not be shortened is too long. No call was made for it.
type InvalidError struct {
	Field string // the destination's name of the field
	Code  string // a constant: "missing", "too_long", "unavailable", "no_column", "expression"
}

func (e *InvalidError) Error() string { return "invalid payload: " + e.Code + " " + e.Field }
