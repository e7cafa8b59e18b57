package wechat

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/environ"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
	"github.com/zhongkong-go/zhongkong/platform"
)

// Key is the default of Config.ContextKey.
const Key = "wechat"

// Secret wraps a string for the fields of Config that must not print.
func Secret(value string) custody.Secret { return custody.NewSecret(value) }

// Config describes one WeChat account. AppID is required, and AppSecret or Gateway;
// Token for callbacks; the zero value of every other field is right for most. The
// console meant below is 微信公众平台, 设置与开发.
type Config struct {
	AppID     string         // wx and 16 hexadecimal digits
	AppSecret custody.Secret // from the console (开发密钥)

	// Gateway takes the token from a gateway (zhongkong serve) instead of WeChat, and
	// needs no AppSecret: its address, such as https://zhongkong:8300, or several
	// separated by commas, which are asked in turn. A token that the gateway renews is
	// here at once, and while no gateway can be reached the last one is used until its
	// end. See package source, whose Source it is.
	//
	// A client with real tokens (zhongkong client add --real) calls WeChat itself, from
	// a whitelisted address. Calls of any other client go through the gateway.
	// TokenAPI, Overlap, DailyFetches and FetchWithoutStore are the gateway's business
	// then. StoreURL is memory: unless it is set; with another store, the last token
	// outlives the process, and messages are handled once by all processes.
	Gateway string

	// GatewayKey is the client's key, which zhongkong client add has printed.
	GatewayKey custody.Secret

	// GatewayCA is a file of certificates in PEM that the gateway's may be signed with, besides
	// the system's authorities; or the gateway's own, if it signed itself.
	GatewayCA string

	// GatewayTransport carries the requests to the gateway, instead of GatewayCA: for a client
	// certificate of your own. Nil means one with timeouts that obeys HTTPS_PROXY.
	GatewayTransport http.RoundTripper

	// Token is the one of the console's message push (消息推送), which asks for 3 to
	// 32 letters and digits; others work here and are warned about. Without it
	// every callback is refused, which New says at Warn.
	Token custody.Secret

	// PreviousToken is accepted besides Token while a change is on its way to all of
	// WeChat's servers.
	PreviousToken custody.Secret

	// AESKey is the console's EncodingAESKey, 43 letters and digits. Set it in safe
	// mode (安全模式) and in compatible mode; then a push in plain text is refused,
	// whatever it says about itself. Empty means plain mode.
	AESKey custody.Secret

	// PreviousAESKey opens what AESKey does not, during a change.
	PreviousAESKey custody.Secret

	// TokenAPI is the way to the token. Empty means platform.Stable, which tolerates
	// other programs that fetch for the same account; platform.Classic is for
	// accounts whose other programs all take their token from this store.
	TokenAPI platform.TokenAPI

	// APIBase is where WeChat's API is: another of its hosts, a gateway, a
	// simulator. Empty means https://api.weixin.qq.com.
	APIBase string

	// Signing signs and encrypts the calls of its paths (服务端 API 签名加密), also those that a
	// gateway carries, and verifies the answers. Its AppID may be left empty. Nil does
	// nothing.
	Signing *platform.Signing

	// Origin is this program's public address, such as https://shop.example, to which
	// WeChat sends browsers back after Client.Login. Its host has to be in the console
	// (网页授权域名). With https, cookies are Secure. Empty is enough on one's own machine
	// alone: what a request says about its host is not believed.
	Origin string

	// OpenBase is where WeChat's pages for logins are: a simulator. Empty means
	// https://open.weixin.qq.com, or APIBase if that is on this machine, as a simulator is.
	OpenBase string

	// Store keeps the token, instead of StoreURL. Close does not close it.
	Store custody.Store

	// StoreURL names a store that New opens and Close closes. Clients of one process that
	// name the same file share it; the last one to be closed closes it:
	//
	//	sqlite:zhongkong.db    a file in the working directory; the default
	//	sqlite:/abs/path.db    a file; sqlite:///abs/path.db is the same
	//	memory:                nothing that outlives the client: a fetch at every start;
	//	                       the default with a Gateway
	//
	// Other stores go into Store: this package links SQLite alone.
	StoreURL string

	// SealKeys, 32 bytes each, encrypt the token in the store: the first one seals,
	// all open. Without one it is stored in the clear, in a file that only its
	// owner reads.
	SealKeys []custody.Secret

	// KeepSessionKeys keeps the session_key of each login of Client.MiniLoginHandler, sealed
	// with SealKeys, or else with the AppSecret, for Client.SessionKey: for three days, 100,000
	// at most, 50 of one user. The Store has to remember messages, as those of this module
	// do. False keeps none.
	KeepSessionKeys bool

	// CallbackPath is the path of the URL in the console, without wildcards; a slash at
	// its end does not matter. Empty means "/".
	CallbackPath string

	// ContextKey is where handlers find the client: c.MustGet(ContextKey). Empty
	// means Key, "wechat". Each account of an engine needs its own.
	ContextKey string

	// Freshness is how far the timestamp of a push may lie from this machine's
	// clock, so that an old one cannot be repeated. 0 means 5 minutes; a negative
	// value switches the check off.
	Freshness time.Duration

	// Messages answers what followers send, on CallbackPath and wherever
	// Client.Callback stands; routes behind get no message then. Nil leaves messages
	// to the routes, for which there is the function Messages too.
	Messages *callback.Router

	// Endpoint is what else can be chosen about messages: AtMostOnce, Working,
	// Limits, Refused. Verifier and Router have to be nil; other fields that are
	// empty are the client's: its store if that can remember messages, as those of
	// this module can, its Logger, its SealKeys, and Client.Send as the Sender.
	Endpoint callback.EndpointConfig

	// Overlap is how long a superseded token still works; see custody.Config.
	// 0 means WeChat's rule.
	Overlap time.Duration

	// DailyFetches bounds the fetches of one Beijing day, over all processes on the
	// store, of the token and of each ticket. 0 means 5,000 (stable), 1,800 (classic),
	// 500 (a ticket); a negative value means no limit.
	DailyFetches int

	// FetchWithoutStore lets this process fetch a classic token although the store
	// is unavailable; set it in one process at most. See custody.Config.
	FetchWithoutStore bool

	// Scheduler sets the pace of renewals for many accounts. Nil gives one to all clients
	// on the same store.
	Scheduler *custody.Scheduler

	// Timing bounds the steps of a renewal. The zero value is right for WeChat over a
	// usual network; where WeChat answers slowly, FetchTimeout grows.
	Timing custody.Timing

	// CallTimeout is how long one Get, Post, or request of the HTTPClient may take, whatever
	// its context allows, and an Upload or a Download, which may take 2 minutes if this is less.
	// 0 means 30 s, a negative value no limit but the context's. Through a gateway WeChat's answer
	// has to begin within a minute. WithTimeLimit is for one call.
	CallTimeout time.Duration

	// Transport carries the requests to WeChat. Nil means one with timeouts that
	// obeys HTTPS_PROXY; see platform.Config. It sees AppSecret and tokens.
	Transport http.RoundTripper

	// Logger receives renewals (Info), failures and refused callbacks (Warn)
	// and of every call (Debug). Nil means [slog.Default].
	Logger *slog.Logger

	// Trace receives what becomes of the token and the tickets: renewals, failures,
	// refusals, calls of the store. See custody.Trace. Nil costs nothing.
	Trace *custody.Trace
}

// WithDefaults returns a copy with every zero field filled in that has a
// default.
func (c Config) WithDefaults() Config {
	if c.TokenAPI == "" {
		c.TokenAPI = platform.Stable
	}
	if c.APIBase == "" {
		c.APIBase = platform.DefaultBase
	}
	c.OpenBase = weblogin.OpenBase(c.OpenBase, c.APIBase)
	switch {
	case c.Store != nil || c.StoreURL != "":
	case c.Gateway != "":
		c.StoreURL = "memory:"
	default:
		c.StoreURL = door.DefaultStore
	}
	if c.CallbackPath == "" {
		c.CallbackPath = "/"
	}
	if c.ContextKey == "" {
		c.ContextKey = Key
	}
	if c.Freshness == 0 {
		c.Freshness = door.DefaultFreshness
	}
	c.Timing = c.Timing.WithDefaults()
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// validate names the field that is wrong, the variable that ConfigFromEnv fills
// it from, and the rule it breaks; never the value of a secret.
func (c Config) validate() error {
	account := environ.Account{
		AppID: c.AppID, AppSecret: c.AppSecret, Gateway: c.Gateway, GatewayKey: c.GatewayKey, GatewayCA: c.GatewayCA, TokenAPI: c.TokenAPI,
		Token: c.Token, PreviousToken: c.PreviousToken, AESKey: c.AESKey, PreviousAESKey: c.PreviousAESKey,
	}
	if err := account.Check(); err != nil {
		return named.Errorf("wechat", "%w", err)
	}
	if c.GatewayCA != "" && c.GatewayTransport != nil {
		return named.Errorf("wechat", "Config.GatewayCA and Config.GatewayTransport are both set: give the one or the other")
	}
	common := door.Common{
		Package: "wechat", CallbackPath: c.CallbackPath, APIBase: c.APIBase, Place: c.place(), Endpoint: c.Endpoint,
		Pages: []door.Page{{Field: "Origin (WECHAT_ORIGIN)", Value: c.Origin}, {Field: "OpenBase (WECHAT_OPEN_BASE)", Value: c.OpenBase}},
	}
	if err := common.Check(); err != nil {
		return err
	}
	_, err := c.signer()
	return err
}

// place is where the token is kept.
func (c Config) place() door.Place {
	return door.Place{Package: "wechat", Store: c.Store, URL: c.StoreURL, Logger: c.Logger}
}

// signer is made of Config.Signing; nil without it.
func (c Config) signer() (*platform.Signer, error) {
	if c.Signing == nil {
		return nil, nil //nolint:nilnil // a nil Signer signs nothing
	}
	signing := *c.Signing
	if signing.AppID == "" {
		signing.AppID = c.AppID
	}
	if signing.AppID != c.AppID {
		return nil, named.Errorf("wechat", "Config.Signing.AppID is %q, and Config.AppID %q: leave it empty", signing.AppID, c.AppID)
	}
	signer, err := platform.NewSigner(signing)
	if err != nil {
		return nil, named.Errorf("wechat", "Config.%w", named.Plain(err))
	}
	return signer, nil
}

// verifier is made of a valid configuration. The zero Verifier, for an account
// without a Token, refuses everything.
func (c Config) verifier(freshness time.Duration) (*callback.Verifier, error) {
	if c.Token.IsZero() {
		return new(callback.Verifier), nil
	}
	return callback.NewVerifier(callback.Config{
		AppID: c.AppID,
		Token: c.Token, TokenPrevious: c.PreviousToken,
		AESKey: c.AESKey, AESKeyPrevious: c.PreviousAESKey,
		Freshness: freshness,
	})
}

// certificateWarning is how long before the end of WeChat's certificate the log says so: a
// person has to download the next one.
const certificateWarning = 60 * 24 * time.Hour

func (c Config) warnExpiry(end time.Time) {
	if !end.IsZero() && time.Until(end) < certificateWarning {
		c.Logger.Warn("WeChat's certificate in Config.Signing expires: download the next one from the console and add it to Certificates",
			"log_code", "wechat_certificate_expires",
			"appid", c.AppID, "end", end.UTC().Format(time.DateOnly))
	}
}
