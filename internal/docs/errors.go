package docs

import (
	_ "embed"
	"strings"
	"text/template"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// The text above the codes is written by hand.
var (
	//go:embed errors.md.tmpl
	handbookEnglish string

	//go:embed errors.zh-CN.md.tmpl
	handbookChinese string
)

// handbookPage is what the pages show.
type handbookPage struct {
	Reacted []entry // the codes that a Keeper does something about
	Hosts   []hostCodes
	Sources []errcode.Source
}

// entry is a code as the handbook shows it.
type entry struct {
	errcode.Info

	AtToken *errcode.Info // what a token endpoint means by it, where that differs
}

// hostCodes are the codes of one host that concern single calls.
type hostCodes struct {
	Host  errcode.Host
	Codes []errcode.Info
}

func newHandbookPage() handbookPage {
	p := handbookPage{Sources: []errcode.Source{
		errcode.Wire, errcode.Doc, errcode.AccountTable, errcode.OpenTable, errcode.MiniPages, errcode.WeComTable, errcode.Unconfirmed,
	}}
	for _, host := range errcode.Hosts() {
		codes := hostCodes{Host: host}
		for _, info := range errcode.AllOn(host) {
			if host != errcode.API || info.Class == errcode.Call {
				codes.Codes = append(codes.Codes, info)
				continue
			}
			e := entry{Info: info}
			if at := errcode.AtTokenEndpoint(info.Code); at.Cause != info.Cause {
				e.AtToken = &at
			}
			p.Reacted = append(p.Reacted, e)
		}
		p.Hosts = append(p.Hosts, codes)
	}
	return p
}

// handbook renders the table of package errcode, by the names of the pages.
func handbook() (map[string]string, error) {
	data := newHandbookPage()
	pages := make(map[string]string)
	for name, text := range map[string]string{"docs/errors.md": handbookEnglish, "docs/errors.zh-CN.md": handbookChinese} {
		page, err := template.New(name).Funcs(template.FuncMap{
			"cell":  func(s string) string { return strings.ReplaceAll(prose(s), "|", `\|`) },
			"prose": prose,
		}).Parse(text)
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		if err := page.Execute(&b, data); err != nil {
			return nil, err
		}
		pages[name] = b.String()
	}
	return pages, nil
}

// prose escapes the marks that Markdown would read in a sentence.
func prose(s string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`, `\u`, `\\u`).Replace(s)
}
