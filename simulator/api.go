package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"mime"
	"net/http"
	"strings"
)

// Paths that programs which keep tokens alive have to do with.
const (
	TokenPath       = "/cgi-bin/token"        //nolint:gosec // a path, no credential
	StableTokenPath = "/cgi-bin/stable_token" //nolint:gosec // likewise
	DomainIPPath    = "/cgi-bin/get_api_domain_ip"
	TicketPath      = "/cgi-bin/ticket/getticket"

	uploadPath = "/cgi-bin/media/upload"
)

// routes returns the paths that have an answer of their own.
func routes() map[string]endpoint {
	all := map[string]endpoint{
		TokenPath:       {pool: Classic, read: readClassic, serve: serveClassic},
		StableTokenPath: {pool: Stable, read: readStable, serve: serveStable},

		DomainIPPath:             get(fixed(`{"ip_list":["203.0.113.10","203.0.113.11"]}`)),
		"/cgi-bin/getcallbackip": get(fixed(`{"ip_list":["203.0.113.20","203.0.113.21","203.0.113.128/25"]}`)),
		TicketPath:               get(serveTicket).of(onlyOfficial),

		"/cgi-bin/clear_quota":         post(serveClearQuota),
		"/cgi-bin/clear_quota/v2":      {read: readClearQuotaV2, serve: serveClearQuotaV2},
		"/cgi-bin/openapi/quota/get":   post(serveQuotaGet),
		"/cgi-bin/openapi/quota/clear": post(serveQuotaClear),
		"/cgi-bin/openapi/rid/get":     post(serveRIDGet),
		"/cgi-bin/callback/check":      post(serveCallbackCheck),

		"/cgi-bin/message/custom/send":   post(serveCustomSend).raw(),
		"/cgi-bin/message/custom/typing": post(serveTyping),
		"/cgi-bin/message/template/send": post(serveTemplateSend).raw().of(onlyOfficial),

		"/cgi-bin/template/get_all_private_template": get(serveTemplates).of(onlyOfficial),
		"/cgi-bin/template/api_add_template":         post(serveTemplateAdd).of(onlyOfficial),
		"/cgi-bin/template/del_private_template":     post(serveTemplateDelete).of(onlyOfficial),

		"/cgi-bin/menu/create": post(serveMenuCreate).raw().of(onlyOfficial),
		"/cgi-bin/menu/get":    get(serveMenuGet).of(onlyOfficial),
		"/cgi-bin/menu/delete": get(serveMenuDelete).of(onlyOfficial),

		"/cgi-bin/user/info": get(serveUserInfo).of(onlyOfficial),
		"/cgi-bin/user/get":  get(serveUserGet).of(onlyOfficial),

		uploadPath:               api{method: http.MethodPost, do: serveMediaUpload}.endpoint(),
		"/cgi-bin/media/get":     get(serveMediaGet),
		"/cgi-bin/qrcode/create": post(serveQRCodeCreate).of(onlyOfficial),
		"/cgi-bin/showqrcode":    {serve: serveShowQRCode},
	}
	maps.Copy(all, snsRoutes())
	return all
}

// families are the first parts of WeChat's API paths. /sns/ is missing because
// its tokens are those of users, see snsRoutes.
var families = []string{
	"/cgi-bin/", "/wxa/", "/wxaapi/", "/card/", "/datacube/", "/customservice/", "/semantic/", "/scan/", "/merchant/",
	"/shakearound/", "/bizwifi/", "/device/", "/tcb/", "/business/", "/product/", "/channels/", "/nontax/", "/intp/",
}

var (
	anyAPI  = api{do: serveUnknown}.endpoint()
	miniAPI = api{do: serveUnknown, only: onlyMini}.endpoint()
	nowhere = endpoint{serve: func(c *call) answer {
		c.rid = c.sim.rid()
		a := c.refuseWith(invalidURL, c.text(invalidURL)+", "+NotSimulated+": "+c.req.URL.Path+ridMark(c.req.URL.Path)+c.rid)
		a.status = http.StatusNotFound
		return a
	}}
)

// NotSimulated is in the answers of paths that the simulator does not know.
const NotSimulated = "not simulated"

// serveUnknown answers a path of WeChat's families that is not simulated: success, so
// that a program can continue, in WeChat's form and with a field that says so.
func serveUnknown(c *call) answer {
	if mediaType, _, _ := mime.ParseMediaType(c.req.Header.Get("Content-Type")); mediaType == "multipart/form-data" {
		if _, found := c.readMedia(""); !found {
			return c.refuse(mediaDataMissing)
		}
	}
	return ok(`{"errcode":0,"errmsg":"ok","simulator":` + quote(NotSimulated+": only the access_token was checked") + `}`)
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
func onlyMini(k Kind) bool     { return k == MiniProgram }

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

func isObject(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) && json.Valid(body) && !repeats(body)
}

// repeats reports whether an object in valid JSON has two fields of one name.
func repeats(body []byte) bool {
	type level struct {
		names map[string]bool // nil: an array
		value bool            // the next token is a field's value
	}
	var levels []level
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		t, err := d.Token()
		if err != nil {
			return false
		}
		at := len(levels) - 1
		inObject := at >= 0 && levels[at].names != nil
		delim, isDelim := t.(json.Delim)
		switch {
		case isDelim && (delim == '}' || delim == ']'):
			levels = levels[:at]
			continue
		case inObject && !levels[at].value:
			name := t.(string)
			if levels[at].names[name] {
				return true
			}
			levels[at].names[name], levels[at].value = true, true
			continue
		case inObject:
			levels[at].value = false
		}
		switch {
		case isDelim && delim == '{':
			levels = append(levels, level{names: map[string]bool{}})
		case isDelim:
			levels = append(levels, level{})
		}
	}
}

// decode reads an object into a struct whose fields are in lower case. Unlike
// encoding/json, WeChat tells names apart by their case.
func decode(body []byte, into any) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return err
	}
	if repeats(body) {
		return errors.New("a field appears twice")
	}
	maps.DeleteFunc(fields, func(name string, _ json.RawMessage) bool { return name != strings.ToLower(name) })
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// hasEscape reports whether JSON has a \uXXXX in it; a \\u is a backslash and a u.
func hasEscape(body []byte) bool {
	for i := 0; i+1 < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		if body[i+1] == 'u' {
			return true
		}
		i++
	}
	return false
}
