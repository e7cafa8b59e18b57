package gateway

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/journal"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/store"
)

// The defaults of [Limits].
const (
	defaultBodyInMemory = 256 << 10
	defaultBodyOnDisk   = 32 << 20
	defaultBody         = 256 << 20
	defaultSpool        = 1 << 30
)

// Config describes a gateway.
type Config struct {
	// Accounts are those of the configuration file; Replace changes them.
	Accounts []Account

	// Store keeps tokens, clients, the journal, pushes and logins. Required: every engine
	// of this module does. The gateway does not close it.
	Store store.Store

	// SealKeys, 32 bytes each, seal the tokens in the store, and gateway tokens are
	// made with keys derived from them: the first makes, all accept. At least one.
	// All gateways on a store need the same.
	SealKeys []custody.Secret

	// APIBase is where WeChat's API is. Empty means https://api.weixin.qq.com, with
	// api2.weixin.qq.com where that cannot be reached.
	APIBase string

	// WeComBase is where WeCom's API is, for the accounts that are apps of WeCom. Empty means
	// https://qyapi.weixin.qq.com, or APIBase if that is on this machine, as a simulator is.
	WeComBase string

	// Transport carries the requests to WeChat. Nil means one with timeouts that
	// obeys HTTPS_PROXY. It sees AppSecrets and tokens.
	Transport http.RoundTripper

	// Callbacks carries pushes to subscribers. Nil means one with timeouts that obeys
	// HTTPS_PROXY and NO_PROXY.
	Callbacks http.RoundTripper

	// Login is the login relay.
	Login Login

	// Limits bound what programs may send.
	Limits Limits

	// Timing and Overlap are those of every Keeper; see custody.Config.
	Timing  custody.Timing
	Overlap time.Duration

	// Journal are places where the journal goes beside the store. The gateway closes them,
	// also when New returns an error.
	Journal []*journal.Sink

	// Logger is told of failures (Warn), renewals and changes (Info). Nil discards.
	Logger *slog.Logger

	// Access is told of every request, without its query, at Info. Nil discards.
	Access *slog.Logger

	// Trace is told what all Keepers do, beside the gateway's own counting; see
	// Numbers. Nil costs nothing.
	Trace *custody.Trace
}

// Login is where people log in for clients that have return addresses; see package login.
type Login struct {
	// Origin is the gateway's public address, such as https://login.example, whose host is
	// in WeChat's console (网页授权域名). Empty is enough on one's own machine alone.
	Origin string

	// OpenBase is where WeChat's pages are. Empty means https://open.weixin.qq.com, or
	// APIBase if that is on this machine, as a simulator is.
	OpenBase string
}

// Limits bound what programs may send, in bytes. A zero field means its default.
type Limits struct {
	BodyInMemory int64 // up to this, a body is kept in memory until its call was answered; 256 KiB
	BodyOnDisk   int64 // up to this, in a temporary file; a larger one is sent once and never again; 32 MiB
	Body         int64 // what is longer is refused; 256 MiB
	Spool        int64 // of all bodies in temporary files together, a quarter of it for one client; 1 GiB
}

// WithDefaults returns a copy with every zero field filled in.
func (l Limits) WithDefaults() Limits {
	if l.BodyInMemory == 0 {
		l.BodyInMemory = defaultBodyInMemory
	}
	if l.BodyOnDisk == 0 {
		l.BodyOnDisk = defaultBodyOnDisk
	}
	if l.Body == 0 {
		l.Body = defaultBody
	}
	if l.Spool == 0 {
		l.Spool = defaultSpool
	}
	return l
}

// WithDefaults returns a copy with every zero field filled in that has a default.
func (c Config) WithDefaults() Config {
	c.Limits = c.Limits.WithDefaults()
	if u, err := url.Parse(c.APIBase); c.WeComBase == "" && err == nil && weblogin.IsLoopback(u.Hostname()) {
		c.WeComBase = c.APIBase
	}
	c.Login.OpenBase = weblogin.OpenBase(c.Login.OpenBase, c.APIBase)
	for _, log := range []**slog.Logger{&c.Logger, &c.Access} {
		if *log == nil {
			*log = slog.New(slog.DiscardHandler)
		}
	}
	return c
}

func (c Config) validate() error {
	if c.Store == nil {
		return named.Errorf("gateway", "Config.Store is nil: open one, for instance with store/sqlite")
	}
	if len(c.SealKeys) == 0 {
		return named.Errorf("gateway", "Config.SealKeys (ZHONGKONG_SEAL_KEY) is empty: make a key with openssl rand -base64 32, and give every gateway of the store the same")
	}
	for _, address := range []struct{ name, value string }{{"Origin", c.Login.Origin}, {"OpenBase", c.Login.OpenBase}} {
		if err := weblogin.CheckOrigin(address.value); err != nil && address.value != "" {
			return named.Errorf("gateway", "Config.Login.%s %w", address.name, err)
		}
	}
	for _, l := range []struct {
		name  string
		value int64
	}{{"BodyInMemory", c.Limits.BodyInMemory}, {"BodyOnDisk", c.Limits.BodyOnDisk}, {"Body", c.Limits.Body}, {"Spool", c.Limits.Spool}} {
		if l.value < 0 {
			return named.Errorf("gateway", "Config.Limits.%s is %d: it must not be negative", l.name, l.value)
		}
	}
	if c.Limits.Spool/4 < c.Limits.BodyOnDisk {
		return named.Errorf("gateway", "Config.Limits.Spool is %d, of which one client has a quarter: that must not be less than BodyOnDisk, %d, or the longest bodies have no room",
			c.Limits.Spool, c.Limits.BodyOnDisk)
	}
	return nil
}
