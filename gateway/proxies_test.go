package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// TestTrustedProxies: X-Forwarded-For is read from the right, from the proxies that were
// named alone.
func TestTrustedProxies(t *testing.T) {
	proxies, err := gateway.ParseProxies([]string{"10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::ffff:172.16.0.0/108"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer string
		said []string
		want string
	}{
		{"203.0.113.9:1234", []string{"198.51.100.1"}, "203.0.113.9:1234"}, // a stranger's word
		{"10.1.2.3:1234", nil, "10.1.2.3:1234"},
		{"10.1.2.3:1234", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"10.1.2.3:1234", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1:0"}, // the left is the caller's invention
		{"10.1.2.3:1234", []string{"127.0.0.1", "198.51.100.1, 192.0.2.1"}, "198.51.100.1:0"},
		{"10.1.2.3:1234", []string{"10.9.9.9, 192.0.2.1"}, "10.9.9.9:0"},
		{"10.1.2.3:1234", []string{"198.51.100.1, unknown, 192.0.2.1"}, "192.0.2.1:0"},
		{"10.1.2.3:1234", []string{"198.51.100.1:5678"}, "198.51.100.1:0"},
		{"[2001:db8::1]:1234", []string{"[2001:db9::7]:5678"}, "[2001:db9::7]:0"},
		{"[::ffff:10.1.2.3]:1234", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"172.31.2.3:1234", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"[::ffff:172.16.2.3]:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1:0"},
	} {
		var got string
		h := proxies.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.said
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%s says %q: %s, want %s", c.peer, c.said, got, c.want)
		}
	}
	for text, want := range map[string]string{"0.0.0.0/0": "everybody", "::/0": "everybody", "::ffff:0.0.0.0/96": "everybody", "::ffff:0.0.0.0/90": "no network", "proxy.internal": "no address", "10.0.0.0/33": "no address"} {
		if _, err := gateway.ParseProxies([]string{text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestAttemptsBehindProxy: many wrong keys of one caller behind a named proxy make the log
// quiet about that caller, and about nobody else behind it.
func TestAttemptsBehindProxy(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	proxies, err := gateway.ParseProxies([]string{"10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	h := proxies.Handler(w.Gateway)
	refused := func() int { return strings.Count(w.log.String(), "refused a call") }
	attempt := func(from string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/cgi-bin/menu/get?access_token=wrong", http.NoBody)
		r.RemoteAddr = "10.0.0.1:80"
		r.Header.Set("X-Forwarded-For", from)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	for range 30 {
		attempt("198.51.100.1")
	}
	before := refused()
	attempt("198.51.100.2")
	if before != 20 || refused() != before+1 || !strings.Contains(w.log.String(), "remote=198.51.100.2:0") {
		t.Errorf("%d, then %d lines:\n%s", before, refused(), w.log)
	}
}
