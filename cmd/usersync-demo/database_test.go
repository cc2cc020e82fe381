package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"testing"

	"usersync/consumer/event"
	usync "usersync/sync"
	"usersync/sync/haptik"
	"usersync/sync/taptalk"
)

// What the vendors are compared with is worked out apart from the mappings. Here
// the two must agree for every kind of row, or the verdict would mean nothing.
func TestWantIsWhatTheMappingsSend(t *testing.T) {
	vendors, err := startVendors(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mappings := map[string]usync.MappingConfig{
		"taptalk": {Fields: taptalk.Fields, Expressions: taptalk.DefaultMapping},
		"haptik":  {Fields: haptik.Fields, Expressions: haptik.DefaultMapping},
	}
	for _, v := range vendors {
		t.Cleanup(v.close)
		m, err := usync.NewMapping(mappings[v.destination])
		if err != nil {
			t.Fatal(err)
		}
		decoder, err := event.New(event.Config{Format: "debezium", UserID: "id", Placeholder: "none", Columns: m.Columns()})
		if err != nil {
			t.Fatal(err)
		}
		db := newDatabase(3)
		for range 200 {
			c := db.add(false)
			e, err := decoder.Decode(&event.Record{Topic: "users", Key: c.key, Value: c.value})
			if err != nil {
				t.Fatal(err)
			}
			p, _, err := m.Payload(&e.Change)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			if err := json.Unmarshal(p.Body, &got); err != nil {
				t.Fatal(err)
			}
			delete(got, "xcUserID")
			delete(got, "auth_id")
			id, _ := strconv.Atoi(p.User)
			r := db.rows[id]
			if want := v.want(&r); !reflect.DeepEqual(got, want) {
				t.Errorf("%s is sent %v, want %v", v.title, got, want)
			}
		}
	}
}

// A vendor is right about a user only with every field.
func TestRight(t *testing.T) {
	vendors, err := startVendors(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]map[string]any{}
	for _, v := range vendors {
		t.Cleanup(v.close)
		v.sim = &holding{simulator: v.sim, users: held}
		db := newDatabase(1)
		db.add(true)
		db.add(true)
		users := db.users()
		clear(held)
		if n := v.right(users); n != 0 {
			t.Errorf("%s is right about %d users that it does not have", v.title, n)
		}
		for id, r := range users {
			held[strconv.Itoa(id)] = map[string]any{}
			for field, value := range v.want(&r) {
				held[strconv.Itoa(id)][field] = value
			}
		}
		if n := v.right(users); n != 2 {
			t.Errorf("%s is right about %d users of 2", v.title, n)
		}
		for field, value := range held["1"] {
			held["1"][field] = "another"
			if n := v.right(users); n != 1 {
				t.Errorf("%s: a wrong %s makes no difference", v.title, field)
			}
			held["1"][field] = value
		}
	}
}

// holding is a vendor that holds given users.
type holding struct {
	simulator
	users map[string]map[string]any
}

func (h *holding) Current(id string) map[string]any { return h.users[id] }

// replay is a database made of what its connector said.
func replay(t *testing.T, changes []change) map[int]row {
	t.Helper()
	rows := map[int]row{}
	for _, c := range changes {
		var key struct{ ID int }
		var value struct {
			Op    string
			After *row
		}
		if err := json.Unmarshal(c.key, &key); err != nil {
			t.Fatal(err)
		}
		if c.value == nil {
			if _, there := rows[key.ID]; there {
				t.Fatalf("a tombstone of user %d, who is there", key.ID)
			}
			continue
		}
		if err := json.Unmarshal(c.value, &value); err != nil {
			t.Fatal(err)
		}
		_, there := rows[key.ID]
		if want := value.Op == "u" || value.Op == "d"; there != want {
			t.Fatalf("op %q of user %d, there: %v", value.Op, key.ID, there)
		}
		if value.After == nil {
			delete(rows, key.ID)
		} else {
			rows[key.ID] = *value.After
		}
	}
	return rows
}

// Whoever reads all changes has the database, and the number of users stays.
func TestChangesMakeTheDatabase(t *testing.T) {
	for seed := range uint64(20) {
		var changes []change
		g := newGenerator(newDatabase(seed), seed, func(c change) { changes = append(changes, c) })
		g.snapshot(30)
		for range 500 {
			g.step()
		}
		users := g.db.users()
		if got := replay(t, changes); !reflect.DeepEqual(got, users) {
			t.Fatalf("seed %d: the changes make %d users, the database has %d", seed, len(got), len(users))
		}
		if len(users) != 30 {
			t.Errorf("seed %d: %d users of 30", seed, len(users))
		}
		if n := g.db.tally(); n.snapshot+n.inserts+n.updates+2*n.deletes != len(changes) || n.snapshot != 30 || n.deletes == 0 || n.inserts != n.deletes {
			t.Errorf("seed %d: %d changes counted as %+v", seed, len(changes), n)
		}
	}
}

func TestSeed(t *testing.T) {
	rows := func(seed uint64) string {
		g := newGenerator(newDatabase(seed), seed, func(change) {})
		g.snapshot(20)
		for range 100 {
			g.step()
		}
		text, err := json.Marshal(g.db.users())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if rows(1) != rows(1) {
		t.Error("the same seed makes other users")
	}
	if rows(1) == rows(2) {
		t.Error("another seed makes the same users")
	}
}

// A planted user is none of the database's, and changes nothing about the others.
func TestPlant(t *testing.T) {
	db, same := newDatabase(1), newDatabase(1)
	db.add(true)
	same.add(true)
	if id, c := db.plant(); id != firstPlanted || string(c.key) != fmt.Sprintf(`{"id":%d}`, firstPlanted) {
		t.Errorf("planted %d as %s", id, c.key)
	}
	if id, _ := db.plant(); id != firstPlanted+1 {
		t.Errorf("the second one is %d", id)
	}
	db.update(0)
	same.update(0)
	if !reflect.DeepEqual(db.users(), same.users()) {
		t.Error("planting a user has changed the others")
	}
}
