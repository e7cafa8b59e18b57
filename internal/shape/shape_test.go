package shape_test

import (
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/internal/test/shapetest"
)

const (
	appID    = shapetest.AppID
	secret   = shapetest.Secret
	token    = shapetest.Token
	aesKey   = shapetest.AESKey
	key      = "zkkey_bWFkZSB1cCBtYWRlIHVwIG1hZGUgdXAgbWFkZSB1cCBtYWRl"
	sealKey  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	original = "gh_0123456789ab"
)

var live = "91_" + strings.Repeat("madeUp7", 20)

func account(appID, secret, token, aesKey string) []shape.Field {
	return []shape.Field{
		{Name: "appid", Kind: shape.AppID, Value: appID},
		{Name: "secret", Kind: shape.AppSecret, Value: secret},
		{Name: "token", Kind: shape.Token, Value: token},
		{Name: "aes_key", Kind: shape.AESKey, Value: aesKey},
	}
}

// TestMistakes: each has its sentence, and no sentence has a value in it.
func TestMistakes(t *testing.T) {
	t.Parallel()
	if len(shapetest.Mistakes) < 40 {
		t.Fatalf("%d mistakes", len(shapetest.Mistakes))
	}
	for _, m := range shapetest.Mistakes {
		if problem := m.Judge(shape.Check(account(m.AppID, m.Secret, m.Token, m.AESKey)...), "appid", "secret", "token", "aes_key"); problem != "" {
			t.Error(problem)
		}
	}
}

// TestLegal: what works today goes on working, made-up accounts included.
func TestLegal(t *testing.T) {
	t.Parallel()
	for _, c := range [][4]string{
		{appID, secret, token, aesKey},
		{appID, secret, "", ""},
		{appID, strings.ToUpper(secret), "fedcba9876543210fedcba9876543210", aesKey}, // a Token of 32 hexadecimal digits
		{"wx1", "made-up", "tok", ""},
		{"test-account_1", "from-the-console", "my-token", ""},
		{"WX0123456789ABCDEF", "0123456789abcdef", "wxtoken", ""},
		{"ww0123456789abcdef", "x", "91_x", aesKey[:42] + "+"},
	} {
		if err := shape.Check(account(c[0], c[1], c[2], c[3])...); err != nil {
			t.Errorf("%q: %v", c, err)
		}
	}
	if err := shape.Check(shape.Field{Name: "key", Kind: shape.ClientKey, Value: key}); err != nil {
		t.Error(err)
	}
}

// TestShow: a secret is not shown, wherever it stands; what is none is.
func TestShow(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		secret, secret[:31], secret[:20], " " + secret, "WECHAT_APPSECRET=" + secret, aesKey, aesKey[:42], key, sealKey, live,
		"redis://:made-up@localhost/0", "https://example.org/" + secret,
	} {
		if !shape.IsSecret(value) || strings.Contains(shape.Show(value), value) {
			t.Errorf("%q is shown", value)
		}
	}
	for _, value := range []string{
		appID, appID + " ", "wx1", token, "debug", "8s", "8 seconds", "/wechat/callback", "sqlite:zhongkong.db", "/var/lib/zhongkong/zhongkong.db",
		"redis://localhost:6379/0", "stable", "both", "https://api.weixin.qq.com/cgi-bin", original, "zhongkong-shop-1.example.org:8300", "verbose", "",
	} {
		if shape.IsSecret(value) || !strings.Contains(shape.Show(value), value) {
			t.Errorf("%q is not shown", value)
		}
	}
}
