package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zhongkong-go/zhongkong/internal/spool"
)

const (
	transferTime = 2 * time.Minute // of an upload or a download, both bodies included
	bodyInMemory = 1 << 20         // of a body that comes without a length
	bodyOnDisk   = 1 << 30         // more of it is refused
)

// limitKey is where a ctx has the time limit of its calls.
type limitKey struct{}

// WithTimeLimit returns a ctx whose calls (Get, Post, Upload, Download) take limit at most,
// each of them, instead of their usual limits: Config.Timeout, and 2 minutes for an Upload
// or a Download. A negative limit means none but that of ctx, 0 the usual one. It does not touch what renews
// the token.
func WithTimeLimit(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, limitKey{}, limit)
}

// timeLimit returns what a call in ctx may take; usual unless it was told.
func timeLimit(ctx context.Context, usual time.Duration) time.Duration {
	if limit, told := ctx.Value(limitKey{}).(time.Duration); told && limit != 0 {
		return limit
	}
	return usual
}

// transferLimit is timeLimit of an upload or a download.
func (c *Client) transferLimit(ctx context.Context) time.Duration {
	usual := c.api.timeout
	if usual >= 0 {
		usual = max(usual, transferTime)
	}
	return timeLimit(ctx, usual)
}

// form is a body of multipart/form-data.
type form struct {
	body io.Reader
	kind string // its Content-Type
}

// Upload sends content as a file to the API at path, which may hold a query, and returns
// the JSON of the answer:
//
//	answer, err := client.Upload(ctx, "/cgi-bin/media/upload?type=image", "media", "cat.png", file)
//
// field is the name of the form's field, "media" for most APIs. filename is what WeChat
// calls the file, without folders; it has to have the extension of what it is, and must not
// be empty, since WeChat takes a file without a name for none (41005). content is read to
// its end before anything is sent, since WeChat wants a Content-Length: up to 1 MiB into
// memory, up to 1 GiB into a temporary file, so the call is repeated as any other when
// WeChat refuses its token. It is not closed, and if ctx ends first one Read of it may still
// be under way.
//
// The errors are those of [Client.Get], and that of content. A call may take Config.Timeout,
// and 2 minutes if that is less; see [WithTimeLimit]. A form with more than the one field goes by [Client.HTTPClient].
func (c *Client) Upload(ctx context.Context, path, field, filename string, content io.Reader) (json.RawMessage, error) {
	path, query, err := splitPath(path)
	if err != nil {
		return nil, err
	}
	upload, err := newForm(field, filename, content)
	if err != nil {
		return nil, err
	}
	ans, err := c.api.exchange(ctx, c.http.Do, request{
		method: http.MethodPost, path: path, query: query, form: upload,
		appID: c.appID, limit: maxAnswer, timeout: c.transferLimit(ctx),
	})
	if err != nil {
		return nil, err
	}
	if err := ans.check(); err != nil {
		return nil, err
	}
	return ans.body, nil
}

// newForm checks what an upload is made of.
func newForm(field, filename string, content io.Reader) (*form, error) {
	odd := func(s string) bool { return !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) }
	switch name := path.Base(strings.ReplaceAll(filename, `\`, "/")); {
	case content == nil:
		return nil, errors.New("platform: Upload has no content: give it an io.Reader, such as an open file")
	case field == "" || odd(field):
		return nil, errors.New(`platform: the field of an Upload is empty, or holds a control character: most APIs call it "media"`)
	case filename == "" || name == "." || name == "/" || odd(name):
		return nil, errors.New("platform: the filename of an Upload is empty, or holds a control character: WeChat takes a file without a name for none (41005); give one such as cat.png")
	default:
		filename = name
	}
	var around bytes.Buffer
	writer := multipart.NewWriter(&around)
	if _, err := writer.CreateFormFile(field, filename); err != nil {
		return nil, err
	}
	head := around.Len()
	if err := writer.Close(); err != nil {
		return nil, err
	}
	front, back := around.Bytes()[:head], around.Bytes()[head:]
	return &form{
		body: io.MultiReader(bytes.NewReader(front), content, bytes.NewReader(back)),
		kind: writer.FormDataContentType(),
	}, nil
}

// Download calls the API at path with GET and returns its answer as it comes, with its
// header: a file, such as that of /cgi-bin/media/get. The caller closes it, also to give it
// up. An answer that is an errcode in JSON is an [*Error]; an empty answer, HTML or a status
// other than 200 is an [*AnswerError]. JSON without an errcode is returned like a file: of a
// video, /cgi-bin/media/get answers {"video_url": …}.
//
// The other errors are those of [Client.Get]. The call, with the reading of the answer,
// may take Config.Timeout, and 2 minutes if that is less; see [WithTimeLimit].
func (c *Client) Download(ctx context.Context, path string, query url.Values) (io.ReadCloser, http.Header, error) {
	path, rawQuery, err := splitPath(path)
	if err != nil {
		return nil, nil, err
	}
	r := request{
		site: c.api.site, method: http.MethodGet, path: path, query: joined(rawQuery, query),
		appID: c.appID, timeout: c.transferLimit(ctx),
	}
	ctx, cancel := c.api.limited(ctx, r)
	start := time.Now()
	ans, body, err := c.download(ctx, r)
	c.api.called(ctx, r, start, ans, err)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return &keeping{body, cancel}, ans.header, nil
}

// download returns the answer as far as it was looked at, and the whole of it to be read.
func (c *Client) download(ctx context.Context, r request) (*answer, io.ReadCloser, error) {
	resp, err := c.api.open(ctx, c.http.Do, r)
	if err != nil {
		return nil, nil, err
	}
	ans := &answer{request: r, status: resp.StatusCode, header: resp.Header}
	var whole bool
	ans.body, err = readHead(resp.Body, c.api.site, false)
	if err == io.EOF { //nolint:errorlint // Reader's own, as io.Reader demands it
		whole, err = true, nil
	}
	switch {
	case err != nil:
		err = ans.broken(err)
	default:
		err = ans.checkFile(whole)
	}
	if err != nil {
		_ = resp.Body.Close()
		return nil, nil, err
	}
	return ans, &joinedBody{io.MultiReader(bytes.NewReader(ans.body), resp.Body), resp.Body}, nil
}

// checkFile returns nil for the beginning of a file. whole says that there is no more of it.
func (a *answer) checkFile(whole bool) error {
	body, reason := readJSON(a.body)
	isJSON := whole && reason == ""
	if f, isObject := readFields(body); isJSON && isObject {
		switch code, err := f.errcode(); {
		case err != nil:
			return a.unusable("%s", err)
		case code != 0:
			return a.refused(code, f)
		}
	}
	switch {
	case a.status != http.StatusOK:
		return a.unusable("its HTTP status is not 200")
	case whole && len(a.body) == 0:
		return a.unusable("it is empty")
	case !isJSON && mediaType(a.header.Get("Content-Type")) == "text/html":
		return a.unusable("it is HTML, not a file")
	}
	return nil
}

// joinedBody is a body of which something was read already.
type joinedBody struct {
	io.Reader
	io.Closer
}

// keeping is a body with something that ends when it is closed.
type keeping struct {
	io.ReadCloser

	end func()
}

// Close implements [io.Closer].
func (k *keeping) Close() error {
	err := k.ReadCloser.Close()
	k.end()
	return err
}

// bodyError says that the body of a request could not be read or kept: nothing was sent.
type bodyError struct{ err error }

func (e *bodyError) Error() string {
	return fmt.Sprintf("platform: nothing was sent, as the body could not be read for its Content-Length, without which WeChat answers 412: %v", e.err)
}

func (e *bodyError) Unwrap() error { return e.err }

// until is a reader that reads nothing more once ctx has ended.
type until struct {
	ctx    context.Context //nolint:containedctx // of one call
	source io.Reader
}

// Read implements [io.Reader].
func (u *until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.source.Read(p)
}

// measured returns a copy of req whose body has a length, and what forgets that body. It
// reads the body, but no longer than ctx.
func measured(req *http.Request) (known *http.Request, forget func(), err error) {
	type result struct {
		body *spool.Body
		err  error
	}
	ctx, read := req.Context(), make(chan result, 1)
	end := sync.OnceFunc(func() { closeBody(req.Body) })
	go func() {
		body, err := spool.Measure(&until{ctx, req.Body}, bodyInMemory, bodyOnDisk, nil)
		end()
		read <- result{body, err}
	}()
	var got result
	select {
	case got = <-read:
	case <-ctx.Done():
		end() // many a reader ends then
		go func() {
			if late := <-read; late.body != nil {
				late.body.Close()
			}
		}()
		return nil, nil, &bodyError{ctx.Err()}
	}
	if got.err != nil {
		return nil, nil, &bodyError{got.err}
	}
	known = req.WithContext(ctx)
	known.ContentLength, known.TransferEncoding = got.body.Size(), nil
	known.GetBody = got.body.Open
	if known.ContentLength == 0 {
		known.Body = http.NoBody
		return known, got.body.Close, nil
	}
	if known.Body, err = got.body.Open(); err != nil {
		got.body.Close()
		return nil, nil, &bodyError{err}
	}
	return known, got.body.Close, nil
}
