package errcode

import (
	"slices"
	"testing"
)

// TestFiles: every shared remedy is used, and none is written twice.
func TestFiles(t *testing.T) {
	used := make(map[string]int)
	for _, h := range hosts {
		for _, lines := range entries(h.file) {
			if len(lines) == 5 {
				used[lines[4]]++
			}
		}
	}
	var names []string
	for _, lines := range entries("shared") {
		if len(lines) != 3 || slices.Contains(names, lines[0]) || used[lines[0]] == 0 {
			t.Errorf("%q: %d lines, used %d times", lines[0], len(lines), used[lines[0]])
		}
		names = append(names, lines[0])
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in order: %v", names)
	}
}
