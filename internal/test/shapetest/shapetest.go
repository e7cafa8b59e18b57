// Package shapetest has the mistakes that people make with the values of an account, for the
// tests of every entrance.
package shapetest

import "strings"

// A good account. All values here are made up, each in the form of its kind.
const (
	AppID  = "wx0123456789abcdef"
	Secret = "0123456789abcdef0123456789ABCDEF"
	Token  = "madeUpToken"
	AESKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

	key      = "zkkey_bWFkZSB1cCBtYWRlIHVwIG1hZGUgdXAgbWFkZSB1cCBtYWRl"
	sealKey  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	original = "gh_0123456789ab"
)

var live = "91_" + strings.Repeat("madeUp7", 20)

// values are what no error may have in it. An AppID is no secret.
var values = []string{Secret, strings.ToLower(Secret), Token, AESKey, key, sealKey, live, Secret[:20]}

// Mistake is an account with a mistake in it.
type Mistake struct {
	Name                         string
	AppID, Secret, Token, AESKey string

	want string // what is said of it, with {appid}, {secret}, {token} and {aes_key} for the fields
}

// Mistakes are all of them.
var Mistakes = []Mistake{
	{"AppID and AppSecret swapped", Secret, AppID, Token, AESKey, "{appid} and {secret} look swapped"},
	{"and nothing else", Secret, AppID, "", "", "{appid} and {secret} look swapped"},
	{"AppSecret in both", Secret, Secret, Token, "", "{appid} and {secret} are the same value"},
	{"another AppSecret in AppID", strings.ToLower(Secret), Secret, "", "", "{appid} has the form of an AppSecret"},
	{"AppID in AppSecret", "wx1", AppID, "", "", "{secret} and {appid} look swapped"},
	{"AppID in both", AppID, AppID, "", "", "are the same value"},
	{"another AppID in AppSecret", AppID, "wxfedcba9876543210", "", "", "{secret} has the form of an AppID"},
	{"AppID and Token swapped", Token, Secret, AppID, "", "{token} and {appid} look swapped"},
	{"AppID and AES key swapped", AESKey, Secret, Token, AppID, "{appid} and {aes_key} look swapped"},
	{"AppSecret and AES key swapped", AppID, AESKey, Token, Secret, "{secret} and {aes_key} look swapped"},
	{"AppSecret and Token swapped", AppID, Token, Secret, "", "{token} and {secret} look swapped"},
	{"Token and AES key swapped", AppID, Secret, AESKey, Token, "{token} and {aes_key} look swapped"},
	{"Token is the AppSecret", AppID, Secret, Secret, "", "{secret} and {token} are the same value"},
	{"Token is the AppID", AppID, Secret, AppID, "", "{appid} and {token} are the same value"},
	{"AES key is the AppSecret", AppID, Secret, Token, Secret, "{secret} and {aes_key} are the same value"},
	{"AES key in Token", AppID, Secret, AESKey, "", "{token} has the form of an EncodingAESKey"},
	{"client key in AppID", key, Secret, "", "", "{appid} has the form of a client's key"},
	{"client key in AppSecret", AppID, key, "", "", "{secret} has the form of a client's key"},
	{"client key in Token", AppID, Secret, key, "", "{token} has the form of a client's key"},
	{"seal key in AppSecret", AppID, sealKey, "", "", "{secret} has the form of a seal key"},
	{"original id", original, Secret, "", "", "{appid} has the form of an original id"},
	{"access_token in AppSecret", AppID, live, "", "", "{secret} has the form of an access_token"},
	{"address in AppID", "https://example.org", Secret, "", "", "{appid} has the form of an address"},
	{"address in Token", AppID, Secret, "https://example.org/" + Secret, "", "{token} has the form of an address"},
	{"quoted AppID", `"` + AppID + `"`, Secret, "", "", "{appid} has quotes around it"},
	{"quoted AppSecret", AppID, `"` + Secret + `"`, "", "", "{secret} has quotes around it"},
	{"single quotes", AppID, "'" + Secret + "'", "", "", "{secret} has quotes around it"},
	{"Chinese quotes", AppID, "“" + Secret + "”", "", "", "{secret} has quotes around it"},
	{"quoted Token", AppID, Secret, `"` + Token + `"`, "", "{token} has quotes around it"},
	{"quoted AES key", AppID, Secret, Token, `'` + AESKey + `'`, "{aes_key} has quotes around it"},
	{"short AppID", AppID[:17], Secret, "", "", "{appid} has 15 hexadecimal digits after wx"},
	{"long AppID", AppID + "0", Secret, "", "", "{appid} has 17 hexadecimal digits after wx"},
	{"short AppSecret", AppID, Secret[:31], "", "", "{secret} has 31 hexadecimal digits"},
	{"long AppSecret", AppID, Secret + "0", "", "", "{secret} has 33 hexadecimal digits"},
	{"AppSecret twice", AppID, Secret + Secret[:31], "", "", "{secret} has 63 hexadecimal digits"},
	{"all in quotes", "'" + AppID + "'", "'" + Secret + "'", "'" + Token + "'", "", "{appid} has quotes around it"},
	{"client key in AES key", AppID, Secret, Token, key, "{aes_key} has the form of a client's key"},
	{"AppID in AES key", AppID, Secret, Token, "wxfedcba9876543210", "{aes_key} has the form of an AppID"},
	{"dots", "wx…", "…", "", "", "{appid} is still the placeholder"},
	{"three dots", AppID, "...", "", "", "{secret} is still the placeholder"},
	{"angle brackets", AppID, "<AppSecret>", "", "", "{secret} is still the placeholder"},
	{"a variable", AppID, "${SHOP_APPSECRET}", "", "", "{secret} is still the placeholder"},
}

// Judge returns what is wrong with err, which an entrance returned for m; "" for nothing.
// names are what it calls {appid}, {secret}, {token} and {aes_key}.
func (m Mistake) Judge(err error, names ...string) string {
	var pairs []string
	for i, field := range []string{"{appid}", "{secret}", "{token}", "{aes_key}"} {
		pairs = append(pairs, field, names[i])
	}
	want := strings.NewReplacer(pairs...).Replace(m.want)
	if err == nil {
		return m.Name + ": no error, want " + want
	}
	if !strings.Contains(err.Error(), want) {
		return m.Name + ": got " + err.Error() + ", want " + want
	}
	for _, value := range values {
		if strings.Contains(err.Error(), value) {
			return m.Name + ": the error has a value in it: " + err.Error()
		}
	}
	return ""
}
