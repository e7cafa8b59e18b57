// Package platform speaks WeChat's HTTP API: it fetches tokens and tickets for a
// [custody.Keeper], puts tokens into calls, recovers from one that died, and
// says in plain words what is wrong when WeChat says errcode.
//
//	api, err := platform.New(platform.Config{})
//	account := platform.Account{AppID: appID, Secret: secret}
//	keeper, err := custody.New(custody.Config{
//		Key:   api.Key(appID, platform.Stable),
//		Kind:  api.AccessToken(account, platform.Stable),
//		Store: store, Secret: secret,
//	})
//	client := api.Client(keeper, appID)
//	err = client.Get(ctx, "/cgi-bin/get_api_domain_ip", nil, &answer)
//
// A call that has a token ends in an answer or in one of three errors: [*Error]
// when WeChat answered an errcode, [*AnswerError] when what came back is no answer
// of its API, [*ConnError] when nothing came back. None of them, and nothing that
// is logged, holds an AppSecret, a token or the query of a URL.
//
// WeChat has a second host for disasters, api2.weixin.qq.com, with the same paths and
// tokens. When no connection to api.weixin.qq.com can be made (no address, refused, no
// answer in 5 s), the request goes to api2, and for 30 s those that follow go there
// first, and to api when api2 does not connect. So do fetches of tokens: of a request that never had a connection nothing can
// have left. That takes a Config.Transport that tells about its connections, as
// [http.Transport] does, and no HTTPS_PROXY, which connects in its place. Another host
// in Config.Base has no detour.
package platform

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// DefaultBase is where WeChat's API is.
const DefaultBase = "https://" + firstHost

// siteHosts are the hosts of one and the same API, the first one by default. Of WeChat's:
// the nearest, the one for disasters, Shanghai, Shenzhen, Hong Kong.
// WeChat: 接口域名.
var siteHosts = map[errcode.Host][]string{
	errcode.API:   {firstHost, secondHost, "sh.api.weixin.qq.com", "sz.api.weixin.qq.com", "hk.api.weixin.qq.com"},
	errcode.WeCom: {string(errcode.WeCom)},
}

// The steps of a connection; the whole call is bounded by Config.Timeout.
const (
	dialTimeout = 5 * time.Second
	tlsTimeout  = 5 * time.Second
	idleTimeout = 90 * time.Second
	idlePerHost = 64 // one host takes all calls
)

// Config says where the API is and how to reach it. The zero value is right for
// WeChat's own.
type Config struct {
	// Site is whose API it is: errcode.API, which "" means, or errcode.WeCom, for which
	// package wecom is. It decides which hosts may see a token, which errcodes refuse one,
	// and what errcodes mean.
	Site errcode.Host

	// Base is the URL in front of every path: another of WeChat's hosts, a gateway,
	// a simulator. It may have a path of its own. Empty means DefaultBase, or Site's host.
	Base string

	// Transport carries the requests. Nil means one of the API's own, which obeys
	// HTTPS_PROXY, with 5 s each to connect and for the TLS handshake. It sees AppSecrets and tokens: one that logs
	// URLs logs them. One that repeats requests on its own may make WeChat issue two
	// tokens. An http.Transport sends a POST over a connection that the server may be
	// about to close: [KeepAlive] around it makes that rare.
	Transport http.RoundTripper

	// Timeout bounds one call from its start to the last byte of the answer. Zero
	// means 30 s, a negative one no limit but that of the call's context. An Upload or a
	// Download may take 2 minutes if this is less; [WithTimeLimit] is for one call.
	Timeout time.Duration

	// Logger receives every call, at Debug, and a detour to api2, at Warn. Nil
	// discards.
	Logger *slog.Logger
}

// WithDefaults returns a copy with every zero field filled in.
func (c Config) WithDefaults() Config {
	if c.Site == "" {
		c.Site = errcode.API
	}
	if c.Base == "" {
		c.Base = "https://" + string(c.Site)
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// API is WeChat's API at one address. It holds no account and no token, only
// connections, and is safe for concurrent use.
type API struct {
	site        errcode.Host
	base        *url.URL // its path without a slash at the end
	calls       http.RoundTripper
	credentials http.RoundTripper
	timeout     time.Duration
	logger      *slog.Logger
}

// New checks cfg and returns the API. It connects to nothing.
func New(cfg Config) (*API, error) {
	cfg = cfg.WithDefaults()
	if siteHosts[cfg.Site] == nil {
		return nil, fmt.Errorf("platform: Config.Site is %q: it is %q or %q", cfg.Site, errcode.API, errcode.WeCom)
	}
	base, err := parseBase(cfg.Base)
	if err != nil {
		return nil, err
	}
	route := &route{log: cfg.Logger}
	return &API{
		site:        cfg.Site,
		base:        base,
		calls:       &detour{cfg.Transport, route},
		credentials: &detour{once(cfg.Transport), route},
		timeout:     cfg.Timeout,
		logger:      cfg.Logger,
	}, nil
}

func newTransport() http.RoundTripper {
	return KeepAlive(network.New(network.Steps{Dial: dialTimeout, TLS: tlsTimeout, Idle: idleTimeout, IdlePerHost: idlePerHost}))
}

// once returns rt such that a request is sent at most once. http.Transport
// repeats a GET by itself when a kept connection breaks under it, and every GET
// of /cgi-bin/token that arrives issues a token; on a new connection it does not.
func once(rt http.RoundTripper) http.RoundTripper {
	var transport *http.Transport
	switch rt := rt.(type) {
	case *http.Transport:
		transport = rt.Clone()
	case *keepAlive:
		transport = rt.single.Clone()
	default:
		return rt
	}
	transport.DisableKeepAlives = true
	return transport
}

// BaseError is what is wrong with Config.Base.
type BaseError struct {
	Err error // continues the name of a field, such as "has no host"
}

// Error puts the name of the field in front of Err.
func (e *BaseError) Error() string { return "platform: Config.Base " + e.Err.Error() }

// Unwrap returns Err.
func (e *BaseError) Unwrap() error { return e.Err }

// CheckBase says what is wrong with a Config.Base as a [BaseError] does, without a name in
// front: the caller puts that of its own field there.
func CheckBase(base string) error {
	if base == "" {
		return nil
	}
	_, err := parseBase(base)
	if wrong, ok := errors.AsType[*BaseError](err); ok {
		return wrong.Err
	}
	return err
}

// parseBase says what is wrong without quoting text: a URL may hold a password.
func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	if err != nil {
		return nil, &BaseError{fmt.Errorf("is not a URL: %w", withoutURL(err))}
	}
	base.Scheme, base.Host = strings.ToLower(base.Scheme), strings.ToLower(base.Host)
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = strings.TrimRight(base.RawPath, "/")
	switch {
	case base.Scheme != "https" && base.Scheme != "http":
		err = errors.New("must begin with https:// or http://")
	case base.Hostname() == "":
		err = errors.New("has no host")
	case base.User != nil:
		err = errors.New("must not hold a user name or password")
	case base.RawQuery != "" || base.ForceQuery:
		err = errors.New("must not hold a query")
	case base.Fragment != "":
		err = errors.New("must not hold a fragment")
	case strings.HasSuffix(base.Path, "/cgi-bin"):
		err = errors.New("must not end in /cgi-bin, with which the paths of the calls begin: take it away")
	case climbs(base.Path):
		err = errors.New("must not hold . or .. in its path")
	case base.Scheme == "http" && ofSite(base.Hostname()):
		err = errors.New("must begin with https:// for WeChat's own hosts, or the AppSecret travels in the clear")
	default:
		return base, nil
	}
	return nil, &BaseError{err}
}

// ofSite reports whether host is one of Tencent's.
func ofSite(host string) bool {
	host = strings.TrimSuffix(host, ".")
	for _, hosts := range siteHosts {
		if slices.Contains(hosts, host) {
			return true
		}
	}
	return false
}

// climbs reports whether a decoded path leaves where it starts.
func climbs(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(segment string) bool {
		return segment == "." || segment == ".."
	})
}

// Base returns the URL in front of every path, without a slash at its end.
func (a *API) Base() string { return a.base.String() }

// Host returns the host and port of a base that is not WeChat's own, "" for
// WeChat's: what a [custody.Key] has to say about where a token comes from.
func (a *API) Host() string {
	if isAt(a.base, a.site) {
		return ""
	}
	if host, isDefault := strings.CutSuffix(a.base.Host, ":"+defaultPort(a.base.Scheme)); isDefault {
		return host
	}
	return a.base.Host
}

// Key returns the name under which every process that reaches this API keeps the
// access_token of appID, and so shares it.
func (a *API) Key(appID string, tokenAPI TokenAPI) custody.Key {
	return custody.Key{
		Kind: "access_token", AppID: appID, API: string(tokenAPI.orDefault()), Host: a.Host(),
	}
}

// RoundTripper returns what the API's calls travel by: Config.Transport, with the
// detour to api2.weixin.qq.com. It adds no token; a [Transport] over it does.
func (a *API) RoundTripper() http.RoundTripper { return a.calls }

// CloseIdleConnections closes the connections that are kept for later calls, as
// far as Config.Transport can.
func (a *API) CloseIdleConnections() {
	closeIdle(a.calls)
	closeIdle(a.credentials)
}

// trusts reports whether a token may travel to u. A nil API trusts WeChat's own
// hosts alone.
func (a *API) trusts(u *url.URL) bool {
	switch {
	case u.Opaque != "":
		return false
	case isAt(u, a.where()):
		return true
	default:
		return a != nil && origin(u) == origin(a.base)
	}
}

// where returns the site; a nil API is of WeChat's own.
func (a *API) where() errcode.Host {
	if a == nil {
		return errcode.API
	}
	return a.site
}

func (a *API) log() *slog.Logger {
	if a == nil {
		return slog.New(slog.DiscardHandler)
	}
	return a.logger
}

// isAt reports whether u is at a host of site, over https.
func isAt(u *url.URL, site errcode.Host) bool {
	to := origin(u)
	return to == place{"https", to.host, "443"} && slices.Contains(siteHosts[site], to.host)
}

// place is where a URL leads. It is compared at each call, so it is no string, which would
// have to be put together.
type place struct{ scheme, host, port string }

// origin returns scheme, host and port of u in one form.
func origin(u *url.URL) place {
	to := place{strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()}
	if to.port == "" {
		to.port = defaultPort(to.scheme)
	}
	return to
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

func closeIdle(rt http.RoundTripper) {
	if closer, ok := rt.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}
