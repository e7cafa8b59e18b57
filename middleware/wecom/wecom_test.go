package wecom_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/middleware/wecom"
	"github.com/zhongkong-go/zhongkong/platform"
	corp "github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func init() { gin.SetMode(gin.TestMode) }

const (
	corpID   = "ww0123456789abcdef"
	token    = "QDG6eK"
	aesKey   = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
	official = "wx0123456789abcdef"
)

func agent(id int) simulator.Account {
	return simulator.Account{
		AppID: fmt.Sprintf("%s:%d", corpID, id), Kind: simulator.WeCom, Secret: fmt.Sprintf("madeUpSecretOfAgent%024d", id),
		Token: token, AESKey: aesKey, Followers: []string{"zhangsan", "lisi"},
	}
}

// world is a WeCom with two apps of one corp, and an official account beside them.
func world(t *testing.T) *simtest.Sim {
	t.Helper()
	return simtest.New(t, simulator.Options{Seed: 1, Accounts: []simulator.Account{
		agent(1000002), agent(1000003), {AppID: official, Secret: "0123456789abcdef0123456789abcdef", Token: token, AESKey: aesKey},
	}})
}

func config(wx *simtest.Sim, id int, store custody.Store) wecom.Config {
	return wecom.Config{
		CorpID: corpID, AgentID: fmt.Sprint(id), Secret: wecom.Secret(agent(id).Secret), Token: wecom.Secret(token), AESKey: wecom.Secret(aesKey),
		APIBase: wx.URL, Store: store, Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, cfg wecom.Config) *wecom.Client {
	t.Helper()
	client, err := wecom.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func push(t *testing.T, wx *simtest.Sim, p simulator.Push) simulator.Result {
	t.Helper()
	result, err := wx.Deliver(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestOneEngine: two apps of one corp and an official account live on one engine and one
// store: each answers at its own path with its own keys, and calls with its own token.
func TestOneEngine(t *testing.T) {
	t.Parallel()
	wx := world(t)
	store := memory.New()
	bot := func(name string) *callback.Router {
		r := callback.NewRouter()
		r.Text("*", func(c *callback.Context) error { return c.ReplyText(name + ": " + c.Message.Content) })
		r.Event(wecom.EnterAgent, func(c *callback.Context) error {
			return c.ReplyText(wecom.From(c).Status().Key.AppID + " " + c.Message.AgentID)
		})
		return r
	}
	first, second := config(wx, 1000002, store), config(wx, 1000003, store)
	first.Messages = bot("first")
	second.Messages, second.ContextKey, second.CallbackPath = bot("second"), "second", "/second"
	r := gin.New()
	a, b := open(t, first), open(t, second)
	third, err := wechat.New(wechat.Config{
		AppID: official, AppSecret: wechat.Secret("0123456789abcdef0123456789abcdef"), Token: wechat.Secret(token), AESKey: wechat.Secret(aesKey),
		APIBase: wx.URL, Store: store, CallbackPath: "/wx", Messages: bot("official"), Logger: first.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = third.Close() }()
	r.Use(a.Middleware(), b.Middleware(), third.Middleware())
	r.GET("/members", func(c *gin.Context) {
		var member struct {
			Name string `json:"name"`
		}
		wx := c.MustGet("wecom").(*wecom.Client)
		if err := wx.Get(c.Request.Context(), "/cgi-bin/user/get", url.Values{"userid": {"lisi"}}, &member); err != nil {
			c.String(http.StatusBadGateway, err.Error())
			return
		}
		_, official := c.MustGet("wechat").(*wechat.Client)
		c.String(http.StatusOK, "%s %t %t", member.Name, c.MustGet("second") != any(wx), official)
	})
	server := httptest.NewServer(r)
	defer server.Close()

	for _, c := range []struct{ appID, path, name string }{
		{corpID + ":1000002", "/wecom", "first"}, {corpID + ":1000003", "/second", "second"}, {official, "/wx", "official"},
	} {
		verified, err := wx.Verify(t.Context(), simulator.Push{AppID: c.appID, URL: server.URL + c.path})
		if err != nil || verified.Verdict != simulator.Verified {
			t.Errorf("%s: %v, %v", c.appID, verified, err)
		}
		if got := push(t, wx, simulator.Push{AppID: c.appID, URL: server.URL + c.path, Message: simulator.Text("你好")}); got.Sees != c.name+": 你好" {
			t.Errorf("%s: %v", c.appID, got)
		}
	}
	entered := push(t, wx, simulator.Push{AppID: corpID + ":1000003", URL: server.URL + "/second", Message: simulator.Notice("enter_agent", simulator.Field{Name: "EventKey", Value: ""})})
	if want := corpID + ":1000003 1000003"; entered.Sees != want {
		t.Errorf("enter_agent: %v, want %q", entered, want)
	}
	resp, err := http.Get(server.URL + "/members")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != "lisi true true" {
		t.Errorf("a handler answers %q", body)
	}
	if one, two := mustToken(t, a), mustToken(t, b); one == two || !wx.Accepts(one) || !wx.Accepts(two) {
		t.Error("two apps have one token, or a dead one")
	}
}

// TestLogNamesTheProduct: what the log says of an app's callbacks is about WeCom.
func TestLogNamesTheProduct(t *testing.T) {
	t.Parallel()
	log := new(logtest.Log)
	cfg := config(world(t), 1000002, memory.New())
	cfg.Logger = log.Logger(slog.LevelWarn)
	r := gin.New()
	r.Use(open(t, cfg).Middleware())
	for _, path := range []string{"/wecom", "/elsewhere"} {
		r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path+"?msg_signature=0&timestamp=1&nonce=2", strings.NewReader("<xml>")))
	}
	for _, code := range []string{"wecom_callback_refused", "wecom_callback_elsewhere"} {
		if !strings.Contains(log.String(), "log_code="+code) {
			t.Errorf("no %s in %s", code, log)
		}
	}
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, "product=WeCom") || !strings.Contains(line, "appid="+corpID+":1000002") || strings.Contains(line, "wechat_") || strings.Contains(line, "WeChat's came") {
			t.Errorf("a line about a callback: %s", line)
		}
	}
}

func mustToken(t *testing.T, c *wecom.Client) string {
	t.Helper()
	token, err := c.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.Value()
}

// TestAttacks: each forgery is refused, of messages and of verifications, and no handler
// sees it.
func TestAttacks(t *testing.T) {
	t.Parallel()
	wx := world(t)
	var handled atomic.Int32
	cfg := config(wx, 1000002, memory.New())
	cfg.Messages = callback.NewRouter()
	cfg.Messages.Default(func(c *callback.Context) error { handled.Add(1); return c.ReplyText("ok") })
	r := gin.New()
	r.Use(open(t, cfg).Middleware())
	for _, attack := range simulator.Attacks() {
		before := handled.Load()
		got := push(t, wx, simulator.Push{Handler: r, URL: "http://app.example/wecom", Message: simulator.Text(string(attack)), Attack: attack})
		if !got.OK() {
			t.Errorf("%s: %v", attack, got)
		}
		if n := handled.Load() - before; attack == simulator.Replay && n != 1 || attack != simulator.Replay && n != 0 {
			t.Errorf("%s: handled %d times", attack, n)
		}
	}
	for _, attack := range []simulator.Attack{simulator.WrongSignature, simulator.ForeignAppID} {
		got, err := wx.Verify(t.Context(), simulator.Push{Handler: r, URL: "http://app.example/wecom", Attack: attack})
		if err != nil || got.Verdict != simulator.Refused {
			t.Errorf("a verification, %s: %v, %v", attack, got, err)
		}
	}
}

// TestReceiveIDs: messages for another corp, a suite or nobody are refused, unless the set of
// receive ids has them.
func TestReceiveIDs(t *testing.T) {
	t.Parallel()
	const suite = "ww4asffe99e54c0f4c"
	for _, c := range []struct {
		accepted []string
		receiver string
		good     bool
	}{
		{nil, corpID, true},
		{nil, "ww00000000f0e16000", false},
		{nil, suite, false},
		{[]string{corpID, suite}, suite, true},
		{[]string{corpID, suite}, "ww00000000f0e16000", false},
		{[]string{""}, corpID, false},
	} {
		wx := world(t)
		if err := wx.Update(corpID+":1000002", func(a *simulator.Account) { a.ReceiverID = c.receiver }); err != nil {
			t.Fatal(err)
		}
		cfg := config(wx, 1000002, memory.New())
		cfg.ReceiveIDs = c.accepted
		cfg.Messages = callback.NewRouter()
		cfg.Messages.Default(func(c *callback.Context) error { return c.ReplyText("ok") })
		r := gin.New()
		r.Use(open(t, cfg).Middleware())
		got := push(t, wx, simulator.Push{Handler: r, URL: "http://app.example/wecom", Message: simulator.Text("x"), Deliveries: 1})
		verified, err := wx.Verify(t.Context(), simulator.Push{Handler: r, URL: "http://app.example/wecom"})
		if err != nil || (got.Verdict == simulator.Replied) != c.good || (verified.Verdict == simulator.Verified) != c.good {
			t.Errorf("%q for %q: %v; %v, %v", c.accepted, c.receiver, got, verified, err)
		}
		if status := got.Deliveries[0].Status; !c.good && status != http.StatusForbidden {
			t.Errorf("%q for %q: status %d", c.accepted, c.receiver, status)
		}
	}
}

// TestVector: Tencent's own sample of a verification gets its answer from the corp that it is
// for, and from no other corp, suite or bot. What is for nobody is taken by bots alone.
func TestVector(t *testing.T) {
	t.Parallel()
	const sampleCorp, suite, echo = "wx5823bf96d3bd56c7", "ww4asffe99e54c0f4c", "1616140317555161061"
	sample := url.Values{
		"msg_signature": {"5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3"}, "timestamp": {"1409659589"}, "nonce": {"263014780"},
		"echostr": {"P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="},
	}
	anybody, err := callback.NewVerifier(callback.Config{
		AppID: sampleCorp, WeCom: true, Receivers: []string{""}, Token: custody.NewSecret(token), AESKey: custody.NewSecret(aesKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := anybody.Seal(callback.Pair{}, "1409659589", "263014780", []byte(echo))
	if err != nil {
		t.Fatal(err)
	}
	forNobody := url.Values{
		"msg_signature": {sealed.MsgSignature}, "timestamp": {sealed.TimeStamp}, "nonce": {sealed.Nonce}, "echostr": {sealed.Encrypt},
	}
	wx := world(t)
	for _, c := range []struct {
		corp     string
		accepted []string
		sample   bool // is answered
		nobody   bool
	}{
		{sampleCorp, nil, true, false},
		{corpID, nil, false, false},
		{corpID, []string{corpID, suite}, false, false},
		{sampleCorp, []string{suite}, false, false},
		{corpID, []string{suite, sampleCorp}, true, false},
		{sampleCorp, []string{""}, false, true},
		{sampleCorp, []string{"", sampleCorp}, true, true},
	} {
		cfg := config(wx, 1000002, memory.New())
		cfg.CorpID, cfg.ReceiveIDs = c.corp, c.accepted
		r := gin.New()
		r.Use(open(t, cfg).Middleware())
		for query, good := range map[string]bool{sample.Encode(): c.sample, forNobody.Encode(): c.nobody} {
			got := httptest.NewRecorder()
			r.ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/wecom?"+query, nil))
			if good && (got.Code != http.StatusOK || got.Body.String() != echo) || !good && (got.Code != http.StatusForbidden || strings.Contains(got.Body.String(), echo)) {
				t.Errorf("%s with %q, answered %t: %d %s", c.corp, c.accepted, good, got.Code, got.Body)
			}
		}
	}
}

// TestBot: a bot (智能机器人) gets JSON that is for nobody, and answers JSON in its own envelope.
// An app that is none refuses it.
func TestBot(t *testing.T) {
	t.Parallel()
	wx := world(t)
	message := simulator.Message{Raw: `{"msgid":"m1","aibotid":"b","from":{"userid":"zhangsan"},"msgtype":"text","text":{"content":"你好"}}`}
	for _, ids := range [][]string{{""}, nil} {
		cfg := config(wx, 1000002, memory.New())
		cfg.ReceiveIDs = ids
		r := gin.New()
		r.Use(open(t, cfg).Middleware())
		bot := callback.NewRouter()
		bot.Text("*", func(c *callback.Context) error {
			return c.ReplyJSON(map[string]any{"msgtype": "stream", "stream": map[string]string{"content": c.Message.FromUserName + c.Message.Content}})
		})
		r.POST("/wecom", wecom.Messages(bot))
		got := push(t, wx, simulator.Push{Handler: r, URL: "http://app.example/wecom", Message: message, Format: simulator.JSON, Deliveries: 1})
		if ids == nil {
			if got.Deliveries[0].Status != http.StatusForbidden {
				t.Errorf("an app that is no bot: %v", got)
			}
			continue
		}
		if got.Reply == nil || got.Reply.Raw != `{"msgtype":"stream","stream":{"content":"zhangsan你好"}}` {
			t.Errorf("a bot: %v", got)
		}
		var envelope map[string]any
		if err := json.Unmarshal([]byte(got.Deliveries[0].Body), &envelope); err != nil || len(envelope) != 4 || envelope["msgsignature"] == "" {
			t.Errorf("the envelope is %s", got.Deliveries[0].Body)
		}
	}
}

// TestBotSeals: what a handler of a bot's pushes has sealed itself is answered as it is.
func TestBotSeals(t *testing.T) {
	t.Parallel()
	wx := world(t)
	cfg := config(wx, 1000002, memory.New())
	cfg.ReceiveIDs = []string{""}
	client := open(t, cfg)
	r := gin.New()
	r.Use(client.Middleware())
	var sealed []byte
	r.POST("/wecom", func(c *gin.Context) {
		var err error
		if push, ok := client.Push(c); !ok {
			t.Error("there is no push")
		} else if sealed, err = client.Seal(push, []byte(`{"msgtype":"text"}`)); err != nil {
			t.Error(err)
		}
		c.Data(http.StatusOK, "application/json", sealed)
	})
	message := simulator.Message{Raw: `{"msgid":"m1","aibotid":"b","from":{"userid":"zhangsan"},"msgtype":"text","text":{"content":"你好"}}`}
	got := push(t, wx, simulator.Push{Handler: r, URL: "http://app.example/wecom", Message: message, Format: simulator.JSON, Deliveries: 1})
	if len(sealed) == 0 || got.Deliveries[0].Body != string(sealed) || got.Reply == nil || got.Reply.Raw != `{"msgtype":"text"}` {
		t.Errorf("sealed %s; answered %v", sealed, got)
	}
}

// TestHandlers: without a bot, a route gets the message in plain text, and its answer is
// sealed.
func TestHandlers(t *testing.T) {
	t.Parallel()
	wx := world(t)
	client := open(t, config(wx, 1000002, memory.New()))
	r := gin.New()
	group := r.Group("/api")
	group.GET("/callback", client.Callback())
	group.POST("/callback", client.Callback(), func(c *gin.Context) {
		push, ok := client.Push(c)
		body, _ := io.ReadAll(c.Request.Body)
		if !ok || string(body) != string(push.Message) || !push.Pair.Encrypted {
			t.Errorf("the handler got %q", body)
		}
		m, err := callback.ParseMessage(body)
		if err != nil {
			t.Error(err)
		}
		c.Data(http.StatusOK, "text/xml", fmt.Appendf(nil, "<xml><ToUserName>%s</ToUserName><FromUserName>%s</FromUserName>"+
			"<CreateTime>1</CreateTime><MsgType>text</MsgType><Content>%s</Content></xml>", m.FromUserName, m.ToUserName, m.Content))
	})
	p := simulator.Push{Handler: r, URL: "http://app.example/api/callback", Message: simulator.Text("回声")}
	if got := push(t, wx, p); got.Sees != "回声" {
		t.Error(got)
	}
	if got, err := wx.Verify(t.Context(), p); err != nil || got.Verdict != simulator.Verified {
		t.Errorf("%v, %v", got, err)
	}
}

// TestCalls: what a client calls, and what refuses its token or its address.
func TestCalls(t *testing.T) {
	t.Parallel()
	wx := world(t)
	client := open(t, config(wx, 1000002, memory.New()))
	ctx := t.Context()
	answer, err := client.Upload(ctx, "/cgi-bin/media/upload?type=file", "media", "report.txt", strings.NewReader("年度报告"))
	var uploaded struct {
		MediaID string `json:"media_id"`
	}
	if err != nil || json.Unmarshal(answer, &uploaded) != nil || uploaded.MediaID == "" {
		t.Fatalf("%s, %v", answer, err)
	}
	file, _, err := client.Download(ctx, "/cgi-bin/media/get", url.Values{"media_id": {uploaded.MediaID}})
	if err != nil {
		t.Fatal(err)
	}
	content, _ := io.ReadAll(file)
	_ = file.Close()
	if string(content) != "年度报告" {
		t.Errorf("downloaded %q", content)
	}
	for _, reply := range []*callback.Reply{
		{Type: callback.TypeText, Content: "x"},
		{Type: callback.TypeImage, MediaID: uploaded.MediaID},
		{Type: callback.TypeVideo, MediaID: uploaded.MediaID, Title: "t"},
		{Type: callback.TypeNews, Articles: []callback.Article{{Title: "t", URL: "https://shop.example/"}}},
	} {
		if err := client.Send(ctx, "zhangsan", reply); err != nil {
			t.Errorf("%s: %v", reply.Type, err)
		}
	}
	if err := client.Send(ctx, "zhangsan", &callback.Reply{Type: callback.TypeMusic, ThumbMediaID: "x"}); err == nil {
		t.Error("music is no message of an app")
	}
	wx.Kill(corpID + ":1000002") // WeCom ends the token early
	if err := client.Send(ctx, "zhangsan", &callback.Reply{Type: callback.TypeText, Content: "x"}); err != nil {
		t.Errorf("after 40014: %v", err)
	}
	wx.SetWhitelist(corpID+":1000002", "198.51.100.1")
	issued := wx.Stats(corpID + ":1000002").Stable.Calls
	err = client.Get(ctx, "/cgi-bin/user/get", url.Values{"userid": {"lisi"}}, nil)
	refusal, ok := errors.AsType[*platform.Error](err)
	if !ok || refusal.Code != 60020 || refusal.IP != "127.0.0.1" || !strings.Contains(err.Error(), "企业可信IP") {
		t.Errorf("an address that is not trusted: %v", err)
	}
	if got := wx.Stats(corpID + ":1000002").Stable.Calls; got != issued {
		t.Errorf("60020 cost %d fetches", got-issued)
	}
}

// TestPages: the corp's ticket signs for wx.config, the app's for wx.agentConfig.
func TestPages(t *testing.T) {
	t.Parallel()
	wx := world(t)
	store := memory.New()
	first, second := open(t, config(wx, 1000002, store)), open(t, config(wx, 1000003, store))
	const page = "https://shop.example/a?b=c"
	for _, c := range []struct {
		client *wecom.Client
		id     int
	}{{first, 1000002}, {second, 1000003}} {
		appID := fmt.Sprintf("%s:%d", corpID, c.id)
		js, err := c.client.JSConfig(t.Context(), page+"#top")
		if err != nil {
			t.Fatal(err)
		}
		ticket, _ := wx.Ticket(appID, simulator.JSAPI)
		if js.AppID != corpID || js.Signature != platform.JSSignature(ticket, js.NonceStr, js.Timestamp, page) {
			t.Errorf("%s: JSConfig is %+v", appID, js)
		}
		ac, err := c.client.AgentConfig(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		ticket, _ = wx.Ticket(appID, "agent_config")
		if ac.CorpID != corpID || ac.AgentID != fmt.Sprint(c.id) || ac.Signature != platform.JSSignature(ticket, ac.NonceStr, ac.Timestamp, page) {
			t.Errorf("%s: AgentConfig is %+v", appID, ac)
		}
	}
	one, err := first.Ticket(t.Context(), corp.CorpTicket)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := second.Ticket(t.Context(), corp.CorpTicket); err != nil || two.Value() != one.Value() {
		t.Error("two apps of a corp have two tickets for it")
	}
	if _, err := first.JSConfig(t.Context(), "/a"); err == nil {
		t.Error("a path is signed")
	}
	if _, err := first.Ticket(t.Context(), "wx_card"); err == nil {
		t.Error("there is a ticket for cards")
	}
}

// TestLogin: a member comes back as who WeCom says, inside of WeCom and outside; a code is
// exchanged once, whatever reloads the page.
func TestLogin(t *testing.T) {
	t.Parallel()
	for name, agent := range map[string]string{"inside": "Mozilla/5.0 MicroMessenger/7.0 wxwork/4.1", "outside": "Mozilla/5.0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wx := world(t)
			client := open(t, config(wx, 1000002, memory.New()))
			var logins atomic.Int32
			r := gin.New()
			r.GET("/me", client.Login(wecom.LoginConfig{OnLogin: func(_ context.Context, u *wecom.User, v corp.Visitor) error {
				logins.Add(1)
				if u.UserID != v.UserID {
					t.Error("OnLogin is told of two people")
				}
				return nil
			}}), func(c *gin.Context) { c.String(http.StatusOK, wecom.UserOf(c).UserID) })
			server := httptest.NewServer(r)
			defer server.Close()
			b := &browser{t: t, agent: agent, cookies: map[string]string{}}
			_, to := b.get(server.URL + "/me?a=b")
			if inside := strings.Contains(to, "/connect/oauth2/authorize?"); inside != (name == "inside") || !strings.HasPrefix(to, wx.URL) {
				t.Fatalf("the browser is sent to %s", to)
			}
			_, back := b.get(to)
			for range 2 { // a reload
				if _, own := b.get(back); own != server.URL+"/me?a=b" {
					t.Fatalf("it is sent on to %q", own)
				}
			}
			if body, _ := b.get(server.URL + "/me?a=b"); body != "zhangsan" || logins.Load() != 1 {
				t.Errorf("the page says %q after %d logins", body, logins.Load())
			}
			stranger := &browser{t: t, agent: agent, cookies: map[string]string{}}
			if body, own := stranger.get(back); own != "" || body == "zhangsan" {
				t.Error("another browser comes in with the same address")
			}
		})
	}
}

// browser keeps cookies and follows nothing by itself.
type browser struct {
	t       *testing.T
	agent   string
	cookies map[string]string
}

func (b *browser) get(address string) (body, location string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("User-Agent", b.agent)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for _, cookie := range resp.Cookies() {
		b.cookies[cookie.Name] = cookie.Value
	}
	text, _ := io.ReadAll(resp.Body)
	return string(text), resp.Header.Get("Location")
}

// TestThousandAgents: a program with a thousand apps makes at most 50 calls of gettoken a
// second when it starts, and all have their token within a minute.
func TestThousandAgents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const agents = 1000
		accounts := make([]simulator.Account, agents)
		for i := range accounts {
			accounts[i] = agent(1000000 + i)
		}
		wx := simtest.InMemory(t, simulator.Options{Seed: 1, Events: -1, Accounts: accounts})
		calls := &counted{base: wx.RoundTripper()}
		store := memory.New()
		start := time.Now()
		clients := make([]*wecom.Client, agents)
		for i := range clients {
			cfg := config(wx, 1000000+i, store)
			cfg.Transport = calls
			client, err := wecom.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			clients[i] = client
		}
		var all sync.WaitGroup
		for _, client := range clients {
			all.Go(func() {
				if _, err := client.Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %s", took)
		}
		for i, at := range calls.at {
			n := 0
			for _, other := range calls.at[i:] {
				if other.Sub(at) < time.Second {
					n++
				}
			}
			if n > 50 {
				t.Fatalf("%d calls within a second", n)
			}
		}
		if len(calls.at) != agents {
			t.Errorf("%d calls for %d apps", len(calls.at), agents)
		}
	})
}

// counted remembers when gettoken was called.
type counted struct {
	base http.RoundTripper
	mu   sync.Mutex
	at   []time.Time
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/cgi-bin/gettoken" {
		c.mu.Lock()
		c.at = append(c.at, time.Now())
		c.mu.Unlock()
	}
	return c.base.RoundTrip(r)
}

// TestConfig: what cannot work names its field, and no secret.
func TestConfig(t *testing.T) {
	t.Parallel()
	good := wecom.Config{CorpID: corpID, AgentID: "1", Secret: wecom.Secret("madeUpSecret"), StoreURL: "memory:"}
	for name, c := range map[string]struct {
		change func(*wecom.Config)
		says   string
	}{
		"no corpid":   {func(c *wecom.Config) { c.CorpID = "" }, "CorpID"},
		"no secret":   {func(c *wecom.Config) { c.Secret = wecom.Secret("") }, "Secret"},
		"odd agentid": {func(c *wecom.Config) { c.AgentID = "sales" }, "AgentID"},
		"token alone": {func(c *wecom.Config) { c.Token = wecom.Secret("abc") }, "AESKey"},
		"short key":   {func(c *wecom.Config) { c.Token, c.AESKey = wecom.Secret("abc"), wecom.Secret("short") }, "AESKey"},
		"odd path":    {func(c *wecom.Config) { c.CallbackPath = "wecom" }, "CallbackPath"},
		"plain http":  {func(c *wecom.Config) { c.APIBase = "http://qyapi.weixin.qq.com" }, "APIBase"},
		"odd origin":  {func(c *wecom.Config) { c.Origin = "shop.example" }, "Origin"},
		"redis":       {func(c *wecom.Config) { c.StoreURL = "redis://:password@127.0.0.1" }, "StoreURL"},
	} {
		cfg := good
		c.change(&cfg)
		_, err := wecom.New(cfg)
		if err == nil || !strings.HasPrefix(err.Error(), "wecom: ") || !strings.Contains(err.Error(), c.says) ||
			strings.Contains(err.Error(), "madeUpSecret") || strings.Contains(err.Error(), "password") {
			t.Errorf("%s: %v", name, err)
		}
	}
	vars := map[string]string{"WECOM_CORPID": corpID, "WECOM_AGENTID": "7", "WECOM_SECRET": "madeUpSecret", "ZHONGKONG_STORE": "memory:"}
	cfg, err := wecom.ConfigFrom(func(name string) string { return vars[name] })
	if err != nil || cfg.CorpID != corpID || cfg.AgentID != "7" || cfg.Secret.Reveal() != "madeUpSecret" {
		t.Errorf("ConfigFrom = %v, %v", cfg.CorpID, err)
	}
	delete(vars, "WECOM_SECRET")
	if _, err := wecom.ConfigFrom(func(name string) string { return vars[name] }); err == nil {
		t.Error("ConfigFrom takes no secret")
	}
	if text := fmt.Sprintf("%v %+v", good, good); strings.Contains(text, "madeUpSecret") {
		t.Errorf("a Config prints %s", text)
	}
}

// TestContacts: a secret that belongs to no app has a token, and neither messages nor logins.
func TestContacts(t *testing.T) {
	t.Parallel()
	wx := world(t)
	cfg := config(wx, 1000002, memory.New())
	cfg.AgentID = ""
	client := open(t, cfg)
	if value := mustToken(t, client); !wx.Accepts(value) {
		t.Error("the token is dead")
	}
	if err := client.Send(t.Context(), "zhangsan", &callback.Reply{Type: callback.TypeText, Content: "x"}); err == nil {
		t.Error("a message was sent")
	}
	if _, err := client.AgentConfig(t.Context(), "https://shop.example/"); err == nil {
		t.Error("there is a ticket of no app")
	}
	defer func() {
		if recover() == nil {
			t.Error("Login takes a client without an AgentID")
		}
	}()
	client.Login(wecom.LoginConfig{})
}
