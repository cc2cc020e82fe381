package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// connectTimeout bounds a look at the brokers. A client with a wrong password
// may go on trying for ever.
const connectTimeout = 15 * time.Second

// Connector looks at the brokers of a configuration, with its credentials.
type Connector interface {
	// Check returns what it found, good and bad. The error says that it could
	// not look: no broker answered, or none accepted the credentials.
	Check(ctx context.Context) ([]Finding, error)
}

// Level says how good a finding is.
type Level uint8

// The levels.
const (
	Fine Level = iota + 1
	Warn       // it works, but somebody should look
	Fail       // the process could not do its work
)

// String returns the word that a finding is printed with.
func (l Level) String() string {
	return [...]string{Fine: "ok", Warn: "warning", Fail: "failed"}[l]
}

// Finding is one thing that a check has to say.
type Finding struct {
	Level Level
	Text  string // what was looked at, how it is and, unless fine, the remedy
}

// ErrFindings says that a check failed; what failed was printed.
var ErrFindings = errors.New("the check failed")

// Connect prints what connector finds, a line each. It returns ErrFindings if one
// of them is a failure, and another error if nothing could be found.
func Connect(ctx context.Context, w io.Writer, connector Connector) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	findings, err := connector.Check(ctx)
	for _, f := range findings {
		if _, err := fmt.Fprintf(w, "%s: %s\n", f.Level, f.Text); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("brokers: %w", err)
	}
	for _, f := range findings {
		if f.Level == Fail {
			return ErrFindings
		}
	}
	return nil
}
