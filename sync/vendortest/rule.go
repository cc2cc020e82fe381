package vendortest

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"
)

// Answer says how a call that a rule hits is answered.
type Answer string

// The answers.
const (
	Judged   Answer = ""         // as the vendor would, or with Status if that is set
	Hang     Answer = "hang"     // not at all, until the client goes away
	Reset    Answer = "reset"    // the connection is reset
	Truncate Answer = "truncate" // as Judged, but the connection ends within the body
	HTML     Answer = "html"     // a proxy's page, with Status (502 if it is not set)
)

// Rule is a line of the script: when, and what then. In JSON, durations are text
// such as "1.5s".
type Rule struct {
	Name string `json:"name,omitempty"` // shows in the history of what it hit

	// When: all that are set must hold.

	User   string `json:"user,omitempty"`
	Method string `json:"method,omitempty"`
	// Where: the body has these values in these fields; "" stands for any that is
	// not blank.
	Where map[string]string `json:"where,omitempty"`
	// After and For are a window of time that begins After the rule was set. A For
	// of 0 never ends.
	After time.Duration `json:"-"`
	For   time.Duration `json:"-"`
	// Nodes: the call came to the one bad node of so many. A connection stays with
	// its node, if the http.Server has the simulator's ConnContext; otherwise
	// every Nodes-th request is hit.
	Nodes int `json:"nodes,omitempty"`
	// Probability is drawn from the seed, the user and the number of the user's
	// call, so that it does not depend on who came first. 0: always.
	Probability float64 `json:"probability,omitempty"`
	// Rate: the call is above so many a second.
	Rate float64 `json:"rate,omitempty"`
	// First and Last, from 1, count the calls for which all of the above holds, of
	// each user alone if PerUser is set. A bound of 0 is none.
	First   int  `json:"first,omitempty"`
	Last    int  `json:"last,omitempty"`
	PerUser bool `json:"per_user,omitempty"`

	// Then. Latencies of all rules that match add up; the first rule that matches
	// and does more than that decides.

	// Latency passes before anything is decided. A client that goes away meanwhile
	// does not stop the call: no server knows in time.
	Latency time.Duration `json:"-"`
	Answer  Answer        `json:"answer,omitempty"`
	// Status, Code and Field make the answer one of the vendor's errors.
	Status     int           `json:"status,omitempty"`
	Code       string        `json:"code,omitempty"`
	Field      string        `json:"field,omitempty"`
	RetryAfter time.Duration `json:"-"` // whole seconds
	// Apply makes a call count that is answered as if it did not: the user is saved
	// before the reply is dropped.
	Apply bool `json:"apply,omitempty"`
	// ApplyAfter saves the user so long after the call came in, whatever was
	// answered and whether or not the client is still there.
	ApplyAfter time.Duration `json:"-"`
}

// decides reports whether r does more than to wait.
func (r *Rule) decides() bool {
	return r.Answer != Judged || r.Status != 0 || r.Code != "" || r.Field != "" || r.Apply || r.ApplyAfter > 0
}

// script is a rule with what it remembers.
type script struct {
	Rule
	index  int
	set    time.Time
	bucket *rate.Limiter
	drawn  map[string]uint64 // by user
	hits   map[string]int    // by user, or "" for all
}

func newScript(r Rule, index int) *script {
	s := &script{Rule: r, index: index, set: time.Now(), drawn: map[string]uint64{}, hits: map[string]int{}}
	if r.Rate > 0 {
		s.bucket = rate.NewLimiter(rate.Limit(r.Rate), int(math.Ceil(r.Rate)))
	}
	return s
}

// matches reports whether the rule hits the call, and counts it.
func (s *script) matches(c *Call, node int, seed uint64, now time.Time) bool {
	since := now.Sub(s.set) - s.After
	switch {
	case s.User != "" && s.User != c.User,
		s.Method != "" && s.Method != c.Method,
		since < 0, s.For > 0 && since >= s.For,
		s.Nodes > 0 && node%s.Nodes != 0:
		return false
	}
	for field, want := range s.Where {
		if got, ok := c.Body[field].(string); !ok || got == "" || want != "" && got != want {
			return false
		}
	}
	if s.Probability > 0 && !s.draw(c.User, seed) {
		return false
	}
	if s.bucket != nil && s.bucket.AllowN(now, 1) {
		return false
	}
	who := ""
	if s.PerUser {
		who = c.User
	}
	s.hits[who]++
	n := s.hits[who]
	return n >= s.First && (s.Last == 0 || n <= s.Last)
}

func (s *script) draw(user string, seed uint64) bool {
	h := fnv.New64a()
	h.Write([]byte(user))
	n := s.drawn[user]
	s.drawn[user]++
	return rand.New(rand.NewPCG(seed+uint64(s.index), h.Sum64()+n)).Float64() < s.Probability
}
