package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/consoletest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const corpApp = "ww0123456789abcdef:1000002"

// named is a desk with an account that has a name, one that has none and an app of WeCom.
func named(t *testing.T) *consoletest.Desk {
	t.Helper()
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{
		{AppID: consoletest.AppID(0), Secret: consoletest.AppSecret, Token: consoletest.PushToken, AESKey: consoletest.PushAESKey},
		{AppID: consoletest.AppID(1), Secret: consoletest.AppSecret},
		{AppID: corpApp, Kind: simulator.WeCom, Secret: consoletest.AppSecret},
	}})
	return consoletest.Start(t, consoletest.Options{WeChat: wx, Change: func(c *gateway.Config) {
		c.Accounts[0].Name, c.Accounts[0].Callback = "主店 <公众号>", consoletest.PushedTo(t)
		c.Accounts[0].Callback.Subscribers[1].Title = "进销存"
		c.Accounts = append(c.Accounts, gateway.Account{Name: "销售助手", AppID: corpApp, Secret: custody.NewSecret(consoletest.AppSecret)})
	}}).Settled().LogIn()
}

// TestNamesShown: what people recognise is shown first, everywhere on the page, and found.
func TestNamesShown(t *testing.T) {
	d := named(t)
	d.Client(gateway.Client{Name: "billing", Title: "结算系统", Accounts: []string{consoletest.AppID(0)}})
	d.Client(gateway.Client{Name: "plain", Accounts: []string{consoletest.AppID(1)}})
	if _, err := d.Refresh(t.Context(), "admin 192.0.2.7", consoletest.AppID(0)); err != nil {
		t.Fatal(err)
	}
	const name = "主店 &lt;公众号&gt;"
	overview := func() string { return d.Get("").HTML }
	d.Until("the journal", func() bool { return strings.Contains(overview(), "Token checked manually") })
	html := overview()
	for _, want := range []string{
		`<b>` + name + `</b> <span>` + consoletest.AppID(0) + `</span>`,
		`"><span>` + consoletest.AppID(1) + `</span></a>`, // without a name
		`<b>结算系统</b> <code class="id">billing</code>`, `<b>plain</b>`, `aria-label="Revoke 结算系统 billing"`,
		name + ` ` + consoletest.AppID(0) + `</td>`,                        // what the client may use
		`>` + name + ` ` + consoletest.AppID(0) + `</a></p>`,               // of a line of the journal
		`<b>Client added</b> <span>结算系统 billing</span>`,                    // likewise
		`进销存 <code class="id">erp</code></b>`, name + ` wx`, "<b>shop</b>", // subscribers
		`<span class="api">gettoken</span>`, `<span class="api">stable_token</span>`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("no %s on the page", want)
		}
	}
	for query, want := range map[string]int{"主店": 1, "公众号> wx": 1, "销售": 1, "1000002": 1, consoletest.AppID(1)[4:]: 1, "ww": 1, "无": 0} {
		if n := strings.Count(d.Get("?"+url.Values{"q": {query}}.Encode()).HTML, `<tr id="account-`); n != want {
			t.Errorf("%q finds %d accounts, want %d", query, n, want)
		}
	}
	if html := d.Get("?q=" + strings.Repeat("%E5%BA%97", 100)).HTML; strings.Contains(html, "\uFFFD") {
		t.Error("a long question is cut in the middle of a character")
	}
	account := d.Get("accounts/" + consoletest.AppID(0)).HTML
	if !strings.Contains(account, "<h1>"+name+` <code class="id">`+consoletest.AppID(0)) || !strings.Contains(account, "<title>"+name+" · ") {
		t.Error("the account's page does not begin with its name")
	}
	if html := d.Get("accounts/" + corpApp).HTML; !strings.Contains(html, "<code>gettoken</code>") {
		t.Error("the page of an app of WeCom says another API")
	}
	if html := d.Get("clients/add").HTML; !strings.Contains(html, name+` <code>`+consoletest.AppID(0)) {
		t.Error("the form does not name the accounts")
	}
	for _, path := range []string{"clients/revoke?name=billing", "clients/rotate?name=billing", "clients/sites?name=billing", "clients/title?name=billing"} {
		if html := d.Get(path).HTML; !strings.Contains(html, "结算系统") {
			t.Errorf("%s does not name the client", path)
		}
	}
}

// TestRename: a client is added with a title and renamed; its key works on. What is no title is
// refused in the reader's language.
func TestRename(t *testing.T) {
	d := named(t)
	if got := d.Act("clients/add", "name", "billing", "title", " 结算系统 ", "account", "*"); got.Status != http.StatusOK || !strings.Contains(got.HTML, "The key of 结算系统 billing") {
		t.Fatalf("%d", got.Status)
	}
	if got := d.Act("clients/add", "name", "other", "title", consoletest.AppSecret, "account", "*"); got.Status != 422 || !strings.Contains(got.HTML, "holds what may be a secret") {
		t.Errorf("a secret as a title: %d", got.Status)
	}
	long := strings.Repeat("店", 65)
	if got := d.Act("clients/title?name=billing", "title", long); got.Status != 422 || !strings.Contains(got.HTML, "Title has to be a text of at most 64 characters") || !strings.Contains(got.HTML, `value="`+long) {
		t.Errorf("a long title: %d %s", got.Status, got.HTML)
	}
	form := url.Values{"csrf": {d.Get("clients/title?name=billing").Token()}, "title": {long}}
	if got := d.Post("clients/title?name=billing", form, "Accept-Language", "zh-CN"); !strings.Contains(got.HTML, "title 须为最多 64 个字符的文本，不含控制字符，首尾没有空格。") {
		t.Errorf("in Chinese: %s", got.HTML)
	}
	if got := d.Act("clients/title?name=billing", "x", "y"); got.Status != http.StatusOK || !strings.Contains(got.HTML, `value="结算系统"`) {
		t.Errorf("a form without a title takes it away: %d", got.Status)
	}
	if got := d.Get("clients/title?name=none"); got.Status != http.StatusNotFound {
		t.Errorf("no client: %d", got.Status)
	}
	for title, want := range map[string]string{"清算": `<b>清算</b> <code class="id">billing</code>`, "": "<b>billing</b>"} {
		if got := d.Act("clients/title?name=billing", "title", title); got.Status != http.StatusSeeOther {
			t.Errorf("%q: %d", title, got.Status)
		}
		if html := d.Get("").HTML; !strings.Contains(html, want) || !strings.Contains(html, "billing was renamed.") {
			t.Errorf("after %q", title)
		}
	}
}

// TestCorpFailure: why an app of WeCom has no token is said in WeCom's terms.
func TestCorpFailure(t *testing.T) {
	d := named(t)
	d.WeChat.Inject(simulator.Fault{AppID: corpApp, Path: simulator.Fetches, Errcode: 40001})
	d.WeChat.Kill(corpApp)
	d.WeChat.Clock.Advance(0)
	_, _ = d.Refresh(t.Context(), "test", corpApp)
	d.Until("the failure", func() bool { return strings.Contains(d.Get("accounts/"+corpApp).HTML, "40001") })
	if html := d.Get("accounts/" + corpApp).HTML; strings.Contains(html, "AppSecret") {
		t.Errorf("WeCom has no AppSecret:\n%s", html)
	}
}
