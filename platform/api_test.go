package platform

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
)

func TestBase(t *testing.T) {
	for _, tc := range []struct {
		base, want, host string
	}{
		{"", "https://api.weixin.qq.com", ""},
		{"https://api.weixin.qq.com", "https://api.weixin.qq.com", ""},
		{"https://API.weixin.qq.com:443/", "https://api.weixin.qq.com:443", ""},
		{"https://api2.weixin.qq.com", "https://api2.weixin.qq.com", ""},
		{"https://sh.api.weixin.qq.com", "https://sh.api.weixin.qq.com", ""},
		{"https://sz.api.weixin.qq.com", "https://sz.api.weixin.qq.com", ""},
		{"https://hk.api.weixin.qq.com", "https://hk.api.weixin.qq.com", ""},
		{"https://api.weixin.qq.com:8443", "https://api.weixin.qq.com:8443", "api.weixin.qq.com:8443"},
		{"https://xapi.weixin.qq.com", "https://xapi.weixin.qq.com", "xapi.weixin.qq.com"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080"},
		{"http://[::1]:8080/", "http://[::1]:8080", "[::1]:8080"},
		{"http://gateway:80/wechat/", "http://gateway:80/wechat", "gateway"},
		{"https://Gateway.Example:443/a/b", "https://gateway.example:443/a/b", "gateway.example"},
	} {
		api, err := New(Config{Base: tc.base})
		if err != nil {
			t.Errorf("New with %q: %v", tc.base, err)
			continue
		}
		if api.Base() != tc.want || api.Host() != tc.host {
			t.Errorf("%q: Base %q, Host %q, want %q, %q", tc.base, api.Base(), api.Host(), tc.want, tc.host)
		}
	}
}

func TestBaseIsRefused(t *testing.T) {
	for base, rule := range map[string]string{
		"api.weixin.qq.com":                  "must begin with https",
		"ftp://api.weixin.qq.com":            "must begin with https",
		"//api.weixin.qq.com":                "must begin with https",
		"https://":                           "has no host",
		"https:///cgi-bin":                   "has no host",
		"https:opaque":                       "has no host",
		"https://me:hunter2@gateway":         "user name or password",
		"https://me@gateway":                 "user name or password",
		"https://gateway?key=hunter2":        "query",
		"https://gateway/?":                  "query",
		"https://gateway/#hunter2":           "fragment",
		"https://gateway/a/../b":             ". or .. in its path",
		"https://gateway/%2e%2e/b":           ". or .. in its path",
		"http://api.weixin.qq.com":           "in the clear",
		"http://api2.weixin.qq.com:8080":     "in the clear",
		"https://gateway:port/hunter2":       "not a URL",
		"https://gate way/hunter2":           "not a URL",
		"https://gateway/\x00hunter2":        "not a URL",
		"https://me:hunter2@gateway:port/":   "not a URL",
		"https://gateway/%zz?secret=hunter2": "not a URL",
	} {
		_, err := New(Config{Base: base})
		if err == nil || !strings.Contains(err.Error(), rule) || !strings.Contains(err.Error(), "Config.Base") {
			t.Errorf("New with %q: %v, want an error about Config.Base: %s", base, err, rule)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("New with %q quotes it: %v", base, err)
		}
	}
}

func TestKey(t *testing.T) {
	own, _ := New(Config{})
	other, _ := New(Config{Base: "http://127.0.0.1:8080"})
	for _, tc := range []struct {
		key  custody.Key
		want string
	}{
		{own.Key(testAppID, ""), "access_token/stable/" + testAppID},
		{own.Key(testAppID, Stable), "access_token/stable/" + testAppID},
		{own.Key(testAppID, Classic), "access_token/classic/" + testAppID},
		{other.Key(testAppID, Classic), "access_token/classic/" + testAppID + "@127.0.0.1:8080"},
	} {
		if tc.key.String() != tc.want {
			t.Errorf("key %q, want %q", tc.key, tc.want)
		}
	}
}

func TestTrust(t *testing.T) {
	gateway, _ := New(Config{Base: "http://gateway:8080/wechat"})
	own, _ := New(Config{})
	for _, tc := range []struct {
		api  *API
		url  string
		want bool
	}{
		{nil, "https://api.weixin.qq.com/cgi-bin/x", true},
		{own, "https://api.weixin.qq.com/cgi-bin/x", true},
		{own, "https://API.WEIXIN.QQ.COM:443/cgi-bin/x", true},
		{gateway, "https://hk.api.weixin.qq.com/", true},
		{gateway, "http://gateway:8080/elsewhere", true},
		{gateway, "http://GATEWAY:8080/", true},
		{gateway, "https://gateway:8080/", false},
		{gateway, "http://gateway:8081/", false},
		{gateway, "http://gateway/", false},
		{own, "http://gateway:8080/", false},
		{nil, "http://gateway:8080/", false},
		{own, "http://api.weixin.qq.com/", false},
		{own, "http://api.weixin.qq.com:443/", false},
		{own, "https://api.weixin.qq.com:8443/", false},
		{own, "https://api.weixin.qq.com.evil.example/", false},
		{own, "https://api.weixin.qq.com@evil.example/", false},
		{own, "https://evil.example/api.weixin.qq.com", false},
		{own, "https://mp.weixin.qq.com/", false},
		{own, "https://api.weixin.qq.com./", false},
		{own, "https:api.weixin.qq.com", false},
	} {
		u, err := url.Parse(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := tc.api.trusts(u); got != tc.want {
			t.Errorf("trusts(%s) = %v, want %v", tc.url, got, tc.want)
		}
	}
}

func TestOwnTransportIsBounded(t *testing.T) {
	api := newAPI(t, Config{})
	calls := api.calls.(*detour).base.(*keepAlive)
	for _, base := range []http.RoundTripper{calls.repeated, calls.single, api.credentials.(*detour).base} {
		transport, ok := base.(*http.Transport)
		if !ok || base == http.DefaultTransport {
			t.Fatalf("%T, want an http.Transport of its own", base)
		}
		if transport.DialContext == nil || transport.TLSHandshakeTimeout == 0 || transport.IdleConnTimeout == 0 {
			t.Errorf("%+v has a step without a timeout", transport)
		}
	}
	if !api.credentials.(*detour).base.(*http.Transport).DisableKeepAlives {
		t.Error("credentials are fetched over kept connections, on which http.Transport repeats a GET")
	}
}
