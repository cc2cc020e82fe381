package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// row is a user as the main database has it. Its JSON is the row in a change event.
type row struct {
	ID        int     `json:"id"`
	FullName  string  `json:"full_name"`
	FirstName *string `json:"first_name"`
	LastName  *string `json:"last_name"`
	Username  string  `json:"username"`
	Email     string  `json:"email"`
	Phone     *string `json:"phone"` // as written, with a +; NULL for some
	AvatarURL string  `json:"avatar_url"`
	Language  string  `json:"language"`
	Locale    *string `json:"locale"`
}

// digits is the phone number as vendors take it; "" for NULL.
func (r *row) digits() string {
	if r.Phone == nil {
		return ""
	}
	return (*r.Phone)[1:]
}

// change is what the connector writes for a committed transaction: a key and a
// value, which is nil for a tombstone.
type change struct{ key, value []byte }

// tally counts the changes of a database.
type tally struct{ snapshot, inserts, updates, deletes int }

// database is the main user database: what both vendors must come to hold. The
// same seed makes the same users and changes. Its methods may be called from
// several goroutines.
type database struct {
	mu      sync.Mutex
	rng     *rand.Rand
	rows    map[int]row
	ids     []int // of rows, in no particular order
	next    int
	planted int
	counts  tally
}

// firstPlanted is where the IDs of planted users begin, apart from the others, so
// that planting one changes nothing about those that follow.
const firstPlanted = 900_001

func newDatabase(seed uint64) *database {
	return &database{
		rng: rand.New(rand.NewPCG(seed, 0)), rows: map[int]row{},
		next: 1, planted: firstPlanted,
	}
}

var (
	givenNames = []string{"Adi", "Ana", "Bima", "Citra", "Dewi", "Eka", "Fajar", "Gita", "Hana", "Indra", "Joko", "Kartika", "Lia", "Made", "Nur", "Putri"}
	surnames   = []string{"Halim", "Kusuma", "Lestari", "Pratama", "Rahayu", "Santoso", "Siregar", "Utami", "Wijaya", "Yusuf"}
	languages  = []string{"id", "en", "jv", "su"}
)

// fill makes up everything of a user but its ID.
func (d *database) fill(id int) row {
	pick := func(from []string) string { return from[d.rng.IntN(len(from))] }
	n := d.rng.IntN(10_000_000)
	r := row{
		ID:        id,
		FullName:  fmt.Sprintf("%s %s %d", pick(givenNames), pick(surnames), n),
		Username:  fmt.Sprintf("user%d", id),
		Email:     fmt.Sprintf("user%d.%d@example.com", id, n),
		AvatarURL: fmt.Sprintf("https://img.example.com/%d/%d.png", id, n),
		Language:  pick(languages),
	}
	if d.rng.IntN(10) > 0 {
		r.Phone = new(fmt.Sprintf("+62812%08d", 10_000_000+n))
	}
	return r
}

// add puts a new user in. Snapshot says that it was there before the connector.
func (d *database) add(snapshot bool) change {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.fill(d.next)
	d.next++
	d.rows[r.ID] = r
	d.ids = append(d.ids, r.ID)
	if snapshot {
		d.counts.snapshot++
		return upsert("r", r)
	}
	d.counts.inserts++
	return upsert("c", r)
}

// update changes one of the first hot users by place, of all if hot is 0.
func (d *database) update(hot int) change {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.ids)
	if hot > 0 {
		n = min(n, hot)
	}
	r := d.fill(d.ids[d.rng.IntN(n)])
	d.rows[r.ID] = r
	d.counts.updates++
	return upsert("u", r)
}

// remove deletes a user. The connector writes the delete and a tombstone.
func (d *database) remove() [2]change {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.rng.IntN(len(d.ids))
	id, last := d.ids[at], len(d.ids)-1
	r := d.rows[id]
	d.ids[at] = d.ids[last]
	d.ids = d.ids[:last]
	delete(d.rows, id)
	d.counts.deletes++
	gone := envelope("d", &r, nil)
	return [2]change{gone, {key: gone.key}}
}

// plant makes up a user that is not in the database and that no vendor will take.
func (d *database) plant() (id int, c change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id = d.planted
	d.planted++
	return id, upsert("c", row{
		ID: id, FullName: "Poison", Username: "poison" + strconv.Itoa(id), Email: "poison@example.com", Language: "en",
	})
}

// users returns all rows as they are now.
func (d *database) users() map[int]row {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.rows)
}

func (d *database) tally() tally {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

func upsert(op string, r row) change { return envelope(op, nil, &r) }

// envelope is a change as Debezium writes it, without a schema.
func envelope(op string, before, after *row) change {
	r := after
	if r == nil {
		r = before
	}
	type source struct {
		Schema string `json:"schema"`
		Table  string `json:"table"`
		TsMs   int64  `json:"ts_ms"`
	}
	value, err := json.Marshal(struct {
		Op     string `json:"op"`
		Before *row   `json:"before"`
		After  *row   `json:"after"`
		Source source `json:"source"`
	}{op, before, after, source{"public", "users", time.Now().UnixMilli()}})
	if err != nil {
		panic(err) // strings and numbers always have a JSON
	}
	return change{fmt.Appendf(nil, `{"id":%d}`, r.ID), value}
}
