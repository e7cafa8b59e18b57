package interop

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	wechat "github.com/silenceper/wechat/v2"
	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/officialaccount"
	"github.com/silenceper/wechat/v2/officialaccount/config"
	"github.com/silenceper/wechat/v2/officialaccount/message"
	"github.com/silenceper/wechat/v2/util"
)

const (
	api   = "https://api.weixin.qq.com"
	qyapi = "https://qyapi.weixin.qq.com" // of WeCom
)

// silenceper keeps a token for expires_in less 1,500 s, and a stable one for
// expires_in less 300 s, in its cache, and has no answer to 40001 of its own.
func silenceper(stable bool) sdk {
	s := sdk{
		name: "github.com/silenceper/wechat/v2@v2.1.14",
		life: 1501 * time.Second, hold: time.Second, stable: stable,
		open: func(tb testing.TB, at target) client {
			tb.Helper()
			return silenceperClient{openSilenceper(tb, at, stable)}
		},
	}
	if stable {
		s.name += " (stable)"
		s.life = 301 * time.Second
		return s
	}
	s.server = func(tb testing.TB, at target) http.Handler {
		tb.Helper()
		oa := openSilenceper(tb, at, false)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			server := oa.GetServer(r, w)
			server.SetMessageHandler(func(m *message.MixMessage) *message.Reply {
				return &message.Reply{MsgType: message.MsgTypeText, MsgData: message.NewText(echo(m.Content))}
			})
			if err := server.Serve(); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			if err := server.Send(); err != nil {
				tb.Errorf("Send: %v", err)
			}
		})
	}
	return s
}

// pointSilenceper points the package as a whole at a target: its switches are global.
func pointSilenceper(tb testing.TB, at target) {
	tb.Helper()
	util.SetURIModifier(strings.NewReplacer(api, at.URL, qyapi, at.URL).Replace)
	tb.Cleanup(func() { util.SetURIModifier(nil) })
}

func openSilenceper(tb testing.TB, at target, stable bool) *officialaccount.OfficialAccount {
	tb.Helper()
	pointSilenceper(tb, at)
	return wechat.NewWechat().GetOfficialAccount(&config.Config{
		AppID: at.AppID, AppSecret: at.Secret, Token: at.Token, EncodingAESKey: at.AESKey,
		Cache: cache.NewMemory(), UseStableAK: stable,
	})
}

type silenceperClient struct {
	*officialaccount.OfficialAccount
}

func (c silenceperClient) token(context.Context) (string, error) {
	return c.OfficialAccount.GetContext().GetAccessToken()
}

func (c silenceperClient) call(context.Context) error {
	_, err := c.GetBasic().GetAPIDomainIP()
	return err
}

// TestSilenceperClient has the other way to another host: an http.Client, for all
// of it, also what does not go through the modifier.
func TestSilenceperClient(t *testing.T) {
	wx, at := simulate(t, 0)
	host, err := url.Parse(at.URL)
	if err != nil {
		t.Fatal(err)
	}
	before := util.DefaultHTTPClient
	util.DefaultHTTPClient = &http.Client{Transport: elsewhere{host}}
	t.Cleanup(func() { util.DefaultHTTPClient = before })
	oa := openSilenceper(t, target{URL: api, AppID: at.AppID, Secret: at.Secret}, false)
	if err := (silenceperClient{oa}).call(t.Context()); err != nil {
		t.Error(err)
	}
	if n := wx.Stats(at.AppID).APICalls; n != 1 {
		t.Errorf("%d calls arrived, want 1", n)
	}
}

// elsewhere sends every request to another host.
type elsewhere struct{ host *url.URL }

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = e.host.Scheme, e.host.Host, ""
	return http.DefaultTransport.RoundTrip(r)
}
