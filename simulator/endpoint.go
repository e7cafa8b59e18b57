package simulator

import (
	"mime"
	"net/http"
	"strings"
)

// families are the first parts of WeChat's API paths. /sns/ is missing because
// its tokens are those of users, see snsRoutes.
var families = []string{
	"/cgi-bin/", "/wxa/", "/wxaapi/", "/card/", "/datacube/", "/customservice/", "/semantic/", "/scan/", "/merchant/",
	"/shakearound/", "/bizwifi/", "/device/", "/tcb/", "/business/", "/product/", "/channels/", "/nontax/", "/intp/",
}

// notSimulated is in the answers of paths that the simulator does not know.
const notSimulated = "not simulated"

// serveUnknown answers a path of WeChat's families that is not simulated: success, so
// that a program can continue, in WeChat's form and with a field that says so.
func serveUnknown(c *call) answer {
	if mediaType, _, _ := mime.ParseMediaType(c.req.Header.Get("Content-Type")); mediaType == "multipart/form-data" {
		if _, found := c.readMedia(""); !found {
			return c.refuse(mediaDataMissing)
		}
	}
	return ok(`{"errcode":0,"errmsg":"ok","simulator":` + quote(notSimulated+": only the access_token was checked") + `}`)
}

// route finds the endpoint of a path.
func (s *Simulator) route(path string) endpoint {
	if e, ok := s.routes[path]; ok {
		return e
	}
	switch {
	case !inFamily(path):
		return nowhere
	case strings.HasPrefix(path, "/wxa/"):
		return miniAPI
	default:
		return anyAPI
	}
}

func inFamily(path string) bool {
	for _, family := range families {
		if len(path) > len(family) && strings.HasPrefix(path, family) {
			return true
		}
	}
	return false
}

// audience is the one kind of account that an API is for.
type audience func(Kind) bool

func onlyOfficial(k Kind) bool { return k == OfficialAccount }

// api is an endpoint that is called with a token.
type api struct {
	method  string             // the one it takes; "" takes all
	json    bool               // the body has to be a JSON object
	escapes bool               // which may not have \uXXXX in it
	only    audience           // nil: for all kinds
	do      func(*call) answer // after all checks
}

func get(do func(*call) answer) endpoint {
	return api{method: http.MethodGet, do: do}.endpoint()
}

func post(do func(*call) answer) endpoint {
	return api{method: http.MethodPost, json: true, do: do}.endpoint()
}

func fixed(body string) func(*call) answer { return func(*call) answer { return ok(body) } }

func (a api) endpoint() endpoint {
	return endpoint{api: &a, read: readAPI, serve: func(c *call) answer {
		if errcode := c.check(&a); errcode != 0 {
			return c.refuse(errcode)
		}
		return a.do(c)
	}}
}

// raw is e for bodies that may not have \uXXXX in them.
func (e endpoint) raw() endpoint {
	a := *e.api
	a.escapes = true
	return a.endpoint()
}

// of is e for one kind of account.
func (e endpoint) of(only audience) endpoint {
	a := *e.api
	a.only = only
	return a.endpoint()
}

// readAPI reads whose token a call carries. It counts only in the query.
func readAPI(c *call) {
	if c.token = c.sim.lookUp(c.query.Get("access_token")); c.token != nil {
		c.account = c.token.account
	}
}

// check checks a call in WeChat's order, uses up quota, and returns the errcode to
// refuse the call with.
func (c *call) check(a *api) int {
	if errcode := c.checkToken(a); errcode != 0 {
		return errcode
	}
	switch {
	case a.method == http.MethodGet && c.req.Method != http.MethodGet:
		return requireGET
	case a.method == http.MethodPost && c.req.Method != http.MethodPost:
		return requirePOST
	case a.method == http.MethodPost && len(c.body) == 0:
		return emptyPostData
	case a.escapes && !c.sim.options.AcceptEscapes && hasEscape(c.body):
		return invalidCharset
	case a.json && !isObject(c.body):
		return dataFormat
	}
	return 0
}

func (c *call) checkToken(a *api) int {
	switch {
	case c.query.Get("access_token") == "":
		return tokenMissing
	case c.token == nil:
		return invalidCredential
	}
	own, path := c.account, c.req.URL.Path
	own.mu.Lock()
	defer own.mu.Unlock()
	if errcode := c.token.verdict(c.now); errcode != 0 {
		return errcode
	}
	if a.only != nil && !a.only(own.conf.Kind) {
		return invalidCredential
	}
	if errcode := own.overQuota(path, c.now); errcode != 0 {
		return errcode
	}
	if own.conf.Kind == OfficialAccount && !own.whitelist.allows(c.caller) {
		return notWhitelisted
	}
	own.quota(path).use(c.now)
	return 0
}

// endpoint is a path that WeChat serves.
type endpoint struct {
	api   *api               // nil: it is called without a token
	pool  Pool               // the pool of a token endpoint; "" for an API
	read  func(*call)        // finds out whose call it is, and sets account
	serve func(*call) answer // carries it out
}

var (
	anyAPI  = api{do: serveUnknown}.endpoint()
	miniAPI = api{do: serveUnknown, only: onlyMini}.endpoint()
	nowhere = endpoint{serve: func(c *call) answer {
		c.rid = c.sim.rid()
		a := c.refuseWith(invalidURL, c.text(invalidURL)+", "+notSimulated+": "+c.req.URL.Path+ridMark(c.req.URL.Path)+c.rid)
		a.status = http.StatusNotFound
		return a
	}}
)

func onlyMini(k Kind) bool { return k == MiniProgram }
