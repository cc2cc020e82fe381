package kubernetes

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"usersync/e2e/internal/rest"
	"usersync/e2e/worker"
)

// namespace is where a test has its objects. Its kubeconfig names it, so that nothing
// else has to.
type namespace struct {
	cluster    *cluster
	name       string
	kubeconfig string
}

// namespace returns the namespace of this name, which it does not make.
func (c *cluster) namespace(t *testing.T, name string) *namespace {
	t.Helper()
	n := &namespace{cluster: c, name: name, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	write(t, n.kubeconfig, fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://%s", certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: admin, namespace: %q}}]
current-context: test
`, c.address, filepath.Join(c.dir, "apiserver.crt"), c.token, name))
	return n
}

// restricted makes a namespace that lets in no pod that could do its node any harm.
func (c *cluster) restricted(t *testing.T, name string) *namespace {
	t.Helper()
	n := c.namespace(t, name)
	if _, err := n.run(t, fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata:
  name: %s
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
`, name), "kubectl", "create", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(n.kubectl(t, "get", "deployments,jobs,pods,poddisruptionbudgets,events"))
		}
	})
	// Pods that ask for no account of their own have this one, and are not made before it.
	n.kubectl(t, "wait", "--for=create", "--timeout="+limit.String(), "serviceaccount/default")
	return n
}

func (n *namespace) env() []string {
	return []string{"KUBECONFIG=" + n.kubeconfig, "KUBECACHEDIR=" + filepath.Join(n.cluster.dir, "kubectl")}
}

// run runs a program with this input; its error is what the program says.
func (n *namespace) run(t *testing.T, input, program string, args ...string) (string, error) {
	t.Helper()
	// A failure is looked into when the test's context has ended.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Env = append(os.Environ(), n.env()...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, &stderr)
	}
	return stdout.String(), nil
}

// kubectl runs kubectl, which must succeed.
func (n *namespace) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := n.run(t, "", "kubectl", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply applies objects. A field that is unknown is an error, and so is a warning.
func (n *namespace) apply(t *testing.T, objects string, more ...string) error {
	t.Helper()
	_, err := n.run(t, objects, "kubectl", append([]string{
		"apply", "--server-side", "--validate=strict", "--warnings-as-errors", "--filename=-",
	}, more...)...)
	return err
}

// install installs or upgrades the release usersync, with these arguments of helm upgrade.
func (n *namespace) install(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"upgrade", "--install", "--reset-values", "--timeout=" + limit.String(), "usersync", chartDir}, args...)
	if _, err := n.run(t, "", "helm", args...); err != nil {
		t.Fatal(err)
	}
}

// object is what the tests read of any object.
type object struct {
	Metadata struct {
		Name, UID  string
		Generation int64
		Labels     map[string]string
	}
	Spec   struct{ Replicas int64 }
	Status struct {
		ObservedGeneration, Replicas, UpdatedReplicas, ReadyReplicas, Succeeded int64
		ExpectedPods, DisruptionsAllowed                                        int64
		Conditions                                                              []struct{ Type, Status string }
	}
	Message string // an event's
}

// is says whether a condition holds.
func (o object) is(condition string) bool {
	for _, c := range o.Status.Conditions {
		if c.Type == condition {
			return c.Status == "True"
		}
	}
	return false
}

// url is that of a resource in the namespace, such as deployments of apis/apps/v1.
func (n *namespace) url(api, resource string) string {
	return n.cluster.url + "/" + api + "/namespaces/" + n.name + "/" + resource
}

// list lists the objects of a resource.
func (n *namespace) list(t *testing.T, api, resource string) []object {
	t.Helper()
	var answer struct{ Items []object }
	if err := rest.Call(t.Context(), http.MethodGet, n.url(api, resource), nil, &answer); err != nil {
		t.Fatalf("list %s: %v", resource, err)
	}
	return answer.Items
}

// until waits for what the controllers are about to do. It fails at once where they are
// not allowed to.
func (n *namespace) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	worker.Until(t, limit, what, func() bool {
		if refused := n.refused(t); len(refused) > 0 {
			t.Fatalf("a controller cannot make a pod: %s", refused[0].Message)
		}
		return done()
	})
}

// refused lists the controllers' complaints that they cannot make a pod.
func (n *namespace) refused(t *testing.T) []object {
	t.Helper()
	return n.list(t, "api/v1", "events?fieldSelector=reason=FailedCreate")
}

// settled waits until everything that was installed is at work: each Deployment has all
// of its pods, of its newest version and ready, each Job has succeeded, and each scaler
// has found what it scales.
func (n *namespace) settled(t *testing.T) {
	t.Helper()
	n.until(t, "the Deployments are complete", func() bool {
		return every(n.list(t, "apis/apps/v1", "deployments"), func(d object) bool {
			s := d.Status
			return s.ObservedGeneration == d.Metadata.Generation &&
				s.UpdatedReplicas == d.Spec.Replicas && s.ReadyReplicas == d.Spec.Replicas && s.Replicas == d.Spec.Replicas
		})
	})
	n.until(t, "the Jobs have succeeded", func() bool {
		return every(n.list(t, "apis/batch/v1", "jobs"), func(j object) bool { return j.is("Complete") })
	})
	n.until(t, "the autoscalers have found their Deployments", func() bool {
		return every(n.list(t, "apis/autoscaling/v2", "horizontalpodautoscalers"), func(h object) bool { return h.is("AbleToScale") })
	})
}

func every(all []object, is func(object) bool) bool {
	return !slices.ContainsFunc(all, func(o object) bool { return !is(o) })
}

// workers lists the pods of the Deployments.
func (n *namespace) workers(t *testing.T) []object {
	t.Helper()
	return n.list(t, "api/v1", "pods?labelSelector=app.kubernetes.io/component!=topics")
}
