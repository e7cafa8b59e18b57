package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/docs"
)

// newest returns the newest version that CHANGELOG.md has: v0.1.0.
func newest(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^## (\d+\.\d+\.\d+\S*) - \d{4}-\d\d-\d\d$`).FindSubmatch(text)
	if found == nil {
		t.Fatal("CHANGELOG.md has no version with its date")
	}
	return "v" + string(found[1])
}

// TestVersions: the pages name the newest version of CHANGELOG.md, as @latest is another one
// every day and none before the first tag; so do the modules of adapters, whose users do not
// see their replace.
func TestVersions(t *testing.T) {
	want := newest(t)
	named := 0
	for name, page := range pages(t, os.DirFS(root)) {
		for _, block := range page.Blocks {
			for _, at := range regexp.MustCompile(regexp.QuoteMeta(docs.Module)+`[\w/-]*@(\S+)`).FindAllStringSubmatch(block.Text, -1) {
				named++
				if at[1] != want {
					t.Errorf("%s names %s, the newest version is %s", name, at[0], want)
				}
			}
			if strings.Contains(block.Text, "go get "+docs.Module+"\n") {
				t.Errorf("%s: a go get without a version", name)
			}
		}
	}
	if named < 8 {
		t.Errorf("only %d versions were found", named)
	}
	modules, err := filepath.Glob(filepath.Join(root, "adapters", "*", "go.mod"))
	if err != nil || len(modules) < 3 {
		t.Fatal(modules, err)
	}
	for _, path := range modules {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\t"+docs.Module+" "+want+"\n") {
			t.Errorf("%s does not require %s", path, want)
		}
	}
}
