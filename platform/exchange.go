package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// request is one call of the API.
type request struct {
	method  string
	path    string // escaped, without base and query; this much may be shown
	query   string
	body    []byte // JSON; nil when there is none
	appID   string
	limit   int64    // bytes that the answer may have
	secrets []string // what it sends that nobody may read; none is empty
}

// answer is what came back, whole.
type answer struct {
	request request
	status  int
	header  http.Header
	body    []byte
}

// exchange sends r and reads the answer: the one way in which anything leaves
// for WeChat and comes back. do is the RoundTrip of a transport or the Do of a
// client.
func (a *API) exchange(ctx context.Context, do func(*http.Request) (*http.Response, error), r request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	start := time.Now()
	ans, err := a.send(ctx, do, r)
	if a.logger.Enabled(ctx, slog.LevelDebug) {
		attrs := []slog.Attr{
			slog.String("method", r.method), slog.String("path", r.path), slog.String("appid", r.appID),
			slog.Duration("took", time.Since(start)),
		}
		if err != nil {
			attrs = append(attrs, slog.String("error", err.Error()))
		} else {
			attrs = append(attrs, slog.Int("status", ans.status), slog.Int("bytes", len(ans.body)))
		}
		a.logger.LogAttrs(ctx, slog.LevelDebug, "called WeChat", attrs...)
	}
	return ans, err
}

func (a *API) send(ctx context.Context, do func(*http.Request) (*http.Response, error), r request) (*answer, error) {
	var evidence Evidence
	failed := func(sent bool, err error) error {
		return &ConnError{Path: r.path, AppID: r.appID, Sent: sent, Err: scrub(err, r.secrets)}
	}
	if err := ctx.Err(); err != nil {
		return nil, failed(false, err)
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body) // gives the request its Content-Length: WeChat answers 412 to chunked ones
	}
	req, err := http.NewRequestWithContext(evidence.Watch(ctx), r.method, a.base.String()+r.path, body)
	if err != nil {
		return nil, failed(false, err)
	}
	req.URL.RawQuery = r.query
	req.Header.Set("User-Agent", "zhongkong")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	resp, err := do(req)
	var withoutToken *tokenError
	switch {
	case errors.As(err, &withoutToken):
		return nil, withoutToken.Err
	case errors.As(err, new(*SignatureError)):
		return nil, withoutURL(err)
	case errors.Is(err, ErrForeignHost):
		return nil, withoutURL(err)
	case err != nil:
		return nil, failed(evidence.Sent(err), err)
	}
	defer func() { _ = resp.Body.Close() }()
	ans := &answer{request: r, status: resp.StatusCode, header: resp.Header}
	ans.body, err = io.ReadAll(io.LimitReader(resp.Body, r.limit+1))
	if err != nil {
		return nil, failed(true, fmt.Errorf("the answer broke off after %d bytes: %w", len(ans.body), err))
	}
	if int64(len(ans.body)) > r.limit {
		return nil, ans.unusable("it is longer than %d bytes", r.limit)
	}
	return ans, nil
}

// unusable returns the error that says what is wrong with the answer. No
// argument may come from its body.
func (a *answer) unusable(reason string, args ...any) *AnswerError {
	return &AnswerError{
		Path: a.request.path, AppID: a.request.appID,
		Status: a.status, Type: mediaType(a.header.Get("Content-Type")), Bytes: len(a.body),
		Reason: fmt.Sprintf(reason, args...),
	}
}

// refused returns WeChat's errcode as an error.
func (a *answer) refused(code int64, f fields) error {
	var errmsg string
	if raw, found := f["errmsg"]; found {
		_ = json.Unmarshal(raw, &errmsg) // one that is no string says nothing
	}
	return newError(a.request, int(code), errmsg)
}

// check returns nil when WeChat answered without an errcode: JSON, with HTTP
// status 200. An errcode counts whatever the status, since WeChat's own answers
// carry 200 with both.
func (a *answer) check() error {
	body, reason := readJSON(a.body)
	if reason != "" {
		return a.unusable("%s", reason)
	}
	a.body = body
	if f, isObject := readFields(body); isObject {
		code, err := f.errcode()
		if err != nil {
			return a.unusable("%s", err)
		}
		if code != 0 {
			return a.refused(code, f)
		}
	}
	if a.status != http.StatusOK {
		return a.unusable("its HTTP status is not 200")
	}
	return nil
}
