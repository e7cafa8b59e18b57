package docs_test

import (
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/zhongkong-go/zhongkong/internal/docs"
)

// notPaths look like paths of this repository and are not.
var notPaths = map[string]string{
	"callback/check": "an API of WeChat",
	"matrix.go":      "a variable of a workflow",
}

var (
	// slashed is a path of at least two names; it does not begin in the middle of a
	// URL, a variable or a longer path.
	slashed = regexp.MustCompile(`(?:^|[^\w/.:@$%~}-])((?:\.{1,2}/)*[\w.-]*[\w-](?:/[\w.*-]*[\w*-])+)`)
	// named is a file without its folder.
	named = regexp.MustCompile(`(?:^|[^\w/.*-])(\w[\w.-]*\.go)\b`)
	// imported is a package of this module.
	imported = regexp.MustCompile(`(?:^|[^/])` + regexp.QuoteMeta(docs.Module) + `/([\w./-]*\w)`) // not what https:// begins
	// release is the end of a nested module's tag.
	release = regexp.MustCompile(`(?:@|/v\d).*$`)
)

// TestNamesDifferInMoreThanCase: a module with two names that are the same to some file
// systems cannot be fetched.
func TestNamesDifferInMoreThanCase(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files").Output()
	if err != nil {
		t.Skip("left out: no repository: ", err)
	}
	seen := map[string]string{}
	for name := range strings.FieldsFuncSeq(string(out), func(r rune) bool { return r == '\n' }) {
		if other, ok := seen[strings.ToLower(name)]; ok {
			t.Errorf("%s and %s differ only in case", other, name)
		}
		seen[strings.ToLower(name)] = name
	}
	if len(seen) < 100 {
		t.Errorf("only %d files", len(seen))
	}
}

// TestPaths: every path of this repository that a page, a workflow, the Dockerfile, a
// compose file, a script or a comment in Go names exists.
func TestPaths(t *testing.T) {
	wrong, checked := missing(t, os.DirFS(root))
	if checked < 200 {
		t.Errorf("%d paths were found", checked)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// TestPathsSees gives the check the faults that it has to find.
func TestPathsSees(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		want       string // how the only fault ends; "" for none
	}{
		"right":               {"a.md", "`go run ./cmd/x`, cmd/x/main.go, cmd/*/main.go, main.go, https://x.com/cmd/y, /cmd/y, cmd/x/v0.1.0, and/or", ""},
		"of its own folder":   {"cmd/a.yaml", "see x/main.go and ../cmd/x", ""},
		"in code, no comment": {"cmd/x/b.go", "package x\n\nconst a = \"cmd/y\" // what cmd/x has", ""},
		"a package":           {"a.md", docs.Module + "/cmd/x@latest", ""},
		"a folder":            {"a.md", "\n(`cmd/y`)", "a.md:2: there is no cmd/y"},
		"a moved folder":      {"Dockerfile", "RUN go build ./chaos/x", "Dockerfile:1: there is no ./chaos/x"},
		"a command's folder":  {".github/workflows/ci.yml", "- run: cmd/run", "ci.yml:1: there is no cmd/run"},
		"a comment":           {"cmd/x/b.go", "// Package x is like cmd/y.\npackage x", "b.go:1: there is no cmd/y"},
		"a longer comment":    {"cmd/x/b.go", "package x\n\n/* It is\nlike cmd/y. */", "b.go:4: there is no cmd/y"},
		"a file":              {"a.md", "see `gone.go`", "a.md:1: there is no gone.go"},
		"another package":     {"cmd/x/b.go", "package x\n\n// See [" + docs.Module + "/y.Z].", "there is no package y"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong, _ := missing(t, fstest.MapFS{
				"cmd/x/main.go":            {Data: []byte("package main")},
				".github/workflows/ci.yml": {},
				c.file:                     {Data: []byte(c.text)},
			})
			switch {
			case c.want == "" && len(wrong) > 0, c.want != "" && len(wrong) != 1:
				t.Errorf("found %q, want %q", wrong, c.want)
			case c.want != "" && !strings.HasSuffix(wrong[0], c.want):
				t.Errorf("found %q, want %q", wrong[0], c.want)
			}
		})
	}
}

// missing returns the paths that do not exist, each with its place, and how many it
// looked at.
func missing(t *testing.T, files fs.FS) (wrong []string, checked int) {
	t.Helper()
	all := walk(t, files)
	for name := range all.paths {
		number := 0
		for line := range strings.Lines(readable(t, files, name)) {
			number++
			if strings.TrimSpace(line) == "" {
				continue
			}
			gone, n := all.missing(name, line)
			checked += n
			for _, what := range gone {
				wrong = append(wrong, fmt.Sprintf("%s:%d: there is no %s", name, number, what))
			}
		}
	}
	slices.Sort(wrong)
	return wrong, checked
}

// tree is every file and folder of the repository.
type tree struct {
	paths map[string]bool
	bases map[string]bool // their names without the folder
}

func walk(t *testing.T, files fs.FS) tree {
	t.Helper()
	all := tree{map[string]bool{}, map[string]bool{}}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && slices.Contains([]string{".git", ".cache", "node_modules", "dist"}, d.Name()) {
			return fs.SkipDir
		}
		all.paths[name], all.bases[path.Base(name)] = true, true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// missing returns the paths in a line of a file that do not exist, and how many it
// looked at.
func (all tree) missing(file, line string) (gone []string, checked int) {
	for _, m := range slashed.FindAllStringSubmatch(line, -1) {
		exists, ours := all.has(file, m[1])
		if ours {
			checked++
		}
		if ours && !exists {
			gone = append(gone, m[1])
		}
	}
	for _, m := range named.FindAllStringSubmatch(line, -1) {
		checked++
		if notPaths[m[1]] == "" && !all.bases[m[1]] {
			gone = append(gone, m[1])
		}
	}
	for _, m := range imported.FindAllStringSubmatch(line, -1) {
		checked++
		folder, base := path.Split(release.ReplaceAllString(m[1], ""))
		base, _, _ = strings.Cut(base, ".") // a name of the package
		if folder+base != "" && !all.paths[folder+base] {
			gone = append(gone, "package "+folder+base)
		}
	}
	return gone, checked
}

// has reports whether something that looks like a path, in a file, is one of this
// repository, and whether it exists.
func (all tree) has(file, named string) (exists, ours bool) {
	named = release.ReplaceAllString(named, "")
	if notPaths[named] != "" || strings.HasPrefix(named, ".cache/") || strings.HasPrefix(strings.TrimPrefix(named, ".ci/site/"), "dist/") { // what the tools write
		return true, false
	}
	clean := path.Clean(named)
	first, _, _ := strings.Cut(clean, "/")
	if !strings.HasPrefix(named, ".") && (!all.paths[first] || !strings.Contains(clean, "/")) {
		return false, false
	}
	for _, whole := range []string{clean, path.Join(path.Dir(file), named)} {
		if all.paths[whole] || strings.Contains(whole, "*") && all.glob(whole) {
			return true, true
		}
	}
	return false, true
}

func (all tree) glob(pattern string) bool {
	for name := range all.paths {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// readable returns what people read of a file, line by line: the whole page, workflow,
// Dockerfile, compose file or script, the comments of Go, "" of anything else.
func readable(t *testing.T, files fs.FS, name string) string {
	t.Helper()
	goes := strings.HasSuffix(name, ".go")
	if !goes && !slices.Contains([]string{".md", ".tmpl", ".yml", ".yaml"}, path.Ext(name)) &&
		!slices.Contains([]string{"Dockerfile", ".ci/run"}, name) {
		return ""
	}
	source, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	if !goes {
		return string(source)
	}
	var s scanner.Scanner
	set := token.NewFileSet()
	file := set.AddFile(name, -1, len(source))
	s.Init(file, source, nil, scanner.ScanComments)
	comments := slices.Repeat([]byte{' '}, len(source))
	for i, c := range source {
		if c == '\n' {
			comments[i] = c
		}
	}
	for {
		pos, kind, text := s.Scan()
		switch kind {
		case token.EOF:
			return string(comments)
		case token.COMMENT:
			copy(comments[file.Offset(pos):], text)
		}
	}
}
