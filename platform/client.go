package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
)

// maxAnswer bounds the answers that Get and Post read, in bytes. Lists of
// followers, the longest, have about 400 KB.
const maxAnswer = 8 << 20

// Client calls the API in the name of one account. It is safe for concurrent
// use.
type Client struct {
	api   *API
	appID string
	http  *http.Client
}

// Client returns a client whose calls carry the tokens of tokens; appID is for
// errors and logs.
func (a *API) Client(tokens Tokens, appID string) *Client {
	return &Client{
		api:   a,
		appID: appID,
		http: &http.Client{
			Transport: &Transport{Base: a.calls, Tokens: tokens, API: a},
		},
	}
}

// WithSigner returns a client whose calls to the paths of signer are signed and encrypted;
// see [Signing]. An answer that is not to be trusted is a [*SignatureError].
func (c *Client) WithSigner(signer *Signer) *Client {
	signing := *c
	old := c.http.Transport.(*Transport)
	signing.http = &http.Client{
		Transport: &Transport{Base: old.Base, Tokens: old.Tokens, API: old.API, Signer: signer},
	}
	return &signing
}

// Get calls the API at path, such as "/cgi-bin/menu/get", and decodes the JSON of
// its answer into out as [json.Unmarshal] does. A nil out drops the answer; a
// *[]byte or *[json.RawMessage] receives the JSON itself. Ids of messages need an
// int64 or a [json.Number]: a float64 rounds them.
//
// It returns an [*Error] when WeChat answers with an errcode, an [*AnswerError]
// for an answer that is not JSON, does not fit out or has more than 8 MiB, a
// [*ConnError] when there is none, and what tokens returned, a Keeper's
// *custody.Error, when there is no token. A path that is a whole URL, or climbs
// with "..", or holds a space, is refused.
//
// A call ends after Config.Timeout (30 s); [WithTimeLimit] gives one call another limit.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, out)
}

// Post sends body as JSON to the API at path, which may hold a query, and does
// with the answer as [Client.Get] does. A []byte or [json.RawMessage] is JSON
// already; nil sends {}. A string is refused: as JSON it would be in quotes.
//
// The JSON is UTF-8 without \u escapes, which WeChat refuses in menus, templates
// and messages (40033); for the same reason control characters other than white
// space, and invalid UTF-8, are errors here.
func (c *Client) Post(ctx context.Context, path string, body, out any) error {
	encoded, err := encodeJSON(body)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, nil, encoded, out)
}

// HTTPClient returns an http.Client that adds the token by a [Transport], for libraries that
// take one and for what Get, Post, Upload and Download do not do. Its requests go to full
// URLs, which begin with [Client.Base]. Its Timeout is Config.Timeout; the copy is the
// caller's, who may change it.
func (c *Client) HTTPClient() *http.Client {
	client := *c.http
	client.Timeout = max(0, c.api.timeout)
	return &client
}

// Base returns the URL in front of every path, without a slash at its end: what the
// requests of an HTTPClient begin with.
func (c *Client) Base() string { return c.api.Base() }

// CloseIdleConnections closes the connections that are kept for later calls.
func (c *Client) CloseIdleConnections() { c.api.CloseIdleConnections() }

func (c *Client) call(ctx context.Context, method, path string, query url.Values, body []byte, out any) error { //nolint:revive,lll // Get and Post, whose arguments these are
	path, rawQuery, err := splitPath(path)
	if err != nil {
		return err
	}
	ans, err := c.api.exchange(ctx, c.http.Do, request{
		method: method, path: path, query: joined(rawQuery, query), body: body,
		appID: c.appID, limit: maxAnswer, timeout: timeLimit(ctx, c.api.timeout),
	})
	if err != nil {
		return err
	}
	if err := ans.check(); err != nil {
		return err
	}
	return ans.decode(out)
}

// decode puts the answer, which passed check, into the caller's out.
func (a *answer) decode(out any) error {
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = bytes.Clone(a.body)
		return nil
	case *json.RawMessage:
		*out = bytes.Clone(a.body)
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		unusable := a.unusable("it does not fit the type that it is to be decoded into")
		unusable.Err = err
		return unusable
	}
	return nil
}

// joined puts a query behind one that stood in a path.
func joined(raw string, query url.Values) string {
	if len(query) == 0 {
		return raw
	}
	return strings.TrimPrefix(raw+"&"+query.Encode(), "&")
}

// splitPath checks what a caller gave as the path of an API and takes the query
// off it. Its errors do not quote it: it may be a URL with a secret.
func splitPath(text string) (path, query string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		err = withoutURL(err)
	case u.Scheme != "" || u.Host != "" || u.User != nil || strings.HasPrefix(text, "//"):
		err = errors.New("it is a URL: leave scheme and host to Config.Base")
	case !strings.HasPrefix(text, "/"):
		err = errors.New("it does not begin with a slash, like /cgi-bin/menu/get")
	case climbs(u.Path):
		err = errors.New("it holds . or .. as a segment")
	case u.Fragment != "" || strings.ContainsFunc(u.Path, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }):
		err = errors.New("it holds a fragment, a backslash or a control character")
	case strings.ContainsFunc(text, unicode.IsSpace):
		err = errors.New("it holds a space: write %20 for it, or give the query as url.Values")
	default:
		return u.EscapedPath(), u.RawQuery, nil
	}
	return "", "", fmt.Errorf("platform: not the path of an API: %w", err)
}
