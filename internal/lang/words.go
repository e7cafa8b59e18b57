package lang

import (
	"fmt"
	"strconv"
	"time"
)

// Words are Chinese texts by the English ones in the code. A text that is not
// among them stays English.
type Words map[string]string

// Say says a text in a language, with args as [fmt.Sprintf] puts them in.
func (w Words) Say(l Lang, text string, args ...any) string {
	if l == Chinese {
		if translated := w[text]; translated != "" {
			text = translated
		}
	}
	if len(args) > 0 {
		return fmt.Sprintf(text, args...)
	}
	return text
}

// Span is a duration as one says it, in steps that need not change every second. Its
// texts are "%d h", "%d h %d min", "%d min", "%d min %d s" and "%d s".
func (w Words) Span(l Lang, d time.Duration) string {
	switch s := int(d / time.Second); {
	case s >= 3600 && s%3600 < 60:
		return w.Say(l, "%d h", s/3600)
	case s >= 3600:
		return w.Say(l, "%d h %d min", s/3600, s/60%60)
	case s >= 600, s >= 60 && s%60 < 10:
		return w.Say(l, "%d min", s/60)
	case s >= 60:
		return w.Say(l, "%d min %d s", s/60, s%60/10*10)
	default:
		return w.Say(l, "%d s", s)
	}
}

// Number writes a number with its thousands apart.
func Number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
