package kubernetes

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"usersync/e2e/internal/rest"
)

// kubelet says of each pod of the namespace that waits to be run what the kubelet of a
// node would: the pods of a Job have succeeded, all others are ready. It ends with the test, or by stop.
func (n *namespace) kubelet(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for tick := time.Tick(100 * time.Millisecond); ctx.Err() == nil; <-tick {
			if err := n.runPods(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func (n *namespace) runPods(ctx context.Context) error {
	var pending struct{ Items []pod }
	if err := rest.Call(ctx, http.MethodGet, n.url("api/v1", "pods?fieldSelector=status.phase=Pending"), nil, &pending); err != nil {
		return err
	}
	for _, p := range pending.Items {
		phase, ready := "Running", "True"
		if p.restartPolicy() == "Never" {
			phase, ready = "Succeeded", "False"
		}
		err := n.report(ctx, p, phase, ready)
		if refusal, ok := errors.AsType[*rest.Refusal](err); ok && (refusal.Status == http.StatusConflict || refusal.Status == http.StatusNotFound) {
			continue // a controller was quicker; the next look sees what it did
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pod is all of a pod, since a status is reported with what it is of.
type pod map[string]any

func (p pod) name() string { return p["metadata"].(map[string]any)["name"].(string) }

func (p pod) restartPolicy() any { return p["spec"].(map[string]any)["restartPolicy"] }

// report reports in which phase a pod is, and whether it is ready.
func (n *namespace) report(ctx context.Context, p pod, phase, ready string) error {
	p["status"] = map[string]any{
		"phase":      phase,
		"conditions": []any{map[string]any{"type": "Ready", "status": ready, "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}},
	}
	return rest.Call(ctx, http.MethodPut, n.url("api/v1", "pods/"+p.name()+"/status"), p, nil)
}
