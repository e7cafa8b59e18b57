// Package figures knows the recorded result of test/benchmarks/, and how the READMEs
// and docs show it: benchmarks writes it, and a test here compares whatever shows
// a figure with it.
//
// What is shown stands between two lines of a Markdown file, and everything
// between them is made by [Result.Fill]:
//
//	<!-- bench:begin readme en -->
//	<!-- bench:end -->
package figures

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Result is one run of benchmarks: one table.
type Result struct {
	Date    string   `json:"date"`    // such as 2026-11-23
	Took    string   `json:"took"`    // such as 7m57s
	Machine string   `json:"machine"` // CPU, cores, Go, system
	Rounds  int      `json:"rounds"`  // at least so many, of which the median counts
	Columns []Column `json:"columns"` // floor, zhongkong, then the peers
	Rows    []Row    `json:"rows"`
	LeftOut []string `json:"left_out,omitempty"` // what was not measured, and why
}

// The columns that are no peer's.
const (
	Floor = "floor"     // what the thing costs at least
	Ours  = "zhongkong" // this module
)

// Column is one of those that were measured.
type Column struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // "" for the floor and this module
}

// Row is one thing that was measured.
type Row struct {
	ID    string          `json:"id"`   // by which docs choose it
	What  string          `json:"what"` // and in which units
	Note  string          `json:"note,omitempty"`
	Cells map[string]Cell `json:"cells"`         // by Column.Name
	Why   string          `json:"why,omitempty"` // a peer has a better figure
}

// Cell is what was measured of one of them: a figure for each part of What.
type Cell []Figure

// Figure is printed as it was when it was measured.
type Figure struct {
	Text   string `json:"text"`
	Range  string `json:"range,omitempty"`  // lowest and highest round, where they differ
	Better bool   `json:"better,omitempty"` // than this module's; never of the floor
}

// none stands where somebody has no such thing.
const none = "—"

func (c Cell) String() string { return c.print(false) }

// print prints the figures, with their ranges or without.
func (c Cell) print(ranges bool) string {
	if len(c) == 0 {
		return none
	}
	parts := make([]string, len(c))
	for i, f := range c {
		parts[i] = f.Text
		if f.Better {
			parts[i] = "**" + f.Text + "**"
		}
		if ranges && f.Range != "" {
			parts[i] += " (" + f.Range + ")"
		}
	}
	return strings.Join(parts, "; ")
}

// ranged reports whether a figure has a range.
func (r *Result) ranged() bool {
	for _, row := range r.Rows {
		for _, c := range row.Cells {
			if slices.ContainsFunc(c, func(f Figure) bool { return f.Range != "" }) {
				return true
			}
		}
	}
	return false
}

// Beaten reports whether a peer has a better figure.
func (r Row) Beaten() bool {
	for _, c := range r.Cells {
		for _, f := range c {
			if f.Better {
				return true
			}
		}
	}
	return false
}

// Row returns the row with that ID.
func (r *Result) Row(id string) (Row, error) {
	for _, row := range r.Rows {
		if row.ID == id {
			return row, nil
		}
	}
	return Row{}, fmt.Errorf("figures: the recorded result has no row %q: make bench-peers", id)
}

// Read reads the file that benchmarks wrote.
func Read(path string) (*Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Result)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("figures: %s: %w", path, err)
	}
	return r, nil
}

// JSON returns what Read reads.
func (r *Result) JSON() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "\t")
	return append(data, '\n'), err
}
