package gateway_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/internal/test/logintest"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const (
	loginOrigin = "https://login.example"
	shopOrigin  = "https://shop.example"
	crmOrigin   = "https://crm.example"
)

func loginAt(c *gateway.Config) { c.Login = gateway.Login{Origin: loginOrigin, OpenBase: c.APIBase} }

func (w *world) browser() *logintest.Browser {
	return logintest.New(w.t, w.wx.Simulator, map[string]http.Handler{loginOrigin: w, shopOrigin: http.NotFoundHandler(), crmOrigin: http.NotFoundHandler()})
}

// arrive opens an address and returns the query with which the browser comes to a site.
func (w *world) arrive(b *logintest.Browser, address, site string) url.Values {
	w.t.Helper()
	at, page := b.Until(address, site)
	if page != nil {
		w.t.Fatalf("%s: %d %s", at, page.Code, page.Body)
	}
	u, err := url.Parse(at)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Query()
}

func ticketAddress(client, returnTo, scope string) string {
	return loginOrigin + "/login/" + client + "?" + url.Values{"redirect_uri": {returnTo}, "scope": {scope}, "state": {"xyz"}}.Encode()
}

func (w *world) redeem(key, ticket string) reply {
	w.t.Helper()
	body, _ := json.Marshal(map[string]string{"ticket": ticket})
	return w.post("/zhongkong/v1/login", string(body), "Authorization", "Bearer "+key)
}

func exchange(key, code string) string {
	return "/sns/oauth2/access_token?" + url.Values{"appid": {appID}, "secret": {key}, "code": {code}, "grant_type": {"authorization_code"}}.Encode()
}

// TestLoginTicket: a program with a key of its own and no AppSecret learns who its visitor is.
func TestLoginTicket(t *testing.T) {
	w := newWorld(t, simulator.Options{}, loginAt)
	shop := w.client(gateway.Client{Name: "shop", Returns: []string{shopOrigin + "/*"}})
	crm := w.client(gateway.Client{Name: "crm", Returns: []string{crmOrigin + "/back"}})
	openid := w.wx.Account().Followers[0]
	b := w.browser()
	ticket := w.arrive(b, ticketAddress("shop", shopOrigin+"/back?a=1", "snsapi_userinfo"), shopOrigin).Get("ticket")
	if got := w.redeem(crm, ticket); got.status != http.StatusBadRequest || got.Errcode != 40029 {
		t.Errorf("with another client's key: %d %s", got.status, got.body)
	}
	got := w.redeem(shop, ticket)
	if got.status != http.StatusOK || !strings.Contains(got.body, `"openid":"`+openid+`"`) || !strings.Contains(got.body, `"nickname":"小明"`) ||
		got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.redeem(shop, ticket); got.status != http.StatusBadRequest || got.Errcode != 40163 {
		t.Errorf("again: %d %s", got.status, got.body)
	}
	for _, body := range []string{"", "{}", `{"ticket":""}`, `{"ticket":1}`} {
		if got := w.post("/zhongkong/v1/login", body, "Authorization", "Bearer "+shop); got.status != http.StatusBadRequest || got.Errcode != 47001 {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	// What others see: no openid, and nothing that still works.
	for _, address := range b.Seen {
		if strings.Contains(address, openid) || strings.Contains(address, shop) {
			t.Errorf("the address %s", address)
		}
	}
	w.mustNotLog(openid, ticket, "小明")
	if uses, err := w.Uses(t.Context(), 20); err != nil || !strings.Contains(toJSON(t, uses), "use AppSecret") {
		t.Errorf("the journal: %v, %v", uses, err)
	}
	// Who has no return addresses logs nobody in.
	w.client(gateway.Client{Name: "none"})
	if page := b.Get(ticketAddress("none", shopOrigin+"/", "snsapi_base")); page.Code != http.StatusForbidden || !strings.Contains(page.Body.String(), "not registered") {
		t.Errorf("a client without return addresses: %d %s", page.Code, page.Body)
	}
	if !strings.Contains(w.log.String(), "refused a login") {
		t.Error("the log does not tell of a refusal")
	}
}

func memoryStore(t *testing.T) store.Store {
	t.Helper()
	store := memory.New()
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func toJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (w *world) mustNotLog(private ...string) {
	w.t.Helper()
	for _, text := range private {
		if strings.Contains(w.log.String(), text) {
			w.t.Errorf("the log has %s", text)
		}
	}
}

// TestLoginCode: what an SDK does that knows WeChat only. The return address selects the
// client, and only its key redeems the code.
func TestLoginCode(t *testing.T) {
	w := newWorld(t, simulator.Options{}, loginAt)
	shop := w.client(gateway.Client{Name: "shop", Returns: []string{shopOrigin + "/*"}})
	crm := w.client(gateway.Client{Name: "crm", Accounts: []string{appID, otherApp}, Returns: []string{crmOrigin + "/back"}})
	address := platform.AuthorizeURL(loginOrigin, appID, crmOrigin+"/back", "snsapi_userinfo", "xyz")
	code := w.arrive(w.browser(), address, crmOrigin).Get("code")
	if got := w.get(exchange(shop, code)); got.status != http.StatusOK || got.Errcode != 40029 {
		t.Errorf("with another client's key: %s", got.body)
	}
	if got := w.get(strings.Replace(exchange(crm, code), appID, otherApp, 1)); got.Errcode != 40029 { // it uses nothing up
		t.Errorf("with another account's appid: %s", got.body)
	}
	got := w.get(exchange(crm, code))
	var user struct {
		OpenID, Scope string
		Refresh       string `json:"refresh_token"`
	}
	decode(t, got.body, &user)
	if got.Token == "" || got.Expires < 7100 || user.OpenID != w.wx.Account().Followers[0] || user.Scope != "snsapi_userinfo" || user.Refresh == "" ||
		got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s", got.body)
	}
	if info := w.get("/sns/userinfo?" + url.Values{"access_token": {got.Token}, "openid": {user.OpenID}}.Encode()); !strings.Contains(info.body, "小明") {
		t.Errorf("userinfo: %s", info.body)
	}
	if got := w.get(exchange(crm, code)); got.Errcode != 40163 {
		t.Errorf("again: %s", got.body)
	}
	w.mustNotLog(code, user.OpenID, user.Refresh)
	// A code of WeChat's own passes on as before.
	back, err := w.wx.Authorize(platform.AuthorizeURL(w.wx.URL, appID, crmOrigin+"/", "snsapi_base", "1"), simulator.Consent{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.get(exchange(crm, u.Query().Get("code"))); got.Token == "" {
		t.Errorf("a code of WeChat's: %s", got.body)
	}
}

// TestLoginFleet: what one gateway began, another finishes and a third redeems; a client that
// is revoked in the meantime gets nothing.
func TestLoginFleet(t *testing.T) {
	inTwoGateways(t, func(_ int, c *gateway.Config) { loginAt(c) }, func(t *testing.T, one, two *world) {
		shop := one.client(gateway.Client{Name: "shop", Returns: []string{shopOrigin + "/*"}})
		time.Sleep(time.Second) // the other one has just read the store
		b := one.browser()
		w := b.Get(ticketAddress("shop", shopOrigin+"/", "snsapi_base"))
		back := b.Follow(w)
		b.Hosts[loginOrigin] = two
		ticket := two.arrive(b, back, shopOrigin).Get("ticket")
		if got := one.redeem(shop, ticket); got.status != http.StatusOK {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := two.redeem(shop, ticket); got.Errcode != 40163 {
			t.Errorf("at the other one: %s", got.body)
		}
		back = b.Follow(b.Get(ticketAddress("shop", shopOrigin+"/", "snsapi_base")))
		ticket = two.arrive(b, back, shopOrigin).Get("ticket")
		back = b.Follow(b.Get(ticketAddress("shop", shopOrigin+"/", "snsapi_base")))
		time.Sleep(5*time.Minute + 2*time.Second)
		if got := one.redeem(shop, ticket); got.Errcode != 42003 {
			t.Errorf("too late: %s", got.body)
		}
		if page := b.Get(back); page.Code != http.StatusForbidden || !strings.Contains(page.Body.String(), "5 minutes") {
			t.Errorf("a late return: %d", page.Code)
		}
		back = b.Follow(b.Get(ticketAddress("shop", shopOrigin+"/", "snsapi_base")))
		if err := one.clients().Revoke(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if page := b.Get(back); page.Code != http.StatusForbidden || !strings.Contains(page.Body.String(), "not registered") {
			t.Errorf("a revoked client: %d", page.Code)
		}
	})
}

// TestLoginEnds: a client whose time is over logs nobody in.
func TestLoginEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := joinInBubble(t, simtest.InMemory(t, simulator.Options{Accounts: twoAccounts()}), memoryStore(t), loginAt)
		w.client(gateway.Client{Name: "shop", Returns: []string{shopOrigin + "/*"}, Ends: time.Now().Add(time.Hour)})
		if page := w.browser().Get(ticketAddress("shop", shopOrigin+"/", "snsapi_base")); page.Code != http.StatusFound {
			t.Errorf("before: %d", page.Code)
		}
		time.Sleep(time.Hour)
		if page := w.browser().Get(ticketAddress("shop", shopOrigin+"/", "snsapi_base")); page.Code != http.StatusForbidden {
			t.Errorf("after: %d", page.Code)
		}
	})
}

// TestLoginWithoutOrigin: on this machine a gateway needs no public address, and elsewhere
// its page says what is missing.
func TestLoginWithoutOrigin(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	w.client(gateway.Client{Name: "shop", Returns: []string{"http://127.0.0.1:3100/*"}})
	address := "/login/shop?redirect_uri=" + url.QueryEscape("http://127.0.0.1:3100/back")
	for host, want := range map[string]string{"127.0.0.1:8300": "http%3A%2F%2F127.0.0.1%3A8300%2Flogin%2Fshop&", "login.example": ""} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		r.Host = host
		a := httptest.NewRecorder()
		w.ServeHTTP(a, r)
		if location := a.Header().Get("Location"); !strings.Contains(location, want) || (want == "") != (a.Code == 500 && strings.Contains(a.Body.String(), "login.origin")) {
			t.Errorf("%s: %d %s %s", host, a.Code, location, a.Body)
		}
	}
	if _, err := gateway.New(t.Context(), gateway.Config{Store: memoryStore(t), SealKeys: []custody.Secret{sealKey}, Login: gateway.Login{Origin: "login.example"}}); err == nil ||
		!strings.Contains(err.Error(), "Config.Login.Origin") {
		t.Errorf("%v", err)
	}
}

// TestJSConfig: with a key any page is signed, without one those of registered origins, for
// pages of the same origin.
func TestJSConfig(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop", Origins: []string{shopOrigin, "http://127.0.0.1:3100"}})
	narrow := w.client(gateway.Client{Name: "narrow", Paths: []string{"/cgi-bin/menu/get"}})
	ask := func(account, page string, headers ...string) reply {
		t.Helper()
		return w.get("/zhongkong/v1/accounts/"+account+"/jsconfig?url="+url.QueryEscape(page), headers...)
	}
	for page, headers := range map[string][]string{
		"https://any.example/?a=1":    {"Authorization", "Bearer " + key},
		shopOrigin + "/guide?x=%20#t": nil,
		"http://127.0.0.1:3100/":      {"Origin", "http://127.0.0.1:3100"},
	} {
		got := ask(appID, page, headers...)
		var c platform.JSConfig
		decode(t, got.body, &c)
		ticket, _ := w.wx.Ticket(appID, simulator.JSAPI)
		signed := platform.JSSignature(ticket, c.NonceStr, c.Timestamp, page)
		if got.status != http.StatusOK || c.AppID != appID || c.Signature != signed || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", page, got.status, got.body)
		}
		if allowed := got.header.Get("Access-Control-Allow-Origin"); allowed != "" != (len(headers) > 0 && headers[0] == "Origin") {
			t.Errorf("%s: Access-Control-Allow-Origin %q", page, allowed)
		}
	}
	for name, row := range map[string]struct {
		got     reply
		status  int
		errcode int
	}{
		"another origin":     {ask(appID, "https://any.example/"), 403, 48001},
		"another port":       {ask(appID, shopOrigin+":8443/"), 403, 48001},
		"another scheme":     {ask(appID, "http://shop.example/"), 403, 48001},
		"a longer name":      {ask(appID, shopOrigin+".evil.example/"), 403, 48001},
		"another account":    {ask(otherApp, shopOrigin+"/"), 403, 48001},
		"an unknown account": {ask("wx00000000000000cc", shopOrigin+"/"), 403, 48001},
		"a foreign page":     {ask(appID, shopOrigin+"/", "Origin", "https://evil.example"), 403, 48001},
		"a wrong key":        {ask(appID, shopOrigin+"/", "Authorization", "Bearer "+key[:len(key)-1]), 401, 40125},
		"no such path":       {ask(appID, shopOrigin+"/", "Authorization", "Bearer "+narrow), 403, 48001},
		"a path alone":       {ask(appID, "/guide"), 400, 40035},
		"a user":             {ask(appID, "https://shop.example@evil.example/"), 400, 40035},
		"capital letters":    {ask(appID, "https://Shop.example/"), 400, 40035},
		"nothing":            {w.get("/zhongkong/v1/accounts/" + appID + "/jsconfig"), 400, 40035},
		"twice":              {w.get("/zhongkong/v1/accounts/" + appID + "/jsconfig?url=a&url=b"), 400, 40035},
	} {
		if row.got.status != row.status || row.got.Errcode != row.errcode || row.got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %s", name, row.got.status, row.got.body)
		}
	}
	// Every foreign spelling: nothing is signed for another host.
	for _, foreign := range logintest.ForeignAddresses {
		for _, page := range []string{foreign, shopOrigin + foreign, "https:" + foreign} {
			if got := ask(appID, page); got.status == http.StatusOK && !strings.HasPrefix(page, shopOrigin+"/") {
				t.Errorf("%q is signed", page)
			}
		}
	}
	// A site that another gateway has just registered, and one that is taken away.
	if err := w.clients().SetSites(t.Context(), "shop", nil, []string{"https://new.example"}); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	if got := ask(appID, "https://new.example/"); got.status != http.StatusOK {
		t.Errorf("a new site: %d %s", got.status, got.body)
	}
	if got := ask(appID, shopOrigin+"/"); got.status != http.StatusForbidden {
		t.Errorf("a site that was taken away: %d %s", got.status, got.body)
	}
}

// TestSites: what stands there of a client's sites is checked, and a list that is missing
// stays.
func TestSites(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	for _, wrong := range []gateway.Client{
		{Name: "a", Returns: []string{"http://shop.example/"}},
		{Name: "b", Returns: []string{"https://shop.example/?a=1"}},
		{Name: "c", Origins: []string{"https://shop.example/"}},
		{Name: "d", Origins: []string{"shop.example"}},
		{Name: "-e", Returns: []string{"https://shop.example/"}},
	} {
		wrong.Accounts = []string{appID}
		if _, err := w.clients().Add(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), wrong.Name) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	w.client(gateway.Client{Name: "shop", Returns: []string{shopOrigin + "/*"}, Origins: []string{shopOrigin}})
	if err := w.clients().SetSites(t.Context(), "shop", []string{}, nil); err != nil {
		t.Fatal(err)
	}
	list, err := w.clients().List(t.Context())
	if err != nil || len(list) != 1 || len(list[0].Returns) != 0 || len(list[0].Origins) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := w.clients().SetSites(t.Context(), "shop", []string{"x"}, nil); err == nil {
		t.Error("anything is taken")
	}
}

// TestSharedReturns: a return address belongs to one client of an account. A second client
// that would share it, or a part of it, is refused by a sentence that names both.
func TestSharedReturns(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	add := func(name, account string, returns ...string) error {
		_, err := w.clients().Add(t.Context(), gateway.Client{Name: name, Accounts: []string{account}, Returns: returns})
		return err
	}
	if err := add("shop", appID, shopOrigin+"/*", crmOrigin+"/back"); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ account, address, has string }{
		{appID, shopOrigin + "/*", shopOrigin + "/*"},
		{appID, shopOrigin + "/a/*", shopOrigin + "/*"},
		{appID, shopOrigin, shopOrigin + "/*"},
		{gateway.AllAccounts, crmOrigin + "/back", crmOrigin + "/back"},
		{appID, crmOrigin + "/*", crmOrigin + "/back"},
	} {
		err := add("second", row.account, "https://other.example/", row.address)
		var shared *clients.SharedReturnError
		if !errors.As(err, &shared) || shared.Client != "second" || shared.Other != "shop" || shared.Others != row.has ||
			!strings.Contains(err.Error(), "client second: the return address "+row.address) || !strings.Contains(err.Error(), row.has+" of client shop") {
			t.Errorf("%s: %v", row.address, err)
		}
	}
	for name, address := range map[string]string{"beside": crmOrigin + "/back/", "third": "https://third.example/*"} {
		if err := add(name, appID, address); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := add("elsewhere", otherApp, shopOrigin+"/*"); err != nil { // the appid tells the two apart
		t.Error(err)
	}
	// A change is refused, too, in the admin API, and nothing is written.
	admin := w.Admin(custody.NewSecret(adminKey), nil)
	put := func(name, body string) (int, string) {
		got := call(admin, "PUT", "/clients/"+name+"/sites", body, adminKey)
		return got.Code, got.Body.String()
	}
	before := toJSON(t, w.uses())
	if code, body := put("third", `{"returns":["https://third.example/*","`+shopOrigin+`/x"]}`); code != http.StatusConflict ||
		!strings.Contains(body, "client third: the return address "+shopOrigin+"/x overlaps with "+shopOrigin+"/* of client shop") {
		t.Errorf("%d %s", code, body)
	}
	if after := toJSON(t, w.uses()); after != before {
		t.Errorf("the journal has what was refused: %s", after)
	}
	if code, body := put("third", `{"returns":["https://third.example/*","https://third.example/x"]}`); code != http.StatusOK {
		t.Errorf("its own: %d %s", code, body)
	}
	// What two clients shared before they were compared can be kept, and changed.
	shareStored(t, w, "third", shopOrigin+"/old")
	if code, body := put("third", `{"returns":["`+shopOrigin+`/old","https://new.example/"]}`); code != http.StatusOK {
		t.Errorf("an old one: %d %s", code, body)
	}
	if err := w.clients().Revoke(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if err := add("second", appID, shopOrigin+"/*"); err == nil || !strings.Contains(err.Error(), "client third") {
		t.Errorf("%v", err)
	}
	if err := add("second", appID, crmOrigin+"/back"); err != nil {
		t.Errorf("of a client that is gone: %v", err)
	}
}

// shareStored writes a return address into a stored client, as earlier versions did.
func shareStored(t *testing.T, w *world, name, address string) {
	t.Helper()
	ledger := w.store.(store.Ledger)
	docs, err := ledger.Documents(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		if doc.Kind == "client" && doc.Name == name {
			doc.Body = []byte(strings.Replace(string(doc.Body), `"returns":[`, `"returns":["`+address+`",`, 1))
			if _, err := ledger.Put(t.Context(), doc); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (w *world) uses() []store.Use {
	w.t.Helper()
	uses, err := w.Uses(w.t.Context(), 100)
	if err != nil {
		w.t.Fatal(err)
	}
	return uses
}

// TestGatewaySigns: calls of configured paths are signed and encrypted for programs that know
// nothing of it, and the answers are verified and decrypted.
func TestGatewaySigns(t *testing.T) {
	const path = "/cgi-bin/openapi/quota/get"
	keys, err := simulator.MakeUpSigning(path)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, text := range map[string]string{"app.pem": keys.AppKey, "wechat.pem": keys.Certificate, "key": keys.SymmetricKey} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := "accounts:\n  - appid: " + appID + "\n    secret: " + appSecret + "\n    signing:\n      symmetric_serial: \"" + keys.SymmetricSerial +
		"\"\n      symmetric_key: {file: key}\n      private_key: app.pem\n      certificates: {\"" + keys.Serial + "\": wechat.pem}\n      paths: [" + path + "]\n"
	settings, err := gateway.ParseSettings([]byte(file), folder, lookUp(nil))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, simulator.Options{}, func(c *gateway.Config) { c.Accounts = settings.Accounts })
	if err := w.wx.Update(appID, func(a *simulator.Account) { a.Signing = &keys }); err != nil {
		t.Fatal(err)
	}
	key := w.client(gateway.Client{Name: "shop"})
	got := w.post(path+"?access_token="+w.token(key), `{"cgi_path":"/cgi-bin/token"}`, "Content-Type", "application/json")
	if got.status != http.StatusOK || !strings.Contains(got.body, "daily_limit") {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, e := range w.wx.Events() {
		if e.Path == path && (strings.Contains(e.Request, "cgi_path") || strings.Contains(e.Response, "daily_limit")) {
			t.Errorf("in the clear: %s, %s", e.Request, e.Response)
		}
	}
	if err := w.wx.Update(appID, func(a *simulator.Account) { a.Signing.SymmetricSerial = "another" }); err != nil {
		t.Fatal(err)
	}
	if got := w.post(path+"?access_token="+w.token(key), `{"cgi_path":"/cgi-bin/token"}`); got.Errcode != 40235 {
		t.Errorf("another key: %s", got.body)
	}
	w.mustNotShow(key, keys.SymmetricKey)
	for _, wrong := range []string{strings.Replace(file, "app.pem", "none.pem", 1), strings.Replace(file, "app.pem", "wechat.pem", 1), strings.Replace(file, "file: key", "file: app.pem", 1)} {
		if _, err := gateway.ParseSettings([]byte(wrong), folder, lookUp(nil)); err == nil || !strings.Contains(err.Error(), "line ") || !strings.Contains(err.Error(), "signing") {
			t.Errorf("%v", err)
		}
	}
}
