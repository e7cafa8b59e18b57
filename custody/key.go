package custody

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxKeyBytes keeps a key's name indexable in every SQL dialect.
const maxKeyBytes = 255

// Key names one credential in a store. Two processes share a token exactly when
// their keys are equal.
type Key struct {
	Kind  string // what it is: "access_token", "jsapi_ticket"
	AppID string // whose it is: "wx0123456789abcdef"
	API   string // how it is fetched where there are several ways: "stable", "classic"
	Host  string // where it is fetched when that is not the issuer's own host: "127.0.0.1:8080"
}

// String returns the name under which stores keep the credential, such as
// "access_token/stable/wx0123456789abcdef" or
// "access_token/classic/wx0123456789abcdef@127.0.0.1:8080". A sealed value is
// bound to it.
func (k Key) String() string {
	var b strings.Builder
	b.Grow(len(k.Kind) + len(k.API) + len(k.AppID) + len(k.Host) + 3)
	b.WriteString(k.Kind)
	b.WriteByte('/')
	if k.API != "" {
		b.WriteString(k.API)
		b.WriteByte('/')
	}
	b.WriteString(k.AppID)
	if k.Host != "" {
		b.WriteByte('@')
		b.WriteString(k.Host)
	}
	return b.String()
}

// Check returns an error for a key under which no store keeps anything: Kind or AppID is
// missing, a part holds what would make another name of it, or the name is too long.
func (k Key) Check() error {
	for _, part := range []struct{ name, value string }{
		{"Kind", k.Kind}, {"AppID", k.AppID}, {"API", k.API}, {"Host", k.Host},
	} {
		if part.value == "" && (part.name == "Kind" || part.name == "AppID") {
			return fmt.Errorf("zhongkong: Key.%s is empty", part.name)
		}
		bad := func(r rune) bool {
			return r == '/' || r == '@' || r == utf8.RuneError || unicode.IsControl(r) || unicode.IsSpace(r)
		}
		if strings.ContainsFunc(part.value, bad) {
			return fmt.Errorf("zhongkong: Key.%s is %q: it must not contain '/', '@', white space or control characters", part.name, part.value)
		}
	}
	if n := len(k.String()); n > maxKeyBytes {
		return fmt.Errorf("zhongkong: the name of Key has %d bytes, more than %d", n, maxKeyBytes)
	}
	return nil
}
