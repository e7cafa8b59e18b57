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
)

// row is a line of the table.
type row struct {
	what  string            // and in which unit
	cells map[string]string // by peer.name; floor is the floor's
	note  string            // below the table; "" for none
}

// floor is the column of what the thing costs at least.
const floor = "floor"

// closing says why some figures of peers are better.
const closing = `## Where a peer has the better figure

* **Current token.** chanxuehong/wechat loads a pointer that a timer replaces. zhongkong reads the clock as well, so that a process that was paused hands out no dead token.
* **Cold callers, restarts.** zhongkong opens a database, takes a lease and saves before the first caller has the token; a cache in memory, or a file without a lock, does none of that. It pays once in the life of a database.
* **Accounts.** The peers do nothing until they are asked. zhongkong's Keepers know their place in the schedule, and look for their tokens from the start.
* **Binary and modules.** zhongkong brings failure handling, the scheduler and the errcodes; the middleware brings Gin and SQLite, which is written in C.
* **Tokens issued by 8 processes.** zhongkong renews ahead of the end, which with lives of a second is soon; nobody waits for it.
`

// none stands where a peer has no such thing.
const none = "—"

// report returns the table as Markdown.
func report(rows []row, took time.Duration, rounds int) string {
	var s strings.Builder
	versions := versionsOf()
	s.WriteString("# Side by side\n\n")
	fmt.Fprintf(&s, "Made by `make bench-peers` on %s, in %s: %s, %d cores, %s, %s/%s.\n",
		time.Now().UTC().Format(time.DateOnly), took.Round(time.Second), cpu(), runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(&s, "All in one run, in turns, against one simulator of WeChat on loopback; medians of at least %d unless a note says otherwise.\n\n", rounds)

	s.WriteString("| |" + " " + floor + " |")
	for _, p := range peers {
		name := p.name
		if v := versions[p.module]; v != "" {
			name += " " + v
		}
		s.WriteString(" " + name + " |")
	}
	s.WriteString("\n|---|" + strings.Repeat("---|", len(peers)+1) + "\n")
	var notes []string
	for _, r := range rows {
		what := r.what
		if r.note != "" {
			i := slices.Index(notes, r.note)
			if i < 0 {
				notes = append(notes, r.note)
				i = len(notes) - 1
			}
			what += fmt.Sprintf(" [%d]", i+1)
		}
		s.WriteString("| " + what + " | " + cell(r, floor) + " |")
		for _, p := range peers {
			s.WriteString(" " + cell(r, p.name) + " |")
		}
		s.WriteString("\n")
	}
	s.WriteString("\n")
	for i, note := range notes {
		fmt.Fprintf(&s, "%d. %s\n", i+1, note)
	}
	s.WriteString("\n" + closing)
	return s.String()
}

func cell(r row, name string) string {
	if c := r.cells[name]; c != "" {
		return c
	}
	return none
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

// sample is what one round tells of one peer: several figures.
type sample []float64

// turns takes a sample of every one of names in each round, and returns the
// medians. Each round begins with another one.
func turns(rounds int, names []string, take func(name string) (sample, error)) (map[string]sample, error) {
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
	medians := make(map[string]sample)
	for name, samples := range all {
		for figure := range samples[0] {
			var values []float64
			for _, s := range samples {
				values = append(values, s[figure])
			}
			medians[name] = append(medians[name], median(values))
		}
	}
	return medians, nil
}

// cells prints medians.
func cells(medians map[string]sample, format func(name string, s sample) string) map[string]string {
	printed := make(map[string]string)
	for name, s := range medians {
		printed[name] = format(name, s)
	}
	return printed
}
