package wechat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/platform"
)

const (
	exchangeTime = 10 * time.Second           // for an exchange, the profile and OnLogin together
	codeLease    = 5 * time.Second            // for which a process holds the code, extended while it works
	waitTime     = exchangeTime + 2*codeLease // for another process
	codeMemory   = loginTime + waitTime       // how long a code is remembered
	storeTime    = 3 * time.Second            // for one call of the store
	maxRemember  = 4096                       // codes, in this process
)

// logins are what all Login of a client share.
type logins struct {
	apis     []loginAPI // in turn, where one cannot be reached
	direct   []loginAPI // WeChat's own; apis without a gateway
	account  platform.Account
	origin   string
	openBase string
	seals    seals
	once     callback.Once // nil: this process alone remembers
	codes    codes
}

// newLogins is for a valid cfg.
func newLogins(cfg Config, store any) (*logins, error) {
	l := &logins{account: platform.Account{AppID: cfg.AppID, Secret: cfg.AppSecret}, origin: cfg.Origin, openBase: cfg.OpenBase}
	l.once, _ = store.(callback.Once)
	direct, err := newLoginAPI(cfg.APIBase, cfg.Transport, cfg)
	if err != nil {
		return nil, err
	}
	l.direct = []loginAPI{direct}
	l.apis = l.direct
	if cfg.Gateway != "" { // which puts the AppSecret in the place of the client's key
		l.account.Secret, l.apis = cfg.GatewayKey, nil
		for gateway := range strings.SplitSeq(cfg.Gateway, ",") {
			api, err := newLoginAPI(strings.TrimSpace(gateway), cfg.GatewayTransport, cfg)
			if err != nil {
				return nil, err
			}
			l.apis = append(l.apis, api)
		}
	}
	l.seals, err = newSeals(cfg.SealKeys, l.account.Secret)
	return l, err
}

// loginAPI is an API at one address.
type loginAPI struct {
	*platform.API

	foreign bool // its transport is the caller's
}

func newLoginAPI(base string, transport http.RoundTripper, cfg Config) (loginAPI, error) {
	api, err := platform.New(platform.Config{Base: base, Transport: transport, Logger: cfg.Logger})
	if err != nil {
		return loginAPI{}, fmt.Errorf("wechat: %w", err)
	}
	return loginAPI{api, transport != nil}, nil
}

// try calls do with one API after the other, as long as nothing has left for the one before.
func try[T any](apis []loginAPI, do func(*platform.API) (T, error)) (result T, err error) {
	for _, api := range apis {
		result, err = do(api.API)
		if conn, ok := errors.AsType[*platform.ConnError](err); !ok || conn.Sent {
			break
		}
	}
	return result, err
}

// close ends idle connections, of a foreign transport none.
func (l *logins) close() {
	for _, api := range append(slices.Clip(l.apis), l.direct...) {
		if !api.foreign {
			api.CloseIdleConnections()
		}
	}
}

// outcome is what became of a code. Every request that brings it gets the same.
type outcome struct {
	User  *User  `json:"user,omitempty"`
	Again bool   `json:"again,omitempty"` // WeChat does not take this code: another one helps
	Page  string `json:"page,omitempty"`  // else: which page the user sees
}

// codes remembers what became of codes in this process, and lets one of many requests find
// it out.
type codes struct {
	mu  sync.Mutex
	all map[string]*flight
}

// flight is one exchange. done is closed when outcome is there.
type flight struct {
	done    chan struct{}
	end     time.Time
	outcome outcome
}

// join returns the flight of a key, and whether the caller has to fly it.
func (c *codes) join(key string) (f *flight, first bool) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.all[key]; f != nil && now.Before(f.end) {
		return f, false
	}
	if c.all == nil {
		c.all = map[string]*flight{}
	}
	if len(c.all) >= maxRemember {
		c.shrink(now)
	}
	f = &flight{done: make(chan struct{}), end: now.Add(codeMemory)}
	c.all[key] = f
	return f, true
}

// shrink forgets what is old, and if that is little, half of the rest: the store remembers.
func (c *codes) shrink(now time.Time) {
	for key, f := range c.all {
		if !now.Before(f.end) {
			delete(c.all, key)
		}
	}
	for key := range c.all {
		if len(c.all) <= maxRemember/2 {
			return
		}
		delete(c.all, key)
	}
}

func (c *codes) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, key)
}

// exchangeOnce returns what became of a code, which one request of one process finds out.
func (l *login) exchangeOnce(ctx context.Context, p pending, code string) outcome {
	return l.client.codeOnce(ctx, l.account(p).AppID, code, func(ctx context.Context) outcome { return l.exchange(ctx, p, code) })
}

// codeOnce lets exchange find out what became of a code, once for all processes on the
// store. ctx bounds the waiting for another request that does it.
func (c *Client) codeOnce(ctx context.Context, appID, code string, exchange func(context.Context) outcome) outcome {
	sum := sha256.Sum256([]byte(appID + " " + code))
	key := "login." + hex.EncodeToString(sum[:20])
	f, first := c.logins.codes.join(key)
	if !first {
		select {
		case <-f.done:
			return f.outcome
		case <-ctx.Done():
			return outcome{Page: pageUnavailable.reason}
		}
	}
	f.outcome = outcome{Page: pageUnavailable.reason} // should a hook panic
	keep := false
	defer func() {
		if !keep {
			c.logins.codes.forget(key)
		}
		close(f.done)
	}()
	// A caller that goes away must not lose the code: the next request gets its outcome.
	f.outcome, keep = c.codeInStore(context.WithoutCancel(ctx), key, func(ctx context.Context) outcome {
		ctx, cancel := context.WithTimeout(ctx, exchangeTime)
		defer cancel()
		return exchange(ctx)
	})
	return f.outcome
}

// codeInStore does it for all processes. Without keep, the next request may try again.
func (c *Client) codeInStore(ctx context.Context, key string, exchange func(context.Context) outcome) (out outcome, keep bool) {
	once := c.logins.once
	if once == nil {
		return exchange(ctx), true
	}
	owner := callback.NewOwner(key)
	within, cancel := context.WithTimeout(ctx, storeTime)
	attempt, _, _, err := once.Claim(within, c.appID, key, owner, codeLease, codeMemory)
	cancel()
	if err != nil {
		c.log.Warn("a login goes on without the store, so that another process might exchange its code, too", "appid", c.appID, "error", err)
		return exchange(ctx), true
	}
	if attempt == 0 {
		within, cancel := context.WithTimeout(ctx, waitTime)
		defer cancel()
		var sealed []byte
		attempt, sealed, err = once.Wait(within, key, owner, codeLease)
		switch {
		case callback.IsAnswerGone(err):
			return outcome{Again: true}, true
		case err != nil:
			c.log.Warn("what became of a login could not be read", "appid", c.appID, "error", err)
			return outcome{Page: pageUnavailable.reason}, false
		case attempt == 0:
			return c.openOutcome(key, sealed), true
		}
	}
	finished, release := false, c.holdCode(ctx, key, owner)
	defer func() {
		release()
		if !finished { // a hook has panicked
			within, cancel := context.WithTimeout(ctx, storeTime)
			defer cancel()
			_, _, _ = once.Hold(within, key, owner, 0)
		}
	}()
	out = exchange(ctx)
	finished = true
	c.recordOutcome(ctx, key, owner, out)
	return out, true
}

// holdCode extends the lease of a code until release is called: a process that is killed is
// noticed soon, and a slow one keeps its code.
func (c *Client) holdCode(ctx context.Context, key, owner string) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(codeLease / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_, _, _ = c.logins.once.Hold(ctx, key, owner, codeLease) // the next one may succeed
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// recordOutcome tells the other processes.
func (c *Client) recordOutcome(ctx context.Context, key, owner string, out outcome) {
	text, err := json.Marshal(out)
	if err == nil {
		within, cancel := context.WithTimeout(ctx, storeTime)
		defer cancel()
		_, _, err = c.logins.once.Finish(within, key, owner, c.logins.seals.seal(key, text), codeMemory)
	}
	if err != nil {
		c.log.Warn("other processes are not told of a login", "appid", c.appID, "error", err)
	}
}

// openOutcome reads what another process has recorded.
func (c *Client) openOutcome(key string, sealed []byte) (out outcome) {
	text, err := c.logins.seals.open(key, sealed)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		c.log.Warn("what another process recorded of a login was sealed with other keys: give all processes of the account "+
			"the same seal keys and AppSecret", "appid", c.appID)
		return outcome{Again: true}
	}
	return out
}

// account is whose code it is.
func (l *login) account(p pending) platform.Account {
	if p.Website {
		return platform.Account{AppID: l.cfg.Website.AppID, Secret: l.cfg.Website.AppSecret}
	}
	return l.client.logins.account
}

// deadCodes are the errcodes after which another code helps: invalid, used, expired.
var deadCodes = []int{40029, 40163, 42003}

// anotherCodeHelps reports whether an exchange failed because of its code alone.
func anotherCodeHelps(err error) bool {
	if refusal, ok := errors.AsType[*platform.Error](err); ok {
		return slices.Contains(deadCodes, refusal.Code)
	}
	conn, ok := errors.AsType[*platform.ConnError](err)
	return ok && conn.Sent // the answer is lost, and the code may be used
}

// exchange asks WeChat who the user is.
func (l *login) exchange(ctx context.Context, p pending, code string) outcome {
	account, apis := l.account(p), l.client.logins.apis
	if p.Website {
		apis = l.client.logins.direct // a gateway does not know this account
	}
	grant, err := try(apis, func(a *platform.API) (platform.UserGrant, error) { return a.ExchangeCode(ctx, account, code) })
	if err != nil {
		again := anotherCodeHelps(err)
		l.client.log.Warn("a login's code was not exchanged", "appid", account.AppID, "another_code_helps", again, "error", err)
		return outcome{Again: again, Page: pageUnavailable.reason}
	}
	user := &User{
		AppID: account.AppID, OpenID: grant.OpenID, UnionID: grant.UnionID, Snapshot: grant.Snapshot,
		LoggedIn: time.Now().Truncate(time.Second),
	}
	switch {
	case grant.Snapshot && !l.cfg.Snapshot:
		return outcome{Page: pageSnapshot.reason}
	case grant.Snapshot, p.Scope == scopeBase:
	default:
		info, err := try(apis, func(a *platform.API) (platform.UserInfo, error) { return a.UserInfo(ctx, account.AppID, grant) })
		if err != nil {
			l.client.log.Error("the profile of a user who logs in was not read", "appid", account.AppID, "error", err)
			return outcome{Page: pageUnavailable.reason}
		}
		user.Userinfo, user.Nickname, user.Avatar = true, info.Nickname, info.Avatar
		if user.UnionID == "" {
			user.UnionID = info.UnionID
		}
		if len(user.Avatar) > maxUser-len(user.Nickname) {
			user.Avatar = "" // a cookie has no room for it
		}
	}
	if l.cfg.OnLogin != nil {
		if err := l.cfg.OnLogin(ctx, user, grant); err != nil {
			l.client.log.Error("LoginConfig.OnLogin failed", "appid", account.AppID, "error", err)
			return outcome{Page: pageUnavailable.reason}
		}
	}
	return outcome{User: user}
}
