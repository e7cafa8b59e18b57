package simulator

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Pool names one of the two sets of tokens that an account has. Fetching in one
// never touches the other; the APIs accept both.
type Pool string

// The pools.
const (
	Classic Pool = "classic" // GET /cgi-bin/token
	Stable  Pool = "stable"  // POST /cgi-bin/stable_token
)

// remembered is how many tokens of a pool are distinguished from invented ones.
// Older ones are dead in any case; they answer 40001 also where they died of age.
const remembered = 64

// pool holds the tokens of an account that one endpoint issues: the current one
// and the one before live, all others are dead. The account's mutex guards it.
type pool struct {
	account *account
	name    Pool
	random  *rand.ChaCha8
	tokens  []*token // oldest first, the current one last
	stats   PoolStats
}

func newPool(a *account, name Pool) pool {
	return pool{account: a, name: name, random: source(a.world.options.Seed, a.appid, string(name))}
}

// current returns the token issued last, nil when there is none.
func (p *pool) current() *token {
	if len(p.tokens) == 0 {
		return nil
	}
	return p.tokens[len(p.tokens)-1]
}

// issue makes a new current token. The former gets the overlap, the one before
// that dies.
func (p *pool) issue(now time.Time) *token {
	s := p.account.world
	for i, t := range p.tokens {
		if i == len(p.tokens)-1 {
			t.dieAt(now.Add(s.options.Overlap))
		} else {
			t.dieAt(now)
		}
	}
	t := &token{account: p.account, pool: p.name, value: makeToken(p.random), end: now.Add(s.options.Life)}
	p.tokens = append(p.tokens, t)
	s.tokens.Store(t.value, t)
	if len(p.tokens) > remembered {
		s.tokens.Delete(p.tokens[0].value)
		p.tokens = slices.Delete(p.tokens, 0, 1)
	}
	return t
}

// kill ends every token at once.
func (p *pool) kill(now time.Time) {
	for _, t := range p.tokens {
		t.dieAt(now)
	}
}

// stablePool is the pool of stable_token.
type stablePool struct {
	pool

	forced     counter   // forced refreshes today
	lastForced time.Time // zero: never
}

// forceGap is what has to lie between two forced refreshes (WeChat: 30 s).
const forceGap = 30 * time.Second

// lasting returns the current token if normal mode answers it: it lives, and not
// only for the overlap's last stretch. A refused one counts as living here.
func (p *stablePool) lasting(now time.Time) *token {
	t := p.current()
	if t == nil || (!t.death.IsZero() && !now.Before(t.death)) {
		return nil
	}
	left := t.end.Sub(now)
	if left <= p.account.world.options.Overlap || left < time.Second {
		return nil
	}
	return t
}

// force issues a new token as a forced refresh does.
func (p *stablePool) force(now time.Time) *token {
	p.forced.add(day(now))
	p.lastForced = now
	return p.issue(now)
}

// tooEarly reports whether a forced refresh would not refresh.
func (p *stablePool) tooEarly(now time.Time) bool {
	return !p.lastForced.IsZero() && now.Sub(p.lastForced) < forceGap
}
