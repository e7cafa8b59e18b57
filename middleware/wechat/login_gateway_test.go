package wechat_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
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
