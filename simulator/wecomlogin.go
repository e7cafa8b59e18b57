package simulator

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// authorizeCorp is the login page of WeCom (网页授权, 扫码登录): it sends the browser back with
// a code, as the app's first member or as the one that the parameter simulator_member names.
func authorizeCorp(c *call) answer {
	q := c.query
	a := c.sim.accounts[q.Get("appid")+":"+q.Get("agentid")]
	back, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case a == nil || a.corp == nil:
		return c.refusedPage(&pageError{0, "there is no such appid and agentid"})
	case err != nil || back.Host == "":
		return c.refusedPage(&pageError{pageDomain, "the redirect_uri is no http or https address"})
	case c.req.URL.Path == authorizePath && q.Get("response_type") != "code":
		return c.refusedPage(&pageError{0, "response_type has to be code"})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.conf.LoginDomains) > 0 && !slices.Contains(a.conf.LoginDomains, back.Hostname()) {
		return c.refusedPage(&pageError{50001, "the redirect_uri is not on a trusted domain of the app (可信域名)"})
	}
	member, err := a.person(q.Get("simulator_member"))
	if err != nil {
		return c.refusedPage(&pageError{0, named.Plain(err).Error()})
	}
	code := a.logins.addCode(loginCode{kind: webCode, openid: member, scope: q.Get("scope"), made: a.world.options.Clock.Now()})
	values := back.Query()
	values.Set("code", code.value)
	values.Set("state", q.Get("state"))
	back.RawQuery, back.Fragment = values.Encode(), ""
	return answer{status: http.StatusFound, location: back.String()}
}

// serveCorpLogin carries out GET /cgi-bin/auth/getuserinfo.
func serveCorpLogin(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.query.Get("code") == "" {
		return c.refuse(codeMissing)
	}
	code, errcode := a.logins.takeCode(webCode, c.query.Get("code"), c.now)
	if errcode != 0 {
		return c.refuse(invalidCode)
	}
	return ok(`{"errcode":0,"errmsg":"ok","userid":` + quote(code.openid) + `}`)
}
