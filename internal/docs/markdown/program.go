package markdown

import (
	"fmt"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// Go parses a block of Go: a whole file, which has a line that begins with package,
// declarations or statements. Of a whole file it returns the imports.
func (b Block) Go() (imports []string, whole bool, err error) {
	files := token.NewFileSet()
	if strings.Contains("\n"+b.Text, "\npackage ") {
		file, err := parser.ParseFile(files, "", b.Text, parser.SkipObjectResolution)
		if err != nil {
			return nil, true, fmt.Errorf("no Go: %w", err)
		}
		for _, i := range file.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return nil, true, err
			}
			imports = append(imports, path)
		}
		return imports, true, nil
	}
	var failed error
	for _, form := range []string{"package p\nfunc _() {\n%s\n}", "package p\n%s"} {
		if _, err := parser.ParseFile(files, "", fmt.Sprintf(form, b.Text), parser.SkipObjectResolution); err == nil {
			return nil, false, nil
		} else if failed == nil {
			failed = fmt.Errorf("no Go: %w", err)
		}
	}
	return nil, false, failed
}

// Foreign reports whether a program with these imports belongs to a module beside
// the main one, since it needs an SDK that the main one does not.
func Foreign(imports []string) bool {
	return slices.ContainsFunc(imports, func(path string) bool {
		return slices.ContainsFunc([]string{
			"github.com/silenceper/", "github.com/ArtisanCloud/", "github.com/chanxuehong/", "github.com/fastwego/",
			"github.com/zhongkong-go/zhongkong/adapters/",
		}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
	})
}

// Commands returns the command lines of a block of shell, as words: without
// comments and variables before them, one for each part of a pipe or list. What a
// shell would put in for $NAME and $(…) stays as it is.
func (b Block) Commands() [][]string {
	var all [][]string
	for line := range strings.Lines(strings.ReplaceAll(b.Text, "\\\n", " ")) {
		var words []string
		end := func() {
			for len(words) > 0 && assignment(words[0]) {
				words = words[1:]
			}
			if len(words) > 0 && words[0] == "export" {
				words = nil
			}
			if len(words) > 0 {
				all = append(all, words)
			}
			words = nil
		}
		var word strings.Builder
		var quote rune // that is open
		depth := 0     // of $(
		started := false
		next := func() {
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		}
	scan:
		for _, r := range strings.TrimSpace(line) {
			switch {
			case quote != 0:
				if r == quote {
					quote = 0
				} else {
					word.WriteRune(r)
				}
			case r == '\'' || r == '"':
				quote, started = r, true
			case r == '(' && strings.HasSuffix(word.String(), "$"), r == '(' && depth > 0:
				depth++
				word.WriteRune(r)
			case r == ')' && depth > 0:
				depth--
				word.WriteRune(r)
			case depth > 0:
				word.WriteRune(r)
			case r == ' ' || r == '\t':
				next()
			case r == '#' && !started:
				break scan
			case r == '|' || r == ';' || r == '&':
				next()
				end()
			default:
				started = true
				word.WriteRune(r)
			}
		}
		next()
		end()
	}
	return all
}

func assignment(word string) bool {
	name, _, found := strings.Cut(word, "=")
	return found && name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}
