package wechat_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestLoginFromGateway: a program without an AppSecret logs users in with its client's key,
// also when the first of two gateways is away.
func TestLoginFromGateway(t *testing.T) {
	t.Chdir(t.TempDir())
	b := newBehind(t)
	cfg := b.config(b.client(gateway.Client{Name: "shop"}))
	cfg.Gateway = "http://127.0.0.1:1, " + cfg.Gateway
	cfg.Origin = shopOrigin
	s := &shop{b.wx, engine(newClient(t, cfg), wechat.LoginConfig{})}
	browser := newBrowser(t)
	if status, page := browser.open(s, "/named"); status != http.StatusOK || !strings.Contains(page, "name=小明") {
		t.Errorf("%d %s", status, page)
	}
	if n := s.exchanges(); n != 2 { // silent, and with the name
		t.Errorf("%d exchanges", n)
	}
}

// TestLoginWebsiteBesideGateway: the website application is this program's own business.
func TestLoginWebsiteBesideGateway(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: loginAccounts()})
	cfg := wechat.Config{
		AppID: testAppID, Gateway: "http://127.0.0.1:1", GatewayKey: wechat.Secret("zkc_made-up"), StoreURL: "memory:",
		APIBase: wx.URL, Origin: shopOrigin,
	}
	s := &shop{wx, engine(newClient(t, cfg), wechat.LoginConfig{Website: &wechat.Website{AppID: siteAppID, AppSecret: wechat.Secret("site")}})}
	desk := newBrowser(t)
	desk.agent = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
	if status, page := desk.open(s, "/me"); status != http.StatusOK || !strings.Contains(page, "name=小明") {
		t.Errorf("%d %s", status, page)
	}
}

// TestSigningThroughGateway: a gateway carries a signed call as it is, and its answer too.
func TestSigningThroughGateway(t *testing.T) {
	t.Chdir(t.TempDir())
	const path = "/cgi-bin/openapi/quota/get"
	b := newBehind(t)
	cfg := b.config(b.client(gateway.Client{Name: "shop"}))
	cfg.Signing = madeUpSigning(t, b.wx.Simulator, path)
	var out struct {
		Quota struct {
			Limit int `json:"daily_limit"`
		} `json:"quota"`
	}
	if err := newClient(t, cfg).Post(t.Context(), path, map[string]string{"cgi_path": "/cgi-bin/token"}, &out); err != nil || out.Quota.Limit == 0 {
		t.Errorf("%+v, %v", out, err)
	}
	for _, e := range b.wx.Events() {
		if e.Path == path && (!strings.HasPrefix(e.Response, `{"iv":"`) || strings.Contains(e.Response, "daily_limit")) {
			t.Errorf("WeChat answered %s", e.Response)
		}
	}
}

// TestMiniFromGateway: a mini program's server without an AppSecret does all with its
// client's key.
func TestMiniFromGateway(t *testing.T) {
	t.Chdir(t.TempDir())
	b := newBehind(t)
	if err := b.wx.Update(testAppID, func(a *simulator.Account) { a.Kind = simulator.MiniProgram }); err != nil {
		t.Fatal(err)
	}
	client := newClient(t, b.config(b.client(gateway.Client{Name: "shop"})))
	var session platform.MiniSession
	r := miniEngine(client, func(_ context.Context, _ *wechat.User, s platform.MiniSession) error {
		session = s
		return nil
	})
	_, token, _ := postLogin(t, r, b.wx.MiniCode(testAppID, ""))
	openid := b.wx.Account().Followers[0]
	if status, page := getMe(t, r, "Bearer "+token); status != http.StatusOK || !strings.Contains(page, openid) {
		t.Errorf("%d %s", status, page)
	}
	if valid, err := client.CheckSession(t.Context(), openid, session.Key); err != nil || !valid {
		t.Errorf("CheckSession: %v, %v", valid, err)
	}
	if phone, err := client.PhoneNumber(t.Context(), b.wx.PhoneCode(testAppID, openid)); err != nil || phone.PureNumber != b.wx.PhoneNumber(openid) {
		t.Errorf("PhoneNumber: %+v, %v", phone, err)
	}
}
