package docs

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// built is a package as go list -export knows it.
type built struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// TestCircles: files that name one another's declarations in a loop are a sign that a type
// is missing. These packages once had circles of 13, 22 and 41 files.
func TestCircles(t *testing.T) {
	tier.Full(t)
	t.Parallel()
	packages := exported(t, "./custody", "./gateway", "./simulator")
	for path, most := range map[string]int{"custody": 5, "gateway": 8, "simulator": 10} {
		p := packages["github.com/zhongkong-go/zhongkong/"+path]
		for _, circle := range circles(uses(t, packages, p)) {
			if len(circle) > most {
				t.Errorf("%s: these %d files need one another, and at most %d should: %q", path, len(circle), most, circle)
			}
		}
	}
}

// exported returns packages and what they import, with the files that the compiler made.
func exported(t *testing.T, patterns ...string) map[string]built {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles"}, patterns...)...)
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]built{}
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		var p built
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
	return packages
}

// uses returns which files of a package name what the other ones declare.
func uses(t *testing.T, packages map[string]built, p built) map[string][]string {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(packages[path].Export) })}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	checked, err := config.Check(p.ImportPath, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	arrows := map[string][]string{}
	for name, object := range info.Uses {
		v, isVar := object.(*types.Var)
		_, isFunc := object.(*types.Func)
		outermost := object.Parent() == checked.Scope() || isFunc || isVar && v.IsField()
		from, to := fset.Position(name.Pos()).Filename, fset.Position(object.Pos()).Filename
		if object.Pkg() == checked && outermost && from != to {
			arrows[filepath.Base(from)] = append(arrows[filepath.Base(from)], filepath.Base(to))
		}
	}
	return arrows
}

// circles returns the sets of files that reach one another.
func circles(arrows map[string][]string) (all [][]string) {
	reach := map[string]map[string]bool{}
	var walk func(from, at string)
	walk = func(from, at string) {
		for _, next := range arrows[at] {
			if !reach[from][next] {
				reach[from][next] = true
				walk(from, next)
			}
		}
	}
	for from := range arrows {
		reach[from] = map[string]bool{}
		walk(from, from)
	}
	for from := range arrows {
		var circle []string
		for to := range reach[from] {
			if reach[to][from] {
				circle = append(circle, to)
			}
		}
		slices.Sort(circle)
		if len(circle) > 1 && circle[0] == from {
			all = append(all, circle)
		}
	}
	return all
}

// TestCirclesOf: what a circle is.
func TestCirclesOf(t *testing.T) {
	got := circles(map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": nil, "f": {"f"}})
	if want := [][]string{{"a", "b", "c"}}; !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("%q, want %q", got, want)
	}
}
