package source

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// ownPrefix is how gateway tokens begin. WeChat's do not.
const ownPrefix = "zk_"

// Route returns a RoundTripper that sends requests whose access_token is a gateway
// token to the gateway, which carries them to WeChat, and all others by base. So a
// program does not have to know which sort of token its client gets, and a gateway
// token never goes anywhere else. Put it below whatever adds the token:
//
//	api, err := platform.New(platform.Config{Transport: src.Route(http.DefaultTransport)})
//	client := api.Client(src, appID)
//
// It looks at paths as https://api.weixin.qq.com has them.
func (s *Source) Route(base http.RoundTripper) http.RoundTripper { return &router{s.gateways, base} }

type router struct {
	gateways *gateways
	base     http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (r *router) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if req.URL == nil || !carriesOwn(req.URL.RawQuery) {
		return r.base.RoundTrip(req)
	}
	first := true
	r.gateways.inTurn(func(gateway *url.URL, _ int) bool {
		clone := req.Clone(req.Context())
		if !first && req.GetBody != nil {
			if clone.Body, err = req.GetBody(); err != nil {
				return true
			}
		}
		first = false
		clone.URL.Scheme, clone.URL.Host, clone.Host = gateway.Scheme, gateway.Host, ""
		clone.URL.Path, clone.URL.RawPath = gateway.Path+clone.URL.Path, ""
		resp, err = r.gateways.rt.RoundTrip(clone) //nolint:bodyclose // by whoever gets it
		var op *net.OpError
		unsent := errors.As(err, &op) && op.Op == "dial" // nothing of it has left
		return !unsent || req.Context().Err() != nil || req.Body != nil && req.Body != http.NoBody && req.GetBody == nil
	})
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// CloseIdleConnections closes those of base and of the Source's own transport;
// [http.Client] calls it.
func (r *router) CloseIdleConnections() {
	r.gateways.idle()
	if c, ok := r.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// carriesOwn reports whether the access_token of a query is a gateway token.
func carriesOwn(query string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err != nil || name != "access_token" {
			continue
		}
		value, err := url.QueryUnescape(value)
		if err == nil && strings.HasPrefix(value, ownPrefix) {
			return true
		}
	}
	return false
}
