package gateway_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/shapetest"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
)

func lookUp(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { value, ok := env[name]; return value, ok }
}

func TestSettings(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "crm.secret"), []byte("made-up-secret-of-the-crm\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := gateway.ParseSettings([]byte(`
listen: 0.0.0.0:8300
plain_http: true
login:
  origin: https://login.example
tls: {cert: cert.pem, key: /etc/key.pem}
admin:
  listen: 127.0.0.1:8301
  key: {env: ADMIN_KEY}
  metrics_key: {env: METRICS_KEY}
store: sqlite:zhongkong.db
log: {level: debug, format: json}
timing: {fetch_timeout: 20s, lease_ttl: 30s, store_timeout: 500ms}
accounts:
  - appid: wx0000000000000001
    secret: {env: SHOP_APPSECRET}
  - appid: wx0000000000000002
    secret: {file: crm.secret}
    token_api: classic
    daily_fetches: 100
  - appid: wx0000000000000003
    secret: 00000000000000000000000000000e12
  - {appid: wx0000000000000004, secret: "0123"}
`), folder, lookUp(map[string]string{"SHOP_APPSECRET": "made-up-shop", "ADMIN_KEY": strings.Repeat("k", 32), "METRICS_KEY": strings.Repeat("m", 32)}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []gateway.Account{
		{AppID: "wx0000000000000001", TokenAPI: platform.Stable},
		{AppID: "wx0000000000000002", TokenAPI: platform.Classic, DailyFetches: 100},
		{AppID: "wx0000000000000003", TokenAPI: platform.Stable},
		{AppID: "wx0000000000000004", TokenAPI: platform.Stable},
	} {
		secret := []string{"made-up-shop", "made-up-secret-of-the-crm", "00000000000000000000000000000e12", "0123"}[i]
		got := s.Accounts[i]
		if got.AppID != want.AppID || got.TokenAPI != want.TokenAPI || got.DailyFetches != want.DailyFetches || got.Secret.Reveal() != secret {
			t.Errorf("account %d: %+v with %q", i, got, got.Secret.Reveal())
		}
	}
	if s.TLS.Cert != filepath.Join(folder, "cert.pem") || s.TLS.Key != "/etc/key.pem" || s.Admin.Key.IsZero() || s.Admin.MetricsKey.Reveal() != strings.Repeat("m", 32) || !s.PlainHTTP || s.Log.Level.String() != "DEBUG" ||
		s.Login != (gateway.Login{Origin: "https://login.example"}) {
		t.Errorf("%+v", s)
	}
	if want := (custody.Timing{
		FetchTimeout: 20 * time.Second, LeaseTTL: 30 * time.Second,
		StoreTimeout: 500 * time.Millisecond,
	}); s.Timing != want {
		t.Errorf("timing %+v, want %+v", s.Timing, want)
	}
	if _, err := gateway.ParseSettings(nil, folder, lookUp(nil)); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

// TestSettingsMistakes: the line, what is wrong, and nothing that may be a secret.
func TestSettingsMistakes(t *testing.T) {
	const secret = "made-up-secret-0123456789"
	for _, row := range []struct{ text, want string }{
		{"listen: x\nlisten: y\n", "line 2: "},
		{"accounts:\n !0\n00", "look for a tag"},
		{"listne: x\n", `line 1: unknown field "listne"`},
		{"accounts: 7\n", "line 1: "},
		{"accounts:\n  - appid: wx1\n    secret: [" + secret + "]\n", "line 3: a secret is {env: NAME}"},
		{"accounts:\n  - appid: wx1\n    secret: {env: A, file: B}\n", "line 3: a secret is {env: NAME}"},
		{"accounts:\n  - appid: wx1\n    secret: {literal: " + secret + "}\n", "line 3: a secret is {env: NAME}"},
		{"accounts:\n  - appid: wx1\n    secret: " + secret + "\n    token_api: new\n", `line 4: there is no token API "new"`},
		{"accounts:\n  - appid: wx1\n    secret: " + secret + "\n    daily_fetches: " + secret + "\n", "line 4: "},
		{"accounts:\n  - appid: wx1\n    secret: " + secret + "\n    secert: " + secret + "\n", `line 4: unknown field "secert"`},
		{"accounts:\n  - appid: wx1\n", "line 2: the account wx1 has no secret"},
		{"accounts:\n  - secret: " + secret + "\n", "line 2: the account has no appid"},
		{"accounts:\n  - {appid: wx1, secret: " + secret + "}\n  - {appid: wx1, secret: " + secret + "}\n", "line 3: the account wx1 appears twice"},
		{"accounts:\n  - appid: wx1\n    secret: {env: NONE}\n", "line 3: the secret of wx1: the environment variable NONE is not set"},
		{"accounts:\n  - appid: wx1\n    secret: {file: none}\n", "line 3: the secret of wx1: the file of the secret cannot be read"},
		{"accounts:\n  - appid: wx1\n    secret: \"" + secret + " x\"\n", "line 3: the secret of wx1: the secret holds white space"},
		{"accounts:\n  - appid: \"wx 1\"\n    secret: " + secret + "\n", "line 2: the appid holds other characters"},
		{"a: b\n\nlisten: x\n  store: " + secret + "\n", "line "},
		{"listen: x\ntls: {cert: x}\n", "line 2: tls needs cert and key"},
		{"api_base: http://api.weixin.qq.com\n", "line 1: api_base must begin with https://"},
		{"admin:\n  listen: x\n  key: short\n", "line 3: admin.key: it needs at least 32"},
		{"admin:\n  metrics_key: short\n", "line 2: admin.metrics_key: it needs at least 32"},
		{"admin:\n  key: " + secret + secret + "\n  metrics_key: " + secret + secret + "\n", "line 3: admin.metrics_key is the admin key"},
		{"log:\n  level: loud\n", `line 2: log.level is "loud"`},
		{"login:\n  origin: login.example\n", "line 2: login.origin has to be https:// or http:// and a host"},
		{"login: {open_base: https://open.weixin.qq.com/}\n", "line 1: login.open_base has to be"},
		{"log: {format: xml}\n", `line 1: log.format is "xml"`},
		{"plain_http: perhaps\n", "line 1: "},
		{"timing:\n  fetch_timeout: 8\n", `line 2: timing.fetch_timeout is "8": it must be a positive duration`},
		{"timing: {lease_ttl: -1s}\n", `line 1: timing.lease_ttl is "-1s"`},
		{"timing:\n  patience: 8s\n", `line 2: unknown field "patience"`},
		{"\tlisten: x", "line 1: "},
	} {
		_, err := gateway.ParseSettings([]byte(row.text), t.TempDir(), lookUp(nil))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: got %v, want %q", row.text, err, row.want)
			continue
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the error shows too much: %v", row.text, err)
		}
	}
}

// TestMistakes: values in each other's place, in the file, the admin API and Go.
func TestMistakes(t *testing.T) {
	names := []string{"appid", "secret", "callback.token", "callback.aes_key"}
	w := newWorld(t, simulator.Options{}, func(*gateway.Config) {})
	admin := w.Admin(custody.NewSecret(adminKey), nil)
	for _, m := range shapetest.Mistakes {
		account := map[string]any{"appid": m.AppID, "secret": m.Secret}
		goes := gateway.Account{AppID: m.AppID, Secret: custody.NewSecret(m.Secret)}
		if m.Token+m.AESKey != "" {
			subscriber := map[string]string{"name": "crm", "url": "https://crm.example.org", "token": "anotherToken"}
			account["callback"] = map[string]any{"token": m.Token, "aes_key": m.AESKey, "subscribers": []any{subscriber}}
			goes.Callback = &gateway.Callback{Token: custody.NewSecret(m.Token), AESKey: custody.NewSecret(m.AESKey)}
		}
		body, err := json.Marshal(map[string]any{"accounts": []any{account}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = gateway.ParseSettings(body, t.TempDir(), lookUp(nil))
		if problem := m.Judge(err, names...); problem != "" {
			t.Errorf("the file: %s", problem)
		}
		if err := m.Judge(w.Replace([]gateway.Account{goes}), names...); err != "" {
			t.Errorf("Replace: %s", err)
		}
		got := call(admin, "PUT", "/accounts", string(body), adminKey)
		var answer struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		if problem := m.Judge(errors.New(answer.Error), names...); problem != "" || got.Code != 400 {
			t.Errorf("the admin API: %d: %s", got.Code, problem)
		}
	}
	// Elsewhere a secret is not shown either.
	for _, text := range []string{
		"log: {level: SECRET}", "log: {format: SECRET}", "timing: {lease_ttl: SECRET}", "api_base: SECRET", "SECRET: x", "plain_http: SECRET",
		"accounts: [{appid: wx1, secret: {env: SECRET}}]", "accounts: [{appid: wx1, secret: {file: SECRET}}]", "accounts: [{appid: SECRET}]",
		"accounts: [{appid: wx1, secret: x, token_api: SECRET}]", "accounts: [{appid: wx1, secret: x, daily_fetches: SECRET}]",
		"accounts: [{appid: wx1, secret: x, callback: {token: abc, mode: SECRET, subscribers: [{name: a, url: SECRET, token: abc}]}}]",
	} {
		_, err := gateway.ParseSettings([]byte(strings.ReplaceAll(text, "SECRET", shapetest.Secret)), t.TempDir(), lookUp(nil))
		if err == nil || strings.Contains(err.Error(), shapetest.Secret) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, body := range []string{
		`{"name":"shop","accounts":["SECRET"]}`, `{"name":"SECRET!","accounts":["*"]}`, `{"name":"crm","accounts":["*"],"paths":["SECRET"]}`,
		`{"name":"zkkey_x","accounts":["*"]}`, `{"name":"crm","accounts":["zkkey_x"]}`,
	} {
		got := call(admin, "POST", "/clients", strings.ReplaceAll(body, "SECRET", shapetest.Secret), adminKey)
		if got.Code != 400 || strings.Contains(got.Body.String(), shapetest.Secret) {
			t.Errorf("%s: %d %s", body, got.Code, got.Body)
		}
	}
	for _, row := range []struct{ text, want string }{
		{"tls: {cert: ~/cert.pem, key: key.pem}", "tls.cert begins with ~"},
		{"accounts: [{appid: wx1, secret: {file: ~/secret}}]", "begins with ~"},
		{"api_base: https://api.weixin.qq.com/cgi-bin", "api_base must not end in /cgi-bin"},
	} {
		if _, err := gateway.ParseSettings([]byte(row.text), t.TempDir(), lookUp(nil)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.text, err)
		}
	}
}
