package login

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/platform"
)

// The relay's paths.
const (
	Path          = "/login/"                   // and the client's name
	AuthorizePath = "/connect/oauth2/authorize" // as WeChat's page for official accounts: 网页授权
	QRPath        = "/connect/qrconnect"        // as WeChat's page for websites: 网站应用
)

const (
	scopeBase     = "snsapi_base"
	scopeUserinfo = "snsapi_userinfo"
	scopeLogin    = "snsapi_login"

	maxState  = 512            // bytes of a program's state; WeChat's are 128
	maxIssued = 10_000         // tickets and codes of one client that live, at one gateway
	maxAll    = 50 * maxIssued // of all clients
)

// Client is a program that may log users in.
type Client struct {
	ID      ID
	Name    string
	Returns weblogin.Returns
}

// House is what the relay needs of its gateway. Its methods are safe for concurrent use.
type House interface {
	// Clients returns the living clients that have return addresses. The caller changes
	// nothing in it.
	Clients() []*Client

	// Refresh reads the store for clients that this gateway does not know yet, unless that
	// was done a moment ago.
	Refresh(ctx context.Context)

	// AccountOf returns the appid that a client means: appID if it may use this account,
	// and the only one that it may use if appID is empty.
	AccountOf(c *Client, appID string) (string, bool)

	// Exchange exchanges a code of WeChat's, in the name of a client.
	Exchange(ctx context.Context, c *Client, appID, code string) (platform.UserGrant, error)

	// UserInfo asks for the profile of a user.
	UserInfo(ctx context.Context, appID string, grant platform.UserGrant) (platform.UserInfo, error)

	// Refused is called for each login that is refused, with what the log may say.
	Refused(r *http.Request, client, reason string)
}

// Config describes a Relay.
type Config struct {
	// Origin is the gateway's public address, such as https://login.example, whose host is
	// in the console (网页授权域名). Empty is enough on one's own machine alone.
	Origin string

	// OpenBase is where WeChat's pages are; required.
	OpenBase string

	House    House            // the gateway behind it: its accounts and clients
	Store    callback.Once    // in which a code is claimed, so that it is redeemed once
	SealKeys []custody.Secret // seal the states of browsers under way: the first seals, all open
	Log      *slog.Logger     // gets what an operator has to mend; required
}

// Relay is the login relay, an [http.Handler] for the paths that it Serves.
type Relay struct {
	cfg    Config
	seals  weblogin.Seals
	macs   [][]byte
	once   weblogin.Once[string] // what becomes of WeChat's codes: our ticket or code
	shelf  weblogin.Shelf        // of what tickets and codes bring
	issued weblogin.Budget
}

// New returns a Relay. All its Config is required but for Origin.
func New(cfg Config) (*Relay, error) {
	seals, err := weblogin.NewSeals("zhongkong: login relay", cfg.SealKeys...)
	if err != nil {
		return nil, err
	}
	r := &Relay{
		cfg: cfg, seals: seals, shelf: weblogin.Shelf{Store: cfg.Store, Account: "login relay", Seals: seals},
		issued: weblogin.Budget{Life: ticketLife, Most: maxAll, Each: maxIssued},
	}
	r.once.Store, r.once.Account, r.once.Seals, r.once.Log = cfg.Store, "login relay", seals, cfg.Log
	r.macs, err = macKeys(cfg.SealKeys)
	return r, err
}

// Serves reports whether a path is the relay's.
func Serves(path string) bool {
	return strings.HasPrefix(path, Path) || path == AuthorizePath || path == QRPath
}

// trip is what a login on its way is about.
type trip struct {
	Form     Form   `json:"f"`
	Client   string `json:"c"`
	AppID    string `json:"i"`
	Scope    string `json:"s"`
	Return   string `json:"r"`           // address, one of the client's
	State    []byte `json:"t,omitempty"` // the program's, as it is: JSON's texts are UTF-8
	Snapshot bool   `json:"n,omitempty"` // a user who does not exist is welcome
	Again    int    `json:"a,omitempty"`
}

// site is what browsers see of the relay.
func (r *Relay) site(req *http.Request) weblogin.Site {
	return weblogin.Site{Seals: r.seals, Name: "relay", Secure: weblogin.Secure(req, r.cfg.Origin)}
}

// ServeHTTP implements [http.Handler].
func (r *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	weblogin.Private(w)
	if req.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	query := req.URL.Query()
	name, own := strings.CutPrefix(req.URL.Path, Path)
	if own && weblogin.IsReturn(query) && !query.Has("redirect_uri") {
		r.finish(w, req, name, query)
		return
	}
	t, refused := r.read(req, name, own, query)
	if !own {
		name = "" // which client is meant, the return address says
	}
	if refused != nil {
		r.refuse(w, req, name, refused)
		return
	}
	r.begin(w, req, t)
}

// refuse shows a page. There is no other try from here: it begins at the program.
func (r *Relay) refuse(w http.ResponseWriter, req *http.Request, client string, p *weblogin.Page) {
	r.cfg.House.Refused(req, client, p.Reason)
	p.Show(w, req, "")
}

// read reads what a program asks for.
func (r *Relay) read(req *http.Request, name string, own bool, query url.Values) (t trip, refused *weblogin.Page) {
	for _, values := range query {
		if len(values) > 1 {
			return t, pageRequest
		}
	}
	t = trip{
		Form: Code, Client: name, Scope: query.Get("scope"), State: []byte(query.Get("state")), Snapshot: true,
	}
	if own {
		t.Form, t.Snapshot = Ticket, query.Get("snapshot") == "1"
		if t.Scope == "" {
			t.Scope = scopeBase
		}
	}
	website := t.Scope == scopeLogin
	to, err := weblogin.ParseReturn(query.Get("redirect_uri"))
	switch {
	case t.Scope != scopeBase && t.Scope != scopeUserinfo && !website,
		!own && (website != (req.URL.Path == QRPath) || query.Get("response_type") != "code" || query.Get("appid") == ""),
		len(t.State) > maxState:
		return t, pageRequest
	case len(query.Get("redirect_uri"))+len(t.State) > weblogin.MaxAddress:
		return t, weblogin.PageTooLong
	case err != nil || to.Query().Has("code") || to.Query().Has("state") || to.Query().Has("ticket") || to.Query().Has("error"):
		return t, pageReturn
	}
	c, appID := r.find(req.Context(), t, query.Get("appid"), to)
	if c == nil {
		return t, pageReturn
	}
	t.Client, t.AppID, t.Return = c.Name, appID, to.String()
	return t, nil
}

// find is choose. Before it returns none, the store is read.
func (r *Relay) find(ctx context.Context, t trip, appID string, to *url.URL) (*Client, string) {
	c, account := r.choose(t, appID, to)
	if c == nil {
		r.cfg.House.Refresh(ctx)
		c, account = r.choose(t, appID, to)
	}
	return c, account
}

// choose returns the client to whose address a browser is to be sent back: the one that is
// named, or else the one whose return address fits best. Where two fit equally, neither is
// meant.
func (r *Relay) choose(t trip, appID string, to *url.URL) (chosen *Client, account string) {
	best := 0
	for _, c := range r.cfg.House.Clients() {
		fits := c.Returns.Match(to)
		if fits == 0 || fits < best || t.Form == Ticket && c.Name != t.Client {
			continue
		}
		id, ok := r.cfg.House.AccountOf(c, appID)
		switch {
		case !ok:
		case fits == best:
			chosen = nil
		default:
			chosen, account, best = c, id, fits
		}
	}
	return chosen, account
}

// begin sends the browser to WeChat.
func (r *Relay) begin(w http.ResponseWriter, req *http.Request, t trip) {
	origin, known := weblogin.Origin(req, r.cfg.Origin)
	if !known {
		r.cfg.Log.Error("a login needs the gateway's public address: set login.origin, such as https://login.example; "+
			"without it users can log in on this machine only", "log_code", "login_no_origin")
		r.refuse(w, req, t.Client, pageOrigin)
		return
	}
	state, err := r.site(req).Remember(w, req, t)
	if err != nil {
		r.cfg.Log.Error("a login could not begin", "log_code", "login_not_begun", "client", t.Client, "error", err)
		weblogin.PageUnavailable.Show(w, req, "")
		return
	}
	w.Header().Set("Location", platform.AuthorizeURL(r.cfg.OpenBase, t.AppID, origin+Path+t.Client, t.Scope, state))
	w.WriteHeader(http.StatusFound)
}

// finish answers a browser that comes back from WeChat: it is sent on to its program.
func (r *Relay) finish(w http.ResponseWriter, req *http.Request, name string, query url.Values) {
	var t trip
	refused := r.site(req).Recall(req, query.Get("state"), &t)
	code, one := weblogin.CodeOf(query)
	switch {
	case refused != nil:
	case !one:
		refused = weblogin.PageForged
	case t.Client != name:
		refused = weblogin.PageElsewhere
	}
	if refused != nil {
		r.refuse(w, req, name, refused)
		return
	}
	to, err := url.Parse(t.Return)
	if err != nil {
		r.refuse(w, req, name, pageReturn)
		return
	}
	c, appID := r.find(req.Context(), t, t.AppID, to) // as the entry is now
	if c == nil || c.Name != t.Client || appID != t.AppID {
		r.refuse(w, req, name, pageReturn)
		return
	}
	if code == "" { // the user does not want to
		r.sendBack(w, t, to, "error", "declined")
		return
	}
	// Each client has codes of its own: who brings one to another client gets nothing of it.
	out := r.once.Do(req.Context(), appID, string(rune(t.Form))+" "+c.Name+" "+code, func(ctx context.Context) weblogin.Outcome[string] {
		return r.exchange(ctx, c, t, code)
	})
	switch {
	case out.Value != nil && t.Form == Code:
		r.sendBack(w, t, to, "code", *out.Value)
	case out.Value != nil:
		r.sendBack(w, t, to, "ticket", *out.Value)
	case out.Again && t.Again < weblogin.MaxAgain:
		t.Again++
		r.begin(w, req, t)
	case out.Again:
		r.refuse(w, req, name, weblogin.PageCode)
	case out.Page == pageCrowded.Reason:
		r.refuse(w, req, name, pageCrowded)
	default:
		r.refuse(w, req, name, weblogin.PageOf(out.Page))
	}
}

// sendBack sends the browser to its program. As WeChat does, a program in its form learns
// from a missing code that the user has declined.
func (r *Relay) sendBack(w http.ResponseWriter, t trip, to *url.URL, name, value string) {
	parameters := url.Values{}
	if t.Form != Code || name != "error" {
		parameters.Set(name, value)
	}
	if len(t.State) > 0 || t.Form == Code {
		parameters.Set("state", string(t.State))
	}
	w.Header().Set("Location", weblogin.SendBack(to, parameters))
	w.WriteHeader(http.StatusFound)
}

// exchange finds out who the user is, and makes a ticket or code of it. A client that has
// too many is refused first, so that WeChat's code is not used up.
func (r *Relay) exchange(ctx context.Context, c *Client, t trip, code string) (out weblogin.Outcome[string]) {
	if !r.issued.Take(c.Name) {
		r.cfg.Log.Warn("a client has too many logins under way, so that another one was refused", "log_code", "login_too_many",
			"client", c.Name, "appid", t.AppID, "most", maxIssued)
		return weblogin.Outcome[string]{Page: pageCrowded.Reason}
	}
	defer func() {
		if out.Value == nil {
			r.issued.Return(c.Name)
		}
	}()
	failed := weblogin.Outcome[string]{Page: weblogin.PageUnavailable.Reason}
	log := r.cfg.Log.With("client", c.Name, "appid", t.AppID)
	grant, err := r.cfg.House.Exchange(ctx, c, t.AppID, code)
	if err != nil {
		failed.Again = platform.AnotherCodeHelps(err)
		log.Warn("a login's code was not exchanged", "log_code", "login_code_not_exchanged", "another_code_helps", failed.Again, "error", err)
		return failed
	}
	brings := Grant{AppID: t.AppID, OpenID: grant.OpenID, UnionID: grant.UnionID, Scope: grant.Scope, Snapshot: grant.Snapshot}
	switch {
	case grant.Snapshot && !t.Snapshot:
		return weblogin.Outcome[string]{Page: weblogin.PageSnapshot.Reason}
	case t.Form == Code:
		brings.Token, brings.Refresh, brings.End = grant.Token.Reveal(), grant.Refresh.Reveal(), time.Now().Add(grant.ExpiresIn)
	case t.Scope != scopeBase && !grant.Snapshot:
		info, err := r.cfg.House.UserInfo(ctx, t.AppID, grant)
		if err != nil {
			log.Error("the profile of a user who logs in was not read", "log_code", "login_profile_not_read", "error", err)
			return failed
		}
		brings.Nickname, brings.Avatar = info.Nickname, info.Avatar
		if brings.UnionID == "" {
			brings.UnionID = info.UnionID
		}
	}
	ticket := r.mint(t.Form, c.ID, time.Now())
	if err := r.shelf.Put(ctx, thing(t.Form, ticket, t.AppID), "logins of "+c.Name, brings, ticketKeep); err != nil {
		log.Error("a login was not written into the store", "log_code", "login_not_stored", "error", err)
		return failed
	}
	return weblogin.Outcome[string]{Value: &ticket}
}
