package gateway_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/gateway"
)

func TestCallbackSettings(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "crm.key"), []byte(pushAESKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := gateway.ParseSettings([]byte(`
accounts:
  - appid: wx0000000000000001
    secret: made-up
    callback:
      token: {env: PUSH_TOKEN}
      previous_token: theOneBefore
      aes_key: `+pushAESKey+`
      previous_aes_key: `+strings.Repeat("b", 43)+`
      mode: compatible
      subscribers:
        - name: bot
          url: http://127.0.0.1:3100/wechat?tenant=1
          token: tokenOfTheBot
        - name: crm
          url: https://crm.example.com
          token: tokenOfTheCRM
          aes_key: {file: crm.key}
          when:
            type: [text]
            event: [subscribe, CLICK]
            key: menu_*
            follower: [oAbCd0123456789EfGhIjKlMnOp1]
        - {name: audit, url: "http://audit:8080/", token: 0123, aes_key: `+pushAESKey+`, mode: safe}
  - {appid: wx0000000000000002, secret: made-up}
`), folder, lookUp(map[string]string{"PUSH_TOKEN": pushToken}))
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accounts[0].Callback
	if s.Accounts[1].Callback != nil || c.Token.Reveal() != pushToken || c.PreviousToken.Reveal() != "theOneBefore" || c.AESKey.Reveal() != pushAESKey ||
		c.PreviousAESKey.IsZero() || c.Mode != gateway.Compatible || len(c.Subscribers) != 3 {
		t.Fatalf("%+v", c)
	}
	bot, crm, audit := c.Subscribers[0], c.Subscribers[1], c.Subscribers[2]
	rule := gateway.Rule{Types: []string{"text"}, Events: []string{"subscribe", "CLICK"}, Key: "menu_*", Followers: []string{"oAbCd0123456789EfGhIjKlMnOp1"}}
	if bot.Name != "bot" || bot.URL != "http://127.0.0.1:3100/wechat?tenant=1" || bot.Token.Reveal() != "tokenOfTheBot" || !bot.AESKey.IsZero() ||
		crm.AESKey.Reveal() != pushAESKey || !reflect.DeepEqual(crm.When, rule) || audit.Token.Reveal() != "0123" || audit.Mode != gateway.Safe {
		t.Errorf("%+v", c)
	}
}

// TestCallbackMistakes: the line, what is wrong, and no secret.
func TestCallbackMistakes(t *testing.T) {
	const head = "accounts:\n  - appid: wx1\n    secret: made-up\n    callback:\n"
	const token, key = "madeUpSecretToken", "madeUpSecretKeyabcdefghijklmnopqrstuvwxyz01"
	own := head + "      token: " + token + "\n"
	sub := own + "      subscribers:\n"
	one := func(fields string) string { return sub + "        - {" + fields + "}\n" }
	good := "name: crm, token: " + token + ", url: \"https://crm.invalid/x\""
	for _, row := range []struct{ text, want string }{
		{own, "line 5: callback of wx1: callback has no subscribers"},
		{head + "      subscribers: []\n", "line 5: callback of wx1: token is empty"},
		{own + "      mode: open\n", `line 6: callback of wx1: mode is "open"`},
		{own + "      mode: safe\n", "line 6: callback of wx1: mode is safe, which needs an aes_key"},
		{own + "      mode: plain\n      aes_key: " + key + "\n", "line 6: callback of wx1: mode is plain, but there is an aes_key"},
		{own + "      aes_key: " + key + "x\n", "line 6: callback of wx1: aes_key: it has 44 characters"},
		{own + "      previous_aes_key: " + key + "\n", "line 6: callback of wx1: previous_aes_key is set without aes_key"},
		{own + "      aes_key: {env: NONE}\n", "line 6: callback of wx1: the environment variable NONE is not set"},
		{own + "      tokn: " + token + "\n", `line 6: unknown field "tokn"`},
		{sub + "        - url: x\n", "line 7: callback of wx1: the subscriber has no name"},
		{one("name: \"c r m\", token: " + token), "line 7: callback of wx1: the name holds other characters"},
		{one("name: crm, token: " + token), "line 7: callback of wx1: the subscriber crm has no url"},
		{one("name: crm, url: \"https://crm.invalid\""), "line 7: callback of wx1: subscriber crm: token is empty"},
		{one("name: crm, token: {file: none}, url: \"https://crm.invalid\""), "line 7: callback of wx1: the file of the secret cannot be read"},
		{one("name: crm, token: " + token + ", url: crm.invalid"), "line 7: callback of wx1: the url of crm has to begin with https://"},
		{one("name: crm, token: " + token + ", url: \"ftp://crm.invalid\""), "the url of crm has to begin with https://"},
		{one("name: crm, token: " + token + ", url: \"https://user:" + key + "@crm.invalid\""), "the url of crm has a user in it"},
		{one("name: crm, token: " + token + ", url: \"https://crm.invalid/#x\""), "the url of crm has a # in it"},
		{one("name: crm, token: " + token + ", url: \"http://crm.invalid/\""), "would travel in the clear: use https, or mode safe"},
		{one("name: crm, mode: compatible, aes_key: " + key + ", token: " + token + ", url: \"http://crm.invalid/\""), "would travel in the clear"},
		{one(good + ", aes_key: short"), "line 7: callback of wx1: subscriber crm: aes_key: it has 5 characters"},
		{one(good + ", mode: safe"), "line 7: callback of wx1: mode is safe, which needs an aes_key"},
		{one(good) + "        - {" + good + "}\n", "line 8: callback of wx1: the subscriber crm appears twice"},
		{one(good + ", when: {typ: [text]}"), `line 7: unknown field "typ"`},
		{one(good + ", when: {type: text}"), "line 7: "},
	} {
		_, err := gateway.ParseSettings([]byte(row.text), t.TempDir(), lookUp(nil))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s\ngot  %v\nwant %s", row.text, err, row.want)
			continue
		}
		if text := err.Error(); strings.Contains(text, token) || strings.Contains(text, key) || strings.Contains(text, "\n") {
			t.Errorf("%s\nthe error shows too much: %v", row.text, err)
		}
	}
	for _, url := range []string{"http://localhost/x", "http://[::1]:8080/", "http://127.9.9.9", "https://crm.invalid:8443/a?b=c"} {
		if _, err := gateway.ParseSettings([]byte(one("name: crm, token: "+token+", url: \""+url+"\"")), "", lookUp(nil)); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
