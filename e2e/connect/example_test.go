package connect_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"usersync/e2e/connect"
	"usersync/e2e/postgres"
)

// example is the configuration that docs/examples recommends.
func example(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("../../docs/examples/users-connector.json")
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]string
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestExample: what is recommended is what all tests use. Only where something is, how
// much of it there is and how fast it goes is the tests' own.
func TestExample(t *testing.T) {
	recommended := example(t)
	for key, value := range connect.Debezium(new(postgres.Server), nil) {
		switch {
		case strings.HasPrefix(key, "database."), strings.HasPrefix(key, "topic.creation."):
		case key == "publication.autocreate.mode", key == "heartbeat.interval.ms", key == "poll.interval.ms":
		case recommended[key] != value:
			t.Errorf("%s=%s is tested, and %q recommended", key, value, recommended[key])
		}
	}
}

// validateExample has a real Connect look at the recommended configuration: that it
// knows each key, and takes each value.
func (r *rig) validateExample() {
	config := example(r.t)
	for key, value := range connect.Debezium(r.postgres, nil) {
		if strings.HasPrefix(key, "database.") {
			config[key] = value
		}
	}
	delete(config, "database.password") // the test's server asks for none
	found, err := r.connect.Validate(r.t.Context(), config)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range found {
		r.t.Errorf("the recommended configuration: %s", e)
	}
	config["heartbeat.interval.ms"], config["snapshot.mod"] = "often", "initial"
	found, err = r.connect.Validate(r.t.Context(), config)
	for _, mistake := range []string{"heartbeat.interval.ms: ", "snapshot.mod: unknown"} {
		if !strings.Contains("\n"+strings.Join(found, "\n"), "\n"+mistake) {
			r.t.Errorf("%s is not among what was found: %q (%v)", mistake, found, err)
		}
	}
}
