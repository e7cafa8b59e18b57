package callback

import (
	"bytes"
	"strconv"
	"strings"
)

// writer writes an answer the way WeChat's documents print it: in XML a line for
// each element, strings in CDATA and numbers bare; in JSON without escapes that
// need not be, because WeChat refuses \uXXXX elsewhere.
type writer struct {
	b    []byte
	json bool
}

// newWriter returns a writer that appends to b.
func newWriter(asJSON bool, b []byte) *writer {
	w := &writer{b: b, json: asJSON}
	if asJSON {
		w.b = append(w.b, '{')
	} else {
		w.b = append(w.b, "<xml>\n"...)
	}
	return w
}

func (w *writer) end() []byte {
	if w.json {
		return append(w.trimmed(), '}')
	}
	return append(w.b, "</xml>"...)
}

// trimmed is what was written without the comma at its end.
func (w *writer) trimmed() []byte { return bytes.TrimSuffix(w.b, []byte{','}) }

func (w *writer) text(name, value string) {
	value = clean(value)
	w.open(name)
	if w.json {
		w.b = append(w.b, '"')
		w.escape(value)
		w.b = append(w.b, '"')
	} else {
		w.b = append(w.b, "<![CDATA["...)
		for {
			before, after, found := strings.Cut(value, "]]>")
			w.b = append(w.b, before...)
			if !found {
				break
			}
			// The section ends between the brackets, and another one begins.
			w.b = append(w.b, "]]]]><![CDATA[>"...)
			value = after
		}
		w.b = append(w.b, "]]>"...)
	}
	w.close(name)
}

// bytes writes what needs neither cleaning nor escaping.
func (w *writer) bytes(name string, value []byte) {
	before, after := "<![CDATA[", "]]>"
	if w.json {
		before, after = `"`, `"`
	}
	w.open(name)
	w.b = append(append(append(w.b, before...), value...), after...)
	w.close(name)
}

func (w *writer) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *writer) number(name string, value int64) {
	w.open(name)
	w.b = strconv.AppendInt(w.b, value, 10)
	w.close(name)
}

// inside writes an element with what f writes in it.
func (w *writer) inside(name string, f func()) {
	w.open(name)
	if w.json {
		w.b = append(w.b, '{')
	} else {
		w.b = append(w.b, '\n')
	}
	f()
	if w.json {
		w.b = append(w.trimmed(), '}')
	}
	w.close(name)
}

// items writes n elements <item>, in JSON an array.
func (w *writer) items(n int, f func(i int)) {
	if !w.json {
		for i := range n {
			w.inside("item", func() { f(i) })
		}
		return
	}
	w.open("item")
	w.b = append(w.b, '[')
	for i := range n {
		w.b = append(w.b, '{')
		f(i)
		w.b = append(w.trimmed(), "},"...)
	}
	w.b = append(w.trimmed(), ']')
	w.close("item")
}

func (w *writer) open(name string) {
	if w.json {
		w.b = append(append(append(w.b, '"'), name...), `":`...)
	} else {
		w.b = append(append(append(w.b, '<'), name...), '>')
	}
}

func (w *writer) close(name string) {
	if w.json {
		w.b = append(w.b, ',')
	} else {
		w.b = append(append(append(w.b, "</"...), name...), ">\n"...)
	}
}

// escape writes a string that clean has seen.
func (w *writer) escape(s string) {
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			w.b = append(w.b, '\\', c)
		case '\n':
			w.b = append(w.b, `\n`...)
		case '\r':
			w.b = append(w.b, `\r`...)
		case '\t':
			w.b = append(w.b, `\t`...)
		default:
			w.b = append(w.b, c)
		}
	}
}
