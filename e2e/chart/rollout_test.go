package chart

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"usersync/e2e"
)

// The worker reads its configuration at the start, so whoever's configuration has
// changed is started again; and nobody else, for each restart is a rebalance.
func TestRollout(t *testing.T) {
	e2e.Require(t, "helm")
	before := checksums(t, "")
	for _, test := range []struct {
		change, values string
		restarted      []string
	}{
		{"of one destination", "config: {destinations: {taptalk: {rate_limit: 30}}}", []string{"usersync-taptalk"}},
		{"for all", "config: {log: {level: debug}}", []string{"usersync-haptik", "usersync-taptalk"}},
		{"of a credential's secret", "credentials: {haptik: {token: {existingSecret: other}}}", nil},
		{"of what is no configuration", "{podMonitor: {enabled: true}, replicas: 7}", nil},
	} {
		t.Run(test.change, func(t *testing.T) {
			after := checksums(t, test.values)
			var restarted []string
			for _, name := range slices.Sorted(maps.Keys(after)) {
				if after[name] != before[name] {
					restarted = append(restarted, name)
				}
			}
			if !slices.Equal(restarted, test.restarted) {
				t.Errorf("it restarts %v, not %v", restarted, test.restarted)
			}
		})
	}
}

// checksums returns the annotation of each Deployment that stands for its configuration.
func checksums(t *testing.T, values string) map[string]string {
	t.Helper()
	rendered, err := template(t.Context(), chartDir,
		filepath.Join(chartDir, "ci", "both-separate-values.yaml"), write(t, "values.yaml", values))
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, m := range objects(t, rendered) {
		if m.Kind == "Deployment" {
			sums[m.Metadata.Name] = m.Spec.Template.Metadata.Annotations["checksum/config"]
		}
	}
	if len(sums) != 2 || sums["usersync-taptalk"] == "" {
		t.Fatalf("there are no two Deployments with a checksum: %v", sums)
	}
	return sums
}
