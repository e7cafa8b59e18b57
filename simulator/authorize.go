package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/page"
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
		return c.refusedPage(refusal)
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
		return c.back(z.decide(Consent{Follower: known}))
	}
	type person struct{ OpenID, Name string }
	view := struct {
		AppID, Scope, Host, Known string
		People                    []person
		Base, Userinfo, QR, ZH    bool
	}{
		AppID: conf.AppID, Scope: z.scope, Host: z.redirect.Host, Known: known,
		Base: z.scope == scopeBase, Userinfo: z.scope == scopeUserinfo, QR: z.scope == scopeLogin,
		ZH: c.chinese(),
	}
	for _, openid := range conf.Followers {
		view.People = append(view.People, person{openid, z.account.nickname(openid)})
	}
	return renderPage(http.StatusOK, authorizeForm, view)
}

// decided carries out the form of the page.
func (c *call) decided(z *authorization) answer {
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return answer{status: http.StatusBadRequest}
	}
	does := form.Get("does")
	a := c.back(z.decide(Consent{Follower: form.Get("follower"), Refuse: does == "refuse", Snapshot: does == "snapshot"}))
	if a.location != "" {
		a.cookie = followerCookieOf(form.Get("follower")).String()
	}
	return a
}

// back sends the browser back to the app.
func (c *call) back(location string, err error) answer {
	if err != nil {
		return c.refusedPage(&pageError{0, named.Plain(err).Error()})
	}
	return answer{status: http.StatusFound, location: location}
}

// chinese reports whether a page is to be in Chinese, and not in English.
func (c *call) chinese() bool { return page.LooksOf(c.req).Lang == lang.Chinese }

// refusedPage says what is wrong with the address, or with what was decided.
func (c *call) refusedPage(e *pageError) answer {
	view := struct {
		Code, Reason string
		ZH           bool
	}{"This link cannot be opened", e.reason, c.chinese()}
	if e.code != 0 {
		view.Code = fmt.Sprintf("Error %d", e.code)
	}
	if view.ZH {
		view.Code = "链接无法打开"
		if e.code != 0 {
			view.Code = fmt.Sprintf("错误码 %d", e.code)
		}
		view.Reason = cmp.Or(reasonsZH[e.reason], e.reason)
	}
	return renderPage(http.StatusBadRequest, authorizeError, view)
}

// reasonsZH are the reasons of the pages in Chinese.
var reasonsZH = map[string]string{
	"there is no page at this path":                "没有这个页面",
	"the appid is missing":                         "缺少 appid",
	"there is no such appid":                       "没有这个 appid",
	"there is no such appid and agentid":           "没有这个 appid 和 agentid",
	"the redirect_uri is missing":                  "缺少 redirect_uri",
	"the scope is missing":                         "缺少 scope",
	"response_type has to be code":                 "response_type 必须为 code",
	"the redirect_uri is no http or https address": "redirect_uri 不是 http 或 https 地址",
	"the redirect_uri is not on a domain of the console (网页授权域名)":   "redirect_uri 不在后台设置的网页授权域名下",
	"the redirect_uri is not on a trusted domain of the app (可信域名)": "redirect_uri 不在应用的可信域名下",
	"the account is banned":                                    "该账号已被封禁",
	"this appid is no official account's":                      "这个 appid 不是公众号",
	"QR login needs the appid of a website application (网站应用)": "扫码登录需要网站应用的 appid",
	"there is no such scope here":                              "没有这个 scope",
	"state has to be letters and digits, at most 128":          "state 只能是字母和数字，最多 128 个",
	"the address has to end in #wechat_redirect":               "地址必须以 #wechat_redirect 结尾",
}

func renderPage(status int, t *template.Template, view any) answer {
	var b strings.Builder
	if err := t.Execute(&b, view); err != nil {
		panic(err) // a mistake in a template of this file
	}
	return answer{status: status, contentType: "text/html; charset=utf-8", body: b.String()}
}

// authorizeHead is the top of the pages, in one language each: the reader's.
const authorizeHead = `<!DOCTYPE html><html lang="{{if .ZH}}zh-CN{{else}}en{{end}}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">
<title>{{if .ZH}}微信模拟器{{else}}WeChat, simulated{{end}}</title><link rel="icon" href="data:,"><style>
:root{color-scheme:light dark;--page:light-dark(#eef1ef,#0c100e);--sheet:light-dark(#fff,#151a17);
--text:light-dark(#14201a,#e5ece8);--muted:light-dark(#56645c,#9caaa2);
--line:light-dark(#dfe6e2,#2a332e);--edge:light-dark(#86948c,#6d7b73)}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page);margin:0;padding:12vh 1rem 2rem}
main{box-sizing:border-box;max-width:26rem;margin:auto;padding:1.5rem;display:grid;gap:.75rem;
background:var(--sheet);border:1px solid var(--line);border-radius:14px}
h1{font-size:1.25rem;margin:0}p{margin:0;overflow-wrap:anywhere}
.muted,label{color:var(--muted);font-size:.8125rem}form{display:grid;gap:.75rem}
button,select{font:inherit;color:inherit;min-height:2.375rem;padding:.3125rem .75rem;
border:1px solid var(--edge);border-radius:8px;background:var(--sheet)}
select{width:100%;min-width:0;margin-top:.25rem}button{cursor:pointer}
button[value=allow]{font-weight:600;border-color:transparent;background:light-dark(#08733d,#4ade8c);color:light-dark(#fff,#05230f)}
</style><main>
`

var authorizeForm = template.Must(template.New("authorize").Parse(authorizeHead + `{{if .ZH}}<h1>{{if .QR}}微信扫码登录{{else}}微信网页授权{{end}}</h1>
<p class="muted">{{.AppID}} → {{.Host}}（{{.Scope}}）</p>
{{if .QR}}<p>真实环境中这里是二维码，用手机扫码确认。</p>{{end}}
{{if .Userinfo}}<p>该网页申请获取你的昵称和头像。</p>{{end}}
{{if .Base}}<p>静默授权：真实环境中用户看不到本页，这里只是不知道你是谁。</p>{{end}}
{{else}}<h1>{{if .QR}}Log in with a QR code{{else}}Log in with WeChat{{end}}</h1>
<p class="muted">{{.AppID}} → {{.Host}} ({{.Scope}})</p>
{{if .QR}}<p>In reality this is a QR code that a phone scans.</p>{{end}}
{{if .Userinfo}}<p>The page asks for your nickname and picture.</p>{{end}}
{{if .Base}}<p>Silent authorization: in reality users do not see this page. The simulator only does not know who you are.</p>{{end}}
{{end}}<form method="post"><label>{{if .ZH}}我是{{else}}I am{{end}} <select name="follower">
{{range .People}}<option value="{{.OpenID}}"{{if eq .OpenID $.Known}} selected{{end}}>{{.Name}} {{.OpenID}}</option>{{end}}
</select></label>
<button name="does" value="allow">{{if .ZH}}允许{{else}}Allow{{end}}</button>
{{if not .Base}}<button name="does" value="refuse">{{if .ZH}}拒绝{{else}}Refuse{{end}}</button>{{end}}
{{if .Userinfo}}<button name="does" value="snapshot">{{if .ZH}}使用快照页{{else}}Open as a snapshot{{end}}</button>{{end}}
</form></main>
`))

var authorizeError = template.Must(template.New("error").Parse(authorizeHead + `<h1>{{.Code}}</h1><p>{{.Reason}}</p></main>
`))
