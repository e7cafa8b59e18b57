package platform_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestUserTokens goes through the life of a user's tokens.
func TestUserTokens(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{})
	api, err := platform.New(platform.Config{Base: wx.URL, Transport: wx.RoundTripper()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, account := t.Context(), platform.Account{AppID: wx.AppID(), Secret: custody.NewSecret(wx.Secret())}
	code := func(scope string) string {
		t.Helper()
		back, err := wx.Authorize(platform.AuthorizeURL("https://open.weixin.qq.com", wx.AppID(), "https://shop.example/me?a=1&b=2", scope, "abc"), simulator.Consent{})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(back)
		if err != nil || u.Query().Get("a") != "1" || u.Query().Get("b") != "2" {
			t.Fatalf("%s, %v", back, err)
		}
		return u.Query().Get("code")
	}
	grant, err := api.ExchangeCode(ctx, account, code("snsapi_userinfo"))
	if err != nil || grant.OpenID != wx.Account().Followers[0] || grant.ExpiresIn != 2*time.Hour || grant.Scope != "snsapi_userinfo" {
		t.Fatalf("%v, %v", grant, err)
	}
	info, err := api.UserInfo(ctx, wx.AppID(), grant)
	if err != nil || info.OpenID != grant.OpenID || info.Nickname == "" {
		t.Errorf("%+v, %v", info, err)
	}
	wx.Clock.Advance(2 * time.Hour)
	var refusal *platform.Error
	if _, err := api.UserInfo(ctx, wx.AppID(), grant); !errors.As(err, &refusal) || refusal.Code != 42001 || strings.Contains(err.Error(), grant.Token.Reveal()) {
		t.Errorf("with an old token: %v", err)
	}
	newer, err := api.RefreshUser(ctx, wx.AppID(), grant.Refresh)
	if err != nil || newer.Token.Equal(grant.Token) || newer.OpenID != grant.OpenID {
		t.Fatalf("%v, %v", newer, err)
	}
	if _, err := api.UserInfo(ctx, wx.AppID(), newer); err != nil {
		t.Error(err)
	}
	wx.Revoke(wx.AppID(), grant.OpenID)
	if _, err := api.RefreshUser(ctx, wx.AppID(), grant.Refresh); !errors.As(err, &refusal) || refusal.Code != 42007 {
		t.Errorf("after a change of password: %v", err)
	}

	silent, err := api.ExchangeCode(ctx, account, code("snsapi_base"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.UserInfo(ctx, wx.AppID(), silent); !errors.As(err, &refusal) || refusal.Code != 48001 {
		t.Errorf("the profile of a user who was not asked: %v", err)
	}
}

// TestLoginAnswers: what is no answer of WeChat's is no login, and no error shows code,
// token or session_key.
func TestLoginAnswers(t *testing.T) {
	const secret, code, token = "0123456789abcdef0123456789abcdef", "071abcdefghijklmnopqrstuvwxyzAB", "91_the-users-token"
	account := platform.Account{AppID: "wx0123456789abcdef", Secret: custody.NewSecret(secret)}
	for _, body := range []string{
		`{}`, `[]`, `{"access_token":"` + token + `"}`, `{"openid":"o"}`, `{"access_token":1,"openid":"o"}`, `<html>` + code, "", `{"errcode":0}`,
		`{"session_key":"x"}`, `{"errcode":40029,"errmsg":"invalid code ` + code + ` ` + secret + `"}`, `{"openid":"other","nickname":"x"}`,
	} {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{{AppID: account.AppID, Secret: secret}}})
		wx.Inject(simulator.Fault{Body: body, Status: 200})
		api, err := platform.New(platform.Config{Base: wx.URL, Transport: wx.RoundTripper()})
		if err != nil {
			t.Fatal(err)
		}
		_, errCode := api.ExchangeCode(t.Context(), account, code)
		_, errMini := api.MiniSession(t.Context(), account, code)
		_, errInfo := api.UserInfo(t.Context(), account.AppID, platform.UserGrant{OpenID: "o", Token: custody.NewSecret(token)})
		if strings.HasSuffix(body, `"openid":"o"}`) {
			errInfo = errors.New("which is a profile without a name")
		}
		for _, err := range []error{errCode, errMini, errInfo} {
			if err == nil {
				t.Errorf("%s is an answer", body)
				continue
			}
			for _, private := range []string{secret, token} {
				if strings.Contains(err.Error(), private) {
					t.Errorf("%s: %v", body, err)
				}
			}
		}
		if errCode != nil && strings.Contains(errCode.Error(), code) || errMini != nil && strings.Contains(errMini.Error(), code) {
			t.Errorf("%s: %v, %v", body, errCode, errMini)
		}
	}
}
