package callback

import "bytes"

// xmlEncrypt finds <xml><Encrypt>…; wrong says what is not as it should be.
func xmlEncrypt(body []byte) (encrypt []byte, found bool, wrong string) {
	scanner := xmlScanner{rest: body}
	var value []byte
	for {
		token, data, wrong := scanner.next()
		if wrong != "" {
			return nil, false, wrong
		}
		if token == xmlEOF {
			return value, found, ""
		}
		if scanner.depth < 2 || string(scanner.open[1]) != "Encrypt" {
			continue
		}
		if scanner.depth > 2 {
			return nil, false, "its Encrypt has elements inside"
		}
		switch token {
		case xmlStart:
			if found {
				return nil, false, "it has more than one Encrypt"
			}
			found = true
		case xmlEnd:
			if len(value) == 0 {
				return nil, false, "its Encrypt is empty"
			}
		default:
			switch {
			case value != nil:
				return nil, false, "its Encrypt is in pieces"
			case token == xmlText && bytes.IndexByte(data, '&') >= 0:
				return nil, false, "its Encrypt has entities inside"
			}
			value = data
		}
	}
}

// xmlScanner reads XML of the form that WeChat sends: elements without
// attributes, text and CDATA. It refuses everything else and what is not well
// formed, and allocates nothing.
type xmlScanner struct {
	rest    []byte
	open    [maxDepth][]byte // the names of the elements around rest
	depth   int
	begun   bool // the root element is or was open
	empty   bool // the innermost element is an <element/> whose beginning was told
	closing bool // the innermost element's end was told
}

type xmlToken int

const (
	xmlEOF   xmlToken = iota
	xmlStart          // of the element that is the innermost now
	xmlEnd            // of the element that is the innermost until the next call
	xmlText           // with something in it; references are not resolved
	xmlCDATA
)

// next returns the next token and, with xmlText and xmlCDATA, what it says, text
// without the white space around it. wrong ends the scan.
//
//nolint:gocyclo // one grammar in one place: split, its cases would hide from one another
func (x *xmlScanner) next() (token xmlToken, data []byte, wrong string) {
	const early = "its XML ends too early"
	if x.closing {
		x.closing = false
		x.depth--
	}
	if x.empty {
		x.empty, x.closing = false, true
		return xmlEnd, nil, ""
	}
	if !x.begun && bytes.HasPrefix(x.rest, []byte("<?xml ")) {
		_, after, ok := bytes.Cut(x.rest, []byte("?>"))
		if !ok {
			return 0, nil, early
		}
		x.rest = after
	}

	text, after, ok := bytes.Cut(x.rest, []byte("<"))
	if trimmed := bytes.Trim(text, space); len(trimmed) > 0 {
		x.rest = x.rest[len(text):]
		switch {
		case x.depth == 0:
			return 0, nil, "its XML has text outside of the root element"
		case !knownReferences(trimmed):
			return 0, nil, "its XML has an entity of its own"
		}
		return xmlText, trimmed, ""
	}
	switch {
	case !ok && (x.depth > 0 || !x.begun):
		return 0, nil, early
	case !ok:
		return xmlEOF, nil, ""
	case x.depth == 0 && x.begun:
		return 0, nil, "its XML continues after the root element"
	}

	if section, isCDATA := bytes.CutPrefix(after, []byte("![CDATA[")); isCDATA && x.depth > 0 {
		data, x.rest, ok = bytes.Cut(section, []byte("]]>"))
		if !ok {
			return 0, nil, early
		}
		return xmlCDATA, data, ""
	}

	tag, after, ok := bytes.Cut(after, []byte(">"))
	if !ok {
		return 0, nil, early
	}
	x.rest = after
	name, isEnd := bytes.CutPrefix(tag, []byte("/"))
	if !isEnd {
		name, x.empty = bytes.CutSuffix(tag, []byte("/"))
	}
	name = bytes.TrimRight(name, space)
	switch {
	case !isName(name):
		return 0, nil, "its XML has a tag with attributes, a comment, a DOCTYPE or the like"
	case isEnd:
		if x.depth == 0 || !bytes.Equal(x.open[x.depth-1], name) {
			return 0, nil, "its XML has an end tag without a beginning"
		}
		x.closing = true
		return xmlEnd, nil, ""
	case x.depth == maxDepth:
		return 0, nil, "its XML is nested too deep"
	}
	x.open[x.depth] = name
	x.depth++
	x.begun = true
	return xmlStart, nil, ""
}

// isName reports whether name is one that WeChat gives to elements; the XML
// specification would allow more.
func isName(name []byte) bool {
	for i, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return len(name) > 0
}

// knownReferences reports whether every & in text begins one of the five named
// entities that XML itself has, or a character's number.
func knownReferences(text []byte) bool {
	for {
		_, after, ok := bytes.Cut(text, []byte("&"))
		if !ok {
			return true
		}
		name, after, ok := bytes.Cut(after, []byte(";"))
		if !ok {
			return false
		}
		switch string(name) {
		case "lt", "gt", "amp", "quot", "apos":
		default:
			digits, isNumber := bytes.CutPrefix(name, []byte("#"))
			digits, isHex := bytes.CutPrefix(digits, []byte("x"))
			if !isNumber || len(digits) == 0 || len(digits) > 8 {
				return false
			}
			for _, c := range digits {
				if ('0' > c || c > '9') && (!isHex || ('a' > c || c > 'f') && ('A' > c || c > 'F')) {
					return false
				}
			}
		}
		text = after
	}
}
