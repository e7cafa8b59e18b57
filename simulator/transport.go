package simulator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

type transport struct {
	handler http.Handler
	caller  string
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	if r.URL == nil || r.URL.Host == "" {
		return nil, named.Errorf("simulator", "no host in the request's URL")
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.WithContext(r.Context()) // a copy: a transport must not change the request
	in.RemoteAddr = "[" + t.caller + "]:443"
	in.RequestURI = r.URL.RequestURI()
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.ContentLength == 0 && in.Body != http.NoBody {
		in.ContentLength = -1 // what a client calls 0, a server calls -1
	}

	w := &memory{header: http.Header{}}
	whole := w.run(t.handler, in)
	if err := r.Context().Err(); !whole && err != nil {
		return nil, err
	}
	if !whole && !w.flushed {
		return nil, io.EOF
	}
	return w.response(r, whole), nil
}

// memory is a ResponseWriter that keeps the answer.
type memory struct {
	header  http.Header
	status  int
	body    bytes.Buffer
	flushed bool
}

func (w *memory) Header() http.Header { return w.header }
func (w *memory) Flush()              { w.flushed = true }

func (w *memory) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *memory) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// run serves the request and reports whether the answer is whole.
func (w *memory) run(h http.Handler, r *http.Request) (whole bool) {
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so as well: the value, not a chain
				panic(v)
			}
			whole = false
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

func (w *memory) response(r *http.Request, whole bool) *http.Response {
	w.WriteHeader(http.StatusOK)
	body := io.Reader(&w.body)
	if !whole {
		body = io.MultiReader(body, broken{})
	}
	length, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	return &http.Response{
		Status:     strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode: w.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        w.header,
		Body:          io.NopCloser(body),
		ContentLength: length,
		Request:       r,
	}
}

// broken is the rest of a body whose connection was cut.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// newNetwork sends pushes: a connection for each as WeChat does, no proxy, no
// compression.
func newNetwork() http.RoundTripper {
	return &http.Transport{DisableKeepAlives: true, DisableCompression: true}
}

// inMemory serves the request in a goroutine of its own: an app that does not look
// at its context is left behind when the patience has ended.
func inMemory(h http.Handler, r *http.Request) (*http.Response, error) {
	type answered struct {
		res *http.Response
		err error
	}
	done := make(chan answered, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil { // a server would log it and end the connection
				done <- answered{nil, fmt.Errorf("the app panicked: %v", v)}
			}
		}()
		res, err := (transport{handler: h, caller: "127.0.0.1"}).RoundTrip(r) //nolint:bodyclose // exchange closes it
		done <- answered{res, err}
	}()
	select {
	case a := <-done:
		return a.res, a.err
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
}
