package kubernetes

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"usersync/e2e/internal/rest"
	"usersync/e2e/worker"
)

// release: Helm installs the chart, with the topics' Job before everything else; upgrades
// it, where a new configuration replaces all pods and nothing new none; and uninstalls
// it, and nothing is left.
func (c *cluster) release(t *testing.T) {
	n := c.restricted(t, "release")
	n.kubelet(t)
	before := n.everything(t)
	install := func(args ...string) []string {
		t.Helper()
		n.install(t, append(args, "--wait", "--values="+ci("small-company"))...)
		n.settled(t)
		return uids(n.workers(t))
	}
	first := install()
	if len(first) != 2 {
		t.Fatalf("there are %d workers, not 2", len(first))
	}
	if again := install(); !slices.Equal(again, first) {
		t.Errorf("an upgrade to the same replaced %v by %v", first, again)
	}
	for _, uid := range install("--set=config.log.level=debug") {
		if slices.Contains(first, uid) {
			t.Errorf("%s runs on with the old configuration", uid)
		}
	}
	if _, err := n.run(t, "", "helm", "uninstall", "usersync", "--wait", "--timeout="+limit.String()); err != nil {
		t.Fatal(err)
	}
	var after []string
	defer func() {
		if !slices.Equal(after, before) {
			t.Logf("before: %v\nafter: %v", before, after)
		}
	}()
	worker.Until(t, limit, "nothing of the release is left", func() bool {
		after = n.everything(t)
		return slices.Equal(after, before)
	})
}

// everything lists all objects of the namespace, except for events, which nobody deletes.
func (n *namespace) everything(t *testing.T) []string {
	t.Helper()
	resources := strings.Fields(n.kubectl(t, "api-resources", "--namespaced", "--verbs=list", "--output=name"))
	resources = slices.DeleteFunc(resources, func(r string) bool { return strings.HasPrefix(r, "events") })
	all := strings.Fields(n.kubectl(t, "get", strings.Join(resources, ","), "--output=name"))
	slices.Sort(all)
	return all
}

func uids(objects []object) []string {
	var all []string
	for _, o := range objects {
		all = append(all, o.Metadata.UID)
	}
	slices.Sort(all)
	return all
}

// rollout: all new pods come at once, and as long as they are not ready none of the old
// ends.
func (c *cluster) rollout(t *testing.T) {
	n := c.restricted(t, "rollout")
	stop := n.kubelet(t)
	n.install(t, "--values="+ci("minimal"))
	n.settled(t)
	old := uids(n.workers(t))

	stop() // from here on nothing gets ready
	n.install(t, "--values="+ci("minimal"), "--set=config.log.level=debug")
	n.until(t, "the rollout has begun", func() bool {
		d := n.list(t, "apis/apps/v1", "deployments")[0]
		return d.Status.ObservedGeneration == d.Metadata.Generation && d.Status.UpdatedReplicas == d.Spec.Replicas
	})
	now := uids(n.workers(t))
	for _, uid := range old {
		if !slices.Contains(now, uid) {
			t.Errorf("%s has ended, and no new worker is ready", uid)
		}
	}
	n.kubelet(t)
	n.settled(t)
	for _, uid := range uids(n.workers(t)) {
		if slices.Contains(old, uid) {
			t.Errorf("%s runs on with the old configuration", uid)
		}
	}
}

// disruption: the drain of a node takes one worker, and waits with the next; but not for
// one that does no work.
func (c *cluster) disruption(t *testing.T) {
	n := c.restricted(t, "disruption")
	stop := n.kubelet(t)
	n.install(t, "--values="+ci("minimal"))
	n.settled(t)
	n.until(t, "the budget knows its workers", func() bool {
		budget := n.list(t, "apis/policy/v1", "poddisruptionbudgets")[0].Status
		return budget.ExpectedPods == 2 && budget.DisruptionsAllowed == 1
	})
	stop() // whoever is evicted is not replaced
	pods := n.workers(t)
	first, second := pods[0].Metadata.Name, pods[1].Metadata.Name
	if err := n.evict(t, first); err != nil {
		t.Fatal(err)
	}
	err := n.evict(t, second)
	if refusal, ok := errors.AsType[*rest.Refusal](err); !ok || refusal.Status != http.StatusTooManyRequests {
		t.Errorf("the second worker may go as well: %v", err)
	}
	n.fail(t, second)
	if err := n.evict(t, second); err != nil {
		t.Errorf("a worker that is not ready may not go: %v", err)
	}
}

// evict asks for a pod's eviction, as the drain of a node does.
func (n *namespace) evict(t *testing.T, name string) error {
	t.Helper()
	return rest.Call(t.Context(), http.MethodPost, n.url("api/v1", "pods/"+name+"/eviction"), map[string]any{
		"apiVersion": "policy/v1", "kind": "Eviction", "metadata": map[string]any{"name": name},
	}, nil)
}

// fail reports that a pod runs and is not ready.
func (n *namespace) fail(t *testing.T, name string) {
	t.Helper()
	var p pod
	if err := rest.Call(t.Context(), http.MethodGet, n.url("api/v1", "pods/"+name), nil, &p); err != nil {
		t.Fatal(err)
	}
	if err := n.report(t.Context(), p, "Running", "False"); err != nil {
		t.Fatal(err)
	}
}
