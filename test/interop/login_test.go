package interop

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	chanxuehongoauth "github.com/chanxuehong/wechat/mp/oauth2"
	oauth2 "github.com/chanxuehong/wechat/oauth2"
	wechat "github.com/silenceper/wechat/v2"
	"github.com/silenceper/wechat/v2/cache"
	miniconfig "github.com/silenceper/wechat/v2/miniprogram/config"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logintest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const shopURL = "https://shop.example/back?a=1"

// way is how people log in: by WeChat itself, or by a gateway's relay, for which an SDK is
// given other hosts and a client's key, and nothing else.
type way struct {
	at     target
	openid string
	open   func(t *testing.T, address string) (location string)
}

// ways are both, each with a WeChat of its own.
func ways(t *testing.T, test func(t *testing.T, w way)) {
	t.Run("WeChat", func(t *testing.T) {
		wx, at := simulate(t, 0)
		test(t, way{at: at, openid: wx.Account().Followers[0], open: func(t *testing.T, address string) string {
			t.Helper()
			location, err := wx.Authorize(address, simulator.Consent{})
			if err != nil {
				t.Fatal(err)
			}
			return location
		}})
	})
	t.Run("relay", func(t *testing.T) {
		wx, at := simulate(t, 0)
		store := memory.New()
		clients := gateway.NewClients(store, "test")
		key, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{at.AppID}, Returns: []string{"https://shop.example/back"}})
		if err != nil {
			t.Fatal(err)
		}
		g, err := gateway.New(t.Context(), gateway.Config{
			Accounts: []gateway.Account{{AppID: at.AppID, Secret: custody.NewSecret(at.Secret)}},
			Store:    store, SealKeys: []custody.Secret{custody.NewSecret("0123456789abcdef0123456789abcdef")}, APIBase: wx.URL,
		})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(g)
		t.Cleanup(func() {
			server.Close()
			_, _ = g.Close(), store.Close()
		})
		test(t, way{
			at: target{URL: server.URL, AppID: at.AppID, Secret: key.Reveal()}, openid: wx.Account().Followers[0],
			open: func(t *testing.T, address string) string {
				t.Helper()
				// The SDK names WeChat's host, which leads to the relay, as a configured host or DNS does.
				u, err := url.Parse(address)
				if err != nil {
					t.Fatal(err)
				}
				b := logintest.New(t, wx.Simulator, map[string]http.Handler{server.URL: g, "https://shop.example": http.NotFoundHandler()})
				location, page := b.Until(server.URL+u.RequestURI(), "https://shop.example")
				if page != nil {
					t.Fatalf("%d %s", page.Code, page.Body)
				}
				return location
			},
		})
	})
}

// consent opens an address of the authorize page and returns the code that comes back.
func (w way) consent(t *testing.T, address string) string {
	t.Helper()
	location := w.open(t, address)
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, shopURL+"&") || u.Query().Get("state") != "abc" {
		t.Fatalf("the browser is sent to %s, %v", location, err)
	}
	return u.Query().Get("code")
}

// TestLoginSilenceper: the SDK's web login as it is.
func TestLoginSilenceper(t *testing.T) {
	ways(t, func(t *testing.T, w way) {
		oauth := openSilenceper(t, w.at, false).GetOauth()
		address, err := oauth.GetRedirectURL(shopURL, "snsapi_userinfo", "abc")
		if err != nil {
			t.Fatal(err)
		}
		code := w.consent(t, address)
		token, err := oauth.GetUserAccessToken(code)
		if err != nil || token.OpenID != w.openid {
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
	})
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
	if err != nil || phone.PhoneInfo.PurePhoneNumber != wx.PhoneNumber(session.OpenID) {
		t.Errorf("%+v, %v", phone, err)
	}
}

// TestLoginPowerWeChat: the SDK's web login, which sorts its parameters, adds
// connect_redirect and leaves the return address as it is: an & in it would end it.
func TestLoginPowerWeChat(t *testing.T) {
	ways(t, func(t *testing.T, w way) {
		app := openPowerWeChat(t, w.at, false)
		app.OAuth.SetBaseUrl(w.at.URL + "/sns")
		app.OAuth.SetScopes([]string{"snsapi_userinfo"})
		app.OAuth.WithState("abc")
		address, err := app.OAuth.Redirect(shopURL)
		if err != nil {
			t.Fatal(err)
		}
		user, err := app.OAuth.UserFromCode(w.consent(t, address))
		if err != nil || user.GetOpenID() != w.openid || user.GetNickname() == "" {
			t.Errorf("%+v, %v", user, err)
		}
	})
}

// TestLoginChanxuehong: the SDK's web login, through an http.Client that leads elsewhere.
func TestLoginChanxuehong(t *testing.T) {
	ways(t, func(t *testing.T, w way) {
		host, err := url.Parse(w.at.URL)
		if err != nil {
			t.Fatal(err)
		}
		client := &oauth2.Client{
			Endpoint:   chanxuehongoauth.NewEndpoint(w.at.AppID, w.at.Secret),
			HttpClient: &http.Client{Transport: elsewhere{host}},
		}
		token, err := client.ExchangeToken(w.consent(t, chanxuehongoauth.AuthCodeURL(w.at.AppID, shopURL, "snsapi_userinfo", "abc")))
		if err != nil || token.OpenId != w.openid {
			t.Fatalf("%+v, %v", token, err)
		}
		user, err := chanxuehongoauth.GetUserInfo(token.AccessToken, token.OpenId, "", client.HttpClient)
		if err != nil || user.Nickname == "" {
			t.Errorf("%+v, %v", user, err)
		}
	})
}

// TestLoginCoWechatOAuth: the npm package's web login as it is.
func TestLoginCoWechatOAuth(t *testing.T) {
	if why := npmMissing(t); why != "" {
		t.Skip(why)
	}
	ways(t, func(t *testing.T, w way) {
		p := startPeer(t, w.at)
		var address string
		if err := p.ask(t.Context(), "authorizeURL", map[string]string{"redirect": shopURL, "state": "abc", "scope": "snsapi_userinfo"}, &address); err != nil {
			t.Fatal(err)
		}
		code := w.consent(t, address)
		var user struct{ OpenID, Nickname string }
		if err := p.ask(t.Context(), "userByCode", map[string]string{"code": code}, &user); err != nil || user.OpenID != w.openid || user.Nickname == "" {
			t.Errorf("%+v, %v", user, err)
		}
		if err := p.ask(t.Context(), "userByCode", map[string]string{"code": code}, &user); err == nil || !strings.Contains(err.Error(), "40163") {
			t.Errorf("the same code again: %v", err)
		}
	})
}
