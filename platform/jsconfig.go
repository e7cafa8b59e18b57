package platform

import (
	"crypto/rand"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
)

// JSConfig is what a page gives to wx.config of the JS-SDK, next to debug and
// jsApiList. Its JSON has the names that wx.config wants. None of it is a secret.
type JSConfig struct {
	AppID     string `json:"appId"`
	Timestamp int64  `json:"timestamp"` // Unix seconds
	NonceStr  string `json:"nonceStr"`
	Signature string `json:"signature"`
}

// NewJSConfig signs a page, of which CheckPage has said nothing, with the jsapi_ticket of an
// account.
func NewJSConfig(appID, ticket, pageURL string) JSConfig {
	config := JSConfig{AppID: appID, Timestamp: time.Now().Unix(), NonceStr: rand.Text()}
	config.Signature = JSSignature(ticket, config.NonceStr, config.Timestamp, pageURL)
	return config
}

// CheckPage finds the mistakes in a page's address, location.href, that a browser would only
// call an invalid signature. Its error does not quote the address, which may hold an OAuth
// code.
func CheckPage(pageURL string) error {
	pageURL, _, _ = strings.Cut(pageURL, "#")
	u, err := url.Parse(pageURL)
	switch {
	case err != nil:
		return errors.New("the page's URL cannot be parsed: give location.href as the browser has it")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("the page's URL must begin with https:// or http:// and a host: a path alone is not what the browser has")
	case u.User != nil:
		return errors.New("the page's URL holds a user name, which location.href never does")
	}
	if text := unlike(pageURL, u); text != "" {
		return errors.New("the page's URL " + text + ": give location.href as the browser has it")
	}
	return nil
}

// PageOrigin returns the origin, such as https://shop.example, of a page's address about which
// CheckPage has said nothing.
func PageOrigin(pageURL string) string {
	scheme, rest, _ := strings.Cut(pageURL, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// unlike returns what no browser's location.href has (https://url.spec.whatwg.org), "" for
// nothing. WeChat hashes the address as it stands, so each such difference is an invalid
// signature.
func unlike(pageURL string, u *url.URL) string {
	dots := func(path string) bool {
		return slices.ContainsFunc(strings.Split(strings.ToLower(path), "/"), func(segment string) bool {
			segment = strings.ReplaceAll(segment, "%2e", ".")
			return segment == "." || segment == ".."
		})
	}
	port := u.Port()
	switch {
	case !strings.HasPrefix(pageURL, u.Scheme+"://") || strings.ToLower(u.Host) != u.Host:
		return "has capital letters in its scheme or host, which a browser makes small"
	case u.Path == "":
		return "has no path, where a browser puts a slash after the host"
	case strings.HasSuffix(u.Host, ":"), u.Scheme == "https" && port == "443", u.Scheme == "http" && port == "80":
		return "has the port that its scheme has anyway, which a browser leaves out"
	case strings.Contains(pageURL, "&amp;"):
		return "has &amp; in it, which is an & as HTML writes it"
	case strings.ContainsFunc(pageURL, func(r rune) bool { return r > '~' }):
		return "has characters in it that a browser encodes, such as 中 as %E4%B8%AD"
	case strings.ContainsAny(pageURL, " \"<>"):
		return `has a space or one of " < > in it, which a browser encodes`
	case strings.Contains(pageURL, `\`):
		return `has a \ in it, which a browser makes a / or encodes`
	case dots(u.EscapedPath()):
		return "has . or .. in its path, which a browser resolves"
	}
	return ""
}
