package simulator

import (
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// How long what a login brings lives.
const (
	codeLife        = 5 * time.Minute     // WeChat: a code works for 5 minutes
	userTokenLife   = 7200 * time.Second  // WeChat: expires_in of web authorization
	userRefreshLife = 30 * 24 * time.Hour // WeChat: a refresh_token lives for 30 days
	sessionKeyLife  = 3 * 24 * time.Hour  // an answer in WeChat's forum: 3 days
	minuteMiniLogin = 100                 // WeChat: jscode2session takes 100 calls a minute for one user

	maxCodes  = 1024 // that an account remembers, used and expired ones among them
	maxGrants = 1024 // of web authorization
)

// codeKind says where a code comes from, and so which API takes it.
type codeKind int

const (
	webCode   codeKind = iota // web authorization and QR login
	miniCode                  // wx.login
	phoneCode                 // a button with open-type getPhoneNumber
)

// Scopes of web authorization.
const (
	scopeBase     = "snsapi_base"
	scopeUserinfo = "snsapi_userinfo"
	scopeLogin    = "snsapi_login"
)

// loginCode is a code on its way from a front end to an app.
type loginCode struct {
	value    string
	kind     codeKind
	openid   string
	scope    string
	snapshot bool
	made     time.Time
	used     bool
}

// userGrant is what an app got for a code: tokens that are one user's, and have
// nothing to do with the account's access_token.
type userGrant struct {
	account    *account
	openid     string
	scope      string
	snapshot   bool
	token      string
	end        time.Time
	refresh    string
	refreshEnd time.Time
	revoked    bool
}

// miniSession is the one valid session_key of a mini program's user.
type miniSession struct {
	key    string
	made   time.Time
	minute counter // of jscode2session
}

// logins is what an account remembers of its users' logins. The account's mutex guards it.
type logins struct {
	random   *rand.ChaCha8
	codes    []*loginCode // the oldest first
	grants   []*userGrant // likewise
	sessions map[string]*miniSession
}

func newLogins(a *account) logins {
	return logins{random: source(a.world.options.Seed, a.appid, "logins"), sessions: map[string]*miniSession{}}
}

// addCode issues a code.
func (l *logins) addCode(c loginCode) *loginCode {
	c.value = letters(rand.New(l.random), 32)
	if len(l.codes) == maxCodes {
		l.codes = slices.Delete(l.codes, 0, 1)
	}
	l.codes = append(l.codes, &c)
	return &c
}

// takeCode uses a code up, or returns the errcode to refuse it with.
func (l *logins) takeCode(kind codeKind, value string, now time.Time) (*loginCode, int) {
	i := slices.IndexFunc(l.codes, func(c *loginCode) bool { return c.kind == kind && c.value == value })
	if i < 0 {
		return nil, invalidCode
	}
	c := l.codes[i]
	switch {
	case c.used && kind == phoneCode:
		return nil, invalidCode
	case c.used:
		return nil, codeUsed
	case now.Sub(c.made) >= codeLife && kind == webCode:
		return nil, codeExpired
	case now.Sub(c.made) >= codeLife:
		return nil, invalidCode
	}
	c.used = true
	return c, 0
}

// grant issues the tokens of a user.
func (a *account) grant(c *loginCode, now time.Time) *userGrant {
	g := &userGrant{
		account: a, openid: c.openid, scope: c.scope, snapshot: c.snapshot,
		token: makeToken(a.logins.random), end: now.Add(userTokenLife),
		refresh: makeToken(a.logins.random), refreshEnd: now.Add(userRefreshLife),
	}
	if len(a.logins.grants) == maxGrants {
		a.world.userTokens.Delete(a.logins.grants[0].token)
		a.logins.grants = slices.Delete(a.logins.grants, 0, 1)
	}
	a.logins.grants = append(a.logins.grants, g)
	a.world.userTokens.Store(g.token, g)
	return g
}

// verdict returns the errcode that an API gives for a user's token.
func (g *userGrant) verdict(now time.Time) int {
	switch {
	case g.revoked:
		return authorizationGone
	case !now.Before(g.end):
		return tokenExpired
	default:
		return 0
	}
}

// session makes another session_key for a user, which ends the one before.
func (l *logins) session(openid string, now time.Time) *miniSession {
	s := l.sessions[openid]
	if s == nil {
		s = new(miniSession)
		l.sessions[openid] = s
	}
	b := make([]byte, 16)
	_, _ = l.random.Read(b) // never fails, by its documentation
	s.key, s.made = base64.StdEncoding.EncodeToString(b), now
	return s
}

// unionID names the person behind an openid in all accounts that are bound to one Open
// Platform account; "" when this one is bound to none. The account's mutex is held.
func (a *account) unionID(openid string) string {
	i := slices.Index(a.conf.Followers, openid)
	if a.conf.OpenPlatform == "" || i < 0 {
		return ""
	}
	person := strings.Repeat("+", i) // the n-th follower of each account
	return "o" + letters(rand.New(source(0, "unionid", a.conf.OpenPlatform, person)), openIDLength-1)
}

// virtual returns the openid that a snapshot shows instead of the follower's.
func virtual(openid string) string {
	return "o" + letters(rand.New(source(0, "snapshot", openid)), openIDLength-1)
}

// nicknames are those of the chat page too.
var nicknames = []string{"小明", "小红", "小刚", "小芳", "小华", "小丽"}

// nickname is what a follower is called, the same in every run.
func (a *account) nickname(openid string) string {
	i := max(0, slices.Index(a.conf.Followers, openid))
	return nicknames[i%len(nicknames)]
}

func phoneNumber(openid string) string {
	const digits = "0123456789"
	r := rand.New(source(0, "phone", openid))
	number := []byte("1380000")
	for range 4 {
		number = append(number, digits[r.IntN(len(digits))])
	}
	return string(number)
}
