package simulator_test

import (
	"os"
	"strings"
	"testing"
)

// TestAssumptionsAreListedTwice: whoever reads the package's documentation and
// whoever reads the page see the same list.
func TestAssumptionsAreListedTwice(t *testing.T) {
	read := func(path string) string {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	_, code, _ := strings.Cut(strings.ReplaceAll(read("doc.go"), "\n//", "\n"), "# Assumptions")
	inCode := bullets(code, "   - ")
	inPage := bullets(read("../docs/simulator-assumptions.md"), "- ")
	if len(inCode) < 40 {
		t.Fatalf("only %d assumptions found", len(inCode))
	}
	for i := range max(len(inCode), len(inPage)) {
		if i >= len(inCode) || i >= len(inPage) || inCode[i] != inPage[i] {
			t.Fatalf("assumption %d differs:\ndoc.go: %q\npage:   %q", i+1, at(inCode, i), at(inPage, i))
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// bullets returns the items of a list, on one line each.
func bullets(text, mark string) (all []string) {
	continued := strings.Repeat(" ", len(mark))
	open := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		item, begins := strings.CutPrefix(line, mark)
		switch {
		case begins:
			all, open = append(all, item), true
		case open && strings.HasPrefix(line, continued):
			all[len(all)-1] += " " + strings.TrimSpace(line)
		default:
			open = false
		}
	}
	return all
}
