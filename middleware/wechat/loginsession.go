package wechat

import (
	"time"

	"github.com/gin-gonic/gin"
)

// maxUser is how many bytes of a profile a cookie has room for.
const maxUser = 3000

// cookieSessions keep the user in a cookie.
type cookieSessions struct{ *login }

// session is what the cookie holds.
type session struct {
	User *User `json:"u"`
	End  int64 `json:"e"` // Unix seconds

	KeyName string `json:"k,omitempty"` // of a mini program's session_key
}

func newSession(u *User, life time.Duration) session {
	return session{User: u, End: time.Now().Add(life).Unix()}
}

// user returns whose session it is, nil for one that has expired.
func (s session) user() *User {
	if time.Now().Unix() >= s.End {
		return nil
	}
	return s.User
}

const userCookie = "zk_user_"

func (s cookieSessions) purpose() string { return "session " + s.client.appID }

// Load takes a cookie that does not open, or has expired, for none.
func (s cookieSessions) Load(c *gin.Context) (*User, error) {
	cookie, err := c.Request.Cookie(s.site(c).CookieName(userCookie))
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // without a cookie nobody has logged in
	}
	var in session
	if s.client.logins.seals.OpenText(s.purpose(), cookie.Value, &in) != nil || !s.known(in.user()) {
		return nil, nil //nolint:nilerr,nilnil // likewise
	}
	return in.User, nil
}

// known reports whether a user is of the account or of the website of this route.
func (s cookieSessions) known(u *User) bool {
	return u != nil && (u.AppID == s.client.appID || s.cfg.Website != nil && u.AppID == s.cfg.Website.AppID)
}

func (s cookieSessions) Save(c *gin.Context, user *User) error {
	site := s.site(c)
	name := site.CookieName(userCookie)
	if user == nil {
		site.SetCookie(c.Writer, name, "", 0)
		return nil
	}
	sealed, err := s.client.logins.seals.SealText(s.purpose(), newSession(user, s.cfg.Life))
	if err != nil {
		return err
	}
	site.SetCookie(c.Writer, name, sealed, s.cfg.Life)
	return nil
}
