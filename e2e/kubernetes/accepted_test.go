package kubernetes

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"usersync/e2e/worker"
)

// accepted: the API server takes everything that the chart makes, without a warning, and
// the controllers make of it pods that a namespace takes that trusts nobody.
func (c *cluster) accepted(t *testing.T) {
	all := values(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			n := c.restricted(t, "accepted-"+name)
			n.kubelet(t)
			if err := n.apply(t, render(t, n.name, "--values="+all[name])); err != nil {
				t.Fatal(err)
			}
			n.settled(t)
			if len(n.workers(t)) == 0 {
				t.Error("there is no worker")
			}
		})
	}
}

// mistakes are what is written wrong in everything-values.yaml's objects, of Kubernetes
// and of others, and what is said of it.
var mistakes = []struct{ right, wrong, said string }{
	{"unhealthyPodEvictionPolicy:", "unhealthyPodEvictionsPolicy:", "unhealthyPodEvictionsPolicy"},
	{"revisionHistoryLimit: 2", "revisionHistoryLimit: two", "revisionHistoryLimit"},
	{"terminationGracePeriodSeconds:", "terminationGraceSeconds:", "terminationGraceSeconds"},
	{"backoffLimit:", "backOffLimit:", "backOffLimit"},
	{"podMetricsEndpoints:", "podMetricEndpoints:", "podMetricEndpoints"},
	{"maxReplicaCount:", "maxReplicasCount:", "maxReplicasCount"},
	{"secretTargetRef:", "secretTargetRefs:", "secretTargetRefs"},
}

// mistaken returns the rendered object that is right, with the mistake in it.
func mistaken(t *testing.T, rendered, right, wrong string) string {
	t.Helper()
	for object := range strings.SplitSeq(rendered, "\n---\n") {
		if strings.Contains(object, right) {
			return strings.Replace(object, right, wrong, 1)
		}
	}
	t.Fatalf("nothing has %s", right)
	return ""
}

// mistakesAreRefused: a field that is misspelt, or of a wrong type, does not get through.
func (c *cluster) mistakesAreRefused(t *testing.T) {
	n := c.restricted(t, "mistakes")
	rendered := render(t, n.name, "--values="+ci("everything"))
	for _, m := range mistakes {
		err := n.apply(t, mistaken(t, rendered, m.right, m.wrong), "--dry-run=server")
		if err == nil || !strings.Contains(err.Error(), m.said) {
			t.Errorf("of %s nothing is said: %v", m.wrong, err)
		}
	}
}

// privilegesAreRefused: a pod that wants more than the chart gives it is not made, and
// nothing else than the controller's complaint says so.
func (c *cluster) privilegesAreRefused(t *testing.T) {
	n := c.restricted(t, "privileges")
	rendered := render(t, n.name, "--values="+ci("minimal"),
		"--set=securityContext.privileged=true", "--set=securityContext.allowPrivilegeEscalation=true")
	const said = `violate PodSecurity "restricted:latest": privileged`
	if err := n.apply(t, rendered); err == nil || !strings.Contains(err.Error(), said) {
		t.Errorf("kubectl apply does not warn, but says: %v", err)
	}
	worker.Until(t, limit, "a controller complains", func() bool { return len(n.refused(t)) > 0 })
	if message := n.refused(t)[0].Message; !strings.Contains(message, strings.Replace(said, "violate", "violates", 1)) {
		t.Errorf("the controller complains about something else: %s", message)
	}
	if pods := n.workers(t); len(pods) > 0 {
		t.Errorf("%d pods were made", len(pods))
	}
}
