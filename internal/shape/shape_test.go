package shape_test

import (
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// Made up, each in the form of its kind.
const (
	appID    = "wx0123456789abcdef"
	secret   = "0123456789abcdef0123456789ABCDEF"
	token    = "madeUpToken"
	aesKey   = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	key      = "zkkey_bWFkZSB1cCBtYWRlIHVwIG1hZGUgdXAgbWFkZSB1cCBtYWRl"
	sealKey  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	original = "gh_0123456789ab"
)

var real = "91_" + strings.Repeat("madeUp7", 20)

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
	for _, c := range []struct {
		name                         string
		appID, secret, token, aesKey string
		want                         string
	}{
		{"AppID and AppSecret swapped", secret, appID, token, aesKey, "appid and secret look swapped"},
		{"and nothing else", secret, appID, "", "", "appid and secret look swapped"},
		{"AppSecret in both", secret, secret, token, "", "appid and secret are the same value"},
		{"another AppSecret in AppID", strings.ToLower(secret), secret, "", "", "appid has the form of an AppSecret"},
		{"AppID in AppSecret", "wx1", appID, "", "", "secret and appid look swapped"},
		{"AppID in both", appID, appID, "", "", "are the same value"},
		{"another AppID in AppSecret", appID, "wxfedcba9876543210", "", "", "secret has the form of an AppID"},
		{"AppID and Token swapped", token, secret, appID, "", "token and appid look swapped"},
		{"AppID and AES key swapped", aesKey, secret, token, appID, "appid and aes_key look swapped"},
		{"AppSecret and AES key swapped", appID, aesKey, token, secret, "secret and aes_key look swapped"},
		{"AppSecret and Token swapped", appID, token, secret, "", "token and secret look swapped"},
		{"Token and AES key swapped", appID, secret, aesKey, token, "token and aes_key look swapped"},
		{"Token is the AppSecret", appID, secret, secret, "", "secret and token are the same value"},
		{"Token is the AppID", appID, secret, appID, "", "appid and token are the same value"},
		{"AES key is the AppSecret", appID, secret, token, secret, "secret and aes_key are the same value"},
		{"AES key in Token", appID, secret, aesKey, "", "token has the form of an EncodingAESKey"},
		{"client key in AppID", key, secret, "", "", "appid has the form of a client's key"},
		{"client key in AppSecret", appID, key, "", "", "secret has the form of a client's key"},
		{"client key in Token", appID, secret, key, "", "token has the form of a client's key"},
		{"seal key in AppSecret", appID, sealKey, "", "", "secret has the form of a seal key"},
		{"original id", original, secret, "", "", "appid has the form of an original id"},
		{"access_token in AppSecret", appID, real, "", "", "secret has the form of an access_token"},
		{"address in AppID", "https://example.org", secret, "", "", "appid has the form of an address"},
		{"address in Token", appID, secret, "https://example.org/" + secret, "", "token has the form of an address"},
		{"quoted AppID", `"` + appID + `"`, secret, "", "", "appid has quotes around it"},
		{"quoted AppSecret", appID, `"` + secret + `"`, "", "", "secret has quotes around it"},
		{"single quotes", appID, "'" + secret + "'", "", "", "secret has quotes around it"},
		{"Chinese quotes", appID, "“" + secret + "”", "", "", "secret has quotes around it"},
		{"quoted Token", appID, secret, `"` + token + `"`, "", "token has quotes around it"},
		{"quoted AES key", appID, secret, token, `'` + aesKey + `'`, "aes_key has quotes around it"},
		{"short AppID", appID[:17], secret, "", "", "appid has 15 hexadecimal digits after wx"},
		{"long AppID", appID + "0", secret, "", "", "appid has 17 hexadecimal digits after wx"},
		{"short AppSecret", appID, secret[:31], "", "", "secret has 31 hexadecimal digits"},
		{"half an AppSecret in AppID", secret[:31], secret, "", "", ""}, // refused by nobody here, and not shown
		{"long AppSecret", appID, secret + "0", "", "", "secret has 33 hexadecimal digits"},
		{"AppSecret twice", appID, secret + secret[:31], "", "", "secret has 63 hexadecimal digits"},
		{"dots", "wx…", "…", "", "", "appid is still the placeholder"},
		{"three dots", appID, "...", "", "", "secret is still the placeholder"},
		{"angle brackets", appID, "<your AppSecret>", "", "", "secret is still the placeholder"},
		{"a variable", appID, "${SHOP_APPSECRET}", "", "", "secret is still the placeholder"},
	} {
		err := shape.Check(account(c.appID, c.secret, c.token, c.aesKey)...)
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			continue
		}
		for _, value := range []string{appID, secret, strings.ToLower(secret), token, aesKey, key, sealKey, original, real, secret[:20]} {
			if strings.Contains(err.Error(), value) {
				t.Errorf("%s: the error has the value in it: %v", c.name, err)
			}
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
		secret, secret[:31], secret[:20], " " + secret, "WECHAT_APPSECRET=" + secret, aesKey, aesKey[:42], key, sealKey, real,
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
