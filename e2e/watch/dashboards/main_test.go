package main

import (
	"os"
	"testing"
)

// What the chart installs is what the sources say.
func TestDashboardsAreCurrent(t *testing.T) {
	for _, d := range boards() {
		want, err := render(d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("../../../charts/usersync/files/dashboards/" + d.UID + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s.json is not what the sources say; run: go generate ./e2e/watch/dashboards", d.UID)
		}
	}
}
