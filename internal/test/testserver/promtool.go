package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// PromtoolVariable names the promtool that checks metrics and alerts, where it is
// not found by itself.
const PromtoolVariable = "ZHONGKONG_TEST_PROMTOOL"

// PromtoolPackage is what apt installs it by.
const PromtoolPackage = "prometheus"

// FindPromtool returns the path of a promtool, or ErrNotInstalled.
func FindPromtool() (string, error) {
	if path := os.Getenv(PromtoolVariable); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath("promtool"); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%w: there is no promtool here", ErrNotInstalled)
}

// Promtool returns the path of a promtool. Plain go test ./... leaves the test out unless
// the environment names one.
func Promtool(tb testing.TB) string {
	tb.Helper()
	if os.Getenv(PromtoolVariable) == "" {
		tier.Full(tb)
	}
	path, err := FindPromtool()
	if err != nil {
		leaveOut(tb, PromtoolLeftOut())
	}
	return path
}

// PromtoolVersion returns what a promtool says it is: "promtool, version 2.42.0".
func PromtoolVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	version, _, _ := strings.Cut(string(out), " (")
	return strings.TrimSpace(version), err
}

// PromtoolLeftOut says that there is none and how to get one.
func PromtoolLeftOut() string {
	return fmt.Sprintf("there is no promtool here: install %s, or set %s, or let ZHONGKONG_TEST_INSTALL=1 make test install it", PromtoolPackage, PromtoolVariable)
}

// Program returns the path of a program that a test runs, which apt installs by the name
// of a package. Plain go test ./... leaves the test out.
func Program(tb testing.TB, name, pkg string) string {
	tb.Helper()
	tier.Full(tb)
	path, err := exec.LookPath(name)
	if err != nil {
		leaveOut(tb, fmt.Sprintf("there is no %s here: install %s", name, pkg))
	}
	return path
}
