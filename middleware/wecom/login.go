package wecom

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

// The scopes of WeCom's authorize page.
const (
	scopeBase    = "snsapi_base"        // silent
	scopePrivate = "snsapi_privateinfo" // a question: avatar, mobile number and so on, by user_ticket
)

const defaultSessionLife = 24 * time.Hour

// LoginConfig chooses how the users of a route log in. The zero value is right for a page
// that has to know the corp's members.
type LoginConfig struct {
	// Private asks members for what /cgi-bin/auth/getuserdetail tells, on WeCom's consent page:
	// OnLogin gets the ticket for it. It works inside of WeCom alone.
	Private bool

	// Strangers lets in people who are no members of the corp: their User has no UserID.
	// Without it they see a page that says that they were not let in.
	Strangers bool

	// OnLogin is called once for each login, before the first answer, with what WeCom told: to
	// create an account, say. ctx ends after 10 s. An error is logged, and the user sees a page
	// that asks to try again.
	OnLogin func(ctx context.Context, user *User, visitor wecom.Visitor) error

	// Life is how long the session lives, which is in a cookie: sealed, HttpOnly, SameSite=Lax,
	// and Secure where Config.Origin begins with https. 0 means 24 hours, after which a member
	// in WeCom logs in again without noticing.
	Life time.Duration
}

// User is who has logged in.
type User struct {
	CorpID         string    `json:"corpid"`
	UserID         string    `json:"userid,omitempty"`          // of a member
	OpenID         string    `json:"openid,omitempty"`          // of somebody else
	ExternalUserID string    `json:"external_userid,omitempty"` // of a customer, where the app may see it
	LoggedIn       time.Time `json:"logged_in"`
}

// Login lets the users of web pages log in with WeCom, and tells the handlers behind it who
// they are:
//
//	r.GET("/me", client.Login(wecom.LoginConfig{}), func(c *gin.Context) {
//		c.String(http.StatusOK, "You are %s.", wecom.UserOf(c).UserID)
//	})
//
// A browser inside of WeCom is sent to the authorize page (网页授权), any other one to the page
// with a QR code (企业微信Web登录). The code with which it comes back is exchanged once, whatever
// reloads the page and whichever of the processes on the store it reaches. The whole has to
// take less than 5 minutes, in one browser. Only GET requests of a browser that opens a page
// are sent away: others are answered 401, with {"error":"login_required"}.
//
// [Config.Origin] is where WeCom sends browsers back to; its host has to be a trusted domain
// of the app (可信域名). [Config.SealKeys], or else the Secret, seal cookies and what the store
// remembers: all processes of the app need the same. Login panics on a configuration that
// cannot work.
func (c *Client) Login(cfg LoginConfig) gin.HandlerFunc {
	switch {
	case cfg.Life < 0:
		panic(fmt.Sprintf("wecom.Login: LoginConfig.Life is %s: it must not be negative", cfg.Life))
	case c.app.AgentID == "":
		panic("wecom.Login: Config.AgentID is empty: logins are those of an app")
	case cfg.Life == 0:
		cfg.Life = defaultSessionLife
	}
	return (&login{c, cfg}).serve
}

// UserOf returns who has logged in. It panics behind a route without [Client.Login].
func UserOf(c *gin.Context) *User {
	value, _ := c.Get(visitKey{})
	user, ok := value.(*User)
	if !ok {
		panic("wecom.UserOf: nobody has logged in at this route: put client.Login(…) before the handler")
	}
	return user
}

// Logout ends the session of the browser. The next page that needs a login begins another
// one, in WeCom without a question.
func (c *Client) Logout(ctx *gin.Context) {
	site := c.logins.site(ctx.Request)
	site.SetCookie(ctx.Writer, site.CookieName(userCookie), "", 0)
}

type visitKey struct{}

// logins are what all Login of a client share.
type logins struct {
	id, origin, openBase, loginBase string
	seals                           weblogin.Seals
	once                            weblogin.Once[User]
}

func newLogins(cfg Config, id string, store any) (*logins, error) {
	l := &logins{id: id, origin: cfg.Origin, openBase: cfg.OpenBase, loginBase: cfg.LoginBase}
	var err error
	if l.seals, err = weblogin.NewSeals("zhongkong: WeCom logins", append(slices.Clip(cfg.SealKeys), cfg.Secret)...); err != nil {
		return nil, err
	}
	l.once.Store, _ = store.(callback.Once)
	l.once.Account, l.once.Seals, l.once.Log = id, l.seals, cfg.Logger
	return l, nil
}

// site is what browsers see of this program.
func (l *logins) site(r *http.Request) weblogin.Site {
	return weblogin.Site{Seals: l.seals, Name: l.id, Secure: weblogin.Secure(r, l.origin)}
}

// login is Login of one route.
type login struct {
	client *Client
	cfg    LoginConfig
}

// outcome is what became of a code.
type outcome = weblogin.Outcome[User]

// pending is what a login on its way is about.
type pending struct {
	Path  string `json:"p"` // escaped, as Query
	Query string `json:"q,omitempty"`
	Again int    `json:"a,omitempty"` // how often the code before was no good
}

// serve is the middleware.
func (l *login) serve(c *gin.Context) {
	query := c.Request.URL.Query()
	if weblogin.IsReturn(query) {
		l.finish(c, query)
		return
	}
	user := l.load(c)
	if user == nil || user.UserID == "" && !l.cfg.Strangers {
		l.begin(c, pending{Path: c.Request.URL.EscapedPath(), Query: c.Request.URL.RawQuery})
		return
	}
	c.Header("Cache-Control", "private")
	c.Set(visitKey{}, user)
	c.Next()
}

// begin sends the browser to WeCom.
func (l *login) begin(c *gin.Context, p pending) {
	if !weblogin.OpensPage(c.Request) {
		c.Header("Cache-Control", "no-store")
		c.AbortWithStatusJSON(http.StatusUnauthorized, gin.H{
			"error": "login_required", "message": "Nobody has logged in: open the page in the browser, which leads to WeCom.",
		})
		return
	}
	own := l.client.logins
	origin, ok := weblogin.Origin(c.Request, own.origin)
	switch {
	case !ok:
		l.client.log.Error("a login needs Config.Origin (WECOM_ORIGIN), this program's public address such as https://shop.example; "+
			"without it users can log in on this machine only", "log_code", "wecom_login_no_origin", "appid", l.client.id)
		l.page(c, weblogin.PageOrigin)
		return
	case len(p.Path)+len(p.Query) > weblogin.MaxAddress:
		l.page(c, weblogin.PageTooLong)
		return
	}
	state, err := own.site(c.Request).Remember(c.Writer, c.Request, p)
	if err != nil {
		l.client.log.Error("a login could not begin", "log_code", "wecom_login_not_begun", "appid", l.client.id, "error", err)
		l.page(c, weblogin.PageUnavailable)
		return
	}
	to := wecom.LoginURL(own.loginBase, l.client.app, origin+p.Path, state)
	if strings.Contains(strings.ToLower(c.Request.UserAgent()), "wxwork") {
		scope := scopeBase
		if l.cfg.Private {
			scope = scopePrivate
		}
		to = wecom.AuthorizeURL(own.openBase, l.client.app, origin+p.Path, scope, state)
	}
	weblogin.Private(c.Writer)
	c.Redirect(http.StatusFound, to)
	c.Abort()
}

// finish answers a browser that comes back from WeCom.
func (l *login) finish(c *gin.Context, query url.Values) {
	own := l.client.logins
	var p pending
	refused := own.site(c.Request).Recall(c.Request, query.Get("state"), &p)
	code, one := weblogin.CodeOf(query)
	switch {
	case refused != nil:
	case !one:
		refused = weblogin.PageForged
	case !weblogin.SamePath(p.Path, c.Request.URL):
		refused = weblogin.PageElsewhere
	}
	switch {
	case refused != nil:
		l.client.log.Warn("a login was refused",
			"log_code", "wecom_login_refused", "appid", l.client.id, "reason", refused.Reason, "client_ip", c.ClientIP())
		l.page(c, refused)
		return
	case c.Request.Method != http.MethodGet:
		weblogin.Private(c.Writer)
		c.Header("Allow", http.MethodGet)
		c.AbortWithStatus(http.StatusMethodNotAllowed)
		return
	case code == "":
		l.page(c, weblogin.PageDeclined) // the user does not want to
		return
	}
	out := own.once.Do(c.Request.Context(), l.client.id, code, func(ctx context.Context) outcome { return l.exchange(ctx, code) })
	switch {
	case out.Value != nil:
		l.enter(c, p, out.Value)
	case out.Again && p.Again < weblogin.MaxAgain:
		p.Again++
		l.begin(c, p)
	case out.Again:
		l.page(c, weblogin.PageCode)
	default:
		l.page(c, weblogin.PageOf(out.Page))
	}
}

// enter begins the session and sends the browser on, without the code.
func (l *login) enter(c *gin.Context, p pending, user *User) {
	own := l.client.logins
	origin, ok := weblogin.Origin(c.Request, own.origin)
	if !ok {
		l.page(c, weblogin.PageOrigin)
		return
	}
	sealed, err := own.seals.SealText(l.purpose(), session{user, time.Now().Add(l.cfg.Life).Unix()})
	if err != nil {
		l.client.log.Error("a session could not be saved", "log_code", "wecom_session_not_saved", "appid", l.client.id, "error", err)
		l.page(c, weblogin.PageUnavailable)
		return
	}
	site := own.site(c.Request)
	site.SetCookie(c.Writer, site.CookieName(userCookie), sealed, l.cfg.Life)
	weblogin.Private(c.Writer)
	to := origin + p.Path // which is this request's own path
	if p.Query != "" {
		to += "?" + p.Query
	}
	c.Redirect(http.StatusSeeOther, to)
	c.Abort()
}

// exchange asks WeCom who the user is.
func (l *login) exchange(ctx context.Context, code string) outcome {
	visitor, err := wecom.ExchangeCode(ctx, l.client.calls, code)
	if err != nil {
		again := wecom.AnotherCodeHelps(err)
		l.client.log.Warn("a login's code was not exchanged",
			"log_code", "wecom_code_not_exchanged", "appid", l.client.id, "another_code_helps", again, "error", err)
		return outcome{Again: again, Page: weblogin.PageUnavailable.Reason}
	}
	if visitor.UserID == "" && !l.cfg.Strangers {
		l.client.log.Warn("somebody who is no member of the corp was not let in: LoginConfig.Strangers does",
			"log_code", "wecom_login_of_stranger", "appid", l.client.id)
		return outcome{Page: weblogin.PageStranger.Reason}
	}
	user := &User{
		CorpID: l.client.app.CorpID, UserID: visitor.UserID, OpenID: visitor.OpenID, ExternalUserID: visitor.ExternalUserID,
		LoggedIn: time.Now().Truncate(time.Second),
	}
	if l.cfg.OnLogin != nil {
		if err := l.cfg.OnLogin(ctx, user, visitor); err != nil {
			l.client.log.Error("LoginConfig.OnLogin failed", "log_code", "wecom_on_login_failed", "appid", l.client.id, "error", err)
			return outcome{Page: weblogin.PageUnavailable.Reason}
		}
	}
	return outcome{Value: user}
}

// session is what the cookie holds.
type session struct {
	User *User `json:"u"`
	End  int64 `json:"e"` // Unix seconds
}

const userCookie = "zk_member_"

func (l *login) purpose() string { return "session " + l.client.id }

// load takes a cookie that does not open, or has expired, for none.
func (l *login) load(c *gin.Context) *User {
	site := l.client.logins.site(c.Request)
	cookie, err := c.Request.Cookie(site.CookieName(userCookie))
	var in session
	if err != nil || site.Seals.OpenText(l.purpose(), cookie.Value, &in) != nil ||
		in.User == nil || time.Now().Unix() >= in.End || in.User.CorpID != l.client.app.CorpID {
		return nil
	}
	return in.User
}

// page shows p. Its link leads to this request's path without the query, which may hold a
// code.
func (l *login) page(c *gin.Context, p *weblogin.Page) {
	c.Abort()
	p.Show(c.Writer, c.Request, weblogin.OwnPath(c.Request.URL.EscapedPath(), "/"))
}

var _ callback.Sender = (*Client)(nil)
