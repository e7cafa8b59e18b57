package simulator

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// The pages of open.weixin.qq.com at which a person lets an app know who it is.
const (
	authorizePath = "/connect/oauth2/authorize" // in WeChat
	qrLoginPath   = "/connect/qrconnect"        // on a desktop: a QR code that WeChat scans

	maxState = 128 // WeChat: state has letters and digits, at most 128 bytes
)

// The numbers that the pages show with an error, as WeChat's page lists them. See package
// errcode, host Pages.
const (
	pageDomain    = 10003
	pageBanned    = 10004
	pageScope     = 10005
	pageNoScope   = 10010
	pageNoReturn  = 10011
	pageNoAppID   = 10012
	pageNoState   = 10013
	pageWrongKind = 10016
)

// Consent is what a person does at the authorize page: [Simulator.Authorize] takes it, so that
// a test of a login needs no browser.
type Consent struct {
	Follower string // the openid; "" means the account's first follower
	Refuse   bool   // the person does not want to
	Snapshot bool   // WeChat shows the page as a snapshot (快照页), with a user who does not exist
}

// pageError is an error page of open.weixin.qq.com.
type pageError struct {
	code   int // 0: without a number
	reason string
}

func (e *pageError) Error() string {
	if e.code == 0 {
		return "simulator: the authorize page refuses: " + e.reason
	}
	return fmt.Sprintf("simulator: the authorize page refuses with %d: %s", e.code, e.reason)
}

// authorization is a request for the authorize page that is right.
type authorization struct {
	account  *account
	redirect *url.URL
	scope    string
	state    string
}

// authorizeOrder is the order in which the page takes its parameters. WeChat warns that
// it is matched strictly. Others, such as connect_redirect, SDKs put anywhere.
var authorizeOrder = []string{"appid", "redirect_uri", "response_type", "scope", "state"}

// readAuthorization checks the address of the page.
func (s *Simulator) readAuthorization(u *url.URL) (*authorization, error) {
	query := u.Query()
	a := s.accounts[query.Get("appid")]
	switch {
	case u.Path != authorizePath && u.Path != qrLoginPath:
		return nil, &pageError{0, "there is no page at this path"}
	case query.Get("appid") == "":
		return nil, &pageError{pageNoAppID, "the appid is missing"}
	case a == nil:
		return nil, &pageError{0, "there is no such appid"}
	case query.Get("redirect_uri") == "":
		return nil, &pageError{pageNoReturn, "the redirect_uri is missing"}
	case query.Get("scope") == "":
		return nil, &pageError{pageNoScope, "the scope is missing"}
	case !inOrder(u.RawQuery):
		return nil, &pageError{0, "the parameters have to be " + strings.Join(authorizeOrder, ", ") + ", in this order and once each"}
	case query.Get("response_type") != "code":
		return nil, &pageError{0, "response_type has to be code"}
	}
	a.mu.Lock()
	conf := a.conf.clone()
	a.mu.Unlock()
	z := &authorization{account: a, scope: query.Get("scope"), state: query.Get("state")}
	if err := z.check(u.Path, conf); err != nil {
		return nil, err
	}
	var err error
	if z.redirect, err = url.Parse(query.Get("redirect_uri")); err != nil || z.redirect.Host == "" ||
		z.redirect.Scheme != "http" && z.redirect.Scheme != "https" {
		return nil, &pageError{pageDomain, "the redirect_uri is no http or https address"}
	}
	if len(conf.LoginDomains) > 0 && !slices.Contains(conf.LoginDomains, z.redirect.Hostname()) {
		return nil, &pageError{pageDomain, "the redirect_uri is not on a domain of the console (网页授权域名)"}
	}
	return z, nil
}

func (z *authorization) check(path string, conf Account) error {
	web := path == authorizePath
	switch {
	case conf.State == Banned || conf.State == Frozen:
		return &pageError{pageBanned, "the account is banned"}
	case web && conf.Kind != OfficialAccount:
		return &pageError{pageWrongKind, "this appid is no official account's"}
	case !web && conf.Kind != Website:
		return &pageError{pageScope, "QR login needs the appid of a website application (网站应用)"}
	case web && z.scope != scopeBase && z.scope != scopeUserinfo, !web && z.scope != scopeLogin:
		return &pageError{pageScope, "there is no such scope here"}
	case len(z.state) > maxState || !alphanumeric(z.state):
		return &pageError{pageNoState, "state has to be letters and digits, at most 128"}
	}
	return nil
}

// inOrder reports whether the parameters are there once each, in the order that WeChat
// wants.
func inOrder(query string) bool {
	var names []string
	for pair := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(pair, "="); slices.Contains(authorizeOrder, name) {
			names = append(names, name)
		}
	}
	return slices.Equal(names, authorizeOrder)
}

// decide does what the person wants, and returns the address to which the page sends the
// browser.
func (z *authorization) decide(c Consent) (string, error) {
	answer := url.Values{}
	if !c.Refuse {
		a := z.account
		a.mu.Lock()
		openid, err := a.person(c.Follower)
		if err != nil {
			a.mu.Unlock()
			return "", err
		}
		code := a.logins.addCode(loginCode{
			kind: webCode, openid: openid, scope: z.scope, snapshot: c.Snapshot && z.scope == scopeUserinfo, made: a.world.options.Clock.Now(),
		})
		a.mu.Unlock()
		answer.Set("code", code.value)
	}
	answer.Set("state", z.state)
	back := *z.redirect
	if back.RawQuery != "" {
		back.RawQuery += "&"
	}
	back.RawQuery += answer.Encode()
	back.Fragment, back.RawFragment = "", ""
	return back.String(), nil
}

// Authorize does what a browser and a person do with an address of the authorize page,
// or of the page with a QR code, and returns the address to which the browser is sent
// back, with the code. An error is what the page would show.
func (s *Simulator) Authorize(address string, c Consent) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", named.Errorf("simulator", "Authorize: the address is no URL")
	}
	if u.Path == authorizePath && u.Fragment != "wechat_redirect" {
		return "", &pageError{0, "the address has to end in #wechat_redirect"}
	}
	z, err := s.readAuthorization(u)
	if err != nil {
		return "", err
	}
	return z.decide(c)
}

// followerCookie is where a browser remembers which follower it is.
const followerCookie = "simulator_follower"

// followerCookieOf makes the browser that gets it a follower's: the authorize page knows who
// it is and sends it back silently with snsapi_base, as it happens in WeChat.
func followerCookieOf(openid string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // G124: the simulator speaks http, and the cookie is no secret
		Name: followerCookie, Value: openid, Path: "/connect/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// serveAuthorize is both pages. With snsapi_base a browser that is known is sent back at
// once, as in WeChat.
func serveAuthorize(c *call) answer {
	if c.sim.corps[c.query.Get("appid")] != nil {
		return authorizeCorp(c)
	}
	z, err := c.sim.readAuthorization(c.req.URL)
	if err != nil {
		var refusal *pageError
		_ = errors.As(err, &refusal)
		return page(http.StatusBadRequest, authorizeError, refusal)
	}
	z.account.mu.Lock()
	conf := z.account.conf.clone()
	z.account.mu.Unlock()
	known := ""
	if cookie, err := c.req.Cookie(followerCookie); err == nil && slices.Contains(conf.Followers, cookie.Value) {
		known = cookie.Value
	}
	switch {
	case c.req.Method == http.MethodPost:
		return c.decided(z)
	case c.req.Method != http.MethodGet:
		return answer{status: http.StatusMethodNotAllowed}
	case z.scope == scopeBase && known != "":
		return back(z.decide(Consent{Follower: known}))
	}
	type person struct{ OpenID, Name string }
	view := struct {
		AppID, Scope, Host, Known string
		People                    []person
		Base, Userinfo, QR        bool
	}{
		AppID: conf.AppID, Scope: z.scope, Host: z.redirect.Host, Known: known,
		Base: z.scope == scopeBase, Userinfo: z.scope == scopeUserinfo, QR: z.scope == scopeLogin,
	}
	for _, openid := range conf.Followers {
		view.People = append(view.People, person{openid, z.account.nickname(openid)})
	}
	return page(http.StatusOK, authorizeForm, view)
}

// decided carries out the form of the page.
func (c *call) decided(z *authorization) answer {
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return answer{status: http.StatusBadRequest}
	}
	does := form.Get("does")
	a := back(z.decide(Consent{Follower: form.Get("follower"), Refuse: does == "refuse", Snapshot: does == "snapshot"}))
	if a.location != "" {
		a.cookie = followerCookieOf(form.Get("follower")).String()
	}
	return a
}

// back sends the browser back to the app.
func back(location string, err error) answer {
	if err != nil {
		return page(http.StatusBadRequest, authorizeError, &pageError{0, named.Plain(err).Error()})
	}
	return answer{status: http.StatusFound, location: location}
}

func page(status int, t *template.Template, view any) answer {
	var b strings.Builder
	if err := t.Execute(&b, view); err != nil {
		panic(err) // a mistake in a template of this file
	}
	return answer{status: status, contentType: "text/html; charset=utf-8", body: b.String()}
}

const authorizeHead = `<!DOCTYPE html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">
<title>模拟微信</title><link rel="icon" href="data:,"><style>
body{font:16px sans-serif;max-width:24em;margin:3em auto;padding:0 1em}
button,select{font:inherit;margin:.3em .3em .3em 0;padding:.3em 1em}
</style>
`

var authorizeForm = template.Must(template.New("authorize").Parse(authorizeHead + `<h1>{{if .QR}}微信扫码登录{{else}}微信网页授权{{end}}</h1>
<p>{{.AppID}} → {{.Host}} ({{.Scope}})</p>
{{if .QR}}<p>现实中这里是二维码，由手机扫码确认。A QR code, which a phone scans.</p>{{end}}
{{if .Userinfo}}<p>申请获取你的昵称、头像。The page asks for name and picture.</p>{{end}}
{{if .Base}}<p>静默授权，用户看不到本页；模拟器只是不知道你是谁。Silent: WeChat shows no page and knows who you are.</p>{{end}}
<form method="post"><label>我是 I am <select name="follower">
{{range .People}}<option value="{{.OpenID}}"{{if eq .OpenID $.Known}} selected{{end}}>{{.Name}} {{.OpenID}}</option>{{end}}
</select></label><br>
<button name="does" value="allow">允许 Allow</button>
{{if not .Base}}<button name="does" value="refuse">拒绝 Refuse</button>{{end}}
{{if .Userinfo}}<button name="does" value="snapshot">快照页 Snapshot</button>{{end}}
</form>
`))

var authorizeError = template.Must(template.New("error").Parse(authorizeHead + `<h1>{{.Code}}</h1><p>{{.Reason}}</p>
`))

// Code and Reason are what the page shows.
func (e *pageError) Code() string {
	if e.code == 0 {
		return "链接无法打开"
	}
	return fmt.Sprintf("错误码 %d", e.code)
}

// Reason says what is wrong with the address.
func (e *pageError) Reason() string { return e.reason }
