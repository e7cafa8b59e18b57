package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/middleware/wecom"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const (
	corpID     = "ww0123456789abcdef"
	corpApp    = corpID + ":1000002"
	corpSecret = "madeUpSecretOfTheSalesAppAndNothingElse0001"
	corpToken  = "madeUpToken0123"
	corpKey    = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// newCorpShop has an official account and an app of WeCom, whose corp has another one; the
// doctor's environment is the app's.
func newCorpShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, database: filepath.Join(t.TempDir(), "zhongkong.db")}
	s.Sim = simtest.New(t, simulator.Options{Accounts: []simulator.Account{
		{AppID: tokenAppID, Secret: tokenSecret},
		{AppID: corpApp, Kind: simulator.WeCom, Secret: corpSecret},
		{AppID: corpID + ":1000003", Kind: simulator.WeCom, Secret: "madeUpSecretOfSupport"},
		{AppID: "wwfedcba9876543210:1000002", Kind: simulator.WeCom, Secret: "madeUpSecretElsewhere"},
	}})
	s.env = map[string]string{
		"WECOM_CORPID": corpID, "WECOM_AGENTID": "1000002", "WECOM_SECRET": corpSecret, "WECOM_API_BASE": s.URL,
		"ZHONGKONG_STORE": "memory:",
	}
	return s
}

// TestDoctorWeCom: what is wrong with an app of WeCom is named, by the app's own environment
// and by a gateway's configuration.
func TestDoctorWeCom(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		illness

		corpid, agentid, secret string // instead of the right ones
	}{
		"well":            {},
		"wrong secret":    {illness: illness{check: "credentials", cause: "wrong_secret", errcode: 40001, says: "企业微信管理后台"}, secret: "madeUpSecretThatWasReset"},
		"another corp's":  {illness: illness{check: "credentials", cause: "secret_of_another_corp", errcode: 40091}, secret: "madeUpSecretElsewhere"},
		"unknown corp":    {illness: illness{check: "credentials", cause: "unknown_corpid", errcode: 40013, says: "我的企业"}, corpid: "ww00000000000000aa"},
		"another app's":   {illness: illness{check: "credentials", cause: "wrong_agentid", errcode: 301002, says: "AgentId and Secret of one app"}, secret: "madeUpSecretOfSupport"},
		"unknown agentid": {illness: illness{check: "credentials", cause: "wrong_agentid", errcode: 40056}, agentid: "1000009"},
		"untrusted address": {illness: illness{
			check: "whitelist", cause: "ip_not_trusted", errcode: 60020, ip: "127.0.0.1", says: "Add 127.0.0.1: 企业微信管理后台 → 应用管理 → the app → 企业可信IP",
			do: func(s *shop) { s.SetWhitelist(corpApp, "192.0.2.1") },
		}},
		"ended early": {illness: illness{check: "token", cause: "token_ended_early", state: "warning", errcode: 40014, do: func(s *shop) {
			s.env["ZHONGKONG_STORE"] = "sqlite:" + s.database
			if code, out, errs := started(s.t.Context(), s.env, "migrate", "up"); code != exitOK {
				s.t.Fatal(out, errs)
			}
			s.examine("--fetch --wait 60s", corpSecret).wants(s.t, illness{})
			s.Kill(corpApp)
		}}},
		"too many calls": {illness: illness{check: "credentials", cause: "too_many_calls", errcode: 45009, do: func(s *shop) {
			s.Inject(simulator.Fault{Path: "/cgi-bin/gettoken", Errcode: 45009})
		}}},
		"busy": {illness: illness{check: "credentials", cause: "wechat_busy", state: "warning", errcode: -1, do: func(s *shop) {
			s.Inject(simulator.Fault{Path: "/cgi-bin/gettoken", Errcode: -1})
		}}},
		"out of reach": {illness: illness{check: "wechat", cause: "connect_failed", do: func(s *shop) { s.env["WECOM_API_BASE"] = "http://127.0.0.1:1" }}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newCorpShop(t)
			for variable, value := range map[string]string{"WECOM_CORPID": row.corpid, "WECOM_AGENTID": row.agentid, "WECOM_SECRET": row.secret} {
				if value != "" {
					s.env[variable] = value
				}
			}
			if row.do != nil {
				row.do(s)
			}
			secrets := []string{corpSecret, "madeUpSecret"}
			d := s.examine("--wait 60s", secrets...)
			d.wants(t, row.illness)
			for _, c := range d.Checks {
				if c.Check == "quota" || strings.Contains(c.Found, "token get") {
					t.Errorf("%+v", c)
				}
			}

			file := filepath.Join(t.TempDir(), "gateway.yaml")
			lines := "listen: 127.0.0.1:0\nstore: '" + s.env["ZHONGKONG_STORE"] + "'\napi_base: " + s.URL + "\nwecom_base: " + s.env["WECOM_API_BASE"] +
				"\naccounts:\n  - {appid: " + tokenAppID + ", secret: '" + tokenSecret + "'}\n  - {corpid: " + s.env["WECOM_CORPID"] +
				", agentid: " + s.env["WECOM_AGENTID"] + ", secret: '" + s.env["WECOM_SECRET"] + "'}\n"
			if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
				t.Fatal(err)
			}
			s.env = map[string]string{"ZHONGKONG_SEAL_KEY": sealKey}
			s.examine("--wait 60s --config "+file, secrets...).wants(t, row.illness)
			s.examine("--wait 60s --account "+tokenAppID+" --config "+file, secrets...).wants(t, illness{})
		})
	}
}

// TestDoctorWeComSwapped: a value in another's place is said before anything is asked, and not
// shown.
func TestDoctorWeComSwapped(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{
		"WECOM_CORPID": corpSecret, "WECOM_AGENTID": corpSecret, "WECOM_SECRET": "", "WECOM_TOKEN": corpKey, "WECOM_AES_KEY": "https://x.example",
	} {
		s := newCorpShop(t)
		s.env[variable] = value
		code, out, errs := started(t.Context(), s.env, "doctor")
		if code != exitMistake || errs != "" || strings.Contains(out, corpSecret) || strings.Contains(out, corpKey) || s.Stats(corpApp).Stable.Calls != 0 {
			t.Errorf("%s: %d\n%s%s", variable, code, out, errs)
		}
	}
}

// corpBot is an app of ours behind WeCom's callback.
func corpBot(t *testing.T, corp, token, key string) http.Handler {
	t.Helper()
	bot := callback.NewRouter()
	bot.Text("ping", func(c *callback.Context) error { return c.ReplyText("pong") })
	client, err := wecom.New(wecom.Config{
		CorpID: corp, AgentID: "1000002", Secret: wecom.Secret("made-up-secret"), Token: wecom.Secret(token), AESKey: wecom.Secret(key),
		StoreURL: "memory:", APIBase: "http://127.0.0.1:1", Messages: bot, CallbackPath: "/",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(client.Middleware())
	return r
}

// TestDoctorWeComCallback: an app's address is asked what WeCom will ask.
func TestDoctorWeComCallback(t *testing.T) {
	t.Parallel()
	echoes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.Query().Get("echostr"))) })
	for name, row := range map[string]struct {
		app   http.Handler
		code  int
		cause string
		want  []string
	}{
		"well": {corpBot(t, corpID, corpToken, corpKey), 0, "", []string{
			"WeCom's only mode", "✓ handshake: ", "✓ handshake of a stranger: ", "✓ handshake of another corp: ", "✓ push in safe mode, xml: the app replied with text",
			"✓ forged push, appid: ", "✓ forged push, plaintext: ", "All is well",
		}},
		"another Token":   {corpBot(t, corpID, "Another", corpKey), 1, "callback_wrong_token", []string{"✗ handshake: ", "the same Token, EncodingAESKey and corpid"}},
		"another AES key": {corpBot(t, corpID, corpToken, strings.Repeat("B", 43)), 1, "callback_wrong_token", []string{"✗ handshake: ", "the same Token, EncodingAESKey and corpid"}},
		"another corp":    {corpBot(t, "wwfedcba9876543210", corpToken, corpKey), 1, "callback_wrong_token", []string{"✗ handshake: "}},
		"an echo":         {echoes, 1, "callback_wrong_echo", []string{"✗ handshake: ", "decrypted, without quotes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(row.app)
			defer server.Close()
			s := newCorpShop(t)
			s.env["WECOM_TOKEN"], s.env["WECOM_AES_KEY"] = corpToken, corpKey
			code, out, errs := started(t.Context(), s.env, "doctor", "callback", "--account", "WECOM", "--wait", "60s", "--url", server.URL)
			if code != row.code || errs != "" {
				t.Errorf("exit code %d, want %d\n%s%s", code, row.code, out, errs)
			}
			for _, want := range row.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			ill := illness{}
			if row.cause != "" {
				ill = illness{check: "callback", cause: row.cause}
			}
			s.examine("--wait 60s --callback-url "+server.URL, corpSecret, corpToken, corpKey).wants(t, ill)
		})
	}
	s := newCorpShop(t)
	if code, out, errs := started(t.Context(), s.env, "doctor", "callback", "--account", "WECOM", "--url", "http://127.0.0.1:1"); code != exitMistake || !strings.Contains(errs, "WECOM_TOKEN is not set") {
		t.Errorf("without a Token: %d, %s%s", code, out, errs)
	}
}

// TestServeChecksWeComCallback: serve --check takes an app's callback, and says what is missing.
func TestServeChecksWeComCallback(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	own := "      aes_key: " + corpKey + "\n"
	lines := "store: 'memory:'\nwecom_base: https://wecom.example\naccounts:\n  - corpid: " + corpID + "\n    agentid: 1000002\n    secret: made-up\n    callback:\n" +
		"      token: " + corpToken + "\n" + own + "      subscribers:\n        - {name: crm, url: 'https://crm.example/x', token: tokenOfTheCRM, aes_key: " + strings.Repeat("b", 43) + "}\n"
	for _, row := range []struct {
		text, says string
		code       int
	}{
		{lines, "", exitOK},
		{strings.Replace(lines, own, "", 1), "callback：没有 aes_key：企业微信的推送全部加密", exitMistake},
		{strings.Replace(lines, own, own+"      mode: plain\n", 1), "企业微信的推送全部加密", exitMistake},
		{strings.Replace(lines, "https://wecom.example", "wecom.example", 1), "wecom_base", exitMistake},
		{strings.Replace(lines, "1000002\n", "1000002\n    token_api: stable\n", 1), "企业微信应用没有 token_api 和 signing", exitMistake},
	} {
		if err := os.WriteFile(file, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := started(t.Context(), map[string]string{"ZHONGKONG_SEAL_KEY": sealKey, "LANG": "zh_CN.UTF-8"}, "serve", "--check", "--config", file)
		if code != row.code || !strings.Contains(errs, row.says) || strings.Contains(out+errs, corpToken) || strings.Contains(out+errs, corpKey) {
			t.Errorf("%d, want %d %s\n%s%s\n%s", code, row.code, row.says, out, errs, row.text)
		}
	}
}
