package gateway_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const callbackOfFirst = "http://gateway.invalid/callback/" + firstApp

// corpPushes are two apps of a corp, of which the first pushes to a gateway.
type corpPushes struct {
	*pushing

	gateway *gateway.Gateway
	log     *logtest.Log
}

// corpFanout is a gateway with systems behind the first app. change changes what WeCom's
// console says of it.
func corpFanout(t *testing.T, systems company, change func(*simulator.Account)) *corpPushes {
	t.Helper()
	first := simulator.Account{
		AppID: firstApp, Kind: simulator.WeCom, Secret: "madeUpSecretOne", Token: pushToken, AESKey: pushAESKey, Followers: followers,
	}
	if change != nil {
		change(&first)
	}
	wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{
		first, {AppID: secondApp, Kind: simulator.WeCom, Secret: "madeUpSecretTwo", Token: pushToken, AESKey: pushAESKey},
	}})
	p := &corpPushes{&pushing{t, wx}, nil, new(logtest.Log)}
	p.gateway = p.pushing.gateway(memory.New(), systems, p.log, func(c *gateway.Config) {
		c.Accounts = []gateway.Account{
			{AppID: firstApp, Secret: custody.NewSecret("madeUpSecretOne"), Callback: systems.callback()},
			{AppID: secondApp, Secret: custody.NewSecret("madeUpSecretTwo")},
		}
	})
	return p
}

func (p *corpPushes) push(m simulator.Message) simulator.Result {
	p.t.Helper()
	return p.deliver(simulator.Push{Handler: p.gateway, URL: callbackOfFirst, Message: m})
}

// corpSystem is a system that knows how WeCom pushes, and nothing of gateways.
func corpSystem(name string) *system {
	s := newSystem(name, gateway.Safe)
	s.Mode, s.app = "", firstApp
	return s
}

// TestWeComFanout: each system gets what it wants in WeCom's own crypto, under its own keys.
// The first of them answers the member, and a repeated push reaches nobody twice.
func TestWeComFanout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bot, audit, clicks := corpSystem("bot"), corpSystem("audit"), corpSystem("clicks")
		bot.When = gateway.Rule{Types: []string{"text"}}
		clicks.When = gateway.Rule{Events: []string{"click"}, Key: "menu_*", Followers: followers[1:2]}
		for _, s := range []*system{bot, audit, clicks} {
			s.says = func(g got) string { return strings.Replace(echo(g), "you wrote", s.Name+" says", 1) }
		}
		p := corpFanout(t, company{bot, audit, clicks}, nil)
		defer func() { _ = p.gateway.Close() }()
		verified, err := p.wx.Verify(t.Context(), simulator.Push{Handler: p.gateway, URL: callbackOfFirst})
		if err != nil || !verified.OK() {
			t.Errorf("the console's verification: %v, %v", verified, err)
		}
		m := simulator.Text("hello").By(followers[0])
		m.ID = 4711
		for range 2 {
			if result := p.push(m); result.Verdict != simulator.Replied || result.Sees != "bot says hello" {
				t.Errorf("the member does not see the bot's answer: %s", result)
			}
		}
		for _, who := range followers[:2] {
			if result := p.push(simulator.Click("menu_1").By(who)); result.Sees != "audit says CLICK menu_1" {
				t.Errorf("a click: %s", result)
			}
		}
		synctest.Wait()
		click := ":CLICK menu_1"
		for s, want := range map[*system][]string{
			bot: {followers[0] + ":hello"}, audit: {followers[0] + ":hello", followers[0] + click, followers[1] + click}, clicks: {followers[1] + click},
		} {
			if got := s.pushes(); s.refused != "" || !slices.Equal(got, want) {
				t.Errorf("%s got %q, want %q; refused: %q", s.Name, got, want, s.refused)
			}
		}
		if queues, err := p.gateway.Queues(t.Context()); err != nil || len(queues) != 3 || queues[0].AppID != firstApp || queues[0].Waiting != 0 {
			t.Errorf("%+v, %v", queues, err)
		}
		if text := p.log.String(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
			t.Error(text)
		}
	})
}

// TestWeComFanoutLate: what a system does not take waits, in the order of the member, and
// comes in WeCom's form too.
func TestWeComFanoutLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crm := corpSystem("crm")
		p := corpFanout(t, company{crm}, nil)
		defer func() { _ = p.gateway.Close() }()
		crm.change(func(s *system) { s.away = true })
		var want []string
		for i := range 5 {
			text := fmt.Sprint("message ", i)
			if result := p.push(simulator.Text(text).By(followers[0])); result.Verdict != simulator.Silent {
				t.Errorf("a system that is away: %s", result)
			}
			want = append(want, followers[0]+":"+text)
		}
		crm.change(func(s *system) { s.away = false })
		time.Sleep(2 * time.Minute) // in the bubble: longer than the longest pause
		synctest.Wait()
		if got := crm.pushes(); crm.refused != "" || !slices.Equal(got, want) {
			t.Errorf("it got %q, want %q; refused: %q", got, want, crm.refused)
		}
	})
}

// TestWeComFanoutAttacks: what WeCom did not send, or sent to somebody else, reaches nobody.
func TestWeComFanoutAttacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bot := corpSystem("bot")
		p := corpFanout(t, company{bot}, nil)
		defer func() { _ = p.gateway.Close() }()
		for attack, reason := range map[simulator.Attack]string{
			simulator.WrongSignature: "msg_signature", simulator.Stale: "stale", simulator.Tampered: "msg_signature",
			simulator.ForeignAppID: "appid", simulator.PlainText: "plain_text",
		} {
			result := p.deliver(simulator.Push{Handler: p.gateway, URL: callbackOfFirst, Message: simulator.Text("forged"), Attack: attack})
			if result.Verdict != simulator.Refused || result.Deliveries[0].Status != http.StatusForbidden || result.Deliveries[0].Body != "wrong" {
				t.Errorf("%s: %s", attack, result)
			}
			if !strings.Contains(p.log.String(), "reason="+reason) {
				t.Errorf("%s: the log does not say %q:\n%s", attack, reason, p.log)
			}
		}
		for _, attack := range []simulator.Attack{simulator.WrongSignature, simulator.ForeignAppID} {
			result, err := p.wx.Verify(t.Context(), simulator.Push{Handler: p.gateway, URL: callbackOfFirst, Attack: attack})
			if err != nil || result.Verdict != simulator.Refused || result.Deliveries[0].Status != http.StatusForbidden {
				t.Errorf("a verification, %s: %s, %v", attack, result, err)
			}
		}
		// A bot's push is for nobody, and is signed and encrypted with the app's own keys here.
		nobody := simulator.Push{Handler: p.gateway, URL: callbackOfFirst, Message: simulator.Text("x"), Format: simulator.JSON, Deliveries: 1}
		if result := p.deliver(nobody); result.Deliveries[0].Status != http.StatusForbidden {
			t.Errorf("a push without a receive id: %s", result)
		}
		now := fmt.Sprint(time.Now().Unix())
		plain := url.Values{"signature": {hex.EncodeToString(sha1Sum(pushToken, now, "1"))}, "timestamp": {now}, "nonce": {"1"}, "echostr": {"123"}}.Encode()
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			answer := httptest.NewRecorder()
			body := "<xml><FromUserName>x</FromUserName><MsgType>text</MsgType><Content>forged</Content></xml>"
			p.gateway.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), method, "/callback/"+firstApp+"?"+plain, strings.NewReader(body)))
			if answer.Code != http.StatusForbidden || answer.Body.String() != "wrong" {
				t.Errorf("%s with a plain signature: %d %s", method, answer.Code, answer.Body)
			}
		}
		for path, want := range map[string]struct {
			status int
			body   string
		}{
			secondApp:                     {http.StatusNotFound, "wrong"}, // it has no callback
			corpID + "%3A1000002":         {http.StatusForbidden, "wrong"},
			corpID + ":1000002:1":         {http.StatusOK, "40066"}, // no path that WeCom has
			corpID + ":x":                 {http.StatusOK, "40066"},
			":1000002":                    {http.StatusOK, "40066"},
			"../callback/" + firstApp:     {http.StatusOK, "40066"},
			firstApp + "/":                {http.StatusOK, "40066"},
			corpID + "%3A1000002%2f..%2f": {http.StatusOK, "40066"},
		} {
			answer := httptest.NewRecorder()
			p.gateway.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/callback/"+path, http.NoBody))
			if answer.Code != want.status || !strings.Contains(answer.Body.String(), want.body) {
				t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
			}
		}
		synctest.Wait()
		if bot.asked != 0 {
			t.Errorf("the system was asked %d times: %q", bot.asked, bot.pushes())
		}
		for _, secret := range []string{pushToken, pushAESKey, "madeUpSecret"} {
			if strings.Contains(p.log.String(), secret) {
				t.Errorf("the log shows a secret:\n%s", p.log)
			}
		}
	})
}

// TestWeComFanoutReceivers: a push is for the corp of the app, whatever else its console has.
func TestWeComFanoutReceivers(t *testing.T) {
	for _, receiver := range []string{"wwfedcba9876543210", "ww4asffe99e54c0f4c", firstApp} {
		bot := corpSystem("bot")
		p := corpFanout(t, company{bot}, func(a *simulator.Account) { a.ReceiverID = receiver })
		result := p.deliver(simulator.Push{Handler: p.gateway, URL: callbackOfFirst, Message: simulator.Text("x"), Deliveries: 1})
		if result.Deliveries[0].Status != http.StatusForbidden || bot.asked != 0 || !strings.Contains(p.log.String(), receiver) {
			t.Errorf("for %s: %s; the system was asked %d times\n%s", receiver, result, bot.asked, p.log)
		}
		verified, err := p.wx.Verify(t.Context(), simulator.Push{Handler: p.gateway, URL: callbackOfFirst})
		if err != nil || verified.OK() {
			t.Errorf("a verification for %s: %v, %v", receiver, verified, err)
		}
		_ = p.gateway.Close()
	}
}

// TestWeComCallbackSettings: what a configuration file says of an app's callback, and what
// cannot be, with its line and no secret.
func TestWeComCallbackSettings(t *testing.T) {
	t.Parallel()
	const other = "madeUpSecretKeyabcdefghijklmnopqrstuvwxyz01"
	file := func(callback string) string {
		return "accounts:\n  - corpid: ww1\n    agentid: \"1000002\"\n    secret: " + other + "\n    callback:\n" + callback
	}
	own := "      token: " + pushToken + "\n      aes_key: " + pushAESKey + "\n"
	sub := "      subscribers:\n        - {name: crm, token: tokenOfTheCRM, url: \"https://crm.invalid/x\""
	s, err := gateway.ParseSettings([]byte(file(own+sub+", aes_key: "+strings.Repeat("b", 43)+"}\n")), t.TempDir(), lookUp(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Accounts[0].Callback; s.Accounts[0].AppID != "ww1:1000002" || c == nil || c.Token.Reveal() != pushToken || len(c.Subscribers) != 1 {
		t.Errorf("%+v", s.Accounts)
	}
	for text, want := range map[string]string{
		"      token: " + pushToken + "\n" + sub + "}\n": "callback of ww1:1000002: aes_key is empty: WeCom encrypts all that it sends",
		own + sub + "}\n":                              "line 9: callback of ww1:1000002: subscriber crm: aes_key is empty: WeCom",
		own + "      mode: plain\n" + sub + "}\n":      "line 8: callback of ww1:1000002: mode is plain: leave it out",
		own + "      mode: compatible\n" + sub + "}\n": "mode is compatible: leave it out",
		own + sub + ", mode: plain}\n":                 "mode is plain: leave it out",
		own:                                            "callback has no subscribers",
		"      token: " + pushAESKey + "\n      aes_key: " + pushToken + "\n": "line 6: callback.token and callback.aes_key look swapped",
		"      token: " + pushToken + "\n      aes_key: " + other + "\n":      "line 4: secret and callback.aes_key are the same value",
	} {
		_, err := gateway.ParseSettings([]byte(file(text)), t.TempDir(), lookUp(nil))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), other) || strings.Contains(err.Error(), pushToken) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestWeComCallbackOfAdmin: an app with a callback comes by the admin API too.
func TestWeComCallbackOfAdmin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bot := corpSystem("bot")
		p := corpFanout(t, company{bot}, nil)
		defer func() { _ = p.gateway.Close() }()
		if err := p.gateway.Replace(nil); err != nil {
			t.Fatal(err)
		}
		admin := p.gateway.Admin(custody.NewSecret(adminKey), nil)
		body := fmt.Sprintf(`{"accounts":[{"corpid":%q,"agentid":"1000002","secret":"madeUpSecretOne","callback":{"token":%q,"aes_key":%q,"subscribers":[
			{"name":"bot","url":"http://127.0.0.1/bot","token":"tokenOfbot","aes_key":%q}]}}]}`, corpID, pushToken, pushAESKey, bot.AESKey.Reveal())
		if got := call(admin, http.MethodPut, "/accounts", body, adminKey); got.Code != http.StatusOK {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
		if result := p.push(simulator.Text("x").By(followers[0])); !result.OK() || bot.count() != 1 {
			t.Errorf("%s; the system got %d", result, bot.count())
		}
		wrong := strings.Replace(body, `"aes_key":"`+pushAESKey+`",`, "", 1)
		if got := call(admin, http.MethodPut, "/accounts", wrong, adminKey); got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), "WeCom encrypts all that it sends") {
			t.Errorf("%d %s", got.Code, got.Body)
		}
	})
}

// TestWeComForeignTokens: a token that no gateway made, such as WeCom's own from before the
// program called the gateway, is refused with an errcode at which its program fetches another.
func TestWeComForeignTokens(t *testing.T) {
	t.Parallel()
	app := gateway.Account{AppID: firstApp, Secret: custody.NewSecret("madeUpSecretOne")}
	official := gateway.Account{AppID: appID, Secret: custody.NewSecret(appSecret)}
	for want, accounts := range map[int][]gateway.Account{40001: {official}, 40014: {app}, 42001: {official, app}} {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{
			{AppID: appID, Secret: appSecret}, {AppID: firstApp, Kind: simulator.WeCom, Secret: "madeUpSecretOne"},
		}})
		w := join(t, wx, memory.New(), func(c *gateway.Config) { c.Accounts = accounts })
		for _, token := range []string{"madeUpTokenOfWeComs", "zk_", "zk_AAAA"} {
			if got := w.get("/cgi-bin/user/get?userid=x&access_token=" + token); got.Errcode != want || !strings.Contains(got.Errmsg, "(zhongkong)") {
				t.Errorf("%d accounts, %s: %s, want %d", len(accounts), token, got.body, want)
			}
		}
		if n := w.Numbers().WrongKeys; n != 3 {
			t.Errorf("%d: %d wrong keys were counted", want, n)
		}
	}
}
