// Command errordocs writes the error handbook, docs/errors.md and its Chinese page,
// from the table of package errcode.
//
//	go generate ./platform/errcode
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// What stands above the codes is written by hand.
var (
	//go:embed errors.md.tmpl
	english string

	//go:embed errors.zh-CN.md.tmpl
	chinese string
)

// files are the pages, by their names in docs.
var files = map[string]string{"errors.md": english, "errors.zh-CN.md": chinese}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "errordocs: where is the folder docs? Such as: go run ./internal/docs/errordocs docs")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "errordocs:", err)
		os.Exit(1)
	}
}

func write(folder string) error {
	for name, text := range files {
		page, err := render(text)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), page, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// entry is a code as the pages show it.
type entry struct {
	errcode.Info

	AtToken *errcode.Info // what a token endpoint means by it, where that differs
}

func render(text string) ([]byte, error) {
	var entries []entry
	for _, info := range errcode.All() {
		e := entry{Info: info}
		if at := errcode.AtTokenEndpoint(info.Code); at.Cause != info.Cause {
			e.AtToken = &at
		}
		entries = append(entries, e)
	}
	page, err := template.New("").Funcs(template.FuncMap{
		"cell":  func(s string) string { return strings.ReplaceAll(prose(s), "|", `\|`) },
		"prose": prose,
	}).Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := page.Execute(&b, entries); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// prose keeps Markdown from reading marks into a sentence.
func prose(s string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`, `\u`, `\\u`).Replace(s)
}
