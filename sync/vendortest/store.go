package vendortest

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Verdict says what became of a version.
type Verdict string

// The verdicts.
const (
	Pending  Verdict = "pending"  // neither yet
	Applied  Verdict = "applied"  // the user was saved
	Ignored  Verdict = "ignored"  // answered with a 2xx, but nothing was saved
	Rejected Verdict = "rejected" // the vendor said no
	Lost     Verdict = "lost"     // a fault kept it from being judged
)

// Version is one request about a user: what it asked for and what became of it.
type Version struct {
	Seq      int             `json:"seq"`  // of the request, from 1, over all users
	User     string          `json:"user"` // "" if the body names none
	Caller   string          `json:"caller,omitempty"`
	Method   string          `json:"method"`
	Body     json.RawMessage `json:"body"`
	Received time.Time       `json:"received"`
	// Overlap is how many calls of the user were in flight when this one came, itself
	// included. A call whose client went away counts until the server has noticed.
	Overlap int `json:"overlap"`
	// Ended is when the call was answered, or the client seen to be gone; zero while
	// it is in flight. The user may be saved before that and after it.
	Ended   time.Time `json:"ended,omitzero"`
	Verdict Verdict   `json:"verdict"`
	Applied time.Time `json:"applied,omitzero"`
	Order   int       `json:"order,omitempty"`  // of Applied, from 1, over all users
	Status  int       `json:"status,omitempty"` // as answered; 0 if it was not
	Rule    string    `json:"rule,omitempty"`   // the name of the rule that decided
}

// Stats are counts over all users.
type Stats struct {
	Calls       int `json:"calls"`   // requests received
	Applied     int `json:"applied"` // of them, those that saved a user
	Users       int `json:"users"`   // that are saved
	InFlight    int `json:"in_flight"`
	MaxInFlight int `json:"max_in_flight"`
	MaxOverlap  int `json:"max_overlap"` // the largest Overlap of any version
}

type user struct {
	current    map[string]any // nil: never saved
	versions   []*record
	inFlight   int
	maxOverlap int
}

// record is a version and its last place in the feed.
type record struct {
	Version
	place int
}

// note puts a version that is new or has changed at the end of the feed.
func (s *Server) note(r *record) {
	r.place = len(s.feed)
	s.feed = append(s.feed, r)
}

// Feed returns the requests that came or changed since a cursor, at most limit of
// them, each as it is now, and the cursor to go on from; 0 is the beginning. A
// request is there again when it has ended and when the user was saved, so a
// reader keeps the newest of each Seq.
func (s *Server) Feed(since, limit int) (all []Version, next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next = min(max(since, 0), len(s.feed))
	for ; next < len(s.feed) && len(all) < limit; next++ {
		if r := s.feed[next]; r.place == next { // otherwise it comes again further on
			all = append(all, r.Version)
		}
	}
	return all, next
}

func (s *Server) user(id string) *user {
	u := s.users[id]
	if u == nil {
		u = &user{}
		s.users[id] = u
	}
	return u
}

// Users returns the IDs of the users that are saved, sorted.
func (s *Server) Users() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, u := range s.users {
		if u.current != nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Current returns what the vendor holds of a user; nil if it holds none. Numbers
// are json.Number.
func (s *Server) Current(id string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(View{s}.Current(id))
}

// History returns every request about a user, in the order they came.
func (s *Server) History(id string) []Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Version
	if u := s.users[id]; u != nil {
		for _, r := range u.versions {
			all = append(all, r.Version)
		}
	}
	return all
}

// Calls returns how many requests there were, those of all users.
func (s *Server) Calls() int { return s.Stats().Calls }

// MaxOverlap returns the most calls that a user ever had in flight at once.
func (s *Server) MaxOverlap(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[id]; u != nil {
		return u.maxOverlap
	}
	return 0
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	for _, u := range s.users {
		if u.current != nil {
			st.Users++
		}
		st.MaxOverlap = max(st.MaxOverlap, u.maxOverlap)
	}
	return st
}
