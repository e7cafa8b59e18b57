package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestComments: in the packages that others can import, each exported name and each number
// has a comment, and no comment only repeats the name.
func TestComments(t *testing.T) {
	read := 0
	for _, folder := range slices.Sorted(maps.Keys(exported(t))) {
		names, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		c := newCommentCheck()
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(c.set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			c.files = append(c.files, file)
		}
		c.run()
		read += c.read
		for _, wrong := range c.found {
			t.Error(strings.TrimPrefix(wrong, root+string(filepath.Separator)))
		}
	}
	if read < 1400 {
		t.Errorf("only %d names were read", read)
	}
}

// TestCommentsSees gives the check what it has to find, and what it must not.
func TestCommentsSees(t *testing.T) {
	for name, c := range map[string]struct{ code, want string }{
		"func":                     {"func Open() {}", "Open has no comment"},
		"method":                   {"// T is odd.\ntype T int\nfunc (*T) Open() {}", "Open has no comment"},
		"method of a hidden type":  {"type t int\nfunc (t) Open() {}", ""},
		"method of a generic type": {"// T is odd.\ntype T[E any] int\nfunc (T[E]) Open() {}", "Open has no comment"},
		"type":                     {"type T int", "T has no comment"},
		"types in a group":         {"// These are odd.\ntype (\n\tT int // odd\n\tU int\n)", "U has no comment"},
		"const":                    {"const A = \"a\"", "A has no comment"},
		"commented const":          {"// A is odd.\nconst A = 1", ""},
		"group without lines":      {"// These are odd.\nconst (\n\tA = 1\n\tB = 2 // even\n)", "A has no comment"},
		"var":                      {"var A = 1", "A has no comment"},
		"field to fill in":         {"// T is odd.\ntype T struct{ A int; b int }\n// New is odd.\nfunc New(t *T) {}", "A has no comment"},
		"field of a field":         {"// T is odd.\ntype T struct {\n\tA []U // odd\n}\n// U is odd.\ntype U struct { B int }\n// New is odd.\nfunc New(t T) {}", "B has no comment"},
		"field of a result":        {"// T is odd.\ntype T struct{ A int }\n// New is odd.\nfunc New() (t T) { return }", ""},
		"named by a neighbour":     {"// These are odd.\nconst (\n\t// A and B are odd.\n\tA = 1\n\tB = 2\n)", ""},
		"named in a paragraph":     {"// These are odd.\nconst (\n\t// A and B are odd.\n\tA = 1\n\n\tB = 2\n)", "B has no comment"},
		"number":                   {"const most = 5 << 10", "most has no comment"},
		"duration":                 {"const wait = 5 * time.Second", "wait has no comment"},
		"numbers of a group":       {"// These are odd.\nconst (\n\tmost = 5\n\tleast = 1\n)", ""},
		"hidden text":              {"const text = \"a\"", ""},
		"enumeration":              {"const (\n\ta = iota\n\tb\n)", ""},
		"a repetition":             {"// OpenStore opens the store.\nfunc OpenStore() {}", "OpenStore: its comment only repeats the name"},
		"a repetition by fields":   {"// T is odd.\ntype T struct {\n\tAppID int // the appID\n}\n// New is odd.\nfunc New(t *T) {}", "AppID: its comment only repeats the name"},
		"of the receiver":          {"// T is odd.\ntype T int\n// Close closes the T.\nfunc (T) Close() {}", "Close: its comment only repeats the name"},
		"more than a repetition":   {"// OpenStore opens the store of a gateway.\nfunc OpenStore() {}", ""},
		"Chinese":                  {"// Store is 存储.\nfunc Store() {}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			check := newCommentCheck()
			file, err := parser.ParseFile(check.set, "a.go", "package a\n"+c.code, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			check.files = []*ast.File{file}
			check.run()
			switch {
			case c.want == "" && len(check.found) > 0, c.want != "" && (len(check.found) != 1 || !strings.HasSuffix(check.found[0], c.want)):
				t.Errorf("found %q, want %q", check.found, c.want)
			}
		})
	}
}

// commentCheck reads the comments of one package.
type commentCheck struct {
	set    *token.FileSet
	files  []*ast.File
	filled map[string]bool // types that users fill in
	read   int             // names
	found  []string
}

func newCommentCheck() *commentCheck {
	return &commentCheck{set: token.NewFileSet(), filled: map[string]bool{}}
}

func (c *commentCheck) run() {
	c.fill()
	for _, file := range c.files {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				receiver := ""
				if d.Recv != nil {
					if receiver = typeName(d.Recv.List[0].Type); !ast.IsExported(receiver) {
						continue
					}
				}
				c.name(d.Name, receiver, d.Doc)
			case *ast.GenDecl:
				var above paragraph
				for _, spec := range d.Specs {
					c.spec(d, spec, &above)
				}
			}
		}
	}
}

// fill finds the types that users fill in: exported functions take them, or they are in one
// of these.
func (c *commentCheck) fill() {
	fields := map[string][]ast.Expr{}
	var add func(ast.Expr)
	add = func(e ast.Expr) {
		if name := typeName(e); ast.IsExported(name) && !c.filled[name] {
			c.filled[name] = true
			for _, e := range fields[name] {
				add(e)
			}
		}
	}
	for _, file := range c.files {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					for _, f := range s.Fields.List {
						fields[spec.Name.Name] = append(fields[spec.Name.Name], f.Type)
					}
				}
			}
			return true
		})
	}
	for _, file := range c.files {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.IsExported() {
				for _, p := range f.Type.Params.List {
					add(p.Type)
				}
			}
		}
	}
}

// paragraph is the comments above the fields or values that no blank line parts.
type paragraph struct {
	end  int // the last line
	docs []*ast.CommentGroup
}

func (p *paragraph) add(set *token.FileSet, n ast.Node, doc *ast.CommentGroup) {
	begin := n.Pos()
	if doc != nil {
		begin = doc.Pos()
	}
	if set.Position(begin).Line > p.end+1 {
		p.docs = nil
	}
	p.end, p.docs = set.Position(n.End()).Line, append(p.docs, doc)
}

// naming returns the comment that speaks of a name, as "Nickname and Avatar are …" does.
func (p *paragraph) naming(name string) *ast.CommentGroup {
	for _, doc := range p.docs {
		if slices.Contains(commentWord.FindAllString(doc.Text(), -1), name) {
			return doc
		}
	}
	return nil
}

func (c *commentCheck) spec(d *ast.GenDecl, spec ast.Spec, above *paragraph) {
	one := d.Doc // of a declaration without a group
	if d.Lparen.IsValid() {
		one = nil
	}
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		c.name(spec.Name, "", one, spec.Doc, spec.Comment)
		if s, ok := spec.Type.(*ast.StructType); ok && c.filled[spec.Name.Name] {
			var fields paragraph
			for _, f := range s.Fields.List {
				fields.add(c.set, f, f.Doc)
				for _, name := range f.Names {
					c.name(name, "", f.Doc, f.Comment, fields.naming(name.Name))
				}
			}
		}
	case *ast.ValueSpec:
		above.add(c.set, spec, spec.Doc)
		for i, name := range spec.Names {
			c.name(name, "", one, spec.Doc, spec.Comment, above.naming(name.Name))
			if d.Tok == token.CONST && !name.IsExported() && i < len(spec.Values) && isNumber(spec.Values[i]) &&
				textOf(d.Doc, spec.Doc, spec.Comment, above.naming(name.Name)) == "" {
				c.wrong(name, "%s has no comment", name.Name)
			}
		}
	}
}

// name checks the comments of an exported name, of which one is enough.
func (c *commentCheck) name(name *ast.Ident, receiver string, comments ...*ast.CommentGroup) {
	if !name.IsExported() {
		return
	}
	c.read++
	switch comment := textOf(comments...); {
	case comment == "":
		c.wrong(name, "%s has no comment", name.Name)
	case repeats(comment, name.Name, receiver):
		c.wrong(name, "%s: its comment only repeats the name", name.Name)
	}
}

func (c *commentCheck) wrong(name *ast.Ident, format string, args ...any) {
	at := c.set.Position(name.Pos())
	c.found = append(c.found, fmt.Sprintf("%s:%d: ", at.Filename, at.Line)+fmt.Sprintf(format, args...))
}

func textOf(comments ...*ast.CommentGroup) string {
	var b strings.Builder
	for _, c := range comments {
		b.WriteString(c.Text()) // "" of nil
	}
	return strings.TrimSpace(b.String())
}

// typeName returns the name of a type of the same package, without what is around it.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ArrayType:
		return typeName(e.Elt)
	case *ast.Ellipsis:
		return typeName(e.Elt)
	case *ast.MapType:
		return typeName(e.Value)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	}
	return ""
}

// isNumber reports whether a value is written with numbers: 5, 64 << 10, 5 * time.Second.
func isNumber(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.INT || e.Kind == token.FLOAT
	case *ast.BinaryExpr:
		return isNumber(e.X) || isNumber(e.Y)
	case *ast.UnaryExpr:
		return isNumber(e.X)
	case *ast.ParenExpr:
		return isNumber(e.X)
	case *ast.SelectorExpr: // time.Minute
		x, ok := e.X.(*ast.Ident)
		return ok && x.Name == "time"
	}
	return false
}

var (
	commentWord = regexp.MustCompile(`[\p{L}\p{N}]+`)
	emptyWords  = strings.Fields("a an the this that it its is are be was of for to and returns return returned gives reports sets gets get set whether")
)

// repeats reports whether nothing is left of a comment without the words of the name, of
// the receiver, and those that say nothing.
func repeats(comment, name, receiver string) bool {
	known := map[string]bool{stem(name): true, stem(receiver): true}
	for _, w := range emptyWords {
		known[stem(w)] = true
	}
	for _, w := range slices.Concat(words(name), words(receiver)) {
		known[stem(w)] = true
	}
	for _, w := range commentWord.FindAllString(comment, -1) {
		if !known[stem(w)] {
			return false
		}
	}
	return true
}

// words splits a name: AppID is app and id, HTTPProxies is http and proxies.
func words(name string) []string {
	var list []string
	begin := 0
	upper := func(i int) bool { return i < len(name) && name[i] >= 'A' && name[i] <= 'Z' }
	for i := 1; i <= len(name); i++ {
		if i == len(name) || upper(i) && (!upper(i-1) || i+1 < len(name) && !upper(i+1)) {
			list = append(list, name[begin:i])
			begin = i
		}
	}
	return list
}

// stem cuts what English puts behind a word.
func stem(word string) string {
	word = strings.ToLower(word)
	for _, end := range []string{"ies", "ing", "es", "ed", "s", "e", "y"} {
		if short, ok := strings.CutSuffix(word, end); ok && len(short) > 2 {
			return short
		}
	}
	return word
}
