package simulator

import (
	"fmt"
	"net/http"
	"time"
)

// readClassic reads GET /cgi-bin/token.
func readClassic(c *call) {
	c.fetch = fetch{
		GrantType: c.query.Get("grant_type"),
		AppID:     c.query.Get("appid"),
		Secret:    c.query.Get("secret"),
	}
	c.own()
}

// readStable reads POST /cgi-bin/stable_token.
func readStable(c *call) {
	if len(c.body) > 0 {
		c.fetch.err = decode(c.body, &c.fetch)
	}
	c.own()
}

func (c *call) own() {
	if a := c.sim.accounts[c.fetch.AppID]; a != nil {
		c.account = a
	}
}

// serveClassic carries out GET /cgi-bin/token: every call issues a token.
func serveClassic(c *call) answer {
	if c.req.Method != http.MethodGet {
		return c.refuse(requireGET)
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	p := &a.classic
	if errcode := c.checkFetch(); errcode != 0 {
		return c.refuse(errcode)
	}
	if errcode := a.overQuota(TokenPath, c.now); errcode != 0 {
		return c.refuse(errcode)
	}
	a.quota(TokenPath).use(c.now)
	p.stats.Issued++
	return granted(p.issue(c.now), c.now)
}

// serveStable carries out POST /cgi-bin/stable_token: a call issues a token when
// it forces that, or when the current one is about to end.
func serveStable(c *call) answer {
	switch {
	case c.req.Method != http.MethodPost:
		return c.refuse(requirePOST)
	case len(c.body) == 0:
		return c.refuse(emptyPostData)
	case c.fetch.err != nil:
		return c.refuse(dataFormat)
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	p := &a.stable
	if errcode := c.checkFetch(); errcode != 0 {
		return c.refuse(errcode)
	}
	if errcode := a.overQuota(StableTokenPath, c.now); errcode != 0 {
		return c.refuse(errcode)
	}
	force := c.fetch.Force && !p.tooEarly(c.now)
	if most := limit(a.conf.DailyForced, dailyForced); force && most > 0 && p.forced.in(day(c.now)) >= most {
		return c.refuse(dailyLimit)
	}
	a.quota(StableTokenPath).use(c.now)
	if force {
		p.stats.Issued++
		p.stats.Forced++
		return granted(p.force(c.now), c.now)
	}
	t := p.lasting(c.now)
	if t == nil {
		p.stats.Issued++
		t = p.issue(c.now)
	}
	return granted(t, c.now)
}

// checkFetch checks a fetch up to its quotas, in WeChat's order, and returns the
// errcode to refuse it with. The account's mutex is held.
func (c *call) checkFetch() int {
	switch {
	case c.fetch.AppID == "":
		return appIDMissing
	case c.account == c.sim.nobody:
		return invalidAppID
	case c.fetch.GrantType != "client_credential":
		return invalidGrantType
	default:
		return c.checkSecret()
	}
}

// checkSecret is what every call that carries the AppSecret has to pass once its
// account is known. The account's mutex is held.
func (c *call) checkSecret() int {
	f, conf := c.fetch, &c.account.conf
	switch {
	case f.Secret == "":
		return secretMissing
	case conf.State == SecretFrozen:
		return int(SecretFrozen)
	case f.Secret != conf.Secret:
		return invalidSecret
	case conf.State == Banned || conf.State == Frozen || conf.State == ThirdParty:
		return int(conf.State)
	case !c.account.whitelist.allows(c.caller):
		return notWhitelisted
	}
	return int(conf.State) // what is left are the 895xx, which follow the whitelist
}

func granted(t *token, now time.Time) answer {
	return ok(fmt.Sprintf(`{"access_token":"%s","expires_in":%d}`, t.value, seconds(t.end.Sub(now))))
}

// serveTicket carries out GET /cgi-bin/ticket/getticket: the ticket that lives
// already, whose life begins anew, or a new one.
func serveTicket(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tickets[TicketType(c.query.Get("type"))]
	if t == nil {
		return c.refuse(invalidParameter)
	}
	t.stats.Calls++
	if t.value == "" || !c.now.Before(t.end) {
		t.stats.Issued++
		t.value = makeTicket(t.random)
	}
	t.end = c.now.Add(c.sim.options.Life)
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","ticket":"%s","expires_in":%d}`, t.value, seconds(c.sim.options.Life)))
}
