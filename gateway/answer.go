package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/platform"
)

// maxErrcodeBytes is the length of an answer in which an errcode is looked for behind
// other fields. WeChat's refusals have about 250 bytes.
const maxErrcodeBytes = 4 << 10

// cutError is an answer of WeChat that broke off before any of it was passed on.
type cutError struct {
	bytes int // that came
	err   error
}

func (e *cutError) Error() string {
	return fmt.Sprintf("WeChat's answer broke off after %d bytes: %v", e.bytes, e.err)
}

func (e *cutError) Unwrap() error { return e.err }

// whole reads the first bufferBytes of an answer before any of it is passed on, if it is
// a short or a textual one. So an answer that breaks off, as most do at their beginning,
// is answered in words and does not leave the caller with a connection that was cut. What
// may be a long download is passed on as it comes, and so is a stream, from its first
// pause on.
func whole(resp *http.Response) error {
	if !isShort(resp) {
		return nil
	}
	h := &held{body: resp.Body, buffer: buffers.Get()}
	if resp.ContentLength < 0 {
		h.untilPause()
	}
	for h.end < len(h.buffer) && h.err == nil && h.coming == nil {
		h.read()
	}
	if h.err != nil && h.err != io.EOF { //nolint:errorlint // Reader's own, as io.Reader demands it
		_ = h.Close()
		return &cutError{h.end, h.err}
	}
	resp.Body = h
	return nil
}

func isShort(resp *http.Response) bool {
	if resp.ContentLength >= 0 {
		return resp.ContentLength <= bufferBytes
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && (kind == "application/json" || kind == "text/plain")
}

// held is a body whose beginning is in memory.
type held struct {
	body   io.ReadCloser
	buffer []byte // of the pool; nil once it was given back
	at     int
	end    int   // of what was read into buffer
	err    error // of the last Read: nil, or io.EOF

	coming chan piece // of what is being read behind end; nil when nothing is
}

// piece is what a Read came to.
type piece struct {
	n   int
	err error
}

// maxPause is how long an answer may pause before what came of it is passed on.
const maxPause = 50 * time.Millisecond

func (h *held) read() {
	n, err := h.body.Read(h.buffer[h.end:])
	h.end, h.err = h.end+n, err
}

// untilPause reads on until the answer pauses, ends or fills the buffer. Its first piece
// is awaited however long it takes.
func (h *held) untilPause() {
	timer := time.NewTimer(maxPause)
	defer timer.Stop()
	for h.read(); h.end < len(h.buffer) && h.err == nil; {
		coming, behind := make(chan piece, 1), h.buffer[h.end:]
		go func() {
			n, err := h.body.Read(behind)
			coming <- piece{n, err}
		}()
		timer.Reset(maxPause)
		select {
		case p := <-coming:
			h.end, h.err = h.end+p.n, p.err
		case <-timer.C:
			h.coming = coming
			return
		}
	}
}

// Read implements [io.Reader].
func (h *held) Read(p []byte) (int, error) {
	if h.buffer != nil && h.at == h.end && h.coming != nil {
		p := <-h.coming
		h.coming = nil
		h.end, h.err = h.end+p.n, p.err
	}
	if h.buffer != nil && h.at < h.end {
		n := copy(p, h.buffer[h.at:h.end])
		h.at += n
		return n, nil
	}
	if h.err != nil {
		return 0, h.err
	}
	return h.body.Read(p)
}

// Close implements [io.Closer].
func (h *held) Close() error {
	if h.buffer != nil && h.coming == nil { // else the buffer is being read into
		buffers.Put(h.buffer)
	}
	h.buffer = nil
	return h.body.Close()
}

// sending tells whether WeChat may have got a call that is not to be made twice.
type sending struct {
	platform.Evidence

	begun atomic.Bool // the call was given to the transport
}

type sendingKey struct{}

// sends returns a ctx for a call that is not to be made twice.
func (s *sending) sends(ctx context.Context) context.Context {
	return s.Watch(context.WithValue(ctx, sendingKey{}, s))
}

// watched reports to the sending in a request's context, if there is one.
type watched struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	if s, _ := req.Context().Value(sendingKey{}).(*sending); s != nil {
		s.begun.Store(true)
	}
	return w.RoundTripper.RoundTrip(req)
}

// repeatable reports whether a call of that method may be made once more without asking:
// WeChat's do nothing new then.
func repeatable(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// may reports whether WeChat may have carried out the call that ended in err.
func (s *sending) may(err error) bool {
	var cut *cutError
	return s != nil && (errors.As(err, &cut) || s.begun.Load() && s.Sent(err))
}

// carriedOut is what a caller reads whose call WeChat may have carried out. It is no
// JSON, and has no errcode: programs repeat a call that was answered -1, and take an
// object without an errcode for a success.
const carriedOut = "WeChat may have carried out the call, and its answer was lost: find out before you make it again"

// wechatErrcode returns the errcode in the first piece of an answer of WeChat's, 0 when
// there is none. Where WeChat refuses a call, it writes the errcode first. Behind other
// fields it is looked for in short answers alone.
func wechatErrcode(piece []byte) int {
	if code, found := leadingErrcode(piece); found || len(piece) > maxErrcodeBytes || !bytes.Contains(piece, []byte(`"errcode"`)) {
		return code
	}
	var answer struct {
		Errcode int64 `json:"errcode"`
	}
	if json.Unmarshal(piece, &answer) != nil {
		return 0
	}
	if answer.Errcode != int64(int32(answer.Errcode)) {
		return OtherErrcode
	}
	return int(answer.Errcode)
}

// bufferBytes are those with which answers are copied.
const bufferBytes = 32 << 10

// pool holds the buffers that answers are copied with.
type pool struct{ sync.Pool }

var buffers = &pool{sync.Pool{New: func() any { return new([bufferBytes]byte) }}}

func (p *pool) Get() []byte  { return p.Pool.Get().(*[bufferBytes]byte)[:] }
func (p *pool) Put(b []byte) { p.Pool.Put((*[bufferBytes]byte)(b)) }
