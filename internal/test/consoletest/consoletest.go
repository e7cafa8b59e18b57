// Package consoletest runs a gateway with its page in front of a simulated WeChat, for
// the tests of package console and for those that drive the page in a browser.
package consoletest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/console"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// Made-up secrets: the gateway's admin key and the AppSecret of every account.
const (
	AdminKey  = "made-up-admin-key-0123456789abcdef"
	AppSecret = "0123456789abcdef0123456789abcdef"
)

// An account's settings for message pushes (消息推送) in WeChat's console.
const (
	PushToken  = "madeUpToken0123"
	PushAESKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// AppID returns the appid of the n-th made-up account.
func AppID(n int) string {
	return fmt.Sprintf("wx%016x", 0x3f5a1bb56e6b04f4+uint64(n)*0x9e3779b97f4a7c15)
}

// Desk is a gateway with its page, in front of a simulated WeChat.
type Desk struct {
	*gateway.Gateway

	WeChat  *simtest.Sim
	Store   store.Store
	Page    *console.Page
	Handler http.Handler // of the page and the admin API
	Base    string       // URL of the admin listener
	URL     string       // of the page
	HTTP    *http.Client // keeps cookies and follows no redirect

	t testing.TB
}

// Options are what differs from test to test.
type Options struct {
	Accounts int                   // number of accounts; 0 means 2
	Store    store.Store           // nil means a new one in memory
	WeChat   *simtest.Sim          // nil means a new one
	Faults   []simulator.Fault     // injected before the gateway starts
	Change   func(*gateway.Config) // changes the configuration before the start
}

// Start starts a desk, which is closed when the test ends.
func Start(tb testing.TB, o Options) *Desk {
	tb.Helper()
	if o.Accounts == 0 {
		o.Accounts = 2
	}
	if o.Store == nil {
		o.Store = memory.New()
	}
	var known []simulator.Account
	cfg := gateway.Config{Store: o.Store, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("s", 32))}}
	for n := range o.Accounts {
		account := gateway.Account{AppID: AppID(n), Secret: custody.NewSecret(AppSecret)}
		if n%3 == 2 {
			account.TokenAPI = platform.Classic
		}
		known = append(known, simulator.Account{AppID: AppID(n), Secret: AppSecret, Token: PushToken, AESKey: PushAESKey})
		cfg.Accounts = append(cfg.Accounts, account)
	}
	if o.WeChat == nil {
		o.WeChat = simtest.New(tb, simulator.Options{Accounts: known})
	}
	d := &Desk{t: tb, WeChat: o.WeChat, Store: o.Store}
	for _, fault := range o.Faults {
		d.WeChat.Inject(fault)
	}
	cfg.APIBase = d.WeChat.URL
	if o.Change != nil {
		o.Change(&cfg)
	}
	var err error
	if d.Gateway, err = gateway.New(tb.Context(), cfg); err != nil {
		tb.Fatal(err)
	}
	d.Page, err = console.New(console.Options{Gateway: d.Gateway, Key: custody.NewSecret(AdminKey), Name: "gateway-1", Version: "v1.2.3"})
	if err != nil {
		tb.Fatal(err)
	}
	d.Handler = d.Page.Handler(d.Admin(custody.NewSecret(AdminKey), nil))
	server := httptest.NewServer(d.Handler)
	d.Base, d.URL = server.URL, server.URL+console.Path
	jar, _ := cookiejar.New(nil)
	d.HTTP = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	tb.Cleanup(func() {
		d.Page.Close()
		d.HTTP.CloseIdleConnections()
		server.Close()
		if err := d.Close(); err != nil {
			tb.Error(err)
		}
	})
	return d
}

// For returns the desk for a subtest, which fails instead of the test that started it.
func (d *Desk) For(tb testing.TB) *Desk {
	tb.Helper()
	other := *d
	other.t = tb
	return &other
}

// Settled waits until every account has a token or a failure.
func (d *Desk) Settled() *Desk {
	d.t.Helper()
	d.Until("every account is loaded", func() bool {
		for _, s := range d.Status() {
			if !s.Live && s.Failure == nil {
				return false
			}
		}
		return true
	})
	return d
}

// Client adds a client and returns its key.
func (d *Desk) Client(c gateway.Client) string {
	d.t.Helper()
	key, err := d.Clients("admin 192.0.2.7").Add(d.t.Context(), c)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Look(d.t.Context())
	return key.Reveal()
}

// Fetch asks the gateway for an account's token with a client's key.
func (d *Desk) Fetch(appID, key string) {
	r := httptest.NewRequest(
		http.MethodGet,
		"/cgi-bin/token?"+url.Values{"grant_type": {"client_credential"}, "appid": {appID}, "secret": {key}}.Encode(),
		http.NoBody,
	)
	d.ServeHTTP(httptest.NewRecorder(), r)
}

// PushedTo returns the callback of an account with two subscribers: shop accepts
// pushes, nothing listens at the address of erp.
func PushedTo(tb testing.TB) *gateway.Callback {
	tb.Helper()
	takes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "success") }))
	tb.Cleanup(takes.Close)
	return &gateway.Callback{
		Token: custody.NewSecret(PushToken), AESKey: custody.NewSecret(PushAESKey),
		Subscribers: []gateway.Subscriber{
			{Name: "shop", URL: takes.URL + "/wechat", Token: custody.NewSecret("tokenOfShop")},
			{Name: "erp", URL: "http://" + testserver.Refusing(tb) + "/wechat", Token: custody.NewSecret("tokenOfERP")},
		},
	}
}

// Push pushes n messages to the gateway, as WeChat does, and waits until it knows
// that one subscriber is down.
func (d *Desk) Push(appID string, n int) {
	d.t.Helper()
	server := httptest.NewServer(d.Gateway)
	defer server.Close()
	for i := range n {
		if _, err := d.WeChat.Push(d.t.Context(), server.URL+"/callback/"+appID, simulator.Text(fmt.Sprint("你好 ", i))); err != nil {
			d.t.Fatal(err)
		}
	}
	d.Until("a subscriber is down and its queue is known", func() bool {
		all, err := d.Queues(d.t.Context())
		return err == nil && slices.ContainsFunc(all, func(q fanout.Status) bool { return q.Down && q.Waiting == n })
	})
}

// Answer is an answer of the page.
type Answer struct {
	Status   int
	Location string
	Header   http.Header
	HTML     string
}

// Get requests a page as a browser without JavaScript does; headers are pairs.
func (d *Desk) Get(path string, headers ...string) Answer {
	d.t.Helper()
	return d.send(http.MethodGet, path, nil, headers...)
}

// Post sends a form; headers are pairs.
func (d *Desk) Post(path string, form url.Values, headers ...string) Answer {
	d.t.Helper()
	return d.send(http.MethodPost, path, form, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func (d *Desk) send(method, path string, form url.Values, headers ...string) Answer {
	d.t.Helper()
	address := d.URL + path
	if strings.HasPrefix(path, "/") {
		address = d.Base + path
	}
	r, err := http.NewRequestWithContext(d.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := d.HTTP.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return Answer{res.StatusCode, res.Header.Get("Location"), res.Header, string(body)}
}

// LogIn logs in with the admin key.
func (d *Desk) LogIn() *Desk {
	d.t.Helper()
	if got := d.Post("login", url.Values{"key": {AdminKey}}); got.Status != http.StatusSeeOther || got.Location != console.Path {
		d.t.Fatalf("login: %d to %q", got.Status, got.Location)
	}
	return d
}

var tokenField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// Token returns the token of the forms of a page, "" when it has no form.
func (a Answer) Token() string {
	if found := tokenField.FindStringSubmatch(a.HTML); found != nil {
		return found[1]
	}
	return ""
}

// Act sends the form of the page at path: the pairs and the token that the page has
// put into it.
func (d *Desk) Act(path string, pairs ...string) Answer {
	d.t.Helper()
	page := d.Get(path)
	if page.Status != http.StatusOK || page.Token() == "" {
		d.t.Fatalf("%s: %d, with a token: %t", path, page.Status, page.Token() != "")
	}
	form := url.Values{"csrf": {page.Token()}}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return d.Post(path, form)
}

// Until waits until something has happened in another goroutine.
func (d *Desk) Until(what string, happened func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); {
		if time.Now().After(deadline) {
			d.t.Fatal("never: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
