package docs

import (
	"fmt"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Program is what a block of Go contains.
type Program struct {
	Whole   bool     // it is a file with a package clause
	Imports []string // of a whole file
}

// Go parses a block of Go: a whole file, declarations or statements.
func (b Block) Go() (Program, error) {
	files := token.NewFileSet()
	if strings.Contains("\n"+b.Text, "\npackage ") {
		file, err := parser.ParseFile(files, "", b.Text, parser.SkipObjectResolution)
		if err != nil {
			return Program{Whole: true}, fmt.Errorf("not Go: %w", err)
		}
		program := Program{Whole: true}
		for _, i := range file.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return program, err
			}
			program.Imports = append(program.Imports, path)
		}
		return program, nil
	}
	var failed error
	for _, form := range []string{"package p\nfunc _() {\n%s\n}", "package p\n%s"} {
		_, err := parser.ParseFile(files, "", fmt.Sprintf(form, b.Text), parser.SkipObjectResolution)
		if err == nil {
			return Program{}, nil
		}
		if failed == nil {
			failed = fmt.Errorf("not Go: %w", err)
		}
	}
	return Program{}, failed
}

// Foreign reports whether the program needs an SDK that the main module does not
// require, so that a nested module has to compile it.
func (p Program) Foreign() bool {
	return slices.ContainsFunc(p.Imports, func(path string) bool {
		return slices.ContainsFunc([]string{
			"github.com/silenceper/", "github.com/ArtisanCloud/", "github.com/chanxuehong/", "github.com/fastwego/",
			Module + "/adapters/",
		}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
	})
}

var (
	// shell is a comment, an operator between commands, or a word.
	shell      = regexp.MustCompile(`#.*|[|;&]+|(?:\$\((?:[^()]|\([^()]*\))*\)|'[^']*'|"[^"]*"|[^\s|;&'"])+`)
	quotes     = regexp.MustCompile(`'([^']*)'|"([^"]*)"`)
	assignment = regexp.MustCompile(`^[A-Z0-9_]+=`)
)

// Commands returns the command lines of a block of shell as words: without comments,
// redirections and leading assignments, one for each part of a pipe or list. $NAME and $(…) are
// not expanded.
func (b Block) Commands() [][]string {
	var all [][]string
	for line := range strings.Lines(strings.ReplaceAll(b.Text, "\\\n", " ")) {
		var words []string
		for _, token := range append(shell.FindAllString(line, -1), ";") {
			switch {
			case strings.HasPrefix(token, "#"), strings.HasPrefix(token, ">"):
			case strings.Trim(token, "|;&") == "":
				if len(words) > 0 && words[0] != "export" {
					all = append(all, words)
				}
				words = nil
			case len(words) == 0 && assignment.MatchString(token):
			default:
				words = append(words, quotes.ReplaceAllString(token, "$1$2"))
			}
		}
	}
	return all
}
