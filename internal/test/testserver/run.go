package testserver

import (
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

// Run starts a program that ends with the test, or before when stop is called. out is what it
// writes; a test that fails shows it.
func Run(tb testing.TB, cmd *exec.Cmd) (out *logtest.Log, stop func()) {
	tb.Helper()
	out = new(logtest.Log)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(patience.Bound, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
	})
	tb.Cleanup(func() {
		stop()
		if tb.Failed() {
			tb.Logf("%s:\n%s", filepath.Base(cmd.Path), out)
		}
	})
	return out, stop
}
