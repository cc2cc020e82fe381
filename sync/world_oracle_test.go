package sync

import (
	"fmt"
	"slices"
	"strings"
)

// version is a user's row as of one offset.
type version struct {
	at, eAt int // where it is in the log, and where its e was last said; -1: never
	v, e    string
}

// versions returns those of a user since it was last created, oldest first.
func (w *world) versions(user string) []version {
	var all []version
	for i, c := range w.log {
		switch e, ok := c.Columns.Get("e"); {
		case c.User != user:
		case c.Op == Delete:
			all = nil
		default:
			r := version{at: i, eAt: i, v: fmt.Sprint(c.Columns.at("v")), e: fmt.Sprint(e)}
			if _, unavailable := e.(Unavailable); unavailable && len(all) > 0 {
				r.e, r.eAt = all[len(all)-1].e, all[len(all)-1].eAt
			} else if unavailable || !ok {
				r.e, r.eAt = "", -1
			}
			all = append(all, r)
		}
	}
	return all
}

// lettered reports whether a change of the user from one offset up to another was
// given up.
func (w *world) lettered(user string, from, to int) bool {
	return slices.ContainsFunc(w.letters, func(l *Letter) bool {
		return l.Change != nil && l.Change.User == user && int(l.From.Offset) >= from && int(l.From.Offset) <= to
	})
}

// wrong lists the users that the destination has wrong: with a value that is not the
// newest, although no letter says why, or is older than what this lane delivered.
func (w *world) wrong() []string {
	users := map[string]bool{}
	for _, c := range w.log {
		users[c.User] = true
	}
	var wrong []string
	for user := range users {
		if w.notGone(user) {
			wrong = append(wrong, fmt.Sprintf("%s: has %q, and is deleted", user, w.holds[user]))
		}
		all := w.versions(user)
		if len(all) == 0 {
			continue // deleted
		}
		newest := all[len(all)-1]
		// What was delivered last, if the user was not deleted after it, and confirming
		// it was not given up.
		delivered := slices.IndexFunc(all, func(r version) bool { return r.at == w.delivered[user]-1 && !w.lettered(user, r.at, r.at) })
		notOlder := func(has func(version) bool) bool {
			return delivered < 0 || slices.ContainsFunc(all[delivered:], has)
		}
		v, e, _ := strings.Cut(w.holds[user], ",")
		if delivered == len(all)-1 && v != newest.v+w.mapping.inUse {
			wrong = append(wrong, fmt.Sprintf("%s: has %q, of another mapping than delivered it", user, w.holds[user]))
		}
		v = strings.TrimRight(v, "'")
		rightV := v == newest.v ||
			w.lettered(user, newest.at, newest.at) && notOlder(func(r version) bool { return r.v == v })
		rightE := newest.eAt < 0 || e == newest.e ||
			w.lettered(user, newest.eAt, newest.at) && (notOlder(func(r version) bool { return r.e == e }) ||
				w.lettered(user, all[delivered].eAt, all[delivered].at)) // it was not in what was delivered
		if !rightV || !rightE {
			wrong = append(wrong, fmt.Sprintf("%s: has %q, want %q", user, w.holds[user], newest.v+","+newest.e))
		}
	}
	return wrong
}
