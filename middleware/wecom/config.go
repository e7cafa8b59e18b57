package wecom

import (
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/environ"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

// Key is the default of Config.ContextKey.
const Key = "wecom"

const (
	defaultPath  = "/wecom"
	defaultLogin = "https://login.work.weixin.qq.com"
)

// Secret wraps a string for the fields of Config that must not print.
func Secret(value string) custody.Secret { return custody.NewSecret(value) }

// Config describes one app of a corp (应用). CorpID and Secret are required, AgentID for all
// but a secret that belongs to no app, Token and AESKey for callbacks; the zero value of
// every other field is right for most. The console meant below is 企业微信管理后台.
type Config struct {
	CorpID  string         // 我的企业 → 企业信息 → 企业ID
	AgentID string         // 应用管理 → the app; "" for a secret such as that of the contacts (通讯录同步)
	Secret  custody.Secret // of this app

	// Token and AESKey are those of the app's 接收消息. Without both every callback is refused.
	Token  custody.Secret
	AESKey custody.Secret

	// PreviousToken and PreviousAESKey are accepted besides them during a change.
	PreviousToken  custody.Secret
	PreviousAESKey custody.Secret

	// ReceiveIDs are for whom messages may be. Nil means the CorpID alone, which is right for
	// an app of the corp's own. A suite's id is that of a third-party app's events, and "" that
	// of a bot (智能机器人), whose messages are JSON. Nothing else is taken, whatever its signature.
	ReceiveIDs []string

	// APIBase is where WeCom's API is: a simulator. Empty means https://qyapi.weixin.qq.com.
	APIBase string

	// Origin is this program's public address, such as https://shop.example, to which
	// WeCom sends browsers back after Client.Login. Its host has to be a trusted domain of the
	// app (可信域名). Empty is enough on one's own machine alone.
	Origin string

	// OpenBase and LoginBase are where the pages for logins are: in WeCom, and with a QR code
	// outside of it. Empty means https://open.weixin.qq.com and
	// https://login.work.weixin.qq.com, or APIBase if that is on this machine.
	OpenBase, LoginBase string

	// Store keeps tokens, instead of StoreURL. Close does not close it.
	Store custody.Store

	// StoreURL names a store that New opens and Close closes: sqlite:FILE, or memory:. Empty
	// means sqlite:zhongkong.db. Clients of one process that name the same file share it, those
	// of official accounts among them. Other stores go into Store.
	StoreURL string

	// SealKeys, 32 bytes each, encrypt tokens in the store: the first one seals, all open.
	SealKeys []custody.Secret

	// CallbackPath is the path of the URL in the console. Empty means "/wecom".
	CallbackPath string

	// ContextKey is where handlers find the client: c.MustGet(ContextKey). Empty means Key,
	// "wecom". Each app of an engine needs its own, and a CallbackPath of its own.
	ContextKey string

	// Freshness is how far the timestamp of a push may lie from this machine's clock. 0 means
	// 5 minutes; a negative value switches the check off.
	Freshness time.Duration

	// Messages answers what members send, on CallbackPath and wherever Client.Callback stands.
	// Nil leaves messages to the routes, for which there is the function Messages too.
	Messages *callback.Router

	// Endpoint is what else can be chosen about messages; see wechat.Config.
	Endpoint callback.EndpointConfig

	// Scheduler sets the pace of renewals. Nil gives one to all clients on the same store.
	Scheduler *custody.Scheduler

	// Timing bounds the steps of a renewal.
	Timing custody.Timing

	// CallTimeout is how long one call may take; 0 means 30 s, negative no limit but the
	// context's.
	CallTimeout time.Duration

	// Transport carries the requests to WeCom. Nil means one with timeouts that obeys
	// HTTPS_PROXY. It sees secrets and tokens.
	Transport http.RoundTripper

	// Logger receives renewals (Info), failures and refused callbacks (Warn)
	// and of every call (Debug). Nil means [slog.Default].
	Logger *slog.Logger

	// Trace receives what becomes of the token and the tickets. Nil costs nothing.
	Trace *custody.Trace
}

// app is the app that the Config describes.
func (c Config) app() wecom.App {
	return wecom.App{CorpID: c.CorpID, AgentID: c.AgentID, Secret: c.Secret}
}

// WithDefaults returns a copy with every zero field filled in that has a default.
func (c Config) WithDefaults() Config {
	if c.APIBase == "" {
		c.APIBase = wecom.DefaultBase
	}
	c.OpenBase = weblogin.OpenBase(c.OpenBase, c.APIBase)
	if c.LoginBase == "" {
		c.LoginBase = defaultLogin
		if own := weblogin.OpenBase("", c.APIBase); own != weblogin.OpenBase("", "") {
			c.LoginBase = own
		}
	}
	if c.Store == nil && c.StoreURL == "" {
		c.StoreURL = door.DefaultStore
	}
	if c.CallbackPath == "" {
		c.CallbackPath = defaultPath
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

// validate names the field that is wrong and the rule it breaks; never the value of a secret.
func (c Config) validate() error {
	if err := c.app().Check(); err != nil {
		return named.Errorf("wecom", "Config: %w", named.Plain(err))
	}
	if c.Token.IsZero() != c.AESKey.IsZero() {
		return named.Errorf("wecom", "Config.Token and Config.AESKey belong together: the console shows both under 接收消息, and WeCom encrypts all that it sends")
	}
	return door.Common{
		Package: "wecom", CallbackPath: c.CallbackPath, APIBase: c.APIBase, Place: c.place(), Endpoint: c.Endpoint,
		Pages: []door.Page{
			{Field: "Origin (WECOM_ORIGIN)", Value: c.Origin}, {Field: "OpenBase", Value: c.OpenBase}, {Field: "LoginBase", Value: c.LoginBase},
		},
	}.Check()
}

// place is where the token is kept.
func (c Config) place() door.Place {
	return door.Place{Package: "wecom", Store: c.Store, URL: c.StoreURL, Logger: c.Logger}
}

// verifier is made of a valid configuration. The zero Verifier, for an app without a Token,
// refuses everything.
func (c Config) verifier(freshness time.Duration) (*callback.Verifier, error) {
	if c.Token.IsZero() {
		return new(callback.Verifier), nil
	}
	receivers := c.ReceiveIDs
	if len(receivers) == 0 {
		receivers = []string{c.CorpID}
	}
	return callback.NewVerifier(callback.Config{
		AppID: c.CorpID, WeCom: true, Receivers: receivers,
		Token: c.Token, TokenPrevious: c.PreviousToken,
		AESKey: c.AESKey, AESKeyPrevious: c.PreviousAESKey,
		Freshness: freshness,
	})
}

// ConfigFromEnv takes a Config from the environment. A variable that is unset or empty leaves
// its field at the default; the first and the third are required.
//
//	WECOM_CORPID             CorpID
//	WECOM_AGENTID            AgentID
//	WECOM_SECRET             Secret
//	WECOM_TOKEN              Token
//	WECOM_AES_KEY            AESKey
//	WECOM_API_BASE           APIBase
//	WECOM_ORIGIN             Origin: https://shop.example
//	ZHONGKONG_STORE          StoreURL: sqlite:… or memory:
//	ZHONGKONG_SEAL_KEY       SealKeys: each 32 bytes in base64, separated by commas
//	ZHONGKONG_SEAL_KEY_FILE  the same from a file
//	ZHONGKONG_LOG_LEVEL      of Logger, which writes to stderr: debug, info, warn, error
//
// An error names the variable and the rule it breaks, never a secret's value.
func ConfigFromEnv() (Config, error) { return ConfigFrom(os.Getenv) }

// ConfigFrom is [ConfigFromEnv] with the variables of get, which returns "" for one that is
// not set.
func ConfigFrom(get func(name string) string) (Config, error) {
	a, err := environ.Read(get)
	if err != nil {
		return Config{}, named.Errorf("wecom", "%w", err)
	}
	c := Config{
		CorpID: get("WECOM_CORPID"), AgentID: get("WECOM_AGENTID"), Secret: Secret(get("WECOM_SECRET")),
		Token: Secret(get("WECOM_TOKEN")), AESKey: Secret(get("WECOM_AES_KEY")),
		APIBase: get("WECOM_API_BASE"), Origin: get("WECOM_ORIGIN"), StoreURL: get("ZHONGKONG_STORE"),
		SealKeys: a.SealKeys, Timing: a.Timing, Logger: a.Logger,
	}
	if err := c.WithDefaults().validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}
