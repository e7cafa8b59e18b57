package doctor

import (
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/lang"
)

var sentences = sync.OnceValue(func() *lang.Dictionary { return lang.NewDictionary(lang.Sentences) })

// chinese is what an error says, as far as that is known in Chinese.
func chinese(text string) string { return sentences().In(lang.Chinese, printable(text)) }

// short is a duration as people read it: 3ms, 1.2s, 10m5s, 1h52m.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "<1ms"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Minute:
		d = d.Round(time.Minute)
	default:
		d = d.Round(time.Second)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// printable is one line that steers no terminal, and is not too long.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || 0x7f <= r && r < 0xa0:
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s, "·"))
	if runes := []rune(s); len(runes) > 300 {
		return string(runes[:299]) + "…"
	}
	return s
}

// lower begins s in the middle of a line, unless with a name.
func lower(s string) string {
	for _, begin := range []string{"The ", "This ", "No ", "Something ", "It "} {
		if strings.HasPrefix(s, begin) {
			return strings.ToLower(s[:1]) + s[1:]
		}
	}
	return s
}
