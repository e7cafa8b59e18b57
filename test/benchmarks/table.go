package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/test/benchmarks/figures"
)

// row is a line of the table.
type row = figures.Row

// floor is the column of what the thing costs at least.
const floor = figures.Floor

// result returns what the table shows.
func (b *bench) result(rows []row, took time.Duration) *figures.Result {
	r := &figures.Result{
		Date: time.Now().UTC().Format(time.DateOnly), Took: took.Round(time.Second).String(), Rounds: b.rounds, Rows: rows, LeftOut: b.leftOut,
		Machine: fmt.Sprintf("%s, %d cores, %s, %s/%s", cpu(), runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH),
		Columns: []figures.Column{{Name: floor}},
	}
	versions := versionsOf()
	for _, p := range peers {
		version := versions[p.module]
		if p.node {
			version = b.nodeVersion()
		}
		r.Columns = append(r.Columns, figures.Column{Name: p.name, Version: version})
	}
	return r
}

// versionsOf returns the versions of the modules that are linked.
func versionsOf() map[string]string {
	versions := make(map[string]string)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Replace == nil {
				versions[m.Path] = m.Version
			}
		}
	}
	return versions
}

func cpu() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "a CPU that does not tell its name"
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// median returns the middle one of values, or the mean of the two.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// duration prints nanoseconds with three digits.
func duration(ns float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if ns >= unit.size {
			return digits(ns/unit.size) + " " + unit.name
		}
	}
	return digits(ns) + " ns"
}

// size prints bytes.
func size(bytes float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if bytes >= unit.size {
			return digits(bytes/unit.size) + " " + unit.name
		}
	}
	return digits(bytes) + " B"
}

func digits(x float64) string {
	switch {
	case x >= 100 || x == float64(int(x)):
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}

// sample is what one round tells of one peer: several figures, of each of which
// less is better.
type sample []float64

// spread is what all rounds tell of one peer.
type spread struct{ median, low, high sample }

// exactly is for what was taken once, or can only be one figure.
func exactly(samples map[string]sample) map[string]spread {
	all := make(map[string]spread)
	for name, s := range samples {
		all[name] = spread{s, s, s}
	}
	return all
}

// turns takes a sample of every one of names in each round, and returns the
// medians and the bounds. Each round begins with another one.
func turns(rounds int, names []string, take func(name string) (sample, error)) (map[string]spread, error) {
	all := make(map[string][]sample)
	for round := range rounds {
		for i := range names {
			name := names[(i+round)%len(names)]
			s, err := take(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			all[name] = append(all[name], s)
		}
	}
	medians := make(map[string]spread)
	for name, samples := range all {
		var of spread
		for figure := range samples[0] {
			var values []float64
			for _, s := range samples {
				values = append(values, s[figure])
			}
			of.median = append(of.median, median(values))
			of.low, of.high = append(of.low, slices.Min(values)), append(of.high, slices.Max(values))
		}
		medians[name] = of
	}
	return medians, nil
}

// cells prints medians, a figure of each with a format. A peer's figure that is
// less than ours is marked, unless both are printed the same.
func cells(medians map[string]spread, formats ...func(float64) string) map[string]figures.Cell {
	printed := make(map[string]figures.Cell)
	for name, all := range medians {
		s := all.median
		for i, format := range formats[:min(len(s), len(formats))] {
			f := figures.Figure{Text: format(s[i]), Range: between(format(all.low[i]), format(s[i]), format(all.high[i]))}
			if us := medians[ours].median; name != floor && name != ours && i < len(us) {
				f.Better = s[i] < us[i] && f.Text != format(us[i])
			}
			printed[name] = append(printed[name], f)
		}
	}
	return printed
}

// between prints the lowest and the highest, without a unit that all three share;
// "" when they are printed the same.
func between(low, middle, high string) string {
	if low == high {
		return ""
	}
	from, unit, _ := strings.Cut(low, " ")
	_, same, _ := strings.Cut(middle, " ")
	to, last, _ := strings.Cut(high, " ")
	if same == unit && last == unit {
		return from + "–" + to
	}
	return low + "–" + high
}

// said is a cell of words.
func said(parts ...string) figures.Cell {
	var c figures.Cell
	for _, text := range parts {
		c = append(c, figures.Figure{Text: text})
	}
	return c
}
