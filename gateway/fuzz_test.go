package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// FuzzLoggable: what is shown of a path holds no key, no token and nothing as long as
// an AppSecret, and what a path looks like is shown.
func FuzzLoggable(f *testing.F) {
	for _, text := range []string{"/cgi-bin/menu/get", "/zk_" + strings.Repeat("a", 50), "/a/" + strings.Repeat("0", 32), "/" +
		strings.Repeat("0", 31) + "/" + strings.Repeat("0", 31), "/zkkey_AAAAAAAAAA", strings.Repeat("/a", 200), ""} {
		f.Add(text)
	}
	secret := regexp.MustCompile(`zkkey_|zk_|[0-9A-Za-z_-]{32,}`)
	f.Fuzz(func(t *testing.T, text string) {
		want := text
		switch {
		case text == "":
			want = "[malformed]"
		case len(text) > clients.MaxPath, len(text) >= 16 && secret.MatchString(text):
			want = "[hidden]"
		}
		if got := loggable(text); got != want {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}

// FuzzQuery: the token is what net/url sees, and none is left.
func FuzzQuery(f *testing.F) {
	for _, text := range []string{
		"access_token=a", "a=b&access_token=c&d=e", "access%5Ftoken=a&access_token=b",
		"access_token=a;b", "%", "a=%zz", "&&=&", "access_token", "x=zkkey_", "x=%7akkey_", "+=+",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rest, token, refused := takeToken(text)
		values, err := url.ParseQuery(text)
		if refused != nil {
			return
		}
		if err != nil {
			t.Fatalf("%q is taken, and net/url says %v", text, err)
		}
		left, err := url.ParseQuery(rest)
		if err != nil || left.Has(tokenParam) || strings.Contains(rest, clients.KeyPrefix) {
			t.Fatalf("%q leaves %q", text, rest)
		}
		if values.Get(tokenParam) != token || len(values[tokenParam]) > 1 {
			t.Fatalf("%q: token %q, net/url has %q", text, token, values[tokenParam])
		}
		values.Del(tokenParam)
		if values.Encode() != left.Encode() {
			t.Fatalf("%q leaves %q, which means something else", text, rest)
		}
	})
}

// FuzzFetchQuery: it is read as net/url reads it.
func FuzzFetchQuery(f *testing.F) {
	for _, text := range []string{
		"grant_type=client_credential&appid=wx1&secret=zkkey_x", "appid=&appid=b", "app%69d=a&appid=b",
		"appid=a;secret=b", "appid=a&;", "%", "secret=%zz", "appid", "&&", "grant_type=a+b%2B",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var q fetchRequest
		read := q.read(text)
		values, err := url.ParseQuery(text)
		if strings.Count(text, "&") > 1000 {
			return // net/url bounds how many there are; the header of a request does it here
		}
		if read != (err == nil) {
			t.Fatalf("%q is read: %v, and net/url says %v", text, read, err)
		}
		want := fetchRequest{GrantType: values.Get("grant_type"), AppID: values.Get("appid"), Secret: values.Get("secret")}
		if read && q != want {
			t.Fatalf("%q: %+v, net/url has %+v", text, q, want)
		}
	})
}

// FuzzSettings: nothing panics, and an error shows no secret.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{
		"", "accounts:\n  - appid: wx1\n    secret: made-up-0123\n",
		"accounts: [{appid: wx1, secret: {env: X}}]", "a: *b", "- - -", "secret: made-up-0123\n\tx",
		"accounts:\n- appid: &a wx1\n  secret: *a\n", "accounts:\n !0\n00",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := ParseSettings([]byte(text), t.TempDir(), func(string) (string, bool) { return "", false })
		if err != nil && strings.Contains(err.Error(), "made-up-0123") {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// noWay is a Transport that no request may reach.
type noWay struct{}

func (noWay) RoundTrip(r *http.Request) (*http.Response, error) {
	panic("a request went to " + r.URL.Host)
}

// FuzzRequest: whatever comes without a key is refused in WeChat's shape, and nothing
// goes to WeChat.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/cgi-bin/menu/get", "access_token=x", "Bearer x", "wx1")
	f.Add("POST", "/sns/jscode2session", "secret=x&appid=wx1", "", "")
	f.Add("CONNECT", "/a", "", "Bearer zkkey_", "")
	seal := custody.NewSecret(strings.Repeat("a", 32))
	g, err := New(f.Context(), Config{Store: memory.New(), SealKeys: []custody.Secret{seal}, Transport: noWay{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = g.Close() })
	f.Fuzz(func(t *testing.T, method, path, query, authorization, appID string) {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Method, r.URL = method, &url.URL{Path: path, RawQuery: query}
		r.Header.Set("Authorization", authorization)
		r.Header.Set(appIDHeader, appID)
		if p := r.URL.EscapedPath(); p == healthPath || p == readyPath || userPaths[p] {
			return
		}
		answer := httptest.NewRecorder()
		g.ServeHTTP(answer, r)
		if !strings.Contains(answer.Body.String(), `"errcode":`) || answer.Code != http.StatusOK {
			t.Fatalf("%s %q: %d %s", method, path, answer.Code, answer.Body)
		}
	})
}
