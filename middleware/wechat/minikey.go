package wechat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
)

const (
	keyLife    = 3 * 24 * time.Hour // WeChat names no end; an answer in its forum says 3 days
	maxKeys    = 100_000            // of all users of this process
	maxUserKey = 50                 // of one user, who may have many devices
)

// ErrNoSessionKey is returned by [Client.SessionKey] when there is none: the login is too
// long ago, or its user had too many. The front end has to call wx.login again.
var ErrNoSessionKey = errors.New("wechat: the session_key of this login is not kept, or not any more: let the front end call wx.login again")

// sessionKeys are what Config.KeepSessionKeys keeps.
type sessionKeys struct {
	shelf  weblogin.Shelf
	budget weblogin.Budget
}

func newSessionKeys(l *logins) (*sessionKeys, error) {
	if l.Once.Store == nil {
		return nil, errors.New("wechat: Config.KeepSessionKeys needs a store that remembers messages, such as store/sqlite")
	}
	return &sessionKeys{
		shelf:  weblogin.Shelf{Store: l.Once.Store, Account: l.account.AppID, Seals: l.Seals},
		budget: weblogin.Budget{Life: keyLife, Most: maxKeys, Each: maxUserKey},
	}, nil
}

// keptKey is a session_key in the store.
type keptKey struct {
	Key string    `json:"k"`
	End time.Time `json:"e"`
}

// keyName names the session_key of a login. It tells nothing about it, and is in the front
// end's token, sealed.
func (c *Client) keyName(code string) string {
	sum := sha256.Sum256([]byte("session_key " + c.appID + " " + code))
	return hex.EncodeToString(sum[:16])
}

// keepKey keeps the session_key of a login. A login continues without.
func (c *Client) keepKey(ctx context.Context, code, openid string, key custody.Secret) {
	keys := c.logins.keys
	if keys == nil {
		return
	}
	err := errors.New("there are too many of this user's, or of all")
	if keys.budget.Take(openid) {
		err = keys.shelf.Put(ctx, c.keyName(code), "session keys", keptKey{key.Reveal(), time.Now().Add(keyLife)}, keyLife)
	}
	if err != nil {
		c.log.Warn("a session_key was not kept", "log_code", "wechat_session_key_not_kept", "appid", c.appID, "error", err)
	}
}

// SessionKey returns the session_key of the login with which a mini program's user has come,
// for [Client.DecryptUserData] and [Client.CheckSession]. It takes [Config.KeepSessionKeys],
// and a route behind [Client.MiniUser]. It is never to be sent to a front end. An error
// is ErrNoSessionKey or the store's.
func (c *Client) SessionKey(ctx *gin.Context) (custody.Secret, error) {
	v := visitOf(ctx, "Client.SessionKey")
	if c.logins.keys == nil || v.KeyName == "" {
		return custody.Secret{}, ErrNoSessionKey
	}
	var kept keptKey
	err := c.logins.keys.shelf.Get(ctx.Request.Context(), v.KeyName, &kept)
	switch {
	case errors.Is(err, weblogin.ErrGone), err == nil && !time.Now().Before(kept.End):
		return custody.Secret{}, ErrNoSessionKey
	case err != nil:
		return custody.Secret{}, err
	}
	return custody.NewSecret(kept.Key), nil
}
