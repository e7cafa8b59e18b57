package callback

import (
	"strconv"
	"strings"
)

// parse reads a message, XML or JSON by its first byte whatever the Content-Type
// says: WeChat sends text/xml with JSON too. wrong says what is not as it should
// be.
func parse(s string) (fields Fields, isJSON bool, wrong string) {
	s = trim(strings.TrimPrefix(clean(s), "\uFEFF"))
	switch {
	case s == "":
		return nil, false, "it is empty"
	case s[0] == '<':
		fields, wrong = parseXML(s)
		return fields, false, wrong
	case s[0] == '{':
		fields, wrong = parseJSON(s)
		return fields, true, wrong
	default:
		return nil, false, "it begins neither with < nor with {"
	}
}

var (
	wrongCount = "it has more than " + strconv.Itoa(maxFields) + " elements"
	wrongDepth = "it is nested deeper than " + strconv.Itoa(maxDepth) + " levels"
)

// trim is strings.Trim for XML's white space, many times a message.
func trim(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
