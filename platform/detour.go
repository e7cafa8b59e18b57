package platform

import (
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// WeChat's two general hosts: the nearest, and the one for disasters. Paths and
// tokens are the same.
// WeChat: 接口域名.
const (
	firstHost  = "api.weixin.qq.com"
	secondHost = "api2.weixin.qq.com"
)

// detourTime is how long requests go to api2 first once api did not connect: a host
// that swallows connections costs the dial timeout each time that it is tried.
const detourTime = 30 * time.Second

// detour sends requests for api.weixin.qq.com to api2.weixin.qq.com when no
// connection to the first can be made. For a while after that it asks api2 first: what
// it remembers chooses the order and nothing else, so an error is returned only when
// neither host could be connected to, or something may have left.
//
// A second attempt is made only when the transport has reported, by httptrace, that it
// looked for a connection and had none. Then nothing of the request can have left, and a
// fetch of /cgi-bin/token issues no second token. api2 is asked after an error of name
// or dial alone: where a TLS handshake fails, something was there. api is asked after
// whatever kept api2 from connecting, since nobody has asked api.
//
// Requests for other hosts, sh.api.weixin.qq.com among them, are sent as they are.
type detour struct {
	base  http.RoundTripper
	route *route
}

// route is what all requests of an API know of the two hosts.
type route struct {
	log   *slog.Logger
	until atomic.Pointer[time.Time] // the first host did not connect; nil: it does
}

// RoundTrip implements [http.RoundTripper].
func (d *detour) RoundTrip(req *http.Request) (*http.Response, error) {
	if origin(req.URL) != (place{"https", firstHost, "443"}) {
		return d.base.RoundTrip(req)
	}
	hosts := [2]string{firstHost, secondHost}
	if until := d.route.until.Load(); until != nil && time.Now().Before(*until) {
		hosts = [2]string{secondHost, firstHost}
	}
	body := newReused(req)
	resp, elsewhere, err := d.try(req, body.first(), hosts[0])
	if !elsewhere {
		body.finish()
		return resp, err
	}
	again, ok := body.again()
	if !ok {
		d.route.failed(hosts[0]) // for the next request
		return nil, err
	}
	resp, elsewhere, other := d.try(req, again, hosts[1])
	if elsewhere { // neither connects
		if hosts[0] == firstHost {
			return nil, err // people have heard of this one
		}
		return nil, other
	}
	d.route.failed(hosts[0])
	return resp, other
}

// try sends the request to host. It reports whether the other host may be tried: no
// connection was made, so that nothing can have left, and the caller is still there.
func (d *detour) try(req *http.Request, body io.ReadCloser, host string) (resp *http.Response, elsewhere bool, err error) {
	var evidence Evidence
	there := req.Clone(evidence.Watch(req.Context()))
	there.URL.Host, there.Host, there.Body = host, "", body
	resp, err = d.base.RoundTrip(there)
	if err == nil || req.Context().Err() != nil || !evidence.unsent() {
		return resp, false, err
	}
	return resp, host == secondHost || isDial(err), err
}

// failed remembers that host did not connect.
func (r *route) failed(host string) {
	if host == secondHost {
		r.until.Store(nil)
		return
	}
	now := time.Now()
	before, until := r.until.Load(), now.Add(detourTime)
	if before != nil && now.Before(*before) || !r.until.CompareAndSwap(before, &until) {
		return // another request has found out
	}
	r.log.Warn("api.weixin.qq.com cannot be connected to: calls go to api2.weixin.qq.com",
		"log_code", "platform_second_host", "for", detourTime)
}

// CloseIdleConnections closes those of the base.
func (d *detour) CloseIdleConnections() { closeIdle(d.base) }

// reused is a request's body for two attempts. A transport closes a body also where
// there is no connection: one of which nothing was read is kept open for the second.
type reused struct {
	io.ReadCloser

	get func() (io.ReadCloser, error)

	mu     sync.Mutex // guards what follows
	read   bool       // something may have been read
	last   bool       // no further attempt will be made: Close closes
	closed bool       // Close was called before that
}

// newReused returns nil for a request without a body.
func newReused(req *http.Request) *reused {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	return &reused{ReadCloser: req.Body, get: req.GetBody}
}

// first returns what the first attempt reads.
func (b *reused) first() io.ReadCloser {
	if b == nil {
		return nil
	}
	return b
}

// again returns what the second attempt reads, and whether there is such a body.
func (b *reused) again() (io.ReadCloser, bool) {
	if b == nil {
		return nil, true
	}
	b.mu.Lock()
	read := b.read
	b.closed = b.closed && read // else it is open for the second attempt, which closes it
	b.mu.Unlock()
	b.finish()
	switch {
	case !read:
		return b, true
	case b.get == nil:
		return nil, false
	}
	body, err := b.get()
	return body, err == nil
}

// finish lets Close close from now on.
func (b *reused) finish() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.last = true
	closed := b.closed
	b.mu.Unlock()
	if closed {
		_ = b.ReadCloser.Close()
	}
}

// Read implements [io.Reader].
func (b *reused) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.read = true
	b.mu.Unlock()
	return b.ReadCloser.Read(p)
}

// Close implements [io.Closer].
func (b *reused) Close() error {
	b.mu.Lock()
	b.closed = true
	last := b.last
	b.mu.Unlock()
	if !last {
		return nil
	}
	return b.ReadCloser.Close()
}
