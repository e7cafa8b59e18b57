package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
)

const mainShop = "主店公众号"

// TestNamesInFile: a name is taken from the file as it is, of accounts of both kinds and of
// subscribers; what is none is refused with its line.
func TestNamesInFile(t *testing.T) {
	t.Parallel()
	const file = `accounts:
  - name: %s
    appid: wx0123456789abcdef
    secret: made-up
    callback:
      token: madeUpToken
      subscribers:
        - name: crm
          title: %s
          url: https://crm.example/
          token: madeUpCRM
  - corpid: ww0123456789abcdef
    agentid: "1000002"
    name: %s
    secret: made-up
`
	parse := func(first, title, app string) (*gateway.Settings, error) {
		return gateway.ParseSettings(fmt.Appendf(nil, file, first, title, app), t.TempDir(), nil)
	}
	s, err := parse(mainShop, "结算系统", mainShop) // two may be equal
	if err != nil {
		t.Fatal(err)
	}
	if s.Accounts[0].Name != mainShop || s.Accounts[1].Name != mainShop || s.Accounts[0].Callback.Subscribers[0].Title != "结算系统" {
		t.Errorf("%+v", s.Accounts)
	}
	long, secret := strings.Repeat("店", 65), appSecret
	for _, test := range []struct{ first, title, app, want string }{
		{long, "x", "x", "line 2: name has to be a text of at most 64 characters"},
		{`"主\u0007店"`, "x", "x", "line 2: name has to be a text"},
		{`" 主店"`, "x", "x", "without spaces around it"},
		{"x", long, "x", "line 9: callback of wx0123456789abcdef: title has to be a text of at most 64 characters"},
		{"x", "x", long, "line 14: name has to be a text of at most 64 characters"},
		{secret, "x", "x", "line 2: name is shown to people, and holds what may be a secret"},
		{"x", secret, "x", "title is shown to people, and holds what may be a secret"},
	} {
		if _, err := parse(test.first, test.title, test.app); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	if _, err := gateway.ParseSettings([]byte(strings.Replace(fmt.Sprintf(file, "x", "x", "x"), "name: crm", "name: 结算系统", 1)), t.TempDir(), nil); err == nil ||
		!strings.Contains(err.Error(), "a name for people is its title") {
		t.Errorf("a subscriber's identifier in Chinese: %v", err)
	}
}

// TestRename: an account that gets another name keeps its token; the name is in what the
// gateway says of it, in answers, numbers and the log.
func TestRename(t *testing.T) {
	named := func(first, second string) []gateway.Account {
		return []gateway.Account{
			{Name: first, AppID: appID, Secret: custody.NewSecret(appSecret)},
			{Name: second, AppID: otherApp, Secret: custody.NewSecret("other-" + appSecret)},
		}
	}
	w := newWorld(t, simulator.Options{}, func(c *gateway.Config) { c.Accounts = named(mainShop, "") })
	admin := w.Admin(custody.NewSecret(adminKey), nil)
	key := w.client(gateway.Client{Name: "shop", Real: true})
	token := w.token(key)
	issued := w.wx.Stats(appID).Stable.Issued
	if !strings.Contains(w.log.String(), "account="+mainShop+" appid="+appID) {
		t.Errorf("the log does not name the account:\n%s", w.log)
	}
	for _, name := range []string{mainShop, "分店", "", "分店"} {
		if err := w.Replace(named(name, "分店")); err != nil {
			t.Fatal(err)
		}
		if a := w.Accounts()[0]; a.Name != name || a.Key.AppID != appID || !a.Live {
			t.Errorf("after %q: %+v", name, a)
		}
		if n := w.Numbers().Accounts[0]; n.Name != name || n.AppID != appID || len(n.Kinds) == 0 {
			t.Errorf("after %q: %+v", name, n)
		}
	}
	if w.token(key) != token || w.wx.Stats(appID).Stable.Issued != issued {
		t.Error("a new name costs a token")
	}
	for text, in := range map[string]string{
		`"name": "分店",` + "\n      " + `"appid": "` + appID: call(admin, "GET", "/accounts", "", adminKey).Body.String(),
		`"name":"分店","appid":"` + appID:                     w.get("/zhongkong/v1/accounts", "Authorization", "Bearer "+key).body,
	} {
		if !strings.Contains(in, text) {
			t.Errorf("no %s in %s", text, in)
		}
	}
	if err := w.Replace(named("主\n店", "")); err == nil || !strings.Contains(err.Error(), "account 1 of 2: Name has to be a text") {
		t.Errorf("a wrong name: %v", err)
	}
	if a := w.Accounts()[0]; a.Name != "分店" {
		t.Errorf("after a wrong name: %q", a.Name)
	}
}

// TestStoredNames: names that come by the admin API are in the store, for every gateway; one
// that no gateway of ours would have written is left out and hurts nothing.
func TestStoredNames(t *testing.T) {
	one := newWorld(t, simulator.Options{}, func(c *gateway.Config) { c.Accounts = nil })
	other := join(t, one.wx, one.store, func(c *gateway.Config) { c.Accounts = nil })
	admin := one.Admin(custody.NewSecret(adminKey), nil)
	put := func(name string) string {
		return fmt.Sprintf(`{"accounts":[{"name":%q,"appid":%q,"secret":%q,"callback":{"token":"madeUpToken","subscribers":[
			{"name":"crm","title":"结算系统","url":"https://crm.example/","token":"madeUpCRM"}]}}]}`, name, appID, appSecret)
	}
	if got := call(admin, "PUT", "/accounts", put(mainShop), adminKey); got.Code != 200 {
		t.Fatal(got.Body)
	}
	other.Look(t.Context())
	for _, w := range []*world{one, other} {
		queues, err := w.Queues(t.Context())
		if err != nil || len(queues) != 1 || queues[0].Subscriber != "crm" || queues[0].Title != "结算系统" || w.Accounts()[0].Name != mainShop {
			t.Errorf("%+v %v %+v", queues, err, w.Accounts())
		}
	}
	for _, name := range []string{strings.Repeat("店", 65), "主\x07店", appSecret} {
		if got := call(admin, "PUT", "/accounts", put(name), adminKey); got.Code != 400 || !strings.Contains(got.Body.String(), "name ") || strings.Contains(got.Body.String(), appSecret) {
			t.Errorf("%q: %d %s", name, got.Code, got.Body)
		}
	}
}

// TestTitles: a client's title comes, changes and goes by the admin API, and its key works all
// the while.
func TestTitles(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	admin := w.Admin(custody.NewSecret(adminKey), nil)
	ask := func(method, target, body string, status int) string {
		t.Helper()
		got := call(admin, method, target, body, adminKey)
		if got.Code != status {
			t.Fatalf("%s %s %s: %d %s, want %d", method, target, body, got.Code, got.Body, status)
		}
		return got.Body.String()
	}
	title := func() (titles []string) {
		var list struct {
			Clients []struct{ Name, Title string }
		}
		decode(t, ask("GET", "/clients", "", 200), &list)
		for _, c := range list.Clients {
			titles = append(titles, c.Name+" "+c.Title)
		}
		return titles
	}
	var made struct{ Key string }
	decode(t, ask("POST", "/clients", `{"name":"billing","title":"结算系统","accounts":["*"]}`, 200), &made)
	ask("POST", "/clients", `{"name":"other","title":"结算系统","accounts":["*"]}`, 200)
	ask("POST", "/clients", `{"name":"third","title":"结\u0000算","accounts":["*"]}`, 400)
	ask("POST", "/clients", `{"name":"third","title":"`+appSecret+`","accounts":["*"]}`, 400)
	if text := ask("POST", "/clients", `{"name":"结算系统","accounts":["*"]}`, 400); !strings.Contains(text, "a name for people is its title") {
		t.Error(text)
	}
	if got := title(); !slices.Equal(got, []string{"billing 结算系统", "other 结算系统"}) {
		t.Error(got)
	}
	w.token(made.Key)
	ask("PUT", "/clients/billing/title", `{"title":"清算"}`, 200)
	for _, wrong := range []string{`{}`, `[]`, `{"title":null}`, `{"title":" x"}`, `{"title":"` + strings.Repeat("x ", 40) + `"}`, `{"titel":"x"}`} {
		ask("PUT", "/clients/billing/title", wrong, 400)
	}
	ask("PUT", "/clients/none/title", `{"title":"x"}`, 404)
	if got := title(); !slices.Equal(got, []string{"billing 清算", "other 结算系统"}) {
		t.Error(got)
	}
	ask("PUT", "/clients/billing/sites", `{"origins":["https://shop.example"]}`, 200)
	if n := w.ClientNumbers(); n[0].Title != "清算" || n[0].Calls != 1 {
		t.Errorf("%+v", n)
	}
	w.token(made.Key)
	ask("PUT", "/clients/billing/title", `{"title":""}`, 200)
	if got := title(); !slices.Equal(got, []string{"billing ", "other 结算系统"}) {
		t.Error(got)
	}
	if journal := ask("GET", "/journal", "", 200); !strings.Contains(journal, "set title of client") {
		t.Error(journal)
	}
}

// TestTitlesInLog: where the log names a client or a subscriber that has a title, the title is
// there as well, the new one after a change; and none where there is none.
func TestTitlesInLog(t *testing.T) {
	away := "http://" + testserver.Refusing(t)
	w := newWorld(t, simulator.Options{}, func(c *gateway.Config) {
		c.Accounts = []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), Callback: &gateway.Callback{
			Token:       custody.NewSecret("madeUpToken"),
			Subscribers: []gateway.Subscriber{{Name: "crm", Title: "客户系统", URL: away, Token: custody.NewSecret("madeUpCRM")}},
		}}}
	})
	logs := func(parts ...string) {
		t.Helper()
		patience.Until(t, "a line with "+strings.Join(parts, ", "), func() bool {
			for line := range strings.Lines(w.log.String()) {
				if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
					return true
				}
			}
			return false
		})
	}
	paths := []string{"/cgi-bin/menu/get"}
	titled := w.client(gateway.Client{Name: "billing", Title: "结算系统", Paths: paths})
	plain := w.client(gateway.Client{Name: "plain", Paths: paths})
	refused := func(key string) { w.get("/cgi-bin/user/get?access_token=" + w.token(key)) }
	refused(titled)
	refused(plain)
	logs("log_code=gateway_call_refused", "title=结算系统 client=billing ")
	logs("msg=request", "client=billing ", "title=结算系统")
	if err := w.clients().SetTitle(t.Context(), "billing", "清算"); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	refused(titled)
	logs("log_code=gateway_call_refused", "title=清算 client=billing ")
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "client=plain") && strings.Contains(line, "title=") {
			t.Errorf("a client without a title: %s", line)
		}
	}

	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	push := `<xml><ToUserName>gh_1</ToUserName><FromUserName>` + followers[0] + `</FromUserName><CreateTime>` + stamp +
		`</CreateTime><MsgType>text</MsgType><Content>hello</Content><MsgId>7002</MsgId></xml>`
	target := "/callback/" + appID + "?timestamp=" + stamp + "&nonce=7&signature=" + callback.Signature("madeUpToken", stamp, "7")
	w.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(push)))
	logs("title=客户系统 subscriber=" + appID + "/crm ")
}

// TestLaterFields: what a later version has written into a client, and into its keys, stays when
// this one changes it; what this one takes away does not come back; a title that nobody may write is
// not shown, and the client works.
func TestLaterFields(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop", Title: "商城", Paths: []string{"/cgi-bin/*"}})
	document := func() (doc store.Document, fields map[string]any) {
		docs, err := w.store.Documents(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		doc = docs[slices.IndexFunc(docs, func(d store.Document) bool { return d.Name == "shop" })]
		decode(t, string(doc.Body), &fields)
		return doc, fields
	}
	change := func(name string, value any) {
		doc, fields := document()
		fields[name] = value
		doc.Body, _ = json.Marshal(fields)
		if _, err := w.store.Put(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
		w.Look(t.Context())
	}
	change("region", map[string]string{"city": "上海"})
	_, fields := document()
	keys := fields["keys"].([]any)
	keys[0].(map[string]any)["place"] = map[string]string{"rack": "4"}
	change("keys", keys)
	if err := w.clients().SetTitle(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.clients().Rotate(t.Context(), "shop", time.Hour); err != nil {
		t.Fatal(err)
	}
	_, fields = document()
	if keys = fields["keys"].([]any); len(keys) != 2 || keys[0].(map[string]any)["place"] != nil || fmt.Sprint(keys[1].(map[string]any)["place"]) != "map[rack:4]" {
		t.Errorf("keys %v", keys)
	}
	w.Look(t.Context())
	w.token(key)
	if _, err := w.clients().Rotate(t.Context(), "shop", 0); err != nil {
		t.Fatal(err)
	}
	if _, fields := document(); fmt.Sprint(fields["region"]) != "map[city:上海]" || fields["title"] != nil || fmt.Sprint(fields["paths"]) != "[/cgi-bin/*]" {
		t.Errorf("%v", fields)
	}
	rotated, err := w.clients().Rotate(t.Context(), "shop", 0)
	if err != nil {
		t.Fatal(err)
	}
	change("title", "商\x1b[31m城")
	w.token(rotated.Reveal())
	if list, err := w.clients().List(t.Context()); err != nil || list[0].Title != "" || w.ClientNumbers()[0].Title != "" {
		t.Errorf("%+v %v", list, err)
	}
	if w.fetch(key).Errcode != 40125 {
		t.Error("the first key works on")
	}
}

// TestSubscriberRename: a subscriber that is down and gets another title stays down, with its
// failure and what waits for it.
func TestSubscriberRename(t *testing.T) {
	away := "http://" + testserver.Refusing(t)
	list := func(title string) []gateway.Account {
		return []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), Callback: &gateway.Callback{
			Token:       custody.NewSecret("madeUpToken"),
			Subscribers: []gateway.Subscriber{{Name: "crm", Title: title, URL: away, Token: custody.NewSecret("madeUpCRM")}},
		}}}
	}
	w := newWorld(t, simulator.Options{}, func(c *gateway.Config) { c.Accounts = list("") })
	status := func() fanout.Status {
		queues, err := w.Queues(t.Context())
		if err != nil || len(queues) != 1 {
			t.Fatal(queues, err)
		}
		return queues[0]
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	push := `<xml><ToUserName>gh_1</ToUserName><FromUserName>` + followers[0] + `</FromUserName><CreateTime>` + stamp +
		`</CreateTime><MsgType>text</MsgType><Content>hello</Content><MsgId>7001</MsgId></xml>`
	target := "/callback/" + appID + "?timestamp=" + stamp + "&nonce=7&signature=" + callback.Signature("madeUpToken", stamp, "7")
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(push)))
	if answer.Code != http.StatusOK {
		t.Fatal(answer.Code, answer.Body)
	}
	patience.Until(t, "it is down", func() bool { return status().Down })
	before := status()
	if err := w.Replace(list("结算系统")); err != nil {
		t.Fatal(err)
	}
	if now := status(); now.Title != "结算系统" || !now.Down || now.Failure != before.Failure || now.Waiting != 1 || now.Failed < before.Failed {
		t.Errorf("before %+v, now %+v", before, now)
	}
}
