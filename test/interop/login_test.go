package interop

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	chanxuehongoauth "github.com/chanxuehong/wechat/mp/oauth2"
	oauth2 "github.com/chanxuehong/wechat/oauth2"
	wechat "github.com/silenceper/wechat/v2"
	"github.com/silenceper/wechat/v2/cache"
	miniconfig "github.com/silenceper/wechat/v2/miniprogram/config"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

const shopURL = "https://shop.example/back?a=1"

// consent opens an address of the authorize page and returns the code that comes back.
func consent(t *testing.T, wx *simtest.Sim, address string) string {
	t.Helper()
	location, err := wx.Authorize(address, simulator.Consent{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, shopURL+"&") || u.Query().Get("state") != "abc" {
		t.Fatalf("the browser is sent to %s, %v", location, err)
	}
	return u.Query().Get("code")
}

// TestLoginSilenceper: the SDK's web login as it is.
func TestLoginSilenceper(t *testing.T) {
	wx, at := simulate(t, 0)
	oauth := openSilenceper(t, at, false).GetOauth()
	address, err := oauth.GetRedirectURL(shopURL, "snsapi_userinfo", "abc")
	if err != nil {
		t.Fatal(err)
	}
	code := consent(t, wx, address)
	token, err := oauth.GetUserAccessToken(code)
	if err != nil || token.OpenID != wx.Account().Followers[0] {
		t.Fatalf("%+v, %v", token, err)
	}
	if user, err := oauth.GetUserInfo(token.AccessToken, token.OpenID, "zh_CN"); err != nil || user.Nickname == "" {
		t.Errorf("%+v, %v", user, err)
	}
	if valid, err := oauth.CheckAccessToken(token.AccessToken, token.OpenID); err != nil || !valid {
		t.Errorf("CheckAccessToken: %v, %v", valid, err)
	}
	if newer, err := oauth.RefreshAccessToken(token.RefreshToken); err != nil || newer.AccessToken != token.AccessToken {
		t.Errorf("RefreshAccessToken: %+v, %v", newer, err)
	}
	if _, err := oauth.GetUserAccessToken(code); err == nil || !strings.Contains(err.Error(), "40163") {
		t.Errorf("the same code again: %v", err)
	}
}

// TestLoginSilenceperMini: the SDK's mini program login, with the decryption of what the
// simulator's front end has encrypted.
func TestLoginSilenceperMini(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{
		{AppID: "wx00000000000000aa", Secret: "00000000000000000000000000000000", Kind: simulator.MiniProgram, OpenPlatform: "shop"},
	}})
	at := targetOf(wx)
	openSilenceper(t, at, false) // which points the package at the simulator
	mini := wechat.NewWechat().GetMiniProgram(&miniconfig.Config{AppID: at.AppID, AppSecret: at.Secret, Cache: cache.NewMemory()})
	session, err := mini.GetAuth().Code2Session(wx.MiniCode(at.AppID, ""))
	if err != nil || session.OpenID != wx.Account().Followers[0] || session.UnionID == "" {
		t.Fatalf("%+v, %v", session, err)
	}
	data, err := wx.UserData(at.AppID, session.OpenID)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := mini.GetEncryptor().Decrypt(session.SessionKey, data.EncryptedData, data.IV)
	if err != nil || plain.OpenID != session.OpenID || plain.UnionID != session.UnionID {
		t.Errorf("%+v, %v", plain, err)
	}
	phone, err := mini.GetAuth().GetPhoneNumber(wx.PhoneCode(at.AppID, session.OpenID))
	if err != nil || phone.PhoneInfo.PurePhoneNumber != simulator.PhoneNumber(session.OpenID) {
		t.Errorf("%+v, %v", phone, err)
	}
}

// TestLoginPowerWeChat: the SDK's web login, which sorts its parameters, adds
// connect_redirect and leaves the return address as it is: an & in it would end it.
func TestLoginPowerWeChat(t *testing.T) {
	wx, at := simulate(t, 0)
	app := openPowerWeChat(t, at, false)
	app.OAuth.SetBaseUrl(at.URL + "/sns")
	app.OAuth.SetScopes([]string{"snsapi_userinfo"})
	app.OAuth.WithState("abc")
	address, err := app.OAuth.Redirect(shopURL)
	if err != nil {
		t.Fatal(err)
	}
	user, err := app.OAuth.UserFromCode(consent(t, wx, address))
	if err != nil || user.GetOpenID() != wx.Account().Followers[0] || user.GetNickname() == "" {
		t.Errorf("%+v, %v", user, err)
	}
}

// TestLoginChanxuehong: the SDK's web login, through an http.Client that reaches the
// simulator.
func TestLoginChanxuehong(t *testing.T) {
	wx, at := simulate(t, 0)
	host, err := url.Parse(at.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := &oauth2.Client{
		Endpoint:   chanxuehongoauth.NewEndpoint(at.AppID, at.Secret),
		HttpClient: &http.Client{Transport: elsewhere{host}},
	}
	token, err := client.ExchangeToken(consent(t, wx, chanxuehongoauth.AuthCodeURL(at.AppID, shopURL, "snsapi_userinfo", "abc")))
	if err != nil || token.OpenId != wx.Account().Followers[0] {
		t.Fatalf("%+v, %v", token, err)
	}
	user, err := chanxuehongoauth.GetUserInfo(token.AccessToken, token.OpenId, "", client.HttpClient)
	if err != nil || user.Nickname == "" {
		t.Errorf("%+v, %v", user, err)
	}
}
