package login_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/internal/test/logintest"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

const (
	appID  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
	siteID = "wx00000000000000bb"

	relayOrigin = "https://login.example"
	shopOrigin  = "https://shop.example"
	crmOrigin   = "https://crm.example"
)

func accounts() []simulator.Account {
	return []simulator.Account{
		{AppID: appID, Secret: secret, OpenPlatform: "shop", LoginDomains: []string{"login.example"}},
		{AppID: siteID, Secret: "site", Kind: simulator.Website, OpenPlatform: "shop", LoginDomains: []string{"login.example"}},
	}
}

// house is a gateway with two clients.
type house struct {
	api     *platform.API
	clients atomic.Pointer[[]*login.Client]
	later   []*login.Client // known after a Refresh
	broken  error           // of Exchange
	refused []string
	mu      sync.Mutex
}

func (h *house) Clients() []*login.Client { return *h.clients.Load() }

func (h *house) Refresh(context.Context) {
	if h.later != nil {
		all := append(h.Clients(), h.later...)
		h.clients.Store(&all)
		h.later = nil
	}
}

func (h *house) AccountOf(c *login.Client, id string) (string, bool) {
	if c.Name == "crm" && (id == "" || id == siteID) {
		return appID, id == ""
	}
	return id, id == appID || id == siteID
}

func (h *house) Exchange(ctx context.Context, _ *login.Client, id, code string) (platform.UserGrant, error) {
	if h.broken != nil {
		return platform.UserGrant{}, h.broken
	}
	key := map[string]string{appID: secret, siteID: "site"}[id]
	return h.api.ExchangeCode(ctx, platform.Account{AppID: id, Secret: custody.NewSecret(key)}, code)
}

func (h *house) UserInfo(ctx context.Context, id string, grant platform.UserGrant) (platform.UserInfo, error) {
	return h.api.UserInfo(ctx, id, grant)
}

func (h *house) Refused(_ *http.Request, _, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = append(h.refused, reason)
}

func client(t *testing.T, id byte, name string, returns ...string) *login.Client {
	t.Helper()
	parsed, err := weblogin.ParseReturns(returns)
	if err != nil {
		t.Fatal(err)
	}
	return &login.Client{ID: login.ID{id}, Name: name, Returns: parsed}
}

var (
	shopID = login.ID{1}
	crmID  = login.ID{2}
)

// world is a relay between programs and a simulated WeChat.
type world struct {
	*login.Relay

	t     *testing.T
	wx    *simtest.Sim
	house *house
	log   *logtest.Log
}

func newWorld(t *testing.T, wx *simtest.Sim, store callback.Once) *world {
	t.Helper()
	api, err := platform.New(platform.Config{Base: wx.URL, Transport: wx.RoundTripper()})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, wx: wx, house: &house{api: api}, log: new(logtest.Log)}
	w.house.clients.Store(&[]*login.Client{client(t, 1, "shop", shopOrigin+"/*"), client(t, 2, "crm", crmOrigin+"/back")})
	w.Relay, err = login.New(login.Config{
		Origin: relayOrigin, OpenBase: "https://open.weixin.qq.com", House: w.house, Store: store,
		SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("s", 32))}, Log: w.log.Logger(slog.LevelDebug),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// inMemory is a world without sockets, for bubbles too.
func inMemory(t *testing.T) *world {
	t.Helper()
	store := memory.New()
	t.Cleanup(func() { _ = store.Close() })
	return newWorld(t, simtest.InMemory(t, simulator.Options{Accounts: accounts()}), store)
}

func (w *world) browser() *logintest.Browser {
	return logintest.New(w.t, w.wx.Simulator, map[string]http.Handler{relayOrigin: w, shopOrigin: http.NotFoundHandler(), crmOrigin: http.NotFoundHandler()})
}

// own is the address of a login in the relay's own form.
func own(name string, pairs ...string) string {
	q := url.Values{"redirect_uri": {shopOrigin + "/back?a=1"}, "state": {"xyz"}, "appid": {appID}}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return relayOrigin + "/login/" + name + "?" + q.Encode()
}

// likeWeChat is the address of a login in WeChat's form.
func likeWeChat(returnTo, scope string) string {
	address, _, _ := strings.Cut(platform.AuthorizeURL(relayOrigin, appID, returnTo, scope, "xyz"), "#")
	return address
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

func (w *world) exchanges() (n int) {
	for _, e := range w.wx.Events() {
		if e.Path == "/sns/oauth2/access_token" {
			n++
		}
	}
	return n
}

// TestTicket: the relay's own form, silent and with the profile.
func TestTicket(t *testing.T) {
	w := inMemory(t)
	openid := w.wx.Account().Followers[0]
	b := w.browser()
	q := w.arrive(b, own("shop"), shopOrigin)
	if q.Get("a") != "1" || q.Get("state") != "xyz" || q.Get("code") != "" || !strings.HasPrefix(q.Get("ticket"), login.Prefix) {
		t.Fatalf("the browser comes with %v", q)
	}
	if !strings.Contains(b.Seen[0], "scope=snsapi_base&") || !strings.Contains(b.Seen[0], url.QueryEscape(relayOrigin+"/login/shop")+"&") {
		t.Errorf("WeChat got %s", b.Seen[0])
	}
	for _, address := range b.Seen {
		if strings.Contains(address, openid) {
			t.Errorf("the openid is in the address %s", address)
		}
	}
	got, err := w.Redeem(t.Context(), login.Ticket, shopID, q.Get("ticket"), "")
	if err != nil || got != (login.Grant{AppID: appID, OpenID: openid, Scope: "snsapi_base"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := w.Redeem(t.Context(), login.Ticket, shopID, q.Get("ticket"), ""); !errors.Is(err, login.ErrUsed) {
		t.Errorf("a second time: %v", err)
	}
}

// TestTicketUserinfo: with a profile, and by the QR code of a website application.
func TestTicketUserinfo(t *testing.T) {
	w := inMemory(t)
	q := w.arrive(w.browser(), own("shop", "scope", "snsapi_userinfo"), shopOrigin)
	got, err := w.Redeem(t.Context(), login.Ticket, shopID, q.Get("ticket"), "")
	if err != nil || got.Nickname == "" || got.UnionID == "" || got.Token != "" || got.Scope != "snsapi_userinfo" {
		t.Errorf("%+v, %v", got, err)
	}
	q = w.arrive(w.browser(), own("shop", "scope", "snsapi_login", "appid", siteID), shopOrigin)
	site, err := w.Redeem(t.Context(), login.Ticket, shopID, q.Get("ticket"), "")
	if err != nil || site.AppID != siteID || site.UnionID != got.UnionID || site.OpenID == got.OpenID {
		t.Errorf("%+v, %v", site, err)
	}
	// A client with one account need not name it.
	q = w.arrive(w.browser(), own("crm", "appid", "", "redirect_uri", crmOrigin+"/back", "state", ""), crmOrigin)
	if got, err := w.Redeem(t.Context(), login.Ticket, crmID, q.Get("ticket"), ""); err != nil || got.AppID != appID || q.Has("state") {
		t.Errorf("%+v, %v, %v", got, err, q)
	}
}

// TestCode: WeChat's form. The return address selects the client, and only that one's key
// redeems the code.
func TestCode(t *testing.T) {
	w := inMemory(t)
	q := w.arrive(w.browser(), likeWeChat(crmOrigin+"/back?a=1", "snsapi_userinfo"), crmOrigin)
	code := q.Get("code")
	if q.Get("a") != "1" || q.Get("state") != "xyz" || !strings.HasPrefix(code, login.Prefix) {
		t.Fatalf("the browser comes with %v", q)
	}
	for name, try := range map[string]func() error{
		"another client": func() error { _, err := w.Redeem(t.Context(), login.Code, shopID, code, appID); return err },
		"the other form": func() error { _, err := w.Redeem(t.Context(), login.Ticket, crmID, code, ""); return err },
		"a bit":          func() error { _, err := w.Redeem(t.Context(), login.Code, crmID, flip(code, 30), appID); return err },
		"the last letter": func() error {
			_, err := w.Redeem(t.Context(), login.Code, crmID, code[:len(code)-1], appID)
			return err
		},
		"a line":          func() error { _, err := w.Redeem(t.Context(), login.Code, crmID, code+"\n", appID); return err },
		"nothing":         func() error { _, err := w.Redeem(t.Context(), login.Code, crmID, "", appID); return err },
		"another account": func() error { _, err := w.Redeem(t.Context(), login.Code, crmID, code, siteID); return err },
		"no account":      func() error { _, err := w.Redeem(t.Context(), login.Code, crmID, code, ""); return err },
	} {
		if err := try(); !errors.Is(err, login.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := w.Redeem(t.Context(), login.Code, crmID, code, appID)
	if err != nil || got.OpenID != w.wx.Account().Followers[0] || got.Token == "" || got.Refresh == "" || time.Until(got.End) < time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
}

func flip(text string, at int) string {
	b := []byte(text)
	b[at] ^= 1
	return string(b)
}

// TestTicketEnds: after five minutes a ticket is worth nothing, whatever the store has.
func TestTicketEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t)
		first := w.arrive(w.browser(), own("shop"), shopOrigin).Get("ticket")
		second := w.arrive(w.browser(), own("shop"), shopOrigin).Get("ticket")
		time.Sleep(5*time.Minute - time.Second)
		if _, err := w.Redeem(t.Context(), login.Ticket, shopID, first, ""); err != nil {
			t.Errorf("just in time: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := w.Redeem(t.Context(), login.Ticket, shopID, second, ""); !errors.Is(err, login.ErrExpired) {
			t.Errorf("too late: %v", err)
		}
	})
}

// TestRelayOnce: 100 reloads of one return address at once, at two gateways on one database:
// one exchange, 100 answers, one ticket, which works once.
func TestRelayOnce(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: accounts()})
	wx.Inject(simulator.Fault{Path: "/sns/oauth2/access_token", Delay: 100 * time.Millisecond}) // so that the others come in the meantime
	database := filepath.Join(t.TempDir(), "zhongkong.db")
	var worlds [2]*world
	for i := range worlds {
		store, err := sqlite.Open(t.Context(), database, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		worlds[i] = newWorld(t, wx, store)
	}
	b := worlds[0].browser()
	back := b.Follow(b.Get(own("shop")))
	var all sync.WaitGroup
	answers := make([]*httptest.ResponseRecorder, 100)
	for i := range answers {
		answers[i] = httptest.NewRecorder()
		r := b.Request(back)
		all.Go(func() { worlds[i%2].ServeHTTP(answers[i], r) })
	}
	all.Wait()
	location := answers[0].Header().Get("Location")
	for i, a := range answers {
		if a.Code != http.StatusFound || a.Header().Get("Location") != location || !strings.HasPrefix(location, shopOrigin+"/back?a=1&") {
			t.Fatalf("answer %d: %d %v %s", i+1, a.Code, a.Header(), a.Body)
		}
	}
	if n := worlds[0].exchanges(); n != 1 || wx.Stats(appID).Errcodes[40163] != 0 {
		t.Errorf("%d exchanges", n)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	var redeemed, used atomic.Int32
	for i := range 20 {
		all.Go(func() {
			switch _, err := worlds[i%2].Redeem(context.WithoutCancel(t.Context()), login.Ticket, shopID, u.Query().Get("ticket"), ""); {
			case err == nil:
				redeemed.Add(1)
			case errors.Is(err, login.ErrUsed):
				used.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if redeemed.Load() != 1 || used.Load() != 19 {
		t.Errorf("redeemed %d times, used before %d times", redeemed.Load(), used.Load())
	}
}

// TestRelayRefuses: a state that is forged, replayed in another browser, for another client
// or too old is refused with a page that says what to do, and no code is exchanged.
func TestRelayRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t)
		b := w.browser()
		back := b.Follow(b.Get(own("shop")))
		u, err := url.Parse(back)
		if err != nil {
			t.Fatal(err)
		}
		code, state := u.Query().Get("code"), u.Query().Get("state")
		at := relayOrigin + "/login/"
		for name, row := range map[string]struct{ address, want string }{
			"forged":         {at + "shop?code=" + code + "&state=" + flip(state, 20), "not begun here"},
			"two codes":      {back + "&code=" + code, "not begun here"},
			"two states":     {back + "&state=" + state, "not begun here"},
			"another client": {at + "crm?code=" + code + "&state=" + state, "another page"},
			"nobody":         {at + "nobody?code=" + code + "&state=" + state, "another page"},
		} {
			refusedWith(t, name, b.Get(row.address), want{http.StatusForbidden, row.want, []string{code, state}})
		}
		foreign := w.browser()
		refusedWith(t, "another browser", foreign.Get(back), want{http.StatusForbidden, "another browser", []string{code, state}})
		foreign.Get(own("shop")) // a login of its own does not help
		refusedWith(t, "another browser with a login", foreign.Get(back), want{http.StatusForbidden, "another browser", []string{code, state}})
		time.Sleep(6 * time.Minute)
		refusedWith(t, "6 minutes later", b.Get(back), want{http.StatusForbidden, "5 minutes", []string{code, state}})
		if n := w.exchanges(); n != 0 {
			t.Errorf("%d codes were exchanged", n)
		}
		// A client whose return address was taken away in the meantime.
		back = b.Follow(b.Get(own("shop")))
		w.house.clients.Store(&[]*login.Client{client(t, 1, "shop", "https://other.example/*")})
		refusedWith(t, "not registered any more", b.Get(back), want{http.StatusForbidden, "not registered", nil})
	})
}

// want is what a page is to be like.
type want struct {
	status  int
	words   string
	private []string // not on it
}

// refusedWith wants a page that says what to do, keeps the address to itself, and shows
// nothing of it.
func refusedWith(t *testing.T, name string, w *httptest.ResponseRecorder, want want) {
	t.Helper()
	status, words := want.status, want.words
	page, h := w.Body.String(), w.Header()
	if w.Code != status || !strings.Contains(page, words) || h.Get("Location") != "" ||
		h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%s: %d %v %s", name, w.Code, h, page)
	}
	for _, text := range want.private {
		if strings.Contains(page, text) {
			t.Errorf("%s: the page shows %s", name, text)
		}
	}
}

// TestRelayRequests: what a program asks for has to be right, and its site registered.
func TestRelayRequests(t *testing.T) {
	w := inMemory(t)
	for name, row := range map[string]struct {
		address string
		status  int
		words   string
	}{
		"no return address":    {own("shop", "redirect_uri", ""), 403, "not registered"},
		"another's address":    {own("shop", "redirect_uri", crmOrigin+"/back"), 403, "not registered"},
		"nobody":               {own("nobody"), 403, "not registered"},
		"another account":      {own("shop", "appid", "wx00000000000000cc"), 403, "not registered"},
		"which account":        {own("shop", "appid", ""), 403, "not registered"},
		"a code already":       {own("shop", "redirect_uri", shopOrigin+"/?code=x"), 403, "not registered"},
		"an unknown scope":     {own("shop", "scope", "snsapi_privateinfo"), 400, "incomplete"},
		"a long state":         {own("shop", "state", strings.Repeat("x", 513)), 400, "incomplete"},
		"two states":           {own("shop") + "&state=2", 400, "incomplete"},
		"a long address":       {own("shop", "redirect_uri", shopOrigin+"/"+strings.Repeat("x", 2000)), 414, "too long"},
		"no appid":             {strings.Replace(likeWeChat(crmOrigin+"/back", "snsapi_base"), appID, "", 1), 400, "incomplete"},
		"the wrong page":       {likeWeChat(crmOrigin+"/back", "snsapi_login") + "&response_type=token", 400, "incomplete"},
		"scope of a QR code":   {strings.Replace(likeWeChat(shopOrigin+"/", "snsapi_base"), "/oauth2/authorize", "/qrconnect", 1), 400, "incomplete"},
		"WeChat's, nobody's":   {likeWeChat("https://evil.example/back", "snsapi_base"), 403, "not registered"},
		"WeChat's, by no name": {likeWeChat("//evil.example/back", "snsapi_base"), 403, "not registered"},
	} {
		refusedWith(t, name, w.browser().Get(row.address), want{row.status, row.words, []string{"evil.example"}})
	}
	if n := len(w.house.refused); n < 15 {
		t.Errorf("the gateway was told of %d refusals", n)
	}
	// Two clients that fit equally: neither is meant.
	twin := append(w.house.Clients(), client(t, 3, "twin", crmOrigin+"/back"))
	w.house.clients.Store(&twin)
	refusedWith(t, "two clients", w.browser().Get(likeWeChat(crmOrigin+"/back", "snsapi_base")), want{403, "not registered", nil})
	if q := w.arrive(w.browser(), own("crm", "appid", "", "redirect_uri", crmOrigin+"/back"), crmOrigin); q.Get("ticket") == "" {
		t.Errorf("by its name: %v", q)
	}
	// A client that another gateway has just added.
	w.house.later = []*login.Client{client(t, 4, "later", "https://later.example/*")}
	if w := w.browser().Get(own("later", "redirect_uri", "https://later.example/")); w.Code != http.StatusFound {
		t.Errorf("added elsewhere: %d", w.Code)
	}
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodOptions} {
		r := httptest.NewRecorder()
		w.ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), method, own("shop"), nil))
		if r.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, r.Code)
		}
	}
}

// TestRelayNoOpenRedirect: no spelling of a foreign address gets a browser there.
func TestRelayNoOpenRedirect(t *testing.T) {
	w := inMemory(t)
	for _, foreign := range logintest.ForeignAddresses {
		for _, target := range []string{foreign, shopOrigin + foreign, "https:" + foreign, shopOrigin + "/" + foreign} {
			for _, address := range []string{own("shop", "redirect_uri", target), likeWeChat(target, "snsapi_base")} {
				b := w.browser()
				res := b.Get(address)
				if res.Code != http.StatusFound {
					continue // refused
				}
				res = b.Get(b.Follow(res))
				spelled := strings.NewReplacer("\\", "/", "\t", "", "\n", "", "\r", "").Replace(res.Header().Get("Location"))
				u, err := url.Parse(spelled)
				if err != nil || res.Code != http.StatusFound || u.Scheme != "https" || u.Host != "shop.example" || u.User != nil || strings.Contains(u.Path, "//") {
					t.Errorf("%q: %d, to %q", target, res.Code, spelled)
				}
			}
		}
	}
	for _, address := range []string{"/login/shop//evil.example", "/login//evil.example", "/login/%2f%2fevil.example"} {
		if res := w.browser().Get(relayOrigin + address + "?redirect_uri=" + url.QueryEscape(shopOrigin)); res.Code == http.StatusFound {
			t.Errorf("%s: to %s", address, res.Header().Get("Location"))
		}
	}
}

// outside are spellings of addresses that are not below https://shop.example/pages/, though
// some program may take them for one that is, or the other way round.
var outside = []string{
	"https://shop.example/pages", "https://shop.example/pages/../admin", "https://shop.example/pages/%2e%2e/admin", "https://shop.example/pages/.%2E/admin",
	"https://shop.example/pages/%2e./admin", "https://shop.example/pages/..%2fadmin", "https://shop.example/pages/..%5cadmin", `https://shop.example/pages/..\admin`,
	"https://shop.example/pages/..;/admin", "https://shop.example/pages/..;a=1/admin", "https://shop.example/pages/%252e%252e/admin", "https://shop.example/pages/%c0%ae%c0%ae/admin",
	"https://shop.example/Pages/x", "https://shop.example/pages%2fx", "https://shop.example/%70ages/../x", "https://shop.example//pages/x", "https://shop.example/./pages/x",
	"https://shop.example/pages//evil.example", "https://shop.example/pages/x//evil.example", "https://shop.example/pages/%2f/evil.example",
	"https://shop.example/pages/\r\nLocation:https://evil.example", "https://shop.example/pages/%0d%0aLocation:%20https://evil.example", "https://shop.example/pages/%00",
	"https://shop.example/pages/%e5%98%8a%e5%98%8dSet-Cookie:x=y/..", "https://shop.example/pages/#@evil.example", "https://shop.example/pages/#/../../",
	"https://shop.example\t.evil.example/pages/", "https://shop.example%2eevil.example/pages/", "https://shop.example%00.evil.example/pages/", "https://shop.example%20.evil.example/pages/",
	"https://shop.example%5c@evil.example/pages/", `https://shop.example\@evil.example/pages/`, "https://shop.example%2f@evil.example/pages/", "https://shop.example;@evil.example/pages/",
	"https://shop.example?@evil.example/pages/", "https://shop.example#@evil.example/pages/", "https://shop.example:443@evil.example/pages/", "https://shop.example:@evil.example/pages/",
	`https://evil.example\@shop.example/pages/`, "https://evil.example%2f@shop.example/pages/", "https://evil.example@shop.example/pages/", "https://:@shop.example/pages/",
	"https://shop.example./pages/", "https://.shop.example/pages/", "https://shop..example/pages/", "https://SHOP.example/pages/", "https://shop.example:0443/pages/", "https://shop.example:443/pages/",
	"https://shop.example:/pages/", "https://shop.example:80/pages/", "https://shop.example:+443/pages/", "https://[shop.example]/pages/", "https://shop。example/pages/", "https://shop．example/pages/",
	"https://ѕhop.example/pages/", "https://shop.example／pages/", "https://shop.ex\u00adample/pages/", "https://shop.example\u200b/pages/", "https://xn--shop.example/pages/",
	"http://shop.example/pages/", "wss://shop.example/pages/", "https+x://shop.example/pages/", "view-source:https://shop.example/pages/", "https:shop.example/pages/", "https:/shop.example/pages/",
	"https:////shop.example/pages/", "//shop.example/pages/", "/pages/", "pages/", "?https://shop.example/pages/", "https://evil.example/https://shop.example/pages/", "https://evil.example?https://shop.example/pages/",
	"https://shop.example/pages/?code=mine", "https://shop.example/pages/?a=1&state=mine", "https://shop.example/pages/?ticket=mine", "https://shop.example/pages/?a;code=mine", "https://shop.example/pages/?%63ode=mine",
}

// TestRelayStaysBelow: a client whose addresses are below one folder gets browsers there and
// nowhere else, in whichever form and spelling they are asked for.
func TestRelayStaysBelow(t *testing.T) {
	if len(outside) < 60 {
		t.Fatalf("only %d spellings", len(outside))
	}
	w := inMemory(t)
	w.house.clients.Store(&[]*login.Client{client(t, 1, "shop", shopOrigin+"/pages/*")})
	if q := w.arrive(w.browser(), own("shop", "redirect_uri", shopOrigin+"/pages/x?y=%2e%2e"), shopOrigin); q.Get("ticket") == "" {
		t.Fatalf("an address that is right: %v", q)
	}
	for _, target := range outside {
		for _, address := range []string{own("shop", "redirect_uri", target), likeWeChat(target, "snsapi_base")} {
			b := w.browser()
			res := b.Get(address)
			if res.Code != http.StatusFound {
				continue // refused
			}
			to := b.Get(b.Follow(res)).Header().Get("Location")
			u, err := url.Parse(strings.ToLower(to))
			for range 3 { // as often as programs in a row may decode
				if err == nil {
					u.Path, err = url.PathUnescape(u.Path)
				}
			}
			if err != nil || !strings.HasPrefix(to, shopOrigin+"/pages/") || strings.ContainsAny(to, "\r\n\\") || u.Fragment != "" || u.User != nil ||
				!strings.HasPrefix(path.Clean(u.Path), "/pages") || len(u.Query()["code"])+len(u.Query()["ticket"]) != 1 || len(u.Query()["state"]) > 1 {
				t.Errorf("%q: to %q", target, to)
			}
		}
	}
}

// TestRelayPeople: who declines goes back without a code, and a snapshot is no login unless
// its program asks for it.
func TestRelayPeople(t *testing.T) {
	w := inMemory(t)
	b := w.browser()
	b.Consent.Refuse = true
	if q := w.arrive(b, own("shop", "scope", "snsapi_userinfo"), shopOrigin); q.Get("error") != "declined" || q.Get("state") != "xyz" || q.Has("ticket") {
		t.Errorf("declined: %v", q)
	}
	if q := w.arrive(b, likeWeChat(crmOrigin+"/back", "snsapi_userinfo"), crmOrigin); q.Has("error") || q.Get("state") != "xyz" || q.Has("code") {
		t.Errorf("declined, in WeChat's form: %v", q)
	}
	b = w.browser()
	b.Consent.Snapshot = true
	if _, page := b.Until(own("shop", "scope", "snsapi_userinfo"), shopOrigin); page == nil || page.Code != 403 || !strings.Contains(page.Body.String(), "快照") {
		t.Errorf("a snapshot: %v", page)
	}
	q := w.arrive(b, own("shop", "scope", "snsapi_userinfo", "snapshot", "1"), shopOrigin)
	if got, err := w.Redeem(t.Context(), login.Ticket, shopID, q.Get("ticket"), ""); err != nil || !got.Snapshot || got.Nickname != "" {
		t.Errorf("asked for: %+v, %v", got, err)
	}
	q = w.arrive(b, likeWeChat(crmOrigin+"/back", "snsapi_userinfo"), crmOrigin)
	if got, err := w.Redeem(t.Context(), login.Code, crmID, q.Get("code"), appID); err != nil || !got.Snapshot {
		t.Errorf("in WeChat's form: %+v, %v", got, err)
	}
}

// TestRelayFailures: another code is fetched where that helps; else a page, and a log without
// anything private.
func TestRelayFailures(t *testing.T) {
	w := inMemory(t)
	w.wx.Inject(simulator.Fault{Path: "/sns/oauth2/access_token", Errcode: 40163, Times: 1})
	if q := w.arrive(w.browser(), own("shop"), shopOrigin); q.Get("ticket") == "" || w.exchanges() != 2 {
		t.Errorf("another code: %v, %d exchanges", q, w.exchanges())
	}
	w.wx.Inject(simulator.Fault{Path: "/sns/oauth2/access_token", Errcode: 40163})
	if _, page := w.browser().Until(own("shop"), shopOrigin); page == nil || page.Code != 403 || !strings.Contains(page.Body.String(), "Wait a moment") {
		t.Errorf("no code is taken: %v", page)
	}
	w.wx.ClearFaults()
	w.wx.Inject(simulator.Fault{Path: "/sns/userinfo", Errcode: 48001})
	if _, page := w.browser().Until(own("shop", "scope", "snsapi_userinfo"), shopOrigin); page == nil || page.Code != 503 {
		t.Errorf("no profile: %v", page)
	}
	w.house.broken = errors.New("the account was removed")
	b := w.browser()
	if _, page := b.Until(own("shop"), shopOrigin); page == nil || page.Code != 503 || !strings.Contains(w.log.String(), "the account was removed") {
		t.Errorf("no exchange: %v", page)
	}
	for _, address := range b.Seen {
		if u, err := url.Parse(address); err != nil || u.Query().Get("code") != "" && strings.Contains(w.log.String(), u.Query().Get("code")) {
			t.Errorf("the log has the code: %v", err)
		}
	}
	if strings.Contains(w.log.String(), w.wx.Account().Followers[0]) || strings.Contains(w.log.String(), login.Prefix) {
		t.Errorf("the log has an openid or a ticket: %s", w.log)
	}
}

// TestRelayCrowded: one client's logins are bounded, and the others go on.
func TestRelayCrowded(t *testing.T) {
	w := inMemory(t)
	w.Issue("shop", login.MaxIssued)
	if _, page := w.browser().Until(own("shop"), shopOrigin); page == nil || page.Code != 503 || !strings.Contains(page.Body.String(), "Too many people") {
		t.Errorf("a client with many: %v", page)
	}
	if n := w.exchanges(); n != 0 {
		t.Errorf("%d codes of WeChat's were used up for nothing", n)
	}
	if q := w.arrive(w.browser(), likeWeChat(crmOrigin+"/back", "snsapi_base"), crmOrigin); q.Get("code") == "" {
		t.Errorf("another one: %v", q)
	}
}

// TestRelayCrowdedByFailures: logins that fail use up no room: anybody can make some up.
func TestRelayCrowdedByFailures(t *testing.T) {
	w := inMemory(t)
	w.Issue("shop", login.MaxIssued-1)
	for range 3 {
		b := w.browser()
		back, err := url.Parse(b.Follow(b.Get(own("shop"))))
		if err != nil {
			t.Fatal(err)
		}
		q := back.Query()
		q.Set("code", "made-up-"+q.Get("code"))
		back.RawQuery = q.Encode()
		if res := b.Get(back.String()); res.Code == http.StatusServiceUnavailable {
			t.Fatalf("crowded: %s", res.Body)
		}
	}
	if q := w.arrive(w.browser(), own("shop"), shopOrigin); q.Get("ticket") == "" {
		t.Errorf("%v", q)
	}
}

// TestRelayEveryBit: a state, a cookie or a ticket with any single bit changed is refused.
func TestRelayEveryBit(t *testing.T) {
	w := inMemory(t)
	b := w.browser()
	back, err := url.Parse(b.Follow(b.Get(own("shop"))))
	if err != nil {
		t.Fatal(err)
	}
	q := back.Query()
	changed := func(text string, bit int) string {
		b := []byte(text)
		b[bit/8] ^= 1 << (bit % 8)
		return string(b)
	}
	for bit := range 8 * len(q.Get("state")) {
		forged := url.Values{"code": q["code"], "state": {changed(q.Get("state"), bit)}}
		if res := b.Get(relayOrigin + "/login/shop?" + forged.Encode()); res.Code != http.StatusForbidden {
			t.Fatalf("bit %d of the state: %d %v", bit, res.Code, res.Header())
		}
	}
	for name, cookie := range b.Cookies(relayOrigin) {
		value := cookie.Value
		for bit := range 8 * len(value) {
			cookie.Value = changed(value, bit)
			if strings.ContainsAny(cookie.Value, "\",; \\\x7f") || cookie.Value[bit/8] < ' ' {
				continue // no browser sends such
			}
			if res := b.Get(back.String()); res.Code != http.StatusForbidden {
				t.Fatalf("bit %d of the cookie %s: %d %v", bit, name, res.Code, res.Header())
			}
		}
		cookie.Value = value
	}
	if n := w.exchanges(); n != 0 {
		t.Errorf("%d codes were exchanged", n)
	}
	ticket := w.arrive(b, back.String(), shopOrigin).Get("ticket")
	for bit := range 8 * len(ticket) {
		if _, err := w.Redeem(t.Context(), login.Ticket, shopID, changed(ticket, bit), ""); !errors.Is(err, login.ErrInvalid) {
			t.Fatalf("bit %d of the ticket: %v", bit, err)
		}
	}
	if _, err := w.Redeem(t.Context(), login.Ticket, shopID, ticket, ""); err != nil {
		t.Errorf("the ticket as it is: %v", err)
	}
}

// TestRelayState: a program's state comes back as it is, whatever bytes it has.
func TestRelayState(t *testing.T) {
	w := inMemory(t)
	for _, state := range []string{"xyz", "中文 &=#%", "\xff\xfe\x00a", "\xed\xa0\x80", strings.Repeat("\xff", 512), strings.Repeat("a", 104)} {
		if q := w.arrive(w.browser(), own("shop", "state", state), shopOrigin); q.Get("state") != state || q.Get("ticket") == "" {
			t.Errorf("%q comes back as %q", state, q.Get("state"))
		}
	}
}

// TestRelaySealed: the store has no openid and no ticket in the clear, and a store that has
// lost a ticket gives none.
func TestRelaySealed(t *testing.T) {
	w := inMemory(t)
	one, other := memory.New(), memory.New()
	defer func() { _, _ = one.Close(), other.Close() }()
	spy := &spy{Once: one}
	w = newWorld(t, w.wx, spy)
	q := w.arrive(w.browser(), own("shop", "scope", "snsapi_userinfo"), shopOrigin)
	ticket := q.Get("ticket")
	seen, err := json.Marshal(spy.seen)
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{w.wx.Account().Followers[0], ticket, "小明"} {
		if strings.Contains(string(seen), private) {
			t.Errorf("the store has %s", private)
		}
	}
	spy.Once = other
	if _, err := w.Redeem(t.Context(), login.Ticket, shopID, ticket, ""); !errors.Is(err, login.ErrInvalid) {
		t.Errorf("the store has lost it: %v", err)
	}
}

// spy sees what is written.
type spy struct {
	callback.Once

	seen []string
}

func (s *spy) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	s.seen = append(s.seen, key, owner, string(answer))
	return s.Once.Finish(ctx, key, owner, answer, keep)
}

// TestRelayCookies: HttpOnly, SameSite, Secure by TLS, sealed, and of this host alone.
func TestRelayCookies(t *testing.T) {
	w := inMemory(t)
	b := w.browser()
	b.Get(own("shop"))
	if len(b.Cookies(relayOrigin)) != 1 {
		t.Fatalf("%v", b.Cookies(relayOrigin))
	}
	for name, c := range b.Cookies(relayOrigin) {
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(name, "__Host-") || c.MaxAge != 300 || strings.Contains(c.Value, "shop") {
			t.Errorf("%+v", c)
		}
	}
}
