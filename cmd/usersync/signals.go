package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// signals returns two contexts: the first SIGTERM or SIGINT ends drain, the second
// one ends hard. Whoever is impatient presses Ctrl-C again. From stop on, signals
// do what they do by default.
func signals(parent context.Context) (drain, hard context.Context, stop func()) {
	drain, endDrain := context.WithCancel(parent)
	hard, endHard := context.WithCancel(context.WithoutCancel(parent))
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGTERM, os.Interrupt)
	done := make(chan struct{})
	go func() {
		for _, end := range []func(){endDrain, endHard} {
			select {
			case <-received:
				end()
			case <-done:
				return
			}
		}
	}()
	return drain, hard, func() {
		signal.Stop(received)
		close(done)
		endDrain()
		endHard()
	}
}
