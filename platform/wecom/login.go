package wecom

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/platform"
)

const userPath = "/cgi-bin/auth/getuserinfo"

// Visitor is who has logged in to a web page of an app (网页授权登录, 扫码登录). Either UserID is set,
// or OpenID with or without ExternalUserID.
type Visitor struct {
	UserID         string // of a member of the corp
	OpenID         string // of somebody else, for this corp
	ExternalUserID string // of a customer of the corp; "" unless the app may see it

	// Ticket is for /cgi-bin/auth/getuserdetail; zero unless the scope was snsapi_privateinfo.
	Ticket custody.Secret
}

// ExchangeCode exchanges the code that WeCom has added to a return address. A code is good
// for 5 minutes and one exchange (40029, see platform.AnotherCodeHelps). client is of the app whose login it was. Errors
// are those of [platform.Client.Get]; none holds the code.
func ExchangeCode(ctx context.Context, client *platform.Client, code string) (Visitor, error) {
	if code == "" {
		return Visitor{}, named.Errorf("wecom", "the code of the login is empty")
	}
	var answer json.RawMessage
	if err := client.Get(ctx, userPath, url.Values{"code": {code}}, &answer); err != nil {
		return Visitor{}, err
	}
	// Older editions of the API write the names with capitals; encoding/json does not mind.
	var in struct {
		UserID     string `json:"userid"`
		OpenID     string `json:"openid"`
		ExternalID string `json:"external_userid"`
		Ticket     string `json:"user_ticket"`
	}
	if err := json.Unmarshal(answer, &in); err != nil {
		return Visitor{}, named.Errorf("wecom", "the answer of %s does not have the fields of this API", userPath)
	}
	if in.UserID == "" && in.OpenID == "" {
		return Visitor{}, named.Errorf("wecom", "the answer of %s names nobody", userPath)
	}
	return Visitor{
		UserID: in.UserID, OpenID: in.OpenID, ExternalUserID: in.ExternalID, Ticket: custody.NewSecret(in.Ticket),
	}, nil
}

// AuthorizeURL returns the address of the page that sends a browser inside WeCom back to
// returnTo with a code (构造网页授权链接): with the scope snsapi_base without a question, with
// snsapi_privateinfo after one. openBase is https://open.weixin.qq.com, or a simulator.
func AuthorizeURL(openBase string, app App, returnTo, scope, state string) string {
	agent := ""
	if app.AgentID != "" {
		agent = "&agentid=" + url.QueryEscape(app.AgentID)
	}
	return fmt.Sprintf("%s/connect/oauth2/authorize?appid=%s&redirect_uri=%s&response_type=code&scope=%s&state=%s%s#wechat_redirect",
		openBase, url.QueryEscape(app.CorpID), url.QueryEscape(returnTo), url.QueryEscape(scope), url.QueryEscape(state), agent)
}

// LoginURL returns the address of the page with a QR code (企业微信Web登录), for browsers
// outside of WeCom. loginBase is https://login.work.weixin.qq.com, or a simulator.
func LoginURL(loginBase string, app App, returnTo, state string) string {
	return fmt.Sprintf("%s/wwlogin/sso/login?login_type=CorpApp&appid=%s&agentid=%s&redirect_uri=%s&state=%s",
		loginBase, url.QueryEscape(app.CorpID), url.QueryEscape(app.AgentID), url.QueryEscape(returnTo), url.QueryEscape(state))
}
