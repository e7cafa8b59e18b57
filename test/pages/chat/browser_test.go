package chat_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/zhongkong-go/zhongkong/internal/test/chattest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/test/pages/browsertest"
)

func TestMain(m *testing.M) { browsertest.Main(m, testserver.Leaks) }

// TestChatting: what is typed reaches the app, and its reply and its customer
// service message stand in the chat, without the page being loaded again.
func TestChatting(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	tab := browsertest.Open(t, d.URL, browsertest.Look{})
	tab.Await(browsertest.Joined)
	tab.Type("#value", "你好")
	tab.Press(kb.Enter)
	tab.Await(browsertest.Has(".bubble.follower .body", "你好"))
	tab.Await(browsertest.Has(".bubble.app .body", "你说的是：你好"))
	tab.Await(browsertest.Has(".entry.ok", "Replied: the app replied with text"))
	tab.Await(browsertest.Has(".entry.ok", "msg_signature"))
	tab.Await(`document.activeElement.id === "value" && document.activeElement.value === ""`)

	d.Call("/cgi-bin/message/custom/send", `{"touser":"`+d.Account.Followers[0]+`","msgtype":"text","text":{"content":"<b>客服</b>在此"}}`)
	tab.Await(browsertest.Has(".bubble.app .body", "<b>客服</b>在此"))
	d.Call("/cgi-bin/message/template/send", `{"touser":"`+d.Account.Followers[0]+`","template_id":"`+d.Account.Templates[0]+`","data":{"first":{"value":"已发货"}}}`)
	tab.Await(browsertest.Has(".bubble.app dl", "已发货"))

	// What the terminal or a program pushes stands there too.
	if _, err := d.WeChat.Push(t.Context(), "", simulator.Voice("made-up", "从别处说")); err != nil {
		t.Fatal(err)
	}
	tab.Await(browsertest.Has(".bubble.follower", "从别处说"))

	// Every other kind, and who leaves and comes back.
	for kind, seen := range map[string]string{"image": "mmbiz_jpg", "location": "浦东新区", "link": "标题", "SCAN": "Scanned the QR code 123"} {
		tab.Eval(`(() => {
			const type = document.getElementById("type");
			type.value = "`+kind+`";
			type.dispatchEvent(new Event("change", { bubbles: true })); // without it the value would be required
			type.form.requestSubmit();
		})()`, nil)
		tab.Await(browsertest.Has(".bubble", seen))
	}
	tab.Click("#follow")
	tab.Await(browsertest.Has(".bubble", "Has left the account"))
	tab.Await(browsertest.Has("#head", "does not follow"))
	if got := d.Call("/cgi-bin/message/custom/send", `{"touser":"`+d.Account.Followers[0]+`","msgtype":"text","text":{"content":"x"}}`)["errcode"]; got != "40003" {
		t.Errorf("a message to who has left is answered %q, want 40003", got)
	}
	tab.Click("#follow")
	tab.Await(browsertest.Has(".bubble.app", "欢迎关注"))
}

// TestFailing: when the app fails, the follower sees WeChat's line, and the page why.
func TestFailing(t *testing.T) {
	d := chattest.Start(t, simulator.Options{Patience: time.Second})
	d.Failing.Store(true)
	tab := browsertest.Open(t, d.URL, browsertest.Look{})
	tab.Type("#value", "在吗")
	tab.Press(kb.Enter)
	tab.Await(browsertest.Has(".bubble.failure .body", "该公众号提供的服务出现故障，请稍后再试"))
	tab.Await(browsertest.Has(".bubble .status.bad", "500 Internal Server Error"))
	tab.Await(`document.querySelectorAll(".entry.warn").length === 2 && document.querySelectorAll(".entry.bad").length === 1`)
}

// TestFaultSwitch: a fault that is switched on is in the log with its verdict, and
// ends when it is switched off.
func TestFaultSwitch(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	tab := browsertest.Open(t, d.URL, browsertest.Look{})
	tab.Await(browsertest.Joined)
	tab.Click("#fault-busy")
	tab.Await(`document.getElementById("fault-busy").ariaChecked === "true"`)
	tab.Await(`document.activeElement.id === "fault-busy"`) // the new switch has the focus of the old one
	if d.Fetch(false) != "" {
		t.Error("the fault is not at work")
	}
	tab.Await(browsertest.Has(".entry.bad .words", "Because of a fault that is switched on: WeChat is busy."))
	tab.Await(browsertest.Has(".entry.bad .code", "-1"))
	tab.Await(browsertest.Has("#fault-busy .count", "1×"))
	tab.Press(" ")
	tab.Await(`document.getElementById("fault-busy").ariaChecked === "false"`)
	if d.Fetch(false) == "" {
		t.Error("the fault goes on")
	}
	d.WeChat.Inject(simulator.Fault{Path: "/cgi-bin/x", Errcode: 40066})
	tab.Await(browsertest.Has("#faults .others", "40066"))
	tab.Click("#faults .others button")
	tab.Await(`!document.querySelector("#faults .others")`)
	if n := len(d.WeChat.Faults()); n != 0 {
		t.Errorf("%d faults are left", n)
	}
}

// TestMenuTaps: the menu that the app creates appears, and its buttons work by mouse
// and by keyboard.
func TestMenuTaps(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	tab := browsertest.Open(t, d.URL, browsertest.Look{})
	tab.Await(browsertest.Joined)
	d.Call("/cgi-bin/menu/create", chattest.Menu)
	tab.Await(browsertest.Has("#menu", "今日歌曲"))
	tab.Click("#menu-0")
	tab.Await(browsertest.Has(".bubble.app", "你点击了 V1001_TODAY"))
	tab.Focus("#menu-1 summary")
	tab.Press(kb.Enter)
	tab.Await(`document.getElementById("menu-1").open`)
	tab.Press(kb.Escape)
	tab.Await(`!document.getElementById("menu-1").open && document.activeElement.tagName === "SUMMARY"`)
	tab.Press(kb.Enter)
	tab.Press(kb.Tab)
	tab.Await(`document.activeElement.id === "menu-1-0"`)
	tab.Press(kb.Enter)
	tab.Await(browsertest.Has(".bubble .event", "Opened a menu link: http://example.com/help"))
}

// TestRenewalSeen: a new token is on the page as soon as it is issued, and its bar
// moves with the clock.
func TestRenewalSeen(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	tab := browsertest.Open(t, d.URL, browsertest.Look{})
	tab.Await(browsertest.Joined)
	tab.Await(browsertest.Has("#tokens", "Nobody has fetched one yet"))
	first := d.Fetch(false)
	tab.Await(browsertest.Has("#tokens code", first[len(first)-8:]))
	tab.Await(`document.querySelector("#tokens progress").value === 7200`)
	second := d.Fetch(true)
	tab.Await(browsertest.Has("#tokens code", second[len(second)-8:]))
	tab.Click("#advance-60")
	tab.Await(`document.querySelector("#tokens progress").value <= 3600`)
	tab.Click("#kill-stable")
	tab.Await(browsertest.Has("#tokens", "Dead: APIs answer 40001"))
}

// TestAway: a page whose simulator has ended says so, and goes on with the next one
// at the same address.
func TestAway(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	tab := browsertest.Open(t, d.URL, browsertest.Look{})
	tab.Expect("Failed to load resource")
	tab.Expect("ERR_")
	tab.Await(browsertest.Joined)
	d.Page.Close()
	tab.Await(browsertest.Has("#link", "Not connected"))
}
