package main

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// What the kernel says of a process is what it does.
func TestKernelFigures(t *testing.T) {
	before, err := spent(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	memory := make([]byte, size)
	for now, began := before, time.Now(); now < before+50*time.Millisecond; {
		for i := 0; i < size; i += 4096 {
			memory[i]++
		}
		if now, err = spent(os.Getpid()); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%v after a minute of work, %v before", now, before)
		}
	}
	runtime.KeepAlive(memory)
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	all := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	if now, err := spent(os.Getpid()); err != nil || (all-now).Abs() > 100*time.Millisecond {
		t.Errorf("%v, %v of a processor, and %v by another way to ask", err, now, all)
	}
	if high, err := peak(os.Getpid()); err != nil || high < size || high > 100*size {
		t.Errorf("%v, peak memory %d with %d in use", err, high, size)
	}
	if _, err := peak(-1); err == nil {
		t.Error("a process that is not there has a peak")
	}
}
