package wechat

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
)

const (
	loginTime = 5 * time.Minute // from the redirect to the return; a code of WeChat's lives no longer
	clockSlip = time.Minute     // by which the clocks of two processes may differ

	idLen    = 16                                   // bytes
	stateLen = 2 * (12 + 8 + idLen + aes.BlockSize) // nonce, time, id and tag in hex; WeChat takes 128 letters and digits

	maxAddress = 2000 // bytes of path and query that a cookie has room for
	maxCode    = 512
	maxAgain   = 1 // how often another code is fetched because one was no good
	maxPending = 8 // logins under way in one browser
	maxUser    = 3000
)

// seals encrypt what a browser or a store keeps for us. The first one seals, all open.
type seals []cipher.AEAD

// newSeals derives keys from the seal keys, and from what all processes of an account know
// in any case.
func newSeals(keys []custody.Secret, secret custody.Secret) (seals, error) {
	var s seals
	for _, key := range append(slices.Clip(keys), secret) {
		derived, err := hkdf.Key(sha256.New, []byte(key.Reveal()), nil, "zhongkong: logins", 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(derived)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		s = append(s, aead)
	}
	return s, nil
}

func (s seals) seal(purpose string, plain []byte) []byte {
	return s[0].Seal(nil, nil, plain, []byte(purpose)) //nolint:gosec // G407: this AEAD draws its nonce itself
}

var errSeal = errors.New("wechat: this was not sealed here")

func (s seals) open(purpose string, sealed []byte) ([]byte, error) {
	for _, aead := range s {
		if plain, err := aead.Open(nil, nil, sealed, []byte(purpose)); err == nil {
			return plain, nil
		}
	}
	return nil, errSeal
}

// pending is a login on its way, which the browser keeps in a cookie. The state that WeChat
// carries has its ID and time, sealed, and is good for nothing without the cookie.
type pending struct {
	ID      string `json:"i"`
	Path    string `json:"p"`
	Query   string `json:"q,omitempty"`
	Scope   string `json:"s"`
	Website bool   `json:"w,omitempty"`
	Again   int    `json:"a,omitempty"`
}

func newID() string {
	var b [idLen]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return hex.EncodeToString(b[:])
}

func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

func (l *login) purpose(of string) string { return of + " " + l.client.appID }

// remember puts p into a cookie and returns its state.
func (l *login) remember(c *gin.Context, p pending) (string, error) {
	id, err := hex.DecodeString(p.ID)
	if err != nil {
		return "", err
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()))
	state := hex.EncodeToString(l.client.logins.seals.seal(l.purpose("state"), append(plain, id...)))
	text, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	l.forgetMany(c)
	sealed := base64.RawURLEncoding.EncodeToString(l.client.logins.seals.seal(l.purpose("pending"), text))
	l.setCookie(c, l.pendingName(c, p.ID), sealed, loginTime)
	return state, nil
}

// recall returns the login to which a state belongs, or the page that says why not.
func (l *login) recall(c *gin.Context, state string) (pending, *loginPage) {
	raw, err := hex.DecodeString(state)
	if err != nil || len(state) != stateLen {
		return pending{}, pageForged
	}
	plain, err := l.client.logins.seals.open(l.purpose("state"), raw)
	if err != nil || len(plain) != 8+idLen {
		return pending{}, pageForged
	}
	age := time.Since(time.Unix(int64(binary.BigEndian.Uint64(plain)), 0))
	if age >= loginTime+time.Second || age < -clockSlip { // the state has whole seconds
		return pending{}, pageOld
	}
	id := hex.EncodeToString(plain[8:])
	cookie, err := c.Request.Cookie(l.pendingName(c, id))
	if err != nil {
		return pending{}, pageForeign
	}
	var p pending
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err == nil {
		sealed, err = l.client.logins.seals.open(l.purpose("pending"), sealed)
	}
	if err == nil {
		err = json.Unmarshal(sealed, &p)
	}
	switch {
	case err != nil || p.ID != id:
		return pending{}, pageForeign
	case !samePage(p.Path, c.Request.URL):
		return pending{}, pageElsewhere
	case p.Website && l.cfg.Website == nil:
		return pending{}, pageElsewhere
	}
	return p, nil
}

// samePage compares an escaped path with that of a request, however it is escaped: WeChat
// may write it in its own way.
func samePage(escaped string, u *url.URL) bool {
	path, err := url.PathUnescape(escaped)
	return err == nil && path == u.Path
}

// cookieName has the prefix by which browsers take a cookie from this very host alone.
func (l *login) cookieName(c *gin.Context, name string) string {
	if l.secure(c) {
		return "__Host-" + name + l.tag
	}
	return name + l.tag
}

func (l *login) pendingName(c *gin.Context, id string) string {
	return l.cookieName(c, "zk_login_") + "_" + id[:16]
}

// secure reports whether browsers reach this program by TLS, be it ended by a proxy.
func (l *login) secure(c *gin.Context) bool {
	return strings.HasPrefix(l.client.logins.origin, "https://") || c.Request.TLS != nil
}

// setCookie sets a cookie for life; 0 takes it away.
func (l *login) setCookie(c *gin.Context, name, value string, life time.Duration) {
	cookie := &http.Cookie{ //nolint:gosec // G124: it is Secure wherever browsers come by TLS
		Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: l.secure(c), SameSite: http.SameSiteLaxMode,
	}
	if life <= 0 {
		cookie.MaxAge = -1
	}
	http.SetCookie(c.Writer, cookie)
}

// forgetMany takes away the cookies of logins that were left on the way, once there are
// many, before they fill a request's header.
func (l *login) forgetMany(c *gin.Context) {
	var left []string
	prefix := l.cookieName(c, "zk_login_")
	for _, cookie := range c.Request.Cookies() {
		if strings.HasPrefix(cookie.Name, prefix) {
			left = append(left, cookie.Name)
		}
	}
	if len(left) < maxPending {
		return
	}
	for _, name := range left {
		l.setCookie(c, name, "", 0)
	}
}

// cookieSessions keep the user in a cookie.
type cookieSessions struct{ *login }

// session is what the cookie holds.
type session struct {
	User *User `json:"u"`
	End  int64 `json:"e"` // Unix seconds
}

// Load takes a cookie that does not open, or has expired, for none.
func (s cookieSessions) Load(c *gin.Context) (*User, error) {
	cookie, err := c.Request.Cookie(s.cookieName(c, "zk_user_"))
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // without a cookie nobody has logged in
	}
	var in session
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err == nil {
		sealed, err = s.client.logins.seals.open(s.purpose("session"), sealed)
	}
	if err == nil {
		err = json.Unmarshal(sealed, &in)
	}
	if err != nil || time.Now().Unix() >= in.End || !s.known(in.User) {
		return nil, nil //nolint:nilerr,nilnil // likewise
	}
	return in.User, nil
}

// known reports whether a user is of the account or of the website of this route.
func (s cookieSessions) known(u *User) bool {
	return u != nil && (u.AppID == s.client.appID || s.cfg.Website != nil && u.AppID == s.cfg.Website.AppID)
}

func (s cookieSessions) Save(c *gin.Context, user *User) error {
	name := s.cookieName(c, "zk_user_")
	if user == nil {
		s.setCookie(c, name, "", 0)
		return nil
	}
	text, err := json.Marshal(session{User: user, End: time.Now().Add(s.cfg.Life).Unix()})
	if err != nil {
		return err
	}
	sealed := s.client.logins.seals.seal(s.purpose("session"), text)
	s.setCookie(c, name, base64.RawURLEncoding.EncodeToString(sealed), s.cfg.Life)
	return nil
}
