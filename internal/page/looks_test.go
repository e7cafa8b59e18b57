package page_test

import (
	"html/template"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/page"
)

// shown is a page with nothing but the switches.
var shown = page.Parse(template.Must(template.New("").Parse(
	`<html lang="{{.Lang}}"{{with .Theme}} data-theme="{{.}}"{{end}}><meta name="color-scheme" content="{{.Scheme}}">{{template "switches" .}}`)))

var hrefs = regexp.MustCompile(`href="([^"]*)"`)

// TestSwitches: language and theme are chosen by links alone, hold on every page of the
// host, and leave the rest of the address as it is.
func TestSwitches(t *testing.T) {
	server := httptest.NewServer(page.Choosing(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = shown.Execute(w, page.LooksOf(r))
	})))
	defer server.Close()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	html, at := "", ""
	get := func(address string) {
		t.Helper()
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		r.Header.Set("Accept-Language", "en")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		html, at = string(body), resp.Request.URL.RequestURI()
	}
	follow := func(with string) {
		t.Helper()
		links := hrefs.FindAllStringSubmatch(html, -1)
		i := slices.IndexFunc(links, func(l []string) bool { return strings.Contains(l[1], with) })
		if i < 0 {
			t.Fatalf("no link with %s in %s", with, html)
		}
		get(server.URL + strings.ReplaceAll(links[i][1], "&amp;", "&"))
	}
	get(server.URL + "/page/?q=a%26b&n=2")
	for _, step := range []struct{ follow, lang, head, on string }{
		{"", "en", `<html lang="en"><meta name="color-scheme" content="light dark">`, "system"},
		{"lang=zh-CN", "zh-CN", `<html lang="zh-CN"><meta name="color-scheme" content="light dark">`, "跟随系统"},
		{"theme=dark", "zh-CN", `<html lang="zh-CN" data-theme="dark"><meta name="color-scheme" content="dark">`, "深色"},
		{"theme=light", "zh-CN", `<html lang="zh-CN" data-theme="light"><meta name="color-scheme" content="light">`, "浅色"},
		{"lang=en", "en", `<html lang="en" data-theme="light">`, "light"},
		{"theme=system", "en", `<html lang="en"><meta name="color-scheme" content="light dark">`, "system"},
	} {
		if step.follow != "" {
			follow(step.follow)
		}
		if !strings.HasPrefix(html, step.head) || !strings.Contains(html, `aria-label="`+step.on+`" aria-current="true"`) {
			t.Errorf("after %q: %s, want %s and %s", step.follow, html, step.head, step.on)
		}
		if query, _ := url.Parse(at); query.Path != "/page/" || query.Query().Encode() != "n=2&q=a%26b" {
			t.Errorf("after %q the address is %s", step.follow, at)
		}
	}
	follow("lang=zh-CN")
	if get(server.URL + "/other"); !strings.Contains(html, `lang="zh-CN"`) {
		t.Error("another page of the host does not know what was chosen:", html)
	}
}

// TestChoosingStaysHere: no address of a page leads to another host, and nothing unknown is kept.
func TestChoosingStaysHere(t *testing.T) {
	h := page.Choosing(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for address, want := range map[string]string{
		"//evil.example/?lang=en":         "/evil.example/",
		`/\evil.example/?lang=en`:         "/evil.example/",
		"/a/..//b?theme=dark&x=1":         "/b?x=1",
		"/?lang=fr":                       "/",
		"/?theme=%0d%0aSet-Cookie%3a+a=b": "/",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		path, query, _ := strings.Cut(address, "?")
		r.URL = &url.URL{Path: path, RawQuery: query}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != want || w.Code != http.StatusSeeOther {
			t.Errorf("%s: %d to %q, want %q", address, w.Code, got, want)
		}
		if known := strings.Contains(address, "=en") || strings.Contains(address, "=dark"); (len(w.Header()["Set-Cookie"]) > 0) != known {
			t.Errorf("%s: cookies %q", address, w.Header()["Set-Cookie"])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/?lang=en", http.NoBody))
	if w.Code != http.StatusTeapot {
		t.Error("a form was taken for a switch:", w.Code)
	}
}
