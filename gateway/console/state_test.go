package console

import (
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/page"
)

// TestSentences: a full stop ends a sentence, in either language, and one does.
func TestSentences(t *testing.T) {
	for _, test := range []struct {
		lang       page.Lang
		text, want string
	}{
		{page.English, "", ""},
		{page.English, "it did not answer", "It did not answer."},
		{page.English, "It did not answer.", "It did not answer."},
		{page.English, "did it?", "Did it?"},
		{page.Chinese, "it did not answer in time", "未在规定时间内应答。"},
	} {
		if got := sentence(chinese.Say(test.lang, test.text)); got != test.want {
			t.Errorf("%q became %q, want %q", test.text, got, test.want)
		}
	}
}
