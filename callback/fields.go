package callback

import (
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxFields bounds how many elements a message may have, nested ones included;
// WeChat's longest, about a mass message of 8 articles, has some 100.
const maxFields = 1000

// Field is one element of a message: <Name>Value</Name> in XML, "Name": Value in
// JSON. An attribute, which WeChat sends none of, is a Field of its element with
// an @ before its name.
type Field struct {
	Name   string
	Value  string // as sent, whether in CDATA, quoted or bare; "" for JSON's null
	Fields Fields // what is nested inside
}

// Fields are the elements of a message in the order in which they came. A JSON
// array is the repetition of its name, as in XML, so that an object and an array
// of one object are the same.
type Fields []Field

// Get returns the value at a path of names, of the first element where there are
// several, and "" where there is none.
func (f Fields) Get(path ...string) string {
	field, _ := f.Find(path...)
	return field.Value
}

// Find returns the element at a path of names, the first where there are several.
func (f Fields) Find(path ...string) (Field, bool) {
	var found Field
	for _, name := range path {
		ok := false
		for i := range f {
			if f[i].Name == name {
				found, f, ok = f[i], f[i].Fields, true
				break
			}
		}
		if !ok {
			return Field{}, false
		}
	}
	return found, len(path) > 0
}

// All returns the elements with the name.
func (f Fields) All(name string) []Field {
	var all []Field
	for i := range f {
		if f[i].Name == name {
			all = append(all, f[i])
		}
	}
	return all
}

func (f Fields) integer(path ...string) int {
	return int(integer(f.Get(path...)))
}

// integer is 0 for a value that is not a whole number of 64 bits; the value itself
// is in the Fields.
func integer(s string) int64 {
	s = strings.TrimSpace(s)
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil {
		return n
	}
	return exponential(s)
}

// exponential reads the other ways to write a whole number in JSON, such as 1.5e3 and
// 7.0, exactly: MsgIds have more digits than a float64.
func exponential(s string) int64 {
	const longest, largest = 64, 40 // of the text and of the exponent, which bound the work
	if len(s) > longest || !isJSONNumber(s) {
		return 0
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if exponent, err := strconv.Atoi(s[i+1:]); err != nil || exponent > largest || exponent < -largest {
			return 0
		}
	}
	n, ok := new(big.Rat).SetString(s)
	if !ok || !n.IsInt() || !n.Num().IsInt64() {
		return 0
	}
	return n.Num().Int64()
}

func decimal(s string) float64 {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return 0
	}
	return n
}

// seconds is the zero time for what is no positive number.
func seconds(s string) time.Time {
	n := integer(s)
	if n <= 0 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// clean returns s without what XML may not contain: a control character becomes
// a space and bytes that are no UTF-8 become U+FFFD. Followers do send such
// things, and their messages are worth more than the rule.
func clean(s string) string {
	if isClean(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if !legal(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// isClean looks at every byte of every message, so it knows the two kinds that
// most of them consist of.
func isClean(s string) bool {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c < utf8.RuneSelf:
			if c < ' ' && !legal(rune(c)) {
				return false
			}
			i++
		case 0xE1 <= c && c <= 0xEC && i+2 < len(s) && s[i+1]&0xC0 == 0x80 && s[i+2]&0xC0 == 0x80: // Chinese and others of three bytes
			i += 3
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 || !legal(r) {
				return false
			}
			i += size
		}
	}
	return true
}

// legal reports whether XML may contain a character that UTF-8 can.
func legal(r rune) bool {
	return r >= ' ' && r != '\uFFFE' && r != '\uFFFF' || r == '\n' || r == '\t' || r == '\r'
}
