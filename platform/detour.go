package platform

import (
	"io"
	"log/slog"
	"net/http"
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
// connection to the first can be made, and the other way round while it remembers
// that. A second attempt is made only when the transport has told, by httptrace, that
// it looked for a connection and had none, and the error is one of name or dial: then
// nothing of the request can have left, and a fetch of /cgi-bin/token issues no
// second token. A failed TLS handshake is no reason: something was there.
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
	if origin(req.URL) != "https://"+firstHost+":443" {
		return d.base.RoundTrip(req)
	}
	hosts := [2]string{firstHost, secondHost}
	if until := d.route.until.Load(); until != nil && time.Now().Before(*until) {
		hosts = [2]string{secondHost, firstHost}
	}
	resp, connected, err := d.try(req, req.Body, hosts[0])
	if connected {
		return resp, err
	}
	hasBody := req.Body != nil && req.Body != http.NoBody
	if hasBody && req.GetBody == nil {
		d.route.failed(hosts[0]) // for the next: the transport has closed this one's body
		return nil, err
	}
	body := req.Body
	if hasBody {
		var broken error
		if body, broken = req.GetBody(); broken != nil {
			return nil, err
		}
	}
	resp, connected, other := d.try(req, body, hosts[1])
	if !connected {
		return nil, err // neither does: of the first one people have heard
	}
	d.route.failed(hosts[0])
	return resp, other
}

// try sends the request to host. It reports false when no connection was made, so that
// nothing can have left. A caller who has gone, or whose time is over, is no reason to
// try elsewhere.
func (d *detour) try(req *http.Request, body io.ReadCloser, host string) (resp *http.Response, connected bool, err error) {
	var trace connTrace
	there := req.Clone(trace.follow(req.Context()))
	there.URL.Host, there.Host, there.Body = host, "", body
	resp, err = d.base.RoundTrip(there)
	return resp, err == nil || !trace.missed(err) || req.Context().Err() != nil, err
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
		return // somebody else has found out
	}
	r.log.Warn("api.weixin.qq.com cannot be connected to: calls go to api2.weixin.qq.com", "for", detourTime)
}

// CloseIdleConnections closes those of the base.
func (d *detour) CloseIdleConnections() { closeIdle(d.base) }
