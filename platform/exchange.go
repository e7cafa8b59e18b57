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
	"os"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// request is one call of the API.
type request struct {
	site    errcode.Host // whose errcodes the answer has; set when it is sent
	method  string
	path    string // escaped, without base and query; this much may be shown
	query   string
	body    []byte // JSON; nil when there is none
	form    *form  // instead of body; nil when there is none
	appID   string
	limit   int64         // bytes that the answer may have
	timeout time.Duration // of the call; 0 is the API's, less is none
	secrets []string      // what it sends that nobody may read; none is empty
}

// answer is what came back, whole.
type answer struct {
	request request
	status  int
	header  http.Header
	body    []byte
}

// exchange sends r and reads the answer: with open, the one way in which anything leaves
// for WeChat and comes back. do is the RoundTrip of a transport or the Do of a
// client.
func (a *API) exchange(ctx context.Context, do func(*http.Request) (*http.Response, error), r request) (*answer, error) {
	r.site = a.site
	ctx, cancel := a.limited(ctx, r)
	defer cancel()
	start := time.Now()
	ans, err := a.send(ctx, do, r)
	a.called(ctx, r, start, ans, err)
	return ans, err
}

// limited returns a ctx that ends with the time that r may take.
func (a *API) limited(ctx context.Context, r request) (context.Context, context.CancelFunc) {
	limit := r.timeout
	if limit == 0 {
		limit = a.timeout
	}
	if limit < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// called logs a call; ans is nil after an error.
func (a *API) called(ctx context.Context, r request, start time.Time, ans *answer, err error) {
	if !a.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
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

func (a *API) send(ctx context.Context, do func(*http.Request) (*http.Response, error), r request) (*answer, error) {
	resp, err := a.open(ctx, do, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	ans := &answer{request: r, status: resp.StatusCode, header: resp.Header}
	ans.body, err = io.ReadAll(io.LimitReader(resp.Body, r.limit+1))
	if err != nil {
		return nil, ans.broken(err)
	}
	if int64(len(ans.body)) > r.limit {
		return nil, ans.unusable("it is longer than %d bytes", r.limit)
	}
	return ans, nil
}

// open sends r and returns the answer as it begins.
func (a *API) open(ctx context.Context, do func(*http.Request) (*http.Response, error), r request) (*http.Response, error) {
	var evidence Evidence
	failed := func(sent bool, err error) error {
		return &ConnError{
			Path: r.path, AppID: r.appID, Sent: sent, Err: scrub(err, r.secrets),
			remedy: network.Remedy(err, a.base.Host, os.Getenv),
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, failed(false, err)
	}
	var body io.Reader
	var kind string
	switch {
	case r.form != nil:
		body, kind = r.form.body, r.form.kind // Transport gives it a Content-Length
	case r.body != nil:
		body, kind = bytes.NewReader(r.body), "application/json" // it has one: WeChat answers 412 to chunked ones
	}
	req, err := http.NewRequestWithContext(evidence.Watch(ctx), r.method, a.base.String()+r.path, body)
	if err != nil {
		return nil, failed(false, err)
	}
	req.URL.RawQuery = r.query
	req.Header.Set("User-Agent", "zhongkong")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}

	resp, err := do(req)
	var withoutToken *tokenError
	switch {
	case err == nil:
		return resp, nil
	case errors.As(err, &withoutToken):
		return nil, withoutToken.Err
	case errors.As(err, new(*SignatureError)), errors.Is(err, ErrForeignHost), errors.As(err, new(*bodyError)):
		return nil, withoutURL(err)
	default:
		return nil, failed(evidence.Sent(err), err)
	}
}

// broken returns the error of an answer that ended with err.
func (a *answer) broken(err error) error {
	err = fmt.Errorf("the answer broke off after %d bytes: %w", len(a.body), err)
	return &ConnError{Path: a.request.path, AppID: a.request.appID, Sent: true, Err: scrub(err, a.request.secrets)}
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
