package platform

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// ErrForeignHost is returned by [Transport] for a request, or a redirect, to a
// host that is neither WeChat's nor that of Config.Base: a token sent there would
// be in strange hands.
var ErrForeignHost = errors.New("platform: the access_token goes to WeChat's API and to Config.Base alone")

// Error is WeChat's refusal of a call: an answer with an errcode.
type Error struct {
	Code    int          // errcode
	Host    errcode.Host // whose it is; "" is errcode.API
	Message string       // errmsg without its rid, cut to 256 bytes and cleaned of what looks like a secret
	RID     string       // names the call in WeChat's console for 7 days: "6aac005a-01bfdbee-79769285"; "" for none; of WeCom, its hint
	Path    string       // the API: "/cgi-bin/token"
	AppID   string       // the account
	Gateway bool         // it was a zhongkong gateway that refused, not WeChat
	IP      string       // of codes about an IP whitelist: the address to add, "" when WeChat named none
}

// Error says what happened, to which account, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	who, rid := "WeChat", "rid"
	switch {
	case e.Gateway:
		who = "the gateway"
	case e.Host == errcode.WeCom:
		who, rid = "WeCom", "hint"
	}
	fmt.Fprintf(&b, "%s refuses %s for %s: errcode %d", who, e.Path, e.AppID, e.Code)
	if e.Message != "" {
		b.WriteString(", " + e.Message)
	}
	if e.RID != "" {
		b.WriteString(" (" + rid + " " + e.RID + ")")
	}
	b.WriteString(". " + e.Info().Cause + " " + e.Remedy())
	return b.String()
}

// Info returns what the code means in an answer of this API; 40001 of a token
// endpoint is a wrong AppSecret. From a gateway it is about the program's own key.
func (e *Error) Info() errcode.Info {
	info, _ := errcode.LookupOn(e.site(), e.Code)
	if e.site() == errcode.API && (e.Path == classicPath || e.Path == stablePath) {
		info = errcode.AtTokenEndpoint(e.Code)
	}
	if words, own := ofGateway[e.Code]; own && e.Gateway {
		info.Cause, info.Remedy, info.RemedyZH = words.Cause, words.Remedy, words.RemedyZH
	}
	return info
}

func (e *Error) site() errcode.Host {
	if e.Host == "" {
		return errcode.API
	}
	return e.Host
}

// Remedy says what to do, in English. For an IP whitelist it names the address
// to add and the place.
func (e *Error) Remedy() string {
	remedy := e.Info().Remedy
	if e.IP != "" {
		remedy = "The address is " + e.IP + ". " + remedy
	}
	return remedy
}

// RemedyZH is Remedy in Chinese.
func (e *Error) RemedyZH() string {
	remedy := e.Info().RemedyZH
	if e.IP != "" {
		remedy = "本机出口 IP 为 " + e.IP + "。" + remedy
	}
	return remedy
}

// gatewayMark is in the errmsg of what a gateway says itself.
const gatewayMark = "(zhongkong)"

// What codes mean when a gateway says them: they are about the program's own key and
// rights, and WeChat knows nothing of it.
var (
	keyRefused = errcode.Info{
		Cause:  "The gateway refuses this program's key, or a token that was fetched with it: it is wrong, or was rotated, revoked or has ended.",
		Remedy: "Give the program a living key as its AppSecret (zhongkong client list, client rotate).", RemedyZH: "给程序换上有效的客户端密钥（zhongkong client list、client rotate）。",
	}
	notAllowed = errcode.Info{
		Cause:  "The gateway does not let this program's client do that: its key is not for this account or this path.",
		Remedy: "Look at what the client may do (zhongkong client list), and at the gateway's log.", RemedyZH: "检查这个客户端的权限（zhongkong client list）和网关日志。",
	}
	gatewayTrouble = errcode.Info{
		Cause:  "The gateway has no token for this account: WeChat refuses the gateway's own credentials, not this program's.",
		Remedy: "See the gateway's log: correct the AppSecret there.", RemedyZH: "查看网关日志，在网关上改正 AppSecret。",
	}
	gatewayBusy = errcode.Info{
		Cause:  "The gateway cannot answer now: WeChat or the gateway's store cannot be reached, or the gateway is ending.",
		Remedy: "Try again a little later; if it persists, see the gateway's log.", RemedyZH: "请稍后重试；如果一直如此，请查看网关日志。",
	}
	ofGateway = map[int]errcode.Info{
		40001: keyRefused, 40014: keyRefused, 40125: keyRefused, 42001: keyRefused,
		40013: notAllowed, 48001: notAllowed, gatewayCode: gatewayTrouble, -1: gatewayBusy,
	}
)

// gatewayCode is what a gateway answers when WeChat refuses what is the gateway's own.
const gatewayCode = -3

var (
	ridPattern = regexp.MustCompile(`,?\s*\brid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})`)

	// hintPattern finds what WeCom adds to every errmsg: hint, the caller's address, which may be
	// empty, and where to read more. A test of TLS and old gateways leave parts out.
	hintPattern = regexp.MustCompile(`,? ?hint: ?\[([0-9A-Za-z_]*)\](?:, from ip: ?([^,\s]*))?(?:, more info at \S*)?`)

	// addressPattern finds the address in the texts of 40164 and 61004.
	addressPattern = regexp.MustCompile(`invalid ip (\S+?)(?: ipv6 (\S+?))?, not in whitelist|requestIP: (\S+)`)

	// secretPattern finds what has the shape of an AppSecret or a token.
	secretPattern = regexp.MustCompile(`[0-9A-Za-z_-]{32,}`)
)

// newError reads errmsg, which is free text: in 2018 it ended in a hint, today
// in a rid, and a proxy may write what it likes.
func newError(r request, code int, errmsg string) *Error {
	e := &Error{Code: code, Path: r.path, AppID: r.appID}
	if r.site != errcode.API {
		e.Host = r.site
	}
	if m := hintPattern.FindStringSubmatch(errmsg); m != nil && r.site == errcode.WeCom {
		if !slices.ContainsFunc(r.secrets, func(secret string) bool { return strings.Contains(m[1], secret) }) {
			e.RID = shorten(m[1], 64)
		}
		errmsg = strings.Replace(errmsg, m[0], "", 1)
		if ip, err := netip.ParseAddr(m[2]); err == nil && e.Info().PerHost {
			e.IP = ip.String()
		}
	}
	if m := ridPattern.FindStringSubmatch(errmsg); m != nil {
		e.RID = m[1]
		errmsg = strings.Replace(errmsg, m[0], "", 1)
	}
	errmsg, _, e.Gateway = strings.Cut(errmsg, gatewayMark)
	errmsg = clean(errmsg, r.secrets)
	for _, address := range addressPattern.FindStringSubmatch(errmsg) {
		if ip, err := netip.ParseAddr(address); err == nil {
			e.IP = ip.String()
			break
		}
	}
	e.Message = shorten(strings.TrimSpace(errmsg), 256)
	return e
}

// clean makes text from the network fit to print: valid, up to the first control
// character, and without secrets.
func clean(text string, secrets []string) string {
	text = strings.ToValidUTF8(text, "")
	if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }); i >= 0 {
		text = text[:i]
	}
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, "[secret]")
	}
	return secretPattern.ReplaceAllString(text, "[secret]")
}

// shorten cuts text to at most limit bytes, between two characters.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// AnswerError is an answer that is none of WeChat's API: a proxy's error page, an
// answer cut short, a JSON of another shape. It does not quote the answer, which
// may hold a token.
type AnswerError struct {
	Path   string // the API that was called
	AppID  string // the account
	Status int    // of HTTP
	Type   string // the media type that the answer claims: "text/html"; "" when it claims none
	Bytes  int    // how much of the answer was read
	Reason string // the first thing that is wrong with it: "it is HTML, not JSON"
	Err    error  // of decoding into the caller's own type; else nil
}

// Error says what was wrong with the answer and what it claimed to be.
func (e *AnswerError) Error() string {
	kind := e.Type
	if kind == "" {
		kind = "no Content-Type"
	}
	s := fmt.Sprintf("the answer to %s for %s cannot be used: %s (HTTP %d, %s, %d bytes)", e.Path, e.AppID, e.Reason, e.Status, kind, e.Bytes)
	if e.Err != nil {
		return s + ": " + e.Err.Error()
	}
	if e.Status == http.StatusPreconditionFailed {
		return s + ". WeChat answers 412 to a body without Content-Length: this program sends one, so see what takes it away, a proxy or a Config.Transport"
	}
	return s + ". If it persists, see whether a proxy or a firewall answers in WeChat's place"
}

// Unwrap returns Err.
func (e *AnswerError) Unwrap() error { return e.Err }

// mediaType returns what a Content-Type header claims, without its parameters.
func mediaType(header string) string {
	kind, _, err := mime.ParseMediaType(header)
	if err != nil && header != "" {
		return "malformed Content-Type"
	}
	return shorten(clean(kind, nil), 64)
}

// ConnError is a call without an answer: no connection, a connection that broke,
// a timeout.
type ConnError struct {
	Path  string // the API that was called
	AppID string // the account
	Sent  bool   // whether WeChat may have got the request, and done what it asks for
	Err   error  // the cause, without URLs

	remedy string // of a cause that a person can remove; "" for none that is known
}

// Error says what broke and whether the request may have had an effect.
func (e *ConnError) Error() string {
	s := fmt.Sprintf("no answer to %s for %s: %v", e.Path, e.AppID, e.Err)
	switch {
	case e.Sent:
		return s + ". WeChat may have got the request"
	case e.remedy != "":
		return s + ". WeChat cannot have got the request. " + e.remedy
	}
	return s + ". WeChat cannot have got the request; see network, DNS, proxy and clock"
}

// Unwrap returns Err.
func (e *ConnError) Unwrap() error { return e.Err }

// withoutURL takes err out of every *url.Error around it, which prints the URL
// with its query, and with the query the secret.
func withoutURL(err error) error {
	for {
		var around *url.Error
		if !errors.As(err, &around) || around.Err == nil {
			return err
		}
		err = around.Err
	}
}

// scrub returns err fit to be shown: without URLs, and without the text of an
// error that holds a secret all the same, as one of a foreign RoundTripper may.
func scrub(err error, secrets []string) error {
	err = withoutURL(err)
	switch {
	case !tells(err, secrets):
		return err
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	default:
		return fmt.Errorf("the transport failed with a %T, whose text holds a secret", err)
	}
}

// tells reports whether the text of err or of an error inside it holds one of
// secrets or a query that could.
func tells(err error, secrets []string) bool {
	text := err.Error()
	if strings.Contains(text, "secret=") || strings.Contains(text, "access_token=") {
		return true
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
			return true
		}
	}
	switch err := err.(type) { //nolint:errorlint // it walks the tree by itself
	case interface{ Unwrap() error }:
		inner := err.Unwrap()
		return inner != nil && tells(inner, secrets)
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			if inner != nil && tells(inner, secrets) {
				return true
			}
		}
	}
	return false
}
