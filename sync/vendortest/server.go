package vendortest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const maxBody = 1 << 20

// Server simulates a vendor. Its methods may be called from several goroutines.
type Server struct {
	vendor  Vendor
	admin   *http.ServeMux
	mux     *http.ServeMux
	done    chan struct{}  // closed by Close
	running sync.WaitGroup // handlers, and versions that are applied later

	mu     sync.Mutex
	closed bool
	seed   uint64
	rules  []*script
	keys   []Key
	users  map[string]*user
	feed   []*record // in the order in which they came or changed
	stats  Stats
	conns  int
	late   map[*time.Timer]struct{}
}

// New returns the simulator of v.
func New(v Vendor) *Server {
	s := &Server{vendor: v, done: make(chan struct{}), users: map[string]*user{}, late: map[*time.Timer]struct{}{}}
	s.admin = s.adminRoutes()
	s.mux = s.routes()
	return s
}

// Close ends every call and forgets what was still to be applied. It returns when
// no goroutine is left.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	for t := range s.late {
		if t.Stop() {
			s.running.Done()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
}

// Seed sets what Rule.Probability is drawn from.
func (s *Server) Seed(seed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seed = seed
}

// SetKeys makes keys the only valid ones, from the next call on; with none, every
// key is valid.
func (s *Server) SetKeys(keys ...Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

// SetRules replaces the script. Calls that a former rule holds stay held.
func (s *Server) SetRules(rules ...Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
	for i, r := range rules {
		s.rules = append(s.rules, newScript(r, i))
	}
}

// AddRule adds a rule at the end of the script.
func (s *Server) AddRule(r Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, newScript(r, len(s.rules)))
}

// Change runs f while no call is being judged, for a vendor to turn its knobs.
func (s *Server) Change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

type connKey struct{}

// ConnContext numbers the connections, for Rule.Nodes: set it in the http.Server.
func (s *Server) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns++
	return context.WithValue(ctx, connKey{}, s.conns-1)
}

// ServeHTTP serves the vendor's API, and the simulator's own below /_sim/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// From returns a handler that serves the vendor's API alone and notes who called.
func (s *Server) From(caller string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, caller) })
}

// visit is one call while it is being served.
type visit struct {
	*Call
	version *record
	user    *user
	rule    *Rule // the one that decides, or nil
	latency time.Duration
	leave   func()
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, caller string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the client went away before it had said anything
	}
	v := s.receive(r, body, caller)
	if v == nil {
		panic(http.ErrAbortHandler) // closed
	}
	defer s.running.Done()
	defer v.leave()
	defer context.AfterFunc(r.Context(), v.leave)()

	if !s.wait(v.latency) {
		panic(http.ErrAbortHandler)
	}
	reply, answer := s.decide(v)
	switch answer {
	case Hang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		panic(http.ErrAbortHandler)
	case Reset:
		reset(w)
	case Truncate:
		w.Header().Set("Content-Length", strconv.Itoa(len(reply.Body)+1))
		write(w, reply)
		http.NewResponseController(w).Flush() // or what was written would go down with the connection
		panic(http.ErrAbortHandler)
	default:
		write(w, reply)
	}
}

// receive books a call and finds the rules that hit it; nil once s is closed.
func (s *Server) receive(r *http.Request, raw []byte, caller string) *visit {
	c := &Call{Method: r.Method, Path: r.URL.Path, Header: r.Header}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&c.Body) != nil || d.More() {
		c.Body = nil
	}
	switch id := c.Body[s.vendor.IDField()].(type) {
	case string:
		c.User = id
	case json.Number:
		c.User = id.String()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.running.Add(1)
	s.stats.Calls++
	if c.Body == nil {
		raw, _ = json.Marshal(string(raw)) // it must fit into a Version
	}
	u := s.user(c.User)
	u.inFlight++
	u.maxOverlap = max(u.maxOverlap, u.inFlight)
	s.stats.InFlight++
	s.stats.MaxInFlight = max(s.stats.MaxInFlight, s.stats.InFlight)
	v := &visit{Call: c, user: u, version: &record{Version: Version{
		Seq: s.stats.Calls, User: c.User, Caller: caller, Method: c.Method, Body: raw,
		Received: time.Now(), Overlap: u.inFlight, Verdict: Pending,
	}}}
	u.versions = append(u.versions, v.version)
	s.note(v.version)
	s.match(r.Context(), v)
	v.leave = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		v.user.inFlight--
		s.stats.InFlight--
		v.version.Ended = time.Now()
		s.note(v.version)
	})
	return v
}

func (s *Server) match(ctx context.Context, v *visit) {
	node, ok := ctx.Value(connKey{}).(int)
	if !ok {
		node = s.stats.Calls
	}
	for _, rule := range s.rules {
		if !rule.matches(v.Call, node, s.seed, v.version.Received) {
			continue
		}
		v.latency += rule.Latency
		if rule.decides() {
			v.rule, v.version.Rule = &rule.Rule, rule.Name
			return
		}
	}
}

// decide settles what becomes of a call and what is answered.
func (s *Server) decide(v *visit) (Reply, Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rule := v.rule
	if rule == nil {
		rule = &Rule{}
	}
	var reply Reply
	faulty := rule.Answer == Hang || rule.Answer == Reset || rule.Answer == HTML ||
		rule.Status != 0 || rule.Code != "" || rule.Field != ""
	switch {
	case rule.ApplyAfter > 0:
		reply, _ = s.vendor.Judge(v.Call, View{s})
		s.applyLater(v, rule.ApplyAfter-time.Since(v.version.Received))
	case !faulty || rule.Apply:
		reply = s.apply(v)
	default:
		v.version.Verdict = Lost
		s.note(v.version)
	}
	switch {
	case rule.Answer == HTML:
		reply = page(rule.Status)
	case faulty:
		reply = s.vendor.Fault(rule.Status, rule.Code, rule.Field)
	}
	if rule.RetryAfter > 0 {
		if reply.Header == nil {
			reply.Header = http.Header{}
		}
		reply.Header.Set("Retry-After", strconv.Itoa(int(rule.RetryAfter/time.Second)))
	}
	if rule.Answer != Hang && rule.Answer != Reset {
		v.version.Status = reply.Status
	}
	return reply, rule.Answer
}

// apply judges a call as things stand now, and saves the user.
func (s *Server) apply(v *visit) Reply {
	reply, next := s.vendor.Judge(v.Call, View{s})
	switch {
	case next != nil:
		s.stats.Applied++
		v.user.current = next
		v.version.Verdict, v.version.Applied, v.version.Order = Applied, time.Now(), s.stats.Applied
	case reply.OK:
		v.version.Verdict = Ignored
	default:
		v.version.Verdict = Rejected
	}
	s.note(v.version)
	return reply
}

func (s *Server) applyLater(v *visit, d time.Duration) {
	if s.closed {
		return // Close has stopped the timers that it knew
	}
	s.running.Add(1)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		defer s.running.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.late, t)
		if !s.closed {
			s.apply(v)
		}
	})
	s.late[t] = struct{}{}
}

// wait reports whether d went by before the server was closed.
func (s *Server) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

func page(status int) Reply {
	if status == 0 {
		status = http.StatusBadGateway
	}
	return Reply{
		Status: status, Header: http.Header{"Content-Type": {"text/html"}},
		Body: []byte("<html><h1>" + http.StatusText(status) + "</h1></html>\n"),
	}
}

func write(w http.ResponseWriter, r Reply) {
	maps.Copy(w.Header(), r.Header)
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body) // a client that has gone misses nothing
}

// reset ends the connection without a word, on TCP with a RST.
func reset(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := h.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the end is a FIN, and still no reply
	}
	conn.Close()
}
