// Package chattest runs a simulator with its page and a small app that it talks to, for
// the tests of package chat and for those that drive the page in a browser.
package chattest

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

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

// Desk is a simulator with its page, and a small app that it talks to.
type Desk struct {
	Page    *chat.Page
	WeChat  *simulator.Simulator
	Base    string // URL of the simulator
	URL     string // of the page
	Account simulator.Account
	Corp    simulator.Account // of StartCorp: an app of WeCom, of the same app's
	Failing atomic.Bool       // the app answers 500

	t   testing.TB
	app *callback.Router
}

// Menu is a menu with a button and with a submenu.
const Menu = `{"button":[{"type":"click","name":"今日歌曲","key":"V1001_TODAY"},
	{"name":"服务","sub_button":[{"type":"view","name":"帮助中心","url":"http://example.com/help"},{"type":"click","name":"赞一下我们","key":"V1001_GOOD"}]}]}`

// Start starts a desk, which is closed when the test ends. Without accounts in the
// options it has one, made up, whose pushes go to the app.
func Start(tb testing.TB, o simulator.Options) *Desk {
	tb.Helper()
	return start(tb, o, false)
}

// StartCorp is Start with an app of WeCom as a second account.
func StartCorp(tb testing.TB, o simulator.Options) *Desk {
	tb.Helper()
	return start(tb, o, true)
}

func start(tb testing.TB, o simulator.Options, corp bool) *Desk {
	tb.Helper()
	d := &Desk{t: tb, Account: simulator.MakeUpAccount(7), app: callback.NewRouter()}
	appServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.Failing.Load() {
			http.Error(w, "<script>alert(1)</script>", http.StatusInternalServerError)
			return
		}
		d.endpoint(r.URL.Path == "/wecom").ServeHTTP(w, r)
	}))
	tb.Cleanup(appServer.Close)
	d.Account.CallbackURL = appServer.URL + "/wechat"
	if o.Accounts == nil {
		o.Accounts = []simulator.Account{d.Account}
	}
	if corp {
		d.Corp = simulator.Account{
			AppID: "ww0123456789abcdef:1000002", Kind: simulator.WeCom, Secret: "made-up-secret-of-the-app",
			Token: d.Account.Token, AESKey: d.Account.AESKey, Followers: []string{"zhangsan", "lisi"}, CallbackURL: appServer.URL + "/wecom",
		}
		o.Accounts = append(o.Accounts, d.Corp)
	}
	o.MadeUp = true
	d.serve(o)
	d.app.Text("*图文*", func(c *callback.Context) error {
		return c.ReplyNews(callback.Article{Title: "中控使用指南", Description: "三分钟了解 access_token 的一生", URL: "http://example.com/guide"})
	})
	d.app.Event(callback.Subscribe, func(c *callback.Context) error { return c.ReplyText("欢迎关注！发送“图文”试试。") })
	d.app.Event(callback.Click, func(c *callback.Context) error { return c.ReplyText("你点击了 " + c.Message.EventKey) })
	d.app.Event("enter_agent", func(c *callback.Context) error { return c.ReplyText("欢迎进入，" + c.Message.FromUserName) })
	d.app.Text("*", func(c *callback.Context) error { return c.ReplyText("你说的是：" + c.Message.Content) })
	d.app.Default(func(c *callback.Context) error { return c.ReplyNothing() })
	return d
}

// Over serves the page of a simulator of the test's own, without an app.
func Over(tb testing.TB, o simulator.Options) *Desk {
	tb.Helper()
	d := &Desk{t: tb, Account: o.Accounts[0]}
	d.serve(o)
	return d
}

func (d *Desk) serve(o simulator.Options) {
	d.t.Helper()
	wx, err := simulator.New(o)
	if err != nil {
		d.t.Fatal(err)
	}
	page, err := chat.New(wx.Handler())
	if err != nil {
		d.t.Fatal(err)
	}
	server := httptest.NewServer(page.Handler())
	d.t.Cleanup(func() { page.Close(); server.Close() })
	d.Page, d.WeChat, d.Base, d.URL = page, wx, server.URL, server.URL+chat.Path
}

// endpoint is the app's, a new one for each request, so that no message counts as a
// repetition.
func (d *Desk) endpoint(corp bool) http.Handler {
	cfg := callback.Config{AppID: d.Account.AppID, Token: custody.NewSecret(d.Account.Token), AESKey: custody.NewSecret(d.Account.AESKey)}
	if corp {
		cfg.AppID, _, _ = strings.Cut(d.Corp.AppID, ":")
		cfg.WeCom = true
	}
	verifier, err := callback.NewVerifier(cfg)
	if err != nil {
		panic(err)
	}
	e, err := callback.NewEndpoint(callback.EndpointConfig{Verifier: verifier, Router: d.app})
	if err != nil {
		panic(err)
	}
	return e
}

// Fetch fetches a token from stable_token, as an app does, forced or not. It returns
// "" when there was none.
func (d *Desk) Fetch(force bool) string {
	d.t.Helper()
	body := fmt.Sprintf(`{"grant_type":"client_credential","appid":%q,"secret":%q,"force_refresh":%t}`, d.Account.AppID, d.Account.Secret, force)
	return d.Post("/cgi-bin/stable_token", body)["access_token"]
}

// Call calls an API with a new token.
func (d *Desk) Call(path, body string) map[string]string {
	d.t.Helper()
	return d.Post(path+"?access_token="+d.Fetch(false), body)
}

// CallCorp calls an API of WeCom with a token of the app.
func (d *Desk) CallCorp(path, body string) map[string]string {
	d.t.Helper()
	corp, _, _ := strings.Cut(d.Corp.AppID, ":")
	token := d.do(http.MethodGet, "/cgi-bin/gettoken?corpid="+corp+"&corpsecret="+d.Corp.Secret, "")["access_token"]
	return d.Post(path+"?access_token="+token, body)
}

// Post sends a body to the simulator and returns the fields of its answer, nil without
// an answer.
func (d *Desk) Post(path, body string) map[string]string {
	d.t.Helper()
	return d.do(http.MethodPost, path, body)
}

func (d *Desk) do(method, path, body string) map[string]string {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.Base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		d.t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil // a fault cut the connection
	}
	defer func() { _ = res.Body.Close(); http.DefaultTransport.(*http.Transport).CloseIdleConnections() }()
	var raw map[string]any
	_ = json.NewDecoder(res.Body).Decode(&raw) // a fault may have left nothing of the body
	answer := map[string]string{}
	for key, value := range raw {
		answer[key] = fmt.Sprint(value)
	}
	return answer
}

// Act sends a form of the page, as its script does, and returns the status and the
// error.
func (d *Desk) Act(what string, pairs ...string) (status int, problem string) {
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
	d.Page.Handler().ServeHTTP(w, r)
	var answer struct{ Error string }
	_ = json.Unmarshal(w.Body.Bytes(), &answer) // 204 has no body
	return w.Code, answer.Error
}

// Get returns the page as a browser without JavaScript sees it; headers are pairs.
func (d *Desk) Get(query string, header ...string) (status int, html string) {
	d.t.Helper()
	r := httptest.NewRequest(http.MethodGet, chat.Path+query, http.NoBody)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.Page.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// Until waits until something has happened in another goroutine.
func (d *Desk) Until(what string, happened func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); {
		if time.Now().After(deadline) {
			d.t.Fatal("never: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
