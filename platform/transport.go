package platform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

const (
	maxRefusalBytes = 4 << 10          // of an answer that may refuse a token; WeChat's have about 250
	rejectTimeout   = 30 * time.Second // of a Reject that no caller waits for
	tokenParameter  = "access_token"
	mostRepetitions = 2    // of a refused call: without a probe of its own, and after one, be it with the same token or another
	maxPaths        = 1024 // of which it is remembered when they worked
)

// Tokens is what a Transport needs of a [custody.Keeper].
type Tokens interface {
	// Token returns the live token.
	Token(ctx context.Context) (custody.Token, error)

	// Reject says that WeChat refused the value refused, and returns the token to
	// use instead.
	Reject(ctx context.Context, refused string) (custody.Token, error)
}

// Transport is an [http.RoundTripper] that adds the access_token to the query of
// each request. When WeChat refuses the token (40001, 40014, 42001; WeCom: 40014, 42001) it asks Tokens for
// what to use instead, and sends the request again: with a newer token, or once with
// the same one if WeChat accepts that when it is asked directly. It is assumed that a
// call that was refused in this way had no effect; after any other answer, and after
// none, nothing is sent again.
//
// The token goes to WeChat's API hosts over https and to API's base, nowhere
// else: other requests, redirects among them, end in [ErrForeignHost]. A request
// that carries an access_token of its own is sent as it is and never again.
// Neither the request in the response nor a Location header shows the token to
// the reader of the response.
//
// A request is sent again when its body can be had again: there is none, or
// GetBody is set, as [http.NewRequest] does for a bytes.Reader, bytes.Buffer and
// strings.Reader. Otherwise the token is renewed for the next caller, and this
// one gets WeChat's answer. It also gets that when there is nothing to send again with.
//
// WeChat answers 412 to a body without Content-Length. One that comes without, such as a
// pipe or an open file, is read to its end first: up to 1 MiB into memory, up to 1 GiB into a
// temporary file. So it can be sent again too.
//
// An answer of more than 4 KiB is not looked into, and one without Content-Length whose
// first field is another than errcode and errmsg, or an errcode that is about something
// else, is passed on as it comes.
type Transport struct {
	// Base sends the requests. Nil means http.DefaultTransport.
	Base http.RoundTripper

	// Tokens gives the token. Required.
	Tokens Tokens

	// API says which hosts may see the token, and which errcodes refuse it. Nil means
	// WeChat's own alone.
	API *API

	// Signer signs and encrypts the requests to its paths, and verifies and decrypts the
	// answers. Nil does nothing. A request that its program has signed is sent as it is.
	Signer *Signer

	rejecting sync.Map // refused values with a Reject that no caller waits for
	evidence  evidence
}

// RoundTrip implements [http.RoundTripper]. An error of Tokens.Token is wrapped
// and found by [errors.As] and [errors.Is].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil {
		closeBody(req.Body)
		return nil, errors.New("platform: the request has no URL")
	}
	if !t.API.trusts(req.URL) {
		closeBody(req.Body)
		return nil, fmt.Errorf("%w: this request is for %s", ErrForeignHost, shorten(clean(req.URL.Host, nil), 256))
	}
	if req.Body == nil || req.Body == http.NoBody || req.ContentLength > 0 {
		return t.roundTrip(req)
	}
	known, forget, err := measured(req)
	if err != nil {
		return nil, err
	}
	resp, err := t.roundTrip(known)
	if err != nil {
		forget()
		return nil, err
	}
	resp.Request = req
	resp.Body = &keeping{resp.Body, forget}
	return resp, nil
}

// roundTrip is RoundTrip of a request whose host and body are in order.
func (t *Transport) roundTrip(req *http.Request) (*http.Response, error) {
	if carriesToken(req.URL.RawQuery) {
		resp, err := t.base().RoundTrip(req)
		if err != nil {
			return nil, scrub(err, nil)
		}
		return resp, nil
	}
	ctx := req.Context()
	token, err := t.Tokens.Token(ctx)
	if err == nil && token.Value() == "" {
		err = errors.New("platform: Transport.Tokens gave an empty token")
	}
	if err != nil {
		closeBody(req.Body)
		return nil, &tokenError{err}
	}
	value := token.Value()
	resp, err := t.send(req, req.Body, value)
	call := &custody.Call{Path: req.URL.Path}
	for sent := 1; ; sent++ {
		if err != nil {
			return nil, err
		}
		code := refusal(resp, t.API.where())
		if code == 0 {
			if resp.StatusCode == http.StatusOK {
				t.evidence.worked(call.Path, value)
			}
			return resp, nil
		}
		call.Worked, call.Lived = t.evidence.of(call.Path, value)
		next, body, ok := t.instead(req, call, value)
		if !ok || sent > mostRepetitions {
			closeBody(body)
			return resp, nil
		}
		t.API.log().LogAttrs(ctx, slog.LevelDebug, "sending again",
			slog.String("path", req.URL.Path), slog.Int("errcode", code), slog.Bool("other_token", next != value))
		closeBody(resp.Body)
		value = next
		resp, err = t.send(req, body, value)
	}
}

// CloseIdleConnections closes those of Base; [http.Client] calls it.
func (t *Transport) CloseIdleConnections() { closeIdle(t.base()) }

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

// send sends a copy of req with token and body.
func (t *Transport) send(req *http.Request, body io.ReadCloser, token string) (*http.Response, error) {
	clone := req.Clone(req.Context()) // with a header of its own, whatever a RoundTripper below does to it
	clone.Body = body
	if clone.URL.RawQuery != "" {
		clone.URL.RawQuery += "&"
	}
	clone.URL.RawQuery += tokenQuery(token)
	path, signed := "", false
	if t.Signer != nil {
		path = t.path(req)
		signed = t.Signer.signs(req, path)
	}
	if signed {
		if err := t.signed(clone, path); err != nil {
			return nil, err
		}
	}
	resp, err := t.base().RoundTrip(clone)
	if err != nil {
		return nil, scrub(err, []string{token})
	}
	resp.Request = req
	hideToken(resp.Header, token)
	if signed {
		if err := t.Signer.answer(path, resp); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// path returns the path of a request as WeChat has it, without that of the base.
func (t *Transport) path(req *http.Request) string {
	if t.API == nil || origin(req.URL) != origin(t.API.base) {
		return req.URL.Path
	}
	return strings.TrimPrefix(req.URL.Path, t.API.base.Path)
}

// signed reads the body of a request and signs it.
func (t *Transport) signed(req *http.Request, path string) error {
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		closeBody(req.Body)
		if err != nil {
			return err
		}
	}
	return t.Signer.request(req, path, body)
}

// instead returns what to send again with after WeChat refused a value: another one, or
// the same. It reports false when there is nothing to be gained.
func (t *Transport) instead(req *http.Request, call *custody.Call, refused string) (token string, body io.ReadCloser, ok bool) {
	ctx := custody.WithCall(req.Context(), call)
	hasBody := req.Body != nil && req.Body != http.NoBody
	if hasBody && req.GetBody == nil {
		t.rejectInBackground(ctx, refused)
		return "", nil, false
	}
	next, err := t.Tokens.Reject(ctx, refused)
	if err != nil || next.Value() == "" || ctx.Err() != nil {
		return "", nil, false
	}
	if hasBody {
		if body, err = req.GetBody(); err != nil {
			return "", nil, false
		}
	}
	return next.Value(), body, true
}

// rejectInBackground has refused renewed for the callers to come. One goroutine
// at a time does it for one value; it ends with Tokens or after 30 s.
func (t *Transport) rejectInBackground(ctx context.Context, refused string) {
	if _, running := t.rejecting.LoadOrStore(refused, nil); running {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rejectTimeout)
	go func() {
		defer t.rejecting.Delete(refused)
		defer cancel()
		_, _ = t.Tokens.Reject(ctx, refused) // Tokens logs what comes of it
	}()
}

// evidence remembers when values last worked: what a Keeper needs to know to tell a
// path with a reason of its own from an invalid token.
type evidence struct {
	paths sync.Map // path → *success
	count atomic.Int32
	any   success
}

// success is when a value last worked, on a path or on any.
type success struct{ last atomic.Pointer[moment] }

type moment struct {
	value string
	at    atomic.Int64 // Unix nanoseconds
}

func (s *success) note(value string, now int64) {
	m := s.last.Load()
	if m == nil || m.value != value {
		m = &moment{value: value}
		s.last.Store(m)
	}
	m.at.Store(now)
}

func (s *success) of(value string) time.Time {
	if m := s.last.Load(); m != nil && m.value == value {
		return time.Unix(0, m.at.Load())
	}
	return time.Time{}
}

// worked notes that value was not refused on path.
func (e *evidence) worked(path, value string) {
	now := time.Now().UnixNano()
	e.any.note(value, now)
	known, ok := e.paths.Load(path)
	if !ok {
		if e.count.Add(1) > maxPaths { // somebody makes paths up
			e.paths.Clear()
			e.count.Store(1)
		}
		known, _ = e.paths.LoadOrStore(path, new(success))
	}
	known.(*success).note(value, now)
}

// of returns when value last worked on path, and when on any; zero for never.
func (e *evidence) of(path, value string) (worked, lived time.Time) {
	if known, ok := e.paths.Load(path); ok {
		worked = known.(*success).of(value)
	}
	return worked, e.any.of(value)
}

// tokenError is an error of Tokens on its way through an http.Client.
type tokenError struct{ Err error }

func (e *tokenError) Error() string { return e.Err.Error() }

func (e *tokenError) Unwrap() error { return e.Err }

func tokenQuery(token string) string { return tokenParameter + "=" + url.QueryEscape(token) }

// carriesToken reports whether a query holds an access_token, however escaped.
func carriesToken(query string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err == nil && name == tokenParameter {
			return true
		}
	}
	return false
}

// hideToken takes token out of a Location header that reflects it: http.Client
// prints that header in errors, and callers log it.
func hideToken(header http.Header, token string) {
	locations := header["Location"]
	for i, location := range locations {
		if !mentions(location, token) {
			continue
		}
		front, fragment, hasFragment := strings.Cut(location, "#")
		front, query, _ := strings.Cut(front, "?")
		var kept []string
		for pair := range strings.SplitSeq(query, "&") {
			if !mentions(pair, token) {
				kept = append(kept, pair)
			}
		}
		if len(kept) > 0 {
			front += "?" + strings.Join(kept, "&")
		}
		if hasFragment {
			front += "#" + fragment
		}
		if mentions(front, token) {
			header.Del("Location")
			return
		}
		locations[i] = front
	}
}

func mentions(text, token string) bool {
	if strings.Contains(text, token) || strings.Contains(text, url.QueryEscape(token)) {
		return true
	}
	for _, unescape := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape} {
		if plain, err := unescape(text); err == nil && strings.Contains(plain, token) {
			return true
		}
	}
	return false
}

// isRefusal reports whether an API of site refuses the access_token with code. WeCom's
// other codes of the class are about a suite's tokens.
func isRefusal(site errcode.Host, code int) bool {
	if site == errcode.WeCom && code != 40014 && code != 42001 {
		return false
	}
	info, _ := errcode.LookupOn(site, code)
	return info.Class == errcode.Refused
}

// refusal returns the errcode with which the answer refuses the token, 0 when it
// does not. It reads no more of the body than it needs, and leaves the whole of
// it to be read again.
func refusal(resp *http.Response, site errcode.Host) int {
	if resp.ContentLength > maxRefusalBytes || resp.StatusCode == http.StatusSwitchingProtocols {
		return 0
	}
	head, err := readHead(resp.Body, site, resp.ContentLength < 0 && !resp.Uncompressed)
	if err == io.EOF { //nolint:errorlint // Reader's own, as io.Reader demands it
		closeBody(resp.Body)
		resp.Body = io.NopCloser(bytes.NewReader(head))
		return refusalCode(head, site)
	}
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = broken{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), resp.Body}
	return 0
}

// readHead reads until it is clear that body is no JSON object, not even with spaces
// instead of control characters, or has more than maxRefusalBytes, with no error; or
// to its end, with io.EOF. Of a body that may be a stream it reads until it is clear that
// it is no refusal: a caller who waits for its first piece gets that when it comes.
func readHead(body io.Reader, site errcode.Host, stream bool) ([]byte, error) {
	head := make([]byte, 0, 512)
	for {
		n, err := body.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		begun := slices.IndexFunc(head, func(c byte) bool { return c > ' ' })
		if err == nil && begun >= 0 && (head[begun] != '{' || stream && !mayRefuse(head[begun+1:], site)) {
			return head, nil
		}
		if err != nil || len(head) > maxRefusalBytes {
			return head, err
		}
		if len(head) == cap(head) {
			head = append(make([]byte, 0, min(2*cap(head), maxRefusalBytes+1)), head...)
		}
	}
}

// mayRefuse reports whether an object of site that begins with text, after its brace, may
// turn out to refuse the token. In WeChat's refusals errcode or errmsg is the first field.
func mayRefuse(text []byte, site errcode.Host) bool {
	text, quoted := bytes.CutPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte{'"'})
	name, value, named := bytes.Cut(text, []byte{'"'})
	switch {
	case len(text) == 0, quoted && !named, bytes.ContainsFunc(name, func(r rune) bool { return r == '\\' || r < ' ' }):
		return true
	case !quoted:
		return false
	case !bytes.EqualFold(name, []byte("errcode")):
		return bytes.EqualFold(name, []byte("errmsg"))
	}
	value = bytes.TrimLeft(value, ": \t\r\n")
	end := bytes.IndexFunc(value, func(r rune) bool { return r != '-' && (r < '0' || r > '9') })
	if end < 1 {
		return true // not yet, or in a form that is looked at as a whole
	}
	code, err := strconv.Atoi(string(value[:end]))
	return err != nil || isRefusal(site, code)
}

// refusalDigits are the errcodes that refuse a token, as JSON writes them. It has one
// way to write a number like these, and no escapes for it.
var refusalDigits = sync.OnceValue(func() map[errcode.Host][][]byte {
	digits := make(map[errcode.Host][][]byte, len(siteHosts))
	for site := range siteHosts {
		for _, info := range errcode.AllOn(site) {
			if isRefusal(site, info.Code) {
				digits[site] = append(digits[site], strconv.AppendInt(nil, int64(info.Code), 10))
			}
		}
	}
	return digits
})

// refusalCode returns the errcode of a whole answer when it refuses the token. Most
// answers are no refusal, and need not be decoded to find that out.
func refusalCode(body []byte, site errcode.Host) int {
	mentioned := func(digits []byte) bool { return bytes.Contains(body, digits) }
	if len(body) > maxRefusalBytes || !slices.ContainsFunc(refusalDigits()[site], mentioned) {
		return 0
	}
	f, isObject := readFields(body)
	if !isObject {
		if f, isObject = readFields(spaced(body)); !isObject {
			return 0
		}
	}
	code, err := f.errcode()
	if err != nil || !isRefusal(site, int(code)) {
		return 0
	}
	return int(code)
}

// broken is the rest of a body after an error.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func closeBody(body io.ReadCloser) {
	if body != nil {
		_ = body.Close()
	}
}
