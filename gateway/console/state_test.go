package console

import (
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/page"
)

// TestChineseSentences: a full stop ends a sentence, in either language, and one does.
func TestChineseSentences(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"it did not answer":         "It did not answer.",
		"It did not answer.":        "It did not answer.",
		"did it?":                   "Did it?",
		"it did not answer in time": "未在规定时间内应答。",
	} {
		lang := page.English
		if want == "未在规定时间内应答。" {
			lang = page.Chinese
		}
		if got := sentence(chinese.Say(lang, text)); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
