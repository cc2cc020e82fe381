package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata anew")

// sample is a report with all that one can have: rounds that differ, one who was cut
// short, one who left users wrong, users who had not changed, single changes.
func sample() *report {
	r := &report{
		Args: []string{"-runs", "3"}, Commit: "abc1234", Machine: "2 x processor, linux, go1.26",
		Began: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Notes: []string{"parallel-consumer was left out: no javac"},
		Fresh: []fresh{{Contender: nameWorker, Changes: 300, P50: 1.25, P99: 4, Min: 0.5, Max: 9.75}},
	}
	hot := cell{Workload: "hot", Changes: 20_000, Distinct: 4_903, Latency: 20 * time.Millisecond, Concurrency: 64, Bytes: 720}
	var rounds [][]run
	for _, noise := range []float64{1, 2, 1.1} { // the second round met a busy machine
		rounds = append(rounds, []run{
			{Contender: nameLoop, Records: 20_000, Calls: 4_903, Wall: 1.6 * noise, CPU: 0.4 * noise, Peak: 14e6, Share: 1},
			{Contender: nameDecode, Records: 20_000, Wall: 0.3 * noise, CPU: 0.4 * noise, Peak: 20e6, Share: 1},
			{Contender: nameWorker, Records: 20_000, Calls: 4_950, Wall: 1.68 * noise, CPU: 1.2 * noise, Peak: 42e6, Share: 1},
			{Contender: "ordered", Records: 20_000, Calls: 1_000, Wall: 400 * noise, CPU: 0.2 * noise, Peak: 30e6, Share: 0.05, Wrong: 4_000},
			{Contender: "pool", Records: 20_000, Calls: 20_000, Wall: 6.6 * noise, CPU: 3 * noise, Peak: 35e6, Share: 1, Stale: int(100 * noise), Wrong: 12},
		})
	}
	r.add(result{hot, rounds})
	snapshot := cell{Workload: "resnapshot", Changes: 1_000_000, Distinct: 1_000_000, Latency: 20 * time.Millisecond, Concurrency: 64, Bytes: 720}
	r.add(result{snapshot, [][]run{{
		{Contender: nameWorker, Records: 1_000_000, Wall: 12, CPU: 9, Peak: 180e6, Share: 1},
		{Contender: nameValid, Records: 1_000_000, Wall: 6, CPU: 5, Peak: 20e6, Share: 1},
	}}})
	return r
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was; -update writes it anew. Now:\n%s", file, got)
	}
}

func TestMarkdown(t *testing.T) { golden(t, "report.md", sample().markdown()) }

func TestPlots(t *testing.T) {
	dir := t.TempDir()
	r := sample()
	small := r.Cells[0].result
	small.Distinct = 490
	r.add(small)
	if err := r.draw(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"wall.svg", "cpu.svg", "memory.svg", "memory-by-users.svg"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, string(text))
		d := xml.NewDecoder(strings.NewReader(string(text)))
		for _, err = d.Token(); err == nil; _, err = d.Token() {
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is written down can be read again: everything that was measured is in it.
func TestJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	if err := sample().write(options{json: file}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.markdown() != sample().markdown() {
		t.Errorf("another report when read again:\n%s", back.markdown())
	}
}
