package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store"
)

// The defaults of [Limits].
const (
	DefaultBodyInMemory = 256 << 10
	DefaultBodyOnDisk   = 32 << 20
	DefaultBody         = 256 << 20
)

// Config describes a gateway.
type Config struct {
	// Accounts are those of the configuration file; Replace changes them.
	Accounts []Account

	// Store keeps tokens, clients and the journal. Required; it has to be a
	// [store.Ledger] too, and where an account has a Callback a [store.Queue]
	// and a callback.Once, as store/sqlite is. The gateway does not close it.
	Store custody.Store

	// SealKeys, 32 bytes each, seal the tokens in the store, and gateway tokens are
	// made with keys derived from them: the first makes, all accept. At least one.
	// All gateways on a store need the same.
	SealKeys []custody.Secret

	// APIBase is where WeChat's API is. Empty means https://api.weixin.qq.com, with
	// api2.weixin.qq.com where that cannot be reached.
	APIBase string

	// Transport carries the requests to WeChat. Nil means one with timeouts that
	// obeys HTTPS_PROXY. It sees AppSecrets and tokens.
	Transport http.RoundTripper

	// Callbacks carries pushes to subscribers. Nil means one with timeouts that obeys
	// HTTPS_PROXY and NO_PROXY.
	Callbacks http.RoundTripper

	// Limits bound what programs may send.
	Limits Limits

	// Timing and Overlap are those of every Keeper; see custody.Config.
	Timing  custody.Timing
	Overlap time.Duration

	// Logger is told of failures (Warn), renewals and changes (Info). Nil discards.
	Logger *slog.Logger

	// Access is told of every request, without its query, at Info. Nil discards.
	Access *slog.Logger

	// Trace is told what all Keepers do, beside the gateway's own counting; see
	// Numbers. Nil costs nothing.
	Trace *custody.Trace
}

// Limits bound what programs may send, in bytes. A zero field means its default.
type Limits struct {
	BodyInMemory int64 // up to this, a body is kept in memory until its call was answered; 256 KiB
	BodyOnDisk   int64 // up to this, in a temporary file; a larger one is sent once and never again; 32 MiB
	Body         int64 // what is longer is refused; 256 MiB
}

// WithDefaults returns a copy with every zero field filled in.
func (l Limits) WithDefaults() Limits {
	if l.BodyInMemory == 0 {
		l.BodyInMemory = DefaultBodyInMemory
	}
	if l.BodyOnDisk == 0 {
		l.BodyOnDisk = DefaultBodyOnDisk
	}
	if l.Body == 0 {
		l.Body = DefaultBody
	}
	return l
}

// WithDefaults returns a copy with every zero field filled in that has a default.
func (c Config) WithDefaults() Config {
	c.Limits = c.Limits.WithDefaults()
	for _, log := range []**slog.Logger{&c.Logger, &c.Access} {
		if *log == nil {
			*log = slog.New(slog.DiscardHandler)
		}
	}
	return c
}

func (c Config) validate() error {
	if c.Store == nil {
		return errors.New("gateway: Config.Store is nil: open one, for instance with store/sqlite")
	}
	if _, ok := c.Store.(store.Ledger); !ok {
		return fmt.Errorf("gateway: Config.Store, a %T, cannot keep clients (it is no store.Ledger): use store/sqlite", c.Store)
	}
	if len(c.SealKeys) == 0 {
		return errors.New("gateway: Config.SealKeys (ZHONGKONG_SEAL_KEY) is empty: make a key with openssl rand -base64 32, and give every gateway of the store the same")
	}
	for _, l := range []struct {
		name  string
		value int64
	}{{"BodyInMemory", c.Limits.BodyInMemory}, {"BodyOnDisk", c.Limits.BodyOnDisk}, {"Body", c.Limits.Body}} {
		if l.value < 0 {
			return fmt.Errorf("gateway: Config.Limits.%s is %d: it must not be negative", l.name, l.value)
		}
	}
	return nil
}

// Gateway is the 中控服务器, an [http.Handler] in WeChat's shape. It is safe for
// concurrent use.
type Gateway struct {
	cfg       Config
	api       *platform.API
	upstream  http.RoundTripper
	bare      http.Handler // the proxy for calls without the account's token
	programs  http.Handler // of the gateway's own API
	topics    topics
	trace     *custody.Trace // of all Keepers
	tokens    *tokens
	ledger    store.Ledger
	journal   *journal // of clients
	registry  *registry
	failures  *failures
	keyless   *gate.Room // of calls without a key
	fanout    *fanout
	meter     *meter
	scheduler *custody.Scheduler
	idle      func()

	draining   atomic.Bool
	accounts   atomic.Pointer[accounts]
	suspecting sync.Map // appids whose token is being looked into

	replacing sync.Mutex // guards what follows, and lets one change happen at a time
	file      []Account  // of Config.Accounts and Replace
	admin     []Account  // of the admin API, as the store has them
	closed    bool

	ctx        context.Context // of what goes on in the background
	cancel     context.CancelFunc
	background sync.WaitGroup
}

// accounts are those of one moment. The map never changes.
type accounts map[string]*account

// account is one at work.
type account struct {
	Account

	kind   custody.Kind // of keeper
	keeper *custody.Keeper
	proxy  http.Handler
	tally  *tally

	secrets secrets

	mu       sync.Mutex // guards what follows
	tickets  map[platform.TicketType]*custody.Keeper
	rejected map[platform.TicketType]time.Time // when a program last had a living one renewed
	closed   bool
}

// close ends the Keepers. A fetch that is on its way is awaited and saved.
func (a *account) close() {
	a.mu.Lock()
	a.closed = true
	keepers := slices.Collect(maps.Values(a.tickets))
	a.mu.Unlock()
	for _, k := range keepers {
		_ = k.Close()
	}
	_ = a.keeper.Close() // last: tickets are fetched with its token
}

// New checks cfg, reads the clients once, and returns a gateway whose tokens are
// loaded in the background. A store that is away is no error: the clients are then
// known as soon as it answers.
func New(ctx context.Context, cfg Config) (*Gateway, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	tokens, err := newTokens(cfg.SealKeys)
	if err != nil {
		return nil, err
	}
	upstream, idle := cfg.Transport, func() {}
	if upstream == nil {
		upstream = newTransport()
		idle = (&http.Client{Transport: upstream}).CloseIdleConnections
	}
	api, err := platform.New(platform.Config{Base: cfg.APIBase, Transport: upstream, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("gateway: Config.APIBase %s", strings.TrimPrefix(err.Error(), "platform: Config.Base "))
	}
	warnOfClearText(cfg)
	g := &Gateway{
		cfg: cfg, api: api, upstream: api.RoundTripper(), tokens: tokens,
		ledger:    cfg.Store.(store.Ledger),
		failures:  newFailures(cfg.Logger),
		keyless:   gate.NewRoom(maxKeyless, 0, nil),
		fanout:    newFanout(cfg),
		meter:     newMeter(),
		scheduler: custody.NewScheduler(custody.SchedulerConfig{}),
		idle:      idle,
	}
	g.journal = newJournal(g.ledger, cfg.Logger)
	g.trace = custody.JoinTraces(g.meter.trace(), g.topics.trace(), cfg.Trace)
	g.bare = g.reverse(&bare{watched{g.upstream}}, func(r *http.Request) *account {
		a, _ := r.Context().Value(accountKey{}).(*account)
		return a
	})
	g.programs = g.newPrograms()
	g.registry = newRegistry(g.ledger, g.takeAccounts, cfg.Logger)
	g.registry.changed = g.topics.ringAll
	g.accounts.Store(&accounts{})
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := g.Replace(cfg.Accounts); err != nil {
		g.cancel()
		g.fanout.close()
		g.scheduler.Close()
		return nil, err
	}
	if text := shape.Proxy(os.Getenv); text != "" && cfg.Transport == nil {
		cfg.Logger.Warn(text)
	}
	g.registry.look(ctx)
	g.background.Go(func() { g.registry.run(g.ctx) })
	g.background.Go(func() { g.journal.run(g.ctx) })
	return g, nil
}

// warnOfClearText says that AppSecrets and tokens travel in the clear to another machine.
func warnOfClearText(cfg Config) {
	u, err := url.Parse(cfg.APIBase)
	if err != nil || cfg.Transport != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return // whose Transport it is knows where that goes
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err != nil || !ip.IsLoopback() {
		cfg.Logger.Warn("AppSecrets and tokens go to another machine in the clear: let api_base begin with https", "api_base", u.Scheme+"://"+u.Host)
	}
}

// Replace makes list the accounts of the configuration file, all of them or, with an
// error, none: then those from before go on. Accounts that stay as they were notice
// nothing; calls that are under way end as they began. Another AppSecret is tried
// at once. An appid that the admin API has brought is an error.
func (g *Gateway) Replace(list []Account) error {
	g.replacing.Lock()
	defer g.replacing.Unlock()
	for i, a := range list {
		if err := a.typed(); err != nil {
			return fmt.Errorf("gateway: account %d of %d: %w", i+1, len(list), err)
		}
	}
	if err := overlap(list, g.admin, "the admin API has brought it: take it away there or here"); err != nil {
		return err
	}
	if err := g.apply(append(slices.Clone(list), g.admin...)); err != nil {
		return err
	}
	g.file = slices.Clone(list)
	return nil
}

// overlap returns an error for the first account of list that others have too.
func overlap(list, others []Account, why string) error {
	for _, a := range list {
		if slices.ContainsFunc(others, func(b Account) bool { return a.AppID == b.AppID }) {
			return fmt.Errorf("gateway: account %s: %s", a.AppID, why)
		}
	}
	return nil
}

// apply makes list the accounts. The caller holds replacing.
func (g *Gateway) apply(list []Account) error {
	if g.closed {
		return custody.ErrClosed
	}
	setCallbacks, err := g.fanout.prepare(list)
	if err != nil {
		return err
	}
	before, next := *g.accounts.Load(), make(accounts, len(list))
	var made []*account
	giveUp := func(err error) error {
		g.meter.keep(before)
		for _, a := range made {
			a.close()
		}
		return err
	}
	for _, spec := range list {
		if !isAppID(spec.AppID) {
			return giveUp(fmt.Errorf("gateway: %s is no appid", shape.Show(spec.AppID)))
		}
		if _, twice := next[spec.AppID]; twice {
			return giveUp(fmt.Errorf("gateway: the account %s stands there twice", spec.AppID))
		}
		if old := before[spec.AppID]; old != nil && old.equal(spec) {
			next[spec.AppID] = old
			continue
		}
		a, err := g.newAccount(spec)
		if err != nil {
			return giveUp(fmt.Errorf("gateway: account %s: %w", spec.AppID, err))
		}
		next[spec.AppID] = a
		made = append(made, a)
	}
	g.accounts.Store(&next)
	setCallbacks()
	g.meter.keep(next)
	g.topics.ringAll() // who subscribes to one that is gone
	for appID, old := range before {
		if next[appID] == old {
			continue
		}
		// A fetch that is on its way is awaited; nobody waits for that here. Who still
		// has the old Keeper is told that it is closed, and looks again.
		g.background.Go(old.close)
	}
	if len(made) > 0 || len(before) != len(next) {
		g.cfg.Logger.Info("the accounts were changed", "accounts", len(next), "new_or_changed", len(made))
	}
	return nil
}

func (g *Gateway) newAccount(spec Account) (*account, error) {
	if spec.Secret.IsZero() {
		return nil, errors.New("its AppSecret is empty")
	}
	kind := g.api.AccessToken(platform.Account{AppID: spec.AppID, Secret: spec.Secret}, spec.TokenAPI)
	switch {
	case spec.DailyFetches > 0:
		kind.DailyFetches = spec.DailyFetches
	case spec.DailyFetches < 0:
		kind.DailyFetches = 0
	}
	tally := g.meter.add(spec.AppID) // before anything is told
	keeper, err := g.keep(spec, g.api.Key(spec.AppID, spec.TokenAPI), kind)
	if err != nil {
		return nil, err
	}
	return &account{Account: spec, kind: kind, keeper: keeper, proxy: g.newProxy(spec.AppID), tally: tally}, nil
}

func (g *Gateway) keep(spec Account, key custody.Key, kind custody.Kind) (*custody.Keeper, error) {
	return custody.New(custody.Config{
		Key: key, Kind: kind, Store: g.cfg.Store, Secret: spec.Secret,
		SealKeys: g.cfg.SealKeys, Overlap: g.cfg.Overlap, Timing: g.cfg.Timing, Scheduler: g.scheduler, Logger: g.cfg.Logger,
		Trace: g.trace,
	})
}

// ticket returns the Keeper of an account's tickets. It is made when the first
// program asks: most accounts need none.
func (g *Gateway) ticket(a *account, t platform.TicketType) (*custody.Keeper, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.tickets[t]; k != nil || a.closed {
		if k == nil {
			return nil, custody.ErrClosed
		}
		return k, nil
	}
	k, err := g.keep(a.Account, g.api.TicketKey(a.AppID, t), g.api.Ticket(current{g, a.AppID}, a.AppID, t))
	if err != nil {
		return nil, err
	}
	if a.tickets == nil {
		a.tickets = map[platform.TicketType]*custody.Keeper{}
	}
	a.tickets[t] = k
	return k, nil
}

// account returns nil for an appid that the gateway does not have.
func (g *Gateway) account(appID string) *account { return (*g.accounts.Load())[appID] }

// errNoAccount ends a call whose account was taken away under it.
var errNoAccount = errors.New("gateway: the account was removed")

// current are the tokens of an account, whichever Keeper keeps them now.
type current struct {
	g     *Gateway
	appID string
}

var _ platform.Tokens = current{}

// Token implements [platform.Tokens].
func (c current) Token(ctx context.Context) (custody.Token, error) {
	return c.ask(func(a *account) (custody.Token, error) { return a.keeper.Token(ctx) })
}

// Reject implements [platform.Tokens].
func (c current) Reject(ctx context.Context, refused string) (custody.Token, error) {
	return c.ask(func(a *account) (custody.Token, error) { return a.keeper.Reject(ctx, refused) })
}

// ticket returns the live ticket, as Token does the token.
func (c current) ticket(ctx context.Context, t platform.TicketType) (custody.Token, error) {
	return c.ask(func(a *account) (custody.Token, error) {
		k, err := c.g.ticket(a, t)
		if err != nil {
			return custody.Token{}, err
		}
		return k.Token(ctx)
	})
}

// rejectTicket is Reject for a ticket.
func (c current) rejectTicket(ctx context.Context, t platform.TicketType, refused string) (custody.Token, error) {
	return c.ask(func(a *account) (custody.Token, error) {
		k, err := c.g.ticket(a, t)
		if err != nil {
			return custody.Token{}, err
		}
		return k.Reject(ctx, refused)
	})
}

func (c current) ask(do func(*account) (custody.Token, error)) (custody.Token, error) {
	for {
		a := c.g.account(c.appID)
		if a == nil {
			return custody.Token{}, errNoAccount
		}
		token, err := do(a)
		if err == nil {
			a.secrets.add(a.Secret.Reveal(), token.Value())
		}
		if !errors.Is(err, custody.ErrClosed) || c.g.account(c.appID) == a {
			return token, err
		}
	}
}

// Status returns the state of every account's token, in the order of the appids.
func (g *Gateway) Status() []custody.Status {
	all := make([]custody.Status, 0, len(*g.accounts.Load()))
	for _, a := range *g.accounts.Load() {
		all = append(all, a.keeper.Status())
	}
	slices.SortFunc(all, func(a, b custody.Status) int { return strings.Compare(a.Key.AppID, b.Key.AppID) })
	return all
}

// Look reads changes of clients now, which otherwise happens every two seconds.
func (g *Gateway) Look(ctx context.Context) { g.registry.look(ctx) }

// Drain lets /readyz say 503 from now on, so that a load balancer sends no
// more of them here, and ends the streams of events, whose subscribers go to another
// gateway. Calls that come all the same are served.
func (g *Gateway) Drain() {
	g.draining.Store(true)
	g.topics.ringAll()
}

// Close ends what the gateway does in the background and its Keepers; a fetch that
// is on its way is awaited and saved. End the servers first. The store stays open.
// Closing twice is safe.
func (g *Gateway) Close() error {
	g.replacing.Lock()
	g.closed = true
	g.replacing.Unlock()
	g.cancel()
	g.fanout.close()
	g.background.Wait()
	var closing sync.WaitGroup
	for _, a := range *g.accounts.Load() {
		closing.Go(a.close)
	}
	closing.Wait()
	g.scheduler.Close()
	g.failures.tell()
	g.journal.flush(context.Background())
	g.idle()
	g.api.CloseIdleConnections()
	return nil
}
