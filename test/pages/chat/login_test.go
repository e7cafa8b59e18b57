package chat_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/internal/test/chattest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/test/pages/browsertest"
)

// newShop is a site whose pages need a login, of the desk's account.
func newShop(t *testing.T, d *chattest.Desk) (origin string) {
	t.Helper()
	client, err := wechat.New(wechat.Config{
		AppID: d.Account.AppID, AppSecret: wechat.Secret(d.Account.Secret), APIBase: d.Base, StoreURL: "memory:",
		Token: wechat.Secret(d.Account.Token), AESKey: wechat.Secret(d.Account.AESKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	login := client.Login(wechat.LoginConfig{})
	page := func(c *gin.Context, text string) {
		c.Data(http.StatusOK, "text/html; charset=utf-8", []byte(`<!DOCTYPE html><title>Shop</title><link rel="icon" href="data:,"><p id="who">`+text+`</p>`))
	}
	r.GET("/me", login, func(c *gin.Context) { page(c, wechat.UserOf(c).OpenID) })
	r.GET("/logout", login, func(c *gin.Context) {
		if err := wechat.Logout(c); err != nil {
			t.Error(err)
		}
		page(c, "gone")
	})
	r.GET("/named", login, func(c *gin.Context) {
		if !wechat.AskUserinfo(c) {
			page(c, wechat.UserOf(c).Nickname)
		}
	})
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		_ = client.Close()
	})
	return server.URL
}

// TestLoggingIn: somebody whom WeChat shows a snapshot is no user; a follower opens a link that the app has sent, logs in silently, is asked
// for the name by another page, refuses and then allows it.
func TestLoggingIn(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	shop := newShop(t, d)

	// A browser of which the simulator does not know whose it is, and a snapshot.
	stranger := browsertest.Open(t, shop+"/named", browsertest.Look{})
	stranger.Expect("403") // of the page that says what a snapshot is
	stranger.Await(browsertest.Has("p", "Silent authorization"))
	stranger.Click(`button[value="allow"]`)
	stranger.Await(browsertest.Has("p", "asks for your nickname"))
	stranger.Click(`button[value="snapshot"]`)
	stranger.Await(browsertest.Has("h1", "snapshot"))
	stranger.Go(shop + "/logout")

	who := d.Account.Followers[1]
	tab := browsertest.Open(t, d.URL+"?as="+who, browsertest.Look{})
	tab.Await(browsertest.Joined)
	d.WeChat.Hear(d.Account.AppID, simulator.Text("你好").By(who))
	d.Call("/cgi-bin/message/custom/send", `{"touser":"`+who+`","msgtype":"text","text":{"content":"看 `+shop+`/me?a=1"}}`)
	tab.Await(browsertest.Has(".bubble.app a", shop+"/me?a=1"))
	var link string
	tab.Eval(`document.querySelector(".bubble.app a").href`, &link)
	tab.Go(link)
	tab.Await(browsertest.Has("#who", who))
	tab.Await(`document.cookie === "" && !document.referrer.includes("code")`)
	tab.Await(`location.href.split("#")[0] === ` + browsertest.Quote(shop+"/me?a=1")) // WeChat's #wechat_redirect stays

	tab.Expect("403") // of the page for who refuses
	tab.Go(shop + "/named?b=2")
	tab.Await(browsertest.Has("form", "Allow"))
	tab.Await(`document.querySelector("select").value === ` + browsertest.Quote(who)) // whom WeChat knows
	tab.Click(`button[value="refuse"]`)
	tab.Await(browsertest.Has("h1", "did not consent"))
	tab.Click("a")
	tab.Await(browsertest.Has("form", "Allow"))
	tab.Click(`button[value="allow"]`)
	tab.Await(browsertest.Has("#who", "小"))
	tab.Await(`location.pathname === "/named" && !location.search.includes("code") && !document.referrer.includes("code")`)
}
