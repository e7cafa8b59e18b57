package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/test/benchmarks/figures"
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
	recorded, err := figures.Read("RESULT.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		measurement, id string
		want            map[string]string // beginnings
	}{
		{"superseded", "superseded", map[string]string{floor: "0; 1", ours: "0; 1", "silenceper/wechat": "200; 0"}},
		{"restarts", "restarts", map[string]string{floor: "0; ", ours: "1; ", "PowerWeChat": "10; ", "co-wechat-api": "10; "}},
		{"permanent", "wrong-secret", map[string]string{ours: "1; ", "chanxuehong/wechat": "1000; ", "co-wechat-api": "1000; "}},
		{"store calls", "store-calls", map[string]string{ours: "0; 1; "}},
		{"callback", "callback-back", nil},
		{"proxy", "proxy-allocations", nil},
	} {
		r, err := run(t.Context(), environment, test.measurement, 1)
		if err != nil {
			t.Errorf("%s: %v", test.measurement, err)
			continue
		}
		if len(r.LeftOut) > 0 && os.Getenv("CI") != "" {
			t.Fatal(r.LeftOut)
		} else if len(r.LeftOut) > 0 {
			t.Skip(r.LeftOut)
		}
		got, err := r.Row(test.id)
		if err != nil {
			t.Error(err)
			continue
		}
		for name, want := range test.want {
			if is := got.Cells[name].String(); !strings.HasPrefix(is, want) {
				t.Errorf("%s, %s: %s, want %s", got.What, name, is, want)
			}
		}
		if before, err := recorded.Row(test.id); err != nil || before.What != got.What || len(before.Cells) != len(got.Cells) {
			t.Errorf("%s: the recorded result has another row %+v (%v): make bench-peers", test.id, before, err)
		}
		file := filepath.Join(t.TempDir(), "RESULT.md")
		if err := write(r, file); err != nil {
			t.Error(err)
		}
		again, err := figures.Read(besides(file))
		if written, _ := os.ReadFile(file); err != nil || string(written) != again.Markdown() {
			t.Errorf("%s: RESULT.json does not say what RESULT.md does (%v)", test.measurement, err)
		}
	}
}

// TestResult reads the recorded result: all is there, and where a peer is better it
// is said why.
func TestResult(t *testing.T) {
	r, err := figures.Read("RESULT.json")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range r.Columns {
		names = append(names, c.Name)
	}
	want := []string{floor}
	for _, p := range peers {
		want = append(want, p.name)
	}
	if !slices.Equal(names, want) {
		t.Errorf("columns %v, want %v: make bench-peers", names, want)
	}
	if len(r.LeftOut) > 0 {
		t.Errorf("left out: %v", r.LeftOut)
	}
	for _, id := range []string{
		"current", "current-redis", "cold", "superseded", "restarts", "store-down", "wrong-secret", "store-calls", "round-trips",
		"callback-in", "callback-back", "callback-in-1k", "callback-back-1k", "renewal", "pushes", "middleware", "proxy-get", "proxy-post", "token-endpoint", "proxy-allocations",
		"accounts-1", "accounts-1000", "accounts-10000", "binary", "binary-gin",
		"fleet-classic", "fleet-classic-no-overlap", "fleet-stable", "fleet-stable-no-overlap",
	} {
		row, err := r.Row(id)
		if err != nil {
			t.Error(err)
		} else if row.Cells[ours] == nil {
			t.Errorf("%s: nothing of ours", id)
		}
	}
	for _, row := range r.Rows {
		if row.Beaten() && row.Why == "" {
			t.Errorf("%s: a peer is better, and it is not said why", row.ID)
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
	if err != nil || order != "abbaab" || medians["a"].median[0] != 4 || medians["b"].median[0] != 3 || medians["a"].median[1] != 1 ||
		medians["a"].low[0] != 1 || medians["a"].high[0] != 5 {
		t.Errorf("turns: %v, order %s, %v", err, order, medians)
	}
}

func TestBetween(t *testing.T) {
	for _, test := range [][4]string{
		{"1 ns", "1 ns", "1 ns", ""},
		{"48.9 ns", "49.7 ns", "53.0 ns", "48.9–53.0"},
		{"900 ns", "1.20 µs", "2 µs", "900 ns–2 µs"},
		{"900 ns", "1.20 µs", "950 ns", "900 ns–950 ns"},
		{"1", "2", "3", "1–3"},
	} {
		if got := between(test[0], test[1], test[2]); got != test[3] {
			t.Errorf("%v: %q", test, got)
		}
	}
}

// TestCells marks what a peer has less of than this module.
func TestCells(t *testing.T) {
	printed := cells(exactly(map[string]sample{floor: {0, 1}, ours: {2.001, 2}, "a": {1, 3}, "b": {1.999, 2}}), duration, digits)
	for name, want := range map[string]string{floor: "0 ns; 1", ours: "2.00 ns; 2", "a": "**1 ns**; 3", "b": "2.00 ns; 2"} {
		if got := printed[name].String(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
