package wechat_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/pushtest"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// echoBot answers texts: a duration after that time, others at once.
func echoBot() *callback.Router {
	bot := callback.NewRouter()
	bot.Text("panic", func(*callback.Context) error { panic("a handler's") })
	bot.Text("*", func(c *callback.Context) error {
		takes, _ := time.ParseDuration(c.Message.Content)
		select {
		case <-time.After(takes):
			return c.ReplyText("after " + c.Message.Content)
		case <-c.Done():
			return context.Cause(c)
		}
	})
	return bot
}

// botAccounts returns an account that pushes, with cfg for it.
func botAccounts(cfg wechat.Config, aesKey string) (wechat.Config, simulator.Options) {
	cfg.AESKey = wechat.Secret(aesKey)
	return cfg, simulator.Options{Accounts: []simulator.Account{
		{AppID: testAppID, Secret: testSecret, Token: testToken, AESKey: aesKey},
	}}
}

// custom returns the bodies that were sent by the customer service's API.
func custom(wx *simtest.Sim) []string {
	var sent []string
	for _, e := range wx.Events() {
		if e.Path == "/cgi-bin/message/custom/send" && e.Errcode == 0 {
			sent = append(sent, e.Request)
		}
	}
	return sent
}

// onEngine are the ways to give an engine a bot.
var onEngine = map[string]func(t *testing.T, cfg wechat.Config, bot *callback.Router) *gin.Engine{
	"a route": func(t *testing.T, cfg wechat.Config, bot *callback.Router) *gin.Engine {
		r := gin.New()
		r.Use(newClient(t, cfg).Middleware())
		r.POST("/", wechat.Messages(bot))
		return r
	},
	"a route in a group": func(t *testing.T, cfg wechat.Config, bot *callback.Router) *gin.Engine {
		cfg.ContextKey = "another"
		r := gin.New()
		r.Group("/").POST("/", newClient(t, cfg).Callback(), wechat.Messages(bot))
		return r
	},
	"Config.Messages": func(t *testing.T, cfg wechat.Config, bot *callback.Router) *gin.Engine {
		cfg.Messages = bot
		r := gin.New()
		r.Use(newClient(t, cfg).Middleware())
		return r
	},
	"Config.Messages before a route": func(t *testing.T, cfg wechat.Config, bot *callback.Router) *gin.Engine {
		cfg.Messages = bot
		r := gin.New()
		r.Use(newClient(t, cfg).Middleware())
		r.POST("/", func(*gin.Context) { t.Error("a message got past Config.Messages") })
		return r
	},
}

// TestMessages: in every mode and format, wherever the bot stands, a message is
// answered once by it.
func TestMessages(t *testing.T) {
	for where, engine := range onEngine {
		for _, test := range []struct {
			mode   simulator.Mode
			aesKey string
		}{{simulator.Plain, ""}, {simulator.Compatible, testAESKey}, {simulator.Safe, testAESKey}} {
			for _, format := range []simulator.Format{simulator.XML, simulator.JSON} {
				t.Run(fmt.Sprintf("%s/%s/%s", where, test.mode, format), func(t *testing.T) {
					cfg, options := botAccounts(config(), test.aesKey)
					cfg, wx := inMemory(t, cfg, options)
					app := engine(t, cfg, echoBot())
					push := simulator.Push{Message: simulator.Text("你好"), Handler: app, Mode: test.mode, Format: format}
					result, err := wx.Deliver(t.Context(), push)
					if err != nil || result.Verdict != simulator.Replied || result.Reply.Content != "after 你好" || len(result.Deliveries) != 1 {
						t.Errorf("a text: %v, %v", result, err)
					}
					push.Message = simulator.Subscribe()
					if result, err := wx.Deliver(t.Context(), push); err != nil || result.Verdict != simulator.Silent {
						t.Errorf("an event without a route: %v, %v", result, err)
					}
				})
			}
		}
	}
}

// TestForgedMessages: no attack of the simulator's reaches the bot.
func TestForgedMessages(t *testing.T) {
	for where, engine := range onEngine {
		for _, attack := range simulator.Attacks() {
			t.Run(where+"/"+string(attack), func(t *testing.T) {
				cfg, options := botAccounts(config(), testAESKey)
				cfg, wx := inMemory(t, cfg, options)
				var runs, refused atomic.Int32
				cfg.Endpoint.Refused = func(*callback.Error) { refused.Add(1) }
				bot := callback.NewRouter()
				bot.Default(func(c *callback.Context) error {
					runs.Add(1)
					return c.ReplyText("hello")
				})
				app := engine(t, cfg, bot)
				result, err := wx.Deliver(t.Context(), simulator.Push{Message: simulator.Text("你好"), Handler: app, Attack: attack})
				want := [2]int32{0, 1}
				if attack == simulator.Replay {
					want = [2]int32{1, 0}
				}
				if got := [2]int32{runs.Load(), refused.Load()}; err != nil || !result.OK() || got != want {
					t.Errorf("%v, %v; %d ran and were refused, want %d", result, err, got, want)
				}
			})
		}
	}
}

// TestSlowMessages: WeChat asks three times and gets the one answer; what is too
// late for that leaves by the customer service. A panic is a success to WeChat.
func TestSlowMessages(t *testing.T) {
	for where, engine := range onEngine {
		for content, test := range map[string]struct {
			verdict    simulator.Verdict
			sees       string
			deliveries int
			sent       []string
		}{
			"1s":    {simulator.Replied, "after 1s", 1, nil},
			"7s":    {simulator.Replied, "after 7s", 2, nil},
			"12s":   {simulator.Replied, "after 12s", 3, nil},
			"20s":   {simulator.Replied, "请稍候", 3, []string{`{"msgtype":"text","text":{"content":"after 20s"},"touser":"oAbCd0123456789EfGhIjKlMnOpQ"}`}},
			"panic": {simulator.Silent, "", 1, nil},
		} {
			t.Run(where+"/"+content, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg, options := botAccounts(config(), testAESKey)
					options.Accounts[0].Followers = []string{"oAbCd0123456789EfGhIjKlMnOpQ"}
					cfg, wx := inMemory(t, cfg, options)
					cfg.Endpoint.Working = "请稍候"
					out := new(logtest.Log)
					cfg.Logger = out.Logger(slog.LevelDebug)
					app := engine(t, cfg, echoBot())
					result, err := wx.Deliver(t.Context(), simulator.Push{Message: simulator.Text(content), Handler: app})
					sees := ""
					if result.Reply != nil {
						sees = result.Reply.Content
					}
					if err != nil || result.Verdict != test.verdict || sees != test.sees || len(result.Deliveries) != test.deliveries {
						t.Errorf("%v with %d deliveries, %v", result, len(result.Deliveries), err)
					}
					time.Sleep(time.Minute)
					if diff := cmp.Diff(test.sent, custom(wx)); diff != "" {
						t.Errorf("sent later (-want +got):\n%s", diff)
					}
					if errs := out.Lines(slog.LevelError); (len(errs) == 1) != (content == "panic") {
						t.Errorf("errors in the log: %q", errs)
					}
				})
			})
		}
	}
}

// TestLateErrors: WeChat's refusal of a late reply is an error of the bot's.
func TestLateErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, options := botAccounts(config(), "")
		cfg, wx := inMemory(t, cfg, options)
		wx.Inject(simulator.Fault{Path: "/cgi-bin/message/custom/send", Errcode: 45015})
		cfg.Messages = echoBot()
		var failed atomic.Value
		cfg.Messages.OnError(func(_ *callback.Context, err error) { failed.Store(err.Error()) })
		app := gin.New()
		app.Use(newClient(t, cfg).Middleware())
		if result, err := wx.Deliver(t.Context(), simulator.Push{Message: simulator.Text("20s"), Handler: app}); err != nil || result.Verdict != simulator.Silent {
			t.Errorf("%v, %v", result, err)
		}
		time.Sleep(time.Minute)
		if text, _ := failed.Load().(string); !strings.Contains(text, "45015") {
			t.Errorf("OnError heard %q, want 45015", text)
		}
	})
}

// TestSend: every type of reply in the form of the customer service's API.
func TestSend(t *testing.T) {
	cfg, options := botAccounts(config(), "")
	cfg, wx := inMemory(t, cfg, options)
	client := newClient(t, cfg)
	openid := wx.Account().Followers[0]
	for content, reply := range map[string]callback.Reply{
		`"text":{"content":"你好 <&>"}`: {Type: callback.TypeText, Content: "你好 <&>"},
		`"image":{"media_id":"m"}`:    {Type: callback.TypeImage, MediaID: "m"},
		`"voice":{"media_id":"m"}`:    {Type: callback.TypeVoice, MediaID: "m"},
		`"video":{"description":"d","media_id":"m","thumb_media_id":"p","title":"t"}`: {
			Type: callback.TypeVideo, MediaID: "m", ThumbMediaID: "p", Title: "t", Description: "d",
		},
		`"music":{"description":"d","hqmusicurl":"h","musicurl":"u","thumb_media_id":"p","title":"t"}`: {
			Type: callback.TypeMusic, Title: "t", Description: "d", MusicURL: "u", HQMusicURL: "h", ThumbMediaID: "p",
		},
		`"news":{"articles":[{"description":"d","picurl":"p","title":"t","url":"u"}]}`: {
			Type: callback.TypeNews, Articles: []callback.Article{{Title: "t", Description: "d", PicURL: "p", URL: "u"}},
		},
	} {
		wx.Hear(wx.AppID(), simulator.Text("在吗"))
		if err := client.Send(t.Context(), openid, &reply); err != nil {
			t.Errorf("%s: %v", reply.Type, err)
			continue
		}
		var got, want map[string]any
		sent := custom(wx)
		if err := json.Unmarshal([]byte(sent[len(sent)-1]), &got); err != nil {
			t.Errorf("%s: %v", reply.Type, err)
		}
		if err := json.Unmarshal(fmt.Appendf(nil, `{"touser":%q,"msgtype":%q,%s}`, openid, reply.Type, content), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reply.Type, diff)
		}
	}
	before := len(custom(wx))
	for name, reply := range map[string]*callback.Reply{"transfer_customer_service": {Type: callback.TypeTransfer}, "needs": nil} {
		if err := client.Send(t.Context(), openid, reply); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Send(%v) = %v, want an error with %q", reply, err, name)
		}
	}
	if after := len(custom(wx)); after != before {
		t.Errorf("%d messages were sent that cannot be", after-before)
	}
}

// TestFromMessage: a handler finds its client, also when the message was left by
// another process and nobody has asked since.
func TestFromMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer func() { _ = store.Close() }()
		cfg, options := botAccounts(config(), testAESKey)
		cfg, wx := inMemory(t, cfg, options)
		cfg.StoreURL, cfg.Store, cfg.ContextKey = "", store, "another"
		var mu sync.Mutex
		var clients []*wechat.Client
		bot := func() *callback.Router {
			bot := callback.NewRouter()
			bot.Default(func(c *callback.Context) error {
				mu.Lock()
				clients = append(clients, wechat.From(c))
				first := len(clients) == 1
				mu.Unlock()
				if first {
					<-c.Done()
					return c.Err()
				}
				return c.ReplyText("taken up")
			})
			return bot
		}
		cfg.Messages = bot()
		first, err := wechat.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		app := gin.New()
		app.Use(first.Middleware())
		if result, err := wx.Deliver(t.Context(), simulator.Push{Message: simulator.Text("你好"), Handler: app}); err != nil || result.Verdict != simulator.Silent {
			t.Errorf("%v, %v", result, err)
		}
		begun := time.Now()
		if err := first.Close(); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 7*time.Second {
			t.Errorf("Close with a handler that waits: %v after %s", err, time.Since(begun))
		}
		if sent := custom(wx); len(sent) != 0 {
			t.Errorf("a handler that was cut off sent %q", sent)
		}

		cfg.Messages = bot()
		second := newClient(t, cfg)
		time.Sleep(time.Minute)
		if sent := custom(wx); len(sent) != 1 || !strings.Contains(sent[0], "taken up") {
			t.Errorf("sent %q", sent)
		}
		mu.Lock()
		defer mu.Unlock()
		if want := []*wechat.Client{first, second}; !slices.Equal(clients, want) {
			t.Errorf("handlers found %v, want each its own", clients)
		}
		answer := serve(app, http.MethodPost, pushURL("/", testToken), message)
		if answer.Code == http.StatusOK {
			t.Errorf("a closed client answers %d %s", answer.Code, answer.Body)
		}
	})
}

// TestClosedBeforeMessages: a client that was closed begins no endpoint, and
// WeChat may ask another process.
func TestClosedBeforeMessages(t *testing.T) {
	client, err := wechat.New(config())
	if err != nil {
		t.Fatal(err)
	}
	app := gin.New()
	app.Use(client.Middleware())
	app.POST("/", wechat.Messages(echoBot()))
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	mustAnswer(t, serve(app, http.MethodPost, pushURL("/", testToken), message), says(http.StatusServiceUnavailable, "wrong"))
}

// TestOnceByStore: the processes of one store handle a message once; one without
// memory for messages leaves it to each.
func TestOnceByStore(t *testing.T) {
	for name, test := range map[string]struct {
		wrap func(*memory.Store) custody.Store
		runs int32
	}{
		"a store that remembers":       {func(s *memory.Store) custody.Store { return s }, 1},
		"a store that knows of tokens": {func(s *memory.Store) custody.Store { return struct{ custody.Store }{s} }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory.New()
			t.Cleanup(func() { _ = store.Close() })
			cfg, options := botAccounts(config(), testAESKey)
			cfg, wx := inMemory(t, cfg, options)
			cfg.StoreURL, cfg.Store = "", test.wrap(store)
			var runs atomic.Int32
			sent := simulator.Text("你好")
			sent.ID, sent.Created = 23892468385179204, time.Now()
			for range 2 {
				cfg.Messages = callback.NewRouter()
				cfg.Messages.Default(func(c *callback.Context) error {
					runs.Add(1)
					return c.ReplyText("hello")
				})
				app := gin.New()
				app.Use(newClient(t, cfg).Middleware())
				if result, err := wx.Deliver(t.Context(), simulator.Push{Message: sent, Handler: app}); err != nil || result.Sees != "hello" {
					t.Errorf("%v, %v", result, err)
				}
			}
			if runs.Load() != test.runs {
				t.Errorf("handled %d times, want %d", runs.Load(), test.runs)
			}
		})
	}
}

// TestMessagesMisplaced: what cannot work says so and lets nothing through.
func TestMessagesMisplaced(t *testing.T) {
	cfg := config()
	cfg.Messages = callback.NewRouter()
	withBot := newClient(t, cfg)
	for want, misplaced := range map[string]func(){
		"bot is nil": func() { wechat.Messages(nil) },
		"no message that was verified": func() {
			r := gin.New()
			r.POST("/", wechat.Messages(echoBot()))
			serve(r, http.MethodPost, pushURL("/", testToken), message)
		},
		"at Config.CallbackPath": func() {
			r := gin.New()
			r.Use(newClient(t, config()).Middleware())
			r.POST("/elsewhere", wechat.Messages(echoBot()))
			serve(r, http.MethodPost, pushURL("/elsewhere", testToken), message)
		},
		"wechat: the account " + testAppID + " has a bot already": func() {
			r := gin.New()
			client := newClient(t, config())
			r.POST("/a", client.Callback(), wechat.Messages(echoBot()))
			r.POST("/b", client.Callback(), wechat.Messages(echoBot()))
			serve(r, http.MethodPost, pushURL("/a", testToken), message)
			serve(r, http.MethodPost, pushURL("/b", testToken), message)
		},
	} {
		if text := panics(misplaced); !strings.Contains(text, want) {
			t.Errorf("it panics with %q, want %q", text, want)
		}
	}
	if err := withBot.Close(); err != nil { // and again at the end of the test
		t.Error(err)
	}

	cfg = config()
	cfg.Endpoint.Router = callback.NewRouter()
	if _, err := wechat.New(cfg); err == nil || !strings.Contains(err.Error(), "Config.Endpoint") {
		t.Errorf("a Router in Config.Endpoint: %v", err)
	}
	cfg = config()
	cfg.Messages, cfg.Endpoint.Working = callback.NewRouter(), strings.Repeat("长", 1000)
	if _, err := wechat.New(cfg); err == nil || !strings.Contains(err.Error(), "Working") {
		t.Errorf("a Working that is too long: %v", err)
	}
}

// TestDrawnPushesAtScale: wherever the bot stands and whatever the mode, two pushes that differ are
// two messages, and each is one.
func TestDrawnPushesAtScale(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"memory:", "sqlite:"} {
		for place, engine := range onEngine {
			for _, mode := range pushtest.Modes {
				t.Run(store+" "+place+" "+string(mode), func(t *testing.T) {
					t.Parallel()
					account := pushtest.Account(mode)
					cfg := config()
					cfg.AppID, cfg.Token, cfg.StoreURL = account.AppID, wechat.Secret(account.Token.Reveal()), store
					if store == "sqlite:" {
						cfg.StoreURL += filepath.Join(t.TempDir(), "zhongkong.db")
					}
					if account.AESKey != nil {
						cfg.AESKey = wechat.Secret(account.AESKey.Reveal())
					}
					var handled atomic.Int64
					bot := callback.NewRouter()
					bot.Default(func(*callback.Context) error { handled.Add(1); return nil })
					pushtest.Check(t, pushtest.Receiver{
						Handler: engine(t, cfg, bot), Path: "/", Config: account, Mode: mode,
						Handled: func() int { return int(handled.Load()) },
					})
				})
			}
		}
	}
}

// TestLatePush: an order with an old timestamp that was never handled is handled, wherever
// the bot stands, and not where no bot is.
func TestLatePush(t *testing.T) {
	t.Parallel()
	for place, engine := range onEngine {
		cfg, _ := botAccounts(config(), testAESKey)
		cfg.StoreURL = "sqlite:" + filepath.Join(t.TempDir(), "zhongkong.db")
		var runs atomic.Int32
		bot := callback.NewRouter()
		bot.Default(func(*callback.Context) error { runs.Add(1); return nil })
		r := engine(t, cfg, bot)
		target, body := lateOrder(t)
		if got := serve(r, http.MethodPost, target, body); got.Code != http.StatusOK || runs.Load() != 1 {
			t.Errorf("%s: %d %s, %d runs", place, got.Code, got.Body, runs.Load())
		}
	}
	cfg, _ := botAccounts(config(), testAESKey)
	r := gin.New()
	r.Use(newClient(t, cfg).Middleware())
	r.POST("/", func(*gin.Context) { t.Error("a handler of the program's own got a stale push") })
	target, body := lateOrder(t)
	if got := serve(r, http.MethodPost, target, body); got.Code != http.StatusForbidden {
		t.Errorf("without a bot: %d", got.Code)
	}
}

// TestLateWrapped: a handler of the program's own that calls Messages gets no late push
// before it was seen to hand on a fresh one, and then shows it to Messages alone.
func TestLateWrapped(t *testing.T) {
	t.Parallel()
	for name, both := range map[string]bool{"behind Middleware": false, "behind Middleware and Callback": true} {
		cfg, _ := botAccounts(config(), testAESKey)
		cfg.StoreURL = "sqlite:" + filepath.Join(t.TempDir(), "zhongkong.db")
		var runs atomic.Int32
		bot := callback.NewRouter()
		bot.Default(func(c *callback.Context) error { runs.Add(1); return c.ReplyText("done") })
		client := newClient(t, cfg)
		hand, own := wechat.Messages(bot), ""
		wrapper := func(c *gin.Context) {
			push, seen := client.Push(c)
			body, err := io.ReadAll(c.Request.Body)
			own = fmt.Sprint(seen, push != nil, len(body) > 0, err != nil)
			if c.Query("mine") != "" {
				c.Header("Content-Length", "3")
				c.String(http.StatusOK, "own")
				return
			}
			hand(c)
		}
		r := gin.New()
		r.Use(client.Middleware())
		if both {
			r.POST("/", client.Callback(), wrapper)
		} else {
			r.POST("/", wrapper)
		}
		late := func(query string) (int, string) {
			target, body := lateOrder(t)
			recorder := serve(r, http.MethodPost, target+query, body)
			return recorder.Code, recorder.Body.String()
		}
		fresh := func(query string, number int) {
			target, body := orderOf(t, time.Now(), number)
			if got := serve(r, http.MethodPost, target+query, body); got.Code != http.StatusOK {
				t.Errorf("%s: a fresh push is answered with %d %s", name, got.Code, got.Body)
			}
		}
		if code, _ := late(""); code != http.StatusForbidden || own != "" {
			t.Errorf("%s: before a fresh one: %d, the handler saw %q", name, code, own)
		}
		fresh("", 2)
		if code, body := late("&mine=1"); code != http.StatusForbidden || body != "wrong" || own != "false false false true" || runs.Load() != 1 {
			t.Errorf("%s: not handed on: %d %s, the handler saw %s, %d runs", name, code, body, own, runs.Load())
		}
		for range 2 {
			if code, body := late(""); code != http.StatusOK || !strings.Contains(body, "<Encrypt>") || runs.Load() != 2 {
				t.Errorf("%s: after a fresh one: %d %s, %d runs", name, code, body, runs.Load())
			}
		}
		fresh("&mine=1", 3)
		own = ""
		if code, _ := late(""); code != http.StatusForbidden || own != "" {
			t.Errorf("%s: after one that was not handed on: %d, the handler saw %q", name, code, own)
		}
	}
}

// lateOrder returns target and body of an order that WeChat sent two hours ago.
func lateOrder(t *testing.T) (target, body string) {
	t.Helper()
	return orderOf(t, time.Now().Add(-2*time.Hour), 1)
}

// orderOf returns target and body of an order that WeChat sends at a time.
func orderOf(t *testing.T, at time.Time, number int) (target, body string) {
	t.Helper()
	verifier, err := callback.NewVerifier(callback.Config{AppID: testAppID, Token: wechat.Secret(testToken), AESKey: wechat.Secret(testAESKey)})
	if err != nil {
		t.Fatal(err)
	}
	message := "<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n<FromUserName><![CDATA[o1]]></FromUserName>\n<CreateTime>1</CreateTime>\n" +
		"<MsgType><![CDATA[event]]></MsgType>\n<Event><![CDATA[channels_ec_order_pay]]></Event>\n<order_id>" + strconv.Itoa(number) + "</order_id>\n</xml>"
	envelope, err := verifier.Seal(callback.Pair{}, strconv.FormatInt(at.Unix(), 10), nonce, []byte(message))
	if err != nil {
		t.Fatal(err)
	}
	return "/?" + signedQuery(testToken, at) + "&encrypt_type=aes&msg_signature=" + envelope.MsgSignature,
		"<xml>\n<ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n<Encrypt><![CDATA[" + envelope.Encrypt + "]]></Encrypt>\n</xml>"
}
