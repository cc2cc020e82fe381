package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for args, cells := range map[string]int{
		"":                 2,
		"-workload skewed": 1,
		"-workload=hot,flat,skewed -latency 5ms,20ms -concurrency 16,64,256 -schema both": 36,
		"-all":                              3*3*3*2 + 1, // where nobody is called there is one cell
		"-workload flat -users 10,100,1000": 3,
	} {
		o, err := parse(strings.Fields(args), io.Discard)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		if got := len(o.matrix()); got != cells {
			t.Errorf("%s: %d cells, want %d", args, got, cells)
		}
	}
	for _, bad := range []string{"-workload cold", "-contenders me", "-latency soon", "-concurrency 0", "-schema maybe", "-runs 0", "hot", "-users x"} {
		if _, err := parse(strings.Fields(bad), io.Discard); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	o, err := parse([]string{"-workload", "hot", "-changes", "500", "-latency", "5ms", "-contenders", "loop,worker"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	m := o.matrix()[0]
	if m.workload.users != 122 || m.cell.Changes != 500 || m.cell.Latency != 5*time.Millisecond || len(o.contenders) != 2 || o.optional {
		t.Errorf("%+v, %d contenders", m, len(o.contenders))
	}
}
