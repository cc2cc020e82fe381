package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"usersync/consumer"
)

// metricsTimeout bounds one look at a worker's metrics.
const metricsTimeout = 10 * time.Second

// laneView is what the metrics of one worker say of one destination.
type laneView struct {
	url, destination string
	*reading
}

// lanesOf asks the workers at urls. Of one that does not answer it says so to said: it
// may be the one that is in trouble, and what the others know is wanted all the more.
func lanesOf(ctx context.Context, urls []string, said io.Writer, n network) ([]laneView, error) {
	transport := &http.Transport{DialContext: n.dial, DisableKeepAlives: true}
	var all []laneView
	var failed error
	for _, url := range urls {
		views, err := viewOf(ctx, transport, url)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("metrics: %w; check the URL, such as http://host:8080/metrics", err))
		}
		all = append(all, views...)
	}
	if failed != nil && len(all) > 0 {
		fmt.Fprintln(said, failed)
		failed = nil
	}
	return all, failed
}

func viewOf(ctx context.Context, transport http.RoundTripper, url string) ([]laneView, error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", url, res.Status)
	}
	return readLanes(url, res.Body)
}

// readLanes reads what Prometheus reads, as far as it is about lanes.
func readLanes(url string, r io.Reader) ([]laneView, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return nil, fmt.Errorf("%s has no metrics of a worker: %w", url, err)
	}
	var views []laneView
	for destination, s := range byDestination(maps.Values(families)) {
		if destination != "" {
			views = append(views, laneView{url, destination, read(s, time.Now())})
		}
	}
	if len(views) == 0 {
		return nil, fmt.Errorf("%s has no metrics of a worker", url)
	}
	return views, nil
}

// ownerOf returns the view of the worker that owns a partition.
func ownerOf(views []laneView, destination string, tp consumer.TopicPartition) (laneView, bool) {
	for _, v := range views {
		if v.destination == destination && v.owned(tp) != nil {
			return v, true
		}
	}
	return laneView{}, false
}
