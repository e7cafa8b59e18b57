package console_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/console"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// TestLogin: without the admin key there is nothing to see and nothing to do; with
// it, there is one session, which ends with the logout.
func TestLogin(t *testing.T) {
	d := start(t, options{}).settled()
	d.client(gateway.Client{Name: "shop", Accounts: []string{"*"}})
	closed := []string{
		"",
		"accounts/" + appID(0),
		"accounts/" + appID(0) + "/refresh",
		"clients/add",
		"clients/revoke?name=shop",
		"clients/rotate?name=shop",
		"nothing",
	}
	check := func(when string) {
		t.Helper()
		for _, path := range closed {
			got := d.get(path)
			if got.status != http.StatusSeeOther || !strings.HasPrefix(got.location, "/page/login") || strings.Contains(got.html, appID(1)) {
				t.Errorf("%s, %q: %d to %q", when, path, got.status, got.location)
			}
		}
		if got := d.get("live"); !strings.Contains(got.html, "event: reload") || strings.Contains(got.html, appID(0)) {
			t.Errorf("%s, what is live: %q", when, got.html)
		}
		if got := d.post("clients/revoke?name=shop", url.Values{}); got.status != http.StatusSeeOther {
			t.Errorf("%s, a form: %d", when, got.status)
		}
	}
	check("before the login")
	for _, wrong := range []string{"", "x", adminKey + "x", adminKey[1:]} {
		got := d.post("login", url.Values{"key": {wrong}})
		if got.status != http.StatusUnauthorized || !strings.Contains(got.html, "That is not the admin key.") ||
			got.header.Get("Set-Cookie") != "" {
			t.Errorf("with %q: %d", wrong, got.status)
		}
	}
	check("after wrong keys")

	got := d.post("login", url.Values{"key": {" " + adminKey + "\n"}, "next": {"/page/accounts/" + appID(0) + "?x=1"}})
	if got.status != http.StatusSeeOther || got.location != "/page/accounts/"+appID(0)+"?x=1" {
		t.Fatalf("login: %d to %q", got.status, got.location)
	}
	cookie := got.header.Get("Set-Cookie")
	for _, part := range []string{"Path=/page/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie %q has no %s", cookie, part)
		}
	}
	if strings.Contains(cookie, "Secure") {
		t.Error("over plain HTTP, the browser would not send it back")
	}
	if got := d.get(""); got.status != http.StatusOK || !strings.Contains(got.html, appID(0)) || strings.Contains(got.html, adminKey) {
		t.Errorf("after the login: %d", got.status)
	}
	if got := d.get("login"); got.status != http.StatusSeeOther {
		t.Errorf("a second login: %d", got.status)
	}
	uses, err := d.Uses(t.Context(), 10)
	if err != nil || uses[0].Act != "log in" || !strings.HasPrefix(uses[0].Actor, "page 127.0.0.1") {
		t.Errorf("the journal: %v %v", uses, err)
	}
	if got := d.act("", "x", "y"); got.status != http.StatusMethodNotAllowed { // no form goes there
		t.Errorf("a form to the overview: %d", got.status)
	}

	if got := d.post("logout", url.Values{"csrf": {csrfField.FindStringSubmatch(d.get("").html)[1]}}); got.location != "/page/login" {
		t.Errorf("logout: %d", got.status)
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url, http.NoBody)
	r.Header.Set("Cookie", strings.SplitN(cookie, ";", 2)[0]) // a thief has kept it
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	if w.Code != http.StatusSeeOther {
		t.Errorf("the cookie after the logout: %d", w.Code)
	}
	check("after the logout")

	for _, next := range []string{"http://evil.example/page/", "//evil.example/page/", "/page//evil.example", "/clients", `/page\..\x`, "page/", "javascript:1"} {
		got := d.post("login", url.Values{"key": {adminKey}, "next": {next}})
		if u, err := url.Parse(got.location); err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/page/") ||
			strings.HasPrefix(u.Path, "/page//") {
			t.Errorf("after the login to %q: %q", next, got.location)
		}
	}
}

// TestLoginLimit: many wrong keys are answered with 429 and logged no more, and the
// right one still opens.
func TestLoginLimit(t *testing.T) {
	d := start(t, options{})
	counts := map[int]int{}
	for range 30 {
		counts[d.post("login", url.Values{"key": {"wrong"}}).status]++
	}
	if counts[http.StatusUnauthorized] != 20 || counts[http.StatusTooManyRequests] != 10 {
		t.Errorf("answered %v, want 20 × 401 and 10 × 429", counts)
	}
	d.logIn()
}

// TestGuarded: forms of other sites and of other sessions do nothing, and no page of
// this one loads anything from elsewhere.
func TestGuarded(t *testing.T) {
	d := start(t, options{}).settled().logIn()
	d.client(gateway.Client{Name: "shop", Accounts: []string{"*"}})
	token := csrfField.FindStringSubmatch(d.get("").html)[1]
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
		if got := d.post("clients/revoke?name=shop", url.Values{"csrf": {row.csrf}}, row.headers...); got.status != http.StatusForbidden ||
			!there() {
			t.Errorf("%s: %d, the client is there: %t", name, got.status, there())
		}
		if len(row.headers) > 0 {
			if got := d.post("login", url.Values{"key": {adminKey}}, row.headers...); got.status != http.StatusForbidden {
				t.Errorf("%s, the login: %d", name, got.status)
			}
		}
	}
	for _, path := range []string{"", "login", "accounts/" + appID(0), "clients/add", "nothing", "static/page.js"} {
		got := d.get(path)
		policy := got.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") ||
			strings.Contains(policy, "unsafe") {
			t.Errorf("%q: the policy is %q", path, policy)
		}
		if strings.Contains(got.html, " style=") || strings.Contains(got.html, "://") && strings.Contains(got.html, "src=\"http") {
			t.Errorf("%q has a style or a source of its own", path)
		}
		if path != "static/page.js" && got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q may be kept: %q", path, got.header.Get("Cache-Control"))
		}
	}
	if got := d.post("clients/revoke?name=shop", url.Values{"csrf": {token}}, "Sec-Fetch-Site", "same-origin", "Origin",
		d.base); got.status != http.StatusSeeOther ||
		there() {
		t.Errorf("its own form: %d", got.status)
	}

	// The admin API beside it takes no cookie, and the page no admin header.
	if got := d.get("/clients"); got.status != http.StatusUnauthorized {
		t.Errorf("the admin API with a cookie: %d", got.status)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/page/", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+adminKey)
	d.handler.ServeHTTP(w, r)
	if w.Code != http.StatusSeeOther {
		t.Errorf("the page with the admin header: %d", w.Code)
	}
	if got := d.get("/"); got.location != "/page/" {
		t.Errorf("/ leads to %q", got.location)
	}
}

// TestClients: they come, get another key and go, by forms alone; keys are shown
// once, and every act is in the journal.
func TestClients(t *testing.T) {
	d := start(t, options{}).settled().logIn()
	keyField := regexp.MustCompile(`id="new-key" class="secret">(zkkey_[^<]+)<`)
	fetch := func(key string) string {
		w := httptest.NewRecorder()
		d.ServeHTTP(
			w,
			httptest.NewRequest(http.MethodGet, "/cgi-bin/token?grant_type=client_credential&appid="+appID(0)+"&secret="+key, http.NoBody),
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
		"Give the client a name":           {"account", "*"},
		"Choose at least one account":      {"name", "shop"},
		"has to be 1 to 64 letters":        {"name", "sh op", "account", "*"},
		"The rate has to be a number":      {"name", "shop", "account", "*", "rate", "fast"},
		"The end has to be a day":          {"name", "shop", "account", "*", "ends", "tomorrow"},
		"which is over":                    {"name", "shop", "account", "*", "ends", "2020-01-31"},
		"is no appid":                      {"name", "shop", "account", "wx 1 <b>"},
		`The client&#39;s name`:            {"name", strings.Repeat("x", 65), "account", "*"},
		`value="kept"`:                     {"name", "kept"},
		`id="further" open`:                {"name", "shop", "rate", "7"},
		`value="` + appID(0) + `" checked`: {"account", appID(0)},
	} {
		if got := d.act("clients/add", form...); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.html, want) {
			t.Errorf("%v: %d, without %q", form, got.status, want)
		}
	}
	got := d.act("clients/add", "name", "shop", "account", appID(0), "account", appID(1), "paths",
		"/cgi-bin/user/*\n/cgi-bin/menu/get", "rate", "50", "ends", "2099-01-31")
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.html)
	}
	first := keyField.FindStringSubmatch(got.html)[1]
	if code := fetch(first); code != "token" {
		t.Errorf("with the new key: %s", code)
	}
	if got := d.act("clients/add", "name", "shop", "account", "*"); got.status != 422 ||
		!strings.Contains(got.html, "There is a client of that name already.") {
		t.Errorf("the same name: %d", got.status)
	}
	overview := d.get("").html
	for _, want := range []string{
		"shop", "just now", "1 call", appID(0) + " and 1 more", "50/s", "2 paths", "until 2099-01-31",
		"Client added",
	} {
		if !strings.Contains(overview, want) {
			t.Errorf("the overview has no %q", want)
		}
	}
	if got := d.act("clients/rotate?name=shop", "grace", "x"); got.status != 422 {
		t.Errorf("a grace of x: %d", got.status)
	}
	got = d.act("clients/rotate?name=shop", "grace", "1h")
	second := keyField.FindStringSubmatch(got.html)[1]
	if fetch(first) != "token" || fetch(second) != "token" || first == second {
		t.Error("both keys have to work, within the grace")
	}
	third := keyField.FindStringSubmatch(d.act("clients/rotate?name=shop", "grace", "0s").html)[1]
	if fetch(second) != "40125" || fetch(third) != "token" {
		t.Error("without a grace the old key is dead")
	}
	if got := d.act("clients/rotate?name=none", "grace", "1h"); got.status != 422 ||
		!strings.Contains(got.html, "There is no such client any more.") {
		t.Errorf("no such client: %d", got.status)
	}
	if got := d.act("clients/revoke?name=shop"); got.location != "/page/" || fetch(third) != "40125" {
		t.Errorf("revoke: %d, %s", got.status, fetch(third))
	}
	overview = d.get("").html
	if !strings.Contains(overview, "Client shop was revoked.") || !strings.Contains(overview, "There is no client yet.") {
		t.Error("the overview does not tell that it is gone")
	}
	if strings.Contains(d.get("").html, "Client shop was revoked.") {
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

// TestRefresh: what came of it is said on the account's page, with cause and remedy.
func TestRefresh(t *testing.T) {
	d := start(t, options{faults: []simulator.Fault{
		{AppID: appID(1), Path: simulator.StableTokenPath, Errcode: 40164, Errmsg: "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist"},
	}}).settled().logIn()
	refresh := func(n int, want ...string) {
		t.Helper()
		path := "accounts/" + appID(n)
		if got := d.act(path + "/refresh"); got.location != console.Path+path {
			t.Fatalf("%d to %q", got.status, got.location)
		}
		html := d.get(path).html
		for _, text := range want {
			if !strings.Contains(html, text) {
				t.Errorf("the page has no %q", text)
			}
		}
	}
	refresh(0, "WeChat accepts the token, so it was kept.", "Valid")
	d.wx.Kill(appID(0))
	refresh(0, "WeChat refused the token, and it was renewed.", "the token was refused", "Token renewed")
	refresh(1, "There is no token that works.", "203.0.113.7", "whitelist (40164)", "The next attempt is in 9 min", "No new token")
	if got := d.get("accounts/wx0/refresh"); got.status != http.StatusNotFound {
		t.Errorf("an account that is not there: %d", got.status)
	}
	if n := d.wx.Stats(appID(0)).Stable.Issued; n != 2 {
		t.Errorf("%d tokens were issued, want 2", n)
	}
}

// TestSecrets: no AppSecret, no token, no key is on any page.
func TestSecrets(t *testing.T) {
	d := start(t, options{faults: []simulator.Fault{{AppID: appID(1), Errcode: 40125, Errmsg: "invalid appsecret, " + appSecret +
		" is wrong"}}}).settled().logIn()
	key := d.client(gateway.Client{Name: "shop", Accounts: []string{"*"}, Real: true})
	w := httptest.NewRecorder()
	d.ServeHTTP(
		w,
		httptest.NewRequest(http.MethodGet, "/cgi-bin/token?grant_type=client_credential&appid="+appID(0)+"&secret="+key, http.NoBody),
	)
	token := d.wx.Latest(appID(0), simulator.Stable)
	if token == "" || !bytes.Contains(w.Body.Bytes(), []byte(token)) {
		t.Fatal(w.Body)
	}
	var all strings.Builder
	for _, path := range []string{
		"", "accounts/" + appID(0), "accounts/" + appID(1), "clients/add", "clients/rotate?name=shop",
		"clients/revoke?name=shop", "accounts/" + appID(0) + "/refresh",
	} {
		all.WriteString(d.get(path).html)
	}
	for _, secret := range []string{appSecret, token, key, adminKey} {
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
	d := start(t, options{faults: []simulator.Fault{{
		AppID: appID(1), Path: simulator.StableTokenPath, Errcode: 40164,
		Errmsg: "invalid ip 203.0.113.7, not in whitelist",
	}}}).settled().logIn()
	for _, path := range []string{"", "accounts/" + appID(1), "clients/add"} {
		html := d.get(path, "Accept-Language", "zh-CN,zh;q=0.9").html
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

func TestOptions(t *testing.T) {
	d := start(t, options{})
	for want, o := range map[string]console.Options{
		"Options.Gateway is nil": {Key: custody.NewSecret(adminKey)},
		"at least 32 characters": {Gateway: d.Gateway, Key: custody.NewSecret("short")},
	} {
		if _, err := console.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
