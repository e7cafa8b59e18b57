package wechat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/platform"
)

// logins are what all Login of a client share.
type logins struct {
	apis     []loginAPI // in turn, where one cannot be reached
	direct   []loginAPI // WeChat's own; apis without a gateway
	account  platform.Account
	origin   string
	openBase string
	seals    weblogin.Seals
	once     weblogin.Once[User]
	keys     *sessionKeys // nil: none are kept
}

// outcome is what became of a code.
type outcome = weblogin.Outcome[User]

// newLogins is for a valid cfg.
func newLogins(cfg Config, store any) (*logins, error) {
	l := &logins{account: platform.Account{AppID: cfg.AppID, Secret: cfg.AppSecret}, origin: cfg.Origin, openBase: cfg.OpenBase}
	direct, err := newLoginAPI(cfg.APIBase, cfg.Transport, cfg)
	if err != nil {
		return nil, err
	}
	l.direct = []loginAPI{direct}
	l.apis = l.direct
	if cfg.Gateway != "" { // which puts the AppSecret in the place of the client's key
		l.account.Secret, l.apis = cfg.GatewayKey, nil
		for gateway := range strings.SplitSeq(cfg.Gateway, ",") {
			api, err := newLoginAPI(strings.TrimSpace(gateway), cfg.GatewayTransport, cfg)
			if err != nil {
				return nil, err
			}
			l.apis = append(l.apis, api)
		}
	}
	if l.seals, err = weblogin.NewSeals("zhongkong: logins", append(slices.Clip(cfg.SealKeys), l.account.Secret)...); err != nil {
		return nil, err
	}
	l.once.Store, _ = store.(callback.Once)
	l.once.Account, l.once.Seals, l.once.Log = cfg.AppID, l.seals, cfg.Logger
	if cfg.KeepSessionKeys {
		l.keys, err = newSessionKeys(l)
	}
	return l, err
}

// loginAPI is an API at one address.
type loginAPI struct {
	*platform.API

	foreign bool // its transport is the caller's
}

func newLoginAPI(base string, transport http.RoundTripper, cfg Config) (loginAPI, error) {
	api, err := platform.New(platform.Config{Base: base, Transport: transport, Logger: cfg.Logger})
	if err != nil {
		return loginAPI{}, fmt.Errorf("wechat: %w", err)
	}
	return loginAPI{api, transport != nil}, nil
}

// try calls do with one API after the other, as long as nothing has left for the one before.
func try[T any](apis []loginAPI, do func(*platform.API) (T, error)) (result T, err error) {
	for _, api := range apis {
		result, err = do(api.API)
		if conn, ok := errors.AsType[*platform.ConnError](err); !ok || conn.Sent {
			break
		}
	}
	return result, err
}

// close ends idle connections, of a foreign transport none.
func (l *logins) close() {
	for _, api := range append(slices.Clip(l.apis), l.direct...) {
		if !api.foreign {
			api.CloseIdleConnections()
		}
	}
}

// account is whose code it is.
func (l *login) account(p pending) platform.Account {
	if p.Website {
		return platform.Account{AppID: l.cfg.Website.AppID, Secret: l.cfg.Website.AppSecret}
	}
	return l.client.logins.account
}

// exchangeOnce returns what became of a code, which one request of one process finds out.
func (l *login) exchangeOnce(ctx context.Context, p pending, code string) outcome {
	return l.client.logins.once.Do(ctx, l.account(p).AppID, code, func(ctx context.Context) outcome { return l.exchange(ctx, p, code) })
}

// exchange asks WeChat who the user is.
func (l *login) exchange(ctx context.Context, p pending, code string) outcome {
	account, apis := l.account(p), l.client.logins.apis
	if p.Website {
		apis = l.client.logins.direct // a gateway does not know this account
	}
	grant, err := try(apis, func(a *platform.API) (platform.UserGrant, error) { return a.ExchangeCode(ctx, account, code) })
	if err != nil {
		again := platform.AnotherCodeHelps(err)
		l.client.log.Warn("a login's code was not exchanged",
			"log_code", "wechat_code_not_exchanged", "appid", account.AppID, "another_code_helps", again, "error", err)
		return outcome{Again: again, Page: weblogin.PageUnavailable.Reason}
	}
	user := &User{
		AppID: account.AppID, OpenID: grant.OpenID, UnionID: grant.UnionID, Snapshot: grant.Snapshot,
		LoggedIn: time.Now().Truncate(time.Second),
	}
	switch {
	case grant.Snapshot && !l.cfg.Snapshot:
		return outcome{Page: weblogin.PageSnapshot.Reason}
	case grant.Snapshot, p.Scope == scopeBase:
	default:
		info, err := try(apis, func(a *platform.API) (platform.UserInfo, error) { return a.UserInfo(ctx, account.AppID, grant) })
		if err != nil {
			l.client.log.Error("the profile of a user who logs in was not read",
				"log_code", "wechat_profile_not_read", "appid", account.AppID, "error", err)
			return outcome{Page: weblogin.PageUnavailable.Reason}
		}
		user.Userinfo, user.Nickname, user.Avatar = true, info.Nickname, info.Avatar
		if user.UnionID == "" {
			user.UnionID = info.UnionID
		}
		if len(user.Avatar) > maxUser-len(user.Nickname) {
			user.Avatar = "" // a cookie has no room for it
		}
	}
	if l.cfg.OnLogin != nil {
		if err := l.cfg.OnLogin(ctx, user, grant); err != nil {
			l.client.log.Error("LoginConfig.OnLogin failed", "log_code", "wechat_on_login_failed", "appid", account.AppID, "error", err)
			return outcome{Page: weblogin.PageUnavailable.Reason}
		}
	}
	return outcome{Value: user}
}
