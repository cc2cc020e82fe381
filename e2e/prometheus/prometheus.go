// Package prometheus runs a real Prometheus on the loopback interface, and asks it.
package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"usersync/e2e/internal/loopback"
	"usersync/e2e/internal/rest"
	"usersync/e2e/process"
)

// Config says what to scrape and what to evaluate.
type Config struct {
	// Dir is an existing, empty directory for its data, configuration and logs.
	Dir string
	// Interval is how often targets are scraped and rules evaluated.
	Interval time.Duration
	Targets  []Target
	// Rules are the paths of rule files.
	Rules []string
}

// Target is a process that is scraped, and the labels of its series.
type Target struct {
	Addr   string
	Labels map[string]string
}

// Server is a running Prometheus. Its methods may be called from several goroutines.
type Server struct {
	process *process.Process
	url     string
}

// How long the server may take; the machine may be busy.
const (
	startLimit = 60 * time.Second
	stopLimit  = 30 * time.Second
)

// Start starts a server and returns when it answers. The caller ends it with Close.
func Start(ctx context.Context, c Config) (*Server, error) {
	programs, err := Fetch(ctx)
	if err != nil {
		return nil, err
	}
	free, err := loopback.Free(ctx, 1)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(c.Dir, "prometheus.yaml")
	if err := os.WriteFile(file, c.file(), 0o600); err != nil {
		return nil, err
	}
	p, err := process.Start(process.Command{
		Name: "prometheus", Path: programs.Server, Logs: c.Dir, Dir: c.Dir,
		Args: []string{
			"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(c.Dir, "data"),
			"--web.listen-address=" + free[0],
		},
	})
	if err != nil {
		return nil, err
	}
	s := &Server{process: p, url: "http://" + free[0]}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %v", startLimit))
	defer cancel()
	if err := p.Ready(ctx, s.ready); err != nil {
		p.Kill()
		return nil, fmt.Errorf("start prometheus: %w", err)
	}
	return s, nil
}

// file returns the configuration. JSON is YAML.
func (c Config) file() []byte {
	type object = map[string]any
	var targets []object
	for _, t := range c.Targets {
		targets = append(targets, object{"targets": []string{t.Addr}, "labels": t.Labels})
	}
	interval := fmt.Sprintf("%dms", c.Interval.Milliseconds())
	text, err := json.MarshalIndent(object{
		"global":     object{"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
		"rule_files": c.Rules,
		"scrape_configs": []object{{
			"job_name": "usersync", "static_configs": targets,
		}},
	}, "", "  ")
	if err != nil {
		panic(err) // maps of texts
	}
	return text
}

// ready asks as a client does; it fails for as long as the server only starts.
func (s *Server) ready(ctx context.Context) error {
	_, err := s.Query(ctx, "1")
	return err
}

// Close ends the server.
func (s *Server) Close() {
	_ = s.process.End(context.Background(), syscall.SIGTERM, stopLimit) // fails when it has ended, or has to be killed
	s.process.Kill()
}

// Series is a series with its values; that of an instant has one.
type Series struct {
	Labels map[string]string
	Points []Point
}

// Point is a value at a time.
type Point struct {
	Time  time.Time
	Value float64
}

// Query evaluates an expression now.
func (s *Server) Query(ctx context.Context, expr string) ([]Series, error) {
	return s.ask(ctx, "query", url.Values{"query": {expr}})
}

// QueryRange evaluates an expression at each step of a time.
func (s *Server) QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]Series, error) {
	return s.ask(ctx, "query_range", url.Values{
		"query": {expr}, "start": {stamp(from)}, "end": {stamp(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	})
}

func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

func (s *Server) ask(ctx context.Context, what string, values url.Values) ([]Series, error) {
	var answer struct {
		Data struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	err := rest.Call(ctx, http.MethodGet, s.url+"/api/v1/"+what+"?"+values.Encode(), nil, &answer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", values.Get("query"), err)
	}
	if answer.Data.ResultType == "scalar" {
		var p [2]any
		if err := json.Unmarshal(answer.Data.Result, &p); err != nil {
			return nil, err
		}
		return []Series{{Points: []Point{point(p)}}}, nil
	}
	var raw []struct {
		Metric map[string]string
		Value  *[2]any
		Values [][2]any
	}
	if err := json.Unmarshal(answer.Data.Result, &raw); err != nil {
		return nil, err
	}
	var all []Series
	for _, r := range raw {
		if r.Value != nil {
			r.Values = append(r.Values, *r.Value)
		}
		series := Series{Labels: r.Metric}
		for _, v := range r.Values {
			series.Points = append(series.Points, point(v))
		}
		all = append(all, series)
	}
	return all, nil
}

// point reads a time in seconds, and a value as text, since JSON has no infinity.
func point(p [2]any) Point {
	at, _ := p[0].(float64)
	text, _ := p[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		v = math.NaN()
	}
	return Point{time.UnixMilli(int64(at * 1000)), v}
}

// Alert is an alert that is pending or fires.
type Alert struct {
	Labels      map[string]string
	Annotations map[string]string
	State       string
}

// Alerts returns the alerts that are pending or fire.
func (s *Server) Alerts(ctx context.Context) ([]Alert, error) {
	var answer struct{ Data struct{ Alerts []Alert } }
	if err := rest.Call(ctx, http.MethodGet, s.url+"/api/v1/alerts", nil, &answer); err != nil {
		return nil, fmt.Errorf("alerts: %w", err)
	}
	return answer.Data.Alerts, nil
}
