package console

import (
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/page"
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

// TestMeaningByAccount: an errcode means what it means at the host of its account.
func TestMeaningByAccount(t *testing.T) {
	const app = "ww0123456789abcdef:1000002"
	for _, test := range []struct {
		appID   string
		code    int
		en, zh  string
		foreign string // what it means elsewhere
	}{
		{"wx0123456789abcdef", 40013, "AppID", "AppID", "corpid"},
		{app, 40013, "no corp of that corpid", "CorpID", "AppID"},
		{"wx0123456789abcdef", 40091, "component_verify_ticket", "component_verify_ticket", "corp"},
		{app, 40091, "another corp's", "其他企业", "component"},
		{app, 45009, "in a minute or an hour", "按分钟或小时计", "day"},
	} {
		for l, want := range map[lang.Lang]string{lang.English: test.en, lang.Chinese: test.zh} {
			v := &view{Looks: page.Looks{Lang: l}}
			cause, remedy := v.explain(&custody.Error{Key: custody.Key{AppID: test.appID}, Code: test.code})
			if all := cause + remedy; !strings.Contains(all, want) || l == lang.English && strings.Contains(all, test.foreign) {
				t.Errorf("%d of %s: %q", test.code, test.appID, all)
			}
			if line := v.failed(test.appID, "errcode 40091"); strings.Contains(line, "corp") != (test.appID == app) && l == lang.English {
				t.Errorf("the journal of %s: %q", test.appID, line)
			}
		}
	}
	if api := (row{state: gateway.AccountState{Status: custody.Status{Key: custody.Key{AppID: app}}}}).API(); api != "gettoken" {
		t.Errorf("the page says that an app's token comes from %s", api)
	}
}
