package wechat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
	"github.com/zhongkong-go/zhongkong/platform"
)

// The scopes of WeChat's authorize page.
const (
	scopeBase     = "snsapi_base"     // silent: the openid alone
	scopeUserinfo = "snsapi_userinfo" // a question: nickname and picture too
	scopeLogin    = "snsapi_login"    // a QR code on a website
)

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
	AppID     string         // of the website, not of an official account
	AppSecret custody.Secret // exchanges the codes of logins; it fetches no access_token
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

	LoggedIn time.Time `json:"logged_in"` // when the session began
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
	l := &login{client: c, cfg: cfg, Sessions: cfg.Sessions}
	if err := l.init(); err != nil {
		panic("wechat.Login: " + err.Error())
	}
	return (&door.Login[User]{Logins: &c.logins.Logins, Flow: l}).Serve
}

// UserOf returns who has logged in. It panics behind a route without
// [Client.Login] or [Client.MiniUser].
func UserOf(c *gin.Context) *User { return visitOf(c, "UserOf").User }

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
	if v.Login == nil {
		panic("wechat.AskUserinfo: WeChat has no consent page for a mini program, whose front end asks by itself")
	}
	if v.User.Userinfo || v.User.Snapshot {
		return false
	}
	trip := door.TripOf(c.Request)
	trip.Scope = scopeUserinfo
	v.Login.Begin(c, trip)
	return true
}

// Logout ends the session of the browser. The next page that needs a login begins another
// one, in WeChat without a question.
func Logout(c *gin.Context) error {
	v := visitOf(c, "Logout")
	if v.Login == nil {
		return errors.New("wechat: Logout: a mini program logs out by forgetting its token")
	}
	return v.Login.Save(c, nil)
}

func visitOf(c *gin.Context, caller string) door.Visit[User] {
	return door.VisitOf[User](c, "wechat."+caller, "client.Login(…), or client.MiniUser(),")
}

// login is Login of one route.
type login struct {
	Sessions
	client *Client
	cfg    LoginConfig
}

func (l *login) init() error {
	c := l.client
	if l.cfg.Life < 0 {
		return fmt.Errorf("LoginConfig.Life is %s: it must not be negative", l.cfg.Life)
	}
	if l.cfg.Life == 0 {
		l.cfg.Life = door.SessionLife
	}
	if w := l.cfg.Website; w != nil {
		switch {
		case w.AppID == "" || w.AppSecret.IsZero():
			return errors.New("LoginConfig.Website needs the AppID and the AppSecret of a website application (网站应用), which the Open Platform shows")
		case w.AppID == c.appID:
			return errors.New("LoginConfig.Website has the AppID of the account itself: a website application (网站应用) has one of its own")
		}
	}
	if l.Sessions == nil {
		l.Sessions = &door.Cookies[User]{Logins: &c.logins.Logins, Name: "zk_user_", Life: l.cfg.Life, Known: l.known}
	}
	return nil
}

// known reports whether a user is of the account or of the website of this route.
func (l *login) known(u *User) bool {
	return u.AppID == l.client.appID || l.cfg.Website != nil && u.AppID == l.cfg.Website.AppID
}

// Load is that of the Sessions.
func (l *login) Load(c *gin.Context) (*User, error) {
	user, err := l.Sessions.Load(c)
	if err != nil {
		l.client.log.Error("a session could not be read", "log_code", "wechat_session_not_read", "appid", l.client.appID, "error", err)
	}
	return user, err
}

func (l *login) Admits(user *User) bool {
	if user.Snapshot {
		return l.cfg.Snapshot
	}
	return user.Userinfo || !l.cfg.Userinfo
}

// Way leads browsers to WeChat's consent page if a profile is asked for, and those outside of
// WeChat to the Website's QR code.
func (l *login) Way(c *gin.Context, trip *door.Trip) (address func(returnTo, state string) string) {
	trip.Website = l.cfg.Website != nil && !strings.Contains(c.Request.UserAgent(), "MicroMessenger")
	switch {
	case trip.Website:
		trip.Scope = scopeLogin
	case l.cfg.Userinfo || trip.Scope == scopeUserinfo: // AskUserinfo
		trip.Scope = scopeUserinfo
	default:
		trip.Scope = scopeBase
	}
	return func(returnTo, state string) string {
		return platform.AuthorizeURL(l.client.logins.openBase, l.Account(*trip), returnTo, trip.Scope, state)
	}
}

func (l *login) Account(trip door.Trip) string { return l.account(trip).AppID }

// account is whose code it is.
func (l *login) account(trip door.Trip) platform.Account {
	switch w := l.cfg.Website; {
	case !trip.Website:
		return l.client.logins.account
	case w == nil:
		return platform.Account{}
	default:
		return platform.Account{AppID: w.AppID, Secret: w.AppSecret}
	}
}

// maxUser is how many bytes of a profile a cookie has room for.
const maxUser = 3000

// Exchange asks WeChat who the user is.
func (l *login) Exchange(ctx context.Context, trip door.Trip, code string) outcome {
	own, account := l.client.logins, l.account(trip)
	apis := own.apis
	if trip.Website {
		apis = own.direct // a gateway does not know this account
	}
	grant, err := try(apis, func(a *platform.API) (platform.UserGrant, error) { return a.ExchangeCode(ctx, account, code) })
	if err != nil {
		return own.NotExchanged(account.AppID, err)
	}
	user := &User{
		AppID: account.AppID, OpenID: grant.OpenID, UnionID: grant.UnionID, Snapshot: grant.Snapshot,
		LoggedIn: time.Now().Truncate(time.Second),
	}
	switch {
	case grant.Snapshot && !l.cfg.Snapshot:
		return outcome{Page: weblogin.PageSnapshot.Reason}
	case grant.Snapshot, trip.Scope == scopeBase:
	default:
		info, err := try(apis, func(a *platform.API) (platform.UserInfo, error) { return a.UserInfo(ctx, account.AppID, grant) })
		if err != nil {
			l.client.log.Error("the profile of a user who logs in was not read",
				"log_code", "wechat_profile_not_read", "appid", account.AppID, "error", err)
			return outcome{Page: weblogin.PageUnavailable.Reason}
		}
		user.Userinfo, user.Nickname, user.Avatar = true, info.Nickname, info.Avatar
		user.UnionID = cmp.Or(user.UnionID, info.UnionID)
		if len(user.Avatar) > maxUser-len(user.Nickname) {
			user.Avatar = "" // a cookie has no room for it
		}
	}
	if l.cfg.OnLogin != nil {
		err = l.cfg.OnLogin(ctx, user, grant)
	}
	return own.Entered(account.AppID, user, err)
}

// OwnPath returns target if it is a path of this program's own, with a query and fragment
// if it has these, and else fallback: for pages that get an address to lead to afterwards.
//
//	r.GET("/login", client.Login(cfg), func(c *gin.Context) { c.Redirect(http.StatusSeeOther, wechat.OwnPath(c.Query("next"), "/")) })
//
// Whatever a browser might read as another host's address is none: //host, /\host, and
// those with control characters or white space.
func OwnPath(target, fallback string) string { return weblogin.OwnPath(target, fallback) }
