package wechat

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

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/source"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
	"github.com/zhongkong-go/zhongkong/platform"
)

// Client is one WeChat account with a live token. It is safe for concurrent use;
// a program has one for each account.
type Client struct {
	appID   string
	log     *slog.Logger
	door    *door.Door // of callbacks
	keeper  keeper
	source  *source.Source // it is the keeper, with Config.Gateway; else nil
	tickets door.Tickets[platform.TicketType]
	calls   *platform.Client
	logins  *logins
	store   *door.Pooled
	left    sync.Once // Close has left the store
	idle    func()    // closes kept connections; of a foreign transport, nothing
}

// keeper keeps the token: a Keeper, or a Source.
type keeper interface {
	platform.Tokens
	Status() custody.Status
	Close() error
}

// New checks cfg, opens the store and returns a client whose token is loaded in
// the background. An error says which field to change: nothing that may be better
// in a minute, such as a locked database or WeChat out of reach, is one.
func New(cfg Config) (*Client, error) {
	forgets := cfg.Gateway != "" && cfg.Store == nil && cfg.StoreURL == ""
	timing := cfg.Timing
	cfg = cfg.WithDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	verifier, err := cfg.verifier(max(0, cfg.Freshness))
	if err != nil {
		return nil, named.Errorf("wechat", "%w", err)
	}
	envelopes, err := cfg.verifier(0)
	if err != nil {
		return nil, named.Errorf("wechat", "%w", err)
	}
	leaveGateway, err := cfg.reachGateway()
	if err != nil {
		return nil, err
	}
	pooled, err := door.Enter(cfg.place())
	if err != nil {
		return nil, err
	}
	if cfg.Scheduler == nil {
		cfg.Scheduler = pooled.Scheduler
	}
	store := pooled.Store
	c := &Client{
		appID: cfg.AppID, log: cfg.Logger, store: pooled, idle: leaveGateway,
		door: &door.Door{
			Package: "wechat", Product: "WeChat", AppID: cfg.AppID, Path: cfg.CallbackPath, Key: cfg.ContextKey,
			Log:      cfg.Logger.With("appid", cfg.AppID, "product", "WeChat"),
			Verifier: verifier, Envelopes: envelopes, Refused: cfg.Endpoint.Refused, Bot: cfg.Messages,
		},
	}
	c.door.Owner = c
	if cfg.Gateway == "" {
		err = c.keep(cfg, store)
	} else {
		err = c.keepFromGateway(cfg, timing, store)
	}
	if err != nil {
		_ = pooled.Leave()
		return nil, err
	}
	if signer, err := cfg.signer(); err == nil && signer != nil {
		c.calls = c.calls.WithSigner(signer)
		cfg.warnExpiry(signer.Expires())
	}
	if c.logins, err = newLogins(cfg, store); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.door.Messages.Config, c.door.Messages.Forgets = c.door.Endpoint(cfg.Endpoint, store, c, cfg.SealKeys), forgets
	c.door.Advise(cfg.Transport != nil, cfg.Token,
		"no Token is configured: every callback is refused; set it to the Token of the console's message push")
	if cfg.Messages != nil {
		if _, err := c.door.Begin(cfg.Messages); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// keep makes the Keepers of an account whose AppSecret is known.
func (c *Client) keep(cfg Config, store custody.Store) error {
	api, err := platform.New(platform.Config{Base: cfg.APIBase, Transport: cfg.Transport, Timeout: cfg.CallTimeout, Logger: cfg.Logger})
	if err != nil {
		return named.Errorf("wechat", "%w", err)
	}
	keep := func(key custody.Key, kind custody.Kind) (*custody.Keeper, error) {
		if cfg.DailyFetches != 0 {
			kind.DailyFetches = max(0, cfg.DailyFetches)
		}
		return custody.New(custody.Config{
			Key: key, Kind: kind, Store: store, Secret: cfg.AppSecret,
			SealKeys: cfg.SealKeys, Overlap: cfg.Overlap, Timing: cfg.Timing,
			FetchWithoutStore: cfg.FetchWithoutStore, Scheduler: cfg.Scheduler, Logger: cfg.Logger, Trace: cfg.Trace,
		})
	}
	account := platform.Account{AppID: cfg.AppID, Secret: cfg.AppSecret}
	keeper, err := keep(api.Key(cfg.AppID, cfg.TokenAPI), api.AccessToken(account, cfg.TokenAPI))
	if err != nil {
		return named.Errorf("wechat", "%w", err)
	}
	c.keeper, c.calls = keeper, api.Client(keeper, cfg.AppID)
	c.tickets.Open = func(t platform.TicketType) (*custody.Keeper, error) {
		if _, err := platform.ParseTicketType(string(t)); err != nil {
			return nil, fmt.Errorf("wechat: %w", err)
		}
		return keep(api.TicketKey(cfg.AppID, t), api.Ticket(keeper, cfg.AppID, t))
	}
	if cfg.Transport == nil {
		c.idle = api.CloseIdleConnections // and there is no gateway
	}
	return nil
}

// Close ends the client, and the store that New opened if no other client has it. Handlers of messages have
// 5 s to end; then their Context does, and what is not handled is left in the
// store for another process or the next start. A fetch that is on its way is
// awaited and saved, which may take 10 s, with tickets 20 s; a program that ends
// without Close loses nothing either, since its lease runs out. Closing twice is
// safe.
func (c *Client) Close() error {
	c.door.Leave()
	err := c.door.End() // first, as handlers need the token
	c.tickets.Close()   // before the token, with which they are fetched
	err = errors.Join(err, c.keeper.Close())
	c.idle()
	if c.logins != nil {
		c.logins.close()
	}
	c.left.Do(func() { err = errors.Join(err, c.store.Leave()) })
	return err
}

// Token returns the live token, at once when there is one; else it waits until
// there is, until ctx ends, or until it is known that there will be none for now:
// a *[custody.Error] that says why. Get, Post and HTTPClient need no call of it.
func (c *Client) Token(ctx context.Context) (custody.Token, error) { return c.keeper.Token(ctx) }

// Reject says that WeChat refused a token (40001, 40014, 42001) and returns the
// one to use instead; see [custody.Keeper.Reject]. Get, Post and HTTPClient do it
// by themselves.
func (c *Client) Reject(ctx context.Context, token string) (custody.Token, error) {
	return c.keeper.Reject(ctx, token)
}

// Get calls WeChat's API at path, such as "/cgi-bin/menu/get", and decodes the
// JSON of its answer into out; see [platform.Client.Get].
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.calls.Get(ctx, path, query, out)
}

// Post sends body as JSON to WeChat's API at path and decodes the JSON of its
// answer into out; see [platform.Client.Post].
func (c *Client) Post(ctx context.Context, path string, body, out any) error {
	return c.calls.Post(ctx, path, body, out)
}

// Upload sends content to WeChat's API at path as a file, in the field of a form, and returns
// the JSON of the answer; see [platform.Client.Upload].
//
//	answer, err := client.Upload(ctx, "/cgi-bin/media/upload?type=image", "media", "cat.png", file)
func (c *Client) Upload(ctx context.Context, path, field, filename string, content io.Reader) (json.RawMessage, error) {
	return c.calls.Upload(ctx, path, field, filename, content)
}

// Download calls WeChat's API at path and returns the file that it answers, with its header.
// The caller closes it. An errcode in JSON is an error; see [platform.Client.Download].
func (c *Client) Download(ctx context.Context, path string, query url.Values) (io.ReadCloser, http.Header, error) {
	return c.calls.Download(ctx, path, query)
}

// WithTimeLimit returns a ctx whose calls take limit at most, each of them, instead of
// Config.CallTimeout; see [platform.WithTimeLimit].
func WithTimeLimit(ctx context.Context, limit time.Duration) context.Context {
	return platform.WithTimeLimit(ctx, limit)
}

// HTTPClient returns an http.Client that adds the token to requests for WeChat's
// hosts and refuses others: for other libraries, and for requests that Get, Post, Upload
// and Download do not make. Their URLs begin with [Client.Base].
func (c *Client) HTTPClient() *http.Client { return c.calls.HTTPClient() }

// Base returns where WeChat's API is, without a slash at its end: what the URLs of an
// HTTPClient begin with.
func (c *Client) Base() string { return c.calls.Base() }

// Status tells how the token is doing, without the token. It waits for nothing.
func (c *Client) Status() custody.Status { return c.keeper.Status() }

// Format implements [fmt.Formatter]: whose client it is.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "wechat.Client(%s)", c.appID) }

// From returns the client of a *gin.Context whose request went through
// [Middleware] with the default ContextKey, or of the *[callback.Context] of a
// message, whatever the ContextKey. It panics when there is none, as c.MustGet
// does.
func From(ctx context.Context) *Client {
	client, ok := door.Owner[*Client](ctx, Key)
	if !ok {
		panic("wechat: this request has no client: call r.Use(wechat.Middleware(cfg)) before the route is registered")
	}
	return client
}
