package simulator

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// Accounts returns the accounts as they are now, in the order of Options.
func (s *Simulator) Accounts() []Account {
	all := make([]Account, 0, len(s.order))
	for _, a := range s.order {
		a.mu.Lock()
		conf := a.conf.clone()
		a.mu.Unlock()
		all = append(all, conf)
	}
	return all
}

// Update changes an account: change gets a copy, which takes effect as a whole
// unless it cannot be; then nothing changes and the error says why. The AppID
// stays. change must not call the Simulator.
func (s *Simulator) Update(appid string, change func(*Account)) error {
	a := s.accounts[appid]
	if a == nil {
		return named.Errorf("simulator", "there is no account %s", appid)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	conf := a.conf.clone()
	change(&conf)
	if conf.AppID != appid {
		return named.Errorf("simulator", "Update of %s must not change its AppID", appid)
	}
	if (conf.Kind == WeCom) != (a.corp != nil) {
		return named.Errorf("simulator", "Update of %s must not make a WeCom app of it, nor of one something else", appid)
	}
	conf = conf.complete()
	list, err := conf.check()
	if err != nil {
		return named.Errorf("simulator", "Update: %w", err)
	}
	a.conf, a.whitelist = conf, list
	return nil
}

// SetSecret resets the AppSecret, as in the console. Tokens that are already out
// stay alive.
func (s *Simulator) SetSecret(appid, secret string) {
	s.mustUpdate(appid, func(a *Account) { a.Secret = secret })
}

// SetWhitelist replaces the IP whitelist, with effect at once. No entries mean
// that every address may call.
func (s *Simulator) SetWhitelist(appid string, entries ...string) {
	s.mustUpdate(appid, func(a *Account) { a.Whitelist = entries })
}

func (s *Simulator) mustUpdate(appid string, change func(*Account)) {
	if err := s.Update(appid, change); err != nil {
		panic(err)
	}
}

// Supersede issues a classic token to somebody else, as when another program
// fetches for the same account, and returns it. The caller's token becomes the
// previous one and dies after the overlap. It is not counted as a call and uses
// no quota.
func (s *Simulator) Supersede(appid string) string {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.classic.stats.Outside++
	return a.classic.issue(s.Clock.Now()).value
}

// SupersedeStable is Supersede for stable_token: somebody else forces a refresh.
// It always succeeds, and counts towards the 30 s and the 20 a day that a forced
// refresh of the caller's own meets next.
func (s *Simulator) SupersedeStable(appid string) string {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stable.stats.Outside++
	return a.stable.force(s.Clock.Now()).value
}

// Kill lets every live token of the account die at once, in both pools.
// stable_token issues a new one when it is asked next.
func (s *Simulator) Kill(appid string) {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := s.Clock.Now()
	a.classic.kill(now)
	a.stable.kill(now)
}

// KillToken lets one token die at once and reports whether it was alive.
// stable_token issues a new one when it is asked next.
func (s *Simulator) KillToken(value string) bool {
	return s.change(value, func(t *token, now time.Time) { t.dieAt(now) })
}

// Refuse lets the APIs refuse one token with 40001 while stable_token still
// takes it for good: in normal mode it answers that very value, and only a
// forced refresh helps. It reports whether the token was alive.
func (s *Simulator) Refuse(value string) bool {
	return s.change(value, func(t *token, _ time.Time) { t.refused = true })
}

func (s *Simulator) change(value string, do func(*token, time.Time)) bool {
	t := s.lookUp(value)
	if t == nil {
		return false
	}
	t.account.mu.Lock()
	defer t.account.mu.Unlock()
	now := s.Clock.Now()
	if t.verdict(now) != 0 {
		return false
	}
	do(t, now)
	return true
}

// TokenInfo is what the simulator knows about a token, for a test that asks whether a program
// holds the current one.
type TokenInfo struct {
	AppID   string        // "" for a value that is no token of the simulator's
	Pool    Pool          // "" likewise
	Current bool          // nothing newer was issued in its pool
	Errcode int           // what an API answers for it: 0 when it lives, else 40001 or 42001
	Left    time.Duration // how long it will live if nothing happens to it; 0 when it is invalid
}

// Accepts reports whether an API would accept the token now.
func (s *Simulator) Accepts(value string) bool { return s.Inspect(value).Errcode == 0 }

// Inspect tells what the simulator knows about a token.
func (s *Simulator) Inspect(value string) TokenInfo {
	t := s.lookUp(value)
	if t == nil {
		return TokenInfo{Errcode: invalidCredential}
	}
	t.account.mu.Lock()
	defer t.account.mu.Unlock()
	now := s.Clock.Now()
	return TokenInfo{
		AppID:   t.account.appid,
		Pool:    t.pool,
		Current: t.account.pool(t.pool).current() == t,
		Errcode: t.verdict(now),
		Left:    t.left(now),
	}
}

// Latest returns the token that a pool issued last, dead or alive, and "" when
// there is none.
func (s *Simulator) Latest(appid string, p Pool) string {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.pool(p).current(); t != nil {
		return t.value
	}
	return ""
}

// Stats returns the counts of an account. The appid "" stands for the calls that
// belong to none: an unknown appid, an unknown token, an unknown path.
func (s *Simulator) Stats(appid string) Stats {
	a := s.nobody
	if appid != "" {
		a = s.find(appid)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{
		Classic:  a.classic.stats,
		Stable:   a.stable.stats,
		JSAPI:    a.tickets[JSAPI].stats,
		Card:     a.tickets[Card].stats,
		Pushes:   a.pushes,
		APICalls: a.apiCalls,
		Errcodes: maps.Clone(a.errcodes),
	}
}

// Redact returns e without the AppSecrets that the accounts have now, for records
// that others may read: they need not be made up.
func (s *Simulator) Redact(e Event) Event {
	for _, conf := range s.Accounts() {
		for _, secret := range []string{conf.Secret, url.QueryEscape(conf.Secret)} {
			e.Query = strings.ReplaceAll(e.Query, secret, "***")
			e.Request = strings.ReplaceAll(e.Request, secret, "***")
		}
	}
	return e
}

// Hear notes that a follower has sent m, without pushing it to anybody. A push does
// so by itself: it is for apps that were given the message in another way. From then on
// the account may send customer service messages to that follower, as many and as long
// as WeChat allows after such a message or event. A person who does not follow the
// account is not heard.
func (s *Simulator) Hear(appid string, m Message) {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	if openid, err := a.person(m.From); err == nil {
		a.hear(m.By(openid), s.Clock.Now())
	}
}

// Quotas returns today's use of the token endpoints, and of every other path that
// was called today, by path. With very many paths one of the name "" stands for
// the rest.
func (s *Simulator) Quotas(appid string) []Quota {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	today := day(s.Clock.Now())
	all := []Quota{{Path: StableTokenPath}, {Path: TokenPath}}
	for _, path := range slices.Sorted(maps.Keys(a.quotas)) {
		if path != StableTokenPath && path != TokenPath && a.quotas[path].day.in(today) > 0 {
			all = append(all, Quota{Path: path})
		}
	}
	for i, q := range all {
		all[i].Limit = max(a.conf.perDay(q.Path), 0)
		if used := a.quotas[q.Path]; used != nil {
			all[i].Used = used.day.in(today)
		}
	}
	return all
}

// Spend uses up today's quota of a path but for left calls. The error says that
// the account or the quota does not exist, or is smaller.
func (s *Simulator) Spend(appid, path string, left int) error {
	a := s.accounts[appid]
	if a == nil {
		return named.Errorf("simulator", "there is no account %s", appid)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	most := a.conf.perDay(path)
	switch {
	case most <= 0:
		return named.Errorf("simulator", "Spend: %s has no daily limit for %s; give it one with Account.DailyCalls", path, appid)
	case left < 0 || left > most:
		return named.Errorf("simulator", "Spend: %d calls of %s cannot be left: the limit is %d a day", left, path, most)
	}
	a.quota(path).day = counter{slot: day(s.Clock.Now()), n: most - left}
	return nil
}

// Ticket returns the ticket that lives now, and how long; "" when none does. Of a WeCom app
// JSAPI is the corp's, and "agent_config" the app's own.
func (s *Simulator) Ticket(appid string, t TicketType) (value string, left time.Duration) {
	a, now := s.find(appid), s.Clock.Now()
	if a.corp != nil {
		return a.corp.ticket(a.appid, t, now) // which locks the corp before its apps
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.tickets[t]; at != nil && now.Before(at.end) {
		return at.value, at.end.Sub(now)
	}
	return "", 0
}

// KillTicket ends the life of a ticket: the next fetch gets a new one.
func (s *Simulator) KillTicket(appid string, t TicketType) {
	a := s.find(appid)
	if a.corp != nil {
		a.corp.kill(a.appid, t)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.tickets[t]; at != nil {
		at.end = time.Time{}
	}
}

// SetSkew changes Options.Skew: how far WeChat's clock is ahead of this
// machine's. Negative: behind.
func (s *Simulator) SetSkew(d time.Duration) { s.skew.Store(int64(d)) }
