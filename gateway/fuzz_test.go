package gateway

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

var (
	fuzzNow    = time.Unix(1_700_000_000, 0)
	fuzzClient = clientID{1, 2, 3, 4, 5, 6, 7, 8}
	fuzzHash   = hashKey("made-up")
)

func fuzzTokens(tb testing.TB) *tokens {
	tb.Helper()
	t, err := newTokens([]custody.Secret{custody.NewSecret(strings.Repeat("a", 32)), custody.NewSecret(strings.Repeat("b", 32))})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func ofFuzzClient(id clientID) []keyHash {
	if id == fuzzClient {
		return []keyHash{fuzzHash}
	}
	return nil
}

// TestTokens: a token says what it was made for, for 7,500 s, and a change of any
// character is noticed.
func TestTokens(t *testing.T) {
	minted := fuzzTokens(t)
	for _, appID := range []string{"w", "wx0123456789abcdef", strings.Repeat("x", maxAppID)} {
		text := minted.mint(fuzzClient, fuzzHash, appID, fuzzNow)
		if len(text) > 512 || url.QueryEscape(text) != text {
			t.Errorf("the token has %d characters, or needs escaping: %s", len(text), text)
		}
		for age, code := range map[time.Duration]int{
			0: 0, statedLife: 0, tokenLife - time.Second: 0, tokenLife: codeExpired, 1000 * time.Hour: codeExpired, -maxAhead: 0,
			-maxAhead - time.Second: codeToken,
		} {
			said, refused := minted.open(text, fuzzNow.Add(age), ofFuzzClient)
			switch {
			case code == 0 && (refused != nil || said.appID != appID || said.client != fuzzClient || !said.issued.Equal(fuzzNow)):
				t.Errorf("after %s: %+v %v", age, said, refused)
			case code != 0 && (refused == nil || refused.code != code):
				t.Errorf("after %s: %v, want %d", age, refused, code)
			}
		}
		for i := range len(text) {
			for _, c := range []byte("A-_z0=\x00") {
				changed := []byte(text)
				if changed[i] == c {
					continue
				}
				changed[i] = c
				if _, refused := minted.open(string(changed), fuzzNow, ofFuzzClient); refused == nil {
					t.Fatalf("a token with %q at %d is taken", c, i)
				}
			}
		}
		if _, refused := minted.open(text, fuzzNow, func(clientID) []keyHash { return []keyHash{hashKey("another")} }); refused == nil {
			t.Error("a token of a key that was replaced is taken")
		}
		if _, refused := minted.open(text, fuzzNow, func(clientID) []keyHash { return nil }); refused == nil {
			t.Error("a token of a revoked client is taken")
		}
		// Rotation of the seal key: the second key of now was the first of before.
		rotated := &tokens{keys: []*sync.Pool{minted.keys[1], minted.keys[0]}}
		if _, refused := rotated.open(text, fuzzNow, ofFuzzClient); refused != nil {
			t.Error("a token of the seal key before is refused")
		}
	}
}

// FuzzToken: nothing panics, and nothing is taken but what was minted.
func FuzzToken(f *testing.F) {
	minted := fuzzTokens(f)
	good := minted.mint(fuzzClient, fuzzHash, "wx0123456789abcdef", fuzzNow)
	for _, text := range []string{good, good[:len(good)-1], good + "A", "zk_", "", "zk_AQ", "91_abc", tokenPrefix +
		strings.Repeat("A", maxToken), strings.Replace(good, "_", "\n", 1)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		said, refused := minted.open(text, fuzzNow, ofFuzzClient)
		if taken := refused == nil; taken != (text == good) && (!taken || !mintedBySomeone(minted, text)) {
			t.Fatalf("%q: %+v %v", text, said, refused)
		}
		if key, ok := parseKey(text); ok &&
			(len(text) != keyLength || base64.RawURLEncoding.EncodeToString(key[:])[:10] != text[len(keyPrefix):len(keyPrefix)+10]) {
			t.Fatalf("%q is read as a key of %x", text, key)
		}
	})
}

// mintedBySomeone reports whether text has a MAC that only the seal key makes.
func mintedBySomeone(t *tokens, text string) bool {
	var raw [maxToken]byte
	said, ok := parseToken(text, raw[:])
	if !ok {
		return false
	}
	for _, seal := range t.keys {
		sum := t.mac(seal, fuzzHash, said.payload)
		if string(sum[:tokenMAC]) == string(said.mac) {
			return true
		}
	}
	return false
}

// FuzzPath: what is clean means the same to everybody.
func FuzzPath(f *testing.F) {
	for _, text := range []string{
		"/cgi-bin/menu/get", "/", "//", "/a//b", "/a/../b", "/a/%2e%2e/b", "/a/.", "/.a", "/a./b",
		"/a\\b", "/a;b", "/a%00", "/a/", "a", "/é",
	} {
		f.Add(text)
	}
	all, _ := newPathList(nil)
	some, _ := newPathList([]string{"/cgi-bin/menu/*", "/cgi-bin/user/get"})
	f.Fuzz(func(t *testing.T, text string) {
		if !cleanPath(text) {
			return
		}
		u, err := url.Parse("http://x" + text)
		if err != nil || u.Path != text || u.EscapedPath() != text || u.RawQuery != "" || path.Clean(text) != text {
			t.Fatalf("%q is clean, and net/url has %v %v", text, u, err)
		}
		if !all.allows(text) || some.allows(text) != (text == "/cgi-bin/user/get" || strings.HasPrefix(text, "/cgi-bin/menu/")) {
			t.Fatalf("%q and the allow-list", text)
		}
	})
}

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
		case len(text) > maxPath, len(text) >= 16 && secret.MatchString(text):
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
		if err != nil || left.Has(tokenParam) || strings.Contains(rest, keyPrefix) {
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

// FuzzRequest: whatever comes without a key is refused in WeChat's shape, and nothing
// goes to WeChat.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/cgi-bin/menu/get", "access_token=x", "Bearer x", "wx1")
	f.Add("POST", "/sns/jscode2session", "secret=x&appid=wx1", "", "")
	f.Add("CONNECT", "/a", "", "Bearer zkkey_", "")
	g := &Gateway{
		cfg: Config{}.WithDefaults(), tokens: fuzzTokens(f), failures: newFailures(Config{}.WithDefaults().Logger),
		meter: newMeter(),
	}
	g.registry = newRegistry(nil, nil, g.cfg.Logger)
	g.registry.loaded.Store(true)
	g.accounts.Store(&accounts{})
	f.Fuzz(func(t *testing.T, method, path, query, authorization, appID string) {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Method, r.URL = method, &url.URL{Path: path, RawQuery: query}
		r.Header.Set("Authorization", authorization)
		r.Header.Set(appIDHeader, appID)
		if p := r.URL.EscapedPath(); p == healthPath || p == readyPath || userPaths[p] {
			return
		}
		answer := httptest.NewRecorder()
		g.ServeHTTP(answer, r) // has no way to WeChat, so a call to it would panic
		if !strings.Contains(answer.Body.String(), `"errcode":`) || answer.Code != http.StatusOK {
			t.Fatalf("%s %q: %d %s", method, path, answer.Code, answer.Body)
		}
	})
}
