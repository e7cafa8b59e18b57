package simulator

import (
	"encoding/base64"
	"math/rand/v2"
	"time"
)

// Tokens look like those that WeChat issued in 2025: a generation, "_", and
// base64url, 136 characters together.
const (
	tokenPrefix = "91_"
	tokenLength = 136
)

// token is one access_token that was issued. Its account's mutex guards it.
type token struct {
	account *account
	pool    Pool
	value   string
	end     time.Time // when it has lived its life
	death   time.Time // when it dies of something else; zero while nothing is against it
	refused bool      // the APIs refuse it although its pool holds it for good
}

// verdict returns the errcode that an API gives for the token: 0, 40001 (WeCom: 40014) or
// 42001. What killed it first is what it says for ever.
func (t *token) verdict(now time.Time) int {
	dead := invalidCredential
	if t.account.corp != nil {
		dead = corpInvalidToken
	}
	switch {
	case t.refused:
		return dead
	case !t.death.IsZero() && t.death.Before(t.end) && !now.Before(t.death):
		return dead
	case !now.Before(t.end):
		return tokenExpired
	default:
		return 0
	}
}

// dieAt ends the token at a time unless it ends sooner.
func (t *token) dieAt(at time.Time) {
	if t.death.IsZero() || at.Before(t.death) {
		t.death = at
	}
}

// left returns how long the token will live if nothing happens to it.
func (t *token) left(now time.Time) time.Duration {
	if t.verdict(now) != 0 {
		return 0
	}
	if !t.death.IsZero() && t.death.Before(t.end) {
		return t.death.Sub(now)
	}
	return t.end.Sub(now)
}

func makeToken(random *rand.ChaCha8) string {
	b := make([]byte, 102) // 136 characters of base64
	_, _ = random.Read(b)  // never fails, by its documentation
	return (tokenPrefix + base64.RawURLEncoding.EncodeToString(b))[:tokenLength]
}
