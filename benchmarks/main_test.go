package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain makes this binary its own child, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		main()
		return
	}
	var end func()
	var err error
	if environment, end, err = awayFromHome(); err != nil {
		panic(err)
	}
	code := m.Run()
	end()
	os.Exit(code)
}

// environment is that before TestMain changed it.
var environment []string

// TestRun measures what is quick, once, and looks at the figures that do not
// depend on the machine.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULT.md")
	for what, want := range map[string]string{
		"superseded":      "| 0; 1 | 0; 1 | 200; 0 |",
		"restarts":        "ten restarts",
		"permanent error": "wrong AppSecret, 1,000 calls in a row",
		"callback":        "in and back",
	} {
		var out bytes.Buffer
		if err := run(t.Context(), environment, &out, file, what, 1); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: no %q in\n%s", what, want, &out)
		}
		if written, err := os.ReadFile(file); err != nil || string(written) != out.String() {
			t.Errorf("%s: the file differs from what was printed (%v)", what, err)
		}
	}
}

// TestResult reads the recorded table.
func TestResult(t *testing.T) {
	data, err := os.ReadFile("RESULT.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	columns := 0
	for _, line := range lines {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		if n := strings.Count(line, "|"); columns == 0 {
			columns = n
		} else if n != columns {
			t.Errorf("%d columns, want %d: %s", n, columns, line)
		}
	}
	if want := len(peers) + 3; columns != want {
		t.Errorf("%d columns, want %d: make bench-peers", columns, want)
	}
	for _, m := range []string{"current token, while it lives", "1,000 cold callers", "superseded from outside", "ten restarts", "wrong AppSecret", "callback in and back", "Gin middleware", "100,000 accounts", "smallest program", "8 processes"} {
		if !strings.Contains(string(data), m) {
			t.Errorf("no row %q: make bench-peers", m)
		}
	}
}

func TestTable(t *testing.T) {
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median of three: %v", got)
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("median of four: %v", got)
	}
	for want, got := range map[string]string{
		"0 ns": duration(0), "999 ns": duration(999), "1.50 µs": duration(1500), "20.5 ms": duration(20.5e6), "2 s": duration(2e9),
		"12 B": size(12), "1.50 KiB": size(1536), "3 GiB": size(3 << 30),
		"7": thousands(7), "1,000": thousands(1000), "100,000": thousands(100_000),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	order := ""
	medians, err := turns(3, []string{"a", "b"}, func(name string) (sample, error) {
		order += name
		return sample{float64(len(order)), 1}, nil
	})
	if err != nil || order != "abbaab" || medians["a"][0] != 4 || medians["b"][0] != 3 || medians["a"][1] != 1 {
		t.Errorf("turns: %v, order %s, %v", err, order, medians)
	}
}
