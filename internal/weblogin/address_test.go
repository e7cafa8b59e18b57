package weblogin_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/logintest"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
)

func returns(t *testing.T, addresses ...string) weblogin.Returns {
	t.Helper()
	r, err := weblogin.ParseReturns(addresses)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReturns: which addresses fit, and which fits best.
func TestReturns(t *testing.T) {
	r := returns(t, "https://shop.example/back", "https://shop.example/pages/*", "https://crm.example/*", "http://127.0.0.1:3100/*", "https://big.example:8443")
	for address, fits := range map[string]bool{
		"https://shop.example/back": true, "https://shop.example/back?a=1&b=%2F%2F": true, "https://shop.example/back/": false, "https://shop.example/": false,
		"https://shop.example/pages/": true, "https://shop.example/pages/a/b?q": true, "https://shop.example/pages": false, "https://shop.example/pagesx": false,
		"https://crm.example": true, "https://crm.example/商品": true, "http://crm.example/": false, "https://crm.example:8443/": false,
		"http://127.0.0.1:3100/x": true, "http://127.0.0.1:3101/x": false, "https://big.example:8443/": true, "https://big.example:8443": true,
		"https://shop.example.evil.example/back": false, "https://evil.example/back": false, "https://xshop.example/back": false,
	} {
		u, err := weblogin.ParseReturn(address)
		if got := err == nil && r.Match(u) > 0; got != fits {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
	u, err := weblogin.ParseReturn("https://shop.example/a/b")
	if err != nil {
		t.Fatal(err)
	}
	var last int
	for _, stronger := range []string{"https://shop.example/*", "https://shop.example/a/*", "https://shop.example/a/b"} {
		n := returns(t, stronger).Match(u)
		if n <= last {
			t.Errorf("%s is no stronger", stronger)
		}
		last = n
	}
	for _, wrong := range []string{
		"", "/back", "shop.example", "https://", "https://shop.example/back?a=1", "https://shop.example/*/x", "https://*.shop.example/", "http://shop.example/",
		"https://shop.example/#top", "https://Shop.example/", "https://a@shop.example/", "https://shop.example:/", "https://shop.example/a/../b",
	} {
		if _, err := weblogin.ParseReturns([]string{wrong}); err == nil || !strings.Contains(err.Error(), "return address") {
			t.Errorf("%q is taken: %v", wrong, err)
		}
	}
	if _, err := weblogin.ParseReturns(make([]string, 101)); err == nil {
		t.Error("any number is taken")
	}
}

// TestReturnsOverlap: two programs' addresses overlap where one address fits both.
func TestReturnsOverlap(t *testing.T) {
	for _, row := range []struct {
		one, other string
		overlap    bool
	}{
		{"https://shop.example/back", "https://shop.example/back", true},
		{"https://shop.example", "https://shop.example/", true},
		{"https://shop.example/*", "https://shop.example/*", true},
		{"https://shop.example/*", "https://shop.example/a/*", true},
		{"https://shop.example/a/*", "https://shop.example/a/b/c", true},
		{"https://shop.example/a/*", "https://shop.example/a/", true},
		{"https://shop.example/a/*", "https://shop.example/a", false},
		{"https://shop.example/a/*", "https://shop.example/ab/*", false},
		{"https://shop.example/a/*", "https://shop.example/b/*", false},
		{"https://shop.example/a", "https://shop.example/a/", false},
		{"https://shop.example/*", "https://crm.example/*", false},
		{"https://shop.example/*", "https://shop.example:8443/*", false},
		{"http://localhost/*", "https://localhost/*", false},
	} {
		for _, pair := range [][2]string{{row.one, row.other}, {row.other, row.one}} {
			one, other, found := returns(t, "https://x.example/*", pair[0]).Overlap(returns(t, pair[1], "https://y.example/*"))
			if found != row.overlap || found && (!strings.HasPrefix(one, pair[0]) || !strings.HasPrefix(other, pair[1])) {
				t.Errorf("%v: %q, %q, %v", pair, one, other, found)
			}
		}
	}
}

// TestReturnsForeign: no spelling of a foreign address is one of a site's own, however it is
// put behind or in front of it.
func TestReturnsForeign(t *testing.T) {
	if n := len(logintest.ForeignAddresses); n < 60 {
		t.Fatalf("only %d spellings", n)
	}
	r := returns(t, "https://shop.example/*")
	for _, foreign := range logintest.ForeignAddresses {
		for _, address := range []string{foreign, "https://shop.example" + foreign, "https:" + foreign, "https://shop.example/" + foreign} {
			u, err := weblogin.ParseReturn(address)
			if err != nil || r.Match(u) == 0 {
				continue
			}
			// What a browser makes of it has to be on the site.
			spelled := strings.NewReplacer("\\", "/", "\t", "", "\n", "", "\r", "").Replace(strings.TrimSpace(u.String()))
			there, err := url.Parse(spelled)
			if err != nil || there.Scheme != "https" || there.Host != "shop.example" || there.User != nil || strings.Contains(there.Path, "//") {
				t.Errorf("%q is kept as %q", address, u)
			}
		}
	}
}

// TestOrigin: what a request says about its host and scheme is believed of this machine alone.
func TestOrigin(t *testing.T) {
	for _, row := range []struct {
		configured, host, peer, proto string
		tls                           bool
		want                          string
	}{
		{configured: "https://shop.example", host: "evil.example", want: "https://shop.example"},
		{configured: "http://shop.example", host: "evil.example", proto: "https", peer: "127.0.0.1:1", want: "http://shop.example"},
		{host: "127.0.0.1:80", peer: "127.0.0.1:1", want: "http://127.0.0.1:80"},
		{host: "localhost", peer: "127.0.0.1:1", proto: "https", want: "https://localhost"},
		{host: "localhost", peer: "192.0.2.1:1", proto: "https", want: "http://localhost"},
		{host: "[::1]:80", peer: "[::1]:1", proto: "https", want: "https://[::1]:80"},
		{host: "localhost", peer: "192.0.2.1:1", tls: true, want: "https://localhost"},
		{host: "shop.example", peer: "127.0.0.1:1", want: ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Host, r.RemoteAddr = row.host, row.peer
		if row.proto != "" {
			r.Header.Set("X-Forwarded-Proto", row.proto)
		}
		if row.tls {
			r.TLS = new(tls.ConnectionState)
		}
		origin, known := weblogin.Origin(r, row.configured)
		if origin != row.want || known != (row.want != "") {
			t.Errorf("%+v: %q", row, origin)
		}
		if secure := weblogin.Secure(r, row.configured); known && secure != strings.HasPrefix(origin, "https://") {
			t.Errorf("%+v: the cookies' Secure is %v", row, secure)
		}
	}
}
