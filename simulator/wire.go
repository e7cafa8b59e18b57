package simulator

import (
	"bytes"
	"fmt"
	"strings"
)

// envelope holds the fields of a message in the order of the wire, complete.
func (m Message) envelope() []Field {
	fields := []Field{
		{"ToUserName", m.To}, {"FromUserName", m.From}, {"CreateTime", m.Created.Unix()}, {"MsgType", m.Type},
	}
	return append(fields, withID(m.Fields, m.ID)...)
}

// withID returns fields with the id where it belongs.
func withID(fields []Field, id int64) []Field {
	all := make([]Field, len(fields))
	for i, f := range fields {
		switch v := f.Value.(type) {
		case nil:
			f.Value = id
		case []Field:
			f.Value = withID(v, id)
		}
		all[i] = f
	}
	return all
}

// The two forms of XML that were seen, told apart by captured lengths: plain
// messages have a newline after each element and none around, encrypted ones are
// indented.
func plainXML(fields []Field) string {
	var b bytes.Buffer
	b.WriteString("<xml>")
	for _, f := range fields {
		writeXML(&b, f)
		b.WriteByte('\n')
	}
	b.WriteString("</xml>")
	return b.String()
}

func indentedXML(fields []Field) string {
	var b bytes.Buffer
	b.WriteString("<xml>\n")
	for _, f := range fields {
		b.WriteString("    ")
		writeXML(&b, f)
		b.WriteByte('\n')
	}
	b.WriteString("</xml>\n")
	return b.String()
}

func writeXML(b *bytes.Buffer, f Field) {
	b.WriteString("<" + f.Name + ">")
	switch v := f.Value.(type) {
	case string:
		// As it is: WeChat was seen to leave a ]]> that a follower typed unescaped.
		b.WriteString("<![CDATA[" + v + "]]>")
	case []Field:
		for _, inner := range v {
			writeXML(b, inner)
			b.WriteByte('\n')
		}
	default:
		fmt.Fprint(b, v)
	}
	b.WriteString("</" + f.Name + ">")
}

// compactJSON writes fields without white space and non-ASCII characters raw.
func compactJSON(fields []Field) string {
	var b bytes.Buffer
	writeJSON(&b, fields)
	return b.String()
}

func writeJSON(b *bytes.Buffer, fields []Field) {
	b.WriteByte('{')
	for i := 0; i < len(fields); {
		same := i + 1
		for same < len(fields) && fields[same].Name == fields[i].Name {
			same++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(fields[i].Name) + ":")
		if same == i+1 {
			writeJSONValue(b, fields[i].Value)
		} else {
			for j, f := range fields[i:same] {
				b.WriteByte("[,"[min(j, 1)])
				writeJSONValue(b, f.Value)
			}
			b.WriteByte(']')
		}
		i = same
	}
	b.WriteByte('}')
}

func writeJSONValue(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case string:
		b.WriteString(quote(v))
	case []Field:
		writeJSON(b, v)
	default:
		fmt.Fprint(b, v)
	}
}

// quote makes a JSON string with non-ASCII characters raw, as WeChat sends them.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
