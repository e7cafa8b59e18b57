//go:build unix

package examples_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// carriedOut reports whether WeChat was called at a path with what holds a text, and did it.
func carriedOut(wx *simtest.Sim, path, text string) bool {
	for _, e := range wx.Events() {
		if e.Path == path && e.Errcode == 0 && strings.Contains(e.Request, text) {
			return true
		}
	}
	return false
}

func jobVerify(t *testing.T, j *job) {
	printed, _ := j.does(t, newSimulator(t))
	says(t, printed, "✓ verified")
}

func jobMenu(t *testing.T, j *job) {
	wx := newSimulator(t)
	printed, _ := j.does(t, wx)
	says(t, printed, "the follower sees: 今天推荐：红烧肉")
	says(t, wx.Menu(appid), "今日推荐", "官网")
}

func jobReply(t *testing.T, j *job) {
	wx := newSimulator(t)
	dir, env := t.TempDir(), configured(wx)
	address, _ := j.start(t, dir, env)
	printed := j.try(t, 0, dir, env, "127.0.0.1:3100", address)
	says(t, printed, "the follower sees: 北京：晴，26°C", "the follower sees: 欢迎关注！", "the app replied with image", "the follower sees: 正在处理，请稍候")
	patience.Until(t, "the late answer", func() bool { return carriedOut(wx, "/cgi-bin/message/custom/send", "报表好了") })
}

func jobTemplate(t *testing.T, j *job) {
	wx := newSimulator(t)
	printed, out := j.does(t, wx)
	says(t, printed, "✓ silent")
	if !carriedOut(wx, "/cgi-bin/message/template/send", "下单成功") {
		t.Error("no template message was sent")
	}
	says(t, out.String(), "template message 200163836: success")
}

func jobQRCode(t *testing.T, j *job) {
	printed, _ := j.does(t, newSimulator(t))
	if strings.Count(printed, "the follower sees: 来自 table-7") != 2 {
		t.Errorf("the bot does not learn the scene twice:\n%s", printed)
	}
}

func jobCrowd(t *testing.T, j *job) {
	wx := newSimulator(t)
	if printed, _ := j.does(t, wx); strings.TrimSpace(printed) != "50" {
		t.Errorf("50 followers get %s coupons", printed)
	}
}

func jobLogin(t *testing.T, j *job) {
	wx := newSimulator(t)
	address, _ := j.start(t, t.TempDir(), append(configured(wx), "WECHAT_OPEN_BASE="+wx.URL, "WECHAT_ORIGIN=http://shop.example"))
	if page := newPhone(t, "http://"+address, wx).open("/orders"); !strings.HasPrefix(page, "openid: o") {
		t.Errorf("the silent page is %q", page)
	}
	if page := newPhone(t, "http://"+address, wx).open("/me"); page != "你好，小明！\n" {
		t.Errorf("the page is %q", page)
	}
}

func jobMiniLogin(t *testing.T, j *job) {
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: appid, Secret: secret, Kind: simulator.MiniProgram}}})
	printed, _ := j.does(t, wx)
	says(t, printed, `"orders":[]`, `"since":"20`)
}

func jobJSSDK(t *testing.T, j *job) {
	wx := newSimulator(t)
	printed, _ := j.does(t, wx)
	var config wechat.JSConfig
	if err := json.Unmarshal([]byte(printed), &config); err != nil {
		t.Fatal(err, printed)
	}
	ticket, _ := wx.Ticket(appid, simulator.JSAPI)
	if want := platform.JSSignature(ticket, config.NonceStr, config.Timestamp, "https://shop.example/orders?id=1"); config.Signature != want {
		t.Errorf("%+v is not signed for the page", config)
	}
}

func jobUpload(t *testing.T, j *job) {
	wx := newSimulator(t)
	dir, env := t.TempDir(), configured(wx)
	if err := os.WriteFile(filepath.Join(dir, "cat.png"), []byte("\x89PNG\r\n\x1a\nmade up"), 0o600); err != nil {
		t.Fatal(err)
	}
	address, _ := j.start(t, dir, env)
	says(t, j.try(t, 0, dir, env, "127.0.0.1:3100", address), "the same")
}

// accounts writes a file of variables, as the simulator and the commands read it.
func accounts(t *testing.T, dir string, lines []string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "accounts.env"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func jobAccounts(t *testing.T, j *job) {
	const news = "wx00000000000000bb"
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{AppID: appid, Secret: secret, Token: token}, {AppID: news, Secret: secret, Token: token}}})
	env := []string{"WECHAT_API_BASE=" + wx.URL}
	var file []string
	for name, id := range map[string]string{"SHOP": appid, "NEWS": news} {
		file = append(file, name+"_APPID="+id, name+"_APPSECRET="+secret, name+"_TOKEN="+token)
	}
	dir := t.TempDir()
	accounts(t, dir, file)
	address, _ := j.start(t, dir, append(file, env...))
	says(t, j.try(t, 0, dir, env, "127.0.0.1:3100", address), "the follower sees: 这里是商城", appid+": [", news+": [")
}

func jobNetHTTP(t *testing.T, j *job) {
	printed, _ := j.does(t, newSimulator(t))
	says(t, printed, "the follower sees: 收到：你好", `"ip_list":[`)
}

func jobWeCom(t *testing.T, j *job) {
	exported, _, _ := strings.Cut(strings.TrimPrefix(j.block(t, "sh", 0), "export "), "\n")
	app := map[string]string{}
	for word := range strings.FieldsSeq(exported) {
		name, value, _ := strings.Cut(word, "=")
		app[name] = value
	}
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{{
		AppID: app["WECOM_CORPID"] + ":" + app["WECOM_AGENTID"], Kind: simulator.WeCom,
		Secret: app["WECOM_SECRET"], Token: app["WECOM_TOKEN"], AESKey: app["WECOM_AES_KEY"],
	}}})
	env := strings.Fields(strings.ReplaceAll(exported, app["WECOM_API_BASE"], wx.URL))
	dir := t.TempDir()
	address, _ := j.start(t, dir, env)
	says(t, j.try(t, 0, dir, env, "127.0.0.1:3100", address, "http://127.0.0.1:3200", wx.URL), "收到：请假", "sent")
	if !carriedOut(wx, "/cgi-bin/message/send", "别忘了开会") {
		t.Error("the member got no message")
	}
}

func jobMoving(t *testing.T, j *job) {
	wx := newSimulator(t)
	dir := t.TempDir()
	old := fmt.Sprintf(`{"access_token":%q,"expires_in":%d}`, wx.SupersedeStable(appid), time.Now().Add(time.Hour).UnixMilli())
	if err := os.WriteFile(filepath.Join(dir, "wechat.json"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	before := wx.Stats(appid).Stable.Calls
	env := append(configured(wx), "ZHONGKONG_STORE=")
	address, _ := j.start(t, dir, env)
	says(t, j.try(t, 0, dir, env, "127.0.0.1:3100", address), "ip_list")
	if n := wx.Stats(appid).Stable.Calls; n != before {
		t.Errorf("%d fetches although the old token lives", n-before)
	}
}

func jobGateway(t *testing.T, j *job) {
	address := freeAddress(t)
	wx := simtest.New(t, simulator.Options{Accounts: []simulator.Account{
		{AppID: appid, Secret: secret, Token: token, AESKey: aesKey},
		{AppID: "ww0123456789abcdef:1000002", Kind: simulator.WeCom, Secret: secret, Token: token, AESKey: aesKey},
	}})
	app := "accounts:\n  - {corpid: ww0123456789abcdef, agentid: \"1000002\", secret: \"" + secret + "\"}\n"
	dir := j.serve(t, wx, address, "accounts:\n", app)
	says(t, j.try(t, 1, dir, nil, "127.0.0.1:8300", address), `"access_token":"`, `"expires_in":7200`, "ip_list")
	says(t, j.try(t, 2, dir, nil, "127.0.0.1:8300", address), `"access_token":"`, `"errcode":0`)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Log("left out: there is no node")
		return
	}
	program := strings.ReplaceAll(j.block(t, "js", 0), "127.0.0.1:8300", address)
	if err := os.WriteFile(filepath.Join(dir, "app.mjs"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "app.mjs")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("node: %v", err)
	}
	says(t, string(out), "ip_list")
}

func jobFixedIP(t *testing.T, j *job) {
	address := freeAddress(t)
	dir := j.serve(t, newSimulator(t), address)
	says(t, j.try(t, 1, dir, nil, "127.0.0.1:8300", address), "ip_list", `"errcode":48001`, "n8n is revoked")
}

// subscriber answers every text with its name.
func subscriber(t *testing.T, name string) (address string) {
	t.Helper()
	bot := callback.NewRouter()
	bot.Text("*", func(c *callback.Context) error { return c.ReplyText(name) })
	verifier, err := callback.NewVerifier(callback.Config{Token: custody.NewSecret(token)})
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := callback.NewEndpoint(callback.EndpointConfig{Verifier: verifier, Router: bot})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(endpoint)
	t.Cleanup(func() {
		server.Close()
		if err := endpoint.Shutdown(t.Context()); err != nil {
			t.Log(err) // the test's context has ended
		}
	})
	return server.Listener.Addr().String()
}

func jobEnvironments(t *testing.T, j *job) {
	address, live, test := freeAddress(t), subscriber(t, "生产环境"), subscriber(t, "测试环境")
	dir := j.serve(t, newSimulator(t), address, "127.0.0.1:3100", live, "127.0.0.1:3101", test)
	env := []string{"WECHAT_APPID=" + appid, "WECHAT_TOKEN=" + token, "WECHAT_AES_KEY=" + aesKey}
	printed := j.try(t, 1, dir, env, "127.0.0.1:8300", address)
	says(t, printed, "the follower sees: 测试环境", "the follower sees: 生产环境")
}

func jobSites(t *testing.T, j *job) {
	wx := newSimulator(t)
	address := freeAddress(t)
	dir := j.serve(t, wx, address, "https://login.example", "http://"+address, "login:\n", "login:\n  open_base: "+wx.URL+"\n")
	says(t, j.try(t, 1, dir, nil, "127.0.0.1:8300", address), wx.URL+"/connect/oauth2/authorize?appid="+appid)

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	at := "http://" + address + "/login/shop?redirect_uri=https://shop.example/back&state=1"
	for hops := 0; !strings.HasPrefix(at, "https://shop.example/") && hops < 5; hops++ {
		if strings.HasPrefix(at, wx.URL) {
			if at, err = wx.Authorize(at, simulator.Consent{}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		at = res.Header.Get("Location")
	}
	back, err := url.Parse(at)
	if err != nil || back.Query().Get("state") != "1" {
		t.Fatalf("the browser ends at %s, %v", at, err)
	}
	env := []string{"TICKET=" + back.Query().Get("ticket")}
	says(t, j.try(t, 2, dir, env, "127.0.0.1:8300", address), `"openid":"o`)
}

func jobUpgrade(t *testing.T, j *job) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "zhongkong.yaml"), []byte(j.block(t, "yaml", 0)), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, j.try(t, 0, dir, nil), ", the newest")
	says(t, j.try(t, 1, dir, nil), "one step back")
	says(t, j.try(t, 0, dir, nil), ", the newest")
}

func jobDoctor(t *testing.T, j *job) {
	wx := newSimulator(t)
	dir, env := t.TempDir(), configured(wx)
	address, _ := readJob(t, "reply").start(t, dir, env)
	says(t, j.try(t, 0, dir, env, "127.0.0.1:3100", address), appid, "40164")
	says(t, j.try(t, 1, dir, env, "http://127.0.0.1:3200", wx.URL), "40164", "127.0.0.1", "there is a problem")
}
