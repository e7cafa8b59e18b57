package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/platform"
)

const (
	maxRedacted = 4 << 20          // of an answer that is read to be redacted
	maxSecret   = 64 << 10         // of a body in which a key is replaced
	connectTime = 5 * time.Second  // to WeChat, and as long again for TLS
	headerTime  = 60 * time.Second // from the request's last byte to the answer's first
	idleTime    = 90 * time.Second // after which an unused connection is closed
	callTime    = 10 * time.Minute // a whole call, both bodies included
	idlePerHost = 256              // one host takes all calls
	maxKeyless  = 256              // calls without a key that are taken or answered; of more, the oldest end
	maxWaiting  = 320              // of those that wait for WeChat, whose time is not the caller's; likewise
	keylessTime = 25 * time.Second // a whole call without a key: nobody who has proven nothing stays longer than 30 s
	appIDHeader = "X-Wechat-Appid"
	tokenParam  = "access_token"
)

// secretPaths are the APIs that take an AppSecret, and the appid that goes with it:
// there, and nowhere else, a client key is replaced by it.
// WeChat: code2Session, 网页授权, clearQuotaByAppSecret, 第三方平台.
var secretPaths = map[string]bool{
	userTokenPath: true,
	componentPath: true,

	"/sns/jscode2session":                      true,
	"/cgi-bin/clear_quota/v2":                  true,
	"/cgi-bin/component/api_start_push_ticket": true,
	"/cgi-bin/component/clear_quota/v2":        true,
}

// userPaths are the APIs whose access_token is the end user's: it is none of the
// gateway's, and goes through untouched. WeChat: 网页授权.
var userPaths = map[string]bool{
	"/sns/userinfo":             true,
	"/sns/auth":                 true,
	"/sns/oauth2/refresh_token": true,
}

var (
	secretNames = []string{"secret", "appsecret", "component_appsecret", "component_secret"}
	appIDNames  = []string{"appid", "component_appid"}
)

func newTransport() http.RoundTripper {
	return platform.KeepAlive(network.New(network.Steps{
		Dial: connectTime, TLS: connectTime, Header: headerTime, Idle: idleTime, IdlePerHost: idlePerHost,
	}))
}

// relay carries calls to WeChat.
type relay struct {
	*desk

	limits   Limits
	api      *platform.API
	upstream http.RoundTripper
	bare     http.Handler // the proxy for calls without the account's token
	keyless  *gate.Room   // of calls without a key, while they are taken and answered
	waiting  *gate.Room   // and while WeChat has them
	spools   spools
}

func newRelay(d *desk, limits Limits, api *platform.API) *relay {
	r := &relay{
		desk: d, limits: limits, api: api, upstream: watched{api.RoundTripper()},
		keyless: gate.NewRoom(maxKeyless, 0, nil), waiting: gate.NewRoom(maxWaiting, 0, nil),
		spools: spools{most: limits.Spool, of: map[string]int64{}},
	}
	r.bare = r.reverse(api, &bare{r.upstream}, func(r *http.Request) *account {
		a, _ := r.Context().Value(accountKey{}).(*account)
		return a
	})
	return r
}

// proxy returns what carries an account's calls to WeChat: a ReverseProxy over
// the platform's Transport, which puts the token in, and recovers. The account says which
// host they go to.
func (y *relay) proxy(spec Account, signer *platform.Signer) http.Handler {
	api, upstream := y.api, y.upstream
	if _, isApp := spec.weCom(); isApp {
		api, upstream = y.accounts.corp.Platform(), watched{y.accounts.corp.RoundTripper()}
	}
	return y.reverse(api, &platform.Transport{Base: upstream, Tokens: y.current(spec.AppID), API: api, Signer: signer},
		func(*http.Request) *account { return y.accounts.find(spec.AppID) })
}

// upHeaders are what WeChat is told of a caller's header; beside them, all that begin
// with Wechatmp-.
var upHeaders = map[string]bool{
	"Accept": true, "Accept-Language": true, "Content-Encoding": true, "Content-Length": true, "Content-Type": true,
	"If-Modified-Since": true, "If-None-Match": true, "If-Range": true, "Range": true, "User-Agent": true,
}

// reverse returns a proxy over rt. Its requests have their path and query already. of
// says whose secrets an answer must not show; nil for nobody's.
func (y *relay) reverse(api *platform.API, rt http.RoundTripper, of func(*http.Request) *account) http.Handler {
	base, err := url.Parse(api.Base())
	if err != nil {
		panic(err) // platform.New has parsed it
	}
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			out := p.Out
			out.URL.Scheme, out.URL.Host, out.Host = base.Scheme, base.Host, ""
			out.URL.Path, out.URL.RawPath = base.Path+out.URL.Path, ""
			for name := range out.Header {
				if !upHeaders[name] && !strings.HasPrefix(name, "Wechatmp-") {
					delete(out.Header, name)
				}
			}
			// An answer is searched for a refusal, so it has to be readable.
			out.Header["Accept-Encoding"] = []string{"identity"}
			if _, said := out.Header["User-Agent"]; !said {
				out.Header["User-Agent"] = []string{"zhongkong"}
			}
			if out.GetBody != nil && out.ContentLength <= y.limits.BodyInMemory {
				out.Body, _ = out.GetBody() // bare, net/http sends it in one write with the header
			}
		},
		Transport:    rt,
		BufferPool:   buffers,
		ErrorHandler: y.failed,
		ModifyResponse: func(resp *http.Response) error {
			if err := modify(resp); err != nil {
				return err
			}
			if secrets := of(resp.Request).hidden(); len(secrets) > 0 {
				hide(resp, secrets)
			}
			return nil
		},
		ErrorLog: slog.NewLogLogger(y.log.Handler(), slog.LevelDebug),
	}
}

// failed answers a call that WeChat did not. The error is one of platform's, which
// hold no secret.
func (y *relay) failed(w http.ResponseWriter, r *http.Request, err error) {
	o, _ := w.(*observed)
	if o == nil {
		o = &observed{ResponseWriter: w, start: time.Now()}
	}
	refused := noToken(err)
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		refused = refuse(codeTooBig, "the body has more than %d bytes", big.Limit)
		refused.status = http.StatusRequestEntityTooLarge
	}
	switch {
	case r.Context().Err() != nil && !errors.Is(err, errCrowded):
		refused.why = "the caller has gone"
	case big == nil && o.sending.may(err):
		refused.status, refused.text = http.StatusBadGateway, carriedOut
		refused.why += "; WeChat may have carried out the call, and the caller was told so"
	}
	y.refused(o, r, r.URL.Path, refused)
}

func modify(resp *http.Response) error {
	// Of the connection to WeChat these say, not of the caller's.
	resp.Header.Del("Connection")
	if strings.HasSuffix(strings.ToLower(resp.Request.URL.Path), ridPath) {
		return redact(resp)
	}
	return whole(resp)
}

// redact takes secrets out of an answer of rid/get.
func redact(resp *http.Response) error {
	if resp.Header.Get("Content-Encoding") != "" {
		return named.Errorf("gateway", "an answer of rid/get is compressed, though it was not to be, and cannot be redacted")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRedacted+1))
	_ = resp.Body.Close()
	switch {
	case err != nil:
		return &cutError{len(body), err}
	case len(body) > maxRedacted:
		return named.Errorf("gateway", "an answer of rid/get is too long to be redacted")
	}
	for _, told := range toldSecrets {
		body = told.pattern.ReplaceAll(body, []byte(told.instead))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.TransferEncoding = nil
	return nil
}

// serveCall carries a call to WeChat, in the name of a client.
func (y *relay) serveCall(w *observed, r *http.Request, path string) *refusal {
	now := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	if !repeatable(r.Method) {
		w.sending = new(sending)
		ctx = w.sending.sends(ctx)
	}
	out := r.WithContext(ctx)
	u := *r.URL
	out.URL = &u

	switch {
	case r.Header.Get("Upgrade") != "":
		return refuse(codeURL, "the gateway carries HTTP requests alone")
	case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
		return refuse(codeURL, "WeChat's API takes GET and POST")
	case strings.Contains(path, clients.KeyPrefix), keyInHeader(r.Header):
		return refuse(codeNotAllowed, "a client key stands in the path, or in another header than Authorization: it would go to WeChat")
	case userPaths[path]:
		return y.serveUser(w, out, path, now)
	case secretPaths[path]:
		return y.serveSecret(w, out, path, now)
	}
	rest, token, refused := takeToken(r.URL.RawQuery)
	if refused != nil {
		return refused
	}
	u.RawQuery = rest
	c, a, refused := y.authenticate(w, r, token, now)
	if refused != nil {
		return refused
	}
	if !c.Allows(path) {
		return refuse(codeNotAllowed, "the path is not one of the client's")
	}
	if refused := admit(c); refused != nil {
		return refused
	}
	if refused, served := y.serveTickets(w, out, a, path); served {
		return refused
	}
	done, refused := y.keepBody(w, out)
	if refused != nil {
		return refused
	}
	defer done()
	y.carry(a.proxy, w, out)
	return nil
}

// serveTickets answers calls for tickets that the gateway keeps, and reports whether it did.
func (y *relay) serveTickets(w *observed, out *http.Request, a *account, path string) (refused *refusal, served bool) {
	_, isApp := a.weCom()
	t, isTicket := corpTicketOf(path, out)
	switch {
	case isApp && isTicket:
		return fetches{y.desk}.giveOut(w, out, a, t), true
	case !isApp && path == ticketPath:
		return fetches{y.desk}.serveTicket(w, out, a), true
	}
	return nil, false
}

// keyInHeader reports whether a client key stands where none belongs.
func keyInHeader(h http.Header) bool {
	for name, values := range h {
		for _, value := range values {
			if name != "Authorization" && strings.Contains(value, clients.KeyPrefix) || strings.Contains(name, "Zkkey_") {
				return true
			}
		}
	}
	return false
}

// authenticate returns whose call it is: by gateway token, or by key and appid.
func (y *relay) authenticate(w *observed, r *http.Request, token string, now time.Time) (*clients.Live, *account, *refusal) {
	ctx := r.Context()
	key, hasBearer := bearer(r.Header)
	switch {
	case hasBearer && token != "":
		return nil, nil, refuse(codeToken, "the call has a key and an access_token: one is enough")
	case hasBearer && (len(r.Header["Authorization"]) > 1 || len(r.Header[appIDHeader]) > 1):
		return nil, nil, refuse(codeSecret, "the call has several keys or appids")
	case hasBearer:
		c, _, refused := y.byKey(ctx, w, key, now)
		if refused != nil {
			return nil, nil, refused
		}
		a, refused := y.ofClient(ctx, w, c, r.Header.Get(appIDHeader))
		return c, a, refused
	case token == "":
		return nil, nil, refuse(codeNoToken, "the call has no access_token and no key")
	}
	c, appID, err := y.clients.ByToken(ctx, token, now)
	switch {
	case err != nil && !y.clients.Known():
		return nil, nil, unknownYet()
	case err != nil:
		return nil, nil, y.badToken(err)
	}
	w.of(c)
	a, refused := y.ofClient(ctx, w, c, appID)
	return c, a, refused
}

// takeToken takes the access_token off a query, however it is written. A query that
// two programs could read in two ways is refused, and so is one that would carry a
// client key to WeChat.
func takeToken(query string) (rest, token string, refused *refusal) {
	if strings.Contains(query, ";") {
		return "", "", refuse(codeURL, "the query holds a semicolon, which some take for an ampersand: escape it")
	}
	if query == "" {
		return "", "", nil
	}
	kept := make([]byte, 0, len(query))
	found := false
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return "", "", refuse(codeURL, "the query cannot be read")
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return "", "", refuse(codeURL, "the query cannot be read")
		}
		switch {
		case name != tokenParam && strings.Contains(value, clients.KeyPrefix), strings.Contains(name, clients.KeyPrefix):
			return "", "", refuse(codeNotAllowed, "the query holds a client key, which would go to WeChat: this path takes no secret")
		case name == tokenParam && found:
			return "", "", refuse(codeToken, "the query holds several access_tokens")
		case name == tokenParam:
			token, found = value, true
			continue
		}
		if len(kept) > 0 {
			kept = append(kept, '&')
		}
		kept = append(kept, pair...)
	}
	return string(kept), token, nil
}

// serveUser carries a call whose access_token is the end user's. Nothing of the
// gateway's is in it, and what WeChat says about it renews nothing. SDKs send nothing
// else, so it passes without a key; a key that is there has to be right, and its
// client's paths and rate hold.
func (y *relay) serveUser(w *observed, out *http.Request, path string, now time.Time) *refusal {
	_, token, refused := takeToken(out.URL.RawQuery)
	if refused != nil {
		return refused
	}
	if strings.Contains(token, clients.KeyPrefix) || strings.HasPrefix(token, clients.TokenPrefix) {
		return refuse(codeToken, "the access_token is the gateway's, or a key: this path takes the end user's")
	}
	out.Body = http.MaxBytesReader(w, out.Body, maxSecret)
	key, has := bearer(out.Header)
	if has {
		c, _, refused := y.byKey(out.Context(), w, key, now)
		switch {
		case refused != nil:
			return refused
		case !c.Allows(path):
			return refuse(codeNotAllowed, "the path is not one of the client's")
		}
		if refused := admit(c); refused != nil {
			return refused
		}
	}
	done, refused := y.keepBody(w, out)
	if refused != nil {
		return refused
	}
	defer done()
	if !has {
		limited, end := context.WithTimeout(out.Context(), keylessTime)
		defer end()
		ctx, cancel := context.WithCancelCause(limited)
		defer cancel(nil)
		g := &keyless{relay: y, addr: gate.Address(out.RemoteAddr), leave: func() { cancel(errCrowded) }}
		g.in(y.keyless)
		defer g.out()
		out = out.WithContext(context.WithValue(ctx, keylessKey{}, g))
	}
	y.carry(y.bare, w, out)
	return nil
}

// keyless is a call without a key, which has a place in one room at a time: what WeChat
// takes its time for must not keep others from being taken.
type keyless struct {
	relay *relay
	addr  netip.Addr
	leave func()
	guest *gate.Guest
}

func (k *keyless) in(room *gate.Room) { k.guest = room.Enter(k.addr, k.leave) }
func (k *keyless) out()               { k.guest.Exit() }

// keylessKey is where a request without a key has its place.
type keylessKey struct{}

// serveSecret carries a call that is made with the AppSecret: the client gives its
// key in its place.
func (y *relay) serveSecret(w *observed, out *http.Request, path string, now time.Time) *refusal {
	body, err := io.ReadAll(http.MaxBytesReader(w, out.Body, maxSecret))
	if err != nil {
		return refuse(codeFormat, "the body did not arrive, or has more than %d bytes", maxSecret)
	}
	query, err := url.ParseQuery(out.URL.RawQuery)
	if err != nil {
		return refuse(codeURL, "the query cannot be read")
	}
	fields := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(body)) > 0 && readJSON(body, &fields) != nil {
		return refuse(codeFormat, "the body is no JSON object")
	}
	key, refused := theOne(query, fields, secretNames)
	if refused != nil {
		return refused
	}
	appID, refused := theOne(query, fields, appIDNames)
	if refused != nil {
		return refused
	}
	if key == "" {
		return refuse(codeNoSecret, "no key was given: the secret is the client's zhongkong key")
	}
	c, _, refused := y.byKey(out.Context(), w, key, now)
	if refused != nil {
		return refused
	}
	a, refused := y.ofClient(out.Context(), w, c, appID)
	if refused != nil {
		return refused
	}
	if refused := mayUseSecret(c, a, path); refused != nil {
		return refused
	}
	if code := query.Get("code"); path == userTokenPath && strings.HasPrefix(code, login.Prefix) {
		return y.redeem(out.Context(), w, c, a.AppID, code)
	}
	for _, name := range secretNames {
		if query.Has(name) {
			query.Set(name, a.Secret.Reveal())
		}
		if _, there := fields[name]; there {
			fields[name], _ = json.Marshal(a.Secret.Reveal()) // a string always has JSON
		}
	}
	out.URL.RawQuery = query.Encode()
	if len(fields) > 0 {
		if body, err = json.Marshal(fields); err != nil {
			return refuse(codeFormat, "the body is no JSON object")
		}
	}
	if strings.Contains(out.URL.RawQuery, clients.KeyPrefix) || bytes.Contains(body, []byte(clients.KeyPrefix)) {
		return refuse(codeNotAllowed, "a client key stands where no secret belongs, and would go to WeChat")
	}
	y.noteSecret(out.Context(), c.Name, a.AppID, path)
	setBody(out, body)
	out = out.WithContext(context.WithValue(out.Context(), accountKey{}, a))
	y.carry(y.bare, w, out)
	return nil
}

// mayUseSecret checks the client's paths and rate.
func mayUseSecret(c *clients.Live, a *account, path string) *refusal {
	_, isApp := a.weCom()
	switch {
	case isApp:
		return refuse(codeNotAllowed, "the account is an app of WeCom: its secret goes to gettoken at WeCom alone, which the gateway asks itself")
	case !c.Allows(path):
		return refuse(codeNotAllowed, "the path is not one of the client's")
	case path == componentPath && !c.Real:
		return refuse(codeNotAllowed, "the answer is a real token of WeChat's: the client is none that gets those (--real)")
	default:
		return admit(c)
	}
}

// theOne returns the value that stands under one of names, in the query or in a
// JSON body; several are one too many, even if they are equal.
func theOne(query url.Values, fields map[string]json.RawMessage, names []string) (string, *refusal) {
	var found []string
	for _, name := range names {
		found = append(found, query[name]...)
		if raw, there := fields[name]; there {
			var text string
			if json.Unmarshal(raw, &text) != nil {
				return "", refuse(codeFormat, "%s is no string", name)
			}
			found = append(found, text)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	default:
		return "", refuse(codeFormat, "%s appears several times", names[0])
	}
}

// accountKey is where a request that goes without the account's token has the account.
type accountKey struct{}

// bare carries requests without the account's token. What fails may hold a secret in
// its URL: it is said without.
type bare struct{ base http.RoundTripper }

func (b *bare) RoundTrip(req *http.Request) (*http.Response, error) {
	guest, _ := req.Context().Value(keylessKey{}).(*keyless)
	if guest != nil {
		guest.out()
		guest.in(guest.relay.waiting)
	}
	resp, err := b.base.RoundTrip(req)
	if guest != nil {
		guest.out()
		guest.in(guest.relay.keyless)
	}
	if err != nil {
		var big *http.MaxBytesError
		switch {
		case errors.As(err, &big):
			return nil, big
		case req.Context().Err() != nil:
			return nil, context.Cause(req.Context())
		default:
			return nil, named.Errorf("gateway", "WeChat could not be reached, or did not answer")
		}
	}
	resp.Request = (&http.Request{Method: req.Method, URL: &url.URL{Path: req.URL.Path}}).WithContext(req.Context())
	resp.Header.Del("Location") // it might repeat the query; WeChat redirects none of these calls
	return resp, nil
}

// carry sends a call to WeChat and passes the answer on.
func (y *relay) carry(proxy http.Handler, w *observed, out *http.Request) {
	w.proxied = true
	proxy.ServeHTTP(w, out)
}
