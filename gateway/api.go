package gateway

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// apiPrefix is where the gateway's own API is, beside WeChat's. WeChat has no such
// path.
const apiPrefix = "/zhongkong/v1/"

// description is the API in the words of OpenAPI 3.1, with the admin's.
//
//go:embed openapi.yaml
var description []byte

// caller is who calls the gateway's own API.
type caller struct {
	*client

	key     keyHash
	account *account // that the path names; nil where it names none
}

// apiRoute is one call of the gateway's own API.
type apiRoute struct {
	method string
	path   string // behind apiPrefix, as http.ServeMux takes it
	serve  func(g *Gateway, w *observed, r *http.Request, c caller) *refusal
	open   bool // to everybody: c is nobody
}

// apiRoutes are all of them; openapi.yaml says the same.
var apiRoutes = []apiRoute{
	{http.MethodGet, "openapi.yaml", (*Gateway).apiDescription, true},
	{http.MethodGet, "accounts", (*Gateway).apiAccounts, false},
	{http.MethodGet, "accounts/{appid}/token", (*Gateway).apiToken, false},
	{http.MethodPost, "accounts/{appid}/reject", (*Gateway).apiReject, false},
	{http.MethodGet, "accounts/{appid}/tickets/{type}", (*Gateway).apiTicket, false},
	{http.MethodPost, "accounts/{appid}/tickets/{type}/reject", (*Gateway).apiRejectTicket, false},
	{http.MethodGet, "accounts/{appid}/events", (*Gateway).apiEvents, false},
}

func (a apiRoute) wrongMethod() int {
	if a.method == http.MethodPost {
		return codeRequirePOST
	}
	return codeRequireGET
}

// newPrograms returns the handler of what lies behind apiPrefix. It is called with
// an *observed.
func (g *Gateway) newPrograms() http.Handler {
	mux := http.NewServeMux()
	serve := func(pattern string, do func(w *observed, r *http.Request) *refusal) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			o, _ := w.(*observed)
			w.Header().Set("Cache-Control", "no-store")
			if refused := do(o, r); refused != nil {
				refused.api = true
				g.refused(o, r, r.URL.Path, refused)
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
				return route.serve(g, w, r, caller{})
			}
			c, refused := g.caller(w, r)
			if refused != nil {
				return refused
			}
			return route.serve(g, w, r, c)
		})
	}
	serve(apiPrefix, func(*observed, *http.Request) *refusal { return refuse(codeURL, "the API has no such path") })
	return mux
}

// caller returns whose call it is: of a living client, within its rate, about an
// account that it may use.
func (g *Gateway) caller(w *observed, r *http.Request) (c caller, refused *refusal) {
	key, found := bearer(r.Header)
	switch {
	case !found || key == "":
		return c, refuse(codeNoSecret, "the call has no key")
	case len(r.Header["Authorization"]) > 1:
		return c, refuse(codeSecret, "the call has several keys")
	}
	if c.client, c.key, refused = g.byKey(r.Context(), w, key, time.Now()); refused != nil {
		return c, refused
	}
	if appID := r.PathValue("appid"); appID != "" {
		if c.account, refused = g.ofClient(r.Context(), w, c.client, appID); refused != nil {
			return c, refused
		}
	}
	return c, admit(c.client)
}

func (g *Gateway) apiDescription(w *observed, _ *http.Request, _ caller) *refusal {
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	_, _ = w.Write(description)
	return nil
}

// accountState is an account as programs see it.
type accountState struct {
	AppID     string `json:"appid"`
	Live      bool   `json:"live"`
	ExpiresIn int64  `json:"expires_in"`
	Fence     int64  `json:"fence"`
}

func stateOf(s custody.Status) accountState {
	return accountState{AppID: s.Key.AppID, Live: s.Live, ExpiresIn: int64(s.Left / time.Second), Fence: s.Fence}
}

func (g *Gateway) apiAccounts(w *observed, _ *http.Request, c caller) *refusal {
	states := []accountState{}
	for _, s := range g.Status() {
		if c.uses(s.Key.AppID) {
			states = append(states, stateOf(s))
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

func (g *Gateway) apiToken(w *observed, r *http.Request, c caller) *refusal {
	if !c.Real {
		return g.giveOwn(w, c)
	}
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	token, err := current{g, c.account.AppID}.Token(ctx)
	if err != nil {
		return noToken(err)
	}
	return g.giveReal(w, r, c, token)
}

// apiReject is told of a token that was refused, and answers the one to use instead.
func (g *Gateway) apiReject(w *observed, r *http.Request, c caller) *refusal {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxFetchBody+1))
	if err != nil || len(body) > maxFetchBody {
		return refuse(codeTooBig, "the body did not arrive, or has more than %d bytes", maxFetchBody)
	}
	var q struct {
		AccessToken string `json:"access_token"`
	}
	if readJSON(body, &q) != nil || q.AccessToken == "" {
		return refuse(codeFormat, "the body is not the JSON that was expected")
	}
	if !c.Real {
		if g.good(c, q.AccessToken) {
			return refuse(codeAccepted, "the gateway token is good")
		}
		return g.giveOwn(w, c)
	}
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	token, err := current{g, c.account.AppID}.Reject(ctx, q.AccessToken)
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
	return g.giveReal(w, r, c, token)
}

// good reports whether text is a gateway token of the caller for its account, made
// with the very key with which it calls.
func (g *Gateway) good(c caller, text string) bool {
	said, refused := g.tokens.open(text, time.Now(), func(clientID) []keyHash { return []keyHash{c.key} })
	return refused == nil && said.client == c.id && said.appID == c.account.AppID
}

func (g *Gateway) giveOwn(w *observed, c caller) *refusal {
	appID := c.account.AppID
	writeJSONLine(
		w,
		handedToken{AppID: appID, AccessToken: g.tokens.mint(c.id, c.key, appID, time.Now()), ExpiresIn: int64(statedLife / time.Second)},
	)
	return nil
}

// giveReal gives the real token away once the journal says so.
func (g *Gateway) giveReal(w *observed, r *http.Request, c caller, token custody.Token) *refusal {
	appID := c.account.AppID
	if refused := g.note(r.Context(), "client "+c.Name, "hand out token", appID, ""); refused != nil {
		return refused
	}
	writeJSONLine(
		w,
		handedToken{AppID: appID, AccessToken: token.Value(), ExpiresIn: int64(token.Left() / time.Second), Real: true, Fence: token.Fence()},
	)
	return nil
}

// apiRefusal is how the gateway's own API refuses: by HTTP's status, with words for
// people.
type apiRefusal struct {
	Error      string        `json:"error"`
	Errcode    int           `json:"errcode,omitempty"`     // WeChat's, or the one that WeChat would answer
	Class      custody.Class `json:"class,omitempty"`       // of a failure to get a token
	RetryAfter int64         `json:"retry_after,omitempty"` // seconds
	RID        string        `json:"rid"`
}

// apiStatuses are the statuses and words of the refusals. The others are failures to
// get a token: 503.
var apiStatuses = map[int]struct {
	status int
	text   string
}{
	codeNoSecret:    {http.StatusUnauthorized, "the call has no key: send Authorization: Bearer and the client's key (zhongkong client add)"},
	codeSecret:      {http.StatusUnauthorized, "no living client has this key: it is wrong, revoked or expired (zhongkong client list, client rotate)"},
	codeAppID:       {http.StatusForbidden, "the client may not use this account, or the gateway does not have it"},
	codeNotAllowed:  {http.StatusForbidden, "the path is not one of those that the client may use"},
	codeURL:         {http.StatusNotFound, "there is no such path: see " + apiPrefix + "openapi.yaml"},
	codeRequireGET:  {http.StatusMethodNotAllowed, "the path takes GET alone"},
	codeRequirePOST: {http.StatusMethodNotAllowed, "the path takes POST alone"},
	codeFormat:      {http.StatusBadRequest, `the body has to be {"access_token":"the token that was refused"}`},
	codeParameter:   {http.StatusBadRequest, "there is no such type of ticket: it is jsapi or wx_card"},
	codeTooBig:      {http.StatusRequestEntityTooLarge, "the body is too long"},
	codeAccepted:    {http.StatusConflict, "there is no other token to be had now: the one that was refused is accepted when WeChat is asked directly, or WeChat refuses every token of the account; see the gateway's log"},
	codeMinute:      {http.StatusTooManyRequests, "too many calls of this client"},
	codeBusy:        {http.StatusServiceUnavailable, "the gateway cannot answer now: WeChat or its store is away, or it is ending; see its log"},
}

// writeAPI answers a call of the gateway's own API and returns the rid by which the
// log names it. What WeChat said of a fetch is told by its errcode alone: its text
// may name the gateway's machine.
func (r *refusal) writeAPI(w http.ResponseWriter) (rid string) {
	rid = newRID(time.Now())
	known, found := apiStatuses[r.code]
	if !found || r.class != "" && r.code != codeBusy {
		known.status, known.text = http.StatusServiceUnavailable, "the gateway has no token for this account: WeChat answered it with this errcode (zhongkong explain); see its log"
	}
	if r.text != "" {
		known.text = r.text
	}
	answer := apiRefusal{
		Error:      known.text,
		Errcode:    r.code,
		Class:      r.class,
		RetryAfter: int64((r.retry + time.Second - 1) / time.Second),
		RID:        rid,
	}
	if r.code == codeAccepted {
		answer.Errcode = 0
	}
	if answer.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(answer.RetryAfter, 10))
	}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // a struct of texts and numbers
	}
	writeBytes(w, known.status, body)
	return rid
}

// retryAfter returns when a failure to get a token is tried again, 0 when that is
// not known.
func retryAfter(err error) time.Duration {
	if failure, ok := errors.AsType[*custody.Error](err); ok {
		return failure.RetryAfter
	}
	return 0
}
