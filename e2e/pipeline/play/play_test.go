package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"

	"usersync/e2e"
	"usersync/e2e/internal/rest"
	"usersync/e2e/worker"
)

// screen is what a person sees.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// find returns the first match of a pattern, "" if there is none.
func (s *screen) find(pattern string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(regexp.MustCompile(pattern).Find(s.text.Bytes()))
}

// TestPlay does what a person is told to try, and looks that nothing is left behind.
func TestPlay(t *testing.T) {
	e2e.RequireKafka(t)
	e2e.RequireConnect(t)
	e2e.Require(t, "postgres", "psql")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, ended := &screen{}, make(chan error, 1)
	go func() { ended <- play(ctx, out, options{workers: 1, users: 10}) }()
	defer func() {
		if t.Failed() {
			t.Log(out.find(`(?s).*`))
		}
	}()
	worker.Until(t, 2*worker.Limit, "it says what to try", func() bool {
		select {
		case err := <-ended:
			t.Fatal("it has ended: ", err)
		default:
		}
		return out.find(`Ctrl-C`) != ""
	})

	if said, err := exec.CommandContext(t.Context(), "sh", "-c", out.find(`psql .*update.*`)).CombinedOutput(); err != nil {
		t.Errorf("the change of a user: %v\n%s", err, said)
	}
	url := out.find(`http://\S*/users/1`)
	worker.Until(t, worker.Limit, "both vendors hold the change", func() bool {
		var both struct {
			TapTalk, Haptik struct{ Current map[string]any }
		}
		if err := rest.Call(t.Context(), http.MethodGet, url, nil, &both); err != nil {
			t.Fatal(err)
		}
		return both.TapTalk.Current["fullName"] == "Ada Lovelace" && both.Haptik.Current["name"] == "Ada Lovelace"
	})

	interrupt()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(out.find(`/\S*usersync-pipeline-\d+`)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	if err := rest.Call(t.Context(), http.MethodGet, url, nil, nil); err == nil {
		t.Error("the vendors still answer")
	}
}
