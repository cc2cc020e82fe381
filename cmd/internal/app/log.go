package app

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
)

// newLogger writes lines of level and above to w, as "text" or else as JSON.
func newLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// UserHash turns a user ID into what may be logged in its place: the first 12
// hex digits of its HMAC-SHA256. IDs are often small numbers, so a hash without a
// key would be undone by trying them all. It may be called from several
// goroutines.
//
// It is a function and no struct with the key in it, so that no print of a value
// that holds it can show the key.
type UserHash func(user string) string

// newUserHash uses key, so that an operator can find a user again:
//
//	printf %s ID | openssl dgst -sha256 -hmac KEY
//
// Without a key it makes one up: then the hashes are good for this start only.
func newUserHash(key string) UserHash {
	k := []byte(key)
	if len(k) == 0 {
		k = make([]byte, sha256.Size)
		_, _ = rand.Read(k) // never fails
	}
	return func(user string) string {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(user))
		return hex.EncodeToString(mac.Sum(nil))[:12]
	}
}
