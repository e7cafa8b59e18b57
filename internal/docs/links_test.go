package docs_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/zhongkong-go/zhongkong/internal/docs"
)

// root is the top of the repository.
const root = "../.."

// hosts are those that links of the pages may lead to. If you link to another one, look
// at the page and add its host.
var hosts = []string{
	"127.0.0.1",
	"keepachangelog.com",
	"semver.org",
	"cyclonedx.org",
	"reproducible-builds.org",
	"mp.weixin.qq.com",
	"developers.weixin.qq.com",
	"github.com", // the badge of the workflow
	"pkg.go.dev", // the badge of the reference
}

// TestLinks follows every link of every page as far as that is possible without a
// network: the files, folders and anchors exist.
func TestLinks(t *testing.T) {
	tree := os.DirFS(root)
	all := pages(t, tree)
	if len(all) < 10 {
		t.Fatalf("%d pages found", len(all))
	}
	for _, wrong := range broken(tree, all) {
		t.Error(wrong)
	}
}

// TestTranslations: each Chinese page has the headings of its English one, in the same
// order, and each links to the other.
func TestTranslations(t *testing.T) {
	all := pages(t, os.DirFS(root))
	for _, wrong := range untranslated(all) {
		t.Error(wrong)
	}
}

// TestLinksSees gives the checks the faults that they have to find.
func TestLinksSees(t *testing.T) {
	for name, c := range map[string]struct{ files, want map[string]string }{
		"right": {files: map[string]string{
			"a.md":       "# A\n[b](docs/b.md#the-end) [c](docs/) [d](#a) [e](mailto:x@example.com) [f](https://semver.org/x) [zh](a.zh-CN.md)",
			"a.zh-CN.md": "# 甲\n[d](#甲) [en](a.md)", "docs/b.md": "# B\n## The end\n[up](../a.md#a)",
		}},
		"a file that is not there":     {files: map[string]string{"a.md": "[b](b.md)"}, want: map[string]string{"a.md:1": "there is no b.md"}},
		"an anchor that is not there":  {files: map[string]string{"a.md": "\n[b](b.md#x)", "b.md": "# Y"}, want: map[string]string{"a.md:2": "b.md has no heading #x"}},
		"an anchor of its own":         {files: map[string]string{"a.md": "[b](#x)"}, want: map[string]string{"a.md:1": "a.md has no heading #x"}},
		"a foreign host":               {files: map[string]string{"a.md": "[b](https://example.com/)"}, want: map[string]string{"a.md:1": "example.com is none of the hosts"}},
		"out of the tree":              {files: map[string]string{"a.md": "[b](../b.md)"}, want: map[string]string{"a.md:1": "leads out of the tree"}},
		"an absolute path":             {files: map[string]string{"a.md": "[b](/b.md)", "b.md": ""}, want: map[string]string{"a.md:1": "begins with a slash"}},
		"another case of letters":      {files: map[string]string{"a.md": "[b](B.md)", "b.md": ""}, want: map[string]string{"a.md:1": "there is no B.md"}},
		"a translation of nothing":     {files: map[string]string{"a.zh-CN.md": ""}, want: map[string]string{"a.zh-CN.md": "there is no a.md"}},
		"a translation that is older":  {files: map[string]string{"a.md": "# A\n## B\n[](a.zh-CN.md)", "a.zh-CN.md": "# 甲\n[](a.md)"}, want: map[string]string{"a.zh-CN.md": "1 headings, a.md has 2"}},
		"a translation in other order": {files: map[string]string{"a.md": "# A\n## B\n### C\n[](a.zh-CN.md)", "a.zh-CN.md": "# 甲\n### 丙\n## 乙\n[](a.md)"}, want: map[string]string{"a.zh-CN.md:2": "level 3, in a.md it is 2"}},
		"no way between the two":       {files: map[string]string{"a.md": "# A", "a.zh-CN.md": "# 甲\n[](a.md)"}, want: map[string]string{"a.md": "has no link to a.zh-CN.md"}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for name, text := range c.files {
				tree[name] = &fstest.MapFile{Data: []byte(text)}
			}
			all := pages(t, tree)
			found := append(broken(tree, all), untranslated(all)...)
			if len(found) != len(c.want) {
				t.Errorf("found %q, want %v", found, c.want)
			}
			for place, text := range c.want {
				if !slices.ContainsFunc(found, func(wrong string) bool {
					return strings.HasPrefix(wrong, place+":") && strings.Contains(wrong, text)
				}) {
					t.Errorf("found %q, want %s: %s", found, place, text)
				}
			}
		})
	}
}

// pages reads every page of the tree.
func pages(tb testing.TB, tree fs.FS) map[string]docs.Page {
	tb.Helper()
	found := map[string]docs.Page{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata", "dist"}, d.Name()):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, ".md"):
			text, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			found[name] = docs.Parse(string(text))
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

func broken(tree fs.FS, all map[string]docs.Page) (wrong []string) {
	for name, page := range all {
		for _, link := range page.Links {
			if why := follow(tree, all, name, link.Target); why != "" {
				wrong = append(wrong, fmt.Sprintf("%s:%d: %s: %s", name, link.Line, link.Target, why))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// follow returns why a link leads nowhere, "" when it does not.
func follow(tree fs.FS, all map[string]docs.Page, from, target string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return err.Error()
	case u.Scheme == "mailto":
		return ""
	case u.Scheme != "" || u.Host != "":
		if !slices.Contains(hosts, u.Hostname()) {
			return u.Hostname() + " is none of the hosts that links may lead to"
		}
		return ""
	case strings.HasPrefix(u.Path, "/"):
		return "it begins with a slash, which is another place in each reader"
	}
	to := from
	if u.Path != "" {
		to = path.Join(path.Dir(from), u.Path)
	}
	if !fs.ValidPath(to) {
		return "it leads out of the tree"
	}
	if !exists(tree, to) {
		return "there is no " + to
	}
	if u.Fragment == "" {
		return ""
	}
	page, ok := all[to]
	if !ok {
		return to + " is no page, and has no headings"
	}
	if !slices.ContainsFunc(page.Headings, func(h docs.Heading) bool { return h.Anchor == u.Fragment }) {
		return to + " has no heading #" + u.Fragment
	}
	return ""
}

// exists also minds the case of letters, which some file systems do not.
func exists(tree fs.FS, name string) bool {
	if name == "." {
		return true
	}
	entries, err := fs.ReadDir(tree, path.Dir(name))
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == path.Base(name) })
}

func untranslated(all map[string]docs.Page) (wrong []string) {
	for name, page := range all {
		base, ok := strings.CutSuffix(name, ".zh-CN.md")
		if !ok {
			continue
		}
		if _, ok := all[base+".md"]; !ok {
			base = path.Base(base) // GitHub wants some pages at the top
		}
		other, ok := all[base+".md"]
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s: there is no %s.md that it could be the translation of", name, base))
			continue
		}
		if n, m := len(page.Headings), len(other.Headings); n != m {
			wrong = append(wrong, fmt.Sprintf("%s: %d headings, %s.md has %d", name, n, base, m))
		} else {
			for i, h := range page.Headings {
				if h.Level != other.Headings[i].Level {
					wrong = append(wrong, fmt.Sprintf("%s:%d: %q is of level %d, in %s.md it is %d", name, h.Line, h.Text, h.Level, base,
						other.Headings[i].Level))
					break
				}
			}
		}
		for from, to := range map[string]string{name: base + ".md", base + ".md": name} {
			if !slices.ContainsFunc(all[from].Links, func(l docs.Link) bool { return path.Join(path.Dir(from), l.Target) == to }) {
				wrong = append(wrong, fmt.Sprintf("%s: it has no link to %s", from, to))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}
