package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

// Client is one app of a corp with a live token. It is safe for concurrent use; a program has
// one for each app.
type Client struct {
	app     wecom.App
	id      string // corpid:agentid
	log     *slog.Logger
	door    *door.Door
	keeper  *custody.Keeper
	tickets door.Tickets[wecom.TicketType]
	calls   *platform.Client
	logins  *logins
	store   *door.Pooled
	left    sync.Once // Close has left the store
	idle    func()    // closes kept connections; of a foreign transport, nothing
}

// New checks cfg, opens the store and returns a client whose token is loaded in the
// background. An error says which field to change: nothing that may be better in a minute,
// such as WeCom out of reach, is one.
func New(cfg Config) (*Client, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	verifier, err := cfg.verifier(max(0, cfg.Freshness))
	if err != nil {
		return nil, named.Errorf("wecom", "%w", err)
	}
	envelopes, err := cfg.verifier(0)
	if err != nil {
		return nil, named.Errorf("wecom", "%w", err)
	}
	pooled, err := door.Enter(cfg.place())
	if err != nil {
		return nil, err
	}
	if cfg.Scheduler == nil {
		cfg.Scheduler = pooled.Scheduler
	}
	c := &Client{
		app: cfg.app(), id: cfg.app().ID(), log: cfg.Logger, store: pooled, idle: func() {},
		door: &door.Door{
			Package: "wecom", Product: "WeCom", AppID: cfg.app().ID(), Path: cfg.CallbackPath, Key: cfg.ContextKey,
			Log:      cfg.Logger.With("appid", cfg.app().ID(), "product", "WeCom"),
			Verifier: verifier, Envelopes: envelopes, Refused: cfg.Endpoint.Refused, Bot: cfg.Messages,
		},
	}
	c.door.Owner = c
	if err := c.keep(cfg); err != nil {
		return nil, errors.Join(err, pooled.Leave())
	}
	if c.logins, err = newLogins(cfg, c.id, pooled.Store); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.door.Messages.Config = c.door.Endpoint(cfg.Endpoint, pooled.Store, c, cfg.SealKeys)
	c.door.Advise(cfg.Transport != nil, cfg.Token,
		"no Token and AESKey are configured: every callback is refused; set them to those of the app's 接收消息 in the console")
	if cfg.Messages != nil {
		if _, err := c.door.Begin(cfg.Messages); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// keep makes the Keepers.
func (c *Client) keep(cfg Config) error {
	api, err := wecom.New(platform.Config{Base: cfg.APIBase, Transport: cfg.Transport, Timeout: cfg.CallTimeout, Logger: cfg.Logger})
	if err != nil {
		return named.Errorf("wecom", "%w", err)
	}
	api = api.WithPace(c.store.Common("wecom pace", new(wecom.Pace)).(*wecom.Pace))
	keep := func(key custody.Key, kind custody.Kind) (*custody.Keeper, error) {
		return custody.New(custody.Config{
			Key: key, Kind: kind, Store: c.store.Store, Secret: cfg.Secret, SealKeys: cfg.SealKeys,
			Timing: cfg.Timing, Scheduler: cfg.Scheduler, Logger: cfg.Logger, Trace: cfg.Trace,
		})
	}
	if c.keeper, err = keep(api.Key(c.app), api.AccessToken(c.app)); err != nil {
		return named.Errorf("wecom", "%w", err)
	}
	c.calls = api.Client(c.keeper, c.app)
	c.tickets.Open = func(t wecom.TicketType) (*custody.Keeper, error) {
		if _, err := wecom.ParseTicketType(string(t)); err != nil {
			return nil, err
		}
		return keep(api.TicketKey(c.app, t), api.Ticket(c.keeper, c.app, t))
	}
	if cfg.Transport == nil {
		c.idle = api.CloseIdleConnections
	}
	return nil
}

// Close ends the client, and the store that New opened if no other client has it; see
// wechat.Client.Close. Closing twice is safe.
func (c *Client) Close() error {
	c.door.Leave()
	err := c.door.End() // first, as handlers need the token
	c.tickets.Close()   // before the token, with which they are fetched
	err = errors.Join(err, c.keeper.Close())
	c.idle()
	c.left.Do(func() { err = errors.Join(err, c.store.Leave()) })
	return err
}

// Middleware is [New] and [Client.Middleware], for a client that lives as long as the
// process. It panics with the error of New when cfg cannot work.
func Middleware(cfg Config) gin.HandlerFunc {
	client, err := New(cfg)
	if err != nil {
		panic(fmt.Errorf("wecom.Middleware: %w", err))
	}
	return client.Middleware()
}

// Middleware puts the client into the context of every request and answers for WeCom's on
// CallbackPath. It belongs before the routes: r.Use(client.Middleware()). In a group, register
// [Client.Callback] instead, for GET and POST.
func (c *Client) Middleware() gin.HandlerFunc { return c.door.Middleware() }

// Callback does for the routes it is registered at what Middleware does for CallbackPath,
// which does not matter here.
func (c *Client) Callback() gin.HandlerFunc { return c.door.Callback() }

// Push is a message of WeCom's that was verified: Message, in plain text, which the request's
// body holds too; Query, what WeCom put into the query; and Pair, with which an answer is
// sealed.
type Push = door.Push

// Push returns the message that a request brought to this client's callback, and false for
// any other request.
func (c *Client) Push(ctx *gin.Context) (*Push, bool) { return c.door.Push(ctx) }

// Seal returns what to answer to a push: reply, encrypted in its form. What handlers behind
// [Middleware] write with status 200 is sealed for them.
func (c *Client) Seal(push *Push, reply []byte) ([]byte, error) { return c.door.Seal(push, reply) }

// Token returns the live token, at once when there is one; else it waits until there is,
// until ctx ends, or until it is known that there will be none for now: a *[custody.Error]
// that says why. Get, Post and HTTPClient need no call of it.
func (c *Client) Token(ctx context.Context) (custody.Token, error) { return c.keeper.Token(ctx) }

// Reject says that WeCom refused a token (40014, 42001) and returns the one to use instead;
// see [custody.Keeper.Reject]. Get, Post and HTTPClient do it by themselves.
func (c *Client) Reject(ctx context.Context, token string) (custody.Token, error) {
	return c.keeper.Reject(ctx, token)
}

// Get calls WeCom's API at path, such as "/cgi-bin/user/get", and decodes the JSON of its
// answer into out; see [platform.Client.Get].
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.calls.Get(ctx, path, query, out)
}

// Post sends body as JSON to WeCom's API at path and decodes the JSON of its answer into out;
// see [platform.Client.Post].
func (c *Client) Post(ctx context.Context, path string, body, out any) error {
	return c.calls.Post(ctx, path, body, out)
}

// Upload sends content to WeCom's API at path as a file; see [platform.Client.Upload].
//
//	answer, err := client.Upload(ctx, "/cgi-bin/media/upload?type=file", "media", "report.pdf", file)
func (c *Client) Upload(ctx context.Context, path, field, filename string, content io.Reader) (json.RawMessage, error) {
	return c.calls.Upload(ctx, path, field, filename, content)
}

// Download returns the file that WeCom's API at path answers, with its header; see
// [platform.Client.Download].
func (c *Client) Download(ctx context.Context, path string, query url.Values) (io.ReadCloser, http.Header, error) {
	return c.calls.Download(ctx, path, query)
}

// WithTimeLimit returns a ctx whose calls take limit at most, each of them; see
// [platform.WithTimeLimit].
func WithTimeLimit(ctx context.Context, limit time.Duration) context.Context {
	return platform.WithTimeLimit(ctx, limit)
}

// HTTPClient returns an http.Client that adds the token to requests for WeCom's host and
// refuses others: for other libraries. Their URLs begin with [Client.Base].
func (c *Client) HTTPClient() *http.Client { return c.calls.HTTPClient() }

// Base returns where WeCom's API is, without a slash at its end.
func (c *Client) Base() string { return c.calls.Base() }

// Status tells how the token is doing, without the token. It waits for nothing.
func (c *Client) Status() custody.Status { return c.keeper.Status() }

// Format implements [fmt.Formatter]: whose client it is.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "wecom.Client(%s)", c.id) }

// Ticket returns the live ticket of a type: that of the corp, for which there is
// [Client.JSConfig], or that of the app, for [Client.AgentConfig]. The first call for a type
// begins to keep it. A ticket is a secret: pages get what it has signed.
func (c *Client) Ticket(ctx context.Context, kind wecom.TicketType) (custody.Token, error) {
	keeper, err := c.tickets.Keeper(kind)
	if err != nil {
		return custody.Token{}, err
	}
	return keeper.Token(ctx)
}

// RejectTicket says that a page found a ticket invalid and returns the one to use instead;
// see wechat.Client.RejectTicket. WeCom allows 100 fetches an hour for an app.
func (c *Client) RejectTicket(ctx context.Context, kind wecom.TicketType, refused string) (custody.Token, error) {
	keeper, err := c.tickets.Keeper(kind)
	if err != nil {
		return custody.Token{}, err
	}
	return keeper.Reject(ctx, refused)
}

// JSConfig is what a page gives to wx.config, next to beta, debug and jsApiList.
type JSConfig = platform.JSConfig

// AgentConfig is what a page gives to wx.agentConfig, next to jsApiList.
type AgentConfig struct {
	CorpID    string `json:"corpid"`
	AgentID   string `json:"agentid"`
	Timestamp int64  `json:"timestamp"` // Unix seconds
	NonceStr  string `json:"nonceStr"`
	Signature string `json:"signature"`
}

// JSConfig signs a page for wx.config with the corp's ticket. pageURL is location.href, as
// the browser has it; what follows # does not count. Sign URLs of your own pages, not
// whatever a request asks for.
func (c *Client) JSConfig(ctx context.Context, pageURL string) (JSConfig, error) {
	return c.sign(ctx, wecom.CorpTicket, pageURL)
}

// AgentConfig signs a page for wx.agentConfig with the app's own ticket; see
// [Client.JSConfig].
func (c *Client) AgentConfig(ctx context.Context, pageURL string) (AgentConfig, error) {
	signed, err := c.sign(ctx, wecom.AgentTicket, pageURL)
	if err != nil {
		return AgentConfig{}, err
	}
	return AgentConfig{c.app.CorpID, c.app.AgentID, signed.Timestamp, signed.NonceStr, signed.Signature}, nil
}

func (c *Client) sign(ctx context.Context, kind wecom.TicketType, pageURL string) (JSConfig, error) {
	if err := platform.CheckPage(pageURL); err != nil {
		return JSConfig{}, named.Errorf("wecom", "%w", err)
	}
	ticket, err := c.Ticket(ctx, kind)
	if err != nil {
		return JSConfig{}, err
	}
	return platform.NewJSConfig(c.app.CorpID, ticket.Value(), pageURL), nil
}

// From returns the client of a *gin.Context whose request went through [Middleware] with the
// default ContextKey, or of the *callback.Context of a message, whatever the ContextKey. It
// panics when there is none, as c.MustGet does.
func From(ctx context.Context) *Client {
	client, ok := door.Owner[*Client](ctx, Key)
	if !ok {
		panic("wecom: this request has no client: call r.Use(wecom.Middleware(cfg)) before the route is registered")
	}
	return client
}

// LogFormatter writes Gin's log without the queries of callbacks and of logins; see
// wechat.LogFormatter, which is the same.
func LogFormatter(p gin.LogFormatterParams) string { return door.LogFormatter(p) }
