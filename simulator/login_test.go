package simulator_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const (
	siteAppID = "wx00000000000000bb"
	returnURI = "https://shop.example/back?x=1"
)

// loginAccounts are an official account, a mini program and a website application of one
// Open Platform account.
func loginAccounts() []simulator.Account {
	all := append(both(), simulator.Account{AppID: siteAppID, Secret: "site", Kind: simulator.Website})
	for i := range all {
		all[i].OpenPlatform = "shop"
	}
	return all
}

// authorizeURL is an address of the page that takes an appid.
func authorizeURL(appid, scope, state string) string {
	page := "/connect/oauth2/authorize"
	if scope == "snsapi_login" {
		page = "/connect/qrconnect"
	}
	return "https://open.weixin.qq.com" + page + "?appid=" + appid + "&redirect_uri=" + url.QueryEscape(returnURI) +
		"&response_type=code&scope=" + scope + "&state=" + state + "#wechat_redirect"
}

// login returns the code that a consent brings.
func login(t *testing.T, wx *simtest.Sim, address string, c simulator.Consent) string {
	t.Helper()
	location, err := wx.Authorize(address, c)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("code")
}

// sns is an answer of the APIs of logins.
type sns struct {
	Token    string `json:"access_token"`
	Refresh  string `json:"refresh_token"`
	Expires  int    `json:"expires_in"`
	OpenID   string `json:"openid"`
	UnionID  string `json:"unionid"`
	Scope    string `json:"scope"`
	Snapshot int    `json:"is_snapshotuser"`
	Nickname string `json:"nickname"`
	Key      string `json:"session_key"`
	Errcode  int    `json:"errcode"`
	Errmsg   string `json:"errmsg"`
}

func askSNS(t *testing.T, wx *simtest.Sim, path string, query ...string) (a sns) {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	got := must(t, wx.Client(), request(t, "GET", wx.URL+path+"?"+values.Encode(), ""))
	if err := json.Unmarshal([]byte(got.raw), &a); err != nil {
		t.Fatalf("%s: %d %s", path, got.status, got.raw)
	}
	if kind := got.header.Get("Content-Type"); strings.HasPrefix(path, "/sns/") && kind != "text/plain" {
		t.Errorf("%s is answered as %s", path, kind)
	}
	return a
}

func exchange(t *testing.T, wx *simtest.Sim, appid, secret, code string) sns {
	t.Helper()
	return askSNS(t, wx, "/sns/oauth2/access_token", "appid", appid, "secret", secret, "code", code, "grant_type", "authorization_code")
}

func refresh(t *testing.T, wx *simtest.Sim, token string) sns {
	t.Helper()
	return askSNS(t, wx, "/sns/oauth2/refresh_token", "appid", appid, "grant_type", "refresh_token", "refresh_token", token)
}

func TestWebLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{Accounts: loginAccounts()})
		second := wx.Account().Followers[1]
		location, err := wx.Authorize(authorizeURL(appid, "snsapi_userinfo", "abc"), simulator.Consent{Follower: second})
		if err != nil || !strings.HasPrefix(location, "https://shop.example/back?x=1&code=") || !strings.HasSuffix(location, "&state=abc") {
			t.Fatalf("%s, %v", location, err)
		}
		u, _ := url.Parse(location)
		code := u.Query().Get("code")
		if a := exchange(t, wx, appid, "wrong", code); a.Errcode != 40125 {
			t.Errorf("a wrong secret: %+v", a)
		}
		a := exchange(t, wx, appid, secret, code)
		if a.OpenID != second || a.Expires != 7200 || a.Scope != "snsapi_userinfo" || a.UnionID == "" || a.Snapshot != 0 || a.Errcode != 0 {
			t.Fatalf("exchanged: %+v", a)
		}
		if used := exchange(t, wx, appid, secret, code); used.Errcode != 40163 || !strings.HasPrefix(used.Errmsg, "code been used, rid: ") {
			t.Errorf("again: %+v", used)
		}
		who := askSNS(t, wx, "/sns/userinfo", "access_token", a.Token, "openid", second, "lang", "zh_CN")
		if who.OpenID != second || who.Nickname == "" || who.UnionID != a.UnionID {
			t.Errorf("userinfo: %+v", who)
		}
		for _, row := range []struct {
			token, openid string
			errcode       int
		}{{a.Token, second, 0}, {a.Token, wx.Account().Followers[0], 40003}, {"x", second, 40001}, {"", second, 41001}, {wx.Supersede(appid), second, 40001}} {
			if got := askSNS(t, wx, "/sns/auth", "access_token", row.token, "openid", row.openid); got.Errcode != row.errcode {
				t.Errorf("auth of %+v: %+v", row, got)
			}
		}
		if probe(t, wx, a.Token) != 40001 {
			t.Error("a user's token is taken for the account's")
		}

		time.Sleep(time.Hour)
		kept := refresh(t, wx, a.Refresh)
		if kept.Token != a.Token || kept.Expires != 7200 || kept.Refresh != a.Refresh || kept.OpenID != second {
			t.Errorf("refreshed before its end: %+v", kept)
		}
		time.Sleep(2 * time.Hour)
		if got := askSNS(t, wx, "/sns/auth", "access_token", a.Token, "openid", second); got.Errcode != 42001 {
			t.Errorf("after its end: %+v", got)
		}
		other := refresh(t, wx, a.Refresh)
		if other.Token == a.Token || other.Token == "" || other.Refresh != a.Refresh {
			t.Errorf("refreshed after its end: %+v", other)
		}
		if got := refresh(t, wx, "x"); got.Errcode != 40030 {
			t.Errorf("an unknown refresh_token: %+v", got)
		}
		time.Sleep(30 * 24 * time.Hour)
		if got := refresh(t, wx, a.Refresh); got.Errcode != 42002 {
			t.Errorf("30 days later: %+v", got)
		}
	})
}

func TestLoginCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{Accounts: loginAccounts()})
		base := authorizeURL(appid, "snsapi_base", "s")
		old := login(t, wx, base, simulator.Consent{})
		time.Sleep(5*time.Minute - time.Second)
		young := login(t, wx, base, simulator.Consent{})
		if a := exchange(t, wx, siteAppID, "site", young); a.Errcode != 40029 {
			t.Errorf("another account's code: %+v", a)
		}
		if a := exchange(t, wx, miniAppID, "mini", young); a.Errcode != 40013 {
			t.Errorf("a mini program: %+v", a)
		}
		time.Sleep(time.Second)
		if a := exchange(t, wx, appid, secret, old); a.Errcode != 42003 {
			t.Errorf("5 minutes old: %+v", a)
		}
		a := exchange(t, wx, appid, secret, young)
		if a.OpenID == "" || a.UnionID != "" || a.Scope != "snsapi_base" {
			t.Errorf("exchanged: %+v", a)
		}
		if got := askSNS(t, wx, "/sns/userinfo", "access_token", a.Token, "openid", a.OpenID); got.Errcode != 48001 {
			t.Errorf("userinfo with snsapi_base: %+v", got)
		}
		wx.Revoke(appid, a.OpenID)
		if got := refresh(t, wx, a.Refresh); got.Errcode != 42007 {
			t.Errorf("after a change of password: %+v", got)
		}

		for _, row := range []struct {
			query   string
			errcode int
		}{
			{"", 41002},
			{"appid=wx1&secret=x&code=x&grant_type=authorization_code", 40013},
			{"appid=" + appid + "&code=x&grant_type=authorization_code", 41004},
			{"appid=" + appid + "&secret=" + secret + "&code=x", 40002},
			{"appid=" + appid + "&secret=" + secret + "&grant_type=authorization_code", 41008},
			{"appid=" + appid + "&secret=" + secret + "&code=x&grant_type=authorization_code", 40029},
		} {
			if a := must(t, wx.Client(), request(t, "GET", wx.URL+"/sns/oauth2/access_token?"+row.query, "")); a.Errcode != row.errcode ||
				!strings.Contains(a.Errmsg, ", rid: ") {
				t.Errorf("%s: %s", row.query, a.raw)
			}
		}
	})
}

func TestSnapshotUser(t *testing.T) {
	wx := inMemory(t, simulator.Options{Accounts: loginAccounts()})
	code := login(t, wx, authorizeURL(appid, "snsapi_userinfo", "s"), simulator.Consent{Snapshot: true})
	a := exchange(t, wx, appid, secret, code)
	if a.Snapshot != 1 || slices.Contains(wx.Account().Followers, a.OpenID) || a.UnionID == "" {
		t.Errorf("a snapshot's user: %+v", a)
	}
	if got := askSNS(t, wx, "/sns/userinfo", "access_token", a.Token, "openid", a.OpenID); got.Errcode != 48001 {
		t.Errorf("userinfo: %+v", got)
	}
	if location, err := wx.Authorize(authorizeURL(appid, "snsapi_userinfo", "s"), simulator.Consent{Refuse: true}); err != nil ||
		location != "https://shop.example/back?x=1&state=s" {
		t.Errorf("refused: %s, %v", location, err)
	}
}

// TestUnionID: the same person has one unionid and three openids.
func TestUnionID(t *testing.T) {
	wx := inMemory(t, simulator.Options{Accounts: loginAccounts()})
	official := exchange(t, wx, appid, secret, login(t, wx, authorizeURL(appid, "snsapi_userinfo", "s"), simulator.Consent{}))
	site := exchange(t, wx, siteAppID, "site", login(t, wx, authorizeURL(siteAppID, "snsapi_login", "s"), simulator.Consent{}))
	mini := miniLogin(t, wx, wx.MiniCode(miniAppID, ""))
	openids := []string{official.OpenID, site.OpenID, mini.OpenID}
	slices.Sort(openids)
	if len(slices.Compact(openids)) != 3 || official.UnionID == "" || official.UnionID != site.UnionID || site.UnionID != mini.UnionID {
		t.Errorf("%+v\n%+v\n%+v", official, site, mini)
	}
}

// TestAuthorizePageIsStrict: an address that WeChat would not open is refused, by the
// method and by the page.
func TestAuthorizePageIsStrict(t *testing.T) {
	accounts := loginAccounts()
	accounts[0].LoginDomains = []string{"shop.example"}
	wx := inMemory(t, simulator.Options{Accounts: accounts})
	good := authorizeURL(appid, "snsapi_base", "s")
	for _, row := range []struct{ old, to, want string }{
		{"appid=" + appid + "&", "", "10012"},
		{appid, "wx1", "no such appid"},
		{appid, siteAppID, "10016"},
		{appid, miniAppID, "10016"},
		{"shop.example", "evil.example", "10003"},
		{"redirect_uri=" + url.QueryEscape(returnURI), "redirect_uri=", "10011"},
		{"https%3A", "javascript%3A", "10003"},
		{"snsapi_base", "", "10010"},
		{"snsapi_base", "snsapi_login", "10005"},
		{"response_type=code", "response_type=token", "response_type"},
		{"state=s", "state=" + strings.Repeat("s", 129), "10013"},
		{"state=s", "state=a-b", "10013"},
		{"response_type=code&scope=snsapi_base", "scope=snsapi_base&response_type=code", "in this order"},
		{"state=s", "state=s&state=s", "in this order"},
		{"&state=s", "", "in this order"},
		{"oauth2/authorize", "qrconnect", "10005"},
	} {
		address := strings.Replace(good, row.old, row.to, 1)
		if location, err := wx.Authorize(address, simulator.Consent{}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %s, %v; want %s", address, location, err, row.want)
		}
		path := strings.TrimPrefix(address, "https://open.weixin.qq.com")
		if a := must(t, wx.Client(), request(t, "GET", wx.URL+path, "")); a.status != 400 || !strings.Contains(a.raw, row.want) {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	if _, err := wx.Authorize(strings.TrimSuffix(good, "#wechat_redirect"), simulator.Consent{}); err == nil {
		t.Error("an address without #wechat_redirect opens")
	}
	for _, further := range []string{"forcePopup=true", "connect_redirect=1"} {
		for _, address := range []string{strings.Replace(good, "#", "&"+further+"#", 1), strings.Replace(good, "?", "?"+further+"&", 1)} {
			if _, err := wx.Authorize(address, simulator.Consent{}); err != nil {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
	if _, err := wx.Authorize(good, simulator.Consent{Follower: "oNobody"}); err == nil {
		t.Error("somebody who does not follow logs in")
	}
}

// TestAuthorizePage goes through the page as a browser does.
func TestAuthorizePage(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: loginAccounts()})
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	second := wx.Account().Followers[1]
	open := func(scope string) string {
		return wx.URL + strings.TrimPrefix(strings.TrimSuffix(authorizeURL(appid, scope, "s"), "#wechat_redirect"), "https://open.weixin.qq.com")
	}
	post := func(address, does string) reply {
		t.Helper()
		r := request(t, "POST", address, url.Values{"follower": {second}, "does": {does}}.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return must(t, browser, r)
	}
	if a := must(t, browser, request(t, "GET", open("snsapi_base"), "")); a.status != 200 || !strings.Contains(a.raw, second) {
		t.Errorf("a browser that is not known: %d %s", a.status, a.raw)
	}
	if a := must(t, browser, request(t, "GET", open("snsapi_userinfo"), "")); a.status != 200 || !strings.Contains(a.raw, `value="snapshot"`) {
		t.Errorf("the consent: %d %s", a.status, a.raw)
	}
	a := post(open("snsapi_userinfo"), "allow")
	back, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusFound {
		t.Fatalf("%d %v %s", a.status, a.header, a.raw)
	}
	if got := exchange(t, wx, appid, secret, back.Query().Get("code")); got.OpenID != second {
		t.Errorf("allowed: %+v", got)
	}
	if a := must(t, browser, request(t, "GET", open("snsapi_base"), "")); a.status != http.StatusFound {
		t.Errorf("silent: %d %s", a.status, a.raw)
	}
	if a := post(open("snsapi_userinfo"), "refuse"); strings.Contains(a.header.Get("Location"), "code=") {
		t.Errorf("refused: %v", a.header)
	}
}

func miniLogin(t *testing.T, wx *simtest.Sim, code string) sns {
	t.Helper()
	return askSNS(t, wx, "/sns/jscode2session", "appid", miniAppID, "secret", "mini", "js_code", code, "grant_type", "authorization_code")
}

func TestMiniLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{Accounts: loginAccounts()})
		token := wx.Supersede(miniAppID)
		code := wx.MiniCode(miniAppID, "")
		first := miniLogin(t, wx, code)
		if len(first.Key) != 24 || first.OpenID != wx.Accounts()[1].Followers[0] || first.UnionID == "" || first.Errcode != 0 {
			t.Fatalf("jscode2session: %+v", first)
		}
		if a := miniLogin(t, wx, code); a.Errcode != 40163 || !strings.HasPrefix(a.Errmsg, "code been used, rid: ") {
			t.Errorf("again: %+v", a)
		}
		if a := miniLogin(t, wx, login(t, wx, authorizeURL(appid, "snsapi_base", "s"), simulator.Consent{})); a.Errcode != 40029 {
			t.Errorf("a code of web authorization: %+v", a)
		}
		check := func(key, method string) int {
			t.Helper()
			mac := hmac.New(sha256.New, []byte(key))
			return askSNS(t, wx, "/wxa/checksession", "access_token", token, "openid", first.OpenID,
				"signature", hex.EncodeToString(mac.Sum(nil)), "sig_method", method).Errcode
		}
		if check(first.Key, "hmac_sha256") != 0 || check("x", "hmac_sha256") != 87009 || check(first.Key, "md5") != 87008 {
			t.Error("checksession")
		}
		second := miniLogin(t, wx, wx.MiniCode(miniAppID, ""))
		if second.Key == first.Key || check(first.Key, "hmac_sha256") != 87009 || check(second.Key, "hmac_sha256") != 0 ||
			wx.SessionKey(miniAppID, first.OpenID) != second.Key {
			t.Error("a second login does not end the first one's session_key")
		}
		time.Sleep(3 * 24 * time.Hour)
		token = wx.Supersede(miniAppID)
		if check(second.Key, "hmac_sha256") != 87009 || wx.SessionKey(miniAppID, first.OpenID) != "" {
			t.Error("a session_key lives for more than 3 days")
		}
		old := wx.MiniCode(miniAppID, "")
		time.Sleep(5 * time.Minute)
		if a := miniLogin(t, wx, old); a.Errcode != 40029 {
			t.Errorf("an old code: %+v", a)
		}
		time.Sleep(time.Minute) // into another one
		for i := range 101 {
			if a := miniLogin(t, wx, wx.MiniCode(miniAppID, "")); (a.Errcode != 0) != (i == 100) {
				t.Fatalf("login %d of a minute: %+v", i+1, a)
			}
		}
	})
}

func TestPhoneNumber(t *testing.T) {
	wx := inMemory(t, simulator.Options{Accounts: loginAccounts()})
	token, openid := wx.Supersede(miniAppID), wx.Accounts()[1].Followers[0]
	get := func(code string) reply {
		return ask(t, wx, token, apiCall{"POST", "/wxa/business/getuserphonenumber", "", fmt.Sprintf(`{"code":%q}`, code)})
	}
	code := wx.PhoneCode(miniAppID, openid)
	if a := get(code); !strings.Contains(a.raw, `"purePhoneNumber":"`+wx.PhoneNumber(openid)+`"`) || !strings.Contains(a.raw, miniAppID) {
		t.Errorf("%s", a.raw)
	}
	for name, code := range map[string]string{"used": code, "of wx.login": wx.MiniCode(miniAppID, openid), "unknown": "x"} {
		if a := get(code); a.Errcode != 40029 {
			t.Errorf("%s: %s", name, a.raw)
		}
	}
	if data, err := wx.UserData(miniAppID, openid); err == nil {
		t.Errorf("data without a session: %+v", data)
	}
	mustPanic(t, "an official account's front end", func() { wx.MiniCode(appid, "") })
}
