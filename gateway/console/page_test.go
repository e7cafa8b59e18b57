package console_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/console"
	"github.com/zhongkong-go/zhongkong/internal/test/consoletest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// TestLogin: without the admin key there is nothing to see and nothing to do; with
// it, there is one session, which ends with the logout.
func TestLogin(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{}).Settled()
	d.Client(gateway.Client{Name: "shop", Accounts: []string{"*"}})
	closed := []string{
		"",
		"accounts/" + consoletest.AppID(0),
		"accounts/" + consoletest.AppID(0) + "/refresh",
		"clients/add",
		"clients/revoke?name=shop",
		"clients/rotate?name=shop",
		"clients/sites?name=shop",
		"nothing",
	}
	check := func(when string) {
		t.Helper()
		for _, path := range closed {
			got := d.Get(path)
			if got.Status != http.StatusSeeOther || !strings.HasPrefix(got.Location, "/page/login") ||
				strings.Contains(got.HTML, consoletest.AppID(1)) {
				t.Errorf("%s, %q: %d to %q", when, path, got.Status, got.Location)
			}
		}
		if got := d.Get("live"); !strings.Contains(got.HTML, "event: reload") || strings.Contains(got.HTML, consoletest.AppID(0)) {
			t.Errorf("%s, what is live: %q", when, got.HTML)
		}
		if got := d.Post("clients/revoke?name=shop", url.Values{}); got.Status != http.StatusSeeOther {
			t.Errorf("%s, a form: %d", when, got.Status)
		}
	}
	check("before the login")
	for _, wrong := range []string{"", "x", consoletest.AdminKey + "x", consoletest.AdminKey[1:]} {
		got := d.Post("login", url.Values{"key": {wrong}})
		if got.Status != http.StatusUnauthorized || !strings.Contains(got.HTML, "That is not the admin key.") ||
			got.Header.Get("Set-Cookie") != "" {
			t.Errorf("with %q: %d", wrong, got.Status)
		}
	}
	check("after wrong keys")

	got := d.Post("login", url.Values{"key": {" " + consoletest.AdminKey + "\n"}, "next": {"/page/accounts/" + consoletest.AppID(0) + "?x=1"}})
	if got.Status != http.StatusSeeOther || got.Location != "/page/accounts/"+consoletest.AppID(0)+"?x=1" {
		t.Fatalf("login: %d to %q", got.Status, got.Location)
	}
	cookie := got.Header.Get("Set-Cookie")
	for _, part := range []string{"Path=/page/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie %q has no %s", cookie, part)
		}
	}
	if strings.Contains(cookie, "Secure") {
		t.Error("over plain HTTP, the browser would not send it back")
	}
	if got := d.Get(""); got.Status != http.StatusOK || !strings.Contains(got.HTML, consoletest.AppID(0)) ||
		strings.Contains(got.HTML, consoletest.AdminKey) {
		t.Errorf("after the login: %d", got.Status)
	}
	if got := d.Get("login"); got.Status != http.StatusSeeOther {
		t.Errorf("a second login: %d", got.Status)
	}
	uses, err := d.Uses(t.Context(), 10)
	if err != nil || uses[0].Act != "log in" || !strings.HasPrefix(uses[0].Actor, "page 127.0.0.1") {
		t.Errorf("the journal: %v %v", uses, err)
	}
	if got := d.Act("", "x", "y"); got.Status != http.StatusMethodNotAllowed { // no form goes there
		t.Errorf("a form to the overview: %d", got.Status)
	}

	if got := d.Post("logout", url.Values{"csrf": {d.Get("").Token()}}); got.Location != "/page/login" {
		t.Errorf("logout: %d", got.Status)
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL, http.NoBody)
	r.Header.Set("Cookie", strings.SplitN(cookie, ";", 2)[0]) // a thief has kept it
	w := httptest.NewRecorder()
	d.Handler.ServeHTTP(w, r)
	if w.Code != http.StatusSeeOther {
		t.Errorf("the cookie after the logout: %d", w.Code)
	}
	check("after the logout")

	for _, next := range []string{
		"http://evil.example/page/", "//evil.example/page/", "/page//evil.example", "/page/../../evil", "/page/%2e%2e/evil",
		"/clients", `/page\..\x`, "page/", "javascript:1",
	} {
		got := d.Post("login", url.Values{"key": {consoletest.AdminKey}, "next": {next}})
		if u, err := url.Parse(got.Location); err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/page/") ||
			strings.HasPrefix(u.Path, "/page//") || !strings.HasPrefix(path.Clean(u.Path)+"/", "/page/") {
			t.Errorf("after the login to %q: %q", next, got.Location)
		}
	}
}

// TestLoginLimit: many wrong keys are answered with 429 and logged no more, and the
// right one still opens.
func TestLoginLimit(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{})
	counts := map[int]int{}
	for range 30 {
		counts[d.Post("login", url.Values{"key": {"wrong"}}).Status]++
	}
	if counts[http.StatusUnauthorized] != 20 || counts[http.StatusTooManyRequests] != 10 {
		t.Errorf("answered %v, want 20 × 401 and 10 × 429", counts)
	}
	d.LogIn()
}

// TestGuarded: forms of other sites and of other sessions do nothing, and no page of
// this one loads anything from elsewhere.
func TestGuarded(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{}).Settled().LogIn()
	d.Client(gateway.Client{Name: "shop", Accounts: []string{"*"}})
	token := d.Get("").Token()
	there := func() bool {
		list, err := d.Clients("test").List(t.Context())
		return err == nil && len(list) == 1
	}
	for name, row := range map[string]struct {
		csrf    string
		headers []string
	}{
		"no token":                    {"", nil},
		"another token":               {"x" + token[1:], nil},
		"another site":                {token, []string{"Sec-Fetch-Site", "cross-site"}},
		"another origin of this site": {token, []string{"Sec-Fetch-Site", "same-site"}},
		"another site's origin":       {token, []string{"Origin", "http://evil.example"}},
		"a sandbox":                   {token, []string{"Origin", "null"}},
	} {
		if got := d.Post("clients/revoke?name=shop", url.Values{"csrf": {row.csrf}}, row.headers...); got.Status != http.StatusForbidden ||
			!there() {
			t.Errorf("%s: %d, the client is there: %t", name, got.Status, there())
		}
		if len(row.headers) > 0 {
			if got := d.Post("login", url.Values{"key": {consoletest.AdminKey}}, row.headers...); got.Status != http.StatusForbidden {
				t.Errorf("%s, the login: %d", name, got.Status)
			}
		}
	}
	for _, path := range []string{"", "login", "accounts/" + consoletest.AppID(0), "clients/add", "nothing", "static/page.js"} {
		got := d.Get(path)
		policy := got.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") ||
			strings.Contains(policy, "unsafe") {
			t.Errorf("%q: the policy is %q", path, policy)
		}
		if strings.Contains(got.HTML, " style=") || strings.Contains(got.HTML, "://") && strings.Contains(got.HTML, "src=\"http") {
			t.Errorf("%q has a style or a source of its own", path)
		}
		if path != "static/page.js" && got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q may be kept: %q", path, got.Header.Get("Cache-Control"))
		}
	}
	if got := d.Post("clients/revoke?name=shop", url.Values{"csrf": {token}}, "Sec-Fetch-Site", "same-origin", "Origin",
		d.Base); got.Status != http.StatusSeeOther ||
		there() {
		t.Errorf("its own form: %d", got.Status)
	}

	// The admin API beside it takes no cookie, and the page no admin header.
	if got := d.Get("/clients"); got.Status != http.StatusUnauthorized {
		t.Errorf("the admin API with a cookie: %d", got.Status)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/page/", http.NoBody)
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer "+consoletest.AdminKey)
	d.Handler.ServeHTTP(w, r)
	if w.Code != http.StatusSeeOther {
		t.Errorf("the page with the admin header: %d", w.Code)
	}
	if got := d.Get("/"); got.Location != "/page/" {
		t.Errorf("/ leads to %q", got.Location)
	}
}

// TestClients: they come, get another key and go, by forms alone; keys are shown
// once, and every act is in the journal.
func TestClients(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{}).Settled().LogIn()
	keyField := regexp.MustCompile(`id="new-key" class="secret">(zkkey_[^<]+)<`)
	fetch := func(key string) string {
		w := httptest.NewRecorder()
		d.ServeHTTP(
			w,
			httptest.NewRequest(
				http.MethodGet,
				"/cgi-bin/token?grant_type=client_credential&appid="+consoletest.AppID(0)+"&secret="+key,
				http.NoBody,
			),
		)
		var answer struct {
			Errcode int    `json:"errcode"`
			Token   string `json:"access_token"`
		}
		_ = json.Unmarshal(w.Body.Bytes(), &answer)
		if answer.Token != "" {
			return "token"
		}
		return fmt.Sprint(answer.Errcode)
	}
	for want, form := range map[string][]string{
		"Give the client a name":                       {"account", "*"},
		"Choose at least one account":                  {"name", "shop"},
		"has to be 1 to 64 letters":                    {"name", "sh op", "account", "*"},
		"The rate has to be a number":                  {"name", "shop", "account", "*", "rate", "fast"},
		"The end has to be a day":                      {"name", "shop", "account", "*", "ends", "tomorrow"},
		"which is over":                                {"name", "shop", "account", "*", "ends", "2020-01-31"},
		"is no appid":                                  {"name", "shop", "account", "wx 1 <b>"},
		`The client&#39;s name`:                        {"name", strings.Repeat("x", 65), "account", "*"},
		`value="kept"`:                                 {"name", "kept"},
		`id="further" open`:                            {"name", "shop", "rate", "7"},
		`value="` + consoletest.AppID(0) + `" checked`: {"account", consoletest.AppID(0)},
	} {
		if got := d.Act("clients/add", form...); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.HTML, want) {
			t.Errorf("%v: %d, without %q", form, got.Status, want)
		}
	}
	got := d.Act("clients/add", "name", "shop", "account", consoletest.AppID(0), "account", consoletest.AppID(1), "paths",
		"/cgi-bin/user/*\n/cgi-bin/menu/get", "rate", "50", "ends", "2099-01-31")
	if got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.HTML)
	}
	first := keyField.FindStringSubmatch(got.HTML)[1]
	if code := fetch(first); code != "token" {
		t.Errorf("with the new key: %s", code)
	}
	if got := d.Act("clients/add", "name", "shop", "account", "*"); got.Status != 422 ||
		!strings.Contains(got.HTML, "There is a client of that name already.") {
		t.Errorf("the same name: %d", got.Status)
	}
	overview := d.Get("").HTML
	for _, want := range []string{
		"shop", "just now", "1 call", consoletest.AppID(0) + " and 1 more", "50/s", "2 paths",
		"until 2099-01-31", "Client added",
	} {
		if !strings.Contains(overview, want) {
			t.Errorf("the overview has no %q", want)
		}
	}
	if got := d.Act("clients/rotate?name=shop", "grace", "x"); got.Status != 422 {
		t.Errorf("a grace of x: %d", got.Status)
	}
	got = d.Act("clients/rotate?name=shop", "grace", "1h")
	second := keyField.FindStringSubmatch(got.HTML)[1]
	if fetch(first) != "token" || fetch(second) != "token" || first == second {
		t.Error("both keys have to work, within the grace")
	}
	third := keyField.FindStringSubmatch(d.Act("clients/rotate?name=shop", "grace", "0s").HTML)[1]
	if fetch(second) != "40125" || fetch(third) != "token" {
		t.Error("without a grace the old key is dead")
	}
	if got := d.Act("clients/rotate?name=none", "grace", "1h"); got.Status != 422 ||
		!strings.Contains(got.HTML, "There is no such client any more.") {
		t.Errorf("no such client: %d", got.Status)
	}
	if got := d.Act("clients/revoke?name=shop"); got.Location != "/page/" || fetch(third) != "40125" {
		t.Errorf("revoke: %d, %s", got.Status, fetch(third))
	}
	overview = d.Get("").HTML
	if !strings.Contains(overview, "Client shop was revoked.") || !strings.Contains(overview, "There is no client yet.") {
		t.Error("the overview does not tell that it is gone")
	}
	if strings.Contains(d.Get("").HTML, "Client shop was revoked.") {
		t.Error("it is told twice")
	}
	for _, key := range []string{first, second, third} {
		if strings.Contains(overview, key) {
			t.Error("a key stands on the overview")
		}
	}
	uses, err := d.Uses(t.Context(), 50)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, u := range uses {
		counts[u.Act]++
		if !strings.HasPrefix(u.Actor, "page 127.0.0.1") {
			t.Errorf("%s by %q", u.Act, u.Actor)
		}
	}
	if counts["add client"] != 2 || counts["rotate client"] != 2 || counts["revoke client"] != 1 {
		t.Errorf("the journal has %v", counts)
	}
}

// TestSites: a client's addresses are set when it is added and afterwards, and what is wrong
// with them is said in the form, in both languages.
func TestSites(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{}).Settled().LogIn()
	if got := d.Act("clients/add", "name", "shop", "account", "*", "returns", "https://shop.example/*\r\nhttps://www.shop.example/back", "origins", ""); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.HTML)
	}
	d.Client(gateway.Client{Name: "crm", Accounts: []string{consoletest.AppID(0)}})
	if html := d.Get("").HTML; !strings.Contains(html, "2 return addresses") || strings.Contains(html, "1 site") {
		t.Error("the overview does not show the addresses")
	}
	for _, row := range []struct{ returns, origins, en, zh string }{
		{"http://crm.example/", "", "has to begin with https://", "须以 https:// 开头"},
		{"https://crm.example/?a=1", "", "has a query or a * inside", "含有查询串"},
		{"https://crm.example/a/../b", "", "might read in two ways", "可能有两种理解"},
		{"https://CRM.example/", "", "write it in lower case", "请用小写"},
		{"https://crm.example/", "crm.example", "has to be https:// or http:// and a host", "加小写的主机名"},
		{"https://shop.example/crm", "", "overlaps with https://shop.example/* of client shop", "与 https://shop.example/*（客户端 shop 的）重叠"},
		{"https://www.shop.example/*", "", "overlaps with https://www.shop.example/back of client shop", "（客户端 shop 的）重叠"},
	} {
		form := []string{"name", "late", "account", consoletest.AppID(0), "returns", row.returns, "origins", row.origins}
		for _, path := range []string{"clients/sites?name=crm", "clients/add"} {
			values := url.Values{"csrf": {d.Get("").Token()}}
			for i := 0; i < len(form); i += 2 {
				values.Set(form[i], form[i+1])
			}
			for language, want := range map[string]string{"en": row.en, "zh-CN": row.zh} {
				got := d.Post(path, values, "Accept-Language", language)
				_, problem, _ := strings.Cut(got.HTML, `role="alert">`)
				problem, _, _ = strings.Cut(problem, "<")
				if got.Status != http.StatusUnprocessableEntity || !strings.Contains(problem, want) || !strings.Contains(got.HTML, ">"+row.returns+"</textarea>") {
					t.Errorf("%s, %s, %s: %d %q", path, language, row.returns, got.Status, problem)
				}
				if language == "zh-CN" && (strings.Contains(problem, "client ") || strings.HasSuffix(problem, ".")) {
					t.Errorf("%s: half in English: %q", row.returns, problem)
				}
			}
		}
	}
	got := d.Act("clients/sites?name=crm", "returns", "https://crm.example/back\n", "origins", " https://crm.example\n\nhttps://m.crm.example ")
	if html := d.Get("").HTML; got.Location != "/page/" || !strings.Contains(html, "The addresses of crm were changed.") ||
		!strings.Contains(html, "1 return address<") || !strings.Contains(html, "2 sites<") || !strings.Contains(html, "changed") || !strings.Contains(html, "origins 2") {
		t.Errorf("%d %s", got.Status, html)
	}
	if html := d.Get("clients/sites?name=crm").HTML; !strings.Contains(html, ">https://crm.example/back</textarea>") || !strings.Contains(html, ">https://crm.example\nhttps://m.crm.example</textarea>") {
		t.Error(html)
	}
	if html := d.Get("", "Accept-Language", "zh-CN").HTML; !strings.Contains(html, "修改了客户端的地址") || !strings.Contains(html, "回调地址 1, 站点 2") {
		t.Error("the journal in Chinese")
	}
	// A form without a field takes nothing away; one with an empty field does.
	d.Act("clients/sites?name=crm", "returns", "")
	d.Act("clients/sites?name=crm")
	list, err := d.Clients("test").List(t.Context())
	if err != nil || len(list[0].Returns) != 1 || len(list[0].Origins) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	d.Act("clients/sites?name=crm", "returns", "", "origins", "")
	if list, err = d.Clients("test").List(t.Context()); err != nil || len(list[0].Returns) != 0 || len(list[0].Origins) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if got := d.Get("clients/sites?name=nobody"); got.Status != http.StatusNotFound {
		t.Errorf("nobody: %d", got.Status)
	}
}

// TestRefresh: what came of it is said on the account's page, with cause and remedy.
func TestRefresh(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{Faults: []simulator.Fault{
		{AppID: consoletest.AppID(1), Path: simulator.StableTokenPath, Errcode: 40164, Errmsg: "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist"},
	}}).Settled().LogIn()
	refresh := func(n int, want ...string) {
		t.Helper()
		path := "accounts/" + consoletest.AppID(n)
		if got := d.Act(path + "/refresh"); got.Location != console.Path+path {
			t.Fatalf("%d to %q", got.Status, got.Location)
		}
		html := d.Get(path).HTML
		for _, text := range want {
			if !strings.Contains(html, text) {
				t.Errorf("the page has no %q", text)
			}
		}
	}
	refresh(0, "WeChat accepts the token, so it was kept.", "Valid")
	d.WeChat.Kill(consoletest.AppID(0))
	refresh(0, "WeChat refused the token, and it was renewed.", "the token was refused", "Token renewed")
	refresh(1, "There is no token that works.", "203.0.113.7", "whitelist (40164)", "The next attempt is in ", "Token not fetched")
	if got := d.Get("accounts/wx0/refresh"); got.Status != http.StatusNotFound {
		t.Errorf("an account that is not there: %d", got.Status)
	}
	if n := d.WeChat.Stats(consoletest.AppID(0)).Stable.Issued; n != 2 {
		t.Errorf("%d tokens were issued, want 2", n)
	}
}

// TestSecrets: no AppSecret, no token, no key is on any page.
func TestSecrets(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{Faults: []simulator.Fault{{
		AppID: consoletest.AppID(1), Errcode: 40125,
		Errmsg: "invalid appsecret, " + consoletest.AppSecret + " is wrong",
	}}}).
		Settled().
		LogIn()
	key := d.Client(gateway.Client{Name: "shop", Accounts: []string{"*"}, Real: true})
	w := httptest.NewRecorder()
	d.ServeHTTP(
		w,
		httptest.NewRequest(
			http.MethodGet,
			"/cgi-bin/token?grant_type=client_credential&appid="+consoletest.AppID(0)+"&secret="+key,
			http.NoBody,
		),
	)
	token := d.WeChat.Latest(consoletest.AppID(0), simulator.Stable)
	if token == "" || !bytes.Contains(w.Body.Bytes(), []byte(token)) {
		t.Fatal(w.Body)
	}
	var all strings.Builder
	for _, path := range []string{
		"", "accounts/" + consoletest.AppID(0), "accounts/" + consoletest.AppID(1), "clients/add",
		"clients/rotate?name=shop", "clients/revoke?name=shop", "accounts/" + consoletest.AppID(0) + "/refresh",
	} {
		all.WriteString(d.Get(path).HTML)
	}
	for _, secret := range []string{consoletest.AppSecret, token, key, consoletest.AdminKey} {
		if strings.Contains(all.String(), secret) {
			t.Error("a secret is on a page")
		}
	}
	if !strings.Contains(all.String(), "Real token handed out") {
		t.Error("the hand-out is not in the journal")
	}
}

// TestChinese: with Chinese in the browser no text of the page is left in English.
func TestChinese(t *testing.T) {
	var all strings.Builder
	for _, name := range []string{
		"page.html", "account.html", "forms.html", "state.go", "plot.go", "trail.go", "view.go",
		"act.go", "serve.go",
	} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(source)
	}
	words, err := os.ReadFile("words.go")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`\.T "([^"]+)"|\.T\("([^"]+)"|Text: "([^"]+)"|": +\{"([^"]+)", "[a-z]*"\}`).FindAllStringSubmatch(all.String(), -1)
	if len(said) < 150 {
		t.Fatalf("only %d texts were found", len(said))
	}
	for _, found := range said {
		if text := strings.Join(found[1:], ""); !strings.Contains(string(words), `"`+text+`":`) {
			t.Errorf("there is no Chinese for %q", text)
		}
	}
	d := consoletest.Start(t, consoletest.Options{Faults: []simulator.Fault{{
		AppID: consoletest.AppID(1),
		Path:  simulator.StableTokenPath, Errcode: 40164, Errmsg: "invalid ip 203.0.113.7, not in whitelist",
	}}}).
		Settled().
		LogIn()
	d.Client(gateway.Client{Name: "shop", Accounts: []string{"*"}})
	for _, path := range []string{"", "accounts/" + consoletest.AppID(1), "clients/add", "clients/sites?name=shop"} {
		html := d.Get(path, "Accept-Language", "zh-CN,zh;q=0.9").HTML
		if !strings.Contains(html, `<html lang="zh-CN">`) {
			t.Errorf("%q is not in Chinese", path)
		}
		html = regexp.MustCompile(`(?s)<pre.*?</pre>`).ReplaceAllString(html, "")
		for _, text := range regexp.MustCompile(`>([^<>]+)<`).FindAllStringSubmatch(html, -1) {
			if strings.Count(strings.TrimSpace(text[1]), " ") > 3 &&
				strings.IndexFunc(text[1], func(r rune) bool { return unicode.Is(unicode.Han, r) }) < 0 {
				t.Errorf("%q, still in English: %q", path, strings.TrimSpace(text[1]))
			}
		}
	}
}

// TestSwitches: language and theme are chosen by links, before the login too.
func TestSwitches(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{})
	for _, step := range []struct{ follow, where, want string }{
		{"login?lang=zh-CN&next=%2Fpage%2Fclients%2Fadd", "/page/login?next=%2Fpage%2Fclients%2Fadd", `<html lang="zh-CN">`},
		{"login?theme=dark", "/page/login", `<html lang="zh-CN" data-theme="dark">`},
		{"login?lang=en&theme=system", "/page/login", `<html lang="en">`},
	} {
		answer := d.Get(step.follow, "Accept-Language", "en")
		if answer.Header.Get("Location") != step.where {
			t.Errorf("%s leads to %q, want %q", step.follow, answer.Header.Get("Location"), step.where)
		}
		if html := d.Get("login", "Accept-Language", "en").HTML; !strings.Contains(html, step.want) || !strings.Contains(html, `class="looks"`) {
			t.Errorf("after %s: no %s in %s", step.follow, step.want, html)
		}
	}
	d.LogIn()
	d.Get("?lang=zh-CN&q=wx", "Accept-Language", "en")
	if html := d.Get("?q=wx", "Accept-Language", "en").HTML; !strings.Contains(html, `<html lang="zh-CN">`) || !strings.Contains(html, `href="/page/?lang=en&amp;q=wx"`) {
		t.Error("the page is not in the language that was chosen, or the switch leads elsewhere")
	}
}

func TestOptions(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{})
	for want, o := range map[string]console.Options{
		"Options.Gateway is nil": {Key: custody.NewSecret(consoletest.AdminKey)},
		"at least 32 characters": {Gateway: d.Gateway, Key: custody.NewSecret("short")},
	} {
		if _, err := console.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestNames: a page is not read under a name that somebody made point here.
func TestNames(t *testing.T) {
	d := consoletest.Start(t, consoletest.Options{}).Settled()
	page, err := console.New(console.Options{Gateway: d.Gateway, Key: custody.NewSecret(consoletest.AdminKey), Hosts: []string{"Desk.Example"}})
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	h := page.Handler(http.NotFoundHandler())
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8400": 200, "127.0.0.1:8400": 200, "[::1]:8400": 200, "192.0.2.1": 200, "desk.example:8400": 200,
		"desk.example.": 200, "DESK.example": 200,
		"evil.example": 421, "evil.example:8400": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, console.Path+"login", http.NoBody)
		r.Host = host
		answer := httptest.NewRecorder()
		if h.ServeHTTP(answer, r); answer.Code != status {
			t.Errorf("%q: %d, want %d", host, answer.Code, status)
		}
	}
}
