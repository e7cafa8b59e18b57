package shape

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the most characters of a name that is for people.
const MaxName = 64

// Name checks a name that is for people, such as 主店公众号, in the field of that name. It is
// shown on pages, in logs and in metrics, so it must not be a secret, and must not change
// how the line around it looks. "" is no name, and right.
func Name(field, name string) error {
	switch {
	case IsSecret(name):
		return fmt.Errorf("%s is shown to people, and holds what may be a secret: look whether two values are swapped", field)
	case utf8.RuneCountInString(name) > MaxName || strings.TrimSpace(name) != name || strings.ContainsFunc(name, disturbs):
		return fmt.Errorf("%s has to be a text of at most %d characters, without control characters, and without spaces around it", field, MaxName)
	}
	return nil
}

// Shown returns a name that is kept somewhere, "" in the place of one that [Name] refuses.
func Shown(name string) string {
	if Name("", name) != nil {
		return ""
	}
	return name
}

// disturbs reports whether a character changes the line around it: a control, the end of a
// line, a change of the direction of writing, or the sign for bytes that are not UTF-8.
func disturbs(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) || r == '\uFEFF' || r == utf8.RuneError
}
