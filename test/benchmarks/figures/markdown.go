package figures

import (
	"fmt"
	"slices"
	"strings"
)

// Markdown returns the whole table, as test/benchmarks/RESULT.md has it.
func (r *Result) Markdown() string {
	var s strings.Builder
	s.WriteString("# Side by side\n\n")
	fmt.Fprintf(&s, "Made by `make bench-peers` on %s, in %s: %s.\n", r.Date, r.Took, r.Machine)
	fmt.Fprintf(&s, "All in one run, in turns, against one simulator of WeChat on loopback; medians of at least %d unless a note says otherwise.\n", r.Rounds)
	if r.ranged() {
		s.WriteString("In brackets are the lowest and the highest round, where they differ.\n")
	}
	s.WriteString("The floor is what the thing costs at least. A peer's figure that is better than zhongkong's is in **bold**; why is said below.\n\n")

	header := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		header[i] = strings.TrimSpace(c.Name + " " + c.Version)
	}
	var notes []string
	var lines [][]string
	for _, row := range r.Rows {
		what := row.What
		if row.Note != "" {
			i := slices.Index(notes, row.Note)
			if i < 0 {
				notes = append(notes, row.Note)
				i = len(notes) - 1
			}
			what += fmt.Sprintf(" [%d]", i+1)
		}
		lines = append(lines, r.line(what, row, r.names(), true))
	}
	table(&s, header, lines)
	s.WriteString("\n")
	for i, note := range notes {
		fmt.Fprintf(&s, "%d. %s\n", i+1, note)
	}

	for _, text := range r.LeftOut {
		s.WriteString("\nLeft out: " + text + "\n")
	}
	var why []string
	for _, row := range r.Rows {
		if row.Beaten() && !slices.Contains(why, row.Why) {
			why = append(why, row.Why)
		}
	}
	if len(why) > 0 {
		s.WriteString("\n## Where a peer has the better figure\n\n")
		for _, sentence := range why {
			s.WriteString("* " + sentence + "\n")
		}
	}
	return s.String()
}

func (r *Result) names() []string {
	names := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		names[i] = c.Name
	}
	return names
}

// line returns a row as the cells of a line, beginning with what.
func (r *Result) line(what string, row Row, names []string, ranges bool) []string {
	line := []string{what}
	for _, name := range names {
		line = append(line, row.Cells[name].print(ranges))
	}
	return line
}

// table writes lines below the names of their columns, of which the first has none.
func table(s *strings.Builder, columns []string, lines [][]string) {
	s.WriteString("| | " + strings.Join(columns, " | ") + " |\n")
	s.WriteString("|" + strings.Repeat("---|", len(columns)+1) + "\n")
	for _, line := range lines {
		s.WriteString("| " + strings.Join(line, " | ") + " |\n")
	}
}
