package gateway_test

import (
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
)

// TestFingerprint: another configuration has another fingerprint; other secrets, comments and
// another order do not change it, and without the key it cannot be computed.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	const base = `listen: 127.0.0.1:8300
store: postgres://zk:password1@db/zk
tls: {domain: a.example.com}
accounts:
  - appid: wx0123456789abcdef
    secret: 0123456789abcdef0123456789abcdef
`
	key, other := custody.NewSecret(strings.Repeat("k", 32)), custody.NewSecret(strings.Repeat("o", 32))
	of := func(content string, key custody.Secret) string {
		t.Helper()
		s, err := gateway.ParseSettings([]byte(content), t.TempDir(), func(string) (string, bool) { return strings.Repeat("a", 32), true })
		if err != nil {
			t.Fatal(err)
		}
		return s.Fingerprint(key)
	}
	want := of(base, key)
	if len(want) != 32 || of(base, other) == want {
		t.Errorf("the fingerprint is %q, with another key %q", want, of(base, other))
	}
	lines := strings.SplitAfter(base, "\n")
	reordered := strings.Join(lines[3:], "") + strings.Join(lines[:3], "")
	for name, row := range map[string]struct {
		content string
		same    bool
	}{
		"a comment":           {"# of the shop\n" + base, true},
		"another order":       {reordered, true},
		"another AppSecret":   {strings.Replace(base, "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210", 1), true},
		"another password":    {strings.Replace(base, "password1", "password2", 1), true},
		"another address":     {strings.Replace(base, "8300", "8400", 1), false},
		"another domain":      {strings.Replace(base, "a.example", "b.example", 1), false},
		"another store":       {strings.Replace(base, "@db/", "@db2/", 1), false},
		"a renamed account":   {base + "    name: 主店\n", false},
		"a secret elsewhere":  {strings.Replace(base, "0123456789abcdef0123456789abcdef", "{env: SHOP_APPSECRET}", 1), false},
		"one account more":    {base + "  - {appid: wxfedcba9876543210, secret: 0123456789abcdef0123456789abcdef}\n", false},
		"another way of time": {base + "drain_grace: 7s\n", false},
	} {
		if got := of(row.content, key); (got == want) != row.same {
			t.Errorf("%s: the same fingerprint: %t", name, got == want)
		}
	}
	if got := (gateway.Settings{Listen: "127.0.0.1:8300"}).Fingerprint(key); got != "" {
		t.Errorf("settings of no file have the fingerprint %q", got)
	}
	if got := of(base, custody.Secret{}); got != "" {
		t.Errorf("without a key the fingerprint is %q", got)
	}
}
