package figures_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/test/benchmarks/figures"
)

const root = "../../.."

func recorded(t *testing.T) *figures.Result {
	t.Helper()
	r, err := figures.Read(filepath.Join(root, "test", "benchmarks", "RESULT.json"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRecorded compares every file that shows a figure with the recorded result.
func TestRecorded(t *testing.T) {
	r := recorded(t)
	if diff := cmp.Diff(r.Markdown(), read(t, "test/benchmarks/RESULT.md")); diff != "" {
		t.Errorf("test/benchmarks/RESULT.md is not what RESULT.json says: make bench-readme\n%s", diff)
	}
	for _, name := range figures.Files {
		text := read(t, name)
		filled, n, err := r.Fill(text)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case n != 1:
			t.Errorf("%s shows %d blocks of figures, want 1", name, n)
		case filled != text:
			t.Errorf("%s shows other figures than test/benchmarks/RESULT.json: make bench-readme\n%s", name, cmp.Diff(filled, text))
		}
	}
}

var measured = regexp.MustCompile(`[0-9] ?(ns|µs)\b`)

// TestNowhereElse looks for times that can only have been measured outside of the
// blocks, where nothing would compare them with a measurement.
func TestNowhereElse(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < len(figures.Files) {
		t.Fatalf("%d files", len(files))
	}
	for _, file := range files {
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		text := read(t, name)
		for {
			before, rest, found := strings.Cut(text, "<!-- bench:begin")
			if figure := measured.FindString(before); figure != "" {
				t.Errorf("%s says %q outside of its block", name, figure)
			}
			if !found {
				break
			}
			_, text, _ = strings.Cut(rest, "<!-- bench:end -->")
		}
	}
}

func made() *figures.Result {
	return &figures.Result{
		Date: "2026-01-02", Took: "1s", Machine: "a machine", Rounds: 5,
		Columns: []figures.Column{{Name: figures.Floor}, {Name: figures.Ours}, {Name: "peer", Version: "v1"}},
		Rows: []figures.Row{
			{
				ID: "store-calls", What: "calls", Note: "Counted.",
				Cells: map[string]figures.Cell{figures.Ours: {{Text: "4"}}, "peer": {{Text: "3", Better: true}, {Text: "5"}}},
				Why:   "It does less.",
			},
			{ID: "round-trips", What: "trips", Note: "Counted.", Cells: map[string]figures.Cell{figures.Ours: {{Text: "7"}}}, Why: "Not said."},
		},
	}
}

func TestMarkdown(t *testing.T) {
	const want = `
| | floor | zhongkong | peer v1 |
|---|---|---|---|
| calls [1] | — | 4 | **3**; 5 |
| trips [1] | — | 7 | — |

1. Counted.

## Where a peer has the better figure

* It does less.
`
	_, got, _ := strings.Cut(made().Markdown(), "is said below.\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRange shows the bounds of a figure in the whole table, and not in a block.
func TestRange(t *testing.T) {
	r := made()
	r.Rows[0].Cells["peer"][0].Range, r.Rows[0].Cells[figures.Ours][0].Range = "2–4", "3–5"
	if got := r.Markdown(); !strings.Contains(got, "| 4 (3–5) | **3** (2–4); 5 |") || !strings.Contains(got, "lowest and the highest round") {
		t.Error(got)
	}
	filled, _, err := r.Fill("<!-- bench:begin stores en -->\n<!-- bench:end -->\n")
	if err != nil || !strings.Contains(filled, "| 4 |\n") {
		t.Error(filled, err)
	}
}

func TestFill(t *testing.T) {
	const before, after = "above\n<!-- bench:begin stores en -->\n", "<!-- bench:end -->\nbelow\n"
	filled, n, err := made().Fill(before + "what was there\n" + after)
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	for _, want := range []string{before, "| | zhongkong |\n", " | 7 |\n", "2026-01-02, a machine", after} {
		if !strings.Contains(filled, want) {
			t.Errorf("no %q in\n%s", want, filled)
		}
	}
	if again, _, err := made().Fill(filled); err != nil || again != filled {
		t.Errorf("filled twice it is another (%v)", err)
	}
	r := made()
	r.Rows[1].Cells[figures.Ours][0].Text = "6"
	if other, _, err := r.Fill(filled); err != nil || other == filled {
		t.Errorf("another figure makes no difference (%v)", err)
	}
	for _, text := range []string{before, strings.Replace(before, "stores", "others", 1) + after, strings.Replace(before, " en",
		" fr", 1) + after} {
		if _, _, err := made().Fill(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
	r.Rows = nil
	if _, _, err := r.Fill(filled); err == nil || !strings.Contains(err.Error(), "make bench-peers") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}
