package docs

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// listed is a package: a line of go list, or what its files import.
type listed struct {
	standard bool
	imports  []string
}

// TestImports compares the code with the import table: what go list knows of the main
// module, with everything that is linked, and what any file of any module imports,
// whatever system it is built for.
func TestImports(t *testing.T) {
	const root = "../.."
	table, err := Imports()
	if err != nil {
		t.Fatal(err)
	}
	packages := goList(t, root)
	if _, ok := packages[Module+"/custody"]; !ok {
		t.Fatal("go list does not know the package custody")
	}
	for name, imports := range fileImports(t, os.DirFS(root)) {
		p := packages[name]
		p.imports = append(p.imports, imports...)
		packages[name] = p
	}
	for _, violation := range violations(table, packages) {
		t.Error(violation)
	}
	for i, rule := range table {
		for _, folder := range rule.Folders {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(packages)), func(name string) bool {
				of, ours := folderOf(name)
				place, ok := table.Of(of)
				return ours && ok && place == i && matches(folder, of)
			}) {
				t.Errorf("imports.txt has a line for %s, where there is no code", folder)
			}
		}
	}
}

func goList(t *testing.T, root string) map[string]listed {
	t.Helper()
	var failed bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{.ImportPath}} {{.Standard}} {{join .Imports " "}}`, "./...", "./.ci/release")
	cmd.Dir, cmd.Stderr = root, &failed
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &failed)
	}
	packages := make(map[string]listed)
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		packages[fields[0]] = listed{standard: fields[1] == "true", imports: fields[2:]}
	}
	return packages
}

// fileImports returns what the files of each folder import, apart from tests. Every
// module's path begins with the main one's and continues with its folder.
func fileImports(t *testing.T, tree fs.FS) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".cache", "node_modules", "testdata", "dist"}, d.Name()):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := path.Join(Module, path.Dir(name))
		found[folder] = append(found[folder], []string{}...)
		for _, i := range file.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if _, ours := folderOf(imported); ours {
				found[folder] = append(found[folder], imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestImportsSees gives the check the faults that it has to find.
func TestImportsSees(t *testing.T) {
	const m = Module + "/"
	table, err := Imports()
	if err != nil {
		t.Fatal(err)
	}
	one := func(folder string, imports ...string) map[string]listed {
		return map[string]listed{m + folder: {imports: imports}}
	}
	for name, test := range map[string]struct {
		packages map[string]listed
		want     string
	}{
		"custody imports gin": {map[string]listed{m + "custody": {imports: []string{"gin"}}, "gin": {}}, "custody links gin"},
		"custody links it through another": {
			map[string]listed{m + "custody": {imports: []string{"a"}}, "a": {standard: true, imports: []string{"gin"}}, "gin": {}},
			"custody links gin",
		},
		"custody imports callback":    {one("custody", m+"callback"), "imports callback"},
		"custody imports the proof":   {one("custody", m+"custody/proof"), "imports custody/proof"},
		"platform imports callback":   {one("platform", m+"callback"), "imports callback"},
		"a store imports another":     {one("store/redis", m+"store/memory"), "imports store/memory"},
		"store imports an engine":     {one("store", m+"store/memory"), "imports store/memory"},
		"the gateway opens a store":   {one("gateway", m+"store/open"), "gateway imports store/open"},
		"the gateway imports a child": {one("gateway", m+"gateway/console"), "gateway imports gateway/console"},
		"metrics import callback":     {one("gateway/metrics", m+"callback"), "gateway/metrics imports callback"},
		"a source imports platform":   {one("gateway/source", m+"platform"), "gateway/source imports platform"},
		"an adapter imports platform": {one("adapters/silenceper", m+"platform"), "imports platform"},
		"a test helper uses docs":     {one("internal/test/bottest", m+"internal/docs"), "imports internal/docs"},
		"product code uses a test's":  {one("simulator/simtest", m+"internal/test/bottest"), "imports internal/test/bottest"},
		"the command uses a test's":   {one("cmd/zhongkong", m+"internal/test/bottest"), "imports internal/test/bottest"},
		"an example uses the command": {one("examples/basic", m+"cmd/zhongkong/internal/doctor"), ""},
		"the command uses an example": {one("cmd/zhongkong", m+"examples/internal"), "imports examples/internal"},
		"nobody imports the tests":    {one("internal/test/bottest", m+"test/benchmarks/figures"), "imports test/benchmarks/figures"},
		"middleware links Redis": {
			map[string]listed{
				m + "middleware/wechat": {imports: []string{m + "store/sqlite"}},
				m + "store/sqlite":      {imports: []string{"github.com/redis/go-redis/v9"}},
			}, "middleware/wechat links github.com/redis/go-redis/v9",
		},
		"the gateway links Prometheus": {
			map[string]listed{
				m + "gateway":         {imports: []string{"github.com/prometheus/client_golang/prometheus"}},
				m + "gateway/metrics": {imports: []string{m + "gateway", "github.com/prometheus/client_golang/prometheus"}},
			}, "gateway links github.com/prometheus/client_golang/prometheus",
		},
		"a folder without a line":     {one("util"), "util has no line"},
		"cgo in the standard library": {map[string]listed{m + "custody": {imports: []string{"net"}}, "net": {standard: true, imports: []string{"C"}}}, ""},
		"right": {
			map[string]listed{
				m + "custody": {imports: []string{"fmt"}}, "fmt": {standard: true},
				m + "cmd/zhongkong":   {imports: []string{m + "custody", m + "cmd/zhongkong/internal/doctor", "kong"}},
				m + "test/benchmarks": {imports: []string{m + "internal/test/race", m + "gateway", m + "test/benchmarks/figures"}},
			}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(violations(table, test.packages), "\n")
			if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("violations %q, want %q", got, test.want)
			}
		})
	}
}

// TestTableSees: a table that is not in the order of the layers, and so could have a
// cycle, is refused.
func TestTableSees(t *testing.T) {
	for text, want := range map[string]string{
		"a :\nb : a ; std\nc/... : a c/... ; never x y\nd : all\n": "",
		"a : b\nb :\n":      "imports b, which no line above it has",
		"a : b\nb : a\n":    "imports b, which no line above it has",
		"a b\n":             "is not of the form",
		" : b\n":            "is not of the form",
		"a : ; standard\n":  "neither std nor never",
		"a : ; never\n":     "neither std nor never",
		"a/... :\nb : a/c":  "",
		"a/b :\nb : a/...":  "imports a/..., which no line above it has",
		"a : # b\nb : a #c": "",
	} {
		_, err := parseTable(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func violations(table Table, packages map[string]listed) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		folder, ours := folderOf(name)
		if !ours {
			continue
		}
		place, ok := table.Of(folder)
		if !ok {
			found = append(found, folder+" has no line in imports.txt")
			continue
		}
		for _, imported := range slices.Compact(slices.Sorted(slices.Values(packages[name].imports))) {
			if other, ours := folderOf(imported); ours && !table.Allows(place, other) {
				found = append(found, fmt.Sprintf("%s imports %s, which imports.txt does not allow", folder, other))
			}
		}
		for _, linked := range closure(packages, name) {
			_, ours := folderOf(linked)
			foreign := table[place].Std && !ours && !packages[linked].standard
			banned := slices.ContainsFunc(
				table[place].Never,
				func(prefix string) bool { return linked == prefix || strings.HasPrefix(linked, prefix+"/") },
			)
			if foreign || banned {
				found = append(found, fmt.Sprintf("%s links %s, which imports.txt does not allow", folder, linked))
			}
		}
	}
	return found
}

// closure returns what a package links, sorted.
func closure(packages map[string]listed, name string) []string {
	seen := make(map[string]bool)
	var visit func(string)
	visit = func(name string) {
		for _, imported := range packages[name].imports {
			if imported == "C" { // cgo, as in net
				continue
			}
			if _, known := packages[imported]; !known && packages[name].standard {
				imported = "vendor/" + imported // the standard library's copies
			}
			if !seen[imported] {
				seen[imported] = true
				visit(imported)
			}
		}
	}
	visit(name)
	return slices.Sorted(maps.Keys(seen))
}

// folderOf returns the folder of a package of this repository.
func folderOf(name string) (folder string, ours bool) {
	if name == Module {
		return ".", true
	}
	return strings.CutPrefix(name, Module+"/")
}
