package wechat_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logintest"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

const (
	shopOrigin  = "https://shop.example"
	weChatAgent = "Mozilla/5.0 (iPhone) MicroMessenger/8.0.50"
	siteAppID   = "wx00000000000000bb"
)

// loginAccounts are the account of most tests and a website application of the same owner.
func loginAccounts() []simulator.Account {
	return []simulator.Account{
		{AppID: testAppID, Secret: testSecret, OpenPlatform: "shop"},
		{AppID: siteAppID, Secret: "site", Kind: simulator.Website, OpenPlatform: "shop"},
	}
}

// shop is an app whose pages need a login.
type shop struct {
	wx     *simtest.Sim
	engine *gin.Engine
}

// greet is the handler of most tests.
func greet(c *gin.Context) {
	u := wechat.UserOf(c)
	c.String(http.StatusOK, "openid=%s unionid=%s name=%s query=%s", u.OpenID, u.UnionID, u.Nickname, c.Request.URL.RawQuery)
}

func engine(client *wechat.Client, cfg wechat.LoginConfig) *gin.Engine {
	r := gin.New()
	r.GET("/me", client.Login(cfg), greet)
	r.GET("/other", client.Login(cfg), greet)
	r.POST("/me", client.Login(cfg), greet)
	r.GET("/named", client.Login(cfg), func(c *gin.Context) {
		if !wechat.AskUserinfo(c) {
			greet(c)
		}
	})
	r.GET("/logout", client.Login(cfg), func(c *gin.Context) {
		if err := wechat.Logout(c); err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
		c.String(http.StatusOK, "gone")
	})
	r.GET("/any/*path", client.Login(cfg), greet)
	return r
}

func loginConfig() wechat.Config {
	cfg := config()
	cfg.Origin = shopOrigin
	return cfg
}

func newShop(t *testing.T, login wechat.LoginConfig) *shop {
	t.Helper()
	cfg, wx := inMemory(t, loginConfig(), simulator.Options{Accounts: loginAccounts()})
	return &shop{wx, engine(newClient(t, cfg), login)}
}

// browser is a person's: it keeps cookies and follows redirects to WeChat and back.
type browser struct {
	t       *testing.T
	agent   string
	consent simulator.Consent
	cookies map[string]*http.Cookie
	seen    []string // where it was sent
}

func newBrowser(t *testing.T) *browser {
	return &browser{t: t, agent: weChatAgent, cookies: map[string]*http.Cookie{}}
}

func (b *browser) request(method, address string) *http.Request {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, address, nil)
	r.Header.Set("User-Agent", b.agent)
	r.Header.Set("Accept", "text/html")
	for _, c := range b.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r
}

// page is an answer.
type page struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
	body    string
}

// get is one request, without following.
func (b *browser) get(s *shop, address string) page {
	b.t.Helper()
	if !strings.HasPrefix(address, "http") {
		address = shopOrigin + address
	}
	w := httptest.NewRecorder()
	s.engine.ServeHTTP(w, b.request(http.MethodGet, address))
	return b.keep(w)
}

// keep reads an answer and keeps its cookies.
func (b *browser) keep(w *httptest.ResponseRecorder) page {
	cookies := cookiesOf(w)
	for _, c := range cookies {
		if b.cookies[c.Name] = c; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return page{w.Code, w.Header(), cookies, w.Body.String()}
}

func cookiesOf(w *httptest.ResponseRecorder) (all []*http.Cookie) {
	for _, line := range w.Header()["Set-Cookie"] {
		if c, err := http.ParseSetCookie(line); err == nil {
			all = append(all, c)
		}
	}
	return all
}

// open goes to an address and wherever it leads, and returns the page in the end.
func (b *browser) open(s *shop, address string) (status int, page string) {
	b.t.Helper()
	for range 10 {
		res := b.get(s, address)
		location := res.header.Get("Location")
		if location == "" {
			return res.status, res.body
		}
		address = b.follow(s, location)
	}
	b.t.Fatalf("it was sent from one address to the next: %q", b.seen)
	return 0, ""
}

// follow returns where a redirect leads in the end: at WeChat the person consents.
func (b *browser) follow(s *shop, location string) string {
	b.t.Helper()
	b.seen = append(b.seen, location)
	if !strings.HasPrefix(location, "https://open.weixin.qq.com/") && !strings.HasPrefix(location, s.wx.URL+"/connect/") {
		return location
	}
	back, err := s.wx.Authorize(location, b.consent)
	if err != nil {
		b.t.Fatal(err)
	}
	return back
}

// begin goes to WeChat and returns the address at which it sends the browser back.
func (b *browser) begin(s *shop, address string) string {
	b.t.Helper()
	res := b.get(s, address)
	if res.status != http.StatusFound {
		b.t.Fatalf("%s: %d, %s", address, res.status, res.body)
	}
	return b.follow(s, res.header.Get("Location"))
}

// exchanges counts the codes that the app tried.
func (s *shop) exchanges() (n int) {
	for _, e := range s.wx.Events() {
		if e.Path == "/sns/oauth2/access_token" {
			n++
		}
	}
	return n
}

func TestLoginSilent(t *testing.T) {
	s := newShop(t, wechat.LoginConfig{})
	b := newBrowser(t)
	status, page := b.open(s, "/me?a=1&b=%2F%2F")
	openid := s.wx.Account().Followers[0]
	if want := "openid=" + openid + " unionid= name= query=a=1&b=%2F%2F"; status != 200 || page != want {
		t.Fatalf("%d %s, want %s", status, page, want)
	}
	if len(b.seen) != 2 || !strings.Contains(b.seen[0], "scope=snsapi_base&") || b.seen[1] != shopOrigin+"/me?a=1&b=%2F%2F" {
		t.Errorf("it was sent to %q", b.seen)
	}
	if status, _ := b.open(s, "/other"); status != 200 || len(b.seen) != 2 || s.exchanges() != 1 {
		t.Errorf("a page with the session: %d, %q", status, b.seen)
	}
	for name, c := range b.cookies {
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(name, "__Host-") || strings.Contains(c.Value, openid) {
			t.Errorf("the cookie %s: %+v", name, c)
		}
	}
	if status, page := b.open(s, "/logout"); status != 200 || page != "gone" {
		t.Errorf("logout: %d %s", status, page)
	}
	if b.open(s, "/me"); len(b.seen) != 4 {
		t.Errorf("after the logout it was sent to %q", b.seen)
	}
}

// TestLoginPathEscapes: WeChat may escape the return address in its own way.
func TestLoginPathEscapes(t *testing.T) {
	s := newShop(t, wechat.LoginConfig{})
	b := newBrowser(t)
	back := b.begin(s, "/any/%E5%95%86%E5%93%81?q=1")
	if status, page := b.open(s, strings.Replace(back, "%E5%95%86%E5%93%81", "%e5%95%86%E5%93%81", 1)); status != 200 || !strings.HasSuffix(page, "query=q=1") {
		t.Errorf("%d %s", status, page)
	}
	if got := b.seen[len(b.seen)-1]; got != shopOrigin+"/any/%E5%95%86%E5%93%81?q=1" {
		t.Errorf("it was sent to %s", got)
	}
}

func TestLoginAsksForUserinfo(t *testing.T) {
	s := newShop(t, wechat.LoginConfig{})
	b := newBrowser(t)
	if status, page := b.open(s, "/named?x=1"); status != 200 || !strings.Contains(page, "name=小明") || !strings.HasSuffix(page, "query=x=1") ||
		!strings.Contains(page, "unionid=o") {
		t.Errorf("%d %s", status, page)
	}
	if len(b.seen) != 4 || !strings.Contains(b.seen[0], "snsapi_base") || !strings.Contains(b.seen[2], "snsapi_userinfo") {
		t.Errorf("it was sent to %q", b.seen)
	}
	always := newShop(t, wechat.LoginConfig{Userinfo: true})
	b = newBrowser(t)
	b.consent.Refuse = true
	if status, page := b.open(always, "/me"); status != http.StatusForbidden || !strings.Contains(page, "did not consent") || !strings.Contains(page, `href="/me"`) {
		t.Errorf("refused: %d %s", status, page)
	}
	b.consent.Refuse = false
	if status, page := b.open(always, "/me"); status != 200 || !strings.Contains(page, "name=小明") {
		t.Errorf("%d %s", status, page)
	}
}

func TestLoginSnapshot(t *testing.T) {
	s := newShop(t, wechat.LoginConfig{Userinfo: true})
	b := newBrowser(t)
	b.consent.Snapshot = true
	if status, page := b.open(s, "/me"); status != http.StatusForbidden || !strings.Contains(page, "快照") {
		t.Errorf("%d %s", status, page)
	}
	s = newShop(t, wechat.LoginConfig{Userinfo: true, Snapshot: true})
	b = newBrowser(t)
	b.consent.Snapshot = true
	if status, page := b.open(s, "/me"); status != 200 || !strings.Contains(page, "name= ") || strings.Contains(page, s.wx.Account().Followers[0]) {
		t.Errorf("asked for: %d %s", status, page)
	}
}

func TestLoginByQRCode(t *testing.T) {
	var who []wechat.User
	s := newShop(t, wechat.LoginConfig{
		Website: &wechat.Website{AppID: siteAppID, AppSecret: wechat.Secret("site")},
		OnLogin: func(_ context.Context, u *wechat.User, g platform.UserGrant) error {
			who = append(who, *u)
			if g.Token.IsZero() || g.Refresh.IsZero() || g.OpenID != u.OpenID {
				t.Errorf("the grant is %v", g)
			}
			return nil
		},
	})
	desk, phone := newBrowser(t), newBrowser(t)
	desk.agent = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
	if status, page := desk.open(s, "/me"); status != 200 || !strings.Contains(page, "openid="+s.wx.Accounts()[1].Followers[0]) {
		t.Errorf("at the desk: %d %s", status, page)
	}
	if status, page := phone.open(s, "/named"); status != 200 || !strings.Contains(page, "openid="+s.wx.Accounts()[0].Followers[0]) {
		t.Errorf("in WeChat: %d %s", status, page)
	}
	if len(who) != 3 || who[0].AppID != siteAppID || who[1].AppID != testAppID || who[0].UnionID == "" || who[0].UnionID != who[2].UnionID {
		t.Errorf("OnLogin was told of %+v", who)
	}
}

// TestLoginRefuses: a state that is forged, replayed in another browser, for another path or
// too old is refused with a page that says what to do, and no code is exchanged.
func TestLoginRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, wechat.LoginConfig{})
		b := newBrowser(t)
		back := b.begin(s, "/me")
		u, err := url.Parse(back)
		if err != nil {
			t.Fatal(err)
		}
		code, state := u.Query().Get("code"), u.Query().Get("state")
		flipped := []byte(state)
		flipped[20] ^= 1
		for _, row := range []struct{ name, address, want string }{
			{"forged", "/me?code=" + code + "&state=" + string(flipped), "not begun here"},
			{"no state of ours", "/me?code=" + code + "&state=abc", "not begun here"},
			{"cut", "/me?code=" + code + "&state=" + state[:40], "not begun here"},
			{"two states", back + "&state=" + state, "not begun here"},
			{"two codes", back + "&code=" + code, "not begun here"},
			{"a long code", "/me?code=" + strings.Repeat("a", 513) + "&state=" + state, "not begun here"},
			{"another path", "/other?code=" + code + "&state=" + state, "another page"},
		} {
			res := b.get(s, row.address)
			if page := res.body; res.status != http.StatusForbidden || !strings.Contains(page, row.want) || !strings.Contains(page, "Log in again") ||
				strings.Contains(page, code) || strings.Contains(page, state) || res.header.Get("Referrer-Policy") != "no-referrer" ||
				res.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s", row.name, res.status, page)
			}
		}
		foreign := newBrowser(t)
		if res := foreign.get(s, back); res.status != http.StatusForbidden || !strings.Contains(res.body, "another browser") {
			t.Errorf("in another browser: %d", res.status)
		}
		foreign.begin(s, "/me") // a login of its own does not help
		if res := foreign.get(s, back); res.status != http.StatusForbidden || !strings.Contains(res.body, "another browser") {
			t.Errorf("in another browser with a login of its own: %d", res.status)
		}
		for name := range b.cookies {
			for _, own := range foreign.cookies {
				foreign.cookies = map[string]*http.Cookie{name: {Name: name, Value: own.Value}}
			}
		}
		if res := foreign.get(s, back); res.status != http.StatusForbidden || !strings.Contains(res.body, "another browser") {
			t.Errorf("in another browser with its own cookie under this name: %d", res.status)
		}
		cfg, _ := inMemory(t, loginConfig(), simulator.Options{Accounts: loginAccounts()})
		cfg.AppSecret = wechat.Secret("fedcba9876543210fedcba9876543210")
		other := &shop{s.wx, engine(newClient(t, cfg), wechat.LoginConfig{})}
		if res := b.get(other, back); res.status != http.StatusForbidden || !strings.Contains(res.body, "not begun here") {
			t.Errorf("at a program with other secrets: %d", res.status)
		}
		time.Sleep(6 * time.Minute)
		if res := b.get(s, back); res.status != http.StatusForbidden || !strings.Contains(res.body, "5 minutes") {
			t.Errorf("6 minutes later: %d", res.status)
		}
		if n := s.exchanges(); n != 0 {
			t.Errorf("%d codes were exchanged", n)
		}
		back = b.begin(s, "/me")
		time.Sleep(5*time.Minute - time.Second)
		if status, page := b.open(s, back); status != 200 {
			t.Errorf("just in time: %d %s", status, page)
		}
	})
}

// TestLoginOnce: 100 reloads of one return address at once, at two programs on one
// database: one exchange, 100 answers, one login.
func TestLoginOnce(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: loginAccounts()})
	wx.Inject(simulator.Fault{Path: "/sns/oauth2/access_token", Delay: 100 * time.Millisecond}) // so that the others come in the meantime
	var logins atomic.Int32
	login := wechat.LoginConfig{OnLogin: func(context.Context, *wechat.User, platform.UserGrant) error { logins.Add(1); return nil }}
	path := filepath.Join(t.TempDir(), "zhongkong.db")
	var programs [2]*shop
	for i := range programs {
		store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		cfg := loginConfig()
		cfg.StoreURL, cfg.Store, cfg.APIBase, cfg.Transport = "", store, wx.URL, nil
		programs[i] = &shop{wx, engine(newClient(t, cfg), login)}
	}
	b := newBrowser(t)
	back := b.begin(programs[0], "/me?a=1")
	var all sync.WaitGroup
	answers := make([]*httptest.ResponseRecorder, 100)
	for i := range answers {
		answers[i] = httptest.NewRecorder()
		r := b.request(http.MethodGet, back)
		all.Go(func() { programs[i%2].engine.ServeHTTP(answers[i], r) })
	}
	all.Wait()
	for i, a := range answers {
		session := slices.ContainsFunc(cookiesOf(a), func(c *http.Cookie) bool { return strings.Contains(c.Name, "zk_user_") })
		if a.Code != http.StatusSeeOther || a.Header().Get("Location") != shopOrigin+"/me?a=1" || !session {
			t.Fatalf("answer %d: %d %v %s", i+1, a.Code, a.Header(), a.Body)
		}
	}
	if n := programs[0].exchanges(); n != 1 || logins.Load() != 1 {
		t.Errorf("%d exchanges, %d logins; want one each", n, logins.Load())
	}
	if wx.Stats(testAppID).Errcodes[40163] != 0 {
		t.Error("a code was tried again")
	}
	if status, page := b.open(programs[1], back); status != 200 || !strings.Contains(page, "query=a=1") {
		t.Errorf("later: %d %s", status, page)
	}
}

// TestLoginReloads: with a store that cannot remember what was handled, a program
// remembers by itself.
func TestLoginReloads(t *testing.T) {
	cfg, wx := inMemory(t, loginConfig(), simulator.Options{Accounts: loginAccounts()})
	cfg.StoreURL = ""
	cfg.Store = store.Func(
		func(context.Context, custody.Key) ([]byte, error) { return nil, nil },
		func(context.Context, custody.Key, []byte) error { return nil },
	)
	s := &shop{wx, engine(newClient(t, cfg), wechat.LoginConfig{})}
	b := newBrowser(t)
	back := b.begin(s, "/me")
	for range 3 {
		if res := b.get(s, back); res.status != http.StatusSeeOther {
			t.Fatalf("%d %s", res.status, res.body)
		}
	}
	if n := s.exchanges(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

// TestLoginFetchesAnotherCode: one that WeChat does not take any more is no error of the
// user's, once.
func TestLoginFetchesAnotherCode(t *testing.T) {
	for _, fault := range []simulator.Fault{{Errcode: 40163}, {Errcode: 40029}, {Errcode: 42003}, {After: true, Cut: simulator.CutAnswer}} {
		fault.Path, fault.Times = "/sns/oauth2/access_token", 1
		s := newShop(t, wechat.LoginConfig{})
		s.wx.Inject(fault)
		b := newBrowser(t)
		if status, page := b.open(s, "/me?a=1"); status != 200 || !strings.HasSuffix(page, "query=a=1") || s.exchanges() != 2 {
			t.Errorf("%+v: %d %s", fault, status, page)
		}
		fault.Times = 0
		s.wx.Inject(fault)
		if status, page := newBrowser(t).open(s, "/me"); status != http.StatusForbidden || !strings.Contains(page, "Wait a moment") || s.exchanges() != 4 {
			t.Errorf("%+v for ever: %d, %d exchanges, %s", fault, status, s.exchanges(), page)
		}
	}
}

// TestLoginErrors: what the user cannot repair is in the log, without code, openid and
// secrets.
func TestLoginErrors(t *testing.T) {
	for name, row := range map[string]struct {
		fault   simulator.Fault
		onLogin error
		says    string
	}{
		"secret":     {fault: simulator.Fault{Path: "/sns/oauth2/access_token", Errcode: 40125}, says: "40125"},
		"out of use": {fault: simulator.Fault{Path: "/sns/oauth2/access_token", Status: 502, Body: "<html>"}, says: "HTTP 502"},
		"profile":    {fault: simulator.Fault{Path: "/sns/userinfo", Errcode: 48001}, says: "48001"},
		"OnLogin":    {onLogin: errors.New("no room left"), says: "no room left"},
	} {
		log := new(logtest.Log)
		cfg, wx := inMemory(t, loginConfig(), simulator.Options{Accounts: loginAccounts()})
		cfg.Logger = log.Logger(slog.LevelDebug)
		s := &shop{wx, engine(newClient(t, cfg), wechat.LoginConfig{
			Userinfo: true, OnLogin: func(context.Context, *wechat.User, platform.UserGrant) error { return row.onLogin },
		})}
		if row.fault.Path != "" {
			wx.Inject(row.fault)
		}
		b := newBrowser(t)
		back := b.begin(s, "/me")
		u, err := url.Parse(back)
		if err != nil {
			t.Fatal(err)
		}
		if res := b.get(s, back); res.status != http.StatusServiceUnavailable || !strings.Contains(res.body, "Try again later") {
			t.Errorf("%s: %d", name, res.status)
		}
		if !strings.Contains(log.String(), row.says) {
			t.Errorf("%s: the log does not say %q: %s", name, row.says, log)
		}
		for _, private := range []string{u.Query().Get("code"), u.Query().Get("state"), wx.Account().Followers[0], testSecret} {
			if strings.Contains(log.String(), private) {
				t.Errorf("%s: the log says %s: %s", name, private, log)
			}
		}
	}
}

// TestLoginIsForPages: a script, a form and a preview get no redirect to WeChat.
func TestLoginIsForPages(t *testing.T) {
	s := newShop(t, wechat.LoginConfig{})
	for _, row := range []struct{ method, header, value string }{
		{"POST", "Accept", "text/html"},
		{"GET", "Accept", "application/json, text/plain, */*"},
		{"GET", "X-Requested-With", "XMLHttpRequest"},
		{"GET", "Sec-Fetch-Mode", "cors"},
	} {
		r := newBrowser(t).request(row.method, shopOrigin+"/me")
		r.Header.Set(row.header, row.value)
		w := httptest.NewRecorder()
		s.engine.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"error":"login_required"`) || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%+v: %d %s", row, w.Code, w.Body)
		}
	}
}

// TestLoginOrigin: without Config.Origin, what a request says about its host is believed of
// this machine alone.
func TestLoginOrigin(t *testing.T) {
	cfg := loginConfig()
	cfg.Origin = ""
	cfg, wx := inMemory(t, cfg, simulator.Options{Accounts: loginAccounts()})
	s := &shop{wx, engine(newClient(t, cfg), wechat.LoginConfig{})}
	for _, host := range []string{"http://127.0.0.1:3100", "http://localhost:3100", "http://[::1]:3100", "http://localhost"} {
		b := newBrowser(t)
		res := b.get(s, host+"/me")
		u, err := url.Parse(res.header.Get("Location"))
		if err != nil || u.Query().Get("redirect_uri") != host+"/me" {
			t.Errorf("%s: %v, %v", host, u, err)
		}
		if c := res.cookies; len(c) != 1 || c[0].Secure || !c[0].HttpOnly {
			t.Errorf("%s: %v", host, c)
		}
	}
	for _, host := range []string{"http://shop.example", "http://127.0.0.1.evil.example", "http://localhost.evil.example:80", "http://192.0.2.1"} {
		if res := newBrowser(t).get(s, host+"/me"); res.status != http.StatusInternalServerError || !strings.Contains(res.body, "WECHAT_ORIGIN") {
			t.Errorf("%s: %d", host, res.status)
		}
	}
}

// TestLoginCookies: what is not sealed here, has expired or belongs elsewhere is no session.
func TestLoginCookies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, wechat.LoginConfig{Life: time.Hour})
		b := newBrowser(t)
		b.open(s, "/me")
		var session *http.Cookie
		for _, c := range b.cookies {
			if strings.Contains(c.Name, "zk_user_") {
				session = c
			}
		}
		if session == nil || session.MaxAge != 3600 {
			t.Fatalf("the session is %+v", session)
		}
		good := session.Value
		for i := range 40 {
			bad := []byte(good)
			bad[i*len(bad)/40] ^= 1
			session.Value = string(bad)
			if res := b.get(s, "/me"); res.status == http.StatusOK {
				t.Errorf("with the bit %d changed: %s", i, res.body)
			}
		}
		session.Value = good
		if res := b.get(s, "/me"); res.status != http.StatusOK {
			t.Errorf("unchanged: %d", res.status)
		}
		for range 20 { // logins that are left on the way do not fill the header
			newer := newBrowser(t)
			newer.cookies = b.cookies
			delete(newer.cookies, session.Name)
			newer.get(s, "/me")
		}
		if n := len(b.cookies); n > 10 {
			t.Errorf("%d cookies", n)
		}
		time.Sleep(time.Hour)
		b.cookies[session.Name] = session
		if res := b.get(s, "/me"); res.status != http.StatusFound {
			t.Errorf("an hour later: %d", res.status)
		}
	})
}

// memorySessions are an application's own.
type memorySessions struct {
	mu    sync.Mutex
	users map[string]*wechat.User
	saved int
}

func (m *memorySessions) Load(c *gin.Context) (*wechat.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, _ := c.Cookie("sid")
	return m.users[id], nil
}

func (m *memorySessions) Save(c *gin.Context, u *wechat.User) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved++
	id := fmt.Sprint("s", m.saved)
	m.users[id] = u
	c.SetCookie("sid", id, 60, "/", "", true, true)
	return nil
}

func TestLoginOwnSessions(t *testing.T) {
	own := &memorySessions{users: map[string]*wechat.User{}}
	s := newShop(t, wechat.LoginConfig{Sessions: own})
	b := newBrowser(t)
	if status, _ := b.open(s, "/me"); status != 200 || own.saved != 1 {
		t.Errorf("%d, %d sessions", status, own.saved)
	}
	for name := range b.cookies {
		if strings.Contains(name, "zk_user_") {
			t.Errorf("there is a cookie %s, too", name)
		}
	}
}

func TestLoginPanics(t *testing.T) {
	client := newClient(t, loginConfig())
	for _, cfg := range []wechat.LoginConfig{
		{Life: -1}, {Website: &wechat.Website{AppID: siteAppID}}, {Website: &wechat.Website{AppID: testAppID, AppSecret: wechat.Secret("x")}},
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, "LoginConfig.") {
					t.Errorf("%+v: %s", cfg, said)
				}
			}()
			client.Login(cfg)
		}()
	}
	for _, origin := range []string{"shop.example", "https://shop.example/", "https://shop.example/x", "ftp://shop.example", "https://", "https://a@b", "//shop.example"} {
		cfg := loginConfig()
		cfg.Origin = origin
		if _, err := wechat.New(cfg); err == nil || !strings.Contains(err.Error(), "WECHAT_ORIGIN") {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

// TestOwnPath: no spelling of a foreign address is a path of one's own.
func TestOwnPath(t *testing.T) {
	base, _ := url.Parse(shopOrigin + "/login")
	for _, target := range logintest.ForeignAddresses {
		got := wechat.OwnPath(target, "/home")
		if got == "/home" {
			continue
		}
		// What is kept has to stay here for a browser: it takes a backslash for a slash, and drops tabs and line ends.
		spelled := strings.NewReplacer("\\", "/", "\t", "", "\n", "", "\r", "").Replace(got)
		u, err := base.Parse(spelled)
		if err != nil || u.Host != "shop.example" || strings.HasPrefix(spelled, "//") || strings.Contains(u.Path, "//") {
			t.Errorf("%q is kept as %q", target, got)
		}
	}
	for _, own := range []string{"/", "/me", "/me?a=1&b=//x", "/商品/1?q=%20#top", "/a/b/", "/@user", "/a:b"} {
		if got := wechat.OwnPath(own, "/home"); got != own {
			t.Errorf("%q became %q", own, got)
		}
	}
}

// TestLoginNoOpenRedirect: whatever a request's path, query and headers say, the browser is
// sent to WeChat and back to this program alone, and the links of pages stay here.
func TestLoginNoOpenRedirect(t *testing.T) {
	s := newShop(t, wechat.LoginConfig{})
	for _, target := range logintest.ForeignAddresses {
		for _, address := range []string{"/me?next=" + url.QueryEscape(target) + "&redirect_uri=" + url.QueryEscape(target), "/any/" + url.PathEscape(target)} {
			b := newBrowser(t)
			r := b.request(http.MethodGet, shopOrigin+"/me")
			u, err := url.ParseRequestURI(address)
			if err != nil {
				t.Fatalf("%q: %v", address, err)
			}
			r.URL, r.Host = u, "evil.example"
			r.Header.Set("X-Forwarded-Host", "evil.example")
			r.Header.Set("Referer", "https://evil.example/")
			w := httptest.NewRecorder()
			s.engine.ServeHTTP(w, r)
			b.keep(w)
			there, err := url.Parse(w.Header().Get("Location"))
			if err != nil || there.Host != "open.weixin.qq.com" {
				t.Fatalf("%q: %d %v", address, w.Code, w.Header())
			}
			if back := there.Query().Get("redirect_uri"); !strings.HasPrefix(back, shopOrigin+"/") {
				t.Errorf("%q: WeChat returns to %q", address, back)
			}
			w = httptest.NewRecorder()
			s.engine.ServeHTTP(w, b.request(http.MethodGet, b.follow(s, there.String())))
			if location := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(location, shopOrigin+"/") {
				t.Errorf("%q: %d %s %q", address, w.Code, w.Body, location)
			}
		}
	}
	r := newBrowser(t).request(http.MethodGet, shopOrigin+"/me")
	r.URL = &url.URL{Path: "/any//evil.example", RawQuery: "code=x&state=y"}
	w := httptest.NewRecorder()
	s.engine.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `href="/"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestLogFormatterHidesCodes: Gin's log has no code of a login.
func TestLogFormatterHidesCodes(t *testing.T) {
	line := wechat.LogFormatter(gin.LogFormatterParams{Method: "GET", Path: "/me?a=1&c%6fde=071abc&state=0"})
	if strings.Contains(line, "071abc") || !strings.Contains(line, `"/me"`) {
		t.Error(line)
	}
}
