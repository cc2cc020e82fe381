package chart

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"usersync/e2e"
	"usersync/e2e/broker"
)

// The topics' Job does what it is there for, with exactly the arguments and the
// configuration that the chart gives it, at a real broker: it fails, and so does the
// release, as long as there is no source, it makes what is missing once there is, and can
// be repeated. Then the configuration of the Deployment has nothing to complain of.
func TestTopicsJob(t *testing.T) {
	e2e.Require(t, "helm")
	k := e2e.Kafka(t, broker.Config{})
	worker := e2e.BuildWorker(t)
	values := write(t, "values.yaml", "{topicsJob: {replicationFactor: 1}, config: {kafka: {brokers: ['"+k.Addr()+"']}}}")
	rendered, err := template(t.Context(), chartDir, filepath.Join(chartDir, "ci", "small-company-values.yaml"), values)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, rendered)
	job := find(t, all, "Job", "usersync-topics")
	args := job.Spec.Template.Spec.Containers[0].Args
	place := slices.Index(args, "/etc/usersync/config.yaml") // where the ConfigMap is mounted
	if place < 0 {
		t.Fatalf("the Job does not name its configuration: %q", args)
	}
	args[place] = mount(t, job, all)

	out, err := inPod(t, worker, job, args...)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(out, "topic shop.public.users: it is not there yet") {
		t.Errorf("without a source: %v\n%s", err, out)
	}
	settings := map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": "604800000", "delete.retention.ms": "604800000"}
	if err := k.CreateTopic(t.Context(), "shop.public.users", 3, settings); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out, err := inPod(t, worker, job, args...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for topic, want := range map[string]int{"shop.usersync.retry": 3, "shop.usersync.control": 1, "shop.usersync.state": 3} {
		if have, err := k.Partitions(t.Context(), topic); err != nil || have != want {
			t.Errorf("%s has %d partitions, not %d (%v)", topic, have, want, err)
		}
	}
	deployment := find(t, all, "Deployment", "usersync")
	if out, err := inPod(t, worker, deployment, "check", "-c", mount(t, deployment, all), "--connect"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
