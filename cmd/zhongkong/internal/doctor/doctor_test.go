package doctor

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const proxyPassword = "made-up-pa55word"

// TestProxy: calls go through the proxy that programs use, which is named without
// its password, also when it is what fails.
func TestProxy(t *testing.T) {
	wx := simtest.New(t, simulator.Options{})
	account := Account{AppID: wx.AppID(), Secret: custody.NewSecret(wx.Secret()), TokenAPI: platform.Stable}
	through := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Host = r.In.Host }})
	t.Cleanup(through.Close)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusProxyAuthRequired)
		_, _ = io.WriteString(w, "<html>Who are you?")
	}))
	t.Cleanup(page.Close)
	forbids := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(forbids.Close)
	for name, row := range map[string]struct {
		base, proxy string
		fails       bool
		cause, says string
	}{
		"through":            {wx.URL, through.URL, false, "", "through the proxy "},
		"nobody":             {wx.URL, "http://127.0.0.1:1", false, "proxy_failed", "127.0.0.1:1"},
		"nobody, TLS":        {platform.DefaultBase, "http://127.0.0.1:1", false, "proxy_failed", "NO_PROXY=api.weixin.qq.com"},
		"wants to be known":  {platform.DefaultBase, page.URL, false, "proxy_failed", "HTTPS_PROXY=http://user:password@127.0.0.1:"},
		"does not allow it":  {platform.DefaultBase, forbids.URL, false, "proxy_failed", "refuses CONNECT to api.weixin.qq.com: HTTP 403"},
		"answers by itself":  {wx.URL, page.URL, false, "not_wechat", "Look at the proxy "},
		"cannot be read":     {wx.URL, "", true, "proxy_failed", "cannot be read"},
		"none, and all well": {wx.URL, "", false, "", " answers, TCP "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := Run(t.Context(), Options{
				Accounts: []Account{account}, Base: row.base, StoreURL: "memory:", Wait: time.Minute,
				Proxy: func(*http.Request) (*url.URL, error) {
					if row.fails {
						return nil, errors.New("http://user:" + proxyPassword + "@")
					}
					if row.proxy == "" {
						return nil, nil //nolint:nilnil // as http.ProxyFromEnvironment
					}
					u, err := url.Parse(row.proxy)
					if err == nil {
						u.User = url.UserPassword("user", proxyPassword)
					}
					return u, err
				},
			}, nil)
			for _, f := range report.Findings {
				for _, s := range []string{f.Found.EN, f.Found.ZH, f.Do.EN, f.Do.ZH} {
					if strings.Contains(s, proxyPassword) || strings.Contains(s, wx.Secret()) || strings.Contains(s, "%!") {
						t.Errorf("a secret, or a broken format: %s", s)
					}
				}
				if f.Check == WeChat && (f.Cause != row.cause || !strings.Contains(f.Found.EN+f.Do.EN, row.says)) {
					t.Errorf("%+v, want %s, %q", f, row.cause, row.says)
				}
				if f.Check == Credentials && (f.State == OK) != (row.cause == "") {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// TestProxyThatIsIgnored: ALL_PROXY alone is said, whether or not WeChat can be reached.
func TestProxyThatIsIgnored(t *testing.T) {
	wx := simtest.New(t, simulator.Options{})
	for base, state := range map[string]State{wx.URL: Warning, "http://127.0.0.1:1": Problem} {
		report := Run(t.Context(), Options{
			Accounts: []Account{{AppID: wx.AppID(), Secret: custody.NewSecret(wx.Secret())}}, Base: base, StoreURL: "memory:", Wait: time.Minute,
			Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }, //nolint:nilnil // as http.ProxyFromEnvironment
			Env: func(name string) string {
				return map[string]string{"ALL_PROXY": "socks5://x:" + proxyPassword + "@h:1"}[name]
			},
		}, nil)
		for _, f := range report.Findings {
			if strings.Contains(f.Found.EN+f.Do.EN, proxyPassword) {
				t.Errorf("a secret: %+v", f)
			}
			if f.Check == WeChat && (f.State != state || !strings.Contains(f.Found.EN, "ALL_PROXY, which Go programs ignore") ||
				!strings.HasPrefix(f.Do.EN, "Where WeChat is to be reached through a proxy, set HTTPS_PROXY") || !strings.Contains(f.Do.ZH, "HTTPS_PROXY")) {
				t.Errorf("%+v, want a %s about ALL_PROXY", f, state)
			}
		}
	}
}

// TestToDo: problems first, nothing twice, and nothing empty.
func TestToDo(t *testing.T) {
	a, b, c := Text{EN: "a", ZH: "甲"}, Text{EN: "b", ZH: "乙"}, Text{EN: "c", ZH: "丙"}
	r := Report{Findings: []Finding{
		{Check: Store, State: Warning, Do: a},
		{Check: WeChat, State: OK},
		{Check: Credentials, State: Problem, Do: b},
		{Check: Token, State: Problem, Do: c},
		{Check: Quota, State: Problem, Do: b},
		{Check: Callback, State: Skipped},
	}}
	var got []string
	for _, f := range r.ToDo() {
		got = append(got, f.Do.EN)
	}
	if !slices.Equal(got, []string{"b", "c", "a"}) || r.Count(Problem) != 3 || r.Count(OK) != 1 {
		t.Errorf("%s, %+v", got, r)
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Microsecond: "<1ms", 3400 * time.Microsecond: "3ms", 1234 * time.Millisecond: "1.2s", 90 * time.Second: "1m30s",
		5 * time.Minute: "5m", 10*time.Minute + 5*time.Second: "10m", 2 * time.Hour: "2h", 112 * time.Minute: "1h52m",
	} {
		if got := short(d); got != want {
			t.Errorf("%v: %s, want %s", int64(d), got, want)
		}
	}
	if got := printable("a\nb\x1b[2J\x9b" + strings.Repeat("长", 400)); !strings.HasPrefix(got, "a b·[2J·长") || len([]rune(got)) != 300 {
		t.Error(got)
	}
	for address, want := range map[string]string{
		"redis://u:" + proxyPassword + "@h:6379/2?x=" + proxyPassword: "redis://h:6379/2", "postgres://u:" + proxyPassword +
			"@h/name": "postgres://h/name",
		"mysql://u:" + proxyPassword + "@h:%zz/name": "the store", "sqlite:/a/../b.db": "/b.db", proxyPassword: "the store",
	} {
		if got := Place(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
