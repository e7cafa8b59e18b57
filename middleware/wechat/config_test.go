package wechat_test

import (
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/shapetest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestConfigErrors: the text of an error names the field, its variable and the
// rule, and no value of a secret.
func TestConfigErrors(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*wechat.Config)
		want   []string
	}{
		"no AppID":           {func(c *wechat.Config) { c.AppID = "" }, []string{"Config.AppID", "WECHAT_APPID", "empty"}},
		"AppID with a space": {func(c *wechat.Config) { c.AppID += " " }, []string{"Config.AppID", testAppID, "other characters"}},
		"no AppSecret":       {func(c *wechat.Config) { c.AppSecret = wechat.Secret("") }, []string{"Config.AppSecret", "WECHAT_APPSECRET", "empty"}},
		"AppSecret with \\n": {func(c *wechat.Config) { c.AppSecret = wechat.Secret(testSecret + "\n") }, []string{"Config.AppSecret", "white space"}},
		"TokenAPI":           {func(c *wechat.Config) { c.TokenAPI = "both" }, []string{"Config.TokenAPI", "WECHAT_TOKEN_API", `"both"`, `"classic"`}},
		"short AESKey":       {func(c *wechat.Config) { c.AESKey = wechat.Secret(testAESKey[:42]) }, []string{"Config.AESKey", "WECHAT_AES_KEY", "42 characters", "43"}},
		"AESKey without Token": {func(c *wechat.Config) {
			c.Token, c.AESKey = wechat.Secret(""), wechat.Secret(testAESKey[:40]+"+/=")
		}, []string{"Config.AESKey", "letters and digits"}},
		"long PreviousAESKey": {func(c *wechat.Config) {
			c.AESKey, c.PreviousAESKey = wechat.Secret(testAESKey), wechat.Secret(testAESKey+"=")
		}, []string{"Config.PreviousAESKey", "WECHAT_AES_KEY_PREVIOUS", "44 characters"}},
		"only PreviousAESKey": {func(c *wechat.Config) { c.PreviousAESKey = wechat.Secret(testAESKey) }, []string{"Config.PreviousAESKey", "without Config.AESKey"}},
		"only PreviousToken": {func(c *wechat.Config) {
			c.Token, c.PreviousToken = wechat.Secret(""), wechat.Secret(testToken)
		}, []string{"Config.PreviousToken", "WECHAT_TOKEN_PREVIOUS", "without Config.Token"}},
		"CallbackPath":        {func(c *wechat.Config) { c.CallbackPath = "wechat" }, []string{"Config.CallbackPath", "slash"}},
		"CallbackPath, query": {func(c *wechat.Config) { c.CallbackPath = "/wechat?a=b" }, []string{"Config.CallbackPath", "no query"}},
		"APIBase":             {func(c *wechat.Config) { c.APIBase = "api.weixin.qq.com" }, []string{"Config.APIBase (WECHAT_API_BASE) must begin with https://"}},
		"APIBase, /cgi-bin":   {func(c *wechat.Config) { c.APIBase = "https://api.weixin.qq.com/cgi-bin/" }, []string{"Config.APIBase", "must not end in /cgi-bin"}},
		"APIBase, password":   {func(c *wechat.Config) { c.APIBase = "https://user:" + testSecret + "@example.org" }, []string{"Config.APIBase", "user name"}},
		"two stores":          {func(c *wechat.Config) { c.Store = memory.New() }, []string{"Config.Store", "Config.StoreURL"}},
		"StoreURL, a path":    {func(c *wechat.Config) { c.StoreURL = "zhongkong.db" }, []string{"Config.StoreURL", "ZHONGKONG_STORE", "sqlite:"}},
		"StoreURL, no path":   {func(c *wechat.Config) { c.StoreURL = "sqlite:" }, []string{"Config.StoreURL", "no path"}},
		"StoreURL, slashes":   {func(c *wechat.Config) { c.StoreURL = "sqlite://zhongkong.db" }, []string{"Config.StoreURL", "sqlite:zhongkong.db"}},
		"StoreURL, parameter": {func(c *wechat.Config) { c.StoreURL = "sqlite:zhongkong.db?mode=ro" }, []string{"Config.StoreURL", "no parameters"}},
		"StoreURL, memory:x":  {func(c *wechat.Config) { c.StoreURL = "memory:x" }, []string{"Config.StoreURL", "memory: and nothing more"}},
		"StoreURL, redis":     {func(c *wechat.Config) { c.StoreURL = "redis://:" + testSecret + "@localhost/0" }, []string{"Config.StoreURL", "import github.com/zhongkong-go/zhongkong/store/redis", "Config.Store"}},
		"StoreURL, rediss":    {func(c *wechat.Config) { c.StoreURL = "rediss://:" + testSecret + "@localhost/0" }, []string{"store/redis"}},
		"StoreURL, postgres":  {func(c *wechat.Config) { c.StoreURL = "postgres://u:" + testSecret + "@localhost/db" }, []string{"store/postgres"}},
		"StoreURL, mysql":     {func(c *wechat.Config) { c.StoreURL = "mysql://u:" + testSecret + "@localhost/db" }, []string{"store/mysql"}},
		"StoreURL, ~":         {func(c *wechat.Config) { c.StoreURL = "sqlite:~/zhongkong.db" }, []string{"Config.StoreURL", "which only a shell replaces"}},
		"StoreURL, another":   {func(c *wechat.Config) { c.StoreURL = "mongodb://u:" + testSecret + "@localhost/db" }, []string{"sqlite:", "memory:"}},
		"SealKeys":            {func(c *wechat.Config) { c.SealKeys = []custody.Secret{wechat.Secret("short")} }, []string{"Config.SealKeys[0]", "5 bytes", "32"}},
		"Overlap":             {func(c *wechat.Config) { c.Overlap = -1 }, []string{"Config.Overlap", "negative"}},
		"Timing":              {func(c *wechat.Config) { c.Timing.LeaseTTL = time.Second }, []string{"Config.Timing", "LeaseTTL"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			test.change(&cfg)
			client, err := wechat.New(cfg)
			if err == nil {
				_ = client.Close()
				t.Fatal("New accepts it")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error %q does not say %q", err, part)
				}
			}
			mustNotTell(t, err.Error())
		})
	}
}

// TestMistakes: values in each other's place, in a Config and in the environment.
func TestMistakes(t *testing.T) {
	names := []string{"Config.AppID (WECHAT_APPID)", "Config.AppSecret (WECHAT_APPSECRET)", "Config.Token (WECHAT_TOKEN)", "Config.AESKey (WECHAT_AES_KEY)"}
	for _, m := range shapetest.Mistakes {
		client, err := wechat.New(wechat.Config{
			AppID: m.AppID, AppSecret: wechat.Secret(m.Secret), Token: wechat.Secret(m.Token), AESKey: wechat.Secret(m.AESKey),
			StoreURL: "memory:", Logger: slog.New(slog.DiscardHandler),
		})
		if err == nil {
			_ = client.Close()
		}
		if problem := m.Judge(err, names...); problem != "" {
			t.Errorf("New: %s", problem)
		}
		_, err = wechat.ConfigFrom(func(name string) string {
			return map[string]string{
				"WECHAT_APPID": m.AppID, "WECHAT_APPSECRET": m.Secret, "WECHAT_TOKEN": m.Token, "WECHAT_AES_KEY": m.AESKey,
			}[name]
		})
		if problem := m.Judge(err, names...); problem != "" {
			t.Errorf("ConfigFrom: %s", problem)
		}
	}
	// Elsewhere than in the fields of an account, a secret is not shown either.
	for _, name := range []string{
		"WECHAT_TOKEN_API", "WECHAT_API_BASE", "WECHAT_FRESHNESS", "ZHONGKONG_STORE", "ZHONGKONG_SEAL_KEY", "ZHONGKONG_LOG_LEVEL",
		"ZHONGKONG_GATEWAY", "ZHONGKONG_GATEWAY_KEY", "ZHONGKONG_FETCH_TIMEOUT",
	} {
		_, err := wechat.ConfigFrom(func(asked string) string {
			return map[string]string{"WECHAT_APPID": testAppID, "WECHAT_APPSECRET": shapetest.Secret, name: shapetest.Secret}[asked]
		})
		if err == nil || strings.Contains(err.Error(), shapetest.Secret) || !strings.Contains(err.Error(), name) {
			t.Errorf("the AppSecret in %s: %v", name, err)
		}
	}
}

// TestWithDefaults: the copy is filled in, the original is not.
func TestWithDefaults(t *testing.T) {
	var zero wechat.Config
	c := zero.WithDefaults()
	got := []any{c.TokenAPI, c.APIBase, c.StoreURL, c.CallbackPath, c.ContextKey, c.Freshness, c.Timing.LeaseTTL, c.Logger != nil}
	want := []any{platform.Stable, "https://api.weixin.qq.com", "sqlite:zhongkong.db", "/", "wechat", 5 * time.Minute, 5 * time.Second, true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if zero.StoreURL != "" || zero.ContextKey != "" || zero.Logger != nil {
		t.Error("WithDefaults changed its receiver")
	}
	if c := (wechat.Config{Store: memory.New(), Freshness: -1}).WithDefaults(); c.StoreURL != "" || c.Freshness != -1 {
		t.Errorf("with a Store the StoreURL is %q, and a Freshness of -1 becomes %s", c.StoreURL, c.Freshness)
	}
}

// TestTokenWarnings: a Token that the console would not take works, with a line
// in the log; without one there is a line as well.
func TestTokenWarnings(t *testing.T) {
	for token, want := range map[string]string{
		testToken:               "",
		"abc":                   "",
		strings.Repeat("a", 32): "",
		"":                      "no Token is configured: every callback is refused",
		"ab":                    "3 to 32 letters and digits",
		strings.Repeat("a", 33): "3 to 32 letters and digits",
		"my-token":              "3 to 32 letters and digits",
		"令牌令牌":                  "3 to 32 letters and digits",
	} {
		log := new(logtest.Log)
		cfg := config()
		cfg.Token, cfg.Logger = wechat.Secret(token), log.Logger(slog.LevelDebug)
		cfg, _ = inMemory(t, cfg, simulatorOptions())
		mustToken(t, newClient(t, cfg))
		lines := log.Lines(slog.LevelWarn)
		switch {
		case want == "" && len(lines) > 0, want != "" && (len(lines) != 1 || !strings.Contains(lines[0], want)):
			t.Errorf("a Token of %d bytes: %q, want %q", len(token), lines, want)
		case len(token) > 3 && strings.Contains(log.String(), token): // shorter ones are in every word
			t.Errorf("the log tells the Token")
		}
	}
}

// clearEnv unsets every variable that ConfigFromEnv reads.
func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"WECHAT_APPID", "WECHAT_APPSECRET", "WECHAT_TOKEN", "WECHAT_TOKEN_PREVIOUS", "WECHAT_AES_KEY", "WECHAT_AES_KEY_PREVIOUS",
		"WECHAT_TOKEN_API", "WECHAT_API_BASE", "WECHAT_FRESHNESS", "ZHONGKONG_STORE", "ZHONGKONG_SEAL_KEY", "ZHONGKONG_LOG_LEVEL",
		"ZHONGKONG_GATEWAY", "ZHONGKONG_GATEWAY_KEY",
	} {
		t.Setenv(name, "")
	}
}

func TestConfigFromEnv(t *testing.T) {
	clearEnv(t)
	t.Setenv("WECHAT_APPID", testAppID)
	t.Setenv("WECHAT_APPSECRET", testSecret)
	c, err := wechat.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if c.AppID != testAppID || c.AppSecret.Reveal() != testSecret || !c.Token.IsZero() || !c.AESKey.IsZero() ||
		c.StoreURL != "" || c.Freshness != 0 || c.SealKeys != nil || !c.Logger.Enabled(t.Context(), slog.LevelInfo) || c.Logger.Enabled(t.Context(), slog.LevelDebug) {
		t.Errorf("with two variables: %+v", c)
	}

	keys := []string{strings.Repeat("1", 32), strings.Repeat("2", 32)}
	previousKey := strings.Repeat("P", 43)
	for name, value := range map[string]string{
		"WECHAT_TOKEN": testToken, "WECHAT_TOKEN_PREVIOUS": "before", "WECHAT_AES_KEY": testAESKey, "WECHAT_AES_KEY_PREVIOUS": previousKey,
		"WECHAT_TOKEN_API": "classic", "WECHAT_API_BASE": "http://127.0.0.1:3200", "WECHAT_FRESHNESS": "0", "ZHONGKONG_STORE": "memory:",
		"ZHONGKONG_SEAL_KEY":  base64.StdEncoding.EncodeToString([]byte(keys[0])) + ", " + base64.StdEncoding.EncodeToString([]byte(keys[1])),
		"ZHONGKONG_LOG_LEVEL": "debug",
	} {
		t.Setenv(name, value)
	}
	if c, err = wechat.ConfigFromEnv(); err != nil {
		t.Fatal(err)
	}
	got := []any{
		c.Token.Reveal(), c.PreviousToken.Reveal(), c.AESKey.Reveal(), c.PreviousAESKey.Reveal(), c.TokenAPI, c.APIBase,
		c.Freshness < 0, c.StoreURL, len(c.SealKeys), c.SealKeys[0].Reveal(), c.SealKeys[1].Reveal(), c.Logger.Enabled(t.Context(), slog.LevelDebug),
	}
	want := []any{
		testToken, "before", testAESKey, previousKey, platform.Classic, "http://127.0.0.1:3200",
		true, "memory:", 2, keys[0], keys[1], true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with all variables (-want +got):\n%s", diff)
	}
	t.Setenv("WECHAT_FRESHNESS", "90s")
	if c, err = wechat.ConfigFromEnv(); err != nil || c.Freshness != 90*time.Second {
		t.Errorf("WECHAT_FRESHNESS=90s: %s, %v", c.Freshness, err)
	}
}

// TestConfigFrom reads the given variables and no others.
func TestConfigFrom(t *testing.T) {
	clearEnv(t)
	t.Setenv("WECHAT_API_BASE", "http://127.0.0.1:3200")
	given := map[string]string{"WECHAT_APPID": testAppID, "WECHAT_APPSECRET": testSecret, "WECHAT_TOKEN_API": "classic"}
	c, err := wechat.ConfigFrom(func(name string) string { return given[name] })
	if err != nil || c.AppID != testAppID || c.AppSecret.Reveal() != testSecret || c.TokenAPI != "classic" || c.APIBase != "" {
		t.Errorf("%+v, %v", c, err)
	}
	given["WECHAT_FRESHNESS"] = "soon"
	if _, err := wechat.ConfigFrom(func(name string) string { return given[name] }); err == nil || !strings.Contains(err.Error(), "WECHAT_FRESHNESS") {
		t.Errorf("%v, want an error that names the variable", err)
	}
}

func TestConfigFromEnvErrors(t *testing.T) {
	for name, values := range map[string][]string{
		"WECHAT_APPID":            {"", "wx 1"},
		"WECHAT_APPSECRET":        {"", testSecret + " "},
		"WECHAT_TOKEN_PREVIOUS":   {testToken},
		"WECHAT_AES_KEY":          {testAESKey + "a"},
		"WECHAT_AES_KEY_PREVIOUS": {testAESKey},
		"WECHAT_TOKEN_API":        {"Stable"},
		"WECHAT_API_BASE":         {"api.weixin.qq.com", "http://api.weixin.qq.com", "https://u:" + testSecret + "@localhost"},
		"WECHAT_FRESHNESS":        {"5", "-5m", "soon"},
		"ZHONGKONG_STORE":         {"zhongkong.db", "redis://:" + testSecret + "@localhost", "sqlite:"},
		"ZHONGKONG_SEAL_KEY":      {testAESKey, testSecret, base64.StdEncoding.EncodeToString([]byte(testSecret)) + ","},
		"ZHONGKONG_LOG_LEVEL":     {"loud"},
		"ZHONGKONG_GATEWAY":       {"http://127.0.0.1:3210"},
		"ZHONGKONG_GATEWAY_KEY":   {"zkkey_x"},
	} {
		for _, value := range values {
			t.Run(name+"/"+value, func(t *testing.T) {
				clearEnv(t)
				t.Setenv("WECHAT_APPID", testAppID)
				t.Setenv("WECHAT_APPSECRET", testSecret)
				t.Setenv(name, value)
				_, err := wechat.ConfigFromEnv()
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Fatalf("%v, want an error that names %s", err, name)
				}
				mustNotTell(t, err.Error())
			})
		}
	}
}
