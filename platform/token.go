package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

const (
	classicPath = "/cgi-bin/token"
	stablePath  = "/cgi-bin/stable_token"
	probePath   = "/cgi-bin/get_api_domain_ip"

	maxCredentialAnswer = 64 << 10           // bytes; a token's answer has about 200
	maxTokenBytes       = 2048               // seen: 136 and 157; WeChat: reserve at least 512
	maxExpiresIn        = 7 * 24 * time.Hour // seen: 7200 s; what claims more is an answer that cannot be right
)

// TokenAPI is one of WeChat's two ways to an access_token. Their tokens live side
// by side; fetching in one never ends the other's.
type TokenAPI string

// The ways to an access_token.
const (
	// Stable is /cgi-bin/stable_token, which answers the token that lives as long
	// as it lives: programs that fetch on their own do not invalidate one another's.
	// The empty TokenAPI means this.
	Stable TokenAPI = "stable"

	// Classic is /cgi-bin/token, where each fetch issues a token and ends the one
	// before after 5 minutes. WeChat: 2,000 fetches a day.
	Classic TokenAPI = "classic"
)

// ParseTokenAPI reads "stable" or "classic"; "" is stable.
func ParseTokenAPI(text string) (TokenAPI, error) {
	switch api := TokenAPI(text).orDefault(); api {
	case Stable, Classic:
		return api, nil
	default:
		return "", named.Errorf("platform", `there is no token API %s: it is "stable" or "classic"`, shape.Show(text))
	}
}

func (t TokenAPI) orDefault() TokenAPI {
	if t == "" {
		return Stable
	}
	return t
}

// Account is a WeChat account as its console shows it.
type Account struct {
	AppID  string         // 开发者ID
	Secret custody.Secret // the AppSecret
}

// AccessToken returns the access_token of account as a kind of credential that a
// [custody.Keeper] keeps; api.Key names it.
//
// Its Fetch returns a *[custody.FetchError] whose Err is an [*Error], an
// [*AnswerError] or a [*ConnError]. Its Probe calls /cgi-bin/get_api_domain_ip,
// which every account may and which changes nothing.
func (a *API) AccessToken(account Account, tokenAPI TokenAPI) custody.Kind {
	tokenAPI = tokenAPI.orDefault()
	kind := custody.Kind{
		Fetch: func(ctx context.Context, mode custody.Mode) (custody.Grant, error) {
			grant, err := a.fetch(ctx, account, tokenAPI, mode)
			if err != nil {
				return custody.Grant{}, fetchError(err)
			}
			return grant, nil
		},
		Probe: func(ctx context.Context, value string) custody.Verdict {
			return a.Probe(ctx, account.AppID, value)
		},
		DailyFetches: 5000, // of WeChat's 500,000
		Idempotent:   true,
		Forceable:    true,
	}
	if tokenAPI == Classic {
		kind.DailyFetches = 1800 // of WeChat's 2,000: the rest is for people who debug
		kind.Idempotent, kind.Forceable = false, false
	}
	return kind
}

// errConfig marks a request that was not worth sending.
var errConfig = errors.New("platform: the account cannot be used")

func (a *API) fetch(ctx context.Context, account Account, tokenAPI TokenAPI, mode custody.Mode) (custody.Grant, error) {
	secret := account.Secret.Reveal()
	switch {
	case account.AppID == "":
		return custody.Grant{}, fmt.Errorf("%w: its AppID is empty", errConfig)
	case secret == "":
		return custody.Grant{}, fmt.Errorf("%w: its AppSecret is empty", errConfig)
	}
	r := request{appID: account.AppID, limit: maxCredentialAnswer, secrets: []string{secret}}
	switch tokenAPI {
	case Classic:
		r.method, r.path = http.MethodGet, classicPath
		r.query = url.Values{
			"grant_type": {"client_credential"}, "appid": {account.AppID}, "secret": {secret},
		}.Encode()
	case Stable:
		r.method, r.path = http.MethodPost, stablePath
		body, err := encodeJSON(struct {
			GrantType    string `json:"grant_type"`
			AppID        string `json:"appid"`
			Secret       string `json:"secret"`
			ForceRefresh bool   `json:"force_refresh,omitempty"`
		}{"client_credential", account.AppID, secret, mode == custody.Forced})
		if err != nil {
			return custody.Grant{}, fmt.Errorf("%w: %w", errConfig, err)
		}
		r.body = body
	default:
		_, err := ParseTokenAPI(string(tokenAPI))
		return custody.Grant{}, fmt.Errorf("%w: %w", errConfig, err)
	}
	// A transport and not an http.Client: no redirect may carry the secret on, and
	// no *url.Error is made.
	ans, err := a.exchange(ctx, a.credentials.RoundTrip, r)
	if err != nil {
		return custody.Grant{}, err
	}
	return ans.grant("access_token")
}

// grant reads the answer of an endpoint that gives a credential in the field name.
// Only a clean success is one: a credential that is not quite right would be handed
// out until its end.
func (a *answer) grant(name string) (custody.Grant, error) {
	body, reason := readJSON(a.body)
	if reason != "" {
		return custody.Grant{}, a.unusable("%s", reason)
	}
	f, isObject := readFields(body)
	if !isObject {
		return custody.Grant{}, a.unusable("it is not a JSON object")
	}
	code, err := f.errcode()
	if err != nil {
		return custody.Grant{}, a.unusable("%s", err)
	}
	raw, found := f[name]
	if code != 0 {
		// The API of WeCom keeps the fields of a success, empty, next to its errcode.
		if found && string(raw) != `""` {
			return custody.Grant{}, a.unusable("it holds errcode %d next to its %s", code, name)
		}
		return custody.Grant{}, a.refused(code, f)
	}
	var value *string
	switch {
	case a.status != http.StatusOK:
		return custody.Grant{}, a.unusable("its HTTP status is not 200")
	case !found:
		return custody.Grant{}, a.unusable("it holds no %s", name)
	case json.Unmarshal(raw, &value) != nil || value == nil:
		return custody.Grant{}, a.unusable("its %s is not a string", name)
	case *value == "":
		return custody.Grant{}, a.unusable("its %s is empty", name)
	case len(*value) > maxTokenBytes:
		return custody.Grant{}, a.unusable("its %s has more than %d bytes", name, maxTokenBytes)
	case strings.ContainsFunc(*value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return custody.Grant{}, a.unusable("its %s holds other characters than printable ASCII", name)
	}
	raw, found = f["expires_in"]
	if !found {
		return custody.Grant{}, a.unusable("it holds no expires_in")
	}
	seconds, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || seconds < 1 || seconds > int64(maxExpiresIn/time.Second) {
		return custody.Grant{}, a.unusable("its expires_in is not a whole number from 1 to %d", maxExpiresIn/time.Second)
	}
	return custody.Grant{
		Value:     custody.NewSecret(*value),
		ExpiresIn: time.Duration(seconds) * time.Second,
	}, nil
}

// fetchError says what a failure means for the custody of the token. A program that has
// no parsed answer to a request that may have arrived does not know what WeChat
// issued.
func fetchError(err error) *custody.FetchError {
	failure := &custody.FetchError{Class: custody.ClassTransient, Err: err}
	var refusal *Error
	var conn *ConnError
	switch {
	case errors.As(err, &refusal):
		info := refusal.Info()
		failure.Class, failure.RetryAfter = class(info.Class), info.Retry
		failure.Code, failure.PerHost = refusal.Code, info.PerHost
	case errors.As(err, &conn):
		failure.Unanswered = conn.Sent
		failure.PerHost = !conn.Sent // other machines may reach WeChat, and need not wait
	case errors.Is(err, errConfig):
		failure.Class = custody.ClassFatal
	default:
		failure.Unanswered = true
	}
	return failure
}

func class(c errcode.Class) custody.Class {
	switch c {
	case errcode.Blocked:
		return custody.ClassBlocked
	case errcode.Quota:
		return custody.ClassQuota
	case errcode.Fatal:
		return custody.ClassFatal
	default:
		return custody.ClassTransient
	}
}

// noVerdict are the errcodes about WeChat's own state, or how often it is asked.
var noVerdict = []int{-1, 41001, 45009, 45011, 45033}

// Probe asks WeChat whether it takes value, an access_token of account, with
// /cgi-bin/get_api_domain_ip: the Probe of a [custody.Kind]. WeChat looks at the token
// first, so every errcode that is not about it, nor about WeChat's own state or how often
// it is asked, means that it was taken. That WeCom looks at it before the caller's address
// (60020) is not known.
func (a *API) Probe(ctx context.Context, account, value string) custody.Verdict {
	if value == "" {
		return custody.Rejected
	}
	ans, err := a.exchange(ctx, a.credentials.RoundTrip, request{
		method: http.MethodGet, path: probePath, query: tokenQuery(value),
		appID: account, limit: maxCredentialAnswer, secrets: []string{value},
	})
	if err != nil {
		return custody.NoVerdict
	}
	if _, isObject := readFields(spaced(ans.body)); !isObject {
		return custody.NoVerdict
	}
	err = ans.check()
	var refusal *Error
	switch {
	case err == nil:
		return custody.Accepted
	case !errors.As(err, &refusal):
		return custody.NoVerdict
	case isRefusal(a.site, refusal.Code):
		return custody.Rejected
	case slices.Contains(noVerdict, refusal.Code), a.site == errcode.WeCom && refusal.Info().PerHost:
		return custody.NoVerdict
	default:
		return custody.Accepted
	}
}
