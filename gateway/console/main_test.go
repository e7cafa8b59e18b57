package console_test

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

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/console"
	"github.com/zhongkong-go/zhongkong/internal/test/browsertest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func TestMain(m *testing.M) { browsertest.Main(m, testserver.Leaks) }

const (
	adminKey  = "made-up-admin-key-0123456789abcdef"
	appSecret = "0123456789abcdef0123456789abcdef"

	// What stands in an account's console under 消息推送.
	pushToken  = "madeUpToken0123"
	pushAESKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// appID is the n-th made-up account.
func appID(n int) string {
	return fmt.Sprintf("wx%016x", 0x3f5a1bb56e6b04f4+uint64(n)*0x9e3779b97f4a7c15)
}

// desk is a gateway with its page, before a simulated WeChat.
type desk struct {
	*gateway.Gateway

	t       testing.TB
	wx      *simtest.Sim
	store   custody.Store
	console *console.Page
	handler http.Handler
	base    string
	url     string // of the page
	http    *http.Client
}

// options are what differs from test to test.
type options struct {
	accounts int // 2 unless told
	store    custody.Store
	wx       *simtest.Sim // that of another desk
	classic  bool
	faults   []simulator.Fault // from the start
	change   func(*gateway.Config)
}

// start starts all of it.
func start(tb testing.TB, o options) *desk {
	tb.Helper()
	if o.accounts == 0 {
		o.accounts = 2
	}
	if o.store == nil {
		o.store = memory.New()
	}
	var known []simulator.Account
	cfg := gateway.Config{Store: o.store, SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("s", 32))}}
	for n := range o.accounts {
		account := gateway.Account{AppID: appID(n), Secret: custody.NewSecret(appSecret)}
		if o.classic || n%3 == 2 {
			account.TokenAPI = platform.Classic
		}
		known = append(known, simulator.Account{AppID: appID(n), Secret: appSecret, Token: pushToken, AESKey: pushAESKey})
		cfg.Accounts = append(cfg.Accounts, account)
	}
	if o.wx == nil {
		o.wx = simtest.New(tb, simulator.Options{Accounts: known})
	}
	d := &desk{t: tb, wx: o.wx, store: o.store}
	for _, fault := range o.faults {
		d.wx.Inject(fault)
	}
	cfg.APIBase = d.wx.URL
	if o.change != nil {
		o.change(&cfg)
	}
	var err error
	if d.Gateway, err = gateway.New(tb.Context(), cfg); err != nil {
		tb.Fatal(err)
	}
	d.console, err = console.New(console.Options{Gateway: d.Gateway, Key: custody.NewSecret(adminKey), Name: "gateway-1", Version: "v1.2.3"})
	if err != nil {
		tb.Fatal(err)
	}
	d.handler = d.console.Handler(d.Admin(custody.NewSecret(adminKey), nil))
	server := httptest.NewServer(d.handler)
	d.base, d.url = server.URL, server.URL+console.Path
	jar, _ := cookiejar.New(nil)
	d.http = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	tb.Cleanup(func() {
		d.console.Close()
		d.http.CloseIdleConnections()
		server.Close()
		if err := d.Close(); err != nil {
			tb.Error(err)
		}
	})
	return d
}

// settled waits until every account has a token or a failure.
func (d *desk) settled() *desk {
	d.t.Helper()
	d.until("every account is loaded", func() bool {
		for _, s := range d.Status() {
			if !s.Live && s.Failure == nil {
				return false
			}
		}
		return true
	})
	return d
}

// client adds a client and returns its key.
func (d *desk) client(c gateway.Client) string {
	d.t.Helper()
	key, err := d.Clients("admin 192.0.2.7").Add(d.t.Context(), c)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Look(d.t.Context())
	return key.Reveal()
}

// call makes a call through the gateway with a client's key.
func (d *desk) call(appID, key string) {
	r := httptest.NewRequest(
		http.MethodGet,
		"/cgi-bin/token?"+url.Values{"grant_type": {"client_credential"}, "appid": {appID}, "secret": {key}}.Encode(),
		http.NoBody,
	)
	d.ServeHTTP(httptest.NewRecorder(), r)
}

// pushedTo gives an account subscribers: one that takes pushes, and one where nobody
// listens.
func pushedTo(tb testing.TB) *gateway.Callback {
	tb.Helper()
	takes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "success") }))
	tb.Cleanup(takes.Close)
	return &gateway.Callback{
		Token: custody.NewSecret(pushToken), AESKey: custody.NewSecret(pushAESKey),
		Subscribers: []gateway.Subscriber{
			{Name: "shop", URL: takes.URL + "/wechat", Token: custody.NewSecret("tokenOfShop")},
			{Name: "erp", URL: "http://" + testserver.Refusing(tb) + "/wechat", Token: custody.NewSecret("tokenOfERP")},
		},
	}
}

// push pushes messages to the gateway, as WeChat does, until one subscriber is down.
func (d *desk) push(appID string, n int) {
	d.t.Helper()
	server := httptest.NewServer(d.Gateway)
	defer server.Close()
	for i := range n {
		if _, err := d.wx.Push(d.t.Context(), server.URL+"/callback/"+appID, simulator.Text(fmt.Sprint("你好 ", i))); err != nil {
			d.t.Fatal(err)
		}
	}
	d.until("a subscriber is down, and what waits is known", func() bool {
		all, err := d.Queues(d.t.Context())
		return err == nil && slices.ContainsFunc(all, func(q gateway.QueueStatus) bool { return q.Down && q.Waiting == n })
	})
}

// answer is what the page answers.
type answer struct {
	status   int
	location string
	header   http.Header
	html     string
}

// get asks for a page as a browser without the script does; headers are pairs.
func (d *desk) get(path string, headers ...string) answer {
	d.t.Helper()
	return d.send(http.MethodGet, path, nil, headers...)
}

// post sends a form.
func (d *desk) post(path string, form url.Values, headers ...string) answer {
	d.t.Helper()
	return d.send(http.MethodPost, path, form, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func (d *desk) send(method, path string, form url.Values, headers ...string) answer {
	d.t.Helper()
	address := d.url + path
	if strings.HasPrefix(path, "/") {
		address = d.base + path
	}
	r, err := http.NewRequestWithContext(d.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := d.http.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header.Get("Location"), res.Header, string(body)}
}

// logIn logs in with the admin key.
func (d *desk) logIn() *desk {
	d.t.Helper()
	if got := d.post("login", url.Values{"key": {adminKey}}); got.status != http.StatusSeeOther || got.location != console.Path {
		d.t.Fatalf("login: %d to %q", got.status, got.location)
	}
	return d
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// act sends a form of the page whose address that is, with what the page has put in.
func (d *desk) act(path string, pairs ...string) answer {
	d.t.Helper()
	page := d.get(path)
	token := csrfField.FindStringSubmatch(page.html)
	if page.status != http.StatusOK || token == nil {
		d.t.Fatalf("%s: %d, with a token: %t", path, page.status, token != nil)
	}
	form := url.Values{"csrf": {token[1]}}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return d.post(path, form)
}

// until waits for something that happens in another goroutine.
func (d *desk) until(what string, happened func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); {
		if time.Now().After(deadline) {
			d.t.Fatal("never: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// open opens a page in a browser that has logged in: it has the cookie.
func (d *desk) open(path string, look browsertest.Look) *browsertest.Tab {
	d.t.Helper()
	at, err := url.Parse(d.url)
	if err != nil {
		d.t.Fatal(err)
	}
	if len(d.http.Jar.Cookies(at)) == 0 {
		d.logIn()
	}
	tab := browsertest.Open(d.t, d.url+"login", look)
	for _, c := range d.http.Jar.Cookies(at) {
		tab.Do(
			network.SetCookie(c.Name, c.Value).WithURL(d.url).WithPath(console.Path).WithHTTPOnly(true).WithSameSite(network.CookieSameSiteStrict),
		)
	}
	tab.Do(chromedp.Navigate(d.url + path))
	return tab
}

const joined = `document.getElementById("link").dataset.state === "joined"`

// has is a JavaScript expression: somewhere in the elements of a selector the text
// stands.
func has(selector, text string) string {
	return "[...document.querySelectorAll(" + quote(selector) + ")].some((e) => e.textContent.includes(" + quote(text) + "))"
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`).Replace(s) + "'"
}
