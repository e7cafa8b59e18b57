package platform

import (
	"net/http"
	"time"
)

// shortIdle is how long a connection may have been idle that carries a request which
// net/http does not repeat. A server may close a kept connection at any moment, and what
// it closes while a POST is on its way fails, though WeChat saw nothing of it. No server
// that keeps connections at all closes them as soon as this.
const shortIdle = 4 * time.Second

// KeepAlive returns a RoundTripper that keeps connections as transport does, with one
// exception: requests that net/http does not repeat on its own (POST above all) travel
// over connections that were idle for 4 s at most. transport must not be used otherwise.
func KeepAlive(transport *http.Transport) http.RoundTripper {
	single := transport.Clone()
	if single.IdleConnTimeout == 0 || single.IdleConnTimeout > shortIdle {
		single.IdleConnTimeout = shortIdle
	}
	return &keepAlive{repeated: transport, single: single}
}

type keepAlive struct{ repeated, single *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (k *keepAlive) RoundTrip(req *http.Request) (*http.Response, error) {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		if req.Body == nil || req.Body == http.NoBody || req.GetBody != nil {
			return k.repeated.RoundTrip(req)
		}
	}
	return k.single.RoundTrip(req)
}

// CloseIdleConnections closes the connections of both sorts.
func (k *keepAlive) CloseIdleConnections() {
	k.repeated.CloseIdleConnections()
	k.single.CloseIdleConnections()
}
