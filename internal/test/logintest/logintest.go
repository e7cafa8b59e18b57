// Package logintest plays the browsers of people who log in with WeChat, for tests.
package logintest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// Browser keeps cookies of each host and follows redirects; at WeChat's pages its person
// consents.
type Browser struct {
	WeChat  *simulator.Simulator
	Consent simulator.Consent
	Hosts   map[string]http.Handler // the sites there are, such as "https://shop.example"
	Seen    []string                // the addresses it was sent to

	tb      testing.TB
	cookies map[string]map[string]*http.Cookie // by site and name
}

// New returns a browser without cookies.
func New(tb testing.TB, wx *simulator.Simulator, hosts map[string]http.Handler) *Browser {
	tb.Helper()
	return &Browser{WeChat: wx, Hosts: hosts, tb: tb, cookies: map[string]map[string]*http.Cookie{}}
}

// siteOf returns scheme and host of an address.
func siteOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Cookies returns those of a site, which the caller may change.
func (b *Browser) Cookies(site string) map[string]*http.Cookie {
	if b.cookies[site] == nil {
		b.cookies[site] = map[string]*http.Cookie{}
	}
	return b.cookies[site]
}

// Request returns what the browser sends when it opens an address.
func (b *Browser) Request(address string) *http.Request {
	b.tb.Helper()
	sent, _, _ := strings.Cut(address, "#") // the rest browsers keep to themselves
	r := httptest.NewRequestWithContext(b.tb.Context(), http.MethodGet, sent, nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone) MicroMessenger/8.0.50")
	r.Header.Set("Accept", "text/html")
	for _, c := range b.Cookies(siteOf(address)) {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r
}

// Get opens an address and follows nothing.
func (b *Browser) Get(address string) *httptest.ResponseRecorder {
	b.tb.Helper()
	handler := b.Hosts[siteOf(address)]
	if handler == nil {
		b.tb.Fatalf("there is no site at %s", address)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, b.Request(address))
	for _, line := range w.Header()["Set-Cookie"] {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			b.tb.Fatal(err)
		}
		if b.Cookies(siteOf(address))[c.Name] = c; c.MaxAge < 0 {
			delete(b.cookies[siteOf(address)], c.Name)
		}
	}
	return w
}

// Follow returns where a redirect leads: at WeChat's pages the person consents. It returns ""
// for an answer that is none.
func (b *Browser) Follow(w *httptest.ResponseRecorder) string {
	b.tb.Helper()
	location := w.Header().Get("Location")
	if location == "" || b.Hosts[siteOf(location)] != nil {
		return location
	}
	b.Seen = append(b.Seen, location)
	back, err := b.WeChat.Authorize(location, b.Consent)
	if err != nil {
		b.tb.Fatalf("%s: %v", location, err)
	}
	return back
}

// Until opens an address and follows redirects until one leads to a site, or to a page; it
// returns the address, and the page if that is one.
func (b *Browser) Until(address, site string) (string, *httptest.ResponseRecorder) {
	b.tb.Helper()
	for range 12 {
		if siteOf(address) == site {
			return address, nil
		}
		w := b.Get(address)
		next := b.Follow(w)
		if next == "" {
			return address, w
		}
		b.Seen = append(b.Seen, next)
		address = next
	}
	b.tb.Fatalf("it was sent from one address to the next: %q", b.Seen)
	return "", nil
}

// Open opens an address and whatever it leads to, and returns the page in the end.
func (b *Browser) Open(address string) *httptest.ResponseRecorder {
	b.tb.Helper()
	_, page := b.Until(address, "nowhere")
	return page
}

// ForeignAddresses are 60 spellings by which a browser might be led to another host.
var ForeignAddresses = []string{
	"//evil.example", "///evil.example", "////evil.example", `/\evil.example`, `\/evil.example`, `\\evil.example`, `/\/evil.example`, `\evil.example`,
	"http://evil.example", "https://evil.example", "HTTPS://evil.example", "https:evil.example", "https:/evil.example", "https:///evil.example",
	`https:\\evil.example`, `https:/\evil.example`, "http:evil.example", "ftp://evil.example", "//evil.example/%2f..", "/%09/evil.example",
	"javascript:alert(1)", "JavaScript:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://evil.example/x",
	"\t//evil.example", " //evil.example", "\n//evil.example", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "/ /evil.example", "/\x00/evil.example",
	"\x00//evil.example", "/\v/evil.example", "/\f/evil.example", "/\u00a0/../..//evil.example", "/\u2028/evil.example", "/\u0085/evil.example",
	"evil.example", "@evil.example", "user@evil.example", "//user@evil.example", "https://shop.example@evil.example", "https://shop.example.evil.example",
	"https://shop.example:pw@evil.example/", "//shop.example@evil.example", "/..//evil.example", "/../..//evil.example", "/.//evil.example", "/x/..//evil.example",
	`/x/..\\evil.example`, "/%2f%2fevil.example/..//", "/x//evil.example", "//[::1]", "//127.0.0.1", "//2130706433", "//0x7f000001", "", ".", "?next=//x", "#//evil.example",
}
