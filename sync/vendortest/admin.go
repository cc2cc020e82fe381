package vendortest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// routes are the vendor's API and, below /_sim/, the simulator's own, for those
// who run it as a process.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/", s.From(""))
	mux.Handle("/_sim/", http.StripPrefix("/_sim", s.admin)) // a typo here is no call of the vendor's API
	return mux
}

// Admin returns the simulator's own API:
//
//	GET /users       {id: state}
//	GET /users/{id}  {current, history, max_overlap}
//	GET /calls       {calls, next}: Feed from ?since=0, at most ?limit=10000
//	GET /stats       Stats
//	GET /rules       the script; PUT replaces it, POST adds one rule
//	PUT /keys        [Key]
//	GET /knobs       the vendor's knobs; PUT changes those it names
func (s *Server) Admin() http.Handler { return s.admin }

func (s *Server) adminRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users", s.getUsers)
	mux.HandleFunc("GET /users/{id}", s.getUser)
	mux.HandleFunc("GET /calls", s.getCalls)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { write(w, JSON(http.StatusOK, s.Stats())) })
	mux.HandleFunc("GET /rules", s.getRules)
	mux.HandleFunc("PUT /rules", change(func(rules []Rule) error { s.SetRules(rules...); return nil }))
	mux.HandleFunc("POST /rules", change(func(r Rule) error { s.AddRule(r); return nil }))
	mux.HandleFunc("PUT /keys", change(func(keys []Key) error { s.SetKeys(keys...); return nil }))
	mux.HandleFunc("GET /knobs", s.getKnobs)
	mux.HandleFunc("PUT /knobs", change(func(object json.RawMessage) (err error) {
		s.Change(func() { err = s.vendor.SetKnobs(object) })
		return err
	}))
	return mux
}

// change decodes a body and hands it to f.
func change[T any](f func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var v T
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err == nil {
			err = Decode(body, &v)
		}
		if err == nil {
			err = f(v)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) getUsers(w http.ResponseWriter, _ *http.Request) {
	all := map[string]map[string]any{}
	s.mu.Lock()
	for id, u := range s.users {
		if u.current != nil {
			all[id] = u.current // replaced, never changed
		}
	}
	s.mu.Unlock()
	write(w, JSON(http.StatusOK, all))
}

func (s *Server) getUser(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	write(w, JSON(http.StatusOK, map[string]any{
		"current": s.Current(id), "history": s.History(id), "max_overlap": s.MaxOverlap(id),
	}))
}

func (s *Server) getCalls(w http.ResponseWriter, r *http.Request) {
	since, limit := 0, 10_000
	for name, v := range map[string]*int{"since": &since, "limit": &limit} {
		text := r.FormValue(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			http.Error(w, name+" must be a number", http.StatusBadRequest)
			return
		}
		*v = n
	}
	calls, next := s.Feed(since, limit)
	write(w, JSON(http.StatusOK, map[string]any{"calls": calls, "next": next}))
}

func (s *Server) getRules(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	rules := []Rule{}
	for _, r := range s.rules {
		rules = append(rules, r.Rule)
	}
	s.mu.Unlock()
	write(w, JSON(http.StatusOK, rules))
}

func (s *Server) getKnobs(w http.ResponseWriter, _ *http.Request) {
	var knobs any
	s.Change(func() { knobs = s.vendor.Knobs() })
	write(w, JSON(http.StatusOK, knobs))
}

// ruleFields is a Rule without its methods.
type ruleFields Rule

// ruleJSON is a Rule with durations as people write them.
type ruleJSON struct {
	*ruleFields
	After      duration `json:"after,omitempty"`
	For        duration `json:"for,omitempty"`
	Latency    duration `json:"latency,omitempty"`
	RetryAfter duration `json:"retry_after,omitempty"`
	ApplyAfter duration `json:"apply_after,omitempty"`
}

// MarshalJSON writes durations as text.
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(ruleJSON{
		(*ruleFields)(&r), duration(r.After), duration(r.For),
		duration(r.Latency), duration(r.RetryAfter), duration(r.ApplyAfter),
	})
}

// UnmarshalJSON reads durations as text.
func (r *Rule) UnmarshalJSON(b []byte) error {
	j := ruleJSON{ruleFields: new(ruleFields)}
	if err := Decode(b, &j); err != nil {
		return err
	}
	*r = Rule(*j.ruleFields)
	r.After, r.For = time.Duration(j.After), time.Duration(j.For)
	r.Latency, r.RetryAfter, r.ApplyAfter = time.Duration(j.Latency), time.Duration(j.RetryAfter), time.Duration(j.ApplyAfter)
	return nil
}

type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}
