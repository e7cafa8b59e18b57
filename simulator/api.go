package simulator

import (
	"net/http"
	"strings"
)

// The paths that have an answer of their own.
const (
	TokenPath       = "/cgi-bin/token"        //nolint:gosec // a path, no credential
	StableTokenPath = "/cgi-bin/stable_token" //nolint:gosec // likewise
	DomainIPPath    = "/cgi-bin/get_api_domain_ip"
)

var endpoints = map[string]endpoint{
	TokenPath:       {pool: Classic, read: readClassic, serve: serveClassic},
	StableTokenPath: {pool: Stable, read: readStable, serve: serveStable},
	DomainIPPath:    api(`{"ip_list":["203.0.113.10","203.0.113.11"]}`),
}

// families are the first parts of WeChat's API paths. /sns/ is missing because
// its tokens are those of web authorization, which are not simulated.
var families = []string{
	"/cgi-bin/", "/wxa/", "/wxaapi/", "/card/", "/datacube/", "/customservice/", "/semantic/", "/scan/", "/merchant/",
	"/shakearound/", "/bizwifi/", "/device/", "/tcb/", "/business/", "/product/", "/channels/", "/nontax/", "/intp/",
}

var (
	anyAPI  = api(`{"errcode":0,"errmsg":"ok"}`)
	nowhere = endpoint{serve: func(*call) answer { return answer{status: http.StatusNotFound} }}
)

// route finds the endpoint of a path.
func route(path string) endpoint {
	if e, ok := endpoints[path]; ok {
		return e
	}
	for _, family := range families {
		if len(path) > len(family) && strings.HasPrefix(path, family) {
			return anyAPI
		}
	}
	return nowhere
}

// api is an endpoint that answers always the same once the token is accepted.
func api(body string) endpoint {
	return endpoint{
		read: readAPI,
		serve: func(c *call) answer {
			if errcode := c.checkToken(); errcode != 0 {
				return c.refuse(errcode)
			}
			return ok(body)
		},
	}
}

// readAPI reads whose token a call carries. It counts only in the query.
func readAPI(c *call) {
	if c.token = c.sim.lookUp(c.query.Get("access_token")); c.token != nil {
		c.account = c.token.account
	}
}

// checkToken checks the token and the caller of an API call, in WeChat's order,
// and returns the errcode to refuse it with.
func (c *call) checkToken() int {
	switch {
	case c.query.Get("access_token") == "":
		return tokenMissing
	case c.token == nil:
		return invalidCredential
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if errcode := c.token.verdict(c.now); errcode != 0 {
		return errcode
	}
	if a.conf.Kind == OfficialAccount && !a.whitelist.allows(c.caller) {
		return notWhitelisted
	}
	return 0
}
