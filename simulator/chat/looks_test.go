package chat_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/browsertest"
	"github.com/zhongkong-go/zhongkong/simulator"
)

var screenshots = flag.String("screenshots", "", "the folder that TestLooks writes its pictures to")

// lively is a desk on which something has happened.
func lively(t *testing.T) *desk {
	d := start(t, simulator.Options{Seed: 7, Patience: time.Second})
	openid := d.account.Followers[0]
	d.act("app", "url", d.account.CallbackURL)
	d.until("the address was verified", func() bool { return len(d.wx.Events()) == 1 })
	d.call("/cgi-bin/menu/create", menu)
	say := func(answers int, pairs ...string) {
		before := len(d.wx.Events())
		if status, problem := d.act("say", pairs...); status != 204 {
			t.Fatal(status, problem)
		}
		d.until("an answer", func() bool { return len(d.wx.Events()) >= before+answers })
	}
	d.act("follow", "on", "1")
	d.until("the welcome", func() bool { return d.wx.Stats(d.account.AppID).Pushes == 2 })
	say(1, "type", "text", "value", "你好，中控")
	say(1, "type", "location")
	say(1, "type", "text", "value", "来一条图文")
	d.call("/cgi-bin/message/template/send", `{"touser":"`+openid+`","template_id":"OPENTM2026","url":"http://example.com/orders/42",
		"data":{"订单":{"value":"№ 42"},"状态":{"value":"已发货"},"预计送达":{"value":"明天 14:00"}}}`)
	d.call("/cgi-bin/message/custom/send", `{"touser":"`+openid+`","msgtype":"text","text":{"content":"您的订单已发货，需要帮忙随时说。"}}`)
	d.act("menu", "button", "0")
	d.until("the click's answer", func() bool { return d.wx.Stats(d.account.AppID).Pushes >= 6 })
	d.act("fault", "key", "busy", "on", "1")
	d.fetch(true)
	d.wx.Supersede(d.account.AppID)
	d.wx.Clock.Advance(43 * time.Minute)
	d.failing.Store(true)
	say(3, "type", "text", "value", "还在吗？")
	return d
}

// TestLooks: at every width, in light and dark, in both languages the page has
// something to show and nothing to scroll sideways for. With -screenshots it writes
// the pictures of the READMEs.
func TestLooks(t *testing.T) {
	d := lively(t)
	for _, one := range []struct {
		name, hash string
		look       browsertest.Look
	}{
		{"simulator-en-light", "", browsertest.Look{Width: 1600, Height: 1000, Lang: "en"}},
		{"simulator-en-dark", "", browsertest.Look{Width: 1600, Height: 1000, Lang: "en", Dark: true}},
		{"simulator-zh-light", "", browsertest.Look{Width: 1600, Height: 1000, Lang: "zh-CN"}},
		{"simulator-zh-dark", "", browsertest.Look{Width: 1600, Height: 1000, Lang: "zh-CN", Dark: true}},
		{"simulator-narrow-chat", "", browsertest.Look{Width: 390, Height: 844, Lang: "en"}},
		{"simulator-narrow-account", "#accounts-part", browsertest.Look{Width: 390, Height: 844, Lang: "zh-CN"}},
		{"simulator-narrow-log", "#log-part", browsertest.Look{Width: 390, Height: 844, Lang: "en", Dark: true}},
	} {
		t.Run(one.name, func(t *testing.T) {
			one.look.Still = true
			tab := browsertest.Open(t, d.url+one.hash, one.look)
			tab.Await(`document.getElementById("link").dataset.state === "joined"`)
			tab.Fits(".part", ".followers") // there can be 64 of them
			if one.look.Width > 1000 {
				tab.Click("#entries > .entry:nth-child(4) summary")
			}
			png := tab.Screenshot()
			if len(png) < 10_000 || len(png) > 300<<10 {
				t.Errorf("the picture has %d bytes", len(png))
			}
			if *screenshots != "" {
				if err := os.MkdirAll(*screenshots, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(*screenshots, one.name+".png"), png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
