package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/store"
)

// Gateway is the 中控服务器, an [http.Handler] in WeChat's shape. It is safe for
// concurrent use.
type Gateway struct {
	cfg    Config
	api    *platform.API
	ledger store.Ledger
	front  *front // all that is served
	desk   *desk
	topics *topics
	pushes pushes
	idle   func()
	cancel context.CancelFunc // of what goes on in the background
}

// New checks cfg, reads the clients once, and returns a gateway whose tokens are
// loaded in the background. A store that is away is no error: the clients are then
// known as soon as it answers.
func New(ctx context.Context, cfg Config) (made *Gateway, err error) {
	cfg = cfg.WithDefaults()
	var undo []func() // what was begun, the last first
	defer func() {
		if err != nil {
			for _, end := range slices.Backward(undo) {
				end()
			}
		}
	}()
	for _, sink := range cfg.Journal {
		undo = append(undo, sink.Close)
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	called := new(names)
	cfg.Logger = slog.New(namingLog{cfg.Logger.Handler(), called})
	upstream, idle := cfg.Transport, func() {}
	if upstream == nil {
		upstream = newTransport()
		idle = (&http.Client{Transport: upstream}).CloseIdleConnections
	}
	api, err := platform.New(platform.Config{Base: cfg.APIBase, Transport: upstream, Logger: cfg.Logger})
	if wrong, ok := errors.AsType[*platform.BaseError](err); ok {
		return nil, named.Errorf("gateway", "Config.APIBase %w", wrong.Err)
	}
	if err != nil {
		return nil, err
	}
	corp, err := wecom.New(platform.Config{Base: cfg.WeComBase, Transport: upstream, Logger: cfg.Logger})
	if wrong, ok := errors.AsType[*platform.BaseError](err); ok {
		return nil, named.Errorf("gateway", "Config.WeComBase %w", wrong.Err)
	}
	if err != nil {
		return nil, err
	}
	warnOfClearText(cfg)
	d := newDesk(cfg, api, corp)
	d.accounts.names = called
	undo = append(undo, d.close)
	g := &Gateway{cfg: cfg, api: api, ledger: cfg.Store, desk: d, topics: new(topics), idle: idle}
	registry, err := clients.New(clients.Config{
		Ledger: g.ledger, SealKeys: cfg.SealKeys, Other: d.accounts.take, Logger: cfg.Logger,
		Changed: func() { called.meet(d.clients.All()); g.topics.ringAll() },
	})
	if err != nil {
		return nil, err
	}
	d.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	undo = append(undo, g.cancel)
	d.clients = registry
	g.pushes = fanout.New(fanout.Config{
		Store: cfg.Store, SealKeys: cfg.SealKeys, Transport: cfg.Callbacks, Refused: d.attempt, Logger: cfg.Logger,
	})
	undo = append(undo, g.pushes.Close)
	if d.logins, err = newLogins(d, cfg, api); err != nil {
		return nil, err
	}
	relay := newRelay(d, cfg.Limits, api)
	d.accounts.pushes, d.accounts.proxy, d.accounts.changed = g.pushes, relay.proxy, g.topics.ringAll
	d.accounts.trace = custody.JoinTraces(d.meter.trace(), g.topics.trace(), cfg.Trace)
	g.front = &front{desk: d, pushes: g.pushes, relay: relay, programs: newPrograms(d, g.topics), body: cfg.Limits.Body, log: cfg.Access}
	if err := g.Replace(cfg.Accounts); err != nil {
		return nil, err
	}
	if text := shape.Proxy(os.Getenv); text != "" && cfg.Transport == nil {
		cfg.Logger.Warn(text, "log_code", "gateway_proxy_ignored")
	}
	registry.Look(ctx)
	d.background.Go(func() { registry.Run(d.ctx) })
	d.background.Go(func() { d.journal.Run(d.ctx) })
	d.background.Go(func() { d.accounts.watchExpiry(d.ctx) })
	return g, nil
}

// warnOfClearText says that AppSecrets and tokens travel in the clear to another machine.
func warnOfClearText(cfg Config) {
	for _, base := range slices.Compact([]string{cfg.APIBase, cfg.WeComBase}) {
		u, err := url.Parse(base)
		if err != nil || cfg.Transport != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
			continue // whose Transport it is knows where that goes
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err != nil || !ip.IsLoopback() {
			cfg.Logger.Warn("AppSecrets and tokens go to another machine in the clear: let api_base and wecom_base begin with https",
				"log_code", "gateway_api_base_plain_http", "api_base", u.Scheme+"://"+u.Host)
		}
	}
}

// ServeHTTP implements [http.Handler].
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.front.ServeHTTP(w, r) }

// Replace makes list the accounts of the configuration file, all of them or, with an
// error, none: then those from before go on. Accounts that stay as they were notice
// nothing; calls that are under way end as they began. Another AppSecret is tried
// at once. An appid that the admin API has brought is an error.
func (g *Gateway) Replace(list []Account) error { return g.desk.accounts.replace(list) }

// Status returns the state of every account's token, in the order of the appids.
func (g *Gateway) Status() []custody.Status { return g.desk.accounts.status() }

// Look reads changes of clients now, which otherwise happens every two seconds.
func (g *Gateway) Look(ctx context.Context) { g.desk.clients.Look(ctx) }

// Queues returns what waits for each subscriber, and for those that were taken away,
// in the order of appids and names. When the store does not answer, its error comes
// with what this gateway knows.
func (g *Gateway) Queues(ctx context.Context) ([]fanout.Status, error) { return g.pushes.Queues(ctx) }

// Drain lets /readyz say 503 from now on, so that a load balancer sends no
// more of them here, and ends the streams of events, whose subscribers go to another
// gateway. Calls that come all the same are served.
func (g *Gateway) Drain() {
	g.desk.draining.Store(true)
	g.topics.ringAll()
}

// Close ends what the gateway does in the background and its Keepers; a fetch that
// is on its way is awaited and saved. End the servers first. The store stays open.
// Closing twice is safe.
func (g *Gateway) Close() error {
	g.desk.accounts.end()
	g.cancel()
	g.pushes.Close()
	g.desk.close()
	g.idle()
	g.api.CloseIdleConnections()
	return nil
}
