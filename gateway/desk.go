package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/gateway/journal"
	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/store"
)

// waitForToken is how long a caller waits that wants a real one.
const waitForToken = 15 * time.Second

// desk is what everything that serves calls needs: who calls, about which account, and
// where that is written down.
type desk struct {
	accounts *roster
	clients  directory
	attempts *clients.Attempts
	journal  *journal.Journal
	logins   logins     // nil: there are none
	visitors *gate.Room // browsers that log in, and pages that ask without a key
	meter    *meter
	log      *slog.Logger

	draining   atomic.Bool
	suspecting sync.Map // appids whose token is being looked into

	ctx        context.Context // of what goes on in the background
	background sync.WaitGroup
}

// directory is what a gateway needs of package clients.
type directory interface {
	ByKey(ctx context.Context, key string, now time.Time) (c *clients.Live, hash clients.Hash, found bool)
	ByToken(ctx context.Context, token string, now time.Time) (c *clients.Live, appID string, err error)
	Find(clients.ID) *clients.Live
	All() []*clients.Live
	Logins(now time.Time) []*login.Client
	Registered(origin, appID, path string, now time.Time) bool
	Mint(c *clients.Live, key clients.Hash, appID string, now time.Time) string
	Minted(token string, c *clients.Live, key clients.Hash, appID string) bool
	Known() bool
	Look(context.Context)
	Refresh(context.Context)
}

func newDesk(cfg Config, api *platform.API, corp *wecom.API) *desk {
	d := &desk{
		attempts: clients.NewAttempts(cfg.Logger), journal: journal.New(cfg.Store, cfg.Logger, cfg.Journal...),
		visitors: gate.NewRoom(maxVisitors, 0, nil), meter: newMeter(), log: cfg.Logger,
	}
	d.accounts = &roster{
		cfg: cfg, api: api, corp: corp, meter: d.meter, scheduler: custody.NewScheduler(custody.SchedulerConfig{}), aside: d.background.Go,
	}
	d.accounts.now.Store(&accounts{})
	return d
}

// close waits for what goes on in the background, which has been told to end.
func (d *desk) close() {
	d.background.Wait()
	d.accounts.close()
	d.accounts.scheduler.Close()
	d.attempts.Tell()
	d.journal.Close()
}

// current returns the tokens of an account.
func (d *desk) current(appID string) current { return current{d.accounts, appID} }

// attempt counts one that failed, and reports whether the log is to tell of it.
func (d *desk) attempt(remote string) bool { return d.attempts.Add(remote, time.Now()) }

// refused answers a call in WeChat's place and says why in the log.
func (d *desk) refused(w *observed, r *http.Request, path string, refused *refusal) {
	attempt := refused.attempt || refused.class == "" && (refused.code == codeSecret || refused.code == codeToken)
	if attempt && w.live == nil {
		d.meter.wrongKeys.Add(1)
	}
	// What strangers get refused fills no log, whatever it is.
	told := w.live != nil && !attempt || d.attempt(r.RemoteAddr)
	w.errcode = refused.code
	write := refused.write
	if strings.HasPrefix(path, apiPrefix) {
		write = refused.writeAPI
	}
	rid := write(w)
	if told {
		d.log.LogAttrs(r.Context(), slog.LevelWarn, "refused a call", slog.String("log_code", "gateway_call_refused"),
			slog.String("path", loggable(path)), slog.Int("errcode", refused.code), slog.String("why", refused.why),
			slog.String("client", w.client), slog.String("appid", w.appID), slog.String("remote", r.RemoteAddr), slog.String("rid", rid))
	}
}

// admit checks the client's rate.
func admit(c *clients.Live) *refusal {
	if !c.Admit() {
		return refuse(codeMinute, "the client is over its rate of %v calls per second", c.Rate)
	}
	return nil
}

// byKey returns the client to which a key belongs.
func (d *desk) byKey(ctx context.Context, w *observed, key string, now time.Time) (*clients.Live, clients.Hash, *refusal) {
	c, hash, ok := d.clients.ByKey(ctx, key, now)
	if !ok && !d.clients.Known() {
		return nil, hash, unknownYet()
	}
	if !ok {
		return nil, hash, refuse(codeSecret, "no living client has this key")
	}
	w.of(c)
	return c, hash, nil
}

// unknownYet refuses while the clients were never read: a wrong key and a right one
// look the same, and programs take 40125 for final.
func unknownYet() *refusal {
	return refuse(codeBusy, "the clients are not known yet: the store has not answered since the start")
}

// ofClient returns the account if it is the gateway's and the client may use it. Before
// it refuses, the store is read: accounts of the admin API are in it.
func (d *desk) ofClient(ctx context.Context, w *observed, c *clients.Live, appID string) (*account, *refusal) {
	if appID == "" {
		return nil, refuse(codeNoAppID, "no appid was given")
	}
	a := d.accounts.find(appID)
	if a == nil || !c.Uses(appID) {
		d.clients.Refresh(ctx)
		if now := d.clients.Find(c.ID()); now != nil {
			c = now
		}
		a = d.accounts.find(appID)
	}
	switch {
	case !c.Uses(appID):
		return nil, refuse(codeAppID, "the account is not one of the client's")
	case a == nil:
		return nil, refuse(codeAppID, "the gateway has no such account")
	}
	w.about(a)
	return a, nil
}

// bearer returns the key in the Authorization header.
func bearer(h http.Header) (key string, found bool) {
	scheme, key, found := strings.Cut(h.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return key, true
}

// suspect reports the account's token to its Keeper as refused: a program that asks
// again so soon may have met a refusal at WeChat. The Keeper reads the store for a newer
// token and asks WeChat about this one, at most once a second, so a program that fetches
// twice for no reason costs no fetch.
func (d *desk) suspect(ctx context.Context, appID string) {
	tokens := d.current(appID)
	if token, err := tokens.Token(ctx); err == nil {
		_, _ = tokens.Reject(ctx, token.Value()) // the Keeper logs what matters
	}
}

// suspectInBackground is suspect for a caller that does not wait; one at a time for an
// account.
func (d *desk) suspectInBackground(appID string) {
	if _, running := d.suspecting.LoadOrStore(appID, nil); running || d.ctx.Err() != nil {
		return
	}
	d.background.Go(func() {
		defer d.suspecting.Delete(appID)
		ctx, cancel := context.WithTimeout(d.ctx, waitForToken)
		defer cancel()
		d.suspect(ctx, appID)
	})
}

// note writes the journal before the act, which does not happen when that fails.
func (d *desk) note(ctx context.Context, actor, act, subject, detail string) *refusal {
	err := d.journal.Note(ctx, store.Use{Actor: actor, Act: act, Subject: subject, Detail: detail})
	if err != nil {
		return refuse(codeBusy, "the journal cannot be written, so it was not done: %v", err)
	}
	return nil
}

// mustNote is note for what admins do.
func (d *desk) mustNote(ctx context.Context, actor, act, subject, detail string) error {
	if err := d.journal.Must(ctx, store.Use{Actor: actor, Act: act, Subject: subject, Detail: detail}); err != nil {
		return fmt.Errorf("the journal cannot be written, so it was not done: %w", err)
	}
	return nil
}

// errCrowded ends a call without a key when there are too many of them.
var errCrowded = named.Errorf("gateway", "too many calls without a key are under way, and those of this address the most")
