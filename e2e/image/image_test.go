// Package image builds the image and runs it as a cluster would that trusts nobody.
//
// The Dockerfile is built word for word. What its first stage compiles in would have to
// be pulled, which not every network allows, so this machine stands in for it: its Go, its
// make and its git.
package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"usersync/e2e"
	"usersync/e2e/broker"
	"usersync/e2e/vendors"
	"usersync/e2e/worker"
)

var architectures = []string{"amd64", "arm64"}

// engine builds and runs images, in directories of the test.
type engine struct {
	t    *testing.T
	root string
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	e2e.Require(t, "buildah", "podman", "runc", "git", "make")
	root, err := os.MkdirTemp("", "img") //nolint:usetesting // the paths of sockets below it must be short
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "config"), 0o755); err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, root: root}
	t.Cleanup(func() {
		e.command("podman", "rm", "--all", "--force", "--time", "0")
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return e
}

// store is where images and containers are.
func (e *engine) store() []string {
	return []string{"--root", filepath.Join(e.root, "images"), "--runroot", filepath.Join(e.root, "run")}
}

// command runs a command of the engine's, and returns what it printed.
func (e *engine) command(program string, args ...string) string {
	e.t.Helper()
	return output(e.t, "", program, append(e.store(), args...)...)
}

// output runs a command in a directory, and returns what it printed.
func output(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.Command(program, args...) // not of the test's context, which ends before its clean-up
	c.Dir, c.Stdout, c.Stderr = dir, &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// checkout is a clone of the last commit, where nobody is at work.
func checkout(t *testing.T) string {
	t.Helper()
	root := strings.TrimSpace(output(t, "", "git", "rev-parse", "--show-toplevel"))
	dir := filepath.Join(t.TempDir(), "usersync")
	output(t, "", "git", "clone", "--quiet", root, dir)
	return dir
}

// TestImage builds the image for both architectures, with the program that another
// checkout makes too, and lets the one that this machine can run bring some users up to
// date.
func TestImage(t *testing.T) {
	e := newEngine(t)
	e2e.RequireKafka(t)
	one, other := checkout(t), checkout(t)
	output(t, other, "make", "--silent", "dist")
	golang := e.golang(one)
	for _, arch := range architectures {
		e.build(one, arch, golang)
		e.inspect(one, arch)
		made := read(t, filepath.Join(other, "dist", "linux_"+arch, "usersync"))
		if !bytes.Equal(e.contents(tagOf(arch)), made) {
			t.Errorf("the worker in the image for %s is not what another checkout makes", arch)
		}
	}
	modules(t, other)
	tag := tagOf(runtime.GOARCH)
	revision := strings.TrimSpace(output(t, one, "git", "rev-parse", "HEAD"))
	if said := output(t, "", "podman", append(e.store(), e.run(tag, "version")...)...); !strings.Contains(said, "(revision "+revision+",") {
		t.Errorf("it says %q, and was built of %s", said, revision)
	}
	e.sync(tag)
}

// modules holds that the list of what is in the worker has what go.mod asks for.
func modules(t *testing.T, checkout string) {
	t.Helper()
	output(t, checkout, "make", "--silent", "sbom")
	var list struct {
		GoVersion string
		Deps      []struct{ Path, Version, Sum string }
	}
	if err := json.Unmarshal(read(t, filepath.Join(checkout, "dist", "usersync.modules.json")), &list); err != nil {
		t.Fatal(err)
	}
	asked := string(read(t, filepath.Join(checkout, "go.mod")))
	found := slices.ContainsFunc(list.Deps, func(d struct{ Path, Version, Sum string }) bool {
		return d.Path == "github.com/segmentio/kafka-go" && d.Sum != "" && strings.Contains(asked, d.Path+" "+d.Version+"\n")
	})
	if !found || !strings.HasPrefix(list.GoVersion, "go1.") {
		t.Errorf("the Kafka client is not among what is in the worker: %+v", list)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func tagOf(arch string) string { return "localhost/usersync:" + arch }

// golang makes an image that stands in for the one that the Dockerfile compiles in, and
// returns the flags that go with it: this machine's own programs and this machine's Go,
// with what both have cached.
func (e *engine) golang(checkout string) []string {
	e.t.Helper()
	dockerfile := string(read(e.t, filepath.Join(checkout, "Dockerfile")))
	version := regexp.MustCompile(`(?m)^ARG GO_VERSION=(.+)$`).FindStringSubmatch(dockerfile)
	if len(version) != 2 || !strings.Contains(string(read(e.t, filepath.Join(checkout, "go.mod"))), "\ngo "+version[1]+".") {
		e.t.Fatalf("the Dockerfile compiles with Go %q, which is not go.mod's", version)
	}
	var env struct{ GOROOT, GOCACHE, GOMODCACHE, GOPROXY, GOSUMDB string }
	if err := json.Unmarshal([]byte(output(e.t, "", "go", "env", "-json")), &env); err != nil {
		e.t.Fatal(err)
	}
	flags := []string{"--isolation", "chroot", "--pull=never"}
	for _, dir := range []string{"/usr", "/bin", "/lib", "/lib64", env.GOROOT} {
		if _, err := os.Stat(dir); err == nil {
			flags = append(flags, "--volume", dir+":"+dir+":ro")
		}
	}
	flags = append(flags, "--volume", env.GOCACHE+":/cache/build", "--volume", env.GOMODCACHE+":/cache/mod")

	dir := e.t.TempDir()
	for name, text := range map[string]string{
		"root/etc/ssl/certs/ca-certificates.crt": string(read(e.t, "/etc/ssl/certs/ca-certificates.crt")),
		"root/tmp/empty":                         "",
		"Dockerfile": "FROM scratch\nCOPY root /\n" +
			"ENV PATH=" + env.GOROOT + "/bin:/usr/bin:/bin GOCACHE=/cache/build GOMODCACHE=/cache/mod GOTOOLCHAIN=local" +
			" GOPROXY=" + env.GOPROXY + " GOSUMDB=" + env.GOSUMDB + "\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			e.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			e.t.Fatal(err)
		}
	}
	e.command("buildah", "build", "--tag", "docker.io/library/golang:"+version[1], dir)
	return flags
}

// build builds the checkout's Dockerfile as make image does, but for these flags.
func (e *engine) build(checkout, arch string, flags []string) {
	e.t.Helper()
	// What make image passes on, and not another wording of it.
	args := strings.Fields(output(e.t, checkout, "make", "--silent", "image", "ENGINE=echo", "PLATFORM=linux/"+arch, "IMAGE="+tagOf(arch)))
	args = slices.Insert(args[:len(args)-1], 1, flags...)
	e.command("buildah", append(args, checkout)...)
}

// inspect looks at what the image says of itself.
func (e *engine) inspect(checkout, arch string) {
	e.t.Helper()
	var image struct {
		OCIv1 struct {
			Architecture, OS string
			Config           struct {
				User            string
				ExposedPorts    map[string]any
				Entrypoint, Cmd []string
				Labels          map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(e.command("buildah", "inspect", "--type", "image", tagOf(arch))), &image); err != nil {
		e.t.Fatal(err)
	}
	c := image.OCIv1.Config
	_, port := c.ExposedPorts["8080/tcp"]
	if image.OCIv1.Architecture != arch || image.OCIv1.OS != "linux" || c.User != "65532:65532" || !port ||
		!slices.Equal(c.Entrypoint, []string{"/usersync"}) || !slices.Equal(c.Cmd, []string{"run", "-c", "/etc/usersync/config.yaml"}) {
		e.t.Errorf("the image for %s is %+v", arch, image.OCIv1)
	}
	const label = "org.opencontainers.image."
	for name, want := range map[string]string{
		"title": "usersync", "licenses": "Apache-2.0",
		"revision": strings.TrimSpace(output(e.t, checkout, "git", "rev-parse", "HEAD")),
		"version":  strings.TrimSpace(output(e.t, checkout, "git", "describe", "--tags", "--always")),
	} {
		if c.Labels[label+name] != want {
			e.t.Errorf("label %s is %q, want %q", name, c.Labels[label+name], want)
		}
	}
	if created := c.Labels[label+"created"]; !strings.HasSuffix(created, "Z") || strings.HasPrefix(created, "1970") {
		e.t.Errorf("it was created at %q", created)
	}
}

// contents holds that nothing is in the image that nobody put there, and returns the
// worker.
func (e *engine) contents(tag string) []byte {
	e.t.Helper()
	id := strings.TrimSpace(e.command("podman", "create", tag))
	archive := filepath.Join(e.t.TempDir(), "contents.tar")
	e.command("podman", "export", "--output", archive, id)
	var files []string
	for name := range strings.Lines(output(e.t, "", "tar", "--list", "--file", archive)) {
		if name = strings.TrimSpace(name); !strings.HasSuffix(name, "/") {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	if want := []string{"etc/ssl/certs/ca-certificates.crt", "usersync"}; !slices.Equal(files, want) {
		e.t.Errorf("it holds %q, want %q", files, want)
	}
	return []byte(output(e.t, "", "tar", "--extract", "--to-stdout", "--file", archive, "usersync"))
}

// run is podman's command line for a container that may do as little as possible.
func (e *engine) run(tag string, args ...string) []string {
	return slices.Concat([]string{
		"--runtime", "runc", "run", "--rm", "--network", "host",
		// Without these podman asks for more than a container may have.
		"--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4096:4096",
		"--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--memory", "256m",
		"--volume", e.root + "/config:/etc/usersync:ro", tag,
	}, args)
}

// sync runs the image as it is, with nothing but a configuration, until the vendors hold
// what is in the source, and ends it.
func (e *engine) sync(tag string) {
	t := e.t
	k := e2e.Kafka(t, broker.Config{})
	for _, topic := range []string{"users", "dead"} {
		if err := k.CreateTopic(t.Context(), topic, 2, nil); err != nil {
			t.Fatal(err)
		}
	}
	d := &worker.Deployment{Broker: k.Client, Vendors: vendors.Start(t), Config: worker.Config{}, Binary: filepath.Join(e.root, "worker")}
	// The worker is launched as its binary would be; where its configuration has to be,
	// the image's own arguments say.
	script := fmt.Sprintf("#!/bin/sh\nset -e\ninstall -m 0444 \"$3\" %s/config/config.yaml\nexec podman %s\n",
		e.root, strings.Join(append(e.store(), e.run(tag)...), " "))
	if err := os.WriteFile(d.Binary, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	book := worker.NewBook("users")
	book.Write(t, d.Broker, book.Shuffled(200, 100)...)
	w := d.Start(t, "image", nil)
	book.Settle(t, d)
	e.powerless()
	w.Stop()
}

// powerless holds that the process is what the flags say, as the kernel knows it.
func (e *engine) powerless() {
	e.t.Helper()
	pid := strings.TrimSpace(e.command("podman", "inspect", "--format", "{{.State.Pid}}", "--latest"))
	status := string(read(e.t, filepath.Join("/proc", pid, "status")))
	for _, want := range []string{"Uid:\t65532\t65532\t", "Gid:\t65532\t65532\t", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n"} {
		if !strings.Contains(status, want) {
			e.t.Errorf("the process does not have %q:\n%s", want, status)
		}
	}
	if mounts := string(read(e.t, filepath.Join("/proc", pid, "mountinfo"))); !strings.Contains(mounts, " / / ro,") {
		e.t.Errorf("it may write to its root:\n%s", mounts)
	}
}
