package weblogin

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

	"github.com/zhongkong-go/zhongkong/custody"
)

// Time is how long a login may take, from the redirect to the return: a code of WeChat's
// lives no longer.
const Time = 5 * time.Minute

const (
	clockSlip = time.Minute // by which the clocks of two processes may differ

	idLen = 16 // bytes

	// stateLen is a nonce, the time, an id and a tag in hex; WeChat takes 128 letters and digits.
	stateLen = 2 * (12 + 8 + idLen + aes.BlockSize)

	maxPending = 8 // logins under way in one browser
)

// Bounds of what a login has to do with, in bytes.
const (
	MaxAddress = 2000 // of an address that a cookie has room for
	MaxCode    = 512
)

// MaxAgain is how often another code is fetched because one was no good.
const MaxAgain = 1

// Seals encrypt what a browser or a store keeps for us. The first one seals, all open.
type Seals []cipher.AEAD

// NewSeals derives keys for a purpose from secrets, of which at least one has to be there.
func NewSeals(purpose string, secrets ...custody.Secret) (Seals, error) {
	var s Seals
	for _, secret := range secrets {
		derived, err := hkdf.Key(sha256.New, []byte(secret.Reveal()), nil, purpose, 32)
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

// Seal encrypts plain, for Open with the same purpose.
func (s Seals) Seal(purpose string, plain []byte) []byte {
	return s[0].Seal(nil, nil, plain, []byte(purpose))
}

var errSeal = errors.New("weblogin: this was not sealed here")

// Open returns what Seal sealed; an error if it was not sealed with these keys and for this
// purpose.
func (s Seals) Open(purpose string, sealed []byte) ([]byte, error) {
	for _, aead := range s {
		if plain, err := aead.Open(nil, nil, sealed, []byte(purpose)); err == nil {
			return plain, nil
		}
	}
	return nil, errSeal
}

// SealText is Seal of a value's JSON, for a cookie or a header.
func (s Seals) SealText(purpose string, value any) (string, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.Seal(purpose, plain)), nil
}

// OpenText reads what SealText returned.
func (s Seals) OpenText(purpose, text string, value any) error {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return err
	}
	plain, err := s.Open(purpose, sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, value)
}

// ShortHash tells names apart in those of cookies.
func ShortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// Site sends browsers to WeChat and knows them again when they come back. It keeps nothing:
// what a login is about is in a sealed cookie, and the state that WeChat carries is good for
// nothing without it.
type Site struct {
	Seals  Seals
	Name   string // whose logins these are: what one Site has sealed is nothing to another
	Secure bool   // browsers reach the site by TLS
}

// pending is a login on its way. The state has its ID and time, sealed.
type pending struct {
	ID   string          `json:"i"`
	Trip json.RawMessage `json:"t"`
}

func (s Site) purpose(of string) string { return of + " " + s.Name }

// Remember puts what a login is about into a cookie and returns the state to send along.
func (s Site) Remember(w http.ResponseWriter, r *http.Request, trip any) (state string, err error) {
	var id [idLen]byte
	_, _ = rand.Read(id[:]) // never fails, by its documentation
	plain := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()))
	state = hex.EncodeToString(s.Seals.Seal(s.purpose("state"), append(plain, id[:]...)))
	p := pending{ID: hex.EncodeToString(id[:])}
	if p.Trip, err = json.Marshal(trip); err != nil {
		return "", err
	}
	sealed, err := s.Seals.SealText(s.purpose("pending"), p)
	if err != nil {
		return "", err
	}
	s.forgetMany(w, r)
	s.SetCookie(w, s.pendingName(p.ID), sealed, Time)
	return state, nil
}

// Recall reads what the login is about that a state belongs to, or returns the page that
// says why there is none.
func (s Site) Recall(r *http.Request, state string, trip any) *Page {
	raw, err := hex.DecodeString(state)
	if err != nil || len(state) != stateLen || hex.EncodeToString(raw) != state {
		return PageForged
	}
	plain, err := s.Seals.Open(s.purpose("state"), raw)
	if err != nil || len(plain) != 8+idLen {
		return PageForged
	}
	age := time.Since(time.Unix(int64(binary.BigEndian.Uint64(plain)), 0))
	if age >= Time+time.Second || age < -clockSlip { // the state has whole seconds
		return PageOld
	}
	id := hex.EncodeToString(plain[8:])
	cookie, err := r.Cookie(s.pendingName(id))
	if err != nil {
		return PageForeign
	}
	var p pending
	if s.Seals.OpenText(s.purpose("pending"), cookie.Value, &p) != nil || p.ID != id || json.Unmarshal(p.Trip, trip) != nil {
		return PageForeign
	}
	return nil
}

// IsReturn reports whether a query is what WeChat sends a browser back with. One without a
// code is a user's who has declined.
func IsReturn(query url.Values) bool {
	return query.Has("state") && (query.Has("code") || len(query.Get("state")) == stateLen)
}

// CodeOf returns the code of a query that IsReturn, "" for a user who has declined, and
// whether there is no more than one code and state.
func CodeOf(query url.Values) (code string, one bool) {
	code = query.Get("code")
	return code, len(query["state"]) == 1 && len(query["code"]) <= 1 && len(code) <= MaxCode
}

// SamePath compares an escaped path with that of a request, however it is escaped: WeChat
// may write it in its own way.
func SamePath(escaped string, u *url.URL) bool {
	path, err := url.PathUnescape(escaped)
	return err == nil && path == u.Path
}

// CookieName returns the name of a cookie of this site. It has the prefix by which browsers
// take a cookie from this very host alone.
func (s Site) CookieName(name string) string {
	if s.Secure {
		name = "__Host-" + name
	}
	return name + ShortHash(s.Name)
}

const pendingCookie = "zk_login_"

func (s Site) pendingName(id string) string { return s.CookieName(pendingCookie) + "_" + id[:16] }

// SetCookie sets a cookie for life; 0 takes it away.
func (s Site) SetCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	cookie := &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: s.Secure, SameSite: http.SameSiteLaxMode,
	}
	if life <= 0 {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// forgetMany takes away the cookies of logins that were left on the way, once there are
// many, before they fill a request's header.
func (s Site) forgetMany(w http.ResponseWriter, r *http.Request) {
	left := slices.DeleteFunc(r.Cookies(), func(c *http.Cookie) bool { return !strings.HasPrefix(c.Name, s.CookieName(pendingCookie)) })
	if len(left) < maxPending {
		return
	}
	for _, cookie := range left {
		s.SetCookie(w, cookie.Name, "", 0)
	}
}
