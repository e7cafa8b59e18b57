package wechat_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestDetour: while api.weixin.qq.com cannot be connected to, the token comes from and
// calls go to api2.weixin.qq.com.
func TestDetour(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: account()})
	cfg := config()
	cfg.Transport = testserver.Network(t, map[string]http.Handler{"api.weixin.qq.com": nil, "api2.weixin.qq.com": wx.Handler()})
	client := newClient(t, cfg)
	if err := client.Get(t.Context(), domainIP, nil, new(json.RawMessage)); err != nil {
		t.Error(err)
	}
	if stats := wx.Stats(testAppID); stats.Classic.Issued+stats.Stable.Issued != 1 || stats.APICalls != 1 {
		t.Errorf("%d tokens were issued, and %d calls made, want 1 of each", stats.Classic.Issued+stats.Stable.Issued, stats.APICalls)
	}
}
