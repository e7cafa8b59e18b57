package console_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/consoletest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/test/pages/browsertest"
)

func TestMain(m *testing.M) { browsertest.Main(m, testserver.Leaks) }

// open opens a page in a browser that has logged in: it has the desk's cookies.
func open(t *testing.T, d *consoletest.Desk, path string, look browsertest.Look) *browsertest.Tab {
	t.Helper()
	d = d.For(t)
	at, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.HTTP.Jar.Cookies(at)) == 0 {
		d.LogIn()
	}
	tab := browsertest.Open(t, d.URL+"login", look)
	for _, cookie := range d.HTTP.Jar.Cookies(at) {
		tab.SetCookie(d.URL, cookie)
	}
	tab.Go(d.URL + path)
	return tab
}

// TestBrowserLogin: a wrong key, the right one, and the logout, by keyboard; what is
// live in another tab ends with the session.
func TestBrowserLogin(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{}).Settled()
	tab := browsertest.Open(t, d.Base+"/", browsertest.Look{})
	tab.Expect("401 (Unauthorized)")
	tab.Await(`document.activeElement.id === "key"`)
	tab.Type("#key", "not-the-key")
	tab.Press(kb.Enter)
	tab.Await(browsertest.Has("[role=alert]", "That is not the admin key."))
	tab.Await(`document.getElementById("key").getAttribute("aria-invalid") === "true"`)
	tab.Type("#key", consoletest.AdminKey)
	tab.Press(kb.Enter)
	tab.Await(at("/page/"))
	tab.Await(browsertest.Joined)
	tab.Await(browsertest.Has("#health", "All 2 accounts have a valid token."))
	var reachable string
	tab.Eval(`document.cookie`, &reachable)
	if reachable != "" {
		t.Errorf("scripts can read the cookie: %q", reachable)
	}

	second := browsertest.Open(t, d.URL+"accounts/"+consoletest.AppID(0), browsertest.Look{}) // the tabs share the cookies
	second.Await(browsertest.Joined)
	tab.Click("#logout")
	tab.Await(at("/page/login"))
	second.Await(at("/page/login"))
	second.Type("#key", consoletest.AdminKey)
	second.Press(kb.Enter)
	second.Await(at("/page/accounts/" + consoletest.AppID(0))) // where it was
	second.Click("#logout")
	second.Await(at("/page/login"))
}

// TestRenewalSeen: a renewal stands on the page, in the journal and in the plot,
// without the page being loaded again; so does a failure, and its end.
func TestRenewalSeen(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{}).Settled()
	tab := open(t, d, "", browsertest.Look{})
	tab.Await(browsertest.Joined)
	tab.Eval(`window.loaded = "once"; true`, nil)
	tab.Await(`document.querySelectorAll("#rows tr.ok").length === 2`)
	tab.Await(browsertest.Has(".legend .renewals", "2"))
	d.WeChat.Kill(consoletest.AppID(0))
	d.Client(gateway.Client{Name: "shop", Accounts: []string{"*"}})
	if _, err := d.Refresh(t.Context(), "test", consoletest.AppID(0)); err != nil {
		t.Fatal(err)
	}
	tab.Await(browsertest.Has("#lines .line.ok", "the token was refused"))
	tab.Await(browsertest.Has(".legend .renewals", "3"))
	tab.Await(browsertest.Has(".legend .refusals", "1"))
	tab.Await(browsertest.Has("#clients", "shop"))
	tab.Await(browsertest.Has("#lines", "Client added"))

	rule := d.WeChat.Inject(
		simulator.Fault{
			AppID:   consoletest.AppID(1),
			Path:    simulator.StableTokenPath,
			Errcode: 40164,
			Errmsg:  "invalid ip 203.0.113.7, not in whitelist",
		},
	)
	d.WeChat.Kill(consoletest.AppID(1))
	_, _ = d.Refresh(t.Context(), "test", consoletest.AppID(1))
	tab.Await(browsertest.Has("#health.warn", "Every account has a token, but one cannot be renewed."))
	tab.Await(`document.querySelector("#rows tbody tr").id === "account-` + consoletest.AppID(1) + `"`) // trouble first
	tab.Await(browsertest.Has("#rows tr.warn .remedy", "203.0.113.7"))
	tab.Await(browsertest.Has("#lines .line.bad", "whitelist (40164)"))
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
	d := consoletest.Start(t, consoletest.Options{}).Settled()
	tab := open(t, d, "", browsertest.Look{})
	tab.Await(browsertest.Joined)
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
	tab.Await(browsertest.Has("#clients", "shop"))
	tab.Await(browsertest.Joined)
	tab.Await(browsertest.Has("#clients", "all accounts"))

	tab.Type("#q", consoletest.AppID(1)[:6])
	d.Client(gateway.Client{Name: "crm", Accounts: []string{consoletest.AppID(0)}})
	tab.Await(browsertest.Has("#clients", "crm"))
	tab.Await(`document.activeElement.id === "q" && document.activeElement.value !== ""`)
	tab.Press(kb.Enter)
	tab.Await(`document.querySelectorAll("#rows tbody tr").length === 1`)
	tab.Await(browsertest.Joined)

	tab.Expect("422 (Unprocessable Entity)")
	click(tab, "sites-shop")
	tab.Await(at("/page/clients/sites"))
	tab.Type("#returns", "http://shop.example/")
	click(tab, "do")
	tab.Await(browsertest.Has("[role=alert]", "has to begin with https://"))
	tab.Eval(`document.getElementById("returns").value = ""; true`, nil)
	tab.Type("#returns", "https://shop.example/*")
	tab.Type("#origins", "https://shop.example")
	click(tab, "do")
	tab.Await(browsertest.Has(".notice.ok", "The addresses of shop were changed."))
	tab.Await(browsertest.Has("#clients", "1 return address"))
	tab.Await(browsertest.Joined)

	tab.Focus("#rotate-shop")
	tab.Press(kb.Enter)
	tab.Await(at("/page/clients/rotate"))
	click(tab, "do")
	tab.Await(`document.getElementById("new-key") && document.getElementById("new-key").textContent !== "` + key + `"`)
	click(tab, "done")
	tab.Await(browsertest.Joined)
	click(tab, "revoke-shop")
	tab.Await(browsertest.Has("h1", "Revoke shop?"))
	click(tab, "back") // not after all
	tab.Await(browsertest.Has("#clients", "shop"))
	tab.Await(browsertest.Joined)
	click(tab, "revoke-shop")
	click(tab, "do")
	tab.Await(browsertest.Has(".notice.ok", "Client shop was revoked."))
	tab.Await(`!document.getElementById("revoke-shop")`)

	tab.Go(d.URL + "accounts/" + consoletest.AppID(0) + "/refresh")
	click(tab, "do")
	tab.Await(browsertest.Has(".notice.ok", "WeChat accepts the token, so it was kept."))
}

// at is a JavaScript expression: the page of that path is there, all of it.
func at(path string) string {
	return "location.pathname === " + browsertest.Quote(path) + ` && document.readyState === "complete"`
}

// click clicks on what a live page may replace at any moment: at once, by its script.
func click(tab *browsertest.Tab, id string) {
	tab.Await("document.getElementById(" + browsertest.Quote(id) + ")")
	tab.Eval("document.getElementById("+browsertest.Quote(id)+").click()", nil)
}

// TestAway: a page whose gateway has ended says so.
func TestAway(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{}).Settled()
	tab := open(t, d, "", browsertest.Look{})
	tab.Expect("Failed to load resource")
	tab.Expect("ERR_")
	tab.Await(browsertest.Joined)
	d.Page.Close()
	tab.Await(browsertest.Has("#link", "Not connected"))
}

// TestAccess: in light and dark every text can be read, everything has a name, and
// the keyboard goes through the page in the order in which it is read.
func TestAccess(t *testing.T) {
	d := lively(t)
	for _, look := range []browsertest.Look{{}, {Dark: true, Lang: "zh-CN"}, {Width: 390, Height: 844}} {
		look.Still = true
		pages := map[string]int{"": 50, "accounts/" + consoletest.AppID(4): 30, "clients/add": 20, "clients/sites?name=shop": 8} // texts on it, at least
		if look.Dark {
			pages["clients/revoke?name=shop"], pages["nothing"] = 6, 5
		}
		for path, texts := range pages {
			t.Run(fmt.Sprintf("%s %dpx dark=%t %s", path, look.Width, look.Dark, look.Lang), func(t *testing.T) {
				tab := open(t, d, path, look)
				if path == "nothing" {
					tab.Expect("404 (Not Found)")
				}
				if path == "" || strings.HasPrefix(path, "accounts") {
					tab.Await(browsertest.Joined)
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
		tab := browsertest.Open(t, d.URL+"login", browsertest.Look{Still: true, Width: 390, Height: 844})
		tab.Visible("#key, #health")
		tab.Named()
	})
	t.Run("focus", func(t *testing.T) { // stays when what has it is replaced by news
		tab := open(t, d, "", browsertest.Look{Still: true})
		tab.Await(browsertest.Joined)
		tab.Focus("#plot-table summary")
		tab.Eval(`document.querySelectorAll(".changed").forEach((e) => e.classList.remove("changed")); true`, nil)
		d.WeChat.Kill(consoletest.AppID(2))
		_, _ = d.Refresh(t.Context(), "test", consoletest.AppID(2))
		tab.Await(`document.querySelector("#plot.changed") !== null`)
		tab.Await(`document.activeElement === document.querySelector("#plot-table summary")`)
	})
	t.Run("keyboard", func(t *testing.T) {
		tab := open(t, d, "", browsertest.Look{Still: true})
		tab.Await(browsertest.Joined)
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
	d := consoletest.Start(t, consoletest.Options{Faults: []simulator.Fault{
		{AppID: consoletest.AppID(0), Path: simulator.StableTokenPath, Errcode: 99999, Errmsg: evil},
		{AppID: consoletest.AppID(1), Path: simulator.StableTokenPath, Body: evil},
	}}).Settled()
	ledger := d.Store.(store.Ledger)
	for _, u := range []store.Use{
		{Actor: "client " + evil, Act: "use AppSecret", Subject: consoletest.AppID(0), Detail: evil},
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
	d.Until("the lease, which the gateway has while it tries again", func() bool {
		var held *custody.HeldError
		lease, err = d.Store.Acquire(t.Context(), d.Status()[0].Key, "other/1/x", time.Minute)
		return !errors.As(err, &held)
	})
	if err == nil {
		lease.Attempt, lease.Detail = evil+"/1/x", evil
		err = d.Store.Release(t.Context(), lease, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"", "accounts/" + consoletest.AppID(0), "accounts/" + consoletest.AppID(1), "?q=%3Cscript%3Ewindow.hit=1%3C/script%3E",
		"clients/rotate?name=%3Cscript%3Ewindow.hit=1%3C/script%3E", "clients/revoke?name=%22%3E%3Cimg%20src=x%20onerror=%22window.hit=1",
		"accounts/%3Cscript%3Ewindow.hit=1%3C/script%3E", "login?next=%22%3E%3Cscript%3Ewindow.hit=1%3C/script%3E",
	} {
		tab := open(t, d, path, browsertest.Look{})
		tab.Expect("404 (Not Found)")
		switch path {
		case "":
			tab.Await(browsertest.Joined)
			tab.Await(browsertest.Has("#clients", "<script>window.hit=1</script>"))
			tab.Await(browsertest.Has("#lines b", "<script>window.hit=1</script>"))
			tab.Await(browsertest.Has("#lines .who", "<script>window.hit=1</script>"))
			tab.Await(browsertest.Has("#lines .detail", "<script>window.hit=1</script>"))
			if err := ledger.Note(t.Context(), store.Use{Actor: "test", Act: "live", Detail: evil + " live"}); err != nil {
				t.Fatal(err)
			}
			tab.Await(browsertest.Has("#lines .detail", evil+" live")) // by the script
		case "accounts/" + consoletest.AppID(0):
			tab.Await(browsertest.Joined)
			tab.Await(browsertest.Has("#text pre", "<script>window.hit=1</script>"))
		}
		var foreign int
		tab.Eval(`document.querySelectorAll("body script, img:not(.brand img, .mark img), [onerror]").length + (window.hit || 0)`, &foreign)
		if foreign != 0 {
			t.Errorf("%q: %d pieces of markup came from elsewhere", path, foreign)
		}
	}
	got := d.Act("clients/add", "name", evil, "account", evil, "paths", evil, "rate", evil)
	if got.Status != http.StatusUnprocessableEntity || strings.Contains(got.HTML, "<script>window") ||
		strings.Contains(got.HTML, "<img src=x") {
		t.Errorf("a form with markup in it: %d", got.Status)
	}
}
