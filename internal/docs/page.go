package docs

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// Page is what the tests need of a Markdown page.
type Page struct {
	Headings []Heading
	Links    []Link
	Blocks   []Block
}

// Heading is a heading, as plain text.
type Heading struct {
	Line   int
	Level  int // 1 is the page's title
	Text   string
	Anchor string // the fragment of a link to it on GitHub
}

// Link is the target of a link or an image, in Markdown or HTML.
type Link struct {
	Line   int
	Target string
}

// Block is a fenced block of code.
type Block struct {
	Line int    // of its first line of code
	Info string // the language: "go", "sh"
	Text string
}

var (
	gfm    = goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser()
	quoted = regexp.MustCompile(`\b(?:href|src|srcset)="([^"]*)"`)
)

// Parse reads a page.
func Parse(page string) Page {
	r := reader{source: []byte(page), anchors: map[string]int{}}
	_ = ast.Walk(gfm.Parse(text.NewReader(r.source)), r.visit) // visit returns no error
	return r.page
}

type reader struct {
	source  []byte
	page    Page
	anchors map[string]int // how often the page has had each one
}

func (r *reader) visit(node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	line := r.line(node.Pos())
	switch node := node.(type) {
	case *ast.Heading:
		r.heading(line, node)
	case *ast.Link:
		r.page.Links = append(r.page.Links, Link{line, string(node.Destination)})
	case *ast.Image:
		r.page.Links = append(r.page.Links, Link{line, string(node.Destination)})
	case *ast.AutoLink:
		r.page.Links = append(r.page.Links, Link{line, string(node.URL(r.source))})
	case *ast.RawHTML:
		r.html(node.Segments)
	case *ast.HTMLBlock:
		r.html(node.Lines())
	case *ast.FencedCodeBlock:
		block := Block{Line: line + 1, Text: string(node.Lines().Value(r.source))}
		if node.Info != nil {
			block.Info = string(node.Info.Value(r.source))
		}
		r.page.Blocks = append(r.page.Blocks, block)
	}
	return ast.WalkContinue, nil
}

func (r *reader) heading(line int, node *ast.Heading) {
	var b strings.Builder
	_ = ast.Walk(node, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if leaf, ok := node.(*ast.Text); ok && entering {
			b.Write(leaf.Value(r.source))
		}
		return ast.WalkContinue, nil
	})
	anchor := Anchor(b.String())
	n := r.anchors[anchor]
	r.anchors[anchor]++
	if n > 0 {
		anchor += "-" + strconv.Itoa(n)
	}
	r.page.Headings = append(r.page.Headings, Heading{Line: line, Level: node.Level, Text: b.String(), Anchor: anchor})
}

func (r *reader) html(segments *text.Segments) {
	for i := range segments.Len() {
		segment := segments.At(i)
		for _, m := range quoted.FindAllSubmatch(segment.Value(r.source), -1) {
			r.page.Links = append(r.page.Links, Link{r.line(segment.Start), string(m[1])})
		}
	}
}

// line returns the number of the line that has the byte at pos.
func (r *reader) line(pos int) int {
	return 1 + bytes.Count(r.source[:max(pos, 0)], []byte("\n"))
}

// Anchor returns the fragment that GitHub gives a heading of this plain text the
// first time a page has it: lower case; letters, marks, digits and connectors stay,
// blanks and hyphens become hyphens, and anything else is dropped.
func Anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ' || r == '-':
			b.WriteByte('-')
		case unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.Pc):
			b.WriteRune(r)
		}
	}
	return b.String()
}
