package chat_test

import (
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/chattest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/test/pages/browsertest"
)

// lively is a desk on which something has happened.
func lively(t *testing.T) *chattest.Desk {
	d := chattest.Start(t, simulator.Options{Seed: 7, Patience: time.Second})
	openid := d.Account.Followers[0]
	d.Act("app", "url", d.Account.CallbackURL)
	d.Until("the address was verified", func() bool { return len(d.WeChat.Events()) == 1 })
	d.Call("/cgi-bin/menu/create", chattest.Menu)
	say := func(answers int, pairs ...string) {
		before := len(d.WeChat.Events())
		if status, problem := d.Act("say", pairs...); status != 204 {
			t.Fatal(status, problem)
		}
		d.Until("an answer", func() bool { return len(d.WeChat.Events()) >= before+answers })
	}
	d.Act("follow", "on", "1")
	d.Until("the welcome", func() bool { return d.WeChat.Stats(d.Account.AppID).Pushes == 2 })
	say(1, "type", "text", "value", "你好，中控")
	say(1, "type", "location")
	say(1, "type", "text", "value", "来一条图文")
	d.Call("/cgi-bin/message/template/send", `{"touser":"`+openid+`","template_id":"`+d.Account.Templates[0]+`","url":"http://example.com/orders/42",
		"data":{"订单":{"value":"№ 42"},"状态":{"value":"已发货"},"预计送达":{"value":"明天 14:00"}}}`)
	d.Call("/cgi-bin/message/custom/send", `{"touser":"`+openid+`","msgtype":"text","text":{"content":"您的订单已发货，需要帮忙随时说。"}}`)
	d.Act("menu", "button", "0")
	d.Until("the click's answer", func() bool { return d.WeChat.Stats(d.Account.AppID).Pushes >= 6 })
	d.Act("fault", "key", "busy", "on", "1")
	d.Fetch(true)
	d.WeChat.Supersede(d.Account.AppID)
	d.WeChat.Clock.Advance(43 * time.Minute)
	d.Failing.Store(true)
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
			tab := browsertest.Open(t, d.URL+one.hash, one.look)
			tab.Await(browsertest.Joined)
			tab.Fits(".part", ".followers") // there can be 64 of them
			if one.look.Width > 1000 {
				tab.Click("#entries > .entry:nth-child(4) summary")
			}
			tab.Picture(one.name, 10_000, 300<<10)
		})
	}
}
