package simulator

import (
	"fmt"
	"net/http"
	"slices"
)

// snsRoutes returns the paths of logins.
func snsRoutes() map[string]endpoint {
	return map[string]endpoint{
		snsTokenPath:    {read: readSNSAccount, serve: serveSNSToken},
		snsRefreshPath:  {read: readSNSAccount, serve: serveSNSRefresh},
		snsUserinfoPath: {read: readSNSToken, serve: serveSNSUserinfo},
		snsAuthPath:     {read: readSNSToken, serve: serveSNSAuth},
		miniLoginPath:   {read: readSNSAccount, serve: serveMiniLogin},

		authorizePath: {read: readSNSAccount, serve: serveAuthorize},
		qrLoginPath:   {read: readSNSAccount, serve: serveAuthorize},
		corpLoginPath: {read: readSNSAccount, serve: authorizeCorp},

		"/wxa/checksession":                get(serveCheckSession).of(onlyMini),
		"/wxa/resetusersessionkey":         get(serveResetSession).of(onlyMini),
		"/wxa/business/getuserphonenumber": post(servePhoneNumber).of(onlyMini),
	}
}

// readSNSAccount reads whose login a call is about.
func readSNSAccount(c *call) {
	c.fetch = fetch{GrantType: c.query.Get("grant_type"), AppID: c.query.Get("appid"), Secret: c.query.Get("secret")}
	c.own()
}

// readSNSToken reads which user's token a call carries.
func readSNSToken(c *call) {
	if g, ok := c.sim.userTokens.Load(c.query.Get("access_token")); ok {
		c.grant = g.(*userGrant)
		c.account = c.grant.account
	}
}

func snsOK(format string, args ...any) answer {
	return answer{status: http.StatusOK, contentType: snsContentType, body: fmt.Sprintf(format, args...)}
}

// checkLogin checks a call with the AppSecret up to its code. The account's mutex is held.
func (c *call) checkLogin(kinds ...Kind) int {
	f, conf := c.fetch, &c.account.conf
	switch {
	case c.req.Method != http.MethodGet:
		return requireGET
	case f.AppID == "":
		return appIDMissing
	case c.account == c.sim.nobody || !slices.Contains(kinds, conf.Kind):
		return invalidAppID
	case f.Secret == "":
		return secretMissing
	case conf.State == SecretFrozen:
		return int(SecretFrozen)
	case f.Secret != conf.Secret:
		return invalidSecret
	case conf.State == Banned || conf.State == Frozen:
		return int(conf.State)
	case f.GrantType != "authorization_code":
		return invalidGrantType
	default:
		return 0
	}
}

// serveSNSToken carries out GET /sns/oauth2/access_token.
func serveSNSToken(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if errcode := c.checkLogin(OfficialAccount, Website); errcode != 0 {
		return c.refuse(errcode)
	}
	value := c.query.Get("code")
	if value == "" {
		return c.refuse(codeMissing)
	}
	code, errcode := a.logins.takeCode(webCode, value, c.now)
	if errcode != 0 {
		return c.refuse(errcode)
	}
	return a.grant(code, c.now).answer(c)
}

// answer is what both calls for a user's token answer. The account's mutex is held.
func (g *userGrant) answer(c *call) answer {
	further := ""
	if g.snapshot {
		further = `,"is_snapshotuser":1`
	}
	if id := g.unionID(); id != "" {
		further += `,"unionid":` + quote(id)
	}
	return snsOK(`{"access_token":"%s","expires_in":%d,"refresh_token":"%s","openid":%s,"scope":"%s"%s}`,
		g.token, seconds(g.end.Sub(c.now)), g.refresh, quote(g.shownOpenID()), g.scope, further)
}

// shownOpenID is the openid that the app gets to see.
func (g *userGrant) shownOpenID() string {
	if g.snapshot {
		return virtual(g.openid)
	}
	return g.openid
}

// unionID is the unionid that the app gets to see; "" for none.
// WeChat: with snsapi_userinfo and snsapi_login only; a snapshot's is made up.
func (g *userGrant) unionID() string {
	id := g.account.unionID(g.openid)
	switch {
	case id == "" || g.scope == scopeBase && !g.snapshot:
		return ""
	case g.snapshot:
		return virtual(id)
	default:
		return id
	}
}

// serveSNSRefresh carries out GET /sns/oauth2/refresh_token, which needs no AppSecret.
func serveSNSRefresh(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case c.req.Method != http.MethodGet:
		return c.refuse(requireGET)
	case c.fetch.AppID == "":
		return c.refuse(appIDMissing)
	case a == c.sim.nobody:
		return c.refuse(invalidAppID)
	case c.fetch.GrantType != "refresh_token":
		return c.refuse(invalidGrantType)
	}
	i := slices.IndexFunc(a.logins.grants, func(g *userGrant) bool { return g.refresh == c.query.Get("refresh_token") })
	if i < 0 {
		return c.refuse(invalidRefreshToken)
	}
	g := a.logins.grants[i]
	switch {
	case g.revoked:
		return c.refuse(authorizationGone)
	case !c.now.Before(g.refreshEnd):
		return c.refuse(refreshTokenExpired)
	}
	if !c.now.Before(g.end) {
		c.sim.userTokens.Delete(g.token)
		g.token = makeToken(a.logins.random)
		c.sim.userTokens.Store(g.token, g)
	}
	g.end = c.now.Add(userTokenLife)
	return g.answer(c)
}

// checkUser checks a call with a user's token. The account's mutex is held.
func (c *call) checkUser() int {
	switch {
	case c.query.Get("access_token") == "":
		return tokenMissing
	case c.grant == nil:
		return invalidCredential
	}
	if errcode := c.grant.verdict(c.now); errcode != 0 {
		return errcode
	}
	switch {
	case c.req.Method != http.MethodGet:
		return requireGET
	case c.query.Get("openid") != c.grant.shownOpenID():
		return invalidOpenID
	default:
		return 0
	}
}

// serveSNSUserinfo carries out GET /sns/userinfo.
func serveSNSUserinfo(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	errcode := c.checkUser()
	switch {
	case errcode != 0:
		return c.refuse(errcode)
	case c.grant.scope == scopeBase || c.grant.snapshot:
		return c.refuse(apiUnauthorized)
	}
	further := ""
	if id := c.grant.unionID(); id != "" {
		further = `,"unionid":` + quote(id)
	}
	return snsOK(`{"openid":%s,"nickname":%s,"sex":0,"language":"","city":"","province":"","country":"","headimgurl":"","privilege":[]%s}`,
		quote(c.grant.openid), quote(a.nickname(c.grant.openid)), further)
}

// serveSNSAuth carries out GET /sns/auth.
func serveSNSAuth(c *call) answer {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if errcode := c.checkUser(); errcode != 0 {
		return c.refuse(errcode)
	}
	return snsOK(`{"errcode":0,"errmsg":"ok"}`)
}
