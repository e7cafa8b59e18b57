package wechat_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

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

// TestSigningThroughGateway: a gateway carries a signed call as it is.
func TestSigningThroughGateway(t *testing.T) {
	t.Chdir(t.TempDir())
	b := newBehind(t)
	cfg := b.config(b.client(gateway.Client{Name: "shop"}))
	cfg.Signing = signing(t, time.Now().Add(365*24*time.Hour))
	cfg.Signing.Paths = []string{"/cgi-bin/openapi/rid/get"}
	var refusal *platform.Error
	err := newClient(t, cfg).Post(t.Context(), cfg.Signing.Paths[0], map[string]string{"rid": "private"}, nil)
	if !errors.As(err, &refusal) || refusal.Code != 76002 { // which the simulator, who signs nothing, may say unsigned
		t.Errorf("%v", err)
	}
	for _, e := range b.wx.Events() {
		if e.Path == cfg.Signing.Paths[0] && (!strings.HasPrefix(e.Request, `{"iv":"`) || strings.Contains(e.Request, "private")) {
			t.Errorf("WeChat got %s", e.Request)
		}
	}
}
