package docs

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed imports.txt
var importTable string

// Table is the import table, the lowest layer first.
type Table []Rule

// Rule says what the code of some folders may import. Folders and imports are paths
// from the top of the repository; "x/..." is x and every folder below it.
type Rule struct {
	Folders []string
	Imports []string // packages of this module
	All     bool     // every rule above this one, and its own folders
	Std     bool     // links nothing foreign but the standard library
	Never   []string // import paths that are not linked, even through others
}

// Imports reads imports.txt and checks that it is in the order of the layers.
func Imports() (Table, error) {
	return parseTable(importTable)
}

func parseTable(text string) (Table, error) {
	var table Table
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		rule, err := parseRule(line)
		if err != nil {
			return nil, err
		}
		table = append(table, rule)
		known := table.folders()
		for _, imported := range rule.Imports {
			if !slices.ContainsFunc(known, func(pattern string) bool { return pattern == imported || matches(pattern, imported) }) {
				return nil, fmt.Errorf("imports.txt: %q imports %s, which no line above it has", rule.Folders, imported)
			}
		}
	}
	return table, nil
}

func parseRule(line string) (Rule, error) {
	folders, rest, found := strings.Cut(line, ":")
	imports, note, _ := strings.Cut(rest, ";")
	rule := Rule{Folders: strings.Fields(folders), Imports: strings.Fields(imports)}
	if !found || len(rule.Folders) == 0 {
		return rule, fmt.Errorf("imports.txt: %q is not of the form folders : imports", strings.TrimSpace(line))
	}
	if slices.Equal(rule.Imports, []string{"all"}) {
		rule.All, rule.Imports = true, nil
	}
	switch words := strings.Fields(note); {
	case len(words) == 0:
	case len(words) == 1 && words[0] == "std":
		rule.Std = true
	case len(words) > 1 && words[0] == "never":
		rule.Never = words[1:]
	default:
		return rule, fmt.Errorf("imports.txt: %q has a note that is neither std nor never", strings.TrimSpace(line))
	}
	return rule, nil
}

// Of returns the rule of a folder, with its place in the table: the folder's own, or
// the one with the longest pattern.
func (t Table) Of(folder string) (place int, ok bool) {
	longest := -1
	for i, rule := range t {
		for _, pattern := range rule.Folders {
			if pattern == folder {
				return i, true
			}
			if matches(pattern, folder) && len(pattern) > longest {
				place, longest = i, len(pattern)
			}
		}
	}
	return place, longest >= 0
}

// Allows reports whether the rule at place lets its folders import another one.
func (t Table) Allows(place int, imported string) bool {
	if t[place].All {
		other, ok := t.Of(imported)
		return ok && other <= place
	}
	return slices.ContainsFunc(t[place].Imports, func(pattern string) bool { return matches(pattern, imported) })
}

func (t Table) folders() []string {
	var all []string
	for _, rule := range t {
		all = append(all, rule.Folders...)
	}
	return all
}

// matches reports whether a pattern is meant for a folder.
func matches(pattern, folder string) bool {
	parent, below := strings.CutSuffix(pattern, "/...")
	return folder == parent || below && strings.HasPrefix(folder, parent+"/")
}

// markdown returns the table as docs/decisions/imports.md shows it.
func (t Table) markdown() string {
	code := func(names []string) string {
		if len(names) == 0 {
			return "—"
		}
		return "`" + strings.Join(names, "` `") + "`"
	}
	var b strings.Builder
	b.WriteString("\n| folder | imports of this module | and |\n|---|---|---|\n")
	for _, rule := range t {
		imports, note := code(rule.Imports), ""
		switch {
		case rule.All:
			imports = "all above"
		case rule.Std:
			note = "the standard library only"
		case rule.Never != nil:
			note = "never " + code(rule.Never)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", code(rule.Folders), imports, note)
	}
	return b.String() + "\n"
}

// depguard returns the table as rules of the linter, which sees only direct imports.
func (t Table) depguard() string {
	const desc = "not allowed by internal/docs/imports.txt"
	var b strings.Builder
	for i, rule := range t {
		name := strings.NewReplacer("/...", "", "/", "-").Replace(strings.TrimPrefix(rule.Folders[0], "."))
		if name == "" {
			name = "root"
		}
		mode, allow := "lax", depguardPaths(rule.Imports)
		deny := rule.Never
		switch {
		case rule.Std:
			mode, allow = "strict", append([]string{"$gostd"}, allow...)
		case rule.All:
			deny = append(depguardPaths(t[i+1:].folders()), deny...)
		default:
			deny = append([]string{Module}, deny...)
		}
		if len(allow)+len(deny) == 0 { // the highest layer may import everything
			continue
		}
		fmt.Fprintf(&b, "        %s:\n          list-mode: %s\n", strings.TrimPrefix(name, "-"), mode)
		fmt.Fprintf(&b, "          files: [%s, \"!$test\"]\n", strings.Join(t.files(i), ", "))
		if len(allow) > 0 {
			fmt.Fprintf(&b, "          allow: [%s]\n", strings.Join(allow, ", "))
		}
		if len(deny) > 0 {
			b.WriteString("          deny:\n")
		}
		for _, path := range deny {
			fmt.Fprintf(&b, "            - {pkg: %s, desc: %s}\n", path, desc)
		}
	}
	return b.String()
}

// files returns the globs of the files that a rule is meant for: those of its folders,
// without folders below that have a rule of their own.
func (t Table) files(place int) []string {
	var globs []string
	for _, pattern := range t[place].Folders {
		parent, below := strings.CutSuffix(pattern, "/...")
		switch {
		case pattern == ".":
			globs = append(globs, `"${base-path}/*.go"`)
		case !below:
			globs = append(globs, `"${base-path}/`+pattern+`/*.go"`)
		default:
			globs = append(globs, `"${base-path}/`+parent+`/**"`)
			for _, own := range t.folders() {
				if own != pattern && matches(pattern, own) {
					globs = append(globs, `"!${base-path}/`+own+`/*.go"`)
				}
			}
		}
	}
	return globs
}

// depguardPaths returns patterns as depguard writes them: prefixes, where a $ at the end
// means this package and none below it.
func depguardPaths(patterns []string) []string {
	var paths []string
	for _, pattern := range patterns {
		path, below := strings.CutSuffix(Module+"/"+pattern, "/...")
		if !below {
			path += "$"
		}
		paths = append(paths, path)
	}
	return paths
}
