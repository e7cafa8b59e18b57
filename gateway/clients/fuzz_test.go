package clients

import (
	"encoding/base64"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

var (
	fuzzNow    = time.Unix(1_700_000_000, 0)
	fuzzClient = ID{1, 2, 3, 4, 5, 6, 7, 8}
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

func ofFuzzClient(id ID) []Hash {
	if id == fuzzClient {
		return []Hash{fuzzHash}
	}
	return nil
}

// TestTokens: a token says what it was made for, for 7,500 s, and a change of any
// character is noticed.
func TestTokens(t *testing.T) {
	minted := fuzzTokens(t)
	for _, appID := range []string{"w", "wx0123456789abcdef", strings.Repeat("x", shape.MaxID)} {
		text := minted.mint(fuzzClient, fuzzHash, appID, fuzzNow)
		if len(text) > 512 || url.QueryEscape(text) != text {
			t.Errorf("the token has %d characters, or needs escaping: %s", len(text), text)
		}
		for age, want := range map[time.Duration]string{
			0: "", StatedLife: "", tokenLife - time.Second: "", tokenLife: "old", 1000 * time.Hour: "old", -maxAhead: "",
			-maxAhead - time.Second: "from the future",
		} {
			said, refused := minted.open(text, fuzzNow.Add(age), ofFuzzClient)
			switch {
			case want == "" && (refused != nil || said.appID != appID || said.client != fuzzClient || !said.issued.Equal(fuzzNow)):
				t.Errorf("after %s: %+v %v", age, said, refused)
			case want != "" && (refused == nil || refused.Expired != (want == "old") || !strings.Contains(refused.Why, want)):
				t.Errorf("after %s: %v, want %s", age, refused, want)
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
		if _, refused := minted.open(text, fuzzNow, func(ID) []Hash { return []Hash{hashKey("another")} }); refused == nil {
			t.Error("a token of a key that was replaced is taken")
		}
		if _, refused := minted.open(text, fuzzNow, func(ID) []Hash { return nil }); refused == nil {
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
	for _, text := range []string{good, good[:len(good)-1], good + "A", "zk_", "", "zk_AQ", "91_abc", TokenPrefix +
		strings.Repeat("A", maxToken), strings.Replace(good, "_", "\n", 1)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		said, refused := minted.open(text, fuzzNow, ofFuzzClient)
		if taken := refused == nil; taken != (text == good) && (!taken || !mintedBySomeone(minted, text)) {
			t.Fatalf("%q: %+v %v", text, said, refused)
		}
		if key, ok := parseKey(text); ok &&
			(len(text) != keyLength || base64.RawURLEncoding.EncodeToString(key[:])[:10] != text[len(KeyPrefix):len(KeyPrefix)+10]) {
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
		if !CleanPath(text) {
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
