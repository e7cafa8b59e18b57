package gateway_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestDetour: with api.weixin.qq.com away, tokens are fetched from and calls carried to
// api2.weixin.qq.com, with bodies and with the AppSecret, and no program notices.
func TestDetour(t *testing.T) {
	wx := weChat(t, simulator.Options{})
	var strange atomic.Int64
	transport := testserver.Network(t, map[string]http.Handler{
		"api.weixin.qq.com": nil,
		"api2.weixin.qq.com": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "api2.weixin.qq.com" {
				strange.Add(1)
			}
			wx.Handler().ServeHTTP(w, r)
		}),
	})
	w := join(t, wx, memory.New(), func(c *gateway.Config) { c.APIBase, c.Transport = "", transport })
	key := w.client(gateway.Client{Name: "shop"})
	token := w.token(key)
	form, kind := upload(t, 300<<10)
	for name, got := range map[string]reply{
		"get":              w.get(domainIP + "?access_token=" + token),
		"post":             w.post("/cgi-bin/menu/create?access_token="+token, `{"button":[{"type":"click","name":"菜单","key":"V1"}]}`),
		"a body on disk":   w.post("/cgi-bin/media/upload?type=image&access_token="+token, string(form), "Content-Type", kind),
		"without a length": w.send(http.MethodPost, "/cgi-bin/menu/create?access_token="+token, struct{ *strings.Reader }{strings.NewReader(`{"button":[{"type":"click","name":"a","key":"b"}]}`)}),
		"a ticket":         w.get(simulator.TicketPath + "?type=jsapi&access_token=" + token),
	} {
		if got.status != http.StatusOK || got.Errcode != 0 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := w.get("/sns/jscode2session?appid=" + appID + "&secret=" + key +
		"&js_code=x&grant_type=authorization_code"); strings.Contains(got.body, "zhongkong") {
		t.Errorf("a login did not reach WeChat: %s", got.body)
	}
	if w.issued() != 1 || strange.Load() != 0 {
		t.Errorf("%d tokens were issued, want 1; %d requests named another host", w.issued(), strange.Load())
	}
	w.mustNotShow(key, token, appSecret)
}
