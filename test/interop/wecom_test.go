package interop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ArtisanCloud/PowerWeChat/v3/src/work"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/work/message/request"
	wechat "github.com/silenceper/wechat/v2"
	"github.com/silenceper/wechat/v2/cache"
	silenceperwork "github.com/silenceper/wechat/v2/work"
	"github.com/silenceper/wechat/v2/work/config"
	"github.com/silenceper/wechat/v2/work/message"
	"github.com/xen0n/go-workwx"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// member is who the SDKs for WeCom (企业微信) write to: each call is a text that an app sends.
const (
	member = "zhangsan"
	text   = "你好"
)

// corpApp is an app of a corp.
func corpApp() simulator.Account {
	return simulator.Account{
		AppID: "ww0123456789abcdef:1000002", Kind: simulator.WeCom,
		Secret: "madeUpSecretOfTheApp00000000000000000000002", Followers: []string{member},
	}
}

// corpSDKs are the SDKs and tools for WeCom.
func corpSDKs(tb testing.TB) []sdk {
	tb.Helper()
	all := []sdk{silenceperWork(), powerWeChatWork(), workwxApp()}
	if npmMissing(tb) == "" {
		all = append(all, corpPackage("wechat-enterprise-api", "0.3.0"),
			corpPackage("push-all-in-one", "4.5.2"), corpPackage("@openclaw-china/wecom-app", "2026.4.24"),
			corpPackage("@node-red/nodes", "4.1.1"))
	}
	return all
}

// corp returns the corpid and the agentid of a target that is an app of WeCom's.
func (at target) corp(tb testing.TB) (corpID string, agentID int) {
	tb.Helper()
	corpID, agent, _ := strings.Cut(at.AppID, ":")
	agentID, err := strconv.Atoi(agent)
	if err != nil {
		tb.Fatal(err)
	}
	return corpID, agentID
}

// silenceperWork keeps a token for expires_in less 1,500 s, and has no answer to 40014 or
// 42001 of its own.
func silenceperWork() sdk {
	return sdk{
		name: "github.com/silenceper/wechat/v2@v2.1.14 (work)",
		open: func(tb testing.TB, at target) client {
			tb.Helper()
			pointSilenceper(tb, at)
			corpID, agentID := at.corp(tb)
			return silenceperWorkClient{wechat.NewWechat().GetWork(&config.Config{
				CorpID: corpID, AgentID: strconv.Itoa(agentID), CorpSecret: at.Secret, Cache: cache.NewMemory(),
			})}
		},
	}
}

type silenceperWorkClient struct{ *silenceperwork.Work }

func (c silenceperWorkClient) token(context.Context) (string, error) {
	return c.Work.GetContext().GetAccessToken()
}

func (c silenceperWorkClient) call(context.Context) error {
	_, err := c.GetMessage().SendText(message.SendTextRequest{
		SendRequestCommon: &message.SendRequestCommon{ToUser: member, AgentID: c.Work.GetContext().AgentID},
		Text:              message.TextField{Content: text},
	})
	return err
}

// powerWeChatWork keeps a token for the whole of expires_in, and fetches and calls once more
// after 40001, 40014 and 42001.
func powerWeChatWork() sdk {
	return sdk{
		name: "github.com/ArtisanCloud/PowerWeChat/v3@v3.4.43 (work)", heals: true,
		open: func(tb testing.TB, at target) client {
			tb.Helper()
			corpID, agentID := at.corp(tb)
			logs := tb.TempDir()
			app, err := work.NewWork(&work.UserConfig{
				CorpID: corpID, AgentID: agentID, Secret: at.Secret, Http: work.Http{BaseURI: at.URL + "/"},
				OAuth: work.OAuth{Callback: "https://app.example/back", Scopes: []string{"snsapi_base"}},
				Log:   work.Log{Level: "error", File: filepath.Join(logs, "info.log"), Error: filepath.Join(logs, "error.log")},
			})
			if err != nil {
				tb.Fatal(err)
			}
			return powerWeChatWorkClient{app, agentID}
		},
	}
}

type powerWeChatWorkClient struct {
	*work.Work

	agentID int
}

func (c powerWeChatWorkClient) token(ctx context.Context) (string, error) {
	token, err := c.AccessToken.GetToken(ctx, false)
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func (c powerWeChatWorkClient) call(ctx context.Context) error {
	answer, err := c.Message.SendText(ctx, &request.RequestMessageSendText{
		RequestMessageSend: request.RequestMessageSend{ToUser: member, MsgType: "text", AgentID: c.agentID},
		Text:               &request.RequestText{Content: text},
	})
	if err == nil && answer.ErrCode != 0 {
		err = fmt.Errorf("errcode %d: %s", answer.ErrCode, answer.ErrMsg)
	}
	return err
}

// workwxApp keeps a token for ever, as its goroutine that renews it at times is not started,
// and has no answer to 40014 or 42001 of its own.
func workwxApp() sdk {
	return sdk{
		name: "github.com/xen0n/go-workwx@v1.7.0",
		open: func(tb testing.TB, at target) client {
			tb.Helper()
			corpID, agentID := at.corp(tb)
			c := &workwxClient{}
			c.app = workwx.New(corpID, workwx.WithQYAPIHost(at.URL), workwx.WithHTTPClient(&http.Client{Transport: c})).
				WithApp(at.Secret, int64(agentID))
			return c
		},
	}
}

// workwxClient sees the token that the SDK, which shows it to nobody, calls with.
type workwxClient struct {
	app  *workwx.WorkwxApp
	sent atomic.Value
}

func (c *workwxClient) RoundTrip(r *http.Request) (*http.Response, error) {
	if token := r.URL.Query().Get("access_token"); token != "" {
		c.sent.Store(token)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (c *workwxClient) token(ctx context.Context) (string, error) {
	if c.sent.Load() == nil {
		if err := c.call(ctx); err != nil {
			return "", err
		}
	}
	token, ok := c.sent.Load().(string)
	if !ok {
		return "", errors.New("no call was sent")
	}
	return token, nil
}

func (c *workwxClient) call(context.Context) error {
	return c.app.SendTextMessage(&workwx.Recipient{UserIDs: []string{member}}, text, false)
}

// corpPackage is an npm package; see corp.js. None of them has an answer to 40014.
func corpPackage(name, version string) sdk {
	return sdk{
		name: "npm " + name + "@" + version,
		open: func(tb testing.TB, at target) client {
			tb.Helper()
			return startNode(tb, at, "corp.js", name)
		},
	}
}

// simulateCorp starts a simulator of an app of WeCom's.
func simulateCorp(tb testing.TB) (*simtest.Sim, target) {
	tb.Helper()
	wx := simtest.New(tb, simulator.Options{Accounts: []simulator.Account{corpApp()}})
	return wx, targetOf(wx)
}

// TestWeCom has every SDK send to the simulator, which costs one fetch, and then meet a token
// that WeCom has ended: few call again with a new one.
func TestWeCom(t *testing.T) {
	for _, s := range corpSDKs(t) {
		t.Run(s.name, func(t *testing.T) {
			wx, at := simulateCorp(t)
			c := s.open(t, at)
			token, err := c.token(t.Context())
			if err != nil || !wx.Accepts(token) {
				t.Fatalf("the token is WeCom's: %t; %v", wx.Accepts(token), err)
			}
			for range 3 {
				mustCall(t, c)
			}
			if n := wx.Stats(at.AppID).Stable.Calls; n != 1 {
				t.Errorf("gettoken was called %d times, want once", n)
			}
			wx.Kill(at.AppID)
			for range 2 {
				if err := c.call(t.Context()); s.heals != (err == nil) || err != nil && !strings.Contains(err.Error(), "40014") {
					t.Errorf("error %v after WeCom ended the token", err)
				}
			}
		})
	}
}

// TestWeComGateway has every SDK moved to the gateway: another host, and a client's key where
// the app's Secret was. WeCom then ends the real token, which nobody notices.
func TestWeComGateway(t *testing.T) {
	for _, s := range corpSDKs(t) {
		t.Run(s.name, func(t *testing.T) {
			wx, at := simulateCorp(t)
			url, key := moved(t, wx, at)
			c := s.open(t, target{URL: url, AppID: at.AppID, Secret: key})
			for range 3 {
				mustCall(t, c)
			}
			token, err := c.token(t.Context())
			if err != nil || wx.Accepts(token) {
				t.Fatalf("the SDK was given the real token: %t; %v", wx.Accepts(token), err)
			}
			wx.Kill(at.AppID)
			for range 3 {
				mustCall(t, c)
			}
			if after, err := c.token(t.Context()); err != nil || after != token {
				t.Errorf("the SDK had to fetch again: %v", err)
			}
			if stats := wx.Stats(at.AppID); stats.Stable.Issued != 2 || stats.Errcodes[40014] == 0 {
				t.Errorf("%d tokens were issued, want 2; errcodes %v", stats.Stable.Issued, stats.Errcodes)
			}
		})
	}
}

// TestWeComTickets has the SDKs that sign for pages ask for both tickets through the gateway.
func TestWeComTickets(t *testing.T) {
	wx, at := simulateCorp(t)
	url, key := moved(t, wx, at)
	behind := target{URL: url, AppID: at.AppID, Secret: key}
	sdk, ok := workwxApp().open(t, behind).(*workwxClient)
	if !ok {
		t.Fatal("the client is another")
	}
	for kind, get := range map[simulator.TicketType]func() (string, error){
		simulator.JSAPI: sdk.app.GetJSAPITicket, "agent_config": sdk.app.GetJSAPITicketAgentConfig,
	} {
		ticket, err := get()
		if want, _ := wx.Ticket(at.AppID, kind); err != nil || ticket != want || ticket == "" {
			t.Errorf("%s: the ticket is WeCom's: %t; %v", kind, ticket == want, err)
		}
	}
	js := silenceperWork().open(t, behind).(silenceperWorkClient).JsSdk()
	if _, err := js.GetConfig("https://shop.example/"); err != nil {
		t.Error(err)
	}
	if _, err := js.GetAgentConfig("https://shop.example/"); err != nil {
		t.Error(err)
	}
}
