package callback

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// scanXML reads the form that WeChat sends: elements without attributes that hold
// one CDATA section, a text without references, or elements. For everything else,
// right or wrong, it reports false: that is work for decodeXML, which takes six
// times as long. Where it reports true both find the same.
func scanXML(s string) (Fields, bool) {
	if strings.IndexByte(s, '\r') >= 0 { // which XML makes a \n of
		return nil, false
	}
	scan := flatXML{rest: s}
	root, ok := scan.element(1)
	if !ok || trim(scan.rest) != "" {
		return nil, false
	}
	return root.Fields, true
}

type flatXML struct {
	rest  string
	count int
}

// element reads <name>…</name> at the beginning of the rest.
func (x *flatXML) element(depth int) (f Field, ok bool) {
	if x.count++; x.count > maxFields || depth > maxDepth || !strings.HasPrefix(x.rest, "<") {
		return Field{}, false
	}
	end := strings.IndexByte(x.rest, '>')
	if end < 0 || !isXMLName(x.rest[1:end]) {
		return Field{}, false
	}
	f.Name = x.rest[1:end]
	x.rest = x.rest[end+1:]

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
		end := strings.Index(x.rest, "]]>")
		if end < 0 {
			return Field{}, false
		}
		f.Value = x.rest[:end]
		x.rest = x.rest[end+len("]]>"):]
		if text, ok = x.text(); !ok || text != "" {
			return Field{}, false
		}
	default:
		f.Fields = make(Fields, 0, 10>>(2*min(depth-1, 1))) // 10 suit most messages, 2 what is inside
		for !strings.HasPrefix(x.rest, "</") {
			child, ok := x.element(depth + 1)
			if !ok {
				return Field{}, false
			}
			f.Fields = append(f.Fields, child)
			if text, ok = x.text(); !ok || text != "" {
				return Field{}, false
			}
		}
	}
	if n := len("</") + len(f.Name); len(x.rest) > n && x.rest[:2] == "</" && x.rest[2:n] == f.Name && x.rest[n] == '>' {
		x.rest = x.rest[n+1:]
		return f, true
	}
	return Field{}, false
}

// text returns what stands before the next tag, without white space around it.
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
func decodeXML(s string) (fields Fields, wrong string) {
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
			if !strings.HasPrefix(s[start:], "<![CDATA[") {
				text = trim(text)
			}
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
