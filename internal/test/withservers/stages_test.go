package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// feed gives a report the events of one stage, in pieces of odd lengths.
func feed(t *testing.T, r *report, s stage, events ...event) {
	t.Helper()
	var text bytes.Buffer
	for _, e := range events {
		if err := json.NewEncoder(&text).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	r.begin(s)
	for rest := text.Bytes(); len(rest) > 0; {
		n := min(7, len(rest))
		if _, err := r.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	r.end(s, 3*time.Second)
}

// TestReport: what passes is a line for each package, what fails is printed in full, and
// the summary names failures, measurements, second attempts and what was left out.
func TestReport(t *testing.T) {
	var out, log bytes.Buffer
	r := newReport(&out, &log)
	feed(
		t, r, stage{name: "tests"},
		event{Action: "output", Package: "a", Test: "TestQuiet", Output: "=== RUN   TestQuiet\n"},
		event{Action: "output", Package: "a", Test: "TestQuiet", Output: "    q_test.go:7: a quiet word, 1.0 ×\n"},
		event{Action: "pass", Package: "a", Test: "TestQuiet"},
		event{Action: "output", Package: "a", Test: "TestTwice", Output: "    q_test.go:9: patience: second attempt: TestTwice: it was slow\n"},
		event{Action: "pass", Package: "a", Test: "TestTwice"},
		event{Action: "output", Package: "a", Test: "TestTwice/other", Output: "    q_test.go:9: not patience: second attempt: x\n"},
		event{Action: "output", Package: "a", Test: "TestAbsent", Output: "    q_test.go:11: left out: there is no Redis here\n"},
		event{Action: "skip", Package: "a", Test: "TestAbsent"},
		event{Action: "output", Package: "a", Output: "ok  \ta\t0.1s\n"},
		event{Action: "pass", Package: "a"},
		event{Action: "output", Package: "b", Test: "TestBad", Output: "    b_test.go:7: a bad word\n"},
		event{Action: "fail", Package: "b", Test: "TestBad"},
		event{Action: "output", Package: "b", Test: "TestPanics", Output: "panic: at the disco\n"},
		event{Action: "output", Package: "b", Output: "FAIL\tb\t0.1s\n"},
		event{Action: "fail", Package: "b"},
		event{Action: "build-output", ImportPath: "c", Output: "./c.go:1: does not compile\n"},
		event{Action: "output", Package: "d", Output: "?   \td\t[no test files]\n"},
		event{Action: "skip", Package: "d"},
	)
	feed(
		t, r, stage{name: "speed", measures: true},
		event{Action: "output", Package: "a", Test: "TestSpeedX", Output: "    q_test.go:7: 1.3 × the floor\n"},
		event{Action: "pass", Package: "a", Test: "TestSpeedX"},
		event{Action: "pass", Package: "a"},
	)
	r.summary(false)
	for _, want := range []string{
		"ok  \ta\t0.1s\n", "b_test.go:7: a bad word\n", "panic: at the disco\n", "FAIL\tb\t0.1s\n", "./c.go:1: does not compile\n",
		"\n1.3 × the floor\n", "== tests: 3 s\n",
		"packages that passed: 1\n", "measurements that passed: 1\n",
		"left out: 1 of the tests: there is no Redis here\n", "\nsecond attempt: TestTwice: it was slow\n",
		"FAILED: b TestBad\n", "FAILED: b\n", "Tests failed.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q:\n%s", want, &out)
		}
	}
	for _, unwanted := range []string{"a quiet word", "no test files", "=== RUN", "second attempt: x\n"} {
		if strings.Contains(out.String(), unwanted) {
			t.Errorf("it prints %q:\n%s", unwanted, &out)
		}
	}
	if want := "a quiet word"; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, &log)
	}
}

// module makes a module of these files and works in it until the test ends.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	files["go.mod"] = "module made.up/module\n\ngo 1.25\n"
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStages: tests without the race detector are looked for in this module and that of the
// pages, and in no other.
func TestStages(t *testing.T) {
	const speed = "package x\n\nfunc TestSpeedOne(t *testing.T) {}\n"
	module(t, map[string]string{
		"a/a_test.go": speed, "a/b_test.go": speed, "b/b_test.go": "package b\n\nfunc TestLongUnraced(t *testing.T) {}\n", "c/c_test.go": "package c\n", "f/f_test.go": "package f\n\nfunc TestCrowdAtScale(t *testing.T) {}\n", ".c/c_test.go": speed, "testdata/d_test.go": speed,
		"e/go.mod": "module e\n", "e/e_test.go": speed,
		"test/pages/go.mod": "module pages\n", "test/pages/chat/chat_test.go": speed,
	})
	all, err := stages()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		got = append(got, s.dir+": "+s.packages[len(s.packages)-1])
	}
	want := []string{".: ./...", "test/pages: ./...", ".: ./f", "test/pages: ./chat"}
	if !slices.Equal(got, want) || !slices.Contains(all[2].packages, "./a") || !slices.Contains(all[2].packages, "./b") || slices.Contains(all[2].packages, "./c") {
		t.Errorf("stages %q, want %q", got, want)
	}
}

// TestRunStages: the stages run go test, and one failure is the exit code. A test that passes
// when it is alone is a second attempt; a panic has none.
func TestRunStages(t *testing.T) {
	tier.Full(t)
	const first = `if _, err := os.Stat("been"); err != nil { os.WriteFile("been", nil, 0o600); `
	for _, row := range []struct {
		body, logged string
		code         int
	}{
		{`t.Log("a word")`, "a word", 0},
		{`t.Error("a bad word")`, "once more: TestOne of made.up/module", 1},
		{first + `t.Error("a bad word") }`, "second attempt: made.up/module TestOne: it failed while other tests ran", 0},
		{first + `panic("a bad word") }`, "FAILED: made.up/module", 1},
	} {
		module(t, map[string]string{"a_test.go": "package a\n\nimport (\"os\"; \"testing\")\n\nvar _ = os.Stat\n\nfunc TestOne(t *testing.T) { " + row.body + " }\n"})
		code := runStages(os.Environ())
		text, err := os.ReadFile(logFile)
		if err != nil || code != row.code || !bytes.Contains(text, []byte(row.logged)) {
			t.Errorf("%s: exit code %d, want %d, %v; the log:\n%s", row.body, code, row.code, err, text)
		}
	}
}

// TestBusy: which failures a busy machine may have caused.
func TestBusy(t *testing.T) {
	a, b := test{"a", "TestA"}, test{"b", "TestB"}
	for _, row := range []struct {
		name   string
		failed []test
		grave  bool
		want   []test
	}{
		{"a test, its part and its package", []test{{"a", "TestA/part"}, a, {"a", ""}}, false, []test{a}},
		{"two", []test{a, {"a", ""}, b, {"b", ""}}, false, []test{a, b}},
		{"a package without a test", []test{a, {"a", ""}, {"b", ""}}, false, nil},
		{"a data race", []test{a, {"a", ""}}, true, nil},
		{"many", []test{a, b, {"c", "TestC"}, {"d", "TestD"}}, false, nil},
	} {
		r := newReport(&bytes.Buffer{}, &bytes.Buffer{})
		r.failed, r.grave = row.failed, row.grave
		if got := r.busy(); !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}
