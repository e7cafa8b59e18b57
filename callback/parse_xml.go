package callback

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
)

// parseXML reads a message: in the form that WeChat sends if it has that, as any XML
// if not, and at last as XML in which any text may hold an unescaped ]]>.
//
// WeChat writes what a follower types into a CDATA section as it is, a ]]> and tags
// included. Where such a text ends is known all the same, because each element has a
// line of its own: at the last ]]></NAME> that can be its end. See [flatXML.section].
// A text is everything up to there, also where a careful writer would have split it
// at a ]]>: WeChat does not, so a follower has typed that.
func parseXML(s string) (fields Fields, wrong string) {
	if strings.IndexByte(s, '\r') >= 0 { // XML has one end of lines
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	if fields, ok := scanXML(s); ok {
		return fields, ""
	}
	masked, typed := maskTyped(s, false)
	if fields, wrong = decodeXML(masked, typed); wrong == "" || wrong == wrongCount || wrong == wrongDepth {
		return fields, wrong
	}
	if masked, all := maskTyped(s, true); len(all) > len(typed) {
		if fields, wrong := decodeXML(masked, all); wrong == "" {
			return fields, ""
		}
	}
	return nil, wrong
}

// scanXML reads the form that WeChat sends: elements without attributes that hold
// one CDATA section, a text without references, or elements. For everything else,
// right or wrong, it reports false: that is work for decodeXML, which takes six
// times as long. Where it reports true, and no text holds a ]]>, both find the same.
func scanXML(s string) (Fields, bool) {
	if strings.IndexByte(s, '\r') >= 0 {
		return nil, false
	}
	scan := flatXML{rest: s}
	return scan.root()
}

type flatXML struct {
	rest  string
	count int
	kind  string // MsgType, once it was read
}

func (x *flatXML) root() (Fields, bool) {
	root, ok := x.element(1, "")
	if !ok || trim(x.rest) != "" {
		return nil, false
	}
	return root.Fields, true
}

// element reads <name>…</name> at the beginning of the rest, inside of parent.
func (x *flatXML) element(depth int, parent string) (f Field, ok bool) {
	if x.count++; x.count > maxFields || depth > maxDepth {
		return Field{}, false
	}
	if f.Name, ok = x.start(); !ok {
		return Field{}, false
	}
	text, ok := x.text()
	if !ok {
		return Field{}, false
	}
	switch {
	case strings.HasPrefix(x.rest, "</"):
		f.Value = text
	case text != "":
		return Field{}, false
	case strings.HasPrefix(x.rest, "<![CDATA["):
		x.rest = x.rest[len("<![CDATA["):]
		if f.Value, ok = x.section(f.Name, parent, depth); !ok {
			return Field{}, false
		}
	default:
		f.Fields = make(Fields, 0, 10>>(2*min(depth-1, 1))) // 10 suit most messages, 2 what is inside
		for !strings.HasPrefix(x.rest, "</") {
			child, ok := x.element(depth+1, f.Name)
			if !ok {
				return Field{}, false
			}
			f.Fields = append(f.Fields, child)
			if text, ok = x.text(); !ok || text != "" {
				return Field{}, false
			}
		}
	}
	if depth == 2 && f.Name == "MsgType" && x.kind == "" {
		x.kind = f.Value
	}
	return f, x.end(f.Name)
}

// start reads a start tag.
func (x *flatXML) start() (name string, ok bool) {
	end := strings.IndexByte(x.rest, '>')
	if end < 0 || x.rest[0] != '<' || !isXMLName(x.rest[1:end]) {
		return "", false
	}
	name, x.rest = x.rest[1:end], x.rest[end+1:]
	return name, true
}

// end reads an end tag.
func (x *flatXML) end(name string) bool {
	n := len("</") + len(name)
	if len(x.rest) <= n || x.rest[:2] != "</" || x.rest[2:n] != name || x.rest[n] != '>' {
		return false
	}
	x.rest = x.rest[n+1:]
	return true
}

// section reads the rest of a CDATA section that is the text of the element name,
// and stops before the end tag.
func (x *flatXML) section(name, parent string, depth int) (value string, ok bool) {
	closing := sectionEnd + "</" + name + ">"
	end := typedSection(x.rest, closing, element{x.kind, parent, name, depth})
	if end < 0 {
		if end = strings.Index(x.rest, sectionEnd); end < 0 {
			return "", false
		}
		if after := strings.TrimLeft(x.rest[end+len(sectionEnd):], space); !strings.HasPrefix(after, closing[len(sectionEnd):]) {
			return "", false
		}
	}
	value = x.rest[:end]
	x.rest = strings.TrimLeft(x.rest[end+len(sectionEnd):], space)
	return value, true
}

// element is where a section is: in which kind of message, below which element, and how deep.
type element struct {
	kind, parent, name string
	depth              int
}

// typedSection returns where the text of a section ends that a follower types, -1 for any
// other one.
func typedSection(s, closing string, e element) int {
	if mayBeTyped(e.name) {
		if texts := typedTexts(e.kind, e.parent, e.depth); slices.Contains(texts, e.name) {
			return typedEnd(s, closing, e.name, texts)
		}
	}
	return -1
}

// mayBeTyped is quick: most elements are not.
func mayBeTyped(name string) bool {
	switch name {
	case "Content", "Title", "Description", "Url", "Label", "Recognition", "ScanResult", "Poiname":
		return true
	default:
		return false
	}
}

// typedTexts are the elements of a parent whose text a follower types, in the order in
// which WeChat writes them. Those of an unknown type of message are a guess.
func typedTexts(kind, parent string, depth int) []string {
	switch {
	case depth == 2 && kind != string(TypeEvent):
		if texts, ok := typedByType[Type(kind)]; ok {
			return texts
		}
		return typedAnywhere
	case depth == 3 && parent == "ScanCodeInfo":
		return typedScan
	case depth == 3 && parent == "SendLocationInfo":
		return typedPlace
	default:
		return nil
	}
}

var (
	typedByType = map[Type][]string{
		TypeText:            {"Content"},
		TypeImage:           nil,
		TypeVoice:           {"Recognition"},
		TypeVideo:           nil,
		TypeShortVideo:      nil,
		TypeLocation:        {"Label"},
		TypeLink:            {"Title", "Description", "Url"},
		TypeFile:            {"Title", "Description"},
		TypeMiniProgramPage: {"Title"},
	}
	typedAnywhere = []string{"Content", "Title", "Description", "Label", "Recognition"}
	typedScan     = []string{"ScanResult"}
	typedPlace    = []string{"Label", "Poiname"}
)

// typedEnd returns where a typed text ends. One that another typed text follows ends
// before that one, wherever the follower put the border: no other field than these is
// the follower's to write. One that none follows ends at the last tag of its name.
func typedEnd(s, closing, name string, texts []string) int {
	if len(texts) > 1 {
		for _, next := range texts[slices.Index(texts, name)+1:] {
			if end := strings.Index(s, closing+"\n<"+next+"><![CDATA["); end >= 0 {
				return end
			}
		}
	}
	return strings.LastIndex(s, closing)
}

// text returns what is before the next tag, without white space around it.
func (x *flatXML) text() (string, bool) {
	end := strings.IndexByte(x.rest, '<')
	if end < 0 {
		return "", false
	}
	text := trim(x.rest[:end])
	x.rest = x.rest[end:]
	return text, strings.IndexByte(text, '&') < 0 && strings.IndexByte(text, ']') < 0
}

// isXMLName is narrower than XML's names and wider than WeChat's.
func isXMLName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return name != ""
}

// maxAttrs bounds the equals signs of an unusual message: encoding/xml hands out
// the attributes of an element all at once, some 280 bytes each.
const maxAttrs = 4 * maxFields

// decodeXML reads any XML in UTF-8 but such with a DOCTYPE, so that no entity but
// XML's own five means anything. Text loses the white space around it, CDATA
// does not; of an element that has several pieces the value is all of them.
// Namespaces mean nothing.
//
// typed are the texts of CDATA sections of s, by their offset, as maskTyped returns them.
func decodeXML(s string, typed map[int64]string) (fields Fields, wrong string) {
	if strings.Count(s, "=") > maxAttrs {
		return nil, "it has too many attributes"
	}
	decoder := xml.NewDecoder(strings.NewReader(s)) //nolint:gosec // G709: into elements only, bounded in number and depth
	var path []*Field                               // the elements around, the innermost last
	var root Field
	var count int
	for {
		start := decoder.InputOffset()
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			if root.Name == "" {
				return nil, "it has no element"
			}
			return root.Fields, ""
		}
		if err != nil {
			return nil, "its XML is broken: " + err.Error()
		}
		switch token := token.(type) {
		case xml.StartElement:
			field := Field{Name: token.Name.Local}
			count += 1 + len(token.Attr)
			switch {
			case count > maxFields:
				return nil, wrongCount
			case len(path) == maxDepth:
				return nil, wrongDepth
			case len(path) == 0 && root.Name != "":
				return nil, "it has more than one root element"
			}
			for _, attr := range token.Attr {
				field.Fields = append(field.Fields, Field{Name: "@" + attr.Name.Local, Value: attr.Value})
			}
			if len(path) == 0 {
				root = field
				path = append(path, &root)
				continue
			}
			parent := path[len(path)-1]
			parent.Fields = append(parent.Fields, field)
			path = append(path, &parent.Fields[len(parent.Fields)-1])
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			text := string(token)
			if !strings.HasPrefix(s[start:], sectionBegin) {
				text = trim(text)
			}
			text += typed[start]
			switch {
			case len(path) > 0:
				path[len(path)-1].Value += text
			case text != "":
				return nil, "it has text outside of the root element"
			}
		case xml.Directive:
			return nil, "it has a DOCTYPE"
		}
	}
}
