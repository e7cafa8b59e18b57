package wechat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/platform"
)

// The scopes of WeChat's authorize page.
const (
	scopeBase     = "snsapi_base"     // silent: the openid alone
	scopeUserinfo = "snsapi_userinfo" // a question: nickname and picture too
	scopeLogin    = "snsapi_login"    // a QR code on a website
)

const defaultSessionLife = 24 * time.Hour

// LoginConfig chooses how the users of a route log in. The zero value is right for a page
// in WeChat that has to know its visitors again.
type LoginConfig struct {
	// Userinfo asks for nickname and picture at the first visit, on WeChat's consent page.
	// Without it users log in without seeing anything, and [AskUserinfo] asks those who
	// reach a handler that needs more.
	Userinfo bool

	// Snapshot lets in the user whom WeChat makes up for a page that it shows as a snapshot
	// (快照页). Its openid belongs to nobody: never create an account from it. Without it
	// such a visitor sees a page that says how to open the real one.
	Snapshot bool

	// Website logs in who comes with a browser other than WeChat's: by a QR code, which
	// WeChat scans. Nil sends these to the page of the account, which asks to be opened in
	// WeChat.
	Website *Website

	// OnLogin is called once for each login, before the first answer, with the user's own
	// tokens: to create an account, say. ctx ends after 10 s. An error is logged, and the
	// user sees a page that asks to try again.
	OnLogin func(ctx context.Context, user *User, grant platform.UserGrant) error

	// Sessions keeps who has logged in. Nil means a cookie of this middleware's own: sealed,
	// HttpOnly, SameSite=Lax, and Secure where Config.Origin begins with https.
	Sessions Sessions

	// Life is how long the cookie lives. 0 means 24 hours, after which a user in WeChat logs
	// in again without noticing.
	Life time.Duration
}

// Website is a website application (网站应用) of the Open Platform, which logs users in by a
// QR code. It has an AppID and an AppSecret of its own, and another openid for each user; the
// unionid is the same where both are bound to one Open Platform account.
type Website struct {
	AppID     string
	AppSecret custody.Secret
}

// User is who has logged in.
type User struct {
	AppID   string `json:"appid"`             // of the account, or of the Website, in which OpenID counts
	OpenID  string `json:"openid"`            // of the user in AppID
	UnionID string `json:"unionid,omitempty"` // "" unless AppID is bound to an Open Platform account, and without Userinfo

	// Userinfo says that the user has shown a profile: Nickname, and Avatar, the address of a
	// picture, "" for a user who has none.
	Userinfo bool   `json:"userinfo,omitempty"`
	Nickname string `json:"nickname,omitempty"`
	Avatar   string `json:"avatar,omitempty"`

	// Snapshot says that this user does not exist; see LoginConfig.Snapshot.
	Snapshot bool `json:"snapshot,omitempty"`

	LoggedIn time.Time `json:"logged_in"`
}

// Sessions are an application's own sessions.
type Sessions interface {
	// Load returns whose session a request belongs to, nil if it has none.
	Load(c *gin.Context) (*User, error)

	// Save begins the session of a user who has logged in, in the answer to c. It is called for
	// each answer to one login: a reload gets its session, too. A nil user ends the session.
	Save(c *gin.Context, user *User) error
}

// Login lets the users of web pages log in with WeChat (网页授权), and tells the handlers
// behind it who they are:
//
//	r.GET("/me", client.Login(wechat.LoginConfig{}), func(c *gin.Context) {
//		c.String(http.StatusOK, "Your openid is %s.", wechat.UserOf(c).OpenID)
//	})
//
// A browser without a session is sent to WeChat, which sends it back to the same path with
// a code. The code is exchanged once, whatever reloads the page and whichever of the
// processes on the store it reaches, and the browser is sent on to the address that it asked
// for, without the code. The whole has to take less than 5 minutes, in one browser. Only GET
// requests of a browser that opens a page are sent away: others are answered 401, with
// {"error":"login_required"}.
//
// [Config.Origin] is where WeChat sends browsers back to; its host has to be in the console
// (网页授权域名). [Config.SealKeys], or else the AppSecret, seal cookies and what the store
// remembers: all processes of the account need the same.
//
// Login panics on a configuration that cannot work.
func (c *Client) Login(cfg LoginConfig) gin.HandlerFunc {
	l := &login{client: c, cfg: cfg}
	if err := l.init(); err != nil {
		panic("wechat.Login: " + err.Error())
	}
	return l.serve
}

// UserOf returns who has logged in. It panics behind a route without
// [Client.Login] or [Client.MiniUser].
func UserOf(c *gin.Context) *User { return visitOf(c, "UserOf").user }

// AskUserinfo sends a user who has logged in silently to WeChat's consent page, for nickname
// and picture, and reports whether it did; then the handler has nothing more to do, and is
// called again when the user has consented:
//
//	if wechat.AskUserinfo(c) {
//		return
//	}
//	name := wechat.UserOf(c).Nickname
//
// A request that is no GET of a browser that opens a page is answered 401.
func AskUserinfo(c *gin.Context) bool {
	v := visitOf(c, "AskUserinfo")
	if v.login == nil {
		panic("wechat.AskUserinfo: WeChat has no consent page for a mini program, whose front end asks by itself")
	}
	if v.user.Userinfo || v.user.Snapshot {
		return false
	}
	v.login.begin(c, beginning{path: c.Request.URL.EscapedPath(), query: c.Request.URL.RawQuery, userinfo: true})
	return true
}

// Logout ends the session of the browser. The next page that needs a login begins another
// one, in WeChat without a question.
func Logout(c *gin.Context) error {
	v := visitOf(c, "Logout")
	if v.login == nil {
		return errors.New("wechat: Logout: a mini program logs out by forgetting its token")
	}
	return v.login.sessions.Save(c, nil)
}

// visit is a request of a user who has logged in.
type visit struct {
	login   *login // nil in a mini program
	user    *User
	keyName string // of a mini program's session_key
}

type visitKey struct{}

func visitOf(c *gin.Context, caller string) visit {
	value, _ := c.Get(visitKey{})
	v, ok := value.(visit)
	if !ok {
		panic("wechat." + caller + ": nobody has logged in at this route: put client.Login(…), or client.MiniUser(), before the handler")
	}
	return v
}

// login is Login of one route.
type login struct {
	client   *Client
	cfg      LoginConfig
	sessions Sessions
}

func (l *login) init() error {
	c := l.client
	if l.cfg.Life < 0 {
		return fmt.Errorf("LoginConfig.Life is %s: it must not be negative", l.cfg.Life)
	}
	if l.cfg.Life == 0 {
		l.cfg.Life = defaultSessionLife
	}
	if w := l.cfg.Website; w != nil {
		switch {
		case w.AppID == "" || w.AppSecret.IsZero():
			return errors.New("LoginConfig.Website needs the AppID and the AppSecret of a website application (网站应用), which the Open Platform shows")
		case w.AppID == c.appID:
			return errors.New("LoginConfig.Website has the AppID of the account itself: a website application (网站应用) has one of its own")
		}
	}
	if l.sessions = l.cfg.Sessions; l.sessions == nil {
		l.sessions = cookieSessions{l}
	}
	return nil
}

// serve is the middleware.
func (l *login) serve(c *gin.Context) {
	query := c.Request.URL.Query()
	if weblogin.IsReturn(query) {
		l.finish(c, query)
		return
	}
	user, err := l.sessions.Load(c)
	if err != nil {
		l.client.log.Error("a session could not be read", "log_code", "wechat_session_not_read", "appid", l.client.appID, "error", err)
		l.page(c, weblogin.PageUnavailable)
		return
	}
	if user == nil || user.Snapshot && !l.cfg.Snapshot || l.cfg.Userinfo && !user.Userinfo && !user.Snapshot {
		l.begin(c, beginning{path: c.Request.URL.EscapedPath(), query: c.Request.URL.RawQuery, userinfo: l.cfg.Userinfo})
		return
	}
	c.Header("Cache-Control", "private")
	c.Set(visitKey{}, visit{login: l, user: user})
	c.Next()
}

// beginning is a way to WeChat.
type beginning struct {
	path, query string // escaped, where the browser wants to go in the end
	userinfo    bool
	again       int // how often the code before was no good
}

// begin sends the browser to WeChat.
func (l *login) begin(c *gin.Context, b beginning) {
	if !weblogin.OpensPage(c.Request) {
		c.Header("Cache-Control", "no-store")
		c.AbortWithStatusJSON(http.StatusUnauthorized, gin.H{
			"error": "login_required", "message": "Nobody has logged in: open the page in the browser, which leads to WeChat.",
		})
		return
	}
	origin, ok := l.origin(c)
	switch {
	case !ok:
		l.client.log.Error("a login needs Config.Origin (WECHAT_ORIGIN), this program's public address such as https://shop.example; "+
			"without it users can log in on this machine only", "log_code", "wechat_login_no_origin", "appid", l.client.appID)
		l.page(c, weblogin.PageOrigin)
		return
	case len(b.path)+len(b.query) > weblogin.MaxAddress:
		l.page(c, weblogin.PageTooLong)
		return
	}
	p := pending{Path: b.path, Query: b.query, Scope: scopeBase, Again: b.again}
	appID := l.client.appID
	switch {
	case l.cfg.Website != nil && !strings.Contains(c.Request.UserAgent(), "MicroMessenger"):
		p.Scope, p.Website, appID = scopeLogin, true, l.cfg.Website.AppID
	case b.userinfo:
		p.Scope = scopeUserinfo
	}
	state, err := l.site(c).Remember(c.Writer, c.Request, p)
	if err != nil {
		l.client.log.Error("a login could not begin", "log_code", "wechat_login_not_begun", "appid", l.client.appID, "error", err)
		l.page(c, weblogin.PageUnavailable)
		return
	}
	weblogin.Private(c.Writer)
	c.Redirect(http.StatusFound, platform.AuthorizeURL(l.client.logins.openBase, appID, origin+b.path, p.Scope, state))
	c.Abort()
}

// finish answers a browser that comes back from WeChat.
func (l *login) finish(c *gin.Context, query url.Values) {
	var p pending
	refused := l.site(c).Recall(c.Request, query.Get("state"), &p)
	code, one := weblogin.CodeOf(query)
	switch {
	case refused != nil:
	case !one:
		refused = weblogin.PageForged
	case !weblogin.SamePath(p.Path, c.Request.URL), p.Website && l.cfg.Website == nil:
		refused = weblogin.PageElsewhere
	}
	if refused != nil {
		l.client.log.Warn("a login was refused",
			"log_code", "wechat_login_refused", "appid", l.client.appID, "reason", refused.Reason, "client_ip", c.ClientIP())
		l.page(c, refused)
		return
	}
	if c.Request.Method != http.MethodGet {
		weblogin.Private(c.Writer)
		c.Header("Allow", http.MethodGet)
		c.AbortWithStatus(http.StatusMethodNotAllowed)
		return
	}
	if code == "" {
		l.page(c, weblogin.PageDeclined) // the user does not want to
		return
	}
	out := l.exchangeOnce(c.Request.Context(), p, code)
	switch {
	case out.Value != nil:
	case out.Again && p.Again < weblogin.MaxAgain:
		l.begin(c, beginning{path: p.Path, query: p.Query, userinfo: p.Scope == scopeUserinfo, again: p.Again + 1})
		return
	case out.Again:
		l.page(c, weblogin.PageCode)
		return
	default:
		l.page(c, weblogin.PageOf(out.Page))
		return
	}
	origin, ok := l.origin(c)
	if !ok {
		l.page(c, weblogin.PageOrigin)
		return
	}
	if err := l.sessions.Save(c, out.Value); err != nil {
		l.client.log.Error("a session could not be saved", "log_code", "wechat_session_not_saved", "appid", l.client.appID, "error", err)
		l.page(c, weblogin.PageUnavailable)
		return
	}
	weblogin.Private(c.Writer)
	to := origin + p.Path // which is this request's own path
	if p.Query != "" {
		to += "?" + p.Query
	}
	c.Redirect(http.StatusSeeOther, to)
	c.Abort()
}

// pending is what a login on its way is about.
type pending struct {
	Path    string `json:"p"` // escaped, as Query
	Query   string `json:"q,omitempty"`
	Scope   string `json:"s"`
	Website bool   `json:"w,omitempty"`
	Again   int    `json:"a,omitempty"`
}

// site is what browsers see of this program.
func (l *login) site(c *gin.Context) weblogin.Site {
	return weblogin.Site{Seals: l.client.logins.seals, Name: l.client.appID, Secure: weblogin.Secure(c.Request, l.client.logins.origin)}
}

// origin returns where browsers come back to.
func (l *login) origin(c *gin.Context) (string, bool) {
	return weblogin.Origin(c.Request, l.client.logins.origin)
}

// page shows p. Its link leads to this request's path without the query, which may hold a
// code.
func (l *login) page(c *gin.Context, p *weblogin.Page) {
	c.Abort()
	p.Show(c.Writer, c.Request, OwnPath(c.Request.URL.EscapedPath(), "/"))
}

// OwnPath returns target if it is a path of this program's own, with a query and fragment
// if it has these, and else fallback: for pages that get an address to lead to afterwards.
//
//	r.GET("/login", client.Login(cfg), func(c *gin.Context) { c.Redirect(http.StatusSeeOther, wechat.OwnPath(c.Query("next"), "/")) })
//
// Whatever a browser might read as another host's address is none: //host, /\host, and
// those with control characters or white space.
func OwnPath(target, fallback string) string { return weblogin.OwnPath(target, fallback) }
