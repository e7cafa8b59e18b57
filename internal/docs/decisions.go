package docs

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// decisionsPage is the index of the decisions, whose pages are in folders next to it.
const decisionsPage = "docs/decisions/README.md"

// rooms are the folders of the decisions, in the order of the index.
var rooms = []string{"custody", "platform", "stores", "callback", "middleware", "gateway", "simulator", "tests", "commands"}

// decided is how the page of a decision begins: title, date and room.
var decided = regexp.MustCompile(`^# ([^\n]+)\n\n(\d{4}-\d\d-\d\d) · \[([a-z]+)\]\(\.\./README\.md#([a-z]+)\)\n\n\S`)

type decision struct{ room, file, date, title string }

// decisions returns the tables of the index, from the pages below docs/decisions.
func decisions(tree fs.FS) (string, error) {
	files, err := fs.Glob(tree, path.Dir(decisionsPage)+"/*/*")
	if err != nil {
		return "", err
	}
	var all []decision
	for _, file := range files {
		text, err := fs.ReadFile(tree, file)
		if err != nil {
			return "", err
		}
		d := decision{room: path.Base(path.Dir(file)), file: path.Base(file)}
		begins := decided.FindSubmatch(text)
		if begins == nil || string(begins[3]) != d.room || string(begins[4]) != d.room {
			return "", fmt.Errorf("%s does not begin with a title and a line like: 2026-01-31 · [%s](../README.md#%[2]s)", file, d.room)
		}
		if !slices.Contains(rooms, d.room) {
			return "", fmt.Errorf("%s is in none of the rooms %q", file, rooms)
		}
		d.title, d.date = string(begins[1]), string(begins[2])
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b decision) int { return cmp.Or(cmp.Compare(a.date, b.date), cmp.Compare(a.file, b.file)) })
	var b strings.Builder
	for _, room := range rooms {
		fmt.Fprintf(&b, "\n## %s\n\n| decided | what |\n|---|---|\n", room)
		for _, d := range all {
			if d.room == room {
				fmt.Fprintf(&b, "| %s | [%s](%s/%s) |\n", d.date, d.title, d.room, d.file)
			}
		}
	}
	return b.String() + "\n", nil
}
