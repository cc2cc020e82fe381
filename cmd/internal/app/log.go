package app

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"

	usync "usersync/sync"
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

// userKey stands for a user where one of many is to be found: the first half of the HMAC
// of which a UserHash shows the first digits.
type userKey [sha256.Size / 2]byte

// String is what logs have.
func (k userKey) String() string { return hex.EncodeToString(k[:6]) }

// newUserKeys uses key, so that an operator can find a user again:
//
//	printf %s ID | openssl dgst -sha256 -hmac KEY
//
// Without a key it makes one up: then the keys are good for this start only. The
// function may be called from several goroutines.
func newUserKeys(key string) func(user string) userKey {
	k := []byte(key)
	if len(k) == 0 {
		k = make([]byte, sha256.Size)
		_, _ = rand.Read(k) // never fails
	}
	return func(user string) userKey {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(user))
		return userKey(mac.Sum(nil)[:sha256.Size/2])
	}
}

// newUserHash returns the hash that uses key, or a key of its own if that is empty.
func newUserHash(key string) UserHash {
	keys := newUserKeys(key)
	return func(user string) string { return keys(user).String() }
}

// key returns the key of the hash, empty if there is none.
func (p Privacy) key() (string, error) {
	if p.HashKey == (usync.Secret{}) {
		return "", nil
	}
	key, err := p.HashKey.Read()
	if err != nil {
		return "", fmt.Errorf("privacy.hash_key: %w", err)
	}
	return key, nil
}
