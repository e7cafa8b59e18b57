package gateway

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
)

// description is the API in the words of OpenAPI 3.1, with the admin's.
//
//go:embed openapi.yaml
var description []byte

// caller is who calls the gateway's own API.
type caller struct {
	*clients.Live

	key     clients.Hash
	account *account // that the path names; nil where it names none
}

// apiRoute is one call of the gateway's own API.
type apiRoute struct {
	method string
	path   string // behind apiPrefix, as http.ServeMux takes it
	serve  func(p *programs, w *observed, r *http.Request, c caller) *refusal
	open   bool // to everybody: c is nobody
}

// apiRoutes are all of them; openapi.yaml says the same.
var apiRoutes = []apiRoute{
	{http.MethodGet, "openapi.yaml", (*programs).apiDescription, true},
	{http.MethodGet, "accounts", (*programs).apiAccounts, false},
	{http.MethodGet, "accounts/{appid}/token", (*programs).apiToken, false},
	{http.MethodPost, "accounts/{appid}/reject", (*programs).apiReject, false},
	{http.MethodGet, "accounts/{appid}/tickets/{type}", (*programs).apiTicket, false},
	{http.MethodPost, "accounts/{appid}/tickets/{type}/reject", (*programs).apiRejectTicket, false},
	{http.MethodGet, "accounts/{appid}/events", (*programs).apiEvents, false},
	{http.MethodGet, "accounts/{appid}/jsconfig", (*programs).apiJSConfig, true},
	{http.MethodPost, "login", (*programs).apiLogin, false},
}

func (a apiRoute) wrongMethod() int {
	if a.method == http.MethodPost {
		return codeRequirePOST
	}
	return codeRequireGET
}

// programs serves the gateway's own API.
type programs struct {
	*desk

	topics *topics
}

// newPrograms returns the handler of what lies behind apiPrefix. It is called with
// an *observed.
func newPrograms(d *desk, t *topics) http.Handler {
	p := &programs{d, t}
	mux := http.NewServeMux()
	serve := func(pattern string, do func(w *observed, r *http.Request) *refusal) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			o, _ := w.(*observed)
			w.Header().Set("Cache-Control", "no-store")
			if refused := do(o, r); refused != nil {
				refused.api = true
				p.refused(o, r, r.URL.Path, refused)
			}
		})
	}
	for _, route := range apiRoutes {
		serve(apiPrefix+route.path, func(w *observed, r *http.Request) *refusal {
			if r.Method != route.method {
				w.Header().Set("Allow", route.method)
				return refuse(route.wrongMethod(), "the method is not %s", route.method)
			}
			if route.open {
				return route.serve(p, w, r, caller{})
			}
			c, refused := p.caller(w, r)
			if refused != nil {
				return refused
			}
			return route.serve(p, w, r, c)
		})
	}
	serve(apiPrefix, func(*observed, *http.Request) *refusal { return refuse(codeURL, "the API has no such path") })
	return mux
}

// caller returns whose call it is: of a living client, within its rate, about an
// account that it may use.
func (p *programs) caller(w *observed, r *http.Request) (c caller, refused *refusal) {
	key, found := bearer(r.Header)
	switch {
	case !found || key == "":
		return c, refuse(codeNoSecret, "the call has no key")
	case len(r.Header["Authorization"]) > 1:
		return c, refuse(codeSecret, "the call has several keys")
	}
	if c.Live, c.key, refused = p.byKey(r.Context(), w, key, time.Now()); refused != nil {
		return c, refused
	}
	if appID := r.PathValue("appid"); appID != "" {
		if c.account, refused = p.ofClient(r.Context(), w, c.Live, appID); refused != nil {
			return c, refused
		}
	}
	return c, admit(c.Live)
}

func (p *programs) apiDescription(w *observed, _ *http.Request, _ caller) *refusal {
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	_, _ = w.Write(description)
	return nil
}

// accountState is an account as programs see it.
type accountState struct {
	Name      string `json:"name,omitempty"` // for people
	AppID     string `json:"appid"`
	Live      bool   `json:"live"`
	ExpiresIn int64  `json:"expires_in"`
	Fence     int64  `json:"fence"`
}

func stateOf(s custody.Status, name string) accountState {
	return accountState{Name: name, AppID: s.Key.AppID, Live: s.Live, ExpiresIn: int64(s.Left / time.Second), Fence: s.Fence}
}

func (p *programs) apiAccounts(w *observed, _ *http.Request, c caller) *refusal {
	states := []accountState{}
	for _, s := range p.accounts.status() {
		if c.Uses(s.Key.AppID) {
			states = append(states, stateOf(s, p.accounts.names.of(s.Key.AppID)))
		}
	}
	writeJSONLine(w, map[string]any{"accounts": states})
	return nil
}

// handedToken is a token as programs get it.
type handedToken struct {
	AppID       string `json:"appid"`
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	Real        bool   `json:"real"`
	Fence       int64  `json:"fence,omitempty"` // of a real one
}

func (p *programs) apiToken(w *observed, r *http.Request, c caller) *refusal {
	if !c.Real {
		return p.giveOwn(w, c)
	}
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	token, err := p.current(c.account.AppID).Token(ctx)
	if err != nil {
		return noToken(err)
	}
	return p.giveReal(w, r, c, token)
}

// apiReject is told of a token that was refused, and answers the one to use instead.
func (p *programs) apiReject(w *observed, r *http.Request, c caller) *refusal {
	var q struct {
		AccessToken string `json:"access_token"`
	}
	switch refused := readBody(r, &q); {
	case refused != nil:
		return refused
	case q.AccessToken == "":
		return refuse(codeFormat, "the body names no token")
	}
	if !c.Real {
		if p.good(c, q.AccessToken) {
			return refuse(codeAccepted, "the gateway token is good")
		}
		return p.giveOwn(w, c)
	}
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	token, err := p.current(c.account.AppID).Reject(ctx, q.AccessToken)
	if err == nil && token.Value() == q.AccessToken {
		refused := refuse(codeAccepted, "WeChat accepts the token when it is asked directly")
		refused.retry = time.Second // by then WeChat may be asked again
		return refused
	}
	if errors.Is(err, custody.ErrRefused) {
		refused := refuse(codeAccepted, "%v", err)
		refused.retry = retryAfter(err)
		return refused
	}
	if err != nil {
		return noToken(err)
	}
	return p.giveReal(w, r, c, token)
}

// good reports whether text is a gateway token of the caller for its account, made
// with the very key with which it calls.
func (p *programs) good(c caller, text string) bool {
	return p.clients.Minted(text, c.Live, c.key, c.account.AppID)
}

func (p *programs) giveOwn(w *observed, c caller) *refusal {
	appID := c.account.AppID
	token := p.clients.Mint(c.Live, c.key, appID, time.Now())
	writeJSONLine(w, handedToken{AppID: appID, AccessToken: token, ExpiresIn: int64(clients.StatedLife / time.Second)})
	return nil
}

// giveReal gives the real token away once the journal says so.
func (p *programs) giveReal(w *observed, r *http.Request, c caller, token custody.Token) *refusal {
	appID := c.account.AppID
	if refused := p.note(r.Context(), "client "+c.Name, "hand out token", appID, ""); refused != nil {
		return refused
	}
	writeJSONLine(
		w,
		handedToken{AppID: appID, AccessToken: token.Value(), ExpiresIn: int64(token.Left() / time.Second), Real: true, Fence: token.Fence()},
	)
	return nil
}
