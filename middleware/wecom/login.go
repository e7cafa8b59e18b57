package wecom

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

// The scopes of WeCom's authorize page.
const (
	scopeBase    = "snsapi_base"        // silent
	scopePrivate = "snsapi_privateinfo" // a question: avatar, mobile number and so on, by user_ticket
)

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
	CorpID         string    `json:"corpid"`                    // of Config
	UserID         string    `json:"userid,omitempty"`          // of a member
	OpenID         string    `json:"openid,omitempty"`          // of somebody else
	ExternalUserID string    `json:"external_userid,omitempty"` // of a customer, where the app may see it
	LoggedIn       time.Time `json:"logged_in"`                 // when the session began
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
		cfg.Life = door.SessionLife
	}
	l := &login{c.cookies(cfg.Life), c, cfg}
	return (&door.Login[User]{Logins: &c.logins.Logins, Flow: l}).Serve
}

// UserOf returns who has logged in. It panics behind a route without [Client.Login].
func UserOf(c *gin.Context) *User {
	return door.VisitOf[User](c, "wecom.UserOf", "client.Login(…)").User
}

// Logout ends the session of the browser. The next page that needs a login begins another
// one, in WeCom without a question.
func (c *Client) Logout(ctx *gin.Context) { _ = c.cookies(0).Save(ctx, nil) } // which has no way to fail

// logins are what all Login of a client share.
type logins struct {
	door.Logins[User]

	openBase, loginBase string
}

func newLogins(cfg Config, id string, store any) (*logins, error) {
	l := &logins{
		Logins:   door.Logins[User]{Package: "wecom", Product: "WeCom", ID: id, Origin: cfg.Origin, Log: cfg.Logger},
		openBase: cfg.OpenBase, loginBase: cfg.LoginBase,
	}
	return l, l.Init(store, "zhongkong: WeCom logins", append(slices.Clip(cfg.SealKeys), cfg.Secret)...)
}

// cookies keep the sessions of members.
func (c *Client) cookies(life time.Duration) *door.Cookies[User] {
	return &door.Cookies[User]{
		Logins: &c.logins.Logins, Name: "zk_member_", Life: life, Known: func(u *User) bool { return u.CorpID == c.app.CorpID },
	}
}

// login is Login of one route.
type login struct {
	*door.Cookies[User]
	client *Client
	cfg    LoginConfig
}

func (l *login) Admits(user *User) bool { return user.UserID != "" || l.cfg.Strangers }

// Way leads browsers in WeCom to the authorize page, and others to the QR code.
func (l *login) Way(c *gin.Context, trip *door.Trip) (address func(returnTo, state string) string) {
	if trip.Website = !strings.Contains(strings.ToLower(c.Request.UserAgent()), "wxwork"); trip.Website {
		return func(returnTo, state string) string {
			return wecom.LoginURL(l.client.logins.loginBase, l.client.app, returnTo, state)
		}
	}
	trip.Scope = scopeBase
	if l.cfg.Private {
		trip.Scope = scopePrivate
	}
	return func(returnTo, state string) string {
		return wecom.AuthorizeURL(l.client.logins.openBase, l.client.app, returnTo, trip.Scope, state)
	}
}

func (l *login) Account(door.Trip) string { return l.ID }

// Exchange asks WeCom who the user is.
func (l *login) Exchange(ctx context.Context, _ door.Trip, code string) weblogin.Outcome[User] {
	visitor, err := wecom.ExchangeCode(ctx, l.client.calls, code)
	if err != nil {
		return l.NotExchanged(l.ID, err)
	}
	if visitor.UserID == "" && !l.cfg.Strangers {
		l.Log.Warn("somebody who is no member of the corp was not let in: LoginConfig.Strangers does",
			"log_code", "wecom_login_of_stranger", "appid", l.ID)
		return weblogin.Outcome[User]{Page: weblogin.PageStranger.Reason}
	}
	user := &User{
		CorpID: l.client.app.CorpID, UserID: visitor.UserID, OpenID: visitor.OpenID, ExternalUserID: visitor.ExternalUserID,
		LoggedIn: time.Now().Truncate(time.Second),
	}
	if l.cfg.OnLogin != nil {
		err = l.cfg.OnLogin(ctx, user, visitor)
	}
	return l.Entered(l.ID, user, err)
}
