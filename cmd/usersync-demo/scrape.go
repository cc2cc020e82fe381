package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// samples are what a worker says of itself, by series as it writes them.
type samples map[string]float64

var scraper = &http.Client{Timeout: 2 * time.Second}

// scrape reads the metrics of w.
func (w *worker) scrape(ctx context.Context) (samples, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := scraper.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return parseMetrics(res.Body)
}

// parseMetrics reads the text format: a series, a space and a value on each line.
func parseMetrics(r io.Reader) (samples, error) {
	all := samples{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		all[line[:at]] = v
	}
	return all, lines.Err()
}

// state is the state of a destination's lane; "" if it is not shown.
func (s samples) state(destination string) string {
	prefix := fmt.Sprintf(`usersync_lane_state{destination=%q,reason="`, destination)
	for series, v := range s {
		if rest, ok := strings.CutPrefix(series, prefix); ok && v == 1 {
			return strings.TrimSuffix(rest, `"}`)
		}
	}
	return ""
}

// inFlight is how many users of a destination have a call in flight.
func (s samples) inFlight(destination string) int {
	return int(s[fmt.Sprintf("usersync_inflight_users{destination=%q}", destination)])
}
