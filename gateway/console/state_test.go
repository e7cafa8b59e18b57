package console

import (
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/lang"
)

// TestSentences: a full stop ends a sentence, in either language, and one does.
func TestSentences(t *testing.T) {
	for _, test := range []struct {
		lang       lang.Lang
		text, want string
	}{
		{lang.English, "", ""},
		{lang.English, "it did not answer", "It did not answer."},
		{lang.English, "It did not answer.", "It did not answer."},
		{lang.English, "did it?", "Did it?"},
		{lang.Chinese, "it did not answer in time", "未在规定时间内应答。"},
	} {
		if got := sentence(chinese.Say(test.lang, test.text)); got != test.want {
			t.Errorf("%q became %q, want %q", test.text, got, test.want)
		}
	}
}
