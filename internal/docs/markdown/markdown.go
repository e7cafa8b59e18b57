// Package markdown reads as much of the documentation as its tests need: headings
// with the anchors that they have on GitHub, links, and blocks of code.
//
// It is no renderer. What the pages do not use (reference links, headings that are
// underlined) it does not know.
package markdown

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Page is what there is in a page.
type Page struct {
	Headings []Heading
	Links    []Link
	Blocks   []Block
}

// Heading is a line that begins with #.
type Heading struct {
	Line   int
	Level  int // the number of #
	Text   string
	Anchor string // what a link to it has behind its #
}

// Link is where a link or an image points to.
type Link struct {
	Line   int
	Target string
}

// Block is a fenced block of code.
type Block struct {
	Line int    // of its first line of code
	Info string // what stands behind the fence: "go", "sh"
	Text string
}

var (
	fence   = regexp.MustCompile("^[ \t]*(```+|~~~+)[ \t]*([^`]*)$")
	heading = regexp.MustCompile(`^(#{1,6})[ \t]+(.*?)[ \t]*#*$`)
	spans   = regexp.MustCompile("``[^`]*(?:`[^`]+)*``|`[^`]*`")
	inline  = regexp.MustCompile(`\]\(<?([^)\s>]*)>?(?:\s+"[^"]*")?\)`)
	quoted  = regexp.MustCompile(`\b(?:href|src|srcset)="([^"]*)"`)
	linked  = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	tag     = regexp.MustCompile(`</?[a-zA-Z][^>]*>`)
)

// Parse reads a page.
func Parse(text string) Page {
	var page Page
	var block *Block
	var end string // the fence that the open block has
	seen := map[string]int{}
	line := 0
	for content := range strings.Lines(text) {
		line++
		bare := strings.TrimRight(content, "\r\n")
		marks := fence.FindStringSubmatch(bare)
		if block != nil {
			if marks != nil && marks[2] == "" && strings.HasPrefix(marks[1], end) {
				page.Blocks = append(page.Blocks, *block)
				block = nil
				continue
			}
			block.Text += bare + "\n"
			continue
		}
		if marks != nil {
			block, end = &Block{Line: line + 1, Info: strings.TrimSpace(marks[2])}, marks[1]
			continue
		}
		if h := heading.FindStringSubmatch(bare); h != nil {
			anchor := Anchor(h[2])
			n := seen[anchor]
			seen[anchor]++
			if n > 0 {
				anchor += "-" + strconv.Itoa(n)
			}
			page.Headings = append(page.Headings, Heading{Line: line, Level: len(h[1]), Text: h[2], Anchor: anchor})
		}
		prose := spans.ReplaceAllString(bare, "")
		for _, pattern := range []*regexp.Regexp{inline, quoted} {
			for _, m := range pattern.FindAllStringSubmatch(prose, -1) {
				page.Links = append(page.Links, Link{Line: line, Target: m[1]})
			}
		}
	}
	if block != nil { // a fence that nobody closed goes to the end of the page
		page.Blocks = append(page.Blocks, *block)
	}
	return page
}

// Anchor returns what GitHub makes of a heading the first time that a page has it:
// small letters; of what is neither letter, mark, digit nor connector, blanks and
// hyphens alone, both as hyphens.
func Anchor(heading string) string {
	heading = linked.ReplaceAllString(heading, "$1")
	heading = tag.ReplaceAllString(heading, "")
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
