package platform

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// The APIs of logins. They are called with the AppSecret or with a user's own token, and
// from any address: no IP whitelist holds.
const (
	userTokenPath   = "/sns/oauth2/access_token"  //nolint:gosec // a path, no credential
	userRefreshPath = "/sns/oauth2/refresh_token" //nolint:gosec // likewise
	userInfoPath    = "/sns/userinfo"
	miniLoginPath   = "/sns/jscode2session"
)

// UserGrant is what a user of a web page has granted to an account (网页授权). Its tokens
// are the user's, and have nothing to do with the account's access_token.
type UserGrant struct {
	OpenID   string // of the user in this account
	UnionID  string // "" unless the account is bound to an Open Platform account, and with snsapi_base
	Scope    string // snsapi_base, snsapi_userinfo or snsapi_login; WeChat separates several by commas
	Snapshot bool   // the page was shown as a snapshot (快照页): this user does not exist

	Token     custody.Secret // for /sns/userinfo
	ExpiresIn time.Duration  // of Token: WeChat's is 2 h
	Refresh   custody.Secret // brings another Token for 30 days
}

// UserInfo is what a user has shown of a profile.
type UserInfo struct {
	OpenID   string `json:"openid"`
	UnionID  string `json:"unionid"`
	Nickname string `json:"nickname"`
	Avatar   string `json:"headimgurl"` // an address; "" for a user without a picture
}

// MiniSession is what the code of a mini program's wx.login brings.
type MiniSession struct {
	OpenID  string
	UnionID string // "" unless the account is bound to an Open Platform account

	// Key is the session_key, with which the front end's data is signed and encrypted. It
	// must not reach the front end, whose user could sign anything with it.
	Key custody.Secret
}

// ExchangeCode exchanges the code that WeChat has added to a return address, once: the
// request is never repeated, as a second one is refused with 40163. Errors are those of
// [Client.Get]; none holds the code or a token.
func (a *API) ExchangeCode(ctx context.Context, account Account, code string) (UserGrant, error) {
	secret := account.Secret.Reveal()
	return a.userGrant(ctx, request{
		method: http.MethodGet, path: userTokenPath, appID: account.AppID, limit: maxCredentialAnswer, secrets: nonEmpty(secret, code),
		query: url.Values{"appid": {account.AppID}, "secret": {secret}, "code": {code}, "grant_type": {"authorization_code"}}.Encode(),
	})
}

// deadCodes are the errcodes after which another code helps: invalid, used, expired. WeCom has
// the first alone.
var deadCodes = []int{40029, 40163, 42003}

// AnotherCodeHelps reports whether an exchange failed because of its code alone, so that a
// user who is sent to WeChat or WeCom again may succeed.
func AnotherCodeHelps(err error) bool {
	if refusal, ok := errors.AsType[*Error](err); ok {
		if refusal.Host == errcode.WeCom {
			return refusal.Code == deadCodes[0]
		}
		return slices.Contains(deadCodes, refusal.Code)
	}
	conn, ok := errors.AsType[*ConnError](err)
	return ok && conn.Sent // the answer is lost, and the code may be used
}

// RefreshUser renews the Token of a UserGrant. It needs no AppSecret. After 30 days, or
// when the user has changed the password, WeChat refuses it (42002, 42007), and the user has
// to log in again.
func (a *API) RefreshUser(ctx context.Context, appID string, refresh custody.Secret) (UserGrant, error) {
	return a.userGrant(ctx, request{
		method: http.MethodGet, path: userRefreshPath, appID: appID, limit: maxCredentialAnswer, secrets: nonEmpty(refresh.Reveal()),
		query: url.Values{"appid": {appID}, "grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}}.Encode(),
	})
}

func (a *API) userGrant(ctx context.Context, r request) (UserGrant, error) {
	var in struct {
		Token    string `json:"access_token"`
		Expires  int64  `json:"expires_in"`
		Refresh  string `json:"refresh_token"`
		OpenID   string `json:"openid"`
		UnionID  string `json:"unionid"`
		Scope    string `json:"scope"`
		Snapshot int    `json:"is_snapshotuser"`
	}
	ans, err := a.ask(ctx, r, &in)
	if err != nil {
		return UserGrant{}, err
	}
	if in.Token == "" || in.OpenID == "" {
		return UserGrant{}, ans.unusable("it holds no openid or no access_token")
	}
	return UserGrant{
		OpenID: in.OpenID, UnionID: in.UnionID, Scope: in.Scope, Snapshot: in.Snapshot != 0,
		Token: custody.NewSecret(in.Token), ExpiresIn: time.Duration(in.Expires) * time.Second, Refresh: custody.NewSecret(in.Refresh),
	}, nil
}

// UserInfo asks for the profile of a user who has granted snsapi_userinfo or
// snsapi_login; WeChat refuses it with 48001 otherwise.
func (a *API) UserInfo(ctx context.Context, appID string, grant UserGrant) (UserInfo, error) {
	var info UserInfo
	token := grant.Token.Reveal()
	ans, err := a.ask(ctx, request{
		method: http.MethodGet, path: userInfoPath, appID: appID, limit: maxCredentialAnswer, secrets: nonEmpty(token),
		query: url.Values{"access_token": {token}, "openid": {grant.OpenID}, "lang": {"zh_CN"}}.Encode(),
	}, &info)
	switch {
	case err != nil:
		return UserInfo{}, err
	case info.OpenID != grant.OpenID:
		return UserInfo{}, ans.unusable("it is about another openid")
	}
	return info, nil
}

// MiniSession exchanges the code of a mini program's wx.login, once, as ExchangeCode does.
func (a *API) MiniSession(ctx context.Context, account Account, code string) (MiniSession, error) {
	var in struct {
		OpenID  string `json:"openid"`
		UnionID string `json:"unionid"`
		Key     string `json:"session_key"`
	}
	secret := account.Secret.Reveal()
	ans, err := a.ask(ctx, request{
		method: http.MethodGet, path: miniLoginPath, appID: account.AppID, limit: maxCredentialAnswer, secrets: nonEmpty(secret, code),
		query: url.Values{"appid": {account.AppID}, "secret": {secret}, "js_code": {code}, "grant_type": {"authorization_code"}}.Encode(),
	}, &in)
	switch {
	case err != nil:
		return MiniSession{}, err
	case in.OpenID == "" || in.Key == "":
		return MiniSession{}, ans.unusable("it holds no openid or no session_key")
	}
	return MiniSession{OpenID: in.OpenID, UnionID: in.UnionID, Key: custody.NewSecret(in.Key)}, nil
}

// ask sends a request that carries no access_token of the account, once, and decodes the
// answer.
func (a *API) ask(ctx context.Context, r request, out any) (*answer, error) {
	if r.appID == "" {
		return nil, errors.New("platform: the AppID is empty")
	}
	ans, err := a.exchange(ctx, a.credentials.RoundTrip, r)
	if err != nil {
		return nil, err
	}
	if err := ans.check(); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(ans.body, out); err != nil {
		return nil, ans.unusable("it does not have the fields of this API")
	}
	return ans, nil
}

func nonEmpty(secrets ...string) []string {
	var all []string
	for _, s := range secrets {
		if s != "" {
			all = append(all, s)
		}
	}
	return all
}

// SessionSignature signs a call with the session_key of a mini program's user, for
// /wxa/checksession and /wxa/resetusersessionkey: sig_method is hmac_sha256.
func SessionSignature(key custody.Secret) string {
	mac := hmac.New(sha256.New, []byte(key.Reveal())) // of the base64 as it is; the message is empty
	return hex.EncodeToString(mac.Sum(nil))
}

// AuthorizeURL returns the address of WeChat's page that asks the user and sends the
// browser back to returnTo, with a code: with the scope snsapi_base without a question, with
// snsapi_userinfo after one, and with snsapi_login by a QR code. openBase is
// https://open.weixin.qq.com, or a simulator. WeChat takes a state of up to 128 letters and
// digits, and the parameters in this order only.
func AuthorizeURL(openBase, appID, returnTo, scope, state string) string {
	page := "/connect/oauth2/authorize"
	if scope == "snsapi_login" {
		page = "/connect/qrconnect"
	}
	return fmt.Sprintf("%s%s?appid=%s&redirect_uri=%s&response_type=code&scope=%s&state=%s#wechat_redirect",
		openBase, page, url.QueryEscape(appID), url.QueryEscape(returnTo), url.QueryEscape(scope), url.QueryEscape(state))
}
