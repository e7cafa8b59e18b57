package chat_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/browsertest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

func TestMain(m *testing.M) { browsertest.Main(m, func() error { return goleak.Find() }) }

// desk is a simulator with its page, and a small app that talks to it.
type desk struct {
	t       testing.TB
	page    *chat.Page
	wx      *simulator.Simulator
	base    string
	url     string // of the page
	account simulator.Account
	app     *callback.Router
	failing atomic.Bool // the app answers 500
}

const menu = `{"button":[{"type":"click","name":"今日歌曲","key":"V1001_TODAY"},
	{"name":"服务","sub_button":[{"type":"view","name":"帮助中心","url":"http://example.com/help"},{"type":"click","name":"赞一下我们","key":"V1001_GOOD"}]}]}`

// start starts both.
func start(tb testing.TB, o simulator.Options) *desk {
	tb.Helper()
	d := &desk{t: tb, account: simulator.MakeUpAccount(7), app: callback.NewRouter()}
	appServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.failing.Load() {
			http.Error(w, "<script>alert(1)</script>", http.StatusInternalServerError)
			return
		}
		d.endpoint().ServeHTTP(w, r)
	}))
	tb.Cleanup(appServer.Close)
	d.account.CallbackURL = appServer.URL + "/wechat"
	if o.Accounts == nil {
		o.Accounts = []simulator.Account{d.account}
	}
	var err error
	if d.page, err = chat.New(chat.Options{Simulator: o, MadeUp: true}); err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(d.page.Handler())
	tb.Cleanup(func() { d.page.Close(); server.Close() })
	d.wx, d.base, d.url = d.page.Simulator, server.URL, server.URL+chat.Path
	d.app.Text("*图文*", func(c *callback.Context) error {
		return c.ReplyNews(callback.Article{Title: "中控使用指南", Description: "三分钟了解 access_token 的一生", URL: "http://example.com/guide"})
	})
	d.app.Event(callback.Subscribe, func(c *callback.Context) error { return c.ReplyText("欢迎关注！发送“图文”试试。") })
	d.app.Event(callback.Click, func(c *callback.Context) error { return c.ReplyText("你点击了 " + c.Message.EventKey) })
	d.app.Text("*", func(c *callback.Context) error { return c.ReplyText("你说的是：" + c.Message.Content) })
	d.app.Default(func(c *callback.Context) error { return c.ReplyNothing() })
	return d
}

// endpoint is the app's, anew for each request: what a message is remembered by
// would be the only thing it keeps.
func (d *desk) endpoint() http.Handler {
	verifier, err := callback.NewVerifier(callback.Config{
		AppID: d.account.AppID, Token: custody.NewSecret(d.account.Token), AESKey: custody.NewSecret(d.account.AESKey),
	})
	if err != nil {
		panic(err)
	}
	e, err := callback.NewEndpoint(callback.EndpointConfig{Verifier: verifier, Router: d.app})
	if err != nil {
		panic(err)
	}
	return e
}

// fetch fetches a token as an app does: from stable_token, forced or not. It is ""
// when there was none.
func (d *desk) fetch(force bool) string {
	d.t.Helper()
	body := fmt.Sprintf(`{"grant_type":"client_credential","appid":%q,"secret":%q,"force_refresh":%t}`, d.account.AppID, d.account.Secret, force)
	return d.post("/cgi-bin/stable_token", body)["access_token"]
}

// call calls an API with a new token.
func (d *desk) call(path, body string) map[string]string {
	d.t.Helper()
	return d.post(path+"?access_token="+d.fetch(false), body)
}

func (d *desk) post(path, body string) map[string]string {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		d.t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil // a fault
	}
	defer func() { _ = res.Body.Close(); http.DefaultTransport.(*http.Transport).CloseIdleConnections() }()
	var raw map[string]any
	_ = json.NewDecoder(res.Body).Decode(&raw) // a fault may have left nothing
	answer := map[string]string{}
	for key, value := range raw {
		answer[key] = fmt.Sprint(value)
	}
	return answer
}

// act sends a form of the page, as its script does, and returns the status and the
// error.
func (d *desk) act(what string, pairs ...string) (status int, problem string) {
	d.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, chat.Path+what, strings.NewReader(form.Encode()))
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	d.page.Handler().ServeHTTP(w, r)
	var answer struct{ Error string }
	_ = json.Unmarshal(w.Body.Bytes(), &answer) // 204 has no body
	return w.Code, answer.Error
}

// get returns the page as a browser without the script sees it.
func (d *desk) get(query string, header ...string) (status int, html string) {
	d.t.Helper()
	r := httptest.NewRequest(http.MethodGet, chat.Path+query, http.NoBody)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.page.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// until waits for something that happens in another goroutine.
func (d *desk) until(what string, happened func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); {
		if time.Now().After(deadline) {
			d.t.Fatal("never: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
