//go:build unix

package testserver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// stubborn is a program that ignores the signal to stop and prints its process id.
var stubborn = []string{"sh", "-c", `trap "" TERM; echo "made-up words of the log"; echo $$ >pid; while :; do sleep 0.1; done`}

// readPID returns the process id that the program in folder printed.
func readPID(folder string) (int, error) {
	text, err := os.ReadFile(filepath.Join(folder, "pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// TestStubborn: a server that ignores the signal to stop is killed.
func TestStubborn(t *testing.T) {
	setTemp(t)
	testserver.SetTimes(t, time.Minute, 100*time.Millisecond)
	s, err := testserver.StartProgram(t.Context(), func(context.Context) error { return nil }, stubborn...)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	eventually(t, "it does not print its process id", func() bool {
		pid, err = readPID(s.Dir())
		return err == nil
	})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after Close: %v", pid, err)
	}
}

// TestNotReady: a server that never answers fails the start, with its log; so does one
// that exits, and without waiting any longer.
func TestNotReady(t *testing.T) {
	folder := setTemp(t)
	silence := errors.New("no answer")
	ask := func(context.Context) error { return silence }
	testserver.SetTimes(t, 500*time.Millisecond, 100*time.Millisecond)
	_, err := testserver.StartProgram(t.Context(), ask, stubborn...)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, silence) || !strings.Contains(err.Error(), "made-up words of the log") {
		t.Errorf("a server that does not answer: %v", err)
	}
	testserver.SetTimes(t, time.Hour, 100*time.Millisecond)
	_, err = testserver.StartProgram(t.Context(), ask, "sh", "-c", `echo "made-up last words"; exit 3`)
	if !errors.Is(err, silence) || !strings.Contains(err.Error(), "made-up last words") {
		t.Errorf("a server that exits: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
