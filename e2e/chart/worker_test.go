package chart

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"usersync/e2e"
	"usersync/e2e/internal/examples"
)

// What the chart says to be the worker's configuration is one, and every file that it
// names is mounted, for the Deployments and for the Job. The worker says so itself.
func TestTheWorkerTakesTheConfiguration(t *testing.T) {
	e2e.Require(t, "helm")
	worker := e2e.BuildWorker(t)
	for _, file := range append(valueFiles(t), exampleFiles(t)...) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			rendered, err := template(t.Context(), chartDir, file)
			if err != nil {
				t.Fatal(err)
			}
			all := objects(t, rendered)
			checked := 0
			for _, m := range all {
				if m.Kind != "Deployment" && m.Kind != "Job" {
					continue
				}
				checked++
				config := mount(t, m, all)
				out, err := inPod(t, worker, m, "check", "-c", config)
				// Without a warning, too.
				if want := config + ": ok\n"; err != nil || out != want {
					t.Errorf("%s %s: %v\n%s", m.Kind, m.Metadata.Name, err, out)
				}
			}
			if checked == 0 {
				t.Error("there is no worker")
			}
		})
	}
}

// exampleFiles are the values within the examples for Argo CD and Flux, each in a file.
func exampleFiles(t *testing.T) []string {
	t.Helper()
	values, err := examples.Values("../../docs/examples")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for name, text := range values {
		files = append(files, write(t, name+".yaml", text))
	}
	return files
}

// mount writes what the volumes of m's pods hold into a directory, and returns the path
// of the configuration there.
func mount(t *testing.T, m manifest, all []manifest) string {
	t.Helper()
	dir := t.TempDir()
	config := ""
	for _, v := range m.Spec.Template.Spec.Volumes {
		if v.ConfigMap.Name != "" {
			config = find(t, all, "ConfigMap", v.ConfigMap.Name).Data["config.yaml"]
		}
		for _, source := range v.Projected.Sources {
			for _, item := range source.Secret.Items {
				place(t, filepath.Join(dir, item.Path))
			}
		}
	}
	path := filepath.Join(dir, "config.yaml")
	// The mount is at another place here.
	config = strings.ReplaceAll(config, "/run/usersync/", dir+"/")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// inPod runs the worker with the variables of m's pods, and returns what it says.
func inPod(t *testing.T, worker string, m manifest, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), worker, args...)
	cmd.Env = []string{"HAPTIK_TOKEN=t0ken"} // of a secret that envFrom names
	for _, variable := range m.Spec.Template.Spec.Containers[0].Env {
		cmd.Env = append(cmd.Env, variable.Name+"="+variable.Value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// place writes what belongs into the file of a credential, with the mode that it has
// in a pod: for the group, and nobody else.
func place(t *testing.T, path string) {
	t.Helper()
	text := []byte("s3cret\n")
	switch filepath.Base(path) {
	case "ca", "cert":
		text = certificate
	case "key":
		text = privateKey
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o440); err != nil {
		t.Fatal(err)
	}
}

// certificate and privateKey belong together, in PEM.
var certificate, privateKey = pair()

func pair() (cert, key []byte) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	self := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, self, self, k.Public(), k)
	if err != nil {
		panic(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
