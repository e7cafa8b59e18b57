package chat_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/chattest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

var opens = regexp.MustCompile(`href="(/simulator/page/open\?[^"]*)"[^>]*>([^<]*)<`)

// TestOpenLink: a link that the app has sent is opened as the follower, whom the authorize
// page then knows; nothing else is opened.
func TestOpenLink(t *testing.T) {
	d := chattest.Start(t, simulator.Options{})
	who := d.Account.Followers[1]
	d.WeChat.Hear(d.Account.AppID, simulator.Text("你好").By(who))
	d.Call("/cgi-bin/message/custom/send", `{"touser":"`+who+`","msgtype":"text","text":{"content":"看 http://127.0.0.1:3100/me?a=1&b=2 或 javascript:alert(1)"}}`)
	d.Call("/cgi-bin/message/custom/send", `{"touser":"`+who+`","msgtype":"news","news":{"articles":[{"title":"指南","url":"https://shop.example/guide"},{"title":"坏","url":"javascript:alert(1)"}]}}`)
	d.Call("/cgi-bin/message/template/send", `{"touser":"`+who+`","template_id":"`+d.WeChat.Accounts()[0].Templates[0]+`","url":"https://shop.example/order","data":{}}`)
	_, page := d.Get("?as=" + who)
	found := map[string]string{} // text to address
	for _, m := range opens.FindAllStringSubmatch(page, -1) {
		found[html.UnescapeString(m[2])] = html.UnescapeString(m[1])
	}
	if len(found) != 3 || strings.Contains(page, `href="javascript:`) {
		t.Fatalf("links are %v", found)
	}
	for _, link := range []string{"http://127.0.0.1:3100/me?a=1&b=2", "https://shop.example/guide", "https://shop.example/order"} {
		w := open(t, d, found[link])
		if w.Code != http.StatusFound || w.Header().Get("Location") != link || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Fatalf("%s: %q, %d %v", link, found[link], w.Code, w.Header())
		}
		cookie, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
		if err != nil || cookie.Value != who {
			t.Fatalf("%s: %v, %v", link, cookie, err)
		}
		// At the authorize page the browser is this follower's: no question.
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, d.Base+"/connect/oauth2/authorize?appid="+d.Account.AppID+
			"&redirect_uri=http%3A%2F%2F127.0.0.1%3A3100%2Fme&response_type=code&scope=snsapi_base&state=1", nil)
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
		w = httptest.NewRecorder()
		d.WeChat.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusFound || !strings.HasPrefix(w.Header().Get("Location"), "http://127.0.0.1:3100/me?code=") {
			t.Errorf("the authorize page: %d %v", w.Code, w.Header())
		}
	}
	for _, wrong := range []string{
		chat.Path + "open", chat.Path + "open?url=https://evil.example", chat.Path + "open?bubble=1&link=-1&as=" + who,
		strings.Replace(found["https://shop.example/order"], "link=0", "link=9", 1), strings.Replace(found["https://shop.example/order"], who, d.Account.Followers[0], 1),
	} {
		if w := open(t, d, wrong); w.Code != http.StatusNotFound || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", wrong, w.Code, w.Header())
		}
	}
}

func open(t *testing.T, d *chattest.Desk, address string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
	w := httptest.NewRecorder()
	d.Page.Handler().ServeHTTP(w, r)
	return w
}
