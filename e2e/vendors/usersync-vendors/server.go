package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"usersync/sync/haptik/haptiktest"
	"usersync/sync/taptalk/taptalktest"
	"usersync/sync/vendortest"
)

// server is both simulators and everything that listens for them.
type server struct {
	simulators map[string]*vendortest.Server // by destination
	serving    sync.WaitGroup                // one for each of servers

	mu      sync.Mutex
	closed  bool
	servers []*http.Server
	callers map[string]map[string]string // base URLs by caller and destination
}

// start returns a server with its admin API on l.
func start(l net.Listener) *server {
	s := &server{
		simulators: map[string]*vendortest.Server{
			"taptalk": taptalktest.New().Server,
			"haptik":  haptiktest.New().Server,
		},
		callers: map[string]map[string]string{},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve(l, &http.Server{Handler: s.admin()})
	return s
}

// close ends every call and every connection, and waits for the goroutines.
func (s *server) close() {
	for _, sim := range s.simulators {
		sim.Close()
	}
	s.mu.Lock()
	s.closed = true
	for _, srv := range s.servers {
		_ = srv.Close() // nobody is left to be told
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// serve serves on l until close. The caller holds the lock.
func (s *server) serve(l net.Listener, srv *http.Server) {
	srv.ReadHeaderTimeout = time.Minute
	srv.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // a killed worker's connections are no news
	s.servers = append(s.servers, srv)
	s.serving.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintf(os.Stderr, "serve on %v: %v\n", l.Addr(), err)
		}
	})
}

// open returns a caller's base URLs by destination. Its ports are opened when they
// are first asked for and stay open: a worker that is started again has the same.
func (s *server) open(ctx context.Context, caller string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("shutting down")
	}
	if urls, ok := s.callers[caller]; ok {
		return urls, nil
	}
	urls := map[string]string{}
	for destination, sim := range s.simulators {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen for %s: %w", caller, err)
		}
		s.serve(l, &http.Server{Handler: sim.From(caller), ConnContext: sim.ConnContext})
		urls[destination] = "http://" + l.Addr().String()
	}
	s.callers[caller] = urls
	return urls, nil
}

// admin is what help describes.
func (s *server) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, help) })
	mux.HandleFunc("GET /callers", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		show(w, s.callers)
	})
	mux.HandleFunc("PUT /callers/{name}", func(w http.ResponseWriter, r *http.Request) {
		urls, err := s.open(r.Context(), r.PathValue("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		show(w, urls)
	})
	mux.HandleFunc("GET /users/{id}", s.getUser)
	for destination, sim := range s.simulators {
		mux.Handle("/"+destination+"/", http.StripPrefix("/"+destination, sim.Admin()))
	}
	return mux
}

func (s *server) getUser(w http.ResponseWriter, r *http.Request) {
	type user struct {
		Current map[string]any       `json:"current"`
		History []vendortest.Version `json:"history"`
	}
	both := map[string]user{}
	for destination, sim := range s.simulators {
		both[destination] = user{sim.Current(r.PathValue("id")), sim.History(r.PathValue("id"))}
	}
	show(w, both)
}

// show writes v for people.
func show(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // a client that has gone misses nothing
}
