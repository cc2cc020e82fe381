package sync

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// Secret is a credential, given as it is or as the name of the file that holds
// it. It prints, logs and encodes as "[secret]".
//
// fmt can't reach a method through an unexported field: keep a Secret there
// behind a pointer.
type Secret struct {
	Value string
	File  string // wins over Value; read anew by every Read, so that a key can be rotated
}

const redacted = "[secret]"

// Read returns the credential, without the newline that editors put at the end of
// a file. Its errors name the file, never what is in it.
func (s Secret) Read() (string, error) {
	value := s.Value
	if s.File != "" {
		b, err := os.ReadFile(s.File)
		if err != nil {
			return "", err
		}
		value = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	}
	switch {
	case value != "":
		return value, nil
	case s.File != "":
		return "", fmt.Errorf("%s is empty", s.File)
	default:
		return "", errors.New("not set")
	}
}

// String keeps the credential out of %v and %s.
func (Secret) String() string { return redacted }

// GoString keeps it out of %#v.
func (Secret) GoString() string { return redacted }

// LogValue keeps it out of slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps it out of JSON and YAML, and so out of a struct that is logged.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
