package loopback

import (
	"sync"
	"testing"
)

// Two processes that ask at the same time, each from several goroutines, are given
// different addresses, although nobody listens on one of them yet.
func TestNoAddressTwice(t *testing.T) {
	var (
		processes [2]claim
		mu        sync.Mutex
		given     = map[string]bool{}
		asking    sync.WaitGroup
	)
	for i := range processes {
		t.Cleanup(func() {
			if processes[i].held != nil {
				processes[i].held.Close()
			}
		})
		for range 4 {
			asking.Go(func() {
				addrs, err := processes[i].free(t.Context(), size/8)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, addr := range addrs {
					if given[addr] {
						t.Errorf("%s was given out twice", addr)
					}
					given[addr] = true
				}
			})
		}
	}
	asking.Wait()
	if _, err := processes[0].free(t.Context(), size); err == nil {
		t.Error("more addresses than a process has were given out")
	}
	if want := 2 * 4 * (size / 8); len(given) != want {
		t.Errorf("%d addresses were given out, not %d", len(given), want)
	}
}
