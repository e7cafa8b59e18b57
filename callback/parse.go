package callback

import (
	"strconv"
	"strings"
)

// parse reads a message, XML or JSON by its first byte whatever the Content-Type
// says: WeChat sends text/xml with JSON too. wrong says what is not as it should
// be.
func parse(s string) (fields Fields, isJSON bool, wrong string) {
	s = strings.Trim(strings.TrimPrefix(clean(s), "\uFEFF"), space)
	switch {
	case s == "":
		return nil, false, "it is empty"
	case s[0] == '<':
		if fields, ok := scanXML(s); ok {
			return fields, false, ""
		}
		fields, wrong = decodeXML(s)
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
