package lang

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Dictionary turns whole English texts into Chinese, such as errors that were put together
// in several packages: a key of its words with verbs in it stands for every text that it
// formats, and what the verbs stand for is looked up in turn.
type Dictionary struct {
	whole    Words
	patterns []pattern // those with more literal text first
}

// pattern is a key with verbs in it.
type pattern struct {
	parts   []string // the literal text between the verbs
	order   []int    // the argument of each verb, from 0
	literal int      // bytes
	zh      []zhPart
}

// zhPart is a piece of the Chinese text: an argument, or literal text.
type zhPart struct {
	text     string
	argument int // -1 for text
}

var verb = regexp.MustCompile(`%(?:\[(\d+)\])?[-+# 0-9.*]*[a-zA-Z]|%%`)

// NewDictionary makes a dictionary of words. A key that several have is the last one's.
func NewDictionary(all ...Words) *Dictionary {
	d := &Dictionary{whole: Words{}}
	for _, words := range all {
		maps.Copy(d.whole, words)
	}
	for en, zh := range d.whole {
		if p, ok := compile(en, zh); ok {
			d.patterns = append(d.patterns, p)
		}
	}
	slices.SortFunc(d.patterns, func(a, b pattern) int {
		if a.literal != b.literal {
			return b.literal - a.literal
		}
		return strings.Compare(strings.Join(a.parts, "\x00"), strings.Join(b.parts, "\x00"))
	})
	return d
}

// least is how much literal text a pattern has, so that not everything is one.
const least = 4

func compile(en, zh string) (p pattern, ok bool) {
	texts, arguments := split(en)
	if len(arguments) == 0 {
		return p, false
	}
	p.parts, p.order = texts, arguments
	for _, text := range texts {
		p.literal += len(strings.TrimSpace(text))
	}
	texts, arguments = split(zh)
	for i, text := range texts {
		p.zh = append(p.zh, zhPart{text, -1})
		if i < len(arguments) {
			p.zh = append(p.zh, zhPart{"", arguments[i]})
		}
	}
	return p, p.literal >= least
}

// split returns the literal texts around the verbs of a format, and the verbs' arguments.
func split(format string) (texts []string, arguments []int) {
	from, next, text := 0, 0, ""
	for _, at := range verb.FindAllStringSubmatchIndex(format, -1) {
		text += format[from:at[0]]
		from = at[1]
		if format[at[0]:at[1]] == "%%" {
			text += "%"
			continue
		}
		if at[2] >= 0 {
			next = int(format[at[2]] - '1')
		}
		texts, arguments, text = append(texts, text), append(arguments, next), ""
		next++
	}
	return append(texts, text+format[from:]), arguments
}

// match returns what the verbs stand for in text.
func (p *pattern) match(text string) (arguments map[int]string, ok bool) {
	last := len(p.parts) - 1
	if !strings.HasPrefix(text, p.parts[0]) || !strings.HasSuffix(text, p.parts[last]) ||
		len(text) < len(p.parts[0])+len(p.parts[last]) {
		return nil, false
	}
	arguments = make(map[int]string, last)
	rest := text[len(p.parts[0]) : len(text)-len(p.parts[last])]
	for i := 1; i < last; i++ {
		value, after, found := strings.Cut(rest, p.parts[i])
		if !found {
			return nil, false
		}
		arguments[p.order[i-1]], rest = value, after
	}
	arguments[p.order[last-1]] = rest
	// What a sentence begins with is a name, and no other sentence.
	name := strings.HasPrefix(p.parts[1], " ") && p.parts[0] == ""
	return arguments, !name || !strings.Contains(arguments[p.order[0]], ": ")
}

// deep bounds how far texts are looked up within texts.
const deep = 6

// In returns text in a language: in Chinese what is known of it, the rest as it is.
func (d *Dictionary) In(l Lang, text string) string {
	if l != Chinese || text == "" {
		return text
	}
	if zh, ok := d.find(text, deep); ok {
		return zh
	}
	return text
}

// Has reports whether the dictionary has the format or the text.
func (d *Dictionary) Has(text string) bool { return d.whole[text] != "" }

// speaker is the package that speaks, in front of an error.
var speaker = regexp.MustCompile(`^(?:zhongkong|gateway|wechat|wecom|platform|callback|custody|source|simulator|store|migrations|weblogin): `)

// find returns the Chinese of text, and whether anything of it is known.
func (d *Dictionary) find(text string, depth int) (string, bool) {
	if zh := d.whole[text]; zh != "" && !strings.Contains(text, "%") {
		return zh, true
	}
	if depth == 0 || !strings.ContainsAny(text, " \n") {
		return text, false
	}
	if name := speaker.FindString(text); name != "" {
		zh, ok := d.find(text[len(name):], depth)
		return name + zh, ok
	}
	for i := range d.patterns {
		p := &d.patterns[i]
		arguments, ok := p.match(text)
		if !ok {
			continue
		}
		var b strings.Builder
		for _, part := range p.zh {
			if part.argument < 0 {
				b.WriteString(part.text)
				continue
			}
			zh, _ := d.find(arguments[part.argument], depth-1)
			b.WriteString(zh)
		}
		return b.String(), true
	}
	return d.pieces(text, depth)
}

// joints are what holds sentences together, in English and in Chinese, the weakest first.
var joints = [][2]string{{"\n", "\n"}, {". ", "。"}, {"; ", "；"}, {": ", "："}, {", ", "，"}}

// pieces looks up the parts of a text that others have put together.
func (d *Dictionary) pieces(text string, depth int) (string, bool) {
	for _, joint := range joints {
		for from := 0; ; {
			at := strings.Index(text[from:], joint[0])
			if at < 0 {
				break
			}
			at += from
			left, leftKnown := d.known(text[:at], depth-1)
			right, rightKnown := d.known(text[at+len(joint[0]):], depth-1)
			if leftKnown || rightKnown {
				if !rightKnown {
					right, _ = d.find(right, depth-1)
				}
				if !leftKnown {
					left, _ = d.find(left, depth-1)
				}
				return left + joint[1] + right, true
			}
			from = at + len(joint[0])
		}
	}
	if end, found := strings.CutSuffix(text, "."); found {
		if zh, ok := d.find(end, depth-1); ok {
			return zh + "。", true
		}
	}
	return text, false
}

// known is find without taking a text apart.
func (d *Dictionary) known(text string, depth int) (string, bool) {
	if zh := d.whole[text]; zh != "" && !strings.Contains(text, "%") {
		return zh, true
	}
	if depth <= 0 {
		return text, false
	}
	for i := range d.patterns {
		if _, ok := d.patterns[i].match(text); ok {
			return d.find(text, depth)
		}
	}
	return text, false
}

// Format returns the Chinese format of an English one, or that where there is none.
func (d *Dictionary) Format(format string) string {
	if zh := d.whole[format]; zh != "" {
		return zh
	}
	return format
}
