// Package kubernetes installs the Helm chart in a real Kubernetes: its API server, which
// refuses what it does not know, and its controllers, which make pods of it. There are no
// nodes, so nobody runs the pods; the test says of them what a kubelet would.
package kubernetes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"usersync/e2e"
	"usersync/e2e/internal/loopback"
	"usersync/e2e/internal/rest"
	"usersync/e2e/process"
)

// limit is how long what takes seconds may take on a busy machine.
const limit = 2 * time.Minute

// controllers are those that have to do with what the chart makes.
var controllers = []string{
	"deployment-controller", "replicaset-controller", "job-controller", "disruption-controller",
	"horizontal-pod-autoscaler-controller", "serviceaccount-controller", "garbage-collector-controller",
}

// TestChart starts one Kubernetes for all that is tested in it; each test has a
// namespace of its own.
func TestChart(t *testing.T) {
	e2e.Require(t, "helm", "etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
	c := start(t)
	t.Run("Accepted", c.accepted)
	t.Run("MistakesAreRefused", c.mistakesAreRefused)
	t.Run("PrivilegesAreRefused", c.privilegesAreRefused)
	t.Run("Release", c.release)
	t.Run("Rollout", c.rollout)
	t.Run("Disruption", c.disruption)
}

// cluster is a Kubernetes without nodes.
type cluster struct {
	dir     string // with the API server's certificate
	address string // the API server's
	token   string // of its administrator
	url     string // of the API for whoever cannot prove who they are
}

// start starts everything, in a directory of the test, and installs what the values that
// the chart is tested with take for granted.
func start(t *testing.T) *cluster {
	t.Helper()
	free, err := loopback.Free(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: t.TempDir(), address: free[2], token: rand.Text(), url: "http://" + free[3]}
	store, peers := "http://"+free[0], "http://"+free[1]
	e2e.Start(t, process.Command{Name: "etcd", Path: "etcd", Args: []string{
		"--data-dir=" + filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level=error",
		"--listen-client-urls=" + store, "--advertise-client-urls=" + store,
		"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers, "--initial-cluster=default=" + peers,
	}})
	api := c.startServer(t, store)
	all := c.namespace(t, "default")
	ready(t, api, func(context.Context) error {
		_, err := all.run(t, "", "kubectl", "get", "--raw=/readyz")
		return err
	})
	proxy := e2e.Start(t, process.Command{
		Name: "proxy", Path: "kubectl", Env: all.env(), Args: []string{"proxy", "--port=" + port(t, free[3])},
	})
	ready(t, proxy, func(ctx context.Context) error { return rest.Call(ctx, http.MethodGet, c.url+"/readyz", nil, nil) })

	// The controllers watch what there is to watch when they start.
	all.kubectl(t, "apply", "--server-side", "--filename="+definitions(t))
	all.kubectl(t, "wait", "--for=condition=Established", "--timeout="+limit.String(), "customresourcedefinitions", "--all")
	all.kubectl(t, "create", "priorityclass", "business-critical", "--value=1000")
	all.kubectl(t, "create", "namespace", "monitoring")
	e2e.Start(t, process.Command{Name: "controllers", Path: "kube-controller-manager", Args: []string{
		"--kubeconfig=" + all.kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--controllers=" + strings.Join(controllers, ","), "--horizontal-pod-autoscaler-sync-period=1s",
	}})
	return c
}

// startServer starts the API server. It makes its own certificate; what it wants of us
// is who the administrator is, and a key for the tokens of pods, of which there are none.
func (c *cluster) startServer(t *testing.T, store string) *process.Process {
	t.Helper()
	tokens, key := filepath.Join(c.dir, "tokens.csv"), filepath.Join(c.dir, "tokens.key")
	write(t, tokens, c.token+",admin,admin,system:masters\n")
	write(t, key, privateKey(t))
	const issuer = "https://kubernetes.default.svc"
	return e2e.Start(t, process.Command{Name: "kube-apiserver", Path: "kube-apiserver", Args: []string{
		"--etcd-servers=" + store,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + port(t, c.address), "--cert-dir=" + c.dir,
		"--token-auth-file=" + tokens, "--authorization-mode=RBAC",
		"--service-account-issuer=" + issuer, "--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
		"--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none",
		// As almost every cluster has it: who may be privileged is up to the namespace.
		"--allow-privileged",
	}})
}

// ready waits until a process answers.
func ready(t *testing.T, p *process.Process, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not ready after %v", limit))
	defer cancel()
	if err := p.Ready(ctx, check); err != nil {
		t.Fatal(err)
	}
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// privateKey makes a key, in PEM.
func privateKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
