// Package shape knows what the values of a WeChat account look like. People who copy five of
// them from a console into five fields swaps two now and then, and a secret in the field of a
// name is then printed, stored as a key and sent to strangers. So every entrance of zhongkong
// asks [Check] first, and quotes a value in an error by [Show] alone.
//
// Only what looks like another kind of value is refused: made-up accounts have values of any
// form.
package shape

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Kind is what a field is for, or what a value looks like.
type Kind string

// The kinds of the fields that are checked. Their texts are read by people.
const (
	AppID     Kind = "an AppID (wx and 16 hexadecimal digits)"
	AppSecret Kind = "an AppSecret (32 hexadecimal digits)"
	Token     Kind = "a Token (3 to 32 letters and digits)"
	AESKey    Kind = "an EncodingAESKey (43 letters and digits)"
	ClientKey Kind = "a client's key of the gateway (zkkey_…)"
)

// What else a value may look like.
const (
	sealKey     Kind = "a seal key (32 bytes in base64)"
	accessToken Kind = "an access_token"
	address     Kind = "an address"
	originalID  Kind = "an original id (原始ID, gh_…)"
)

// Field is a value that somebody typed or copied.
type Field struct {
	Name  string // as the user knows it, such as Config.AppID (WECHAT_APPID)
	Kind  Kind
	Value string // "" is not looked at
}

var forms = []struct {
	kind Kind
	form *regexp.Regexp
}{
	{AppID, regexp.MustCompile(`^wx[0-9a-f]{16}$`)},
	{AppSecret, regexp.MustCompile(`^[0-9a-fA-F]{32}$`)},
	{AESKey, regexp.MustCompile(`^[0-9A-Za-z+/]{43}$`)},
	{ClientKey, regexp.MustCompile(`^zkkey_`)},
	{sealKey, regexp.MustCompile(`^[0-9A-Za-z+/]{43}=$`)},
	{originalID, regexp.MustCompile(`^gh_[0-9a-f]{12}$`)},
	{address, regexp.MustCompile(`^[a-z0-9+.-]+://`)},
	{accessToken, regexp.MustCompile(`^[0-9]{1,3}_[0-9A-Za-z_-]{100,}$`)},
}

// of returns what a value looks like, "" for none of what is known.
func of(value string) Kind {
	for _, f := range forms {
		if f.form.MatchString(value) {
			return f.kind
		}
	}
	return ""
}

var (
	// A hexadecimal value of nearly the right length was not copied whole.
	cutAppID     = regexp.MustCompile(`^wx([0-9a-f]{13,15}|[0-9a-f]{17,20})$`)
	cutAppSecret = regexp.MustCompile(`^([0-9a-fA-F]{24,31}|[0-9a-fA-F]{33,63})$`)

	consoleToken = regexp.MustCompile(`^[0-9A-Za-z]{3,32}$`)
	placeholder  = regexp.MustCompile(`…|^\.\.\.|\.\.\.$|^<.*>$|^\$\{?[A-Za-z_]+\}?$`)
)

// quotes that surround a value, the first and the last of them.
var quotes = map[rune]rune{'"': '"', '\'': '\'', '`': '`', '“': '”', '‘': '’', '「': '」'}

// unquoted returns the value without the quotes around it, if there are any.
func unquoted(value string) (inner string, quoted bool) {
	runes := []rune(value)
	n := len(runes)
	if n < 2 || quotes[runes[0]] == 0 || quotes[runes[0]] != runes[n-1] {
		return value, false
	}
	return string(runes[1 : n-1]), true
}

// Error says what is wrong with a field, and what to do. It holds no value.
type Error struct {
	Index int // of the field, in the order of Check
	text  string
}

func (e *Error) Error() string { return e.text }

// Check returns what is wrong with the fields of one account, an [*Error], or nil.
func Check(fields ...Field) error {
	for i, f := range fields {
		if f.Value == "" {
			continue
		}
		text := f.alone()
		if text == "" {
			text = f.among(fields, i)
		}
		if text != "" {
			return &Error{i, text}
		}
	}
	return nil
}

// alone finds what the value itself tells.
func (f Field) alone() string {
	switch _, quoted := unquoted(f.Value); {
	case quoted:
		return f.Name + " has quotes around it: take them away; where a shell removes them, an --env-file of docker does not"
	case placeholder.MatchString(f.Value):
		return f.Name + " is still the placeholder of an example: put the value of your account there"
	case f.Kind == AppID && cutAppID.MatchString(f.Value):
		return fmt.Sprintf("%s has %d hexadecimal digits after wx, and an AppID has 16: copy it again", f.Name, len(f.Value)-2)
	case f.Kind == AppSecret && cutAppSecret.MatchString(f.Value):
		return fmt.Sprintf("%s has %d hexadecimal digits, and an AppSecret has 32: copy it again", f.Name, len(f.Value))
	}
	return ""
}

// among finds what the value tells next to the others. f is the one at index i.
func (f Field) among(fields []Field, i int) string {
	looks := of(f.Value)
	for j, other := range fields {
		switch {
		case j == i || other.Value == "":
		case other.Value == f.Value && other.Kind != f.Kind:
			return fmt.Sprintf("%s and %s are the same value: copy each of them again", f.Name, other.Name)
		case other.Kind == looks && f.Kind != looks && of(other.Value) != looks && f.fits(other):
			return fmt.Sprintf("%s and %s look swapped: the first has the form of %s; exchange them", f.Name, other.Name, looks)
		}
	}
	switch {
	case looks == "", looks == f.Kind:
		return ""
	case f.Kind == Token && looks == AppSecret: // which a Token may well look like
		return ""
	case f.Kind == AESKey && looks == sealKey: // package callback says that it is too long
		return ""
	}
	return fmt.Sprintf("%s has the form of %s, and should be %s: look whether two values are swapped", f.Name, looks, f.Kind)
}

// fits reports whether the value of other may belong into f, whose value belongs into other.
func (f Field) fits(other Field) bool {
	return f.Kind != Token || consoleToken.MatchString(other.Value)
}

var (
	long  = regexp.MustCompile(`[0-9A-Za-z_+=]{20,}`)
	hexes = regexp.MustCompile(`[0-9a-fA-F]{12,}`)
	names = regexp.MustCompile(`\b(w[wx][0-9a-f]{16}|gh_[0-9a-f]{12})\b`) // which are no secrets
	user  = regexp.MustCompile(`://[^/]*@`)
	corp  = regexp.MustCompile(`^[0-9A-Za-z_-]{43}$`) // the Secret of an app of WeCom
)

// IsSecret reports whether a value may be a secret or hold one, whatever field it is in.
func IsSecret(value string) bool {
	switch of(strings.TrimSpace(value)) {
	case AppSecret, AESKey, ClientKey, sealKey, accessToken:
		return true
	default:
	}
	rest := names.ReplaceAllString(value, "")
	if corp.MatchString(strings.TrimSpace(value)) && strings.ContainsAny(value, "0123456789") {
		return true
	}
	if user.MatchString(rest) || strings.Contains(rest, "zkkey_") {
		return true
	}
	for _, run := range append(long.FindAllString(rest, -1), hexes.FindAllString(rest, -1)...) {
		if strings.ContainsAny(run, "0123456789") && strings.ContainsFunc(run, func(r rune) bool { return r >= 'A' }) {
			return true
		}
	}
	return false
}

// Show returns a value for the text of an error: in quotes, or a remark in the place of what
// may be a secret.
func Show(value string) string {
	if IsSecret(value) {
		return "(not shown, as it may be a secret)"
	}
	return strconv.Quote(value)
}

// MaxID is the most bytes of what [IsID] takes; WeChat's appids have 18.
const MaxID = 64

// IsID reports whether text may stand for an appid, or for a name of which paths are
// made: 1 to MaxID letters, digits, '-' and '_'.
func IsID(text string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	return text != "" && len(text) <= MaxID && !strings.ContainsFunc(text, odd)
}

// IsAccount reports whether text may name an account of a gateway: an appid, or a WeCom app as
// corpid:agentid.
func IsAccount(text string) bool {
	corp, agent, isApp := App(text)
	if !isApp {
		return IsID(text)
	}
	return IsID(corp) && agent != "" && strings.Trim(agent, "0123456789") == "" && len(text) <= MaxID
}

// App splits the name of an account that is an app of WeCom, corpid:agentid. For any other
// account isApp is false, and corp is the whole name.
func App(account string) (corp, agent string, isApp bool) { return strings.Cut(account, ":") }

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
