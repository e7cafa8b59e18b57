package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/ArtisanCloud/PowerWeChat/v3/src/kernel"
	powercontract "github.com/ArtisanCloud/PowerWeChat/v3/src/kernel/contract"
	powermessages "github.com/ArtisanCloud/PowerWeChat/v3/src/kernel/messages"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/officialAccount"
	powermodels "github.com/ArtisanCloud/PowerWeChat/v3/src/officialAccount/server/handlers/models"
	"github.com/chanxuehong/wechat/mp/base"
	"github.com/chanxuehong/wechat/mp/core"
	"github.com/chanxuehong/wechat/mp/message/callback/request"
	"github.com/chanxuehong/wechat/mp/message/callback/response"
	"github.com/faabiosr/cachego/file"
	"github.com/fastwego/offiaccount"
	fastwegoapis "github.com/fastwego/offiaccount/apis/util"
	silenceper "github.com/silenceper/wechat/v2"
	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/officialaccount"
	"github.com/silenceper/wechat/v2/officialaccount/config"
	"github.com/silenceper/wechat/v2/officialaccount/message"
	"github.com/silenceper/wechat/v2/util"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store/redis"
	"github.com/zhongkong-go/zhongkong/test/benchmarks/figures"
)

// account is one account in somebody's hands.
type account interface {
	token(ctx context.Context) (string, error)
	call(ctx context.Context) error // of an API that needs the token
	io.Closer
}

// peer is one of those that are measured, ours included.
type peer struct {
	name   string
	module string // whose version the table shows; "" for ours
	open   func(where at) (account, error)
	redis  bool // open knows at.Redis
	node   bool // it is bench.js, and has neither open nor handler

	// handler answers callbacks: nothing to a text, or a text when reply is set. Nil:
	// it is not measured.
	handler func(where at, reply bool) (http.Handler, error)
}

// ours is the name of our own column.
const ours = figures.Ours

var peers = []peer{
	{name: ours, open: openOurs, redis: true, handler: handleOurs},
	{name: "silenceper/wechat", module: "github.com/silenceper/wechat/v2", open: openSilenceper, redis: true, handler: handleSilenceper},
	{name: "PowerWeChat", module: "github.com/ArtisanCloud/PowerWeChat/v3", open: openPowerWeChat, redis: true, handler: handlePowerWeChat},
	{name: "chanxuehong/wechat", module: "github.com/chanxuehong/wechat", open: openChanxuehong, handler: handleChanxuehong},
	{name: "fastwego/offiaccount", module: "github.com/fastwego/offiaccount", open: openFastwego},
	{name: "co-wechat-api", node: true},
}

func peerNamed(name string) (peer, error) {
	for _, p := range peers {
		if p.name == name {
			return p, nil
		}
	}
	return peer{}, errors.New("nobody is called " + name)
}

// open opens an account of a peer's.
func (b *bench) open(p peer, where at) (account, error) {
	if p.node {
		return b.openNode(where)
	}
	return p.open(where)
}

// names returns the names of those that are here and for whom want is true; nil
// means all.
func (b *bench) names(want func(p peer) bool) []string {
	var list []string
	for _, p := range peers {
		if p.node && b.npm == "" {
			continue
		}
		if want == nil || want(p) {
			list = append(list, p.name)
		}
	}
	return list
}

func onRedis(p peer) bool { return p.redis }

func inGo(p peer) bool { return !p.node }

func answersCallbacks(p peer) bool { return p.node || p.handler != nil }

const answer = "收到, 谢谢!"

// ---- zhongkong

type ourAccount struct {
	*wechat.Client
	store custody.Store // nil when the client opened its own
}

func openOurs(where at) (account, error) {
	cfg := wechat.Config{
		AppID: where.AppID, AppSecret: wechat.Secret(where.Secret), APIBase: where.URL,
		TokenAPI: platform.Classic, DailyFetches: -1, StoreURL: "sqlite:" + filepath.Join(where.Dir, "zhongkong.db"),
	}
	if where.Stable {
		cfg.TokenAPI = platform.Stable
	}
	var a ourAccount
	var err error
	if where.Redis != "" {
		a.store, err = redis.Open(context.Background(), "redis://"+where.Redis, redis.Options{})
		if err != nil {
			return nil, err
		}
		cfg.Store, cfg.StoreURL = a.store, ""
	}
	a.Client, err = wechat.New(cfg)
	return a, err
}

func (a ourAccount) token(ctx context.Context) (string, error) {
	token, err := a.Token(ctx)
	return token.Value(), err
}

func (a ourAccount) call(ctx context.Context) error {
	return a.Get(ctx, "/cgi-bin/getcallbackip", nil, nil)
}

func (a ourAccount) Close() error {
	err := a.Client.Close()
	if a.store != nil {
		err = errors.Join(err, a.store.Close())
	}
	return err
}

func handleOurs(where at, reply bool) (http.Handler, error) { return handleOursWith(nil, where, reply) }

// handleOursWith has once remember the messages, or with nil the endpoint itself.
func handleOursWith(once callback.Once, where at, reply bool) (http.Handler, error) {
	verifier, err := callback.NewVerifier(callback.Config{
		AppID: where.AppID, Token: custody.NewSecret(where.Token), AESKey: custody.NewSecret(where.AESKey), Freshness: 5 * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	router := callback.NewRouter()
	router.Default(func(c *callback.Context) error {
		if !reply {
			return nil
		}
		return c.ReplyText(answer)
	})
	return callback.NewEndpoint(callback.EndpointConfig{Verifier: verifier, Router: router, Once: once})
}

// ---- silenceper

type silenceperAccount struct {
	*officialaccount.OfficialAccount
}

func openSilenceper(where at) (account, error) {
	a, err := newSilenceper(where)
	return silenceperAccount{a}, err
}

func newSilenceper(where at) (*officialaccount.OfficialAccount, error) {
	util.SetURIModifier(func(uri string) string {
		return strings.Replace(uri, "https://api.weixin.qq.com", where.URL, 1)
	})
	var kept cache.Cache = cache.NewMemory()
	if where.Redis != "" {
		kept = cache.NewRedis(context.Background(), &cache.RedisOpts{Host: where.Redis})
	}
	return silenceper.NewWechat().GetOfficialAccount(&config.Config{
		AppID: where.AppID, AppSecret: where.Secret, Token: where.Token, EncodingAESKey: where.AESKey,
		Cache: kept, UseStableAK: where.Stable,
	}), nil
}

func (a silenceperAccount) token(context.Context) (string, error) {
	return a.GetContext().GetAccessToken()
}

func (a silenceperAccount) call(context.Context) error {
	_, err := a.GetBasic().GetCallbackIP()
	return err
}

func (silenceperAccount) Close() error { return nil }

func handleSilenceper(where at, reply bool) (http.Handler, error) {
	a, err := newSilenceper(where)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server := a.GetServer(r, w)
		server.SetMessageHandler(func(*message.MixMessage) *message.Reply {
			if !reply {
				return nil
			}
			return &message.Reply{MsgType: message.MsgTypeText, MsgData: message.NewText(answer)}
		})
		if err := server.Serve(); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		if !reply {
			server.String("success")
			return
		}
		if err := server.Send(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}), err
}

// ---- PowerWeChat

type powerAccount struct {
	*officialAccount.OfficialAccount
}

func openPowerWeChat(where at) (account, error) {
	a, err := newPowerWeChat(where)
	return powerAccount{a}, err
}

func newPowerWeChat(where at) (*officialAccount.OfficialAccount, error) {
	cfg := &officialAccount.UserConfig{
		AppID: where.AppID, Secret: where.Secret, Token: where.Token, AESKey: where.AESKey, StableTokenMode: where.Stable,
		Http: officialAccount.Http{BaseURI: where.URL + "/"},
		Log:  officialAccount.Log{Level: "error", File: filepath.Join(where.Dir, "info.log"), Error: filepath.Join(where.Dir, "error.log")},
	}
	if where.Redis != "" {
		cfg.Cache = kernel.NewRedisClient(&kernel.UniversalOptions{Addrs: []string{where.Redis}})
	}
	return officialAccount.NewOfficialAccount(cfg)
}

func (a powerAccount) token(ctx context.Context) (string, error) {
	token, err := a.AccessToken.GetToken(ctx, false)
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func (a powerAccount) call(ctx context.Context) error {
	got, err := a.Base.GetCallbackIP(ctx)
	if err == nil && len(got.IPList) == 0 {
		err = errors.New("no addresses")
	}
	return err
}

func (powerAccount) Close() error { return nil }

func handlePowerWeChat(where at, reply bool) (http.Handler, error) {
	a, err := newPowerWeChat(where)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := a.Server.Notify(r, func(event powercontract.EventInterface) any {
			text := powermodels.MessageText{}
			if err := event.ReadMessage(&text); err != nil || !reply {
				return kernel.SUCCESS_EMPTY_RESPONSE
			}
			return powermessages.NewText(answer)
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		defer func() { _ = res.Body.Close() }()
		_, _ = io.Copy(w, res.Body)
	}), err
}

// ---- chanxuehong

type chanxuehongAccount struct{ *core.Client }

func openChanxuehong(where at) (account, error) {
	host, err := url.Parse(where.URL)
	if err != nil {
		return nil, err
	}
	h := &http.Client{Transport: elsewhere{host}}
	return chanxuehongAccount{core.NewClient(core.NewDefaultAccessTokenServer(where.AppID, where.Secret, h), h)}, nil
}

// elsewhere sends every request to another host.
type elsewhere struct{ host *url.URL }

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = e.host.Scheme, e.host.Host, ""
	return http.DefaultTransport.RoundTrip(r)
}

func (a chanxuehongAccount) token(context.Context) (string, error) { return a.Token() }

func (a chanxuehongAccount) call(context.Context) error {
	_, err := base.GetCallbackIP(a.Client)
	return err
}

func (chanxuehongAccount) Close() error { return nil }

func handleChanxuehong(where at, reply bool) (http.Handler, error) {
	server := core.NewServer("", where.AppID, where.Token, where.AESKey,
		core.HandlerFunc(func(c *core.Context) {
			text := request.GetText(c.MixedMsg)
			if !reply {
				_ = c.NoneResponse()
				return
			}
			_ = c.AESResponse(response.NewText(text.FromUserName, text.ToUserName, time.Now().Unix(), answer), 0, "", nil)
		}),
		core.ErrorHandlerFunc(func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusForbidden)
		}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r, nil) }), nil
}

// ---- fastwego

type fastwegoAccount struct{ *offiaccount.OffiAccount }

func openFastwego(where at) (account, error) {
	return fastwegoAccount{newFastwego(where)}, nil
}

func newFastwego(where at) *offiaccount.OffiAccount {
	offiaccount.WXServerUrl = where.URL
	a := offiaccount.New(offiaccount.Config{Appid: where.AppID, Secret: where.Secret, Token: where.Token, EncodingAESKey: where.AESKey})
	a.AccessToken.Cache = file.New(where.Dir) // its default, in another folder
	a.Logger = nil
	return a
}

func (a fastwegoAccount) token(context.Context) (string, error) {
	return a.AccessToken.GetAccessTokenHandler(a.OffiAccount)
}

func (a fastwegoAccount) call(context.Context) error {
	_, err := fastwegoapis.GetCallbackIp(a.OffiAccount)
	return err
}

func (fastwegoAccount) Close() error { return nil }
