package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
)

// botApp is an app of ours, configured with a Token and an AES key.
func botApp(t *testing.T, token, aesKey, appid string) http.Handler {
	t.Helper()
	bot := callback.NewRouter()
	bot.Text("ping", func(c *callback.Context) error { return c.ReplyText("pong") })
	client, err := wechat.New(wechat.Config{
		AppID: appid, AppSecret: wechat.Secret("made-up-secret"), Token: wechat.Secret(token), AESKey: wechat.Secret(aesKey),
		StoreURL: "memory:", APIBase: "http://127.0.0.1:1", Messages: bot,
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

// routeApp is an app of ours without a bot, whose handler takes whatever it is given.
func routeApp(t *testing.T, token, appid string) *gin.Engine {
	t.Helper()
	client, err := wechat.New(wechat.Config{
		AppID: appid, AppSecret: wechat.Secret("made-up-secret"), Token: wechat.Secret(token), StoreURL: "memory:", APIBase: "http://127.0.0.1:1",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(client.Middleware())
	r.POST("/", func(c *gin.Context) { _, _ = io.Copy(io.Discard, c.Request.Body); c.String(http.StatusOK, "success") })
	return r
}

// groupApp has the middleware on a group without a route for GET.
func groupApp(t *testing.T, token, appid string) http.Handler {
	t.Helper()
	r := gin.New()
	r.Group("/", gin.WrapH(routeApp(t, token, appid))).POST("/", func(*gin.Context) {})
	return r
}

// drained reads the bodies of pushes before the app does.
func drained(app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		app.ServeHTTP(w, r)
	})
}

// compressed is a proxy that compresses the bodies of pushes.
func compressed(app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			var body bytes.Buffer
			to := gzip.NewWriter(&body)
			_, _ = io.Copy(to, r.Body)
			_ = to.Close()
			r.Body, r.ContentLength = io.NopCloser(&body), int64(body.Len())
			r.Header.Set("Content-Encoding", "gzip")
		}
		app.ServeHTTP(w, r)
	})
}

// compressing compresses answers to pushes, though nobody asks for it.
func compressing(app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			app.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		to := gzip.NewWriter(w)
		_, _ = io.WriteString(to, "success")
		_ = to.Close()
	})
}

func TestDoctorCallback(t *testing.T) {
	t.Parallel()
	token, aesKey, appid := account["WECHAT_TOKEN"], account["WECHAT_AES_KEY"], account["WECHAT_APPID"]
	plain := with("WECHAT_AES_KEY", "")
	answers := func(post string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := post
			if r.Method == http.MethodGet {
				if r.URL.Query().Get("signature") != callback.Signature(token, r.URL.Query().Get("timestamp"), r.URL.Query().Get("nonce")) {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				text = r.URL.Query().Get("echostr")
			} else if post == "" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_, _ = io.WriteString(w, text)
		})
	}
	status := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
		})
	}
	// xmlAlone is our app behind something that knows no JSON.
	xmlAlone := func(app http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.HasPrefix(string(body), "{") {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
			app.ServeHTTP(w, r)
		})
	}
	for name, test := range map[string]struct {
		app  http.Handler
		env  map[string]string
		code int
		want []string
	}{
		"safe": {botApp(t, token, aesKey, appid), account, 0, []string{
			"safe or compatible mode", "✓ handshake: ", "✓ push in safe mode, xml: the app replied with text", "✓ push in safe mode, json: ",
			"✓ push in compatible mode, xml: ", "✓ forged push, plaintext: ", "✓ forged push, stale: ", "All is well",
		}},
		"plain": {botApp(t, token, "", appid), plain, 0, []string{
			"in plain mode", "✓ push in plain mode, xml: the app replied", "✓ push in plain mode, json: ", "✓ forged push, signature: ",
			"All is well",
		}},
		"another Token":               {botApp(t, "Another", aesKey, appid), account, 1, []string{"✗ handshake: ", "the same Token", "Step 1 of 11 failed: handshake"}},
		"another AES key":             {botApp(t, token, strings.Repeat("B", 43), appid), account, 1, []string{"✗ push in safe mode, xml: ", "EncodingAESKey and AppID", "Step 3 of 11"}},
		"another appid":               {botApp(t, token, aesKey, "wxfedcba9876543210"), account, 1, []string{"✗ push in safe mode, xml: ", "EncodingAESKey and AppID"}},
		"an AES key":                  {botApp(t, token, aesKey, appid), plain, 1, []string{"✗ push in plain mode, xml: ", "wants encrypted messages", "WECHAT_AES_KEY"}},
		"no AES key":                  {botApp(t, token, "", appid), account, 1, []string{"✗ push in safe mode, xml: "}},
		"a body that was read":        {drained(botApp(t, token, aesKey, appid)), account, 1, []string{"✗ push in safe mode, xml: ", "500", "register the middleware before"}},
		"a body that was read, plain": {drained(routeApp(t, token, appid)), plain, 1, []string{"✗ push in plain mode, xml: ", "500", "register the middleware before"}},
		"a compressed body":           {compressed(botApp(t, token, aesKey, appid)), account, 1, []string{"✗ push in safe mode, xml: ", "500", "compresses"}},
		"a compressed body, plain":    {compressed(routeApp(t, token, appid)), plain, 1, []string{"✗ push in plain mode, xml: ", "500", "compresses"}},
		"a compressed body, its bot":  {compressed(botApp(t, token, "", appid)), plain, 1, []string{"✗ push in plain mode, xml: ", "500", "compresses"}},
		"a compressed answer":         {compressing(answers("success")), account, 1, []string{"the answer is compressed", "Switch compression off"}},
		"a group":                     {groupApp(t, token, appid), plain, 1, []string{"✗ handshake: ", "Gin group", "client.Callback()"}},
		"no path":                     {status(http.StatusNotFound), account, 1, []string{"✗ handshake: ", "answer GET at this path"}},
		"no POST":                     {answers(""), account, 1, []string{"✓ handshake: ", "✗ push in safe mode, xml: ", "answer POST at this path"}},
		"a redirect":                  {status(http.StatusMovedPermanently), account, 1, []string{"✗ handshake: ", "/elsewhere", "does not follow"}},
		"a broken proxy":              {status(http.StatusBadGateway), account, 1, []string{"✗ handshake: ", "a proxy in front of it, fails"}},
		"takes everything":            {answers("success"), account, 1, []string{"✓ push in safe mode, xml: ", "✗ forged push, signature: ", "check the signature before anything else"}},
		"XML alone":                   {xmlAlone(botApp(t, token, aesKey, appid)), account, 0, []string{"! push in safe mode, json: ", "only to mini programs", "All is well"}},
		"for a mini program": {
			xmlAlone(botApp(t, token, aesKey, appid)),
			with("WECHAT_KIND", "mini"), 1,
			[]string{"✓ push in safe mode, xml: the app answered success", "✗ push in safe mode, json: ", "reads XML and not JSON", "Step 4 of 11"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := "ping"
			if test.env["WECHAT_KIND"] == "mini" {
				said = "nothing that is answered" // a mini program may not reply with a text
			}
			server := httptest.NewServer(test.app)
			defer server.Close()
			wait := "60s"
			if test.code != 0 || name == "XML alone" { // a push that fails is sent three times, so far apart
				wait = "2s"
			}
			code, out, errs := started(t.Context(), test.env, "doctor", "callback", "--wait", wait, "--text", said, "--url", server.URL)
			if code != test.code || errs != "" {
				t.Errorf("exit code %d, want %d\n%s%s", code, test.code, out, errs)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			checkSecrets(t, out, errs)
		})
	}

	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	code, out, _ := started(t.Context(), account, "doctor", "callback", "--url", closed.URL)
	if code != 1 || !strings.Contains(out, "nothing listens") || !strings.Contains(out, "Start the app") {
		t.Errorf("of an app that does not run: %d, %s", code, out)
	}
	for want, args := range map[string][]string{
		"--url":                  {"doctor", "callback"},
		"has to begin with http": {"doctor", "callback", "--url", "127.0.0.1:3100"},
		"WECHAT_TOKEN is n":      {"doctor", "callback", "--url", closed.URL},
	} {
		env := account
		if strings.HasPrefix(want, "WECHAT") {
			env = with("WECHAT_TOKEN", "")
		}
		if code, out, errs := started(t.Context(), env, args...); code != 2 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%v: %d, %s%s; want %q", args, code, out, errs, want)
		}
	}
}

// TestDoctorCallbackOfConfiguration: with --config an address is asked with the Token and the AES
// key of the account that it names. What is missing for one address leaves the other checks be.
func TestDoctorCallbackOfConfiguration(t *testing.T) {
	t.Parallel()
	s := newCorpShop(t)
	other := "wxfedcba9876543210"
	file, subscriber := filepath.Join(t.TempDir(), "gateway.yaml"), ", subscribers: [{name: orders, url: 'http://127.0.0.1:1/', token: another, aes_key: "+corpKey+"}]}}\n"
	lines := "listen: 127.0.0.1:8377\nstore: 'memory:'\napi_base: " + s.URL + "\nwecom_base: " + s.URL + "\naccounts:\n" +
		"  - {appid: " + tokenAppID + ", secret: '" + tokenSecret + "', callback: {token: shopToken, aes_key: " + strings.Repeat("A", 43) + subscriber +
		"  - {corpid: " + corpID + ", agentid: 1000002, secret: " + corpSecret + ", callback: {token: " + corpToken + ", aes_key: " + corpKey + subscriber
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for id, app := range map[string]http.Handler{
		tokenAppID: botApp(t, "shopToken", strings.Repeat("A", 43), tokenAppID), corpApp: corpBot(t, corpID, corpToken, corpKey),
	} {
		mux.Handle("/callback/"+id, atRoot(app))
	}
	server := httptest.NewServer(mux)
	defer server.Close()
	s.env = map[string]string{"ZHONGKONG_SEAL_KEY": sealKey}
	secrets := []string{corpSecret, corpToken, corpKey, "shopToken", strings.Repeat("A", 43)}
	args := "--wait 60s --config " + file
	for _, id := range []string{tokenAppID, corpApp} {
		d := s.examine(args+" --callback-url "+server.URL+"/callback/"+id, secrets...)
		d.wants(t, illness{})
		if last := d.Checks[len(d.Checks)-1]; last.Check != "callback" || last.State != "ok" || last.Account != id {
			t.Errorf("%s: %+v", id, last)
		}
	}
	for address, says := range map[string]string{
		server.URL + "/callback/" + other: "the configuration has no account " + other,
		server.URL + "/":                  "names no account of the configuration",
	} {
		s.examine(args+" --callback-url "+address, secrets...).wants(t, illness{check: "callback", cause: "callback_not_testable", says: says})
	}
	d := s.examine(args, secrets...)
	for _, want := range []string{"http://127.0.0.1:8377/callback/" + tokenAppID, "http://127.0.0.1:8377/callback/" + corpApp} {
		if !strings.Contains(d.String(), "--callback-url "+want) {
			t.Errorf("no %s in\n%v", want, d)
		}
	}

	// Without a configuration: the variables of an app of WeCom are those of the environment.
	s = newCorpShop(t)
	s.examine("--wait 60s --callback-url "+server.URL, corpSecret).wants(t, illness{
		check: "callback", cause: "callback_not_testable", says: "WECOM_TOKEN is not set",
	})
	code, out, errs := started(t.Context(), s.env, "doctor", "callback", "--url", server.URL)
	if code != exitMistake || !strings.Contains(errs, "WECOM_TOKEN is not set") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	code, out, errs = started(t.Context(), nil, "doctor", "callback", "--account", "WECOM", "--url", server.URL)
	if code != exitMistake || !strings.Contains(errs, "WECOM_CORPID is not set") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

// atRoot asks app at its own address.
func atRoot(app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/"
		app.ServeHTTP(w, r)
	})
}
