package console_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/browsertest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
)

// TestBrowserLogin: a wrong key, the right one, and the logout, by keyboard; what is
// live in another tab ends with the session.
func TestBrowserLogin(t *testing.T) {
	d := start(t, options{}).settled()
	tab := browsertest.Open(t, d.base+"/", browsertest.Look{})
	tab.Expect("401 (Unauthorized)")
	tab.Await(`document.activeElement.id === "key"`)
	tab.Type("#key", "not-the-key")
	tab.Press(kb.Enter)
	tab.Await(has("[role=alert]", "That is not the admin key."))
	tab.Await(`document.getElementById("key").getAttribute("aria-invalid") === "true"`)
	tab.Type("#key", adminKey)
	tab.Press(kb.Enter)
	tab.Await(at("/page/"))
	tab.Await(joined)
	tab.Await(has("#health", "All 2 accounts have a valid token."))
	var reachable string
	tab.Eval(`document.cookie`, &reachable)
	if reachable != "" {
		t.Errorf("scripts can read the cookie: %q", reachable)
	}

	second := browsertest.Open(t, d.url+"accounts/"+appID(0), browsertest.Look{}) // the tabs share the cookies
	second.Await(joined)
	tab.Click("#logout")
	tab.Await(at("/page/login"))
	second.Await(at("/page/login"))
	second.Type("#key", adminKey)
	second.Press(kb.Enter)
	second.Await(at("/page/accounts/" + appID(0))) // where it was
	second.Click("#logout")
	second.Await(at("/page/login"))
}

// TestRenewalSeen: a renewal stands on the page, in the journal and in the plot,
// without the page being loaded again; so does a failure, and its end.
func TestRenewalSeen(t *testing.T) {
	d := start(t, options{}).settled()
	tab := d.open("", browsertest.Look{})
	tab.Await(joined)
	tab.Eval(`window.loaded = "once"; true`, nil)
	tab.Await(`document.querySelectorAll("#rows tr.ok").length === 2`)
	tab.Await(has(".legend .renewals", "2"))
	d.wx.Kill(appID(0))
	d.client(gateway.Client{Name: "shop", Accounts: []string{"*"}})
	if _, err := d.Refresh(t.Context(), "test", appID(0)); err != nil {
		t.Fatal(err)
	}
	tab.Await(has("#lines .line.ok", "the token was refused"))
	tab.Await(has(".legend .renewals", "3"))
	tab.Await(has(".legend .refusals", "1"))
	tab.Await(has("#clients", "shop"))
	tab.Await(has("#lines", "Client added"))

	rule := d.wx.Inject(
		simulator.Fault{AppID: appID(1), Path: simulator.StableTokenPath, Errcode: 40164, Errmsg: "invalid ip 203.0.113.7, not in whitelist"},
	)
	d.wx.Kill(appID(1))
	_, _ = d.Refresh(t.Context(), "test", appID(1))
	tab.Await(has("#health.warn", "Every account has a token, but one cannot be renewed."))
	tab.Await(`document.querySelector("#rows tbody tr").id === "account-` + appID(1) + `"`) // trouble first
	tab.Await(has("#rows tr.warn .remedy", "203.0.113.7"))
	tab.Await(has("#lines .line.bad", "whitelist (40164)"))
	rule.Remove()

	var order []string
	tab.Eval(`[...document.querySelectorAll("#lines .line")].map((e) => e.dataset.key)`, &order)
	for i := range order[1:] {
		if order[i] < order[i+1] {
			t.Errorf("line %d is older than the one below it", i)
		}
	}
	var still string
	tab.Eval(`window.loaded`, &still)
	if still != "once" {
		t.Error("the page was loaded again")
	}
}

// TestBrowserActs: a client is added, given another key and revoked by keyboard and
// mouse, each after a question; what is typed while the page moves stays.
func TestBrowserActs(t *testing.T) {
	d := start(t, options{}).settled()
	tab := d.open("", browsertest.Look{})
	tab.Await(joined)
	click(tab, "add")
	tab.Await(at("/page/clients/add"))
	tab.Type("#name", "shop")
	tab.Click(`input[name=account][value="*"]`)
	tab.Click("#further summary")
	tab.Type("#paths", "/cgi-bin/user/*")
	click(tab, "do")
	tab.Await(`document.getElementById("new-key") && document.getElementById("new-key").textContent.startsWith("zkkey_")`)
	tab.Click("[data-copy]")
	tab.Await(`getSelection().toString() === document.getElementById("new-key").textContent`)
	var key string
	tab.Eval(`document.getElementById("new-key").textContent`, &key)
	click(tab, "done")
	tab.Await(has("#clients", "shop"))
	tab.Await(joined)
	tab.Await(has("#clients", "all accounts"))

	tab.Type("#q", appID(1)[:6])
	d.client(gateway.Client{Name: "crm", Accounts: []string{appID(0)}})
	tab.Await(has("#clients", "crm"))
	tab.Await(`document.activeElement.id === "q" && document.activeElement.value !== ""`)
	tab.Press(kb.Enter)
	tab.Await(`document.querySelectorAll("#rows tbody tr").length === 1`)
	tab.Await(joined)

	tab.Do(chromedp.Focus("#rotate-shop", chromedp.ByQuery))
	tab.Press(kb.Enter)
	tab.Await(at("/page/clients/rotate"))
	click(tab, "do")
	tab.Await(`document.getElementById("new-key") && document.getElementById("new-key").textContent !== "` + key + `"`)
	click(tab, "done")
	tab.Await(joined)
	click(tab, "revoke-shop")
	tab.Await(has("h1", "Revoke shop?"))
	click(tab, "back") // not after all
	tab.Await(has("#clients", "shop"))
	tab.Await(joined)
	click(tab, "revoke-shop")
	click(tab, "do")
	tab.Await(has(".notice.ok", "Client shop was revoked."))
	tab.Await(`!document.getElementById("revoke-shop")`)

	tab.Do(chromedp.Navigate(d.url + "accounts/" + appID(0) + "/refresh"))
	click(tab, "do")
	tab.Await(has(".notice.ok", "WeChat accepts the token, so it was kept."))
}

// at is a JavaScript expression: the page of that path is there, all of it.
func at(path string) string {
	return "location.pathname === " + quote(path) + ` && document.readyState === "complete"`
}

// click clicks on what a live page may replace at any moment: at once, by its script.
func click(tab *browsertest.Tab, id string) {
	tab.Await("document.getElementById(" + quote(id) + ")")
	tab.Eval("document.getElementById("+quote(id)+").click()", nil)
}

// TestAway: a page whose gateway has ended says so.
func TestAway(t *testing.T) {
	d := start(t, options{}).settled()
	tab := d.open("", browsertest.Look{})
	tab.Expect("Failed to load resource")
	tab.Expect("ERR_")
	tab.Await(joined)
	d.console.Close()
	tab.Await(has("#link", "Not connected"))
}

// TestAccess: in light and dark every text can be read, everything has a name, and
// the keyboard goes through the page in the order in which it is read.
func TestAccess(t *testing.T) {
	d := lively(t)
	for _, look := range []browsertest.Look{{}, {Dark: true, Lang: "zh-CN"}, {Width: 390, Height: 844}} {
		look.Still = true
		pages := map[string]int{"": 50, "accounts/" + appID(4): 30, "clients/add": 20} // texts on it, at least
		if look.Dark {
			pages["clients/revoke?name=shop"], pages["nothing"] = 6, 5
		}
		for path, texts := range pages {
			t.Run(fmt.Sprintf("%s %dpx dark=%t %s", path, look.Width, look.Dark, look.Lang), func(t *testing.T) {
				d.t = t
				tab := d.open(path, look)
				if path == "nothing" {
					tab.Expect("404 (Not Found)")
				}
				if path == "" || strings.HasPrefix(path, "accounts") {
					tab.Await(joined)
					tab.Click("#plot-table summary")
				}
				tab.Eval(`document.querySelectorAll("details").forEach((e) => { e.open = true; }); true`, nil)
				tab.Readable(texts)
				tab.Named()
				tab.Fits(".sheet", "thead")
			})
		}
	}
	t.Run("login", func(t *testing.T) {
		tab := browsertest.Open(t, d.url+"login", browsertest.Look{Still: true, Width: 390, Height: 844})
		tab.Do(chromedp.WaitVisible("#key, #health", chromedp.ByQuery))
		tab.Named()
	})
	t.Run("focus", func(t *testing.T) { // stays when what has it is replaced by news
		d.t = t
		tab := d.open("", browsertest.Look{Still: true})
		tab.Await(joined)
		tab.Do(chromedp.Focus("#plot-table summary", chromedp.ByQuery))
		tab.Eval(`document.querySelectorAll(".changed").forEach((e) => e.classList.remove("changed")); true`, nil)
		d.wx.Kill(appID(2))
		_, _ = d.Refresh(t.Context(), "test", appID(2))
		tab.Await(`document.querySelector("#plot.changed") !== null`)
		tab.Await(`document.activeElement === document.querySelector("#plot-table summary")`)
	})
	t.Run("keyboard", func(t *testing.T) {
		d.t = t
		tab := d.open("", browsertest.Look{Still: true})
		tab.Await(joined)
		places, elements := tab.Walk(`e.closest(".skip") ? "skip" : e.closest("header") ? "head" : e.closest(".summary") ? "health" : e.closest("#clients-part") ? "clients" : e.closest("#queues") ? "queues" : e.closest(".left") ? "accounts" : e.closest("#plot") ? "plot" : e.closest("#lines") ? "journal" : "elsewhere"`, ".skip")
		if got := strings.Join(places, " "); got != "skip head health accounts clients queues plot journal" || elements < 25 {
			t.Errorf("the keyboard goes %q over %d elements", got, elements)
		}
	})
}

// TestMarkup: what others wrote never becomes markup, wherever it appears: errmsg,
// client, actor, detail of the journal, appid in a query, name in a form.
func TestMarkup(t *testing.T) {
	const evil = `<script>window.hit=1</script><img src=x onerror="window.hit=1">`
	d := start(t, options{faults: []simulator.Fault{
		{AppID: appID(0), Path: simulator.StableTokenPath, Errcode: 99999, Errmsg: evil},
		{AppID: appID(1), Path: simulator.StableTokenPath, Body: evil},
	}}).settled()
	ledger := d.store.(store.Ledger)
	for _, u := range []store.Use{
		{Actor: "client " + evil, Act: "use AppSecret", Subject: appID(0), Detail: evil},
		{Actor: evil, Act: evil, Subject: evil, Detail: evil},
	} {
		if err := ledger.Note(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	body := fmt.Sprintf(`{"name":%q,"accounts":[%q,"x"],"paths":[%q],"id":"0011223344556677","keys":[]}`, evil, evil, evil)
	if _, err := ledger.Put(t.Context(), store.Document{Kind: "client", Name: evil, Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	var lease custody.Lease // of another gateway, which fails
	var err error
	d.until("the lease, which the gateway has while it tries again", func() bool {
		var held *custody.HeldError
		lease, err = d.store.Acquire(t.Context(), d.Status()[0].Key, "other/1/x", time.Minute)
		return !errors.As(err, &held)
	})
	if err == nil {
		lease.Attempt, lease.Detail = evil+"/1/x", evil
		err = d.store.Release(t.Context(), lease, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"", "accounts/" + appID(0), "accounts/" + appID(1), "?q=%3Cscript%3Ewindow.hit=1%3C/script%3E",
		"clients/rotate?name=%3Cscript%3Ewindow.hit=1%3C/script%3E", "clients/revoke?name=%22%3E%3Cimg%20src=x%20onerror=%22window.hit=1",
		"accounts/%3Cscript%3Ewindow.hit=1%3C/script%3E", "login?next=%22%3E%3Cscript%3Ewindow.hit=1%3C/script%3E",
	} {
		tab := d.open(path, browsertest.Look{})
		tab.Expect("404 (Not Found)")
		switch path {
		case "":
			tab.Await(joined)
			tab.Await(has("#clients", "<script>window.hit=1</script>"))
			tab.Await(has("#lines b", "<script>window.hit=1</script>"))
			tab.Await(has("#lines .who", "<script>window.hit=1</script>"))
			tab.Await(has("#lines .detail", "<script>window.hit=1</script>"))
			if err := ledger.Note(t.Context(), store.Use{Actor: "test", Act: "live", Detail: evil + " live"}); err != nil {
				t.Fatal(err)
			}
			tab.Await(has("#lines .detail", evil+" live")) // by the script
		case "accounts/" + appID(0):
			tab.Await(joined)
			tab.Await(has("#text pre", "<script>window.hit=1</script>"))
		}
		var foreign int
		tab.Eval(`document.querySelectorAll("body script, img:not(.brand img, .mark img), [onerror]").length + (window.hit || 0)`, &foreign)
		if foreign != 0 {
			t.Errorf("%q: %d pieces of markup came from elsewhere", path, foreign)
		}
	}
	got := d.act("clients/add", "name", evil, "account", evil, "paths", evil, "rate", evil)
	if got.status != http.StatusUnprocessableEntity || strings.Contains(got.html, "<script>window") ||
		strings.Contains(got.html, "<img src=x") {
		t.Errorf("a form with markup in it: %d", got.status)
	}
}
