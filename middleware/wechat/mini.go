package wechat

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
	"github.com/zhongkong-go/zhongkong/platform"
)

const (
	miniLife    = door.SessionLife
	maxMiniBody = 4 << 10 // bytes of a login's request, which holds one code
)

// MiniLogin exchanges the code that a mini program's front end got from wx.login, once: a
// second exchange of the same code is refused with 40163. The session's Key stays on the
// server; see [platform.MiniSession]. Errors are those of [Client.Get]; after errcode 40029
// or 40163 the front end has to call wx.login again.
func (c *Client) MiniLogin(ctx context.Context, code string) (platform.MiniSession, error) {
	if code == "" || len(code) > weblogin.MaxCode {
		return platform.MiniSession{}, errors.New("wechat: MiniLogin: that is no code of wx.login")
	}
	return try(c.logins.apis, func(a *platform.API) (platform.MiniSession, error) { return a.MiniSession(ctx, c.logins.account, code) })
}

// MiniLoginHandler logs in the users of a mini program, whose front end posts the code of
// wx.login as {"code":"…"}, and answers with a token of this program's own:
//
//	r.POST("/login", client.MiniLoginHandler())
//	r.GET("/orders", client.MiniUser(), func(c *gin.Context) { … wechat.UserOf(c).OpenID … })
//
//	{"token":"…","expires_in":86400}
//
// The front end sends it in the header Authorization, behind "Bearer ", where
// [Client.MiniUser] looks for it. A code that a front end posts again, because it got no
// answer, gets the same user again, whichever process on the store it reaches.
//
// onLogin is called once for each login, before the answer, with the session's Key: to
// create an account, say. The Key is in no answer, token or log; after onLogin nobody has it,
// unless [Config.KeepSessionKeys] keeps it for [Client.SessionKey]. An error is logged and
// answered 503.
//
// Refusals are {"error":"…","message":"…"}: 400 bad_request, 401 code (call wx.login again),
// 403 blocked, 429 too_many, 503 unavailable.
func (c *Client) MiniLoginHandler(onLogin ...func(ctx context.Context, user *User, session platform.MiniSession) error) gin.HandlerFunc {
	return func(ctx *gin.Context) {
		ctx.Header("Cache-Control", "no-store")
		var in struct {
			Code string `json:"code"`
		}
		body, err := io.ReadAll(io.LimitReader(ctx.Request.Body, maxMiniBody))
		if err == nil {
			err = json.Unmarshal(body, &in)
		}
		if err != nil || in.Code == "" || len(in.Code) > weblogin.MaxCode {
			miniRefuse(ctx, "bad_request")
			return
		}
		out := c.logins.Once.Do(ctx.Request.Context(), c.appID, "mini "+in.Code, func(within context.Context) outcome {
			return c.miniExchange(within, in.Code, onLogin)
		})
		if out.Value == nil {
			miniRefuse(ctx, out.Page)
			return
		}
		token, err := c.miniToken(out.Value, in.Code)
		if err != nil {
			c.log.Error("a login's token could not be made", "log_code", "wechat_mini_token_not_made", "appid", c.appID, "error", err)
			miniRefuse(ctx, "unavailable")
			return
		}
		ctx.JSON(http.StatusOK, gin.H{"token": token, "expires_in": int(miniLife / time.Second)})
	}
}

// miniExchange asks WeChat who the user is.
func (c *Client) miniExchange(
	ctx context.Context, code string, onLogin []func(context.Context, *User, platform.MiniSession) error,
) outcome {
	session, err := c.MiniLogin(ctx, code)
	if err != nil {
		out := outcome{Page: "unavailable"}
		refusal, refused := errors.AsType[*platform.Error](err)
		switch {
		case platform.AnotherCodeHelps(err):
			out.Page = "code"
		case refused && refusal.Code == 45011:
			out.Page = "too_many"
		case refused && refusal.Code == 40226:
			out.Page = "blocked"
		}
		c.log.Warn("a mini program's login failed", "log_code", "wechat_mini_login_failed", "appid", c.appID, "error", err)
		return out
	}
	user := &User{AppID: c.appID, OpenID: session.OpenID, UnionID: session.UnionID, LoggedIn: time.Now().Truncate(time.Second)}
	for _, hook := range onLogin {
		if err := hook(ctx, user, session); err != nil {
			c.log.Error("the onLogin of MiniLoginHandler failed", "log_code", "wechat_mini_on_login_failed", "appid", c.appID, "error", err)
			return outcome{Page: "unavailable"}
		}
	}
	c.keepKey(ctx, code, user.OpenID, session.Key)
	return outcome{Value: user}
}

// miniRefusals are the answers to a front end that has no login.
var miniRefusals = map[string]struct {
	status  int
	message string
}{
	"bad_request":    {http.StatusBadRequest, `Post the code of wx.login as JSON: {"code":"…"}.`},
	"code":           {http.StatusUnauthorized, "WeChat does not take this code (any more): call wx.login and post the new one."},
	"login_required": {http.StatusUnauthorized, "Log in with wx.login, and send the token in the header Authorization, behind Bearer."},
	"blocked":        {http.StatusForbidden, "WeChat takes this user for a risk and lets nobody log in."},
	"too_many":       {http.StatusTooManyRequests, "This user has logged in too often: wait for a minute."},
	"unavailable":    {http.StatusServiceUnavailable, "Nobody can log in at the moment; the server's log says why."},
}

func miniRefuse(c *gin.Context, name string) {
	refusal, known := miniRefusals[name]
	if !known {
		name, refusal = "code", miniRefusals["code"]
	}
	c.AbortWithStatusJSON(refusal.status, gin.H{"error": name, "message": refusal.message})
}

func (c *Client) miniToken(u *User, code string) (string, error) {
	in := door.NewSession(u, miniLife)
	if c.logins.keys != nil {
		in.KeyName = c.keyName(code)
	}
	return c.logins.Seals.SealText("mini "+c.appID, in)
}

// MiniUser lets the requests of a mini program's users through to the handlers, which
// find them by [UserOf], and answers others 401, with {"error":"login_required"}. A token
// of [Client.MiniLoginHandler] is good for 24 hours; afterwards the front end calls
// wx.login again, of which its user notices nothing.
func (c *Client) MiniUser() gin.HandlerFunc {
	return func(ctx *gin.Context) {
		var in door.Session[User]
		token, bearer := strings.CutPrefix(ctx.GetHeader("Authorization"), "Bearer ")
		if !bearer || c.logins.Seals.OpenText("mini "+c.appID, token, &in) != nil || in.Live() == nil {
			ctx.Header("Cache-Control", "no-store")
			miniRefuse(ctx, "login_required")
			return
		}
		door.Visit[User]{User: in.User, KeyName: in.KeyName}.Enter(ctx)
		ctx.Next()
	}
}

// DecryptUserData opens encryptedData and iv of a mini program's front end with the
// session's Key, checks that they are of this account, and decodes the JSON into out. An
// error that wraps [platform.ErrUserData] says that the Key is not that of the user's last login,
// or that the data is forged.
func (c *Client) DecryptUserData(key custody.Secret, encryptedData, iv string, out any) error {
	plain, err := platform.DecryptUserData(c.appID, key, encryptedData, iv)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, out)
}

// badSignature is WeChat's errcode for a session_key that is not, or no longer, the user's.
const badSignature = 87009

// CheckSession asks WeChat whether a session's Key is still the one of its user: another
// login may have replaced it, and after some days it has expired. Errors are those of
// [Client.Get].
func (c *Client) CheckSession(ctx context.Context, openid string, key custody.Secret) (valid bool, err error) {
	err = c.Get(ctx, "/wxa/checksession", url.Values{
		"openid": {openid}, "signature": {platform.SessionSignature(key)}, "sig_method": {"hmac_sha256"},
	}, nil)
	if refusal, ok := errors.AsType[*platform.Error](err); ok && refusal.Code == badSignature {
		return false, nil
	}
	return err == nil, err
}

// Phone is the number that a user of a mini program has given away.
type Phone struct {
	Number      string `json:"phoneNumber"`     // with the country code if it is not a Chinese one
	PureNumber  string `json:"purePhoneNumber"` // without
	CountryCode string `json:"countryCode"`     // such as "86"
}

// PhoneNumber exchanges the code that a button with open-type getPhoneNumber gives to the
// front end; it is not that of wx.login, lives for 5 minutes and works once. Errors are
// those of [Client.Post]; after errcode 40029 the user has to press the button again.
func (c *Client) PhoneNumber(ctx context.Context, code string) (Phone, error) {
	var out struct {
		Info struct {
			Phone

			Watermark struct {
				AppID string `json:"appid"`
			} `json:"watermark"`
		} `json:"phone_info"`
	}
	if err := c.Post(ctx, "/wxa/business/getuserphonenumber", map[string]string{"code": code}, &out); err != nil {
		return Phone{}, err
	}
	if out.Info.Watermark.AppID != c.appID || out.Info.PureNumber == "" {
		return Phone{}, errors.New("wechat: the answer about a phone number is not about this account")
	}
	return out.Info.Phone, nil
}
