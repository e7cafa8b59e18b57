package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/platform"
)

// maxVisitors is how many browsers and pages without a key are served at once; of more, the
// oldest go, of the address that has most.
const maxVisitors = 256

// logins is what a gateway needs of package login.
type logins interface {
	ServeHTTP(http.ResponseWriter, *http.Request)
	Redeem(ctx context.Context, form login.Form, client login.ID, text, appID string) (login.Grant, error)
}

func newLogins(d *desk, cfg Config, api *platform.API) (logins, error) {
	return login.New(login.Config{
		Origin: cfg.Login.Origin, OpenBase: cfg.Login.OpenBase, House: house{d, api}, Store: cfg.Store, SealKeys: cfg.SealKeys, Log: cfg.Logger,
	})
}

// house is what the login relay needs of a gateway.
type house struct {
	*desk

	api *platform.API
}

var _ login.House = house{}

// Clients implements [login.House].
func (h house) Clients() []*login.Client { return h.clients.Logins(time.Now()) }

// Refresh implements [login.House].
func (h house) Refresh(ctx context.Context) { h.clients.Refresh(ctx) }

// AccountOf implements [login.House].
func (h house) AccountOf(c *login.Client, appID string) (string, bool) {
	live := h.clients.Find(clients.ID(c.ID))
	if live == nil {
		return "", false
	}
	if appID == "" && len(live.Accounts) == 1 {
		appID = live.Accounts[0]
	}
	return appID, live.Uses(appID) && live.Allows(userTokenPath) && h.official(appID) != nil
}

// official returns an account that users log in to by the relay: an app of WeCom has a host
// of its own, and its Secret must not go to another one.
func (h house) official(appID string) *account {
	a := h.accounts.find(appID)
	if a == nil {
		return nil
	}
	if _, isApp := a.weCom(); isApp {
		return nil
	}
	return a
}

// Exchange implements [login.House].
func (h house) Exchange(ctx context.Context, c *login.Client, appID, code string) (platform.UserGrant, error) {
	a := h.official(appID)
	if a == nil {
		return platform.UserGrant{}, errNoAccount
	}
	h.noteSecret(ctx, c.Name, appID, userTokenPath)
	return h.api.ExchangeCode(ctx, platform.Account{AppID: appID, Secret: a.Secret}, code)
}

// UserInfo implements [login.House].
func (h house) UserInfo(ctx context.Context, appID string, grant platform.UserGrant) (platform.UserInfo, error) {
	return h.api.UserInfo(ctx, appID, grant)
}

// Refused implements [login.House].
func (h house) Refused(r *http.Request, client, reason string) {
	if h.attempt(r.RemoteAddr) {
		h.log.LogAttrs(r.Context(), slog.LevelWarn, "refused a login", slog.String("log_code", "gateway_login_refused"),
			slog.String("client", loggable(client)), slog.String("reason", reason), slog.String("remote", r.RemoteAddr))
	}
}

// noteSecret writes into the journal that the AppSecret is used. People log in this way:
// they do not wait for the journal's recovery.
func (d *desk) noteSecret(ctx context.Context, client, appID, path string) {
	if refused := d.note(ctx, "client "+client, "use AppSecret", appID, path); refused != nil {
		d.log.Warn("the AppSecret is used, and the journal does not say so",
			"log_code", "gateway_use_not_in_journal", "client", client, "appid", appID, "path", path, "cause", refused.why)
	}
}

// redeem answers an exchange of a code that is ours, as WeChat does with its own.
func (d *desk) redeem(ctx context.Context, w *observed, c *clients.Live, appID, code string) *refusal {
	grant, refused := d.redeemed(ctx, login.Code, c, code, appID)
	if refused != nil {
		return refused
	}
	left := max(0, time.Until(grant.End).Round(time.Second))
	answer := struct {
		Token     string `json:"access_token"`
		ExpiresIn int64  `json:"expires_in"`
		Refresh   string `json:"refresh_token"`
		OpenID    string `json:"openid"`
		Scope     string `json:"scope"`
		Snapshot  int    `json:"is_snapshotuser,omitempty"`
		UnionID   string `json:"unionid,omitempty"`
	}{grant.Token, int64(left / time.Second), grant.Refresh, grant.OpenID, grant.Scope, 0, grant.UnionID}
	if grant.Snapshot {
		answer.Snapshot = 1
	}
	w.Header()["Cache-Control"] = noStore
	writeJSONLine(w, answer)
	return nil
}

// redeemed returns what a ticket or code of a client brings. appID is for a code.
func (d *desk) redeemed(ctx context.Context, form login.Form, c *clients.Live, text, appID string) (login.Grant, *refusal) {
	grant, err := d.logins.Redeem(ctx, form, login.ID(c.ID()), text, appID)
	switch {
	case err == nil:
		return grant, nil
	case errors.Is(err, login.ErrInvalid):
		return grant, refuse(codeCode, "%v", err)
	case errors.Is(err, login.ErrUsed):
		return grant, refuse(codeCodeUsed, "%v", err)
	case errors.Is(err, login.ErrExpired):
		return grant, refuse(codeCodeExpired, "%v", err)
	default:
		return grant, refuse(codeBusy, "the store does not answer: %v", err)
	}
}
