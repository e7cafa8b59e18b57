package platform

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// Issue is the GET with which an issuer gives a credential. It is for packages that make
// kinds of their own, as package wecom does.
type Issue struct {
	Account string     // whose it is, for errors and logs
	Path    string     // "/cgi-bin/gettoken"
	Query   url.Values // without the access_token
	Name    string     // of the credential in the answer: "access_token"

	// Secret is sent as the parameter SecretName, and nobody may read it.
	Secret     custody.Secret
	SecretName string // "corpsecret"
}

// Credential carries i out for the Fetch of a [custody.Kind]: once, over a connection of its
// own, without redirects. Its errors are those of the Fetch of [API.AccessToken].
func (a *API) Credential(ctx context.Context, i Issue) (custody.Grant, error) {
	grant, err := a.issue(ctx, i, "")
	if err != nil {
		return custody.Grant{}, fetchError(err)
	}
	return grant, nil
}

// CredentialBy is Credential for a call that takes an access_token. When that is refused,
// it is renewed and the call repeated once.
func (a *API) CredentialBy(ctx context.Context, tokens Tokens, i Issue) (custody.Grant, error) {
	token, err := tokens.Token(ctx) // at once, as a rule: Ready saw it alive
	if err != nil {
		return custody.Grant{}, withoutToken(err)
	}
	grant, err := a.issue(ctx, i, token.Value())
	if !a.refusesToken(err) {
		return grant, ticketError(err)
	}
	next, without := tokens.Reject(ctx, token.Value())
	if without != nil {
		return custody.Grant{}, withoutToken(without)
	}
	grant, err = a.issue(ctx, i, next.Value())
	return grant, ticketError(err)
}

// Ready waits for the token of tokens: the Prepare of a kind whose Fetch is CredentialBy.
func Ready(ctx context.Context, tokens Tokens) error {
	if _, err := tokens.Token(ctx); err != nil {
		return withoutToken(err)
	}
	return nil
}

func (a *API) issue(ctx context.Context, i Issue, token string) (custody.Grant, error) {
	query := url.Values{}
	maps.Copy(query, i.Query)
	if !i.Secret.IsZero() {
		query.Set(i.SecretName, i.Secret.Reveal())
	}
	if token != "" {
		query.Set(tokenParameter, token)
	}
	// A transport and not an http.Client: no redirect may carry the secret on, and
	// no *url.Error is made.
	ans, err := a.exchange(ctx, a.credentials.RoundTrip, request{
		method: http.MethodGet, path: i.Path, query: query.Encode(),
		appID: i.Account, limit: maxCredentialAnswer, secrets: nonEmpty(token, i.Secret.Reveal()),
	})
	if err != nil {
		return custody.Grant{}, err
	}
	return ans.grant(i.Name)
}

func (a *API) refusesToken(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && isRefusal(a.site, refusal.Code)
}

// ticketError is fetchError for an API that is called with a token: a call that it
// forbids, it forbids until somebody has changed something.
func ticketError(err error) error {
	if err == nil {
		return nil
	}
	failure := fetchError(err)
	var refusal *Error
	if errors.As(err, &refusal) && refusal.Info().Class == errcode.Call {
		failure.Class = custody.ClassBlocked
	}
	return failure
}

// withoutToken is the failure of a fetch for which no access_token was to be had;
// it waits as long as that does. It is this machine's own, as another one may have a
// token, unless WeChat refuses the account.
func withoutToken(err error) *custody.FetchError {
	failure := &custody.FetchError{Class: custody.ClassTransient, PerHost: true, Err: &noTokenError{err}}
	if none, ok := errors.AsType[*custody.Error](err); ok {
		failure.Class, failure.RetryAfter, failure.Code = none.Class, none.RetryAfter, none.Code
	}
	if refusal, ok := errors.AsType[*Error](err); ok {
		failure.PerHost = refusal.Info().PerHost
	}
	return failure
}

// noTokenError says why there is no access_token to fetch a ticket with.
type noTokenError struct{ cause error }

// Error leaves out when the next attempt comes, which a [custody.Error] says for
// itself: this text may be read later, elsewhere.
func (e *noTokenError) Error() string {
	text := e.cause.Error()
	if none, ok := errors.AsType[*custody.Error](e.cause); ok {
		text = none.Text
	}
	return "there is no access_token to fetch it with: " + strings.TrimPrefix(text, "zhongkong: ")
}

func (e *noTokenError) Unwrap() error { return e.cause }
