package docs

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// onePage is how many lines the pages may have that are read at one sitting.
var onePage = map[string]int{"ARCHITECTURE.md": 90, "README.md": 180, "README.zh-CN.md": 180}

// TestOnePage: pages that have to be short stay short.
func TestOnePage(t *testing.T) {
	for name, limit := range onePage {
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > limit {
			t.Errorf("%s has %d lines, more than %d: move what not every reader needs to docs", name, n, limit)
		}
	}
}

// TestDecisions: each page of a decision has its title, date and room, and fits on one
// screen. TestGenerated compares the index with them.
func TestDecisions(t *testing.T) {
	tree := os.DirFS("../..")
	index, err := decisions(tree)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(index, "\n| 20"); n < 80 {
		t.Errorf("%d decisions", n)
	}
	for _, link := range Parse(index).Links {
		text, err := os.ReadFile("../../docs/decisions/" + link.Target)
		if err != nil {
			t.Error(err)
		} else if n := strings.Count(string(text), "\n"); n > 30 {
			t.Errorf("%s has %d lines", link.Target, n)
		}
	}
}

// TestDecisionsSees gives the index the faults that it has to find.
func TestDecisionsSees(t *testing.T) {
	const right = "# One wrapper\n\n2026-01-31 · [custody](../README.md#custody)\n\nText.\n"
	for name, c := range map[string]struct{ file, text, want string }{
		"right":            {"custody/a.md", right, ""},
		"without a date":   {"custody/a.md", strings.Replace(right, "2026-01-31", "today", 1), "does not begin"},
		"without a title":  {"custody/a.md", strings.TrimPrefix(right, "# One wrapper\n\n"), "does not begin"},
		"without a text":   {"custody/a.md", strings.TrimSuffix(right, "Text.\n"), "does not begin"},
		"of another room":  {"stores/a.md", right, "does not begin"},
		"of no known room": {"attic/a.md", strings.ReplaceAll(right, "custody", "attic"), "none of the rooms"},
	} {
		t.Run(name, func(t *testing.T) {
			index, err := decisions(fstest.MapFS{"docs/decisions/" + c.file: {Data: []byte(c.text)}})
			switch {
			case c.want == "" && (err != nil || !strings.Contains(index, "\n## custody\n\n| decided | what |\n|---|---|\n| 2026-01-31 | [One wrapper](custody/a.md) |\n")):
				t.Errorf("%q, %v", index, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}
