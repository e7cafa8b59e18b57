package simulator

import (
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

// TokenInfo is what the simulator knows about a token.
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

func (s *Simulator) lookUp(value string) *token {
	if t, ok := s.tokens.Load(value); ok {
		return t.(*token)
	}
	return nil
}
