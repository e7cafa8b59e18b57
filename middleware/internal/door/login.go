package door

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/platform"
)

// Logins are what all logins of a client share. User is the type of those who log in.
type Logins[User any] struct {
	Package string // begins the codes of the log: "wechat"
	Product string // "WeChat"
	ID      string // names the account
	Origin  string // this program's public address, "" for none
	Log     *slog.Logger
	Seals   weblogin.Seals
	Once    weblogin.Once[User]
}

// Init sets Seals, which are for a purpose, and Once.
func (l *Logins[User]) Init(store any, purpose string, keys ...custody.Secret) (err error) {
	l.Seals, err = weblogin.NewSeals(purpose, keys...)
	l.Once.Store, _ = store.(callback.Once)
	l.Once.Account, l.Once.Seals, l.Once.Log = l.ID, l.Seals, l.Log
	return err
}

// site is what browsers see of this program.
func (l *Logins[User]) site(r *http.Request) weblogin.Site {
	return weblogin.Site{Seals: l.Seals, Name: l.ID, Secure: weblogin.Secure(r, l.Origin)}
}

// NotExchanged is the outcome of a code of account that brought no user.
func (l *Logins[User]) NotExchanged(account string, err error) weblogin.Outcome[User] {
	again := platform.AnotherCodeHelps(err)
	l.Log.Warn("a login's code was not exchanged",
		"log_code", l.Package+"_code_not_exchanged", "appid", account, "another_code_helps", again, "error", err)
	return weblogin.Outcome[User]{Again: again, Page: weblogin.PageUnavailable.Reason}
}

// Entered is the outcome of a login of account with a user, for whom the program's own hook
// was called.
func (l *Logins[User]) Entered(account string, user *User, hook error) weblogin.Outcome[User] {
	if hook != nil {
		l.Log.Error("LoginConfig.OnLogin failed", "log_code", l.Package+"_on_login_failed", "appid", account, "error", hook)
		return weblogin.Outcome[User]{Page: weblogin.PageUnavailable.Reason}
	}
	return weblogin.Outcome[User]{Value: user}
}

// Trip is what a login on its way is about.
type Trip struct {
	Path    string `json:"p"` // escaped, as Query
	Query   string `json:"q,omitempty"`
	Scope   string `json:"s,omitempty"`
	Website bool   `json:"w,omitempty"` // by a QR code
	Again   int    `json:"a,omitempty"` // how often the code before was no good
}

// TripOf is a trip that ends at the address of a request.
func TripOf(r *http.Request) Trip {
	return Trip{Path: r.URL.EscapedPath(), Query: r.URL.RawQuery}
}

// Flow is what logins of a route are about in one product.
type Flow[User any] interface {
	// Load returns whose session a request belongs to, nil if it has none. An error is logged.
	Load(c *gin.Context) (*User, error)

	// Save begins the session of a user.
	Save(c *gin.Context, user *User) error

	// Admits reports whether a user of a session may pass without another login.
	Admits(user *User) bool

	// Way chooses where a browser logs in. It notes in the trip what Exchange has to know, and
	// returns how the page's address is made.
	Way(c *gin.Context, trip *Trip) (address func(returnTo, state string) string)

	// Account returns whose code a trip brings, "" where the route has no such logins.
	Account(trip Trip) string

	// Exchange finds out who the user is.
	Exchange(ctx context.Context, trip Trip, code string) weblogin.Outcome[User]
}

// Login is that of one route.
type Login[User any] struct {
	*Logins[User]
	Flow[User]
}

// Visit is a request of a user who has logged in.
type Visit[User any] struct {
	User    *User
	Login   *Login[User] // nil for a mini program
	KeyName string       // of a mini program's session_key
}

// visitKey is where a request keeps its Visit.
type visitKey[User any] struct{}

// Enter notes whose request it is.
func (v Visit[User]) Enter(c *gin.Context) { c.Set(visitKey[User]{}, v) }

// VisitOf returns the Visit of a request. A panic names the caller.
func VisitOf[User any](c *gin.Context, caller, remedy string) Visit[User] {
	value, _ := c.Get(visitKey[User]{})
	v, ok := value.(Visit[User])
	if !ok {
		panic(caller + ": nobody has logged in at this route: put " + remedy + " before the handler")
	}
	return v
}

// Serve is the middleware.
func (l *Login[User]) Serve(c *gin.Context) {
	query := c.Request.URL.Query()
	if weblogin.IsReturn(query) {
		l.finish(c, query)
		return
	}
	user, err := l.Load(c)
	switch {
	case err != nil:
		l.page(c, weblogin.PageUnavailable)
	case user == nil || !l.Admits(user):
		l.Begin(c, TripOf(c.Request))
	default:
		c.Header("Cache-Control", "private")
		Visit[User]{User: user, Login: l}.Enter(c)
		c.Next()
	}
}

// Begin sends the browser away to log in.
func (l *Login[User]) Begin(c *gin.Context, trip Trip) {
	if !weblogin.OpensPage(c.Request) {
		c.Header("Cache-Control", "no-store")
		c.AbortWithStatusJSON(http.StatusUnauthorized, gin.H{
			"error": "login_required", "message": "Nobody has logged in: open the page in the browser, which leads to " + l.Product + ".",
		})
		return
	}
	origin, ok := weblogin.Origin(c.Request, l.Origin)
	switch {
	case !ok:
		l.Log.Error("a login needs Config.Origin ("+strings.ToUpper(l.Package)+"_ORIGIN), this program's public address such as https://shop.example; "+
			"without it users can log in on this machine only", "log_code", l.Package+"_login_no_origin", "appid", l.ID)
		l.page(c, weblogin.PageOrigin)
		return
	case len(trip.Path)+len(trip.Query) > weblogin.MaxAddress:
		l.page(c, weblogin.PageTooLong)
		return
	}
	address := l.Way(c, &trip)
	state, err := l.site(c.Request).Remember(c.Writer, c.Request, trip)
	if err != nil {
		l.Log.Error("a login could not begin", "log_code", l.Package+"_login_not_begun", "appid", l.ID, "error", err)
		l.page(c, weblogin.PageUnavailable)
		return
	}
	weblogin.Private(c.Writer)
	c.Redirect(http.StatusFound, address(origin+trip.Path, state))
	c.Abort()
}

// finish answers a browser that comes back.
func (l *Login[User]) finish(c *gin.Context, query url.Values) {
	var trip Trip
	refused := l.site(c.Request).Recall(c.Request, query.Get("state"), &trip)
	code, one := weblogin.CodeOf(query)
	switch {
	case refused != nil:
	case !one:
		refused = weblogin.PageForged
	case !weblogin.SamePath(trip.Path, c.Request.URL), l.Account(trip) == "":
		refused = weblogin.PageElsewhere
	}
	switch {
	case refused != nil:
		l.Log.Warn("a login was refused",
			"log_code", l.Package+"_login_refused", "appid", l.ID, "reason", refused.Reason, "client_ip", c.ClientIP())
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
	out := l.Once.Do(c.Request.Context(), l.Account(trip), code, func(ctx context.Context) weblogin.Outcome[User] {
		return l.Exchange(ctx, trip, code)
	})
	switch {
	case out.Value != nil:
		l.enter(c, trip, out.Value)
	case out.Again && trip.Again < weblogin.MaxAgain:
		trip.Again++
		l.Begin(c, trip)
	case out.Again:
		l.page(c, weblogin.PageCode)
	default:
		l.page(c, weblogin.PageOf(out.Page))
	}
}

// enter begins the session and sends the browser on, without the code.
func (l *Login[User]) enter(c *gin.Context, trip Trip, user *User) {
	to, ok := weblogin.Origin(c.Request, l.Origin)
	if !ok {
		l.page(c, weblogin.PageOrigin)
		return
	}
	if err := l.Save(c, user); err != nil {
		l.Log.Error("a session could not be saved", "log_code", l.Package+"_session_not_saved", "appid", l.ID, "error", err)
		l.page(c, weblogin.PageUnavailable)
		return
	}
	weblogin.Private(c.Writer)
	to += trip.Path // which is this request's own path
	if trip.Query != "" {
		to += "?" + trip.Query
	}
	c.Redirect(http.StatusSeeOther, to)
	c.Abort()
}

// page shows p. Its link leads to this request's path without the query, which may hold a
// code.
func (l *Login[User]) page(c *gin.Context, p *weblogin.Page) {
	c.Abort()
	p.Show(c.Writer, c.Request, weblogin.OwnPath(c.Request.URL.EscapedPath(), "/"))
}

// SessionLife is how long a session lives unless a program chooses.
const SessionLife = 24 * time.Hour

// Session is what a cookie or a token holds, sealed.
type Session[User any] struct {
	User *User `json:"u"`
	End  int64 `json:"e"` // Unix seconds

	KeyName string `json:"k,omitempty"` // of a mini program's session_key
}

// NewSession returns the session of a user.
func NewSession[User any](user *User, life time.Duration) Session[User] {
	return Session[User]{User: user, End: time.Now().Add(life).Unix()}
}

// Live returns whose session it is, nil for one that has expired.
func (s Session[User]) Live() *User {
	if time.Now().Unix() >= s.End {
		return nil
	}
	return s.User
}

// Cookies keep users in cookies.
type Cookies[User any] struct {
	*Logins[User]
	Name  string
	Life  time.Duration
	Known func(*User) bool // a user of this route's accounts
}

func (s *Cookies[User]) purpose() string { return "session " + s.ID }

// Load takes a cookie that does not open, or has expired, for none.
func (s *Cookies[User]) Load(c *gin.Context) (*User, error) {
	cookie, err := c.Request.Cookie(s.site(c.Request).CookieName(s.Name))
	var in Session[User]
	if err != nil || s.Seals.OpenText(s.purpose(), cookie.Value, &in) != nil || in.Live() == nil || !s.Known(in.User) {
		return nil, nil //nolint:nilerr,nilnil // without a good cookie nobody has logged in
	}
	return in.User, nil
}

// Save sets the cookie of a user; nil takes it away.
func (s *Cookies[User]) Save(c *gin.Context, user *User) error {
	site := s.site(c.Request)
	if user == nil {
		site.SetCookie(c.Writer, site.CookieName(s.Name), "", 0)
		return nil
	}
	sealed, err := s.Seals.SealText(s.purpose(), NewSession(user, s.Life))
	if err == nil {
		site.SetCookie(c.Writer, site.CookieName(s.Name), sealed, s.Life)
	}
	return err
}
