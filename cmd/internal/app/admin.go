package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"usersync/docs/runbooks"
)

// The admin server is asked small questions by machines and operators on the same
// network.
// Whoever is slow to ask or to listen must not hold a connection for good.
const (
	adminReadTimeout  = 5 * time.Second
	adminWriteTimeout = 30 * time.Second // a scrape of many partitions
	adminIdleTimeout  = 2 * time.Minute  // longer than the usual scrape interval
	adminShutdown     = 3 * time.Second
	maxScrapes        = 4
)

// probe checks one condition and returns at once. Its error, which anyone who can
// reach the port may read, says whose condition it is and what is wrong, without
// personal data.
type probe func() error

// admin is the HTTP server for operators:
//
//	/           the status page
//	/runbooks/  what helps, a page for each alert
//	/metrics    the registry, in the Prometheus or the OpenMetrics format
//	/livez      503 if any of live fails
//	/readyz     503 if any of ready fails
//
// Kubernetes kills a process whose /livez fails, so live may only hold what a
// restart cures: the process itself is stuck. An outage of Kafka or of a
// destination belongs in the metrics; killing the process would only add to it.
type admin struct {
	metrics *prometheus.Registry
	live    []probe
	ready   []probe
	status  statusPage
	log     *slog.Logger
}

// newRegistry holds the collectors of the Go runtime and of the process.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return reg
}

// handler answers the endpoints.
func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", a.status.handler(a.metrics))
	mux.HandleFunc("GET /runbooks/{page}", runbook)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
	}))
	mux.Handle("GET /livez", report(a.live))
	mux.Handle("GET /readyz", report(a.ready))
	return mux
}

// runbook answers with a page as it was written: Markdown can be read as it is, also by
// curl, and a browser would not show it under its own type.
func runbook(w http.ResponseWriter, r *http.Request) {
	text, err := runbooks.Pages.ReadFile(r.PathValue("page"))
	if err != nil {
		http.Error(w, "there is no such runbook; /runbooks/README.md is about all of them", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text) // whoever hung up needs no answer
}

// report answers with one line for each probe that fails.
func report(probes []probe) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var failures strings.Builder
		for _, check := range probes {
			if err := check(); err != nil {
				fmt.Fprintln(&failures, err)
			}
		}
		// An answer of a moment ago is of no use to anyone.
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if failures.Len() > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, failures.String()) // whoever hung up needs no answer
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
}

// listen opens the port. It is apart from serve so that a port that is taken
// fails the start, before any partition is joined.
func (a *admin) listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin server: %w", err)
	}
	return l, nil
}

// serve answers on l, which it closes, until ctx is done; then it lets requests
// under way end and returns nil. The ctx should outlast the drain, which is when
// its metrics are read most.
func (a *admin) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:        a.handler(),
		ReadTimeout:    adminReadTimeout,
		WriteTimeout:   adminWriteTimeout,
		IdleTimeout:    adminIdleTimeout,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	select {
	case err := <-served:
		return fmt.Errorf("admin server: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminShutdown)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil {
		_ = server.Close() // a client that does not read its answer must not hold up the end
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin server: %w", err)
	}
	return nil
}
