package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// TestMain is the command itself when a test runs this binary again.
func TestMain(m *testing.M) {
	if os.Getenv("ZHONGKONG_WITHSERVERS_TEST") == "1" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// play runs the command with the variables and returns what it printed.
func play(t *testing.T, variables []string, args ...string) (out string, code int) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(
		[]string{"ZHONGKONG_WITHSERVERS_TEST=1", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.Getenv("TMPDIR")},
		variables...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok { //nolint:errorlint // it is Run's own
		t.Fatal(err)
	}
	return text.String(), cmd.ProcessState.ExitCode()
}

// TestGiven: servers that the environment names are used as they are, and the exit code
// of a failing command is this one's, after the lines about what was tested.
func TestGiven(t *testing.T) {
	t.Parallel()
	var variables []string
	for _, engine := range testserver.Engines {
		variables = append(variables, engine.Variable()+"="+strings.ToLower(string(engine))+"://127.0.0.1:1/x")
	}
	nothing, err := exec.LookPath("true") // the machine's own may take seconds to print its version
	if err != nil {
		t.Fatal(err)
	}
	variables = append(variables, testserver.ChromiumVariable+"="+nothing, testserver.PromtoolVariable+"="+nothing)
	out, code := play(t, variables, "sh", "-c", "env | grep ^ZHONGKONG_TEST ; exit 7")
	if code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	for _, want := range append(variables, "ZHONGKONG_TEST=full", "tested with: ", "given by ZHONGKONG_TEST_MYSQL") {
		if !strings.Contains(out, want) {
			t.Errorf("it does not print %q:\n%s", want, out)
		}
	}
}

// TestLeftOut: where nothing is installed, the command runs all the same and the
// last lines say what was left out; that is a failure only where it may not be.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, require := range []string{"", "1"} {
		out, code := play(t, []string{"PATH=", "ZHONGKONG_TEST_REQUIRE=" + require}, shell, "-c", "echo it ran")
		for _, want := range []string{
			"it ran",
			"LEFT OUT: Redis (there is no Redis here: install redis-server",
			"LEFT OUT: Chromium (there is no Chromium here: install chromium",
			"LEFT OUT: promtool (there is no promtool here: install prometheus",
			"LEFT OUT: PgBouncer (there is no PgBouncer here: install pgbouncer",
		} {
			if !strings.Contains(out, want) || strings.Count(out, "LEFT OUT") != 6 {
				t.Errorf("it does not print %q, or not six lines:\n%s", want, out)
			}
		}
		if (code == 0) != (require == "") {
			t.Errorf("required %q: exit code %d", require, code)
		}
	}
}
