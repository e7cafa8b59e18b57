package callback

import "strings"

const (
	sectionBegin = "<![CDATA["
	sectionEnd   = "]]>"
)

// maskTyped returns s with an empty CDATA section in the place of each text that
// followers type, and these texts by the offset of what replaced them, so that a reader
// of XML finds the ends that typedEnd knows, whatever else is unusual about a message:
// a prolog, comments, attributes, references, empty elements. With lenient the other
// texts may hold a ]]> as well, and end at the first end tag of their element.
func maskTyped(s string, lenient bool) (masked string, typed map[int64]string) {
	m := masker{s: s, lenient: lenient}
	for m.step() {
	}
	if m.typed == nil {
		return s, nil
	}
	m.out.WriteString(s[m.copied:])
	return m.out.String(), m.typed
}

type masker struct {
	s       string
	at      int // everything before is done
	lenient bool

	path  [maxDepth]string // names of the elements around
	depth int
	count int
	fresh bool // nothing but white space came since the innermost start tag
	kind  string
	value int // where the text of MsgType begins

	out    strings.Builder
	copied int // so much of s is in out
	typed  map[int64]string
}

// step passes a piece of markup and the text before it. It is false at the end, and
// where a reader of XML will stop too.
func (m *masker) step() bool {
	text, _, ok := strings.Cut(m.s[m.at:], "<")
	if !ok {
		return false
	}
	m.fresh = m.fresh && trim(text) == ""
	m.at += len(text)
	switch rest := m.s[m.at:]; {
	case strings.HasPrefix(rest, sectionBegin):
		return m.section()
	case strings.HasPrefix(rest, "<!--"):
		return m.passTo("-->")
	case strings.HasPrefix(rest, "<?"):
		return m.passTo("?>")
	case strings.HasPrefix(rest, "</"):
		return m.end()
	default:
		return m.start()
	}
}

func (m *masker) passTo(end string) bool {
	i := strings.Index(m.s[m.at:], end)
	if i < 0 {
		return false
	}
	m.at += i + len(end)
	return true
}

func (m *masker) start() bool {
	end := tagEnd(m.s[m.at:])
	if m.count++; end < 0 || m.count > maxFields || m.depth == maxDepth {
		return false
	}
	tag := m.s[m.at+1 : m.at+end]
	m.at += end + 1
	if strings.HasSuffix(tag, "/") {
		m.fresh = false
		return true
	}
	if i := strings.IndexAny(tag, space); i >= 0 {
		tag = tag[:i]
	}
	m.path[m.depth] = tag
	m.depth++
	m.fresh, m.value = true, m.at
	return true
}

// tagEnd returns where the start tag at the beginning of s ends. A > may be in the
// value of an attribute.
func tagEnd(s string) int {
	var quote byte
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"', c == '\'':
			quote = c
		case c == '>':
			return i
		}
	}
	return -1
}

func (m *masker) end() bool {
	if m.depth == 0 {
		return false
	}
	if m.depth == 2 && localName(m.path[1]) == "MsgType" && m.kind == "" {
		value := trim(m.s[m.value:m.at])
		if section, ok := strings.CutPrefix(value, sectionBegin); ok {
			value = strings.TrimSuffix(section, sectionEnd)
		}
		m.kind = value
	}
	m.depth--
	m.fresh = false
	return m.passTo(">")
}

// section passes a CDATA section, and masks it if its text is typed.
func (m *masker) section() bool {
	begin := m.at + len(sectionBegin)
	rest := m.s[begin:]
	end, typed := m.sectionEnd(rest)
	m.fresh = false
	if end < 0 {
		return false
	}
	m.at = begin + end + len(sectionEnd)
	if typed {
		if m.typed == nil {
			m.typed = make(map[int64]string)
		}
		m.out.WriteString(m.s[m.copied : begin-len(sectionBegin)])
		m.typed[int64(m.out.Len())] = rest[:end]
		m.out.WriteString(sectionBegin + sectionEnd)
		m.copied = m.at
	}
	return true
}

// sectionEnd returns where the text of a section ends, and whether a reader of XML
// might think otherwise.
func (m *masker) sectionEnd(s string) (end int, typed bool) {
	first := strings.Index(s, sectionEnd)
	if first < 0 || m.depth == 0 || !m.fresh {
		return first, false
	}
	tag := m.path[m.depth-1]
	closing := sectionEnd + "</" + tag + ">"
	parent := ""
	if m.depth > 1 {
		parent = localName(m.path[m.depth-2])
	}
	if end := typedSection(s, closing, element{m.kind, parent, localName(tag), m.depth}); end >= 0 {
		return end, true
	}
	if m.lenient && !strings.HasPrefix(strings.TrimLeft(s[first+len(sectionEnd):], space), closing[len(sectionEnd):]) {
		if end := strings.Index(s, closing); end >= 0 {
			return end, true
		}
	}
	return first, false
}

// localName is a name without the prefix of its namespace.
func localName(name string) string {
	if _, local, ok := strings.Cut(name, ":"); ok {
		return local
	}
	return name
}
