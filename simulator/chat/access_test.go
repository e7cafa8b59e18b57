package chat_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/zhongkong-go/zhongkong/internal/test/browsertest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

func focus(selector string) chromedp.Action { return chromedp.Focus(selector, chromedp.ByQuery) }

// TestAccess: in light and dark every text can be read, everything has a name, and
// the keyboard goes through the page in the order in which it is read.
func TestAccess(t *testing.T) {
	d := lively(t)
	for _, look := range []browsertest.Look{{Still: true}, {Dark: true, Lang: "zh-CN", Still: true}, {Width: 390, Height: 844, Still: true}} {
		t.Run(fmt.Sprintf("%+v", look), func(t *testing.T) {
			tab := browsertest.Open(t, d.url, look)
			tab.Await(joined)
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
		tab := browsertest.Open(t, d.url, browsertest.Look{Still: true})
		tab.Await(joined)
		parts, visible := tab.Walk(`e.closest(".skip") ? "skip" : e.closest("#accounts-part") ? "account" : e.closest("#chat-part") ? "chat" : e.closest("#log-part") ? "log" : "top"`, "#bad-only, .skip")
		if got := strings.Join(parts, " "); !strings.HasPrefix(got, "skip account chat log") || visible < 30 {
			t.Errorf("the keyboard goes %q over %d elements, want skip account chat log", got, visible)
		}
	})
}

// TestMarkup: what others wrote never becomes markup, wherever it appears.
func TestMarkup(t *testing.T) {
	const evil = `<script>window.hit=1</script><img src=x onerror="window.hit=1">`
	bad := simulator.MakeUpAccount(7)
	bad.AppID = `wx"><script>window.hit=1</script>`
	good := simulator.MakeUpAccount(7)
	d := start(t, simulator.Options{})
	good.CallbackURL = d.account.CallbackURL
	d2 := start(t, simulator.Options{Accounts: []simulator.Account{good, bad}, Patience: 2 * time.Second})
	d2.account = good
	d2.act("follower", "nickname", `<img src=x>`)
	d2.act("say", "type", "text", "value", evil)
	d2.until("the reply", func() bool {
		_, html := d2.get("")
		return strings.Contains(html, `<p class="text">你说的是：`)
	})
	d2.call("/cgi-bin/menu/create", `{"button":[{"type":"click","name":"<script>window.hit=1</script>","key":"`+`<img src=x onerror=window.hit=1>`+`"}]}`)
	d2.call("/cgi-bin/message/custom/send", `{"touser":"`+good.Followers[0]+`","msgtype":"news","news":{"articles":[{"title":"<script>window.hit=1</script>","description":"<b>","url":"javascript:window.hit=1"}]}}`)
	d2.wx.Inject(simulator.Fault{Path: "/cgi-bin/x", Errcode: 40066, Errmsg: evil})
	d2.call("/cgi-bin/x", evil)
	d2.post("/cgi-bin/<script>window.hit=1</script>?access_token="+"%3Cscript%3Ewindow.hit=1%3C/script%3E", evil)
	d.failing.Store(true)
	d2.act("say", "type", "text", "value", "fail")
	d2.until("the failure", func() bool { return d2.wx.Stats(good.AppID).Pushes >= 4 })

	for _, query := range []string{
		"", "?account=" + "wx%22%3E%3Cscript%3Ewindow.hit=1%3C/script%3E",
		"?as=%3Cscript%3Ewindow.hit=1%3C/script%3E",
	} {
		tab := browsertest.Open(t, d2.url+query, browsertest.Look{})
		tab.Await(joined)
		tab.Await(has("#accounts", bad.AppID))
		if query == "" {
			tab.Await(has(".bubble.follower .text", evil))
			tab.Await(has(".bubble.app .text", "你说的是："+evil))
			tab.Await(has(".followers .name", "<img src=x>"))
			tab.Await(has(".entry dd", evil))
			tab.Click("#menu-0") // live, through the script
			tab.Await(has(".bubble .event", "<img src=x onerror=window.hit=1>"))
		}
		var foreign int
		tab.Eval(`document.querySelectorAll("body script, img:not(.brand img), [onerror], a[href^='javascript']").length + (window.hit || 0)`, &foreign)
		if foreign != 0 {
			t.Errorf("%s: %d pieces of markup came from elsewhere", query, foreign)
		}
	}
}

// TestSecrets: nothing secret is in the page until it is asked for, and never where
// the accounts are real.
func TestSecrets(t *testing.T) {
	for _, madeUp := range []bool{true, false} {
		account := simulator.MakeUpAccount(7)
		p, err := chat.New(chat.Options{Simulator: simulator.Options{Accounts: []simulator.Account{account}}, MadeUp: madeUp})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		d := &desk{t: t, page: p, wx: p.Simulator, account: account}
		server := httptest.NewServer(p.Handler())
		defer server.Close()
		d.base = server.URL
		token := d.fetch(false)
		d.call("/cgi-bin/ticket/getticket", "")
		d.post("/cgi-bin/stable_token", `{"appid":"`+account.AppID+`","secret":"mistyped-real-secret"}`)
		secrets := []string{token, account.Secret, account.Token, account.AESKey}
		for query, shown := range map[string]bool{"": false, "?secrets=1": madeUp} {
			_, html := d.get(query)
			for _, secret := range secrets {
				if strings.Contains(html, secret) != shown {
					t.Errorf("made up %t, %q: a secret is there: %t, want %t", madeUp, query, !shown, shown)
				}
			}
			if strings.Contains(html, "mistyped-real-secret") {
				t.Errorf("%q shows a secret that was mistyped", query)
			}
			if !strings.Contains(html, token[len(token)-8:]) {
				t.Errorf("%q: the token's end is not there to tell it by", query)
			}
		}
	}
}

// TestGuarded: no other machine, no other name, no other page, and headers that let
// the page load nothing from elsewhere.
func TestGuarded(t *testing.T) {
	d := start(t, simulator.Options{})
	for _, row := range []struct {
		name, method, caller, host, origin string
		status                             int
	}{
		{"this machine", "GET", "127.0.0.1:1", "127.0.0.1:3200", "", 200},
		{"another machine", "GET", "192.0.2.1:1", "127.0.0.1:3200", "", 403},
		{"a name made to point here", "GET", "127.0.0.1:1", "evil.example", "", 403},
		{"the page itself", "POST", "127.0.0.1:1", "127.0.0.1:3200", "http://127.0.0.1:3200", 303},
		{"another page", "POST", "127.0.0.1:1", "127.0.0.1:3200", "http://evil.example", 403},
	} {
		for _, path := range []string{"", "clock"} {
			if (path == "") != (row.method == "GET") {
				continue
			}
			r := httptest.NewRequest(row.method, chat.Path+path, strings.NewReader("advance=1h"))
			r.RemoteAddr, r.Host = row.caller, row.host
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if row.origin != "" {
				r.Header.Set("Origin", row.origin)
			}
			w := httptest.NewRecorder()
			before := d.wx.Clock.Now()
			d.page.Handler().ServeHTTP(w, r)
			moved := d.wx.Clock.Now().Sub(before) > time.Minute
			if w.Code != row.status || moved != (row.status == 303) {
				t.Errorf("%s: %d, the clock moved: %t", row.name, w.Code, moved)
			}
			if row.status == 200 {
				policy := w.Header().Get("Content-Security-Policy")
				if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
					strings.Contains(w.Body.String(), " style=") {
					t.Errorf("the policy is %q", policy)
				}
			}
		}
	}
	if status, _ := d.get("../accounts"); status == http.StatusOK {
		t.Error("below the page is the admin API")
	}
}
