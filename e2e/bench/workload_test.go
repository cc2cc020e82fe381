package main

import (
	"encoding/json"
	"slices"
	"testing"

	"usersync/e2e/bench/internal/byhand"
)

// Each workload has as many changes and users as it says, and each user's versions come in
// order: the last one is what a vendor must hold.
func TestWorkloads(t *testing.T) {
	distinct := map[string]int{"hot": 4_903, "flat": 20_000, "resnapshot": 1_000}
	for _, w := range workloads {
		if w.again {
			w = w.sized(1_000, 0)
		}
		changes := w.sequence()
		if !slices.Equal(changes, w.sequence()) {
			t.Errorf("%s: other changes when asked again", w.name)
		}
		held := map[int]int{} // as a vendor would that is told of each
		for i, c := range changes {
			if c.user < 1 || c.user > w.users || c.version != held[c.user]+1 {
				t.Fatalf("%s: change %d is %+v, after version %d", w.name, i, c, held[c.user])
			}
			held[c.user] = c.version
		}
		newest := final(changes)
		if want, ok := distinct[w.name]; len(changes) != w.changes || ok && len(newest) != want {
			t.Errorf("%s: %d changes of %d users, want %d of %d", w.name, len(changes), len(newest), w.changes, want)
		}
		calls := last(changes)
		for _, c := range calls {
			if held[c.user] != c.version || newest[c.user] != c.version {
				t.Fatalf("%s: user %d ends at version %d, not %d", w.name, c.user, held[c.user], c.version)
			}
			delete(held, c.user)
		}
		if len(held) != 0 || len(calls) != len(newest) {
			t.Errorf("%s: %d calls for %d users, and %d have none", w.name, len(calls), len(newest), len(held))
		}
	}
}

// With Zipf's law the first user has a large part of all changes, and many have none.
func TestZipf(t *testing.T) {
	w, _ := workloadNamed("skewed")
	newest := final(w.sequence())
	if first, second := newest[1], newest[2]; first < w.changes/8 || first < 2*second*9/10 || second < 1_000 {
		t.Errorf("the first users have %d and %d of %d changes", first, second, w.changes)
	}
	if len(newest) < w.users/20 || len(newest) > w.users {
		t.Errorf("%d of %d users change", len(newest), w.users)
	}
}

func TestSized(t *testing.T) {
	w, _ := workloadNamed("hot")
	for _, c := range []struct{ users, changes, wantUsers, wantChanges int }{
		{0, 0, 4_903, 20_000},
		{0, 500, 122, 500},
		{9_806, 0, 9_806, 40_000},
		{10, 30, 10, 30},
	} {
		if got := w.sized(c.users, c.changes); got.users != c.wantUsers || got.changes != c.wantChanges {
			t.Errorf("%d, %d: %d changes of %d users", c.users, c.changes, got.changes, got.users)
		}
	}
}

// A record is as large as it is said to be, and says what the calls are made of.
func TestRecord(t *testing.T) {
	c := change{user: 1234, version: 7}
	for schema, size := range map[bool][2]int{false: {700, 740}, true: {3_500, 5_000}} {
		r := record("users", c, schema)
		if !json.Valid(r.Key) || len(r.Value) < size[0] || len(r.Value) > size[1] {
			t.Errorf("with schema %t: key %s, a value of %d bytes", schema, r.Key, len(r.Value))
		}
		row, err := byhand.Decode(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		body, err := byhand.Payload(row)
		if err != nil || string(body) != payload(c) || version(body) != c.version {
			t.Errorf("%v, version %d\n%s\nwant\n%s", err, version(body), body, payload(c))
		}
	}
	if n := version([]byte(`{"fullName":"Ada"}`)); n != 0 {
		t.Errorf("a stranger has version %d", n)
	}
}
