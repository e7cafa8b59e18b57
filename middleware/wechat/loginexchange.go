package wechat

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
	"github.com/zhongkong-go/zhongkong/platform"
)

// logins are what all Login of a client share.
type logins struct {
	door.Logins[User]

	apis     []loginAPI // in turn, where one cannot be reached
	direct   []loginAPI // WeChat's own; apis without a gateway
	account  platform.Account
	openBase string
	keys     *sessionKeys // nil: none are kept
}

// outcome is what became of a code.
type outcome = weblogin.Outcome[User]

// newLogins is for a valid cfg.
func newLogins(cfg Config, store any) (*logins, error) {
	l := &logins{
		Logins:  door.Logins[User]{Package: "wechat", Product: "WeChat", ID: cfg.AppID, Origin: cfg.Origin, Log: cfg.Logger},
		account: platform.Account{AppID: cfg.AppID, Secret: cfg.AppSecret}, openBase: cfg.OpenBase,
	}
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
	if err = l.Init(store, "zhongkong: logins", append(slices.Clip(cfg.SealKeys), l.account.Secret)...); err != nil {
		return nil, err
	}
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
