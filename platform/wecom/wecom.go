// Package wecom speaks the API of WeCom (企业微信), qyapi.weixin.qq.com: it fetches the tokens
// and tickets of a corp's apps for a [custody.Keeper], and puts tokens into calls.
//
//	api, err := wecom.New(platform.Config{})
//	app := wecom.App{CorpID: "ww0123456789abcdef", AgentID: "1000002", Secret: secret}
//	keeper, err := custody.New(custody.Config{
//		Key: api.Key(app), Kind: api.AccessToken(app), Store: store, Secret: secret,
//	})
//	client := api.Client(keeper, app)
//	err = client.Post(ctx, "/cgi-bin/message/send", message, nil)
//
// Each secret of a corp has a token of its own: one for each app, and one for each of the
// secrets that belong to no app, such as that of the contacts (通讯录同步). What gettoken
// answers while a token lives is that token, so programs that fetch on their own do not
// invalidate one another's.
//
// Errors are those of package platform, with WeCom's own meaning of each errcode. Two of
// them refuse a token, 40014 and 42001. That a call's address is not trusted (60020), or
// that it was made too often (45009), says nothing about a token, and nothing is renewed.
package wecom

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// DefaultBase is where WeCom's API is.
const DefaultBase = "https://" + string(errcode.WeCom)

const (
	tokenPath       = "/cgi-bin/gettoken" //nolint:gosec // a path, no credential
	corpTicketPath  = "/cgi-bin/get_jsapi_ticket"
	agentTicketPath = "/cgi-bin/ticket/get"
)

// faultyPause is how long a secret that WeCom refused is left alone. After 2,000 faulty
// calls of gettoken in an hour WeCom refuses all of them for an hour: so many secrets of a
// corp would have to be wrong.
const faultyPause = time.Hour + time.Minute

// Of the 400 tickets that WeCom gives a corp in an hour, and the 100 that it gives an app, the
// corp's own ticket may take 100, and an app's 100; the apps' together 300. Failed fetches
// count: with fewer, an outage of WeCom's would use them up, and last longer for that.
const (
	hourlyTickets = 50 // in a window, of which two may lie within an hour
	agentTickets  = 300
)

// faulty are the errcodes of faulty calls of gettoken.
var faulty = []int{40001, 40013, 40091, 41002, 41004}

// App is an app of a corp (应用), as the admin console shows it, or another secret of the
// corp, which has no AgentID.
type App struct {
	CorpID  string         // 企业ID: "ww0123456789abcdef"
	AgentID string         // "1000002"; "" for a secret that belongs to no app
	Secret  custody.Secret // of this app
}

// ID names the app in keys, errors and logs: "ww0123456789abcdef:1000002". Where there is
// no AgentID, the beginning of a hash of the secret follows instead. An App that [App.Check]
// refuses, since a Secret may be in the wrong field, is "unusable".
func (a App) ID() string {
	if len(a.CorpID) > maxCorpID || !isNumber(a.AgentID) {
		return "unusable" // it may hold a Secret, which must not be a name
	}
	if a.AgentID != "" {
		return a.CorpID + ":" + a.AgentID
	}
	sum := sha256.Sum256([]byte("zhongkong wecom secret\x00" + a.Secret.Reveal()))
	return a.CorpID + ":secret-" + hex.EncodeToString(sum[:4])
}

const maxCorpID = 32 // it has 18 characters, and a Secret 43

func isNumber(text string) bool { return strings.Trim(text, "0123456789") == "" }

// Check returns an error for an App that cannot be: the CorpID or the Secret is empty, or
// an id holds other characters than WeCom's.
func (a App) Check() error {
	odd := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
	}
	switch {
	case a.CorpID == "":
		return named.Errorf("wecom", "the CorpID is empty: see 企业微信管理后台 → 我的企业 → 企业信息")
	case len(a.CorpID) > maxCorpID, strings.ContainsFunc(a.CorpID, odd):
		return named.Errorf("wecom", "the CorpID is %s: it has letters, digits, _ and - alone, such as ww0123456789abcdef", shape.Show(a.CorpID))
	case !isNumber(a.AgentID):
		return named.Errorf("wecom", "the AgentID is %s: it is a number, such as 1000002", shape.Show(a.AgentID))
	case a.Secret.IsZero():
		return named.Errorf("wecom", "the Secret of %s is empty: see 企业微信管理后台 → 应用管理 → the app", strings.TrimSuffix(a.CorpID+":"+a.AgentID, ":"))
	}
	return nil
}

// API is WeCom's API at one address. It holds no app and no token, and is safe for
// concurrent use. All apps of a process should share one: it makes at most 40 calls of
// gettoken a second, and lets the others wait.
type API struct {
	api  *platform.API
	pace *Pace
}

// New returns the API; it connects to nothing. cfg.Site is WeCom's, whatever it says, and an
// empty cfg.Base is DefaultBase. The errors are those of [platform.New].
func New(cfg platform.Config) (*API, error) {
	cfg.Site = errcode.WeCom
	api, err := platform.New(cfg)
	if err != nil {
		return nil, err
	}
	return &API{api, new(Pace)}, nil
}

// WithPace returns the API with a pace that it shares with others of the process, whose
// addresses or timeouts differ.
func (a *API) WithPace(pace *Pace) *API { return &API{a.api, pace} }

// Platform returns the API without what is WeCom's own: for a [platform.Transport], which
// then puts tokens into requests to qyapi.weixin.qq.com and to the base, and nowhere else.
func (a *API) Platform() *platform.API { return a.api }

// CloseIdleConnections closes the connections that are kept for later calls.
func (a *API) CloseIdleConnections() { a.api.CloseIdleConnections() }

// Client returns a client whose calls carry the tokens of tokens, a Keeper of app's.
func (a *API) Client(tokens platform.Tokens, app App) *platform.Client {
	return a.api.Client(tokens, app.ID())
}

// Key returns the name under which every process that reaches this API keeps the token of
// app, and so shares it.
func (a *API) Key(app App) custody.Key {
	return custody.Key{Kind: "access_token", AppID: app.ID(), Host: a.api.Host()}
}

// AccessToken returns the access_token of app as a kind of credential that a
// [custody.Keeper] keeps; api.Key names it.
//
// The token of an app that WeCom has not ended is answered again by each fetch, so the kind
// is Idempotent; WeCom knows no forced renewal. Its Probe is [platform.API.Probe].
//
// A process calls gettoken at most 40 times a second, for all apps of this API together;
// the others wait for up to the time that a flight may take, and then fail and are tried
// again. After a secret was refused it is left alone for an hour, unless it changes.
func (a *API) AccessToken(app App) custody.Kind {
	id := app.ID()
	var paced atomic.Bool // Prepare has waited for the fetch that comes
	return custody.Kind{
		Prepare: func(ctx context.Context) error {
			if err := app.Check(); err != nil {
				return &custody.FetchError{Class: custody.ClassFatal, Err: err}
			}
			if err := a.pace.wait(ctx); err != nil {
				return err
			}
			paced.Store(true)
			return nil
		},
		Fetch: func(ctx context.Context, _ custody.Mode) (custody.Grant, error) {
			if !paced.Swap(false) { // it is the second one of a flight, or the store is unavailable
				if err := a.pace.wait(ctx); err != nil {
					return custody.Grant{}, err
				}
			}
			grant, err := a.api.Credential(ctx, platform.Issue{
				Account: id, Path: tokenPath, Name: "access_token",
				Query: url.Values{"corpid": {app.CorpID}}, SecretName: "corpsecret", Secret: app.Secret,
			})
			if failure, ok := errors.AsType[*custody.FetchError](err); ok && slices.Contains(faulty, failure.Code) {
				failure.Class, failure.RetryAfter = custody.ClassBlocked, faultyPause
			}
			return grant, err
		},
		Probe: func(ctx context.Context, value string) custody.Verdict {
			return a.api.Probe(ctx, id, value)
		},
		Idempotent:   true,
		DailyFetches: 2000, HourlyFetches: 200, MinuteFetches: 20, // about ten are made for each token
	}
}

// TicketType is what a ticket is good for.
type TicketType string

// The types of tickets.
const (
	CorpTicket  TicketType = "jsapi"        // wx.config: of the corp, whichever app it was fetched with
	AgentTicket TicketType = "agent_config" // wx.agentConfig: of one app
)

// ParseTicketType reads "jsapi" or "agent_config".
func ParseTicketType(text string) (TicketType, error) {
	switch t := TicketType(text); t {
	case CorpTicket, AgentTicket:
		return t, nil
	default:
		return "", named.Errorf("wecom", "there is no ticket of type %s: it is %q or %q", shape.Show(text), CorpTicket, AgentTicket)
	}
}

// TicketKey returns the name under which every process that reaches this API keeps a
// ticket: one for each app, kind "agent_ticket", and one for the corp, kind "jsapi_ticket",
// which all its apps share.
func (a *API) TicketKey(app App, t TicketType) custody.Key {
	if t == AgentTicket {
		return custody.Key{Kind: "agent_ticket", AppID: app.ID(), Host: a.api.Host()}
	}
	return custody.Key{Kind: "jsapi_ticket", AppID: app.CorpID, Host: a.api.Host()}
}

// Ticket returns a ticket as a kind of credential that a [custody.Keeper] keeps;
// api.TicketKey names it. tokens, the Keeper of the app's access_token, gives what it is
// fetched with.
//
// WeCom allows 400 fetches an hour for a corp and 100 for an app. HourlyFetches is 50, so
// that no hour of WeCom's sees more than 100 of each ticket, and the agent tickets of a corp
// are counted together: 300 an hour, over all its apps and all processes. Whether a fetch
// supersedes the ticket before is not documented, so the kind is not Idempotent, and no
// agent ticket is fetched while the store, where they are counted, is unavailable.
func (a *API) Ticket(tokens platform.Tokens, app App, t TicketType) custody.Kind {
	issue := platform.Issue{Account: app.ID(), Path: corpTicketPath, Name: "ticket"}
	if t == AgentTicket {
		issue.Path, issue.Query = agentTicketPath, url.Values{"type": {string(t)}}
	}
	var shared custody.Shared
	if t == AgentTicket {
		shared = custody.Shared{
			Key: custody.Key{Kind: "agent_ticket_fetches", AppID: app.CorpID, Host: a.api.Host()}, HourlyFetches: agentTickets,
		}
	}
	return custody.Kind{
		Prepare: func(ctx context.Context) error {
			_, err := ParseTicketType(string(t))
			if err == nil && t == AgentTicket && app.AgentID == "" {
				err = named.Errorf("wecom", "%s has no AgentID, and so no ticket for wx.agentConfig", app.ID())
			}
			if err != nil {
				return &custody.FetchError{Class: custody.ClassFatal, Err: err}
			}
			return platform.Ready(ctx, tokens)
		},
		Fetch: func(ctx context.Context, _ custody.Mode) (custody.Grant, error) {
			return a.api.CredentialBy(ctx, tokens, issue)
		},
		DailyFetches: 500, HourlyFetches: hourlyTickets, MinuteFetches: 20, Shared: shared,
	}
}

// RoundTripper returns what the API's calls travel by. It adds no token; a
// [platform.Transport] over it does.
func (a *API) RoundTripper() http.RoundTripper { return a.api.RoundTripper() }
