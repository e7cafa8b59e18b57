package simtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// A token has expired, and the next call works all the same.
func Example() {
	_ = func(t *testing.T) { // func TestExpiry(t *testing.T)
		wx := simtest.New(t, simulator.Options{}) // WeChat's server side, on loopback, with a clock of its own
		client, err := wechat.New(wechat.Config{
			AppID: wx.AppID(), AppSecret: wechat.Secret(wx.Secret()), APIBase: wx.URL, StoreURL: "memory:",
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()

		for range 2 {
			if err := client.Get(context.Background(), "/cgi-bin/get_api_domain_ip", nil, nil); err != nil {
				t.Error(err)
			}
			wx.Clock.Advance(2 * time.Hour) // the token has expired
		}
		if n := wx.Stats(wx.AppID()).Stable.Issued; n != 2 {
			t.Errorf("%d tokens", n)
		}
	}
}
