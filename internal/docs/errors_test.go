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
	if len(files) != 9 {
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
		for _, host := range errcode.Hosts() {
			for _, info := range errcode.AllOn(host) {
				want := 0
				if host == errcode.API && info.Class != errcode.Call {
					want = 1
				}
				if n := anchors[fmt.Sprint(info.Code)]; host == errcode.API && n != want {
					t.Errorf("%s: %d has %d headings, want %d", name, info.Code, n, want)
				}
				cause, remedy := info.Cause, info.Remedy
				if chinese {
					cause, remedy = info.CauseZH, info.RemedyZH
				}
				if want == 0 {
					cell := func(s string) string { return strings.ReplaceAll(prose(s), "|", `\|`) }
					row := fmt.Sprintf(" | `%s` | %s | %s | `%s` |\n", info.Class, cell(cause), cell(remedy), info.Source)
					if !strings.Contains(text, row) || !strings.Contains(text, fmt.Sprintf("\n| %d", info.Code)) {
						t.Errorf("%s: %s: %d has no row%s", name, host, info.Code, row)
					}
				} else if !strings.Contains(text, prose(cause)) || !strings.Contains(text, prose(remedy)) || !strings.Contains(text, "`"+info.Text+"`") && info.Text != "" {
					t.Errorf("%s: %d is not explained", name, info.Code)
				}
			}
		}
		for _, foreign := range []string{"微信系统繁忙", "WeChat is busy"} {
			if strings.Contains(text, foreign) != (chinese == strings.HasPrefix(foreign, "微信")) {
				t.Errorf("%s: the other language's %q", name, foreign)
			}
		}
		at := errcode.AtTokenEndpoint(40001)
		if strings.Count(text, at.Remedy)+strings.Count(text, at.RemedyZH) != 2 {
			t.Errorf("%s: it does not say what 40001 of a token endpoint means", name)
		}
	}
}
