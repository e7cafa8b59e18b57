package login

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
)

// Form is the way in which a program logs its users in.
type Form byte

// The forms.
const (
	Ticket Form = 't' // by /login/{client}
	Code   Form = 'c' // as with WeChat, by /connect/…
)

// Prefix is what tickets and codes begin with, to be found where they should not be.
const Prefix = "zkt_"

// ID names a client: that of its key.
type ID [8]byte

const (
	ticketLife = 5 * time.Minute          // as long as a code of WeChat
	ticketKeep = ticketLife + time.Minute // by the store's clock
	maxAhead   = time.Minute              // by which another gateway's clock may be ahead of this one's

	ticketHead = 1 + 8 + 4 + 16 // version, ID of the client, time, random bytes
	ticketMAC  = 16             // bytes of the HMAC-SHA256 that are kept
)

// Why a ticket or code is not redeemed.
var (
	// ErrInvalid is also what a guess gets.
	ErrInvalid = errors.New("login: it was not made here, or for another client or account, or the store does not have it any more")
	// ErrExpired says that the user has to log in again.
	ErrExpired = errors.New("login: it is more than five minutes old")
	// ErrUsed is what a reload or a replay gets.
	ErrUsed = errors.New("login: it was redeemed before")
)

// Grant is what a ticket or code brings.
type Grant struct {
	AppID    string `json:"appid"`
	OpenID   string `json:"openid"`
	UnionID  string `json:"unionid,omitempty"`
	Scope    string `json:"scope"`
	Snapshot bool   `json:"snapshot,omitempty"`

	// Of a Ticket with the scope snsapi_userinfo or snsapi_login.
	Nickname string `json:"nickname,omitempty"`
	Avatar   string `json:"avatar,omitempty"`

	// Of a Code: the user's own tokens.
	Token   string    `json:"token,omitempty"`
	Refresh string    `json:"refresh,omitempty"`
	End     time.Time `json:"end,omitzero"` // of Token
}

// mint returns a ticket or code for a client:
//
//	"zkt_" base64url( form 1 | client 8 | issued 4 | random 16 | MAC 16 )
//
// The MAC, HMAC-SHA-256 under a key derived from a seal key, lets every gateway refuse what
// somebody made up without asking the store.
func (r *Relay) mint(form Form, client ID, now time.Time) string {
	raw := append([]byte{byte(form)}, client[:]...)
	raw = binary.BigEndian.AppendUint32(raw, uint32(now.Unix()))
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails, by its documentation
	raw = append(raw, nonce[:]...)
	return Prefix + base64.RawURLEncoding.EncodeToString(append(raw, mac(r.macs[0], raw)...))
}

func macKeys(seals []custody.Secret) (keys [][]byte, err error) {
	for _, seal := range seals {
		key, err := hkdf.Key(sha256.New, []byte(seal.Reveal()), nil, "zhongkong: login tickets", sha256.Size)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func mac(key, payload []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write(payload)
	return h.Sum(nil)[:ticketMAC]
}

// check reports whether a text is a living ticket of that form and client.
func (r *Relay) check(form Form, client ID, text string, now time.Time) error {
	encoded, ours := strings.CutPrefix(text, Prefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ours || err != nil || len(raw) != ticketHead+ticketMAC || strings.ContainsAny(text, "\r\n") {
		return ErrInvalid
	}
	payload, sum := raw[:ticketHead], raw[ticketHead:]
	proven := false
	for _, key := range r.macs {
		proven = proven || hmac.Equal(mac(key, payload), sum)
	}
	if !proven || Form(payload[0]) != form || ID(payload[1:9]) != client {
		return ErrInvalid
	}
	if age := now.Sub(time.Unix(int64(binary.BigEndian.Uint32(payload[9:])), 0)); age >= ticketLife+time.Second || age < -maxAhead {
		return ErrExpired
	}
	return nil
}

// thing is what the store keeps a grant as. A Code is exchanged with the account's appid, as
// WeChat's are, so that with another one there is nothing, and nothing is used up.
func thing(form Form, text, appID string) string {
	if form == Code {
		return text + " " + appID
	}
	return text
}

// Redeem returns what a ticket or code brings, once. An error is ErrInvalid, ErrExpired,
// ErrUsed or the store's. Nothing is used up by a client for which it was not made, a Code's
// wrong appid (of a Ticket there is none), or a store that does not answer.
func (r *Relay) Redeem(ctx context.Context, form Form, client ID, text, appID string) (Grant, error) {
	if err := r.check(form, client, text, time.Now()); err != nil {
		return Grant{}, err
	}
	var grant Grant
	err := r.shelf.Take(ctx, thing(form, text, appID), &grant, ticketKeep)
	switch {
	case errors.Is(err, weblogin.ErrGone):
		return Grant{}, ErrInvalid
	case errors.Is(err, weblogin.ErrTaken):
		return Grant{}, ErrUsed
	case err != nil:
		return Grant{}, err
	}
	return grant, nil
}
