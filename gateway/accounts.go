package gateway

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/store"
)

// accounts are those of one moment. The map never changes.
type accounts map[string]*account

func (a accounts) has(appID string) bool { return a[appID] != nil }

// pushes is what a gateway needs of package fanout.
type pushes interface {
	Prepare([]fanout.Account) (set func(), err error)
	Has(appID string) bool
	Serve(w http.ResponseWriter, r *http.Request, appID string, proven func())
	Queues(context.Context) ([]fanout.Status, error)
	Close()
}

// AccountState is how an account is doing.
type AccountState struct {
	custody.Status // of its token; Key.API is the token API

	Name         string // for people; "" when it has none
	Admin        bool   // it came by the admin API, not by the configuration file
	DailyFetches int    // the limit of a Beijing day over all gateways; 0 means that there is none
}

// WeCom reports whether the account is an app of WeCom.
func (s AccountState) WeCom() bool { _, _, isApp := shape.App(s.Key.AppID); return isApp }

// roster has the accounts at work, and makes them of those of the configuration file
// and of the admin API.
type roster struct {
	cfg       Config
	api       *platform.API
	corp      *wecom.API // of the accounts that are WeCom's
	pushes    pushes
	meter     *meter
	scheduler *custody.Scheduler
	trace     *custody.Trace                                           // of all Keepers
	proxy     func(spec Account, signer *platform.Signer) http.Handler // carries an account's calls
	changed   func()
	aside     func(func()) // does something in the background
	names     *names       // of the accounts

	now atomic.Pointer[accounts]

	officials, apps atomic.Bool // there are accounts of these sorts

	replacing     sync.Mutex // guards what follows, and lets one change happen at a time
	file          []Account  // of Config.Accounts and Replace
	admin         []Account  // of the admin API, as the store has them
	number        int64      // of their document
	refused       error      // why the newest document was not taken; nil when it was
	refusedNumber int64      // its number; 0 for one that cannot be opened
	closed        bool
}

// account is one at work.
type account struct {
	Account

	kind   custody.Kind // of keeper
	keeper *custody.Keeper
	proxy  http.Handler
	tally  *tally
	expire time.Time // the last of WeChat's certificates in Signing; zero: never

	secrets secrets

	mu       sync.Mutex // guards what follows
	tickets  map[platform.TicketType]*custody.Keeper
	rejected map[platform.TicketType]time.Time // when a program last had a living one renewed
	closed   bool
}

// hidden returns what to look for in answers about an account.
func (a *account) hidden() [][]byte {
	if a == nil {
		return nil
	}
	if n := a.secrets.needles.Load(); n != nil {
		return *n
	}
	return *needles(a.Secret.Reveal())
}

// status is the zero Status for an account that is gone.
func (a *account) status() custody.Status {
	if a == nil {
		return custody.Status{}
	}
	return a.keeper.Status()
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

// replace makes list the accounts of the configuration file, all of them or, with an
// error, none: then those from before go on. Accounts that stay as they were notice
// nothing; calls that are under way end as they began. Another AppSecret is tried
// at once. An appid that the admin API has brought is an error.
func (r *roster) replace(list []Account) error {
	r.replacing.Lock()
	defer r.replacing.Unlock()
	for i, a := range list {
		if err := a.typed(); err != nil {
			return named.Errorf("gateway", "account %d of %d: %w", i+1, len(list), err)
		}
	}
	if err := overlap(list, r.admin, "the admin API has brought it: take it away there or here"); err != nil {
		return err
	}
	if err := r.apply(append(slices.Clone(list), r.admin...)); err != nil {
		return err
	}
	r.file = slices.Clone(list)
	return nil
}

// overlap returns an error for the first account of list that others have too.
func overlap(list, others []Account, why string) error {
	for _, a := range list {
		if slices.ContainsFunc(others, func(b Account) bool { return a.AppID == b.AppID }) {
			return named.Errorf("gateway", "account %s: %s", a.AppID, why)
		}
	}
	return nil
}

// apply makes list the accounts. The caller holds replacing.
func (r *roster) apply(list []Account) error {
	if r.closed {
		return custody.ErrClosed
	}
	setCallbacks, err := r.pushes.Prepare(callbacksOf(list))
	if err != nil {
		return err
	}
	before, next, called := *r.now.Load(), make(accounts, len(list)), make(map[string]string, len(list))
	var made []*account
	giveUp := func(err error) error {
		r.meter.keep(before.has)
		for _, a := range made {
			a.close()
		}
		return err
	}
	for _, spec := range list {
		if !shape.IsAccount(spec.AppID) {
			return giveUp(named.Errorf("gateway", "%s is no appid", shape.Show(spec.AppID)))
		}
		if _, twice := next[spec.AppID]; twice {
			return giveUp(named.Errorf("gateway", "the account %s appears twice", spec.AppID))
		}
		called[spec.AppID], spec.Name = spec.Name, "" // which may change while the account stays
		if spec.Callback != nil {
			for _, s := range spec.Callback.Subscribers {
				called[spec.AppID+"/"+s.Name] = s.Title
			}
		}
		if old := before[spec.AppID]; old != nil && old.equal(spec) {
			next[spec.AppID] = old
			continue
		}
		a, err := r.newAccount(spec)
		if err != nil {
			return giveUp(named.Errorf("gateway", "account %s: %w", spec.AppID, err))
		}
		next[spec.AppID] = a
		made = append(made, a)
	}
	r.names.now.Store(&called)
	r.now.Store(&next)
	r.sort()
	setCallbacks()
	r.meter.keep(next.has)
	r.changed() // who subscribes to one that is gone
	for appID, old := range before {
		if next[appID] == old {
			continue
		}
		// A fetch that is on its way is awaited; nobody waits for that here. Who still
		// has the old Keeper is told that it is closed, and looks again.
		r.aside(old.close)
	}
	if len(made) > 0 || len(before) != len(next) {
		what := "the accounts were changed"
		if len(before) == 0 {
			what = "accounts loaded"
		}
		r.cfg.Logger.Info(what, "accounts", len(next), "new_or_changed", len(made))
	}
	return nil
}

// sort notes which sorts of accounts there are.
func (r *roster) sort() {
	officials, apps := false, false
	for _, a := range *r.now.Load() {
		_, isApp := a.weCom()
		officials, apps = officials || !isApp, apps || isApp
	}
	r.officials.Store(officials)
	r.apps.Store(apps)
}

// callbacksOf are the accounts that take pushes.
func callbacksOf(list []Account) (callbacks []fanout.Account) {
	for _, a := range list {
		if a.Callback != nil {
			callbacks = append(callbacks, fanout.Account{AppID: a.AppID, Callback: a.Callback})
		}
	}
	return callbacks
}

func (r *roster) newAccount(spec Account) (*account, error) {
	if spec.Secret.IsZero() {
		return nil, errors.New("its AppSecret is empty")
	}
	key := r.api.Key(spec.AppID, spec.TokenAPI)
	kind := r.api.AccessToken(platform.Account{AppID: spec.AppID, Secret: spec.Secret}, spec.TokenAPI)
	if app, isApp := spec.weCom(); isApp {
		key, kind = r.corp.Key(app), r.corp.AccessToken(app)
	}
	switch {
	case spec.DailyFetches > 0:
		kind.DailyFetches = spec.DailyFetches
	case spec.DailyFetches < 0:
		kind.DailyFetches = 0
	}
	signer, err := spec.signer()
	if err != nil {
		return nil, err
	}
	tally := r.meter.add(spec.AppID) // before anything is told
	keeper, err := r.keep(spec, key, kind)
	if err != nil {
		return nil, err
	}
	a := &account{Account: spec, kind: kind, keeper: keeper, proxy: r.proxy(spec, signer), tally: tally}
	if signer != nil {
		a.expire = signer.Expires()
	}
	r.warnExpiry(a)
	return a, nil
}

// certificateWarning is how long before the end of a certificate of WeChat's the log
// begins to tell, once a day.
const certificateWarning = 60 * 24 * time.Hour

func (r *roster) warnExpiry(a *account) {
	if !a.expire.IsZero() && time.Until(a.expire) < certificateWarning {
		r.cfg.Logger.Warn("WeChat's certificate in an account's signing expires: download the next one from the console and add it to certificates",
			"log_code", "gateway_certificate_expires", "appid", a.AppID, "end", a.expire.UTC().Format(time.DateOnly))
	}
}

// watchExpiry warns each day until ctx ends: gateways run for months.
func (r *roster) watchExpiry(ctx context.Context) {
	ticker := time.NewTicker(24 * time.Hour)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for _, a := range *r.now.Load() {
				r.warnExpiry(a)
			}
		}
	}
}

func (r *roster) keep(spec Account, key custody.Key, kind custody.Kind) (*custody.Keeper, error) {
	return custody.New(custody.Config{
		Key: key, Kind: kind, Store: r.cfg.Store, Secret: spec.Secret,
		SealKeys: r.cfg.SealKeys, Overlap: r.cfg.Overlap, Timing: r.cfg.Timing, Scheduler: r.scheduler, Logger: r.cfg.Logger,
		Trace: r.trace,
	})
}

// ticket returns the Keeper of an account's tickets. It is made when the first
// program asks: most accounts need none.
func (r *roster) ticket(a *account, t platform.TicketType) (*custody.Keeper, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.tickets[t]; k != nil || a.closed {
		if k == nil {
			return nil, custody.ErrClosed
		}
		return k, nil
	}
	kind := r.api.Ticket(current{r, a.AppID}, a.AppID, t)
	if app, isApp := a.weCom(); isApp {
		corp, err := wecom.ParseTicketType(string(t))
		if err != nil {
			return nil, named.Errorf("gateway", "%s is an app of WeCom, which has no ticket of the type %s", a.AppID, t)
		}
		kind = r.corp.Ticket(current{r, a.AppID}, app, corp)
	}
	k, err := r.keep(a.Account, r.ticketKey(a, t), kind)
	if err != nil {
		return nil, err
	}
	if a.tickets == nil {
		a.tickets = map[platform.TicketType]*custody.Keeper{}
	}
	a.tickets[t] = k
	return k, nil
}

// ticketKey returns the name of a ticket in the store.
func (r *roster) ticketKey(a *account, t platform.TicketType) custody.Key {
	if app, isApp := a.weCom(); isApp {
		return r.corp.TicketKey(app, wecom.TicketType(t))
	}
	return r.api.TicketKey(a.AppID, t)
}

// find returns nil for an appid that the gateway does not have.
func (r *roster) find(appID string) *account { return (*r.now.Load())[appID] }

// errNoAccount ends a call whose account was taken away under it.
var errNoAccount = named.Errorf("gateway", "the account was removed")

// current are the tokens of an account, whichever Keeper keeps them now.
type current struct {
	r     *roster
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
		k, err := c.r.ticket(a, t)
		if err != nil {
			return custody.Token{}, err
		}
		return k.Token(ctx)
	})
}

// rejectTicket is Reject for a ticket.
func (c current) rejectTicket(ctx context.Context, t platform.TicketType, refused string) (custody.Token, error) {
	return c.ask(func(a *account) (custody.Token, error) {
		k, err := c.r.ticket(a, t)
		if err != nil {
			return custody.Token{}, err
		}
		return k.Reject(ctx, refused)
	})
}

func (c current) ask(do func(*account) (custody.Token, error)) (custody.Token, error) {
	for {
		a := c.r.find(c.appID)
		if a == nil {
			return custody.Token{}, errNoAccount
		}
		token, err := do(a)
		if err == nil {
			a.secrets.add(a.Secret.Reveal(), token.Value())
		}
		if !errors.Is(err, custody.ErrClosed) || c.r.find(c.appID) == a {
			return token, err
		}
	}
}

// status returns the state of every account's token, in the order of the appids.
func (r *roster) status() []custody.Status {
	all := make([]custody.Status, 0, len(*r.now.Load()))
	for _, a := range *r.now.Load() {
		all = append(all, a.keeper.Status())
	}
	slices.SortFunc(all, func(a, b custody.Status) int { return strings.Compare(a.Key.AppID, b.Key.AppID) })
	return all
}

// takesAdmin returns an error for the first account of list that the configuration file
// has too, or whose pushes could not be told from those of another one.
func (r *roster) takesAdmin(list []Account) error {
	r.replacing.Lock()
	defer r.replacing.Unlock()
	if err := overlap(list, r.file, "it is in the configuration file: change it there, or take it away there first"); err != nil {
		return err
	}
	_, err := r.pushes.Prepare(callbacksOf(append(slices.Clone(r.file), list...)))
	return err
}

// took returns why the document of that number is not at work here, nil when it is.
func (r *roster) took(number int64) error {
	r.replacing.Lock()
	defer r.replacing.Unlock()
	switch {
	case r.number >= number:
		return nil
	case r.refused != nil && (r.refusedNumber == number || r.refusedNumber == 0):
		return named.Errorf("gateway", "the accounts are in the store, and this gateway does not take them; those from before go on: %w",
			named.Plain(r.refused))
	}
	return named.Errorf("gateway", "the accounts are in the store, which does not answer now: each gateway takes them when it does")
}

// nextNumber is that of the admin API's next list.
func (r *roster) nextNumber() int64 {
	r.replacing.Lock()
	defer r.replacing.Unlock()
	return max(r.number+1, time.Now().UnixMicro())
}

// states returns how all accounts are doing, in the order of the appids.
func (r *roster) states() []AccountState {
	r.replacing.Lock()
	admin := make(map[string]bool, len(r.admin))
	for _, a := range r.admin {
		admin[a.AppID] = true
	}
	r.replacing.Unlock()
	all := make([]AccountState, 0, len(*r.now.Load()))
	for _, a := range *r.now.Load() {
		all = append(all, AccountState{
			Status: a.keeper.Status(), Name: r.names.of(a.AppID), Admin: admin[a.AppID], DailyFetches: a.kind.DailyFetches,
		})
	}
	slices.SortFunc(all, func(a, b AccountState) int { return strings.Compare(a.Key.AppID, b.Key.AppID) })
	return all
}

// close ends all Keepers, for good.
func (r *roster) close() {
	var closing sync.WaitGroup
	for _, a := range *r.now.Load() {
		closing.Go(a.close)
	}
	closing.Wait()
}

// end lets nothing change any more.
func (r *roster) end() {
	r.replacing.Lock()
	defer r.replacing.Unlock()
	r.closed = true
}

// take makes the store's accounts this gateway's, all or none.
func (r *roster) take(doc store.Document) {
	if doc.Kind != kindAccounts || doc.Name != accountsName {
		return
	}
	list, number, err := openAccounts(r.cfg.SealKeys, doc)
	r.replacing.Lock()
	defer r.replacing.Unlock()
	if err == nil && number < r.number {
		err = named.Errorf("gateway", "they are older than those that were taken before, so somebody who may write the store has put them back: put the right ones again")
	}
	if err == nil {
		err = overlap(list, r.file, "this gateway's configuration file has it too: take it away there")
		if err == nil {
			err = r.apply(append(slices.Clone(r.file), list...))
		}
	}
	r.refused, r.refusedNumber = err, number
	if err != nil {
		r.cfg.Logger.Warn("the accounts of the admin API were not taken; those from before go on",
			"log_code", "gateway_accounts_not_taken", "error", err)
		return
	}
	r.admin, r.number = list, number
}
