package consumer

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	usync "usersync/sync"
)

// aRecord draws a record of the state.
func aRecord(t *rapid.T) stateRecord {
	r := stateRecord{kind: rapid.SampledFrom([]stateKind{stateUser, stateMarker, stateVoid}).Draw(t, "kind"), epoch: epoch(rapid.Int64Range(0, 1<<62).Draw(t, "epoch"))}
	switch r.kind {
	case stateMarker:
		r.nonce = rapid.Uint64().Draw(t, "nonce")
		r.word = keyWord(rapid.Uint64().Draw(t, "word"))
	case stateUser:
		copy(r.user[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "user"))
		v := usync.Version{Status: usync.Status(rapid.IntRange(1, 3).Draw(t, "status")), Offset: rapid.Int64Range(0, 1<<61).Draw(t, "offset")}
		if v.Status == usync.Unknown {
			v.Cause = rapid.SampledFrom(causes).Draw(t, "cause")
			v.Settled = rapid.Bool().Draw(t, "settled")
		} else {
			copy(v.Print[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "print"))
		}
		if v.Status == usync.Held {
			copy(v.Row[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "row"))
		}
		r.version = v
	case stateVoid:
	}
	return r
}

// What is written is read again, by whom it is for and by nobody else.
func TestStateRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := aRecord(t)
		key, value := want.key("haptik/users/"), want.value()
		got, ours, err := parseState("haptik/users/", key, value)
		got.parseHeaders(want.headers())
		if err != nil || !ours || got != want {
			t.Fatalf("%+v came back as %+v, ours %v, %v", want, got, ours, err)
		}
		for _, other := range []string{"taptalk/users/", "haptik/user/", "haptik/users2/"} {
			if _, ours, err := parseState(other, key, value); ours || err != nil {
				t.Fatalf("%s took it for its own, %v", other, err)
			}
		}
		want.gone = true
		if got, _, err := parseState("haptik/users/", key, want.value()); err != nil || !got.gone || got.kind != want.kind || got.user != want.user {
			t.Fatalf("the tombstone of %+v came back as %+v, %v", want, got, err)
		}
	})
}

// A record that cannot be read is an error, never something else than was meant.
func TestStateRecordUnreadable(t *testing.T) {
	held := stateRecord{epoch: 3, version: usync.Version{Status: usync.Held, Offset: 300}}
	tests := []struct {
		name       string
		key, value []byte
		want       error
	}{
		{"a newer format", held.key("p/"), append([]byte{2}, held.value()[1:]...), errStateValue},
		{"cut", held.key("p/"), held.value()[:20], errStateValue},
		{"longer", held.key("p/"), append(held.value(), 0), errStateValue},
		{"no such status", held.key("p/"), []byte{1, 3, 9, 0, 1}, errStateValue},
		{"nothing known", held.key("p/"), []byte{1, 3, 0, 0, 1}, errStateValue},
		{"another key", []byte("p/x"), held.value(), errStateKey},
		{"a marker of another epoch", (&stateRecord{kind: stateMarker, epoch: 4}).key("p/"), (&stateRecord{kind: stateMarker, epoch: 5}).value(), errStateValue},
		{"a void with more", []byte("p/void"), []byte{1, 3, 3}, errStateValue},
	}
	for _, tt := range tests {
		if r, ours, err := parseState("p/", tt.key, tt.value); !errors.Is(err, tt.want) || !ours {
			t.Errorf("%s: %+v, ours %v, %v", tt.name, r, ours, err)
		}
	}
}

func FuzzParseState(f *testing.F) {
	for _, r := range []stateRecord{
		{epoch: 1, version: usync.Version{Status: usync.Held, Offset: 7}},
		{epoch: 1 << 40, version: usync.Version{Status: usync.Unknown, Cause: usync.CauseDoubt, Offset: 1}},
		{kind: stateMarker, epoch: 2, nonce: 9},
		{kind: stateMarker, epoch: 2, nonce: 9, word: 5},
		{kind: stateVoid, epoch: 2},
		{gone: true},
	} {
		f.Add(r.key("p/"), r.value())
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, ours, err := parseState("p/", key, value)
		if err != nil || !ours {
			return
		}
		again, ours, err := parseState("p/", r.key("p/"), r.value())
		if err != nil || !ours || again != r || !r.gone && !bytes.Equal(r.key("p/"), key) {
			t.Errorf("%+v came back as %+v, ours %v, %v", r, again, ours, err)
		}
	})
}

// A payload's fingerprint depends on all that makes it another payload, and no ID and
// no payload can be guessed from its hash without the key.
func TestStateHash(t *testing.T) {
	one := newStateHash([]byte("key"), "https://a", "")
	same := newStateHash([]byte("key"), "https://a", "")
	if one.user("1") != same.user("1") || one.print([]byte("{}")) != same.print([]byte("{}")) {
		t.Error("the same key gives two hashes")
	}
	if one.user("1") == one.user("2") || one.print([]byte("{}")) == one.print([]byte("{ }")) {
		t.Error("two users or payloads have one hash")
	}
	for name, other := range map[string]*stateHash{
		"key":         newStateHash([]byte("other"), "https://a", ""),
		"base URL":    newStateHash([]byte("key"), "https://b", ""),
		"state_epoch": newStateHash([]byte("key"), "https://a", "2"),
	} {
		if one.print([]byte("{}")) == other.print([]byte("{}")) {
			t.Errorf("another %s gives the same fingerprint", name)
		}
	}
	if one.word() != same.word() || one.word() == newStateHash([]byte("other"), "https://a", "").word() {
		t.Error("the word does not tell the keys apart")
	}
	if one.user("1") == newStateHash([]byte("other"), "https://a", "").user("1") {
		t.Error("another key gives the same user")
	}
}
