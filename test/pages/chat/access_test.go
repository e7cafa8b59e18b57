package chat_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/chattest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/test/pages/browsertest"
)

// TestAccess: in light and dark every text can be read, everything has a name, and
// the keyboard goes through the page in the order in which it is read.
func TestAccess(t *testing.T) {
	d := lively(t)
	for _, look := range []browsertest.Look{{Still: true}, {Dark: true, Lang: "zh-CN", Still: true}, {Width: 390, Height: 844, Still: true}} {
		t.Run(fmt.Sprintf("%+v", look), func(t *testing.T) {
			tab := browsertest.Open(t, d.URL, look)
			tab.Await(browsertest.Joined)
			if look.Width == 0 {
				tab.Click("#fault-refuse")
				tab.Await(`document.getElementById("fault-refuse").ariaChecked === "true"`)
				tab.Click("#fault-refuse")
				tab.Await(`document.getElementById("fault-refuse").ariaChecked === "false"`)
				tab.Eval(`document.querySelectorAll(".entry details").forEach((e) => { e.open = true; }); true`, nil)
			}
			tab.Click("#add summary") // what opens has to be in the window too
			tab.Await(`(() => { const box = document.querySelector("#add form").getBoundingClientRect(); return box.width > 200 && box.left >= 0 && box.right <= innerWidth; })()`)
			tab.Readable(50)
			tab.Named()
		})
	}
	t.Run("keyboard", func(t *testing.T) {
		tab := browsertest.Open(t, d.URL, browsertest.Look{Still: true})
		tab.Await(browsertest.Joined)
		parts, visible := tab.Walk(`e.closest(".skip") ? "skip" : e.closest("#accounts-part") ? "account" : e.closest("#chat-part") ? "chat" : e.closest("#log-part") ? "log" : "top"`, "#bad-only, .skip")
		if got := strings.Join(parts, " "); !strings.HasPrefix(got, "skip top account chat log") || visible < 30 {
			t.Errorf("the keyboard goes %q over %d elements, want skip top account chat log", got, visible)
		}
	})
}

// TestMarkup: what others wrote never becomes markup, wherever it appears.
func TestMarkup(t *testing.T) {
	const evil = `<script>window.hit=1</script><img src=x onerror="window.hit=1">`
	bad := simulator.MakeUpAccount(7)
	bad.AppID = `wx"><script>window.hit=1</script>`
	good := simulator.MakeUpAccount(7)
	d := chattest.Start(t, simulator.Options{})
	good.CallbackURL = d.Account.CallbackURL
	d2 := chattest.Start(t, simulator.Options{Accounts: []simulator.Account{good, bad}, Patience: 2 * time.Second})
	d2.Account = good
	d2.Act("follower", "nickname", `<img src=x>`)
	d2.Act("say", "type", "text", "value", evil)
	d2.Until("the reply", func() bool {
		_, html := d2.Get("")
		return strings.Contains(html, `<p class="text">你说的是：`)
	})
	d2.Call("/cgi-bin/menu/create", `{"button":[{"type":"click","name":"<img src=x>","key":"<img src=x onerror=window.hit=1>"},`+
		`{"name":"<b>","sub_button":[{"type":"click","name":"<script>window.hit=1</script>","key":"V1"}]}]}`)
	d2.Call("/cgi-bin/message/custom/send", `{"touser":"`+good.Followers[0]+`","msgtype":"news","news":{"articles":[{"title":"<script>window.hit=1</script>","description":"<b>","url":"javascript:window.hit=1"}]}}`)
	d2.WeChat.Inject(simulator.Fault{Path: "/cgi-bin/x", Errcode: 40066, Errmsg: evil})
	d2.Call("/cgi-bin/x", evil)
	d2.Post("/cgi-bin/<script>window.hit=1</script>?access_token="+"%3Cscript%3Ewindow.hit=1%3C/script%3E", evil)
	d.Failing.Store(true)
	d2.Act("say", "type", "text", "value", "fail")
	d2.Until("the failure", func() bool { return d2.WeChat.Stats(good.AppID).Pushes >= 4 })

	for _, query := range []string{
		"", "?account=" + "wx%22%3E%3Cscript%3Ewindow.hit=1%3C/script%3E",
		"?as=%3Cscript%3Ewindow.hit=1%3C/script%3E",
	} {
		tab := browsertest.Open(t, d2.URL+query, browsertest.Look{})
		tab.Await(browsertest.Joined)
		tab.Await(browsertest.Has("#accounts", bad.AppID))
		if query == "" {
			tab.Await(browsertest.Has(".bubble.follower .text", evil))
			tab.Await(browsertest.Has(".bubble.app .text", "你说的是："+evil))
			tab.Await(browsertest.Has(".followers .name", "<img src=x>"))
			tab.Await(browsertest.Has(".entry dd", evil))
			tab.Click("#menu-0") // live, through the script
			tab.Await(browsertest.Has(".bubble .event", "<img src=x onerror=window.hit=1>"))
		}
		var foreign int
		tab.Eval(`document.querySelectorAll("body script, img:not(.brand img), [onerror], a[href^='javascript']").length + (window.hit || 0)`, &foreign)
		if foreign != 0 {
			t.Errorf("%s: %d pieces of markup came from elsewhere", query, foreign)
		}
	}
}
