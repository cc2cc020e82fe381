package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"usersync/e2e"
)

// TestBench has every contender that can run here do a little work, on real parts. What
// the vendor holds in the end is compared with what each row says, so a contender that
// sends something else is seen here.
func TestBench(t *testing.T) {
	e2e.RequireKafka(t)
	file := filepath.Join(t.TempDir(), "bench.json")
	var out, said bytes.Buffer
	code := command(t.Context(), []string{
		"-workload", "hot,resnapshot", "-changes", "500", "-latency", "5ms", "-concurrency", "16", "-schema", "both",
		"-runs", "1", "-fresh", "20", "-limit", "1m", "-json", file,
	}, &out, &said)
	t.Logf("%s\n%s", said.Bytes(), out.Bytes())
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 3 {
		t.Fatalf("%d cells", len(r.Cells))
	}
	for _, c := range r.Cells {
		took := map[string]row{}
		for _, x := range c.Rows {
			took[x.Contender] = x
			if x.Peak.Min < 1 || x.Share < 1 {
				t.Errorf("%s: %s: %.1f MB, done with %.0f %%", title(c.cell), x.Contender, x.Peak.Min, 100*x.Share)
			}
		}
		for _, x := range contenders {
			_, there := took[x.name]
			if missing := x.name == nameJava && len(r.Notes) > 0; there == missing && !c.again() || c.again() && there != x.again {
				t.Errorf("%s: %s took part: %t", title(c.cell), x.name, there)
			}
		}
		if c.again() {
			if n := took[nameWorker].Calls.Max; n != 0 {
				t.Errorf("%s: %.0f calls", title(c.cell), n)
			}
			continue
		}
		checkCalls(t, c, took)
	}
	for _, f := range r.Fresh {
		if f.Changes != 20 || f.P50 > f.P99 || f.Max < f.P99 {
			t.Errorf("single changes: %+v", f)
		}
	}
	if !slices.ContainsFunc(r.Fresh, func(f fresh) bool { return f.Contender == nameWorker }) {
		t.Error("no single changes for the worker")
	}
}

// checkCalls compares the calls with what each contender must make of the changes. Only
// the pool may leave somebody wrong.
func checkCalls(t *testing.T, c summed, took map[string]row) {
	t.Helper()
	users, changes := float64(c.Distinct), float64(c.Changes)
	for name, x := range took {
		least, most := changes, 2*changes // those written by hand read some again if their group is formed anew
		switch name {
		case nameWorker:
			least, most = users, changes
		case nameLoop:
			least, most = users, users
		case "fetch", nameValid, nameDecode:
			continue
		}
		if x.Calls.Min < least || x.Calls.Max > most {
			t.Errorf("%s: %s: %.0f calls, want %.0f to %.0f", title(c.cell), name, x.Calls.Max, least, most)
		}
		if name != "pool" && (x.Wrong.Max > 0 || x.Stale.Max > 0) {
			t.Errorf("%s: %s: %.0f users wrong, %.0f stale writes", title(c.cell), name, x.Wrong.Max, x.Stale.Max)
		}
		if x.WallLeast.Min < 0.9 {
			t.Errorf("%s: %s: %.2f of the least time that the calls take", title(c.cell), name, x.WallLeast.Min)
		}
	}
}
