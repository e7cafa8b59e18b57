package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const (
	corpID    = "ww0123456789abcdef"
	firstApp  = corpID + ":1000002"
	secondApp = corpID + ":1000003"
)

// hosts remembers where requests go, and leads them to the simulator.
type hosts struct {
	base http.RoundTripper

	mu   sync.Mutex
	seen []string
}

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.seen = append(h.seen, r.URL.Host+" "+r.URL.Path)
	h.mu.Unlock()
	return h.base.RoundTrip(r)
}

// to returns the hosts that a path was sent to.
func (h *hosts) to(path string) (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.seen {
		if host, p, _ := strings.Cut(line, " "); p == path {
			all = append(all, host)
		}
	}
	return slices.Compact(all)
}

// corpWorld is a gateway of an official account and two apps of a corp, at the real hosts'
// addresses.
func corpWorld(t *testing.T) (*world, *hosts) {
	t.Helper()
	wx := simtest.InMemory(t, simulator.Options{Seed: 1, Accounts: []simulator.Account{
		{AppID: appID, Secret: appSecret},
		{AppID: firstApp, Kind: simulator.WeCom, Secret: "madeUpSecretOne", Followers: []string{"zhangsan"}},
		{AppID: secondApp, Kind: simulator.WeCom, Secret: "madeUpSecretTwo", Followers: []string{"lisi"}},
	}})
	net := &hosts{base: wx.RoundTripper()}
	return join(t, wx, memory.New(), func(c *gateway.Config) {
		c.Transport, c.APIBase = net, ""
		c.Accounts = []gateway.Account{
			{AppID: appID, Secret: custody.NewSecret(appSecret)},
			{AppID: firstApp, Secret: custody.NewSecret("madeUpSecretOne")},
			{AppID: secondApp, Secret: custody.NewSecret("madeUpSecretTwo")},
		}
	}), net
}

func (w *world) getToken(corp, key string) reply {
	return w.get("/cgi-bin/gettoken?" + url.Values{"corpid": {corp}, "corpsecret": {key}}.Encode())
}

// TestWeComCalls: a program changes its host name alone. Its key is its corpsecret, its calls
// go to qyapi with the app's own token, and that it dies nobody notices.
func TestWeComCalls(t *testing.T) {
	t.Parallel()
	w, net := corpWorld(t)
	key := w.client(gateway.Client{Name: "notices", Accounts: []string{firstApp}})
	got := w.getToken(corpID, key)
	if got.Errcode != 0 || got.Errmsg != "ok" || !strings.HasPrefix(got.Token, "zk_") || got.Expires != 7200 || w.wx.Accepts(got.Token) {
		t.Fatalf("gettoken: %s", got.body)
	}
	send := func() reply {
		return w.post("/cgi-bin/message/send?access_token="+got.Token,
			`{"touser":"zhangsan","msgtype":"text","agentid":1000002,"text":{"content":"x"}}`)
	}
	if sent := send(); sent.Errcode != 0 || !strings.Contains(sent.body, "msgid") {
		t.Errorf("message/send: %s", sent.body)
	}
	w.wx.Kill(firstApp)
	if sent := send(); sent.Errcode != 0 {
		t.Errorf("after WeCom ended the token: %s", sent.body)
	}
	w.wx.SetWhitelist(firstApp, "198.51.100.1")
	fetched := w.wx.Stats(firstApp).Stable.Calls
	if refused := send(); refused.Errcode != 60020 || w.wx.Stats(firstApp).Stable.Calls != fetched {
		t.Errorf("an address that is not trusted: %s, after %d fetches more", refused.body, w.wx.Stats(firstApp).Stable.Calls-fetched)
	}
	if to := net.to("/cgi-bin/message/send"); !slices.Equal(to, []string{"qyapi.weixin.qq.com"}) {
		t.Errorf("the calls went to %v", to)
	}
	w.mustNotShow(key, "madeUpSecretOne", "madeUpSecretTwo")
}

// TestWeComHost: which host a call goes to follows from its account, whatever the caller says.
func TestWeComHost(t *testing.T) {
	t.Parallel()
	w, net := corpWorld(t)
	member := w.getToken(corpID, w.client(gateway.Client{Name: "member", Accounts: []string{firstApp}})).Token
	follower := w.token(w.client(gateway.Client{Name: "follower", Accounts: []string{appID}}))
	for _, c := range []struct{ token, host, path, want string }{
		{member, "api.weixin.qq.com", "/cgi-bin/user/get?userid=zhangsan", "qyapi.weixin.qq.com"},
		{member, "qyapi.weixin.qq.com", "/cgi-bin/getcallbackip?", "qyapi.weixin.qq.com"},
		{member, "api.weixin.qq.com", "/cgi-bin/ticket/getticket?type=jsapi", "qyapi.weixin.qq.com"},
		{follower, "qyapi.weixin.qq.com", "/cgi-bin/user/info?openid=x", "api.weixin.qq.com"},
		{follower, "qyapi.weixin.qq.com", "/cgi-bin/message/send?", "api.weixin.qq.com"},
	} {
		r := w.request(http.MethodGet, c.path+"&access_token="+c.token, nil)
		r.Host = c.host
		w.do(r)
		path, _, _ := strings.Cut(c.path, "?")
		if to := net.to(path); !slices.Equal(to, []string{c.want}) {
			t.Errorf("%s, which the caller sent to %s, went to %v", path, c.host, to)
		}
	}
	for _, path := range []string{"/sns/jscode2session", "/cgi-bin/clear_quota/v2"} {
		key := w.client(gateway.Client{Name: "secret" + fmt.Sprint(len(path)), Accounts: []string{firstApp}})
		got := w.get(path + "?js_code=x&grant_type=authorization_code&" + url.Values{"appid": {firstApp}, "secret": {key}}.Encode())
		if got.Errcode != 48001 || net.to(path) != nil {
			t.Errorf("%s: %s; the app's secret went to %v", path, got.body, net.to(path))
		}
	}
}

// TestWeComRefusals: gettoken's refusals, and a token that no gateway made.
func TestWeComRefusals(t *testing.T) {
	t.Parallel()
	w, net := corpWorld(t)
	one := w.client(gateway.Client{Name: "one", Accounts: []string{firstApp}, Paths: []string{"/cgi-bin/message/*"}})
	both := w.client(gateway.Client{Name: "both", Accounts: []string{firstApp, secondApp}})
	official := w.client(gateway.Client{Name: "official", Accounts: []string{appID}})
	for _, c := range []struct {
		corp, key string
		errcode   int
	}{
		{corpID, one, 0},
		{firstApp, one, 0},
		{secondApp, one, 40013},
		{corpID, both, 40013}, // which of them?
		{secondApp, both, 0},
		{corpID, official, 40013},
		{appID, official, 40013},
		{"ww0", one, 40013},
		{corpID, "madeUpSecretOne", 40001},
		{corpID, one[:len(one)-2] + "zz", 40001},
		{"", one, 41002},
		{corpID, "", 41004},
	} {
		if got := w.getToken(c.corp, c.key); got.Errcode != c.errcode || (got.Token != "") != (c.errcode == 0) {
			t.Errorf("gettoken of %q: %s, want %d", c.corp, got.body, c.errcode)
		}
	}
	token := w.getToken(corpID, one).Token
	if got := w.get("/cgi-bin/user/get?userid=zhangsan&access_token=" + token); got.Errcode != 48001 {
		t.Errorf("a path that is none of the client's: %s", got.body)
	}
	forged := []byte(token)
	if at := len(forged) - 3; forged[at] == 'A' { // a letter still: what is no token at all is another refusal
		forged[at] = 'B'
	} else {
		forged[at] = 'A'
	}
	if got := w.get("/cgi-bin/message/send?access_token=" + string(forged)); got.Errcode != 40014 {
		t.Errorf("a token that no gateway made: %s, want what programs for WeCom renew at", got.body)
	}
	if net.to("/cgi-bin/user/get") != nil || net.to("/cgi-bin/message/send") != nil {
		t.Error("what was refused reached WeCom")
	}
	w.mustNotShow(one, both, "madeUpSecretTwo")
}

// TestWeComWithoutToken: a program that makes HTTP requests alone sends its key and the app's
// name.
func TestWeComWithoutToken(t *testing.T) {
	t.Parallel()
	w, _ := corpWorld(t)
	key := w.client(gateway.Client{Name: "n8n", Accounts: []string{firstApp}})
	got := w.post("/cgi-bin/message/send", `{"touser":"zhangsan","msgtype":"text","agentid":1000002,"text":{"content":"x"}}`,
		"Authorization", "Bearer "+key, "X-Wechat-Appid", firstApp)
	if got.Errcode != 0 || !strings.Contains(got.body, "msgid") {
		t.Errorf("message/send: %s", got.body)
	}
}

// TestWeComTickets: programs ask as often as they like, and WeCom is asked once: for the
// corp's ticket by all apps together, and for an app's own.
func TestWeComTickets(t *testing.T) {
	t.Parallel()
	w, net := corpWorld(t)
	one := w.getToken(firstApp, w.client(gateway.Client{Name: "one", Accounts: []string{firstApp}})).Token
	two := w.getToken(secondApp, w.client(gateway.Client{Name: "two", Accounts: []string{secondApp}})).Token
	for range 120 {
		for _, token := range []string{one, two} {
			if got := w.get("/cgi-bin/get_jsapi_ticket?access_token=" + token); got.Errcode != 0 || !strings.Contains(got.body, `"ticket":"`) {
				t.Fatalf("the corp's: %s", got.body)
			}
			if got := w.get("/cgi-bin/ticket/get?type=agent_config&access_token=" + token); got.Errcode != 0 || !strings.Contains(got.body, `"ticket":"`) {
				t.Fatalf("the app's: %s", got.body)
			}
		}
	}
	net.mu.Lock()
	defer net.mu.Unlock()
	asked := map[string]int{}
	for _, line := range net.seen {
		asked[line]++
	}
	if asked["qyapi.weixin.qq.com /cgi-bin/get_jsapi_ticket"] > 2 || asked["qyapi.weixin.qq.com /cgi-bin/ticket/get"] != 2 {
		t.Errorf("WeCom was asked %v", asked)
	}
}

// TestWeComReal: a client with real tokens gets the app's own, and the journal says so.
func TestWeComReal(t *testing.T) {
	t.Parallel()
	w, _ := corpWorld(t)
	key := w.client(gateway.Client{Name: "real", Accounts: []string{firstApp}, Real: true})
	got := w.getToken(corpID, key)
	if got.Errcode != 0 || !w.wx.Accepts(got.Token) || w.wx.Inspect(got.Token).AppID != firstApp {
		t.Errorf("gettoken: %s", got.body)
	}
}

// TestWeComSettings: what a configuration file says of an app of WeCom.
func TestWeComSettings(t *testing.T) {
	t.Parallel()
	env := func(name string) (string, bool) { return "madeUpSecretOne", name == "SALES_SECRET" }
	for text, says := range map[string]string{
		"corpid: ww1\n    agentid: \"1000002\"\n    secret: {env: SALES_SECRET}":                                   "",
		"corpid: ww1\n    agentid: 1000002\n    secret: {env: SALES_SECRET}":                                       "",
		"corpid: jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C\n    agentid: \"1\"\n    secret: {env: SALES_SECRET}": "corpid",
		"corpid: ww1\n    secret: {env: SALES_SECRET}":                                                             "agentid",
		"corpid: ww1\n    agentid: sales\n    secret: {env: SALES_SECRET}":                                         "agentid",
		"corpid: ww1\n    agentid: \"1\"":                                                                          "no secret",
		"corpid: ww1\n    agentid: \"1\"\n    appid: wx1\n    secret: {env: SALES_SECRET}":                         "appid",
		"corpid: ww1\n    agentid: \"1\"\n    token_api: stable\n    secret: {env: SALES_SECRET}":                  "token_api",
		"corpid: ww1\n    agentid: \"1\"\n    callback: {token: x}\n    secret: {env: SALES_SECRET}":               "callbacks",
	} {
		s, err := gateway.ParseSettings([]byte("accounts:\n  - "+text+"\n"), t.TempDir(), env)
		switch {
		case says == "" && (err != nil || s.Accounts[0].AppID != "ww1:1000002" || s.Accounts[0].Secret.Reveal() != "madeUpSecretOne"):
			t.Errorf("%s: %v", text, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "madeUpSecret") || strings.Contains(err.Error(), "jWmYm7")):
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

// TestWeComLoginRelay: the relay exchanges codes at the official accounts' host, which must not
// get the Secret of an app.
func TestWeComLoginRelay(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{
		{AppID: appID, Secret: appSecret}, {AppID: firstApp, Kind: simulator.WeCom, Secret: "madeUpSecretOne"},
	}})
	w := join(t, wx, memory.New(), func(c *gateway.Config) {
		loginAt(c)
		c.Accounts = []gateway.Account{
			{AppID: appID, Secret: custody.NewSecret(appSecret)}, {AppID: firstApp, Secret: custody.NewSecret("madeUpSecretOne")},
		}
	})
	w.client(gateway.Client{Name: "shop", Accounts: []string{"*"}, Returns: []string{shopOrigin + "/*"}})
	for id, status := range map[string]int{appID: http.StatusFound, firstApp: http.StatusForbidden} {
		target := "/connect/oauth2/authorize?" + url.Values{
			"appid": {id}, "redirect_uri": {shopOrigin + "/back"}, "response_type": {"code"}, "scope": {"snsapi_base"}, "state": {"1"},
		}.Encode()
		got := httptest.NewRecorder()
		w.ServeHTTP(got, httptest.NewRequest(http.MethodGet, loginOrigin+target, http.NoBody))
		if got.Code != status {
			t.Errorf("%s: %d", id, got.Code)
		}
	}
}
