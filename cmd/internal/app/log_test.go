package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
)

func TestNewLogger(t *testing.T) {
	tests := []struct {
		format string
		want   *regexp.Regexp
	}{
		{"json", regexp.MustCompile(`^\{"time":"[^"]+","level":"WARN","msg":"held","destination":"taptalk"\}\n$`)},
		{"text", regexp.MustCompile(`^time=\S+ level=WARN msg=held destination=taptalk\n$`)},
	}
	for _, tt := range tests {
		t.Run(tt.format, func(t *testing.T) {
			var out bytes.Buffer
			log := newLogger(&out, slog.LevelWarn, tt.format)
			log.Info("below the level")
			log.Warn("held", "destination", "taptalk")
			if !tt.want.MatchString(out.String()) {
				t.Errorf("got %q, want %s", out.String(), tt.want)
			}
		})
	}
}

func TestUserHash(t *testing.T) {
	// printf %s 4711 | openssl dgst -sha256 -hmac s3cret
	const want = "96bd8e394ce4"
	hash := newUserHash("s3cret")
	if got := hash("4711"); got != want {
		t.Errorf("hash %q, want %q", got, want)
	}
	if hash("4711") == hash("4712") {
		t.Error("two users have one hash")
	}
	if got := newUserHash("another")("4711"); got == want {
		t.Error("the hash does not depend on the key")
	}
	if newUserHash("")("4711") == newUserHash("")("4711") {
		t.Error("two starts without a key made one hash: a table of hashes would undo it")
	}
	if shown := fmt.Sprintf("%v %+v %#v", hash, hash, struct{ h UserHash }{hash}); strings.Contains(shown, "s3cret") {
		t.Errorf("the key shows in %q", shown)
	}
}

// The ID must not be found in the log in any form that names the user again.
func TestNoPlainIDIsLogged(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		for _, user := range []string{"4711471147", "8c1f0a52-7f6e-4b3a-9d0f-2a1b3c4d5e6f", "Ünïcode <user>"} {
			var out bytes.Buffer
			hash := newUserHash("s3cret")
			newLogger(&out, slog.LevelDebug, format).Error("dead letter", "user", hash(user), "code", "40002")
			line := out.String()
			if !strings.Contains(line, hash(user)) {
				t.Errorf("%s: the hash is missing in %q", format, line)
			}
			encoded, err := json.Marshal(user)
			if err != nil {
				t.Fatal(err)
			}
			for _, plain := range []string{user, string(encoded), fmt.Sprintf("%x", user)} {
				if strings.Contains(line, plain) {
					t.Errorf("%s: %q shows the ID", format, line)
				}
			}
		}
	}
}
