package wechat_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
)

const (
	message = "<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n<MsgType><![CDATA[text]]></MsgType>\n</xml>"
	nonce   = "1514711492"
	echostr = "4375120948345356249"
)

// signedQuery returns a query with a right signature of that time.
func signedQuery(token string, at time.Time) string {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	return url.Values{
		"signature": {callback.Signature(token, timestamp, nonce)}, "timestamp": {timestamp}, "nonce": {nonce},
	}.Encode()
}

func verificationURL(path, token string) string {
	return path + "?" + signedQuery(token, time.Now()) + "&echostr=" + echostr
}

func pushURL(path, token string) string {
	return path + "?" + signedQuery(token, time.Now()) + "&openid=oAbCd0123456789EfGhIjKlMnOpQ"
}

// encrypted returns target and body of a push in safe mode.
func encrypted(t *testing.T, path, token, aesKey, appid string) (target, body string) {
	t.Helper()
	verifier, err := callback.NewVerifier(callback.Config{AppID: appid, Token: wechat.Secret(token), AESKey: wechat.Secret(aesKey)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	envelope, err := verifier.Seal(callback.Pair{}, strconv.FormatInt(now.Unix(), 10), nonce, []byte(message))
	if err != nil {
		t.Fatal(err)
	}
	target = path + "?" + signedQuery(token, now) + "&encrypt_type=aes&msg_signature=" + envelope.MsgSignature
	return target, "<xml>\n    <ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n    <Encrypt><![CDATA[" + envelope.Encrypt + "]]></Encrypt>\n</xml>\n"
}

// wants is an answer.
type wants struct {
	Status      int
	Body        string
	ContentType string
	Nosniff     string
}

func got(answer *httptest.ResponseRecorder) wants {
	h := answer.Header()
	return wants{answer.Code, answer.Body.String(), h.Get("Content-Type"), h.Get("X-Content-Type-Options")}
}

func says(status int, text string) wants {
	return wants{status, text, "text/plain; charset=utf-8", "nosniff"}
}

func mustAnswer(t *testing.T, answer *httptest.ResponseRecorder, want wants) {
	t.Helper()
	if diff := cmp.Diff(want, got(answer)); diff != "" {
		t.Errorf("the answer (-want +got):\n%s", diff)
	}
}

func TestEcho(t *testing.T) {
	cfg := config()
	cfg.PreviousToken = wechat.Secret("TheOneBefore")
	engine := gin.New()
	engine.Use(newClient(t, cfg).Middleware())
	engine.GET("/", func(c *gin.Context) { c.String(http.StatusTeapot, "a handler") })

	long := strings.Repeat("e", 1024)
	strange := "<b>\x00\xff \"'\r\n 中"
	for name, test := range map[string]struct {
		target string
		want   wants
	}{
		"right":             {verificationURL("/", testToken), says(200, echostr)},
		"previous Token":    {verificationURL("/", "TheOneBefore"), says(200, echostr)},
		"as old as may be":  {"/?" + signedQuery(testToken, time.Unix(1714036504, 0)) + "&echostr=" + echostr, says(200, echostr)},
		"byte for byte":     {"/?" + signedQuery(testToken, time.Now()) + "&echostr=" + url.QueryEscape(strange), says(200, strange)},
		"1,024 bytes":       {"/?" + signedQuery(testToken, time.Now()) + "&echostr=" + long, says(200, long)},
		"1,025 bytes":       {"/?" + signedQuery(testToken, time.Now()) + "&echostr=" + long + "e", says(403, "wrong")},
		"echostr twice":     {verificationURL("/", testToken) + "&echostr=1", says(403, "wrong")},
		"no echostr":        {"/?" + signedQuery(testToken, time.Now()), says(403, "wrong")},
		"another Token":     {verificationURL("/", "T0kenOfSomebody"), says(403, "wrong")},
		"nonce of 129":      {verificationURL("/", testToken) + "&openid=" + strings.Repeat("n", 129), says(403, "wrong")},
		"nothing":           {"/", says(403, "wrong")},
		"a browser's query": {"/?utm_source=x", says(403, "wrong")},
	} {
		t.Run(name, func(t *testing.T) { mustAnswer(t, serve(engine, http.MethodGet, test.target, ""), test.want) })
	}
}

// routes are the ways in which an engine may know POST / or not.
func routes(client *wechat.Client, handlers ...gin.HandlerFunc) map[string]*gin.Engine {
	all := map[string]*gin.Engine{}
	add := func(name string, build func(*gin.Engine)) {
		all[name] = gin.New()
		build(all[name])
	}
	add("route", func(e *gin.Engine) {
		e.Use(client.Middleware())
		e.POST("/", append(handlers, func(*gin.Context) {})...)
	})
	add("no route", func(e *gin.Engine) {
		e.Use(append([]gin.HandlerFunc{client.Middleware()}, handlers...)...)
	})
	add("no route, NoRoute handler", func(e *gin.Engine) {
		e.Use(client.Middleware())
		e.NoRoute(handlers...)
	})
	add("no method", func(e *gin.Engine) {
		e.HandleMethodNotAllowed = true
		e.Use(append([]gin.HandlerFunc{client.Middleware()}, handlers...)...)
		e.GET("/", func(*gin.Context) {})
	})
	add("group with Callback", func(e *gin.Engine) {
		e.Group("/").POST("/", append([]gin.HandlerFunc{client.Callback()}, handlers...)...)
	})
	add("Middleware and Callback", func(e *gin.Engine) {
		e.Use(client.Middleware())
		e.POST("/", append([]gin.HandlerFunc{client.Callback()}, handlers...)...)
	})
	return all
}

// TestPush: the handlers see the message in plain text, whatever the mode, and
// WeChat hears "success" when none of them answers.
func TestPush(t *testing.T) {
	safe := config()
	safe.AESKey, safe.PreviousAESKey = wechat.Secret(testAESKey), wechat.Secret(strings.Repeat("P", 43))
	safeTarget, safeBody := encrypted(t, "/", testToken, testAESKey, testAppID)
	oldTarget, oldBody := encrypted(t, "/", testToken, strings.Repeat("P", 43), testAppID)

	for name, test := range map[string]struct {
		cfg          wechat.Config
		target, body string
		pair         callback.Pair
	}{
		"plain":              {config(), pushURL("/", testToken), message, callback.Pair{}},
		"safe":               {safe, safeTarget, safeBody, callback.Pair{Encrypted: true}},
		"safe, previous key": {safe, oldTarget, oldBody, callback.Pair{Encrypted: true, KeyPrevious: true}},
	} {
		client := newClient(t, test.cfg)
		for where, engine := range routes(client, func(c *gin.Context) {
			body, err := io.ReadAll(c.Request.Body)
			if err != nil || string(body) != message || c.Request.ContentLength != int64(len(message)) || c.GetHeader("Content-Length") != strconv.Itoa(len(message)) {
				t.Errorf("%s: the handler reads %q (%d bytes), %v", name, body, c.Request.ContentLength, err)
			}
			push, ok := client.Push(c)
			if !ok || string(push.Message) != message || push.Pair != test.pair || push.Query.Nonce != nonce {
				t.Errorf("%s: Push: %+v, %v", name, push, ok)
			}
			if wechat.From(c) != client || c.MustGet("wechat").(*wechat.Client) != client {
				t.Errorf("%s: another client is in the context", name)
			}
			c.Header("X-Seen", "yes")
		}) {
			t.Run(name+"/"+where, func(t *testing.T) {
				answer := serve(engine, http.MethodPost, test.target, test.body)
				mustAnswer(t, answer, says(200, "success"))
				if answer.Header().Get("X-Seen") != "yes" {
					t.Error("the handler did not run")
				}
			})
		}
	}
}

// TestPushAnswered: what a handler says goes out as it is, a status without a
// body too, if it is one that a route chose.
func TestPushAnswered(t *testing.T) {
	client := newClient(t, config())
	for name, test := range map[string]struct {
		handler gin.HandlerFunc
		status  int
		body    string
	}{
		"reply":       {func(c *gin.Context) { c.Data(200, "text/xml", []byte("<xml></xml>")) }, 200, "<xml></xml>"},
		"empty reply": {func(c *gin.Context) { c.String(200, "") }, 200, ""},
		"error":       {func(c *gin.Context) { c.String(500, "sorry") }, 500, "sorry"},
		"abort":       {func(c *gin.Context) { c.AbortWithStatus(503) }, 503, ""},
	} {
		for where, engine := range routes(client, test.handler) {
			t.Run(name+"/"+where, func(t *testing.T) {
				answer := serve(engine, http.MethodPost, pushURL("/", testToken), message)
				if answer.Code != test.status || answer.Body.String() != test.body {
					t.Errorf("%d %q, want %d %q", answer.Code, answer.Body, test.status, test.body)
				}
			})
		}
	}
	t.Run("a status alone", func(t *testing.T) {
		engine := gin.New()
		engine.Use(client.Middleware())
		engine.POST("/", func(c *gin.Context) { c.Status(http.StatusServiceUnavailable) })
		if answer := serve(engine, http.MethodPost, pushURL("/", testToken), message); answer.Code != 503 || answer.Body.Len() > 0 {
			t.Errorf("%d %q, want 503 and nothing: WeChat is to send it again", answer.Code, answer.Body)
		}
	})
}

// TestRefused: who is not WeChat gets 403, no handler runs, and one line at Warn
// says why, without a secret.
func TestRefused(t *testing.T) {
	safe := config()
	safe.AESKey = wechat.Secret(testAESKey)
	otherKey, otherBody := encrypted(t, "/", testToken, strings.Repeat("x", 43), testAppID)
	otherApp, otherAppBody := encrypted(t, "/", testToken, testAESKey, "wxffffffffffffffff")
	right, rightBody := encrypted(t, "/", testToken, testAESKey, testAppID)
	noToken := config()
	noToken.Token = wechat.Secret("")
	anyAge := config()
	anyAge.Freshness = -1

	for name, test := range map[string]struct {
		cfg          wechat.Config
		target, body string
		reason       callback.Reason // "": not refused
	}{
		"nothing":                   {config(), "/", message, callback.ReasonMissing},
		"another Token":             {config(), pushURL("/", "T0kenOfSomebody"), message, callback.ReasonSignature},
		"signature twice":           {config(), pushURL("/", testToken) + "&signature=1", message, callback.ReasonRepeated},
		"signature twice, disguise": {config(), pushURL("/", testToken) + "&sign%61ture=1", message, callback.ReasonRepeated},
		"too long":                  {config(), pushURL("/", testToken) + "&encrypt_type=" + strings.Repeat("a", 129), message, callback.ReasonTooLong},
		"stale":                     {config(), "/?" + signedQuery(testToken, time.Now().Add(-6*time.Minute)), message, callback.ReasonStale},
		"from the future":           {config(), "/?" + signedQuery(testToken, time.Now().Add(6*time.Minute)), message, callback.ReasonStale},
		"old, any age":              {anyAge, "/?" + signedQuery(testToken, time.Now().Add(-time.Hour)), message, ""},
		"body of 1 MiB":             {config(), pushURL("/", testToken), strings.Repeat("a", callback.MaxBody), ""},
		"body too large":            {config(), pushURL("/", testToken), strings.Repeat("a", callback.MaxBody+1), callback.ReasonBodyTooLarge},
		"plain to safe":             {safe, pushURL("/", testToken), message, callback.ReasonPlainText},
		"plain to safe, raw":        {safe, pushURL("/", testToken) + "&encrypt_type=raw", message, callback.ReasonPlainText},
		"safe to plain":             {config(), right, rightBody, callback.ReasonNoAESKey},
		"safe, body changed":        {safe, right, strings.Replace(rightBody, "<Encrypt><![CDATA[", "<Encrypt><![CDATA[AAAA", 1), callback.ReasonMsgSignature},
		"safe, another key":         {safe, otherKey, otherBody, callback.ReasonAESKey},
		"safe, another appid":       {safe, otherApp, otherAppBody, callback.ReasonAppID},
		"safe, right":               {safe, right, rightBody, ""},
		"no Token":                  {noToken, pushURL("/", ""), message, callback.ReasonNoToken},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(logtest.Log)
			test.cfg.Logger = log.Logger(slog.LevelDebug)
			client := newClient(t, test.cfg)
			engine := gin.New()
			engine.Use(client.Middleware())
			ran := false
			engine.POST("/", func(*gin.Context) { ran = true })
			before := len(callbackLines(log))
			answer := serve(engine, http.MethodPost, test.target, test.body)
			lines := callbackLines(log)[before:]
			if test.reason == "" {
				mustAnswer(t, answer, says(200, "success"))
				if !ran || len(lines) > 0 {
					t.Errorf("the handler ran: %v; the log at Warn: %s", ran, lines)
				}
				return
			}
			mustAnswer(t, answer, says(403, "wrong"))
			if ran {
				t.Error("a handler ran")
			}
			if len(lines) != 1 || !strings.Contains(lines[0], "reason="+string(test.reason)) || !strings.Contains(lines[0], testAppID) {
				t.Errorf("the log at Warn: %s; want one line with reason=%s", lines, test.reason)
			}
			mustNotTell(t, log.String(), answer.Body.String())
			if strings.Contains(log.String(), "nonce="+nonce) {
				t.Errorf("the log holds a query that can be repeated: %s", log)
			}
		})
	}
}

func callbackLines(log *logtest.Log) []string {
	var found []string
	for _, line := range log.Lines(slog.LevelWarn) {
		if strings.Contains(line, "a callback was refused") {
			found = append(found, line)
		}
	}
	return found
}

// TestRefusedGET: a wrong Token in a console is seen at Warn, a browser is not.
func TestRefusedGET(t *testing.T) {
	log := new(logtest.Log)
	cfg := config()
	cfg.Logger = log.Logger(slog.LevelDebug)
	engine := gin.New()
	engine.Use(newClient(t, cfg).Middleware())
	serve(engine, http.MethodGet, "/", "")
	if lines := callbackLines(log); len(lines) > 0 {
		t.Errorf("a browser is in the log at Warn: %s", lines)
	}
	serve(engine, http.MethodGet, verificationURL("/", "T0kenOfSomebody"), "")
	if lines := callbackLines(log); len(lines) != 1 || !strings.Contains(lines[0], "the Token differs") {
		t.Errorf("the log at Warn: %s", lines)
	}
}

// TestBodyBreaksOff: half a push is none.
func TestBodyBreaksOff(t *testing.T) {
	log := new(logtest.Log)
	cfg := config()
	cfg.Logger = log.Logger(slog.LevelDebug)
	engine := gin.New()
	engine.Use(newClient(t, cfg).Middleware())
	answer := httptest.NewRecorder()
	body := io.MultiReader(strings.NewReader("<xml>"), iotest.ErrReader(io.ErrUnexpectedEOF))
	engine.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, pushURL("/", testToken), body))
	mustAnswer(t, answer, says(403, "wrong"))
	if lines := callbackLines(log); len(lines) != 1 || !strings.Contains(lines[0], "could not be read") {
		t.Errorf("the log at Warn: %s", lines)
	}
}

// TestUnsignedUnread: the body of a push that somebody else has signed is not read.
func TestUnsignedUnread(t *testing.T) {
	engine := gin.New()
	engine.Use(newClient(t, config()).Middleware())
	body := strings.NewReader(message)
	answer := httptest.NewRecorder()
	engine.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, pushURL("/", "T0kenOfSomebody"), io.NopCloser(body)))
	if answer.Code != http.StatusForbidden || body.Len() != len(message) {
		t.Errorf("%d, and %d of %d bytes are left", answer.Code, body.Len(), len(message))
	}
}

// TestWithoutBody: WeChat sends no push without a body, so something has taken it away.
func TestWithoutBody(t *testing.T) {
	engine := gin.New()
	engine.Use(newClient(t, config()).Middleware())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, pushURL("/", testToken), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	engine.ServeHTTP(answer, r)
	mustAnswer(t, answer, says(500, "wrong"))
}

// TestElsewhere: other paths and methods go on, with the client.
func TestElsewhere(t *testing.T) {
	cfg := config()
	cfg.CallbackPath, cfg.ContextKey = "/wechat", "wx"
	client := newClient(t, cfg)
	engine := gin.New()
	engine.Use(client.Middleware())
	handler := func(c *gin.Context) {
		if c.MustGet("wx").(*wechat.Client) != client {
			t.Error("another client is in the context")
		}
		if push, ok := client.Push(c); ok {
			t.Errorf("Push: %v", push)
		}
		c.String(http.StatusOK, "a handler")
	}
	engine.Any("/", handler)
	engine.Any("/wechat/more", handler)
	engine.Any("/wechat", handler)
	for _, request := range []string{"GET /", "POST /", "GET /wechat/more", "POST /wechat/more", "PUT /wechat", "DELETE /wechat", "HEAD /wechat", "OPTIONS /wechat"} {
		method, path, _ := strings.Cut(request, " ")
		answer := serve(engine, method, path, message)
		if answer.Code != 200 || answer.Body.String() != "a handler" {
			t.Errorf("%s: %d %q", request, answer.Code, answer.Body)
		}
	}
	if answer := serve(engine, http.MethodGet, "/missing", ""); answer.Code != 404 {
		t.Errorf("a missing page: %d", answer.Code)
	}
	mustAnswer(t, serve(engine, http.MethodPost, "/wechat", message), says(403, "wrong"))
}

// TestOtherSpellings: no spelling of the path leads around the signature.
func TestOtherSpellings(t *testing.T) {
	for name, set := range map[string]func(*gin.Engine){
		"default":          func(*gin.Engine) {},
		"RemoveExtraSlash": func(e *gin.Engine) { e.RemoveExtraSlash = true },
		"UseRawPath":       func(e *gin.Engine) { e.UseRawPath = true },
		"UseEscapedPath":   func(e *gin.Engine) { e.UseEscapedPath = true },
		"RedirectFixed":    func(e *gin.Engine) { e.RedirectFixedPath = true },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			cfg.CallbackPath = "/wechat"
			engine := gin.New()
			set(engine)
			engine.Use(newClient(t, cfg).Middleware())
			engine.POST("/wechat", func(c *gin.Context) { t.Errorf("a handler got %s", c.Request.URL) })
			for _, path := range []string{"/wechat", "//wechat", "/wechat//", "/%77echat", "/./wechat", "/x/../wechat", "/wechat/", "/WECHAT"} {
				r := httptest.NewRequest(http.MethodPost, "http://localhost", strings.NewReader(message))
				u, err := url.ParseRequestURI(path)
				if err != nil {
					t.Fatal(err)
				}
				r.URL = u
				engine.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

func TestSeveralAccounts(t *testing.T) {
	shop, news := config(), config()
	shop.ContextKey, shop.CallbackPath = "shop", "/shop"
	news.AppID, news.Token = "wxfedcba9876543210", wechat.Secret("AnotherToken")
	news.ContextKey, news.CallbackPath = "news", "/news"
	a, b := newClient(t, shop), newClient(t, news)
	engine := gin.New()
	engine.Use(a.Middleware(), b.Middleware())
	engine.GET("/both", func(c *gin.Context) {
		if c.MustGet("shop").(*wechat.Client) != a || c.MustGet("news").(*wechat.Client) != b {
			t.Error("the clients are mixed up")
		}
	})
	for path, token := range map[string]string{"/shop": testToken, "/news": "AnotherToken"} {
		mustAnswer(t, serve(engine, http.MethodGet, verificationURL(path, token), ""), says(200, echostr))
		mustAnswer(t, serve(engine, http.MethodPost, pushURL(path, token), message), says(200, "success"))
		mustAnswer(t, serve(engine, http.MethodPost, pushURL(path, "T0kenOfSomebody"), message), says(403, "wrong"))
	}
	mustAnswer(t, serve(engine, http.MethodGet, verificationURL("/news", testToken), ""), says(403, "wrong"))
	serve(engine, http.MethodGet, "/both", "")
}

// TestOnePath: that two accounts have one path is said at the start, to whom it may concern.
func TestOnePath(t *testing.T) {
	log := new(logtest.Log)
	first, second := config(), config()
	first.CallbackPath, first.Logger = "/one-path", log.Logger(slog.LevelWarn)
	second.AppID, second.ContextKey, second.CallbackPath, second.Logger = "wxfedcba9876543210", "second", "/one-path/", log.Logger(slog.LevelWarn)
	client := newClient(t, first)
	one := client.Middleware()
	two := newClient(t, second).Middleware()
	told := func(code string) []string { // a token's renewal may have something to say, too
		return slices.DeleteFunc(log.Lines(slog.LevelWarn), func(line string) bool { return !strings.Contains(line, "log_code="+code) })
	}
	if lines := told("wechat_callback"); len(lines) != 1 || !strings.Contains(lines[0], "CallbackPath") || !strings.Contains(lines[0], testAppID) {
		t.Errorf("at the start the log says %q", lines)
	}

	alone := gin.New()
	alone.Use(one)
	if got := serve(alone, http.MethodGet, "/x", ""); got.Code != http.StatusNotFound {
		t.Errorf("on an engine of its own: %d", got.Code)
	}
	serve(alone, http.MethodPost, pushURL("/one-path", "AnotherToken"), message)
	if lines := told("wechat_callback"); len(lines) != 2 || !strings.Contains(lines[1], "same_callback_path="+second.AppID) {
		t.Errorf("of a push that may be the other one's the log says %q", lines)
	}

	both := gin.New() // without a Recovery
	both.Use(one, two)
	both.GET("/x", func(*gin.Context) { t.Error("a handler is reached") })
	for range 2 {
		for target, method := range map[string]string{"/x": http.MethodGet, "/y": http.MethodPost} {
			if got := serve(both, method, target, ""); got.Code != http.StatusInternalServerError {
				t.Errorf("%s is answered with %d %s", target, got.Code, got.Body)
			}
		}
		if got := serve(both, http.MethodPost, pushURL("/one-path", testToken), message); got.Code != http.StatusInternalServerError {
			t.Errorf("a push is answered with %d %s", got.Code, got.Body)
		}
	}
	lines := slices.DeleteFunc(log.Lines(slog.LevelError), func(line string) bool { return !strings.Contains(line, "wechat_program_broken") })
	if len(lines) == 0 || len(lines) > 2 || !strings.Contains(lines[0], "both have the CallbackPath") ||
		!strings.Contains(lines[0], testAppID) || !strings.Contains(lines[0], second.AppID) {
		t.Errorf("the log says %q", lines)
	}

	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	quiet := new(logtest.Log)
	second.Logger = quiet.Logger(slog.LevelWarn)
	newClient(t, second).Middleware()
	if strings.Contains(quiet.String(), "CallbackPath") {
		t.Errorf("after the first one was closed: %s", quiet.String())
	}
}

func TestSameKeyTwice(t *testing.T) {
	log := new(logtest.Log)
	cfg, other := config(), config()
	cfg.Logger = log.Logger(slog.LevelWarn)
	other.AppID, other.CallbackPath, other.Logger = "wxfedcba9876543210", "/other", cfg.Logger
	engine := gin.New()
	engine.Use(newClient(t, cfg).Middleware(), newClient(t, other).Middleware())
	if got := serve(engine, http.MethodGet, "/x", ""); got.Code != http.StatusInternalServerError {
		t.Errorf("two accounts under one key: %d", got.Code)
	}
	for _, part := range []string{testAppID, other.AppID, "wechat", "ContextKey"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log %q does not name %s", log, part)
		}
	}

	engine = gin.New()
	engine.Use(func(c *gin.Context) { c.Set("wechat", 7) }, newClient(t, cfg).Middleware())
	if got := serve(engine, http.MethodGet, "/x", ""); got.Code != http.StatusInternalServerError || !strings.Contains(log.String(), "holds a int") {
		t.Errorf("a key that is taken: %d, the log is %q", got.Code, log)
	}

	client := newClient(t, config()) // one and the same client is no mistake
	engine = gin.New()
	engine.Use(client.Middleware())
	engine.GET("/x", client.Middleware())
	if answer := serve(engine, http.MethodGet, "/x", ""); answer.Code != 200 {
		t.Errorf("the same client twice: %d", answer.Code)
	}
}

func TestFromNowhere(t *testing.T) {
	engine := gin.New()
	engine.GET("/x", func(c *gin.Context) { wechat.From(c) })
	if text := panics(func() { serve(engine, http.MethodGet, "/x", "") }); !strings.Contains(text, "r.Use(wechat.Middleware(cfg))") {
		t.Errorf("the panic is %q", text)
	}
}

// TestMiddlewarePanics: a program with a configuration that cannot work does not
// start.
func TestMiddlewarePanics(t *testing.T) {
	cfg := config()
	cfg.AppSecret = wechat.Secret("")
	if text := panics(func() { wechat.Middleware(cfg) }); !strings.Contains(text, "Config.AppSecret (WECHAT_APPSECRET) is empty") {
		t.Errorf("the panic is %q", text)
	}
}

// panics runs f and returns what it panics with.
func panics(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return "no panic"
}

func TestLogFormatter(t *testing.T) {
	var out bytes.Buffer
	engine := gin.New()
	engine.Use(gin.LoggerWithConfig(gin.LoggerConfig{Formatter: wechat.LogFormatter, Output: &out}))
	engine.Use(newClient(t, config()).Middleware())
	engine.GET("/fails", func(c *gin.Context) { _ = c.Error(errors.New("on purpose")) })
	for _, request := range []string{
		"GET " + verificationURL("/", testToken),
		"POST " + pushURL("/", testToken),
		"GET /?timestamp=1714036504&sign%61ture=f464b24fc39322e44b38aa78f5edd27bd1441696",
		"GET /?msg_signature=f464b24fc39322e44b38aa78f5edd27bd1441696",
	} {
		method, target, _ := strings.Cut(request, " ")
		serve(engine, method, target, message)
	}
	text := out.String()
	if strings.Contains(text, "ature") || strings.Contains(text, "timestamp") || strings.Contains(text, "openid") || strings.Count(text, `"/"`) != 4 {
		t.Errorf("Gin's log shows a callback's query:\n%s", text)
	}
	out.Reset()
	serve(engine, http.MethodGet, "/fails?page=2", "")
	if text := out.String(); !strings.Contains(text, `"/fails?page=2"`) || !strings.Contains(text, "200") || !strings.Contains(text, "on purpose") {
		t.Errorf("Gin's log lacks something:\n%s", text)
	}
}

// TestSlashOfARoute: a route whose path differs from CallbackPath in a slash is the
// callback's, and gets nothing that is not verified.
func TestSlashOfARoute(t *testing.T) {
	for path, route := range map[string]string{"/wx": "/wx/", "/wx/": "/wx"} {
		cfg := config()
		cfg.CallbackPath = path
		engine := gin.New()
		engine.Use(newClient(t, cfg).Middleware())
		seen := 0
		engine.POST(route, func(*gin.Context) { seen++ })
		mustAnswer(t, serve(engine, http.MethodPost, route+"?signature=forged&timestamp=1&nonce=1", message), says(403, "wrong"))
		mustAnswer(t, serve(engine, http.MethodPost, route, message), says(403, "wrong"))
		if seen != 0 {
			t.Errorf("%s, %s: a handler saw %d forged pushes", path, route, seen)
		}
		mustAnswer(t, serve(engine, http.MethodPost, pushURL(route, testToken), message), says(200, "success"))
		if seen != 1 {
			t.Errorf("%s, %s: a handler saw %d pushes", path, route, seen)
		}
	}
}

// TestStatusAfterTheAnswer: what is to be sealed does not leave in the clear because the
// status changes after it was written.
func TestStatusAfterTheAnswer(t *testing.T) {
	for name, then := range map[string]func(c *gin.Context){
		"panic": func(*gin.Context) { panic("a handler's") },
		"abort": func(c *gin.Context) { c.AbortWithStatus(http.StatusInternalServerError) },
		"404":   func(c *gin.Context) { c.Writer.WriteHeader(http.StatusNotFound) },
	} {
		cfg := config()
		cfg.AESKey = wechat.Secret(testAESKey)
		engine := gin.New()
		engine.Use(newClient(t, cfg).Middleware(), gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) { c.AbortWithStatus(500) }))
		engine.POST("/", func(c *gin.Context) { c.String(http.StatusOK, "<xml>secret</xml>"); then(c) })
		target, body := encrypted(t, "/", testToken, testAESKey, testAppID)
		if got := serve(engine, http.MethodPost, target, body); strings.Contains(got.Body.String(), "secret") || got.Code != 200 || !strings.Contains(got.Body.String(), "<Encrypt>") {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
}
