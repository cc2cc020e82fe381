package process_test

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A test that dies with SIGKILL runs no cleanup: the kernel must end what it
// started.
func TestChildDiesWithItsParent(t *testing.T) {
	parent := exec.CommandContext(t.Context(), os.Args[0], t.TempDir())
	parent.Env = append(os.Environ(), "PLAY=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // reports the kill

	deadline := time.After(10 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); running(child); {
		select {
		case <-deadline:
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatal("the child outlived its parent by 10 s")
		case <-tick:
		}
	}
}

// running reports whether pid exists and is not a zombie that nobody reaps.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
