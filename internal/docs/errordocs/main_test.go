package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/docs/markdown"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// TestPagesAreFresh compares the pages with what the table gives now.
func TestPagesAreFresh(t *testing.T) {
	for name, text := range files {
		want, err := render(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("docs/%s is not what the table gives: run go generate ./platform/errcode", name)
		}
	}
}

// TestEveryCode: each code has a heading to link to, its message, and what to do.
func TestEveryCode(t *testing.T) {
	folder := t.TempDir()
	if err := write(folder); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		anchors := map[string]int{}
		for _, h := range markdown.Parse(string(text)).Headings {
			anchors[h.Anchor]++
		}
		for _, info := range errcode.All() {
			if n := anchors[fmt.Sprint(info.Code)]; n != 1 {
				t.Errorf("%s: %d has %d headings", name, info.Code, n)
			}
			for _, part := range []string{info.Text, info.Remedy, info.RemedyZH} {
				found := strings.Contains(string(text), prose(part)) || strings.Contains(string(text), "`"+part+"`")
				if wanted := part == info.Text || (part == info.RemedyZH) == strings.Contains(name, "zh"); found != wanted && part != "" {
					t.Errorf("%s: %q of %d: %v", name, part, info.Code, found)
				}
			}
		}
		if strings.Count(string(text), errcode.AtTokenEndpoint(40001).Remedy)+strings.Count(string(text), errcode.AtTokenEndpoint(40001).RemedyZH) != 2 {
			t.Errorf("%s: 40001 of a token endpoint is not told apart", name)
		}
	}
}
