package chat_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/zhongkong-go/zhongkong/internal/test/chattest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/test/pages/browsertest"
)

// TestCorpChatting: one goes from an official account to an app of WeCom, writes as a member,
// and sees the reply and what message/send sends, live.
func TestCorpChatting(t *testing.T) {
	d := chattest.StartCorp(t, simulator.Options{})
	tab := browsertest.Open(t, d.URL, browsertest.Look{})
	tab.Await(browsertest.Joined)
	tab.Click(".pick li:nth-child(2) a")
	tab.Await(browsertest.Has("#value-agentid", "1000002"))
	tab.Await(browsertest.Joined)
	tab.Type("#value", "报销进度")
	tab.Press(kb.Enter)
	tab.Await(browsertest.Has(".bubble.follower .body", "报销进度"))
	tab.Await(browsertest.Has(".bubble.app .body", "你说的是：报销进度"))
	tab.Eval(`(() => {
		const type = document.getElementById("type");
		type.value = "enter_agent";
		type.dispatchEvent(new Event("change", { bubbles: true }));
		type.form.requestSubmit();
	})()`, nil)
	tab.Await(browsertest.Has(".bubble .event", "Opened the app"))
	tab.Await(browsertest.Has(".bubble.app .body", "欢迎进入，zhangsan"))
	d.CallCorp("/cgi-bin/message/send", `{"touser":"zhangsan","msgtype":"textcard","agentid":1000002,"textcard":{"title":"审批","description":"张三的报销单","url":"http://example.com/"}}`)
	tab.Await(browsertest.Has(".bubble.app .title", "审批"))
	tab.Await(browsertest.Has("#tokens", "gettoken"))
	tab.Await(browsertest.Has("#tokens progress ~ .line", "left"))
	tab.Await(`!document.querySelector(".entry .wrong")`)
	tab.Click("#followers li:nth-child(2) a")
	tab.Await(browsertest.Has("#head code", "lisi"))
	tab.Await(`!document.querySelector(".bubble")`)
}

// TestCorpLooks: the page of an app of WeCom has something to show in both languages and at
// every width.
func TestCorpLooks(t *testing.T) {
	d := chattest.StartCorp(t, simulator.Options{Seed: 7, Patience: time.Second})
	as := "?" + url.Values{"account": {d.Corp.AppID}, "as": {"zhangsan"}}.Encode()
	say := func(kind, value string) {
		before := d.WeChat.Stats(d.Corp.AppID).Pushes
		if status, problem := d.Act("say"+as, "type", kind, "value", value); status != 204 {
			t.Fatal(status, problem)
		}
		d.Until("an answer", func() bool { return d.WeChat.Stats(d.Corp.AppID).Pushes > before })
	}
	d.Act("app"+as, "url", d.Corp.CallbackURL)
	d.Until("the address was verified", func() bool { return len(d.WeChat.Events()) == 1 })
	say("enter_agent", "")
	say("text", "我的报销到哪一步了？")
	send := func(rest string) {
		d.CallCorp("/cgi-bin/message/send", `{"touser":"zhangsan","agentid":1000002,`+rest+"}")
	}
	send(`"msgtype":"textcard","textcard":{"title":"报销单待审批","description":"张三提交了 № 42，共 328 元","url":"http://example.com/42"}`)
	send(`"msgtype":"markdown","markdown":{"content":"**周会** 改到 15:00，会议室 402"}`)
	say("image", "")
	d.Act("fault"+as, "key", "ip", "on", "1")
	send(`"msgtype":"text","text":{"content":"到不了"}`)
	for _, one := range []struct {
		name, hash string
		look       browsertest.Look
	}{
		{"simulator-wecom-en", "", browsertest.Look{Width: 1600, Height: 1000, Lang: "en"}},
		{"simulator-wecom-zh", "", browsertest.Look{Width: 1600, Height: 1000, Lang: "zh-CN"}},
		{"", "", browsertest.Look{Width: 390, Height: 844, Lang: "zh-CN", Dark: true}},
		{"", "#accounts-part", browsertest.Look{Width: 390, Height: 844, Lang: "en"}},
	} {
		t.Run(one.name+one.hash, func(t *testing.T) {
			one.look.Still = true
			tab := browsertest.Open(t, d.URL+as+one.hash, one.look)
			tab.Await(browsertest.Joined)
			tab.Fits(".part", ".followers")
			tab.Picture(one.name, 10_000, 300<<10)
		})
	}
}
