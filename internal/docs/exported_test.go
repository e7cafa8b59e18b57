package docs_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mostNames is how many lines "go doc -short" may print of a package: types, functions,
// and constants and variables by their groups. Other packages may have 60.
var mostNames = map[string]int{"custody": 80, "callback": 100, "gateway": 40}

// TestFewNames: a package exports no more than a reader can look through.
func TestFewNames(t *testing.T) {
	all := exported(t)
	for _, folder := range slices.Sorted(maps.Keys(all)) {
		most := mostNames[folder]
		if most == 0 {
			most = 60
		}
		n := all[folder].names
		t.Logf("%-24s %3d of %d", folder, n, most)
		if n > most {
			t.Errorf("%s exports %d names, more than %d: does somebody outside of the package need all of them?", folder, n, most)
		}
	}
}

// TestExamples: each package that others can import has an example.
func TestExamples(t *testing.T) {
	all := exported(t)
	if len(all) < 25 {
		t.Errorf("only %d packages", len(all))
	}
	for _, folder := range slices.Sorted(maps.Keys(all)) {
		if all[folder].examples == 0 {
			t.Errorf("%s has no example: write a func Example… in its example_test.go", folder)
		}
	}
}

type exports struct{ names, examples int }

// exported returns what the packages export that other modules can import, by their folder.
func exported(t *testing.T) map[string]exports {
	t.Helper()
	all := map[string]exports{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case name != root && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"internal", "cmd", "examples", "test", "testdata"}, d.Name())):
			return fs.SkipDir
		}
		found, err := exportsOf(name)
		folder, _ := filepath.Rel(root, name)
		if found.names > 0 {
			all[filepath.ToSlash(folder)] = found
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func exportsOf(folder string) (exports, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return exports{}, err
	}
	var found exports
	var files []*ast.File
	set := token.NewFileSet()
	for _, name := range names {
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return exports{}, err
		}
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, file)
			continue
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example") {
				found.examples++
			}
		}
	}
	if len(files) == 0 {
		return exports{}, nil
	}
	p, err := doc.NewFromFiles(set, files, folder)
	if err != nil {
		return exports{}, err
	}
	found.names = len(p.Consts) + len(p.Vars) + len(p.Funcs)
	for _, typ := range p.Types {
		found.names += 1 + len(typ.Consts) + len(typ.Vars) + len(typ.Funcs)
	}
	return found, nil
}
