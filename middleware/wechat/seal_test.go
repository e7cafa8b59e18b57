package wechat_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
)

const order = `<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>
<FromUserName><![CDATA[oAbCd0123456789EfGhIjKlMnOpQ]]></FromUserName>
<CreateTime>1668869541</CreateTime>
<MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[xpay_goods_deliver_notify]]></Event>
</xml>`

const orderJSON = `{"ToUserName":"gh_0123456789ab","FromUserName":"oAbCd0123456789EfGhIjKlMnOpQ","CreateTime":1668869541,"MsgType":"event","Event":"xpay_goods_deliver_notify"}`

func testVerifier(tb testing.TB, aesKey string) *callback.Verifier {
	tb.Helper()
	config := callback.Config{AppID: testAppID, Token: wechat.Secret(testToken)}
	if aesKey != "" {
		config.AESKey = wechat.Secret(aesKey)
	}
	v, err := callback.NewVerifier(config)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// pushOf is WeChat's push of a message to a path, encrypted or not.
func pushOf(tb testing.TB, path, message string, encrypted bool) *http.Request {
	tb.Helper()
	target, body := pushURL(path, testToken), message
	if encrypted {
		now := strconv.FormatInt(time.Now().Unix(), 10)
		e, err := testVerifier(tb, testAESKey).Seal(callback.Pair{}, now, nonce, []byte(message))
		if err != nil {
			tb.Fatal(err)
		}
		target = path + "?signature=" + callback.Signature(testToken, now, nonce) + "&timestamp=" + now + "&nonce=" + nonce + "&encrypt_type=aes&msg_signature=" + e.MsgSignature
		if body = "<xml>\n    <ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n    <Encrypt><![CDATA[" + e.Encrypt + "]]></Encrypt>\n</xml>\n"; message[0] == '{' {
			body = `{"ToUserName":"gh_0123456789ab","Encrypt":"` + e.Encrypt + `"}`
		}
	}
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/xml")
	return r
}

// opened is an answer in plain text, and whether it was sealed, as JSON.
func opened(tb testing.TB, body string) (text string, sealed, inJSON bool) {
	tb.Helper()
	m, err := callback.ParseMessage([]byte(body))
	if err != nil || m.Fields.Get("Encrypt") == "" {
		return body, false, false
	}
	q := callback.Query{Timestamp: m.Fields.Get("TimeStamp"), Nonce: m.Fields.Get("Nonce"), MsgSignature: m.Fields.Get("MsgSignature")}
	message, _, err := testVerifier(tb, testAESKey).Open(q, []byte(body))
	if err != nil {
		tb.Fatalf("the answer does not open: %v: %s", err, body)
	}
	return string(message), true, m.JSON
}

// TestHandlersAnswers: what a handler writes with status 200 is sealed in the form of the
// push, once; success and nothing are not; what cannot be sealed is an error in words.
func TestHandlersAnswers(t *testing.T) {
	const asked = `{"ErrCode":0,"ErrMsg":"success"}`
	for name, test := range map[string]struct {
		handler func(c *gin.Context)
		status  int
		want    string
		sealed  bool
		log     string
	}{
		"JSON":      {func(c *gin.Context) { c.JSON(http.StatusOK, map[string]any{"ErrCode": 0, "ErrMsg": "success"}) }, 200, asked, true, ""},
		"XML":       {func(c *gin.Context) { c.String(http.StatusOK, "<xml><ResultCode>0</ResultCode></xml>") }, 200, "<xml><ResultCode>0</ResultCode></xml>", true, ""},
		"in pieces": {func(c *gin.Context) { _, _ = c.Writer.WriteString(asked[:5]); _, _ = c.Writer.Write([]byte(asked[5:])) }, 200, asked, true, ""},
		"success":   {func(c *gin.Context) { c.String(http.StatusOK, "success") }, 200, "success", false, ""},
		"nothing":   {func(c *gin.Context) { c.Status(http.StatusOK); c.Writer.WriteHeaderNow() }, 200, "", false, ""},
		"no answer": {func(*gin.Context) {}, 200, "success", false, ""},
		"by hand": {func(c *gin.Context) {
			wx := wechat.From(c)
			push, _ := wx.Push(c)
			sealed, _ := wx.Seal(push, []byte(asked))
			_, _ = c.Writer.Write(sealed)
		}, 200, asked, true, ""},
		"another 200": {func(c *gin.Context) { c.String(http.StatusServiceUnavailable, "busy") }, 503, "busy", false, ""},
		"streamed":    {func(c *gin.Context) { _, _ = c.Writer.WriteString(asked); c.Writer.Flush() }, 500, "wrong", false, "streams"},
		"compressed":  {func(c *gin.Context) { c.Header("Content-Encoding", "gzip"); _, _ = c.Writer.WriteString("\x1f\x8b") }, 500, "wrong", false, "compressed"},
		"oversized":   {func(c *gin.Context) { _, _ = c.Writer.Write(make([]byte, callback.MaxBody+1)) }, 500, "wrong", false, "larger"},
		"half sealed": {func(c *gin.Context) {
			c.String(http.StatusOK, `{"Encrypt":"AAAA","MsgSignature":"x","TimeStamp":1,"Nonce":"1"}`)
		}, 200, `{"Encrypt":"AAAA","MsgSignature":"x","TimeStamp":1,"Nonce":"1"}`, true, ""},
	} {
		for _, message := range []string{order, orderJSON} {
			cfg := config()
			cfg.AESKey = wechat.Secret(testAESKey)
			out := new(logtest.Log)
			cfg.Logger = out.Logger(slog.LevelError)
			r := gin.New()
			r.Use(newClient(t, cfg).Middleware())
			r.POST("/", test.handler)
			recorder := httptest.NewRecorder()
			r.ServeHTTP(recorder, pushOf(t, "/", message, true))
			text, sealed, inJSON := opened(t, recorder.Body.String())
			if recorder.Code != test.status || text != test.want || sealed != test.sealed || sealed && inJSON != (message == orderJSON) {
				t.Errorf("%s: %d %q, sealed %t, JSON %t", name, recorder.Code, text, sealed, inJSON)
			}
			if want := map[bool]string{true: "application/json; charset=utf-8", false: "text/xml; charset=utf-8"}[inJSON]; sealed && name != "by hand" && recorder.Header().Get("Content-Type") != want {
				t.Errorf("%s: Content-Type %s", name, recorder.Header().Get("Content-Type"))
			}
			if lines := strings.Join(out.Lines(slog.LevelError), ""); (lines == "") != (test.log == "") || !strings.Contains(lines, test.log) {
				t.Errorf("%s: the log is %s", name, lines)
			}
		}
	}
	// In plain mode nothing changes.
	r := gin.New()
	client := newClient(t, config())
	r.Use(client.Middleware())
	r.POST("/", func(c *gin.Context) { c.JSON(http.StatusOK, 1) })
	recorder := httptest.NewRecorder()
	if r.ServeHTTP(recorder, pushOf(t, "/", order, false)); recorder.Body.String() != "1" {
		t.Errorf("in plain mode: %s", recorder.Body)
	}
	if _, err := client.Seal(nil, nil); err == nil {
		t.Error("Seal without a push")
	}
}

// TestHandlerPanics: a Recovery in front answers for itself.
func TestHandlerPanics(t *testing.T) {
	cfg := config()
	cfg.AESKey = wechat.Secret(testAESKey)
	r := gin.New()
	r.Use(gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) { c.String(http.StatusInternalServerError, "recovered") }))
	r.Use(newClient(t, cfg).Middleware())
	r.POST("/", func(c *gin.Context) { _, _ = c.Writer.WriteString("half"); panic("oh no") })
	recorder := httptest.NewRecorder()
	if r.ServeHTTP(recorder, pushOf(t, "/", order, true)); recorder.Code != 500 || recorder.Body.String() != "recovered" {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
}

// TestBodyReadBefore: a body that another middleware has read is found where Gin keeps
// it, and else is an error that names the order of middlewares, never success.
func TestBodyReadBefore(t *testing.T) {
	for name, test := range map[string]struct {
		before gin.HandlerFunc
		status int
	}{
		"put back": {func(c *gin.Context) {
			body, _ := io.ReadAll(c.Request.Body)
			c.Request.Body = io.NopCloser(strings.NewReader(string(body)))
		}, 200},
		"bound":              {func(c *gin.Context) { var into map[string]any; _ = c.ShouldBindBodyWithJSON(&into) }, 200},
		"drained":            {func(c *gin.Context) { _, _ = io.Copy(io.Discard, c.Request.Body) }, 500},
		"drained, no length": {func(c *gin.Context) { _, _ = io.Copy(io.Discard, c.Request.Body); c.Request.ContentLength = -1 }, 500},
		"begun":              {func(c *gin.Context) { _, _ = io.CopyN(io.Discard, c.Request.Body, 20) }, 500},
	} {
		for _, encrypted := range []bool{false, true} {
			for _, withBot := range []bool{false, true} {
				cfg := config()
				if encrypted {
					cfg.AESKey = wechat.Secret(testAESKey)
				}
				got := ""
				if withBot {
					cfg.Messages = callback.NewRouter()
					cfg.Messages.Default(func(c *callback.Context) error { got = string(c.Message.Event); return nil })
				}
				out := new(logtest.Log)
				cfg.Logger = out.Logger(slog.LevelWarn)
				r := gin.New()
				r.Use(test.before, newClient(t, cfg).Middleware())
				r.POST("/", func(c *gin.Context) {
					body, _ := io.ReadAll(c.Request.Body)
					if kept, ok := c.Get(gin.BodyBytesKey); ok && !bytes.Equal(kept.([]byte), body) {
						t.Errorf("%s: Gin keeps another body than the message", name)
					}
					if strings.Contains(string(body), "xpay_goods_deliver_notify") {
						got = "xpay_goods_deliver_notify"
					}
				})
				recorder := httptest.NewRecorder()
				r.ServeHTTP(recorder, pushOf(t, "/", order, encrypted))
				if recorder.Code != test.status || (got == "xpay_goods_deliver_notify") != (test.status == 200) {
					t.Errorf("%s, encrypted %t, bot %t: %d %s, handled %q", name, encrypted, withBot, recorder.Code, recorder.Body, got)
				}
				if lines := strings.Join(out.Lines(slog.LevelError), ""); test.status == 500 && !strings.Contains(lines, "register this one first") {
					t.Errorf("%s: the log is %s", name, lines)
				}
			}
		}
	}
}

// TestPaths: a slash at the end does not matter, a wildcard is refused at the start, a
// push that comes to another path is told of, and two accounts need two paths.
func TestPaths(t *testing.T) {
	for _, path := range []string{"/wx", "/wx/"} {
		for _, at := range []string{"/wx", "/wx/"} {
			cfg := config()
			cfg.CallbackPath = path
			r := gin.New()
			r.Use(newClient(t, cfg).Middleware())
			recorder := httptest.NewRecorder()
			if r.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, verificationURL(at, testToken), http.NoBody)); recorder.Body.String() != echostr {
				t.Errorf("CallbackPath %s at %s: %d %s", path, at, recorder.Code, recorder.Body)
			}
			recorder = httptest.NewRecorder()
			if r.ServeHTTP(recorder, pushOf(t, at, order, false)); recorder.Body.String() != "success" {
				t.Errorf("CallbackPath %s at %s: %d %s", path, at, recorder.Code, recorder.Body)
			}
		}
	}
	for _, path := range []string{"/:appid", "/wx/*rest", "/wx:appid", "/a/wx*rest/b"} {
		cfg := config()
		cfg.CallbackPath = path
		if _, err := wechat.New(cfg); err == nil || !strings.Contains(err.Error(), "client.Callback()") {
			t.Errorf("CallbackPath %s: %v", path, err)
		}
	}

	cfg := config()
	out := new(logtest.Log)
	cfg.Logger = out.Logger(slog.LevelWarn)
	r := gin.New()
	group := r.Group("/api")
	group.Use(newClient(t, cfg).Middleware())
	group.POST("/wx", func(c *gin.Context) { c.Status(http.StatusNoContent) })
	for range 2 {
		r.ServeHTTP(httptest.NewRecorder(), pushOf(t, "/api/wx", order, false))
	}
	if lines := out.Lines(slog.LevelWarn); len(lines) != 1 || !strings.Contains(lines[0], "/api/wx") || !strings.Contains(lines[0], "CallbackPath") {
		t.Errorf("of a push to another path the log says %q", lines)
	}
}
