package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// TestGenerated compares every generated file with what would be generated now.
func TestGenerated(t *testing.T) {
	const root = "../.."
	files, err := Generate(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 6 {
		t.Errorf("%d files are generated", len(files))
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is out of date: run go generate ./internal/docs\n%s", name, cmp.Diff(want, string(got)))
		}
	}
}

// TestHandbook: each code has a heading to link to, its message, and what to do.
func TestHandbook(t *testing.T) {
	pages, err := handbook()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range pages {
		anchors := map[string]int{}
		for _, h := range Parse(text).Headings {
			anchors[h.Anchor]++
		}
		chinese := strings.Contains(name, "zh")
		for _, info := range errcode.All() {
			if n := anchors[fmt.Sprint(info.Code)]; n != 1 {
				t.Errorf("%s: %d has %d headings", name, info.Code, n)
			}
			for _, part := range []string{info.Text, info.Remedy, info.RemedyZH} {
				found := strings.Contains(text, prose(part)) || strings.Contains(text, "`"+part+"`")
				if wanted := part == info.Text || (part == info.RemedyZH) == chinese; found != wanted && part != "" {
					t.Errorf("%s: %q of %d: %v", name, part, info.Code, found)
				}
			}
		}
		at := errcode.AtTokenEndpoint(40001)
		if strings.Count(text, at.Remedy)+strings.Count(text, at.RemedyZH) != 2 {
			t.Errorf("%s: it does not say what 40001 of a token endpoint means", name)
		}
	}
}
