package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"usersync/e2e/vendors"
)

// marker is in every personal value, and secret in every credential: neither may
// ever be in a log, a metric or a trace. The marker is in lower case, which the
// normalization of no field changes. A telephone number that is valid has dialed, and
// dialed as a vendor is given it, in its place.
const (
	marker     = "zq7marker"
	dialed     = "811-837501"
	normalized = "62811837501"
	secret     = "kq9secret"
)

const (
	users  = 10_000
	hot    = 500 // the first ones have more than half of all changes
	every  = 100 * time.Millisecond
	marked = users + 50 // those above users have the last change of a round: enough to be in every partition
)

// Some users are special; the rest of their ID says so.

// returns reports whether a user goes back and forth between few names, so that
// which change is meant cannot be told by what a vendor holds. Everybody else has a
// new name with each change.
func returns(id int) bool { return id%10 == 3 }

// poisonFor returns the destination whose vendor rejects a user when it is poisoned,
// "" if it never is.
func poisonFor(id int) string {
	switch {
	case id > users:
	case id%1000 == 507:
		return vendors.TapTalk
	case id%1000 == 7:
		return vendors.Haptik
	}
	return ""
}

// poison is the email that a vendor rejects.
func poison(destination string) string {
	return "reject." + marker + "@" + destination + ".example.test"
}

// load is what an application does to the table. What it writes follows from the
// seed; when, from the clock.
type load struct {
	db      *pgxpool.Pool
	seed    uint64
	batches int
	size    int // changes in a batch
}

// load writes its batches, one each time, tells how many rows have changed, and
// goes on slowly until ctx ends.
func (l *load) run(ctx context.Context, wrote func(int64)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; ; i++ {
		size := l.size
		if i >= l.batches {
			size = 2 // nobody can be blamed while nobody succeeds
		}
		n, err := l.batch(ctx, i, size)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("batch %d: %w", i, err)
		}
		wrote(n)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// batch writes a batch in one transaction.
func (l *load) batch(ctx context.Context, number, size int) (changed int64, err error) {
	random := rand.New(rand.NewPCG(l.seed, uint64(number)))
	b := &pgx.Batch{}
	l.updates(b, random, number, size)
	if random.IntN(4) == 0 {
		b.Queue(`delete from users where id = any($1)`, some(random, 2))
	}
	if random.IntN(4) == 0 { // of whom most are there, and some were deleted
		for _, id := range some(random, 4) {
			b.Queue(insert, id, fmt.Sprintf("%s  %d.%d.%d again", marker, l.seed, number, id), email(id), phone(random), nil, marker+" returns")
		}
	}
	switch number {
	case l.batches * 3 / 10:
		for _, d := range vendors.Destinations {
			b.Queue(`update users set email = $1, full_name = full_name || ' poison' where id = any($2)`, poison(d), poisoned(d))
		}
	case l.batches * 7 / 10: // half of them recover
		for _, d := range vendors.Destinations {
			for _, id := range poisoned(d)[:5] {
				b.Queue(`update users set email = $2, full_name = full_name || ' well' where id = $1`, id, email(id))
			}
		}
	}
	err = pgx.BeginFunc(ctx, l.db, func(tx pgx.Tx) error {
		results := tx.SendBatch(ctx, b)
		for range b.Len() {
			tag, err := results.Exec()
			if err != nil {
				return err
			}
			changed += tag.RowsAffected()
		}
		return results.Close()
	})
	return changed, err
}

const insert = `insert into users (id, full_name, email, phone, language, bio) values ($1, $2, $3, $4, $5, $6)
	on conflict (id) do update set full_name = excluded.full_name, updated_at = now()`

// updates changes size users, each of them once.
func (l *load) updates(b *pgx.Batch, random *rand.Rand, number, size int) {
	seen := map[int]bool{}
	var ids []int
	var names, phones []string
	for len(ids) < size {
		id := 1 + random.IntN(users)
		if random.IntN(5) < 3 {
			id = 1 + random.IntN(hot)
		}
		if seen[id] {
			id = 1 + random.IntN(users)
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		name, number := fmt.Sprintf(" %s  %d.%d.%d", marker, l.seed, number, id), phone(random)
		if returns(id) { // A, B, A: an old value may be the newest
			name, number = fmt.Sprintf("%s %c", marker, 'A'+rune(random.IntN(3))), "+62 "+dialed+"-000"
		}
		ids, names, phones = append(ids, id), append(names, name), append(phones, number)
	}
	b.Queue(`update users set full_name = v.name, phone = v.phone, updated_at = now()
		from unnest($1::bigint[], $2::text[], $3::text[]) as v(id, name, phone) where users.id = v.id`, ids, names, phones)
}

// begin fills an empty table.
func begin(ctx context.Context, db *pgxpool.Pool) error {
	_, err := db.Exec(ctx, `insert into users (id, full_name, email, phone, username, avatar_url, language, bio)
		select i, $1 || ' first ' || i, case when i % 5 > 0 then 'User' || i || '.' || $1 || '@Example.Test' end,
			case when i % 3 > 0 then '+62 ' || $3 || '-' || lpad((i % 1000)::text, 3, '0') end, $1 || i,
			case when i % 2 > 0 then 'https://cdn.example.test/' || $1 || i || '.png' end,
			(array['en', 'id_ID', 'pt-BR', null])[1 + i % 4], case when i % 11 = 0 then $1 || repeat(' lorem ipsum', 20) end
		from generate_series(1, $2::int) as i`, marker, marked, dialed)
	if err != nil {
		return fmt.Errorf("fill the table: %w", err)
	}
	return nil
}

// last writes the changes by whose arrival it is known that all before them are there:
// some in each partition, since another's says nothing of what a broker has refused
// and is sent again.
func last(ctx context.Context, db *pgxpool.Pool, name string) error {
	if _, err := db.Exec(ctx, `update users set full_name = $2 where id > $1`, users, name); err != nil {
		return fmt.Errorf("the last changes: %w", err)
	}
	return nil
}

// some returns n users at random, none of whom is ever poisoned: a delete says that
// there is nothing left to reject.
func some(random *rand.Rand, n int) []int {
	var ids []int
	for len(ids) < n {
		if id := hot + 1 + random.IntN(users-hot); poisonFor(id) == "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// poisoned are the users that are poisoned for a destination.
func poisoned(destination string) []int {
	var ids []int
	for id := range users {
		if poisonFor(id) == destination {
			ids = append(ids, id)
		}
	}
	return ids
}

func email(id int) string { return "User" + strconv.Itoa(id) + "." + marker + "@Example.Test" }

// phone is a telephone number; one of ten is none, and is not to be told either.
func phone(random *rand.Rand) string {
	if random.IntN(10) == 0 {
		return "ask " + marker
	}
	return fmt.Sprintf("+62 %s-%03d", dialed, random.IntN(1000))
}

// words is a text with single blanks.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }
