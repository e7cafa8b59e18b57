package simulator_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

func TestRoundTripperKeepsItsContract(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	body := &closable{Reader: strings.NewReader(stableBody(wx, false))}
	r := request(t, "POST", "https://api.weixin.qq.com"+simulator.StableTokenPath, "")
	r.Body, r.ContentLength = body, int64(len(stableBody(wx, false)))
	before := *r
	res, err := wx.RoundTripper().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if !body.closed {
		t.Error("the request's body was not closed")
	}
	if r.RemoteAddr != before.RemoteAddr || r.RequestURI != before.RequestURI || r.ContentLength != before.ContentLength {
		t.Error("the request was changed")
	}
	whole, _ := io.ReadAll(res.Body)
	if res.Status != "200 OK" || res.Proto != "HTTP/1.1" || res.Request != r || res.ContentLength != int64(len(whole)) {
		t.Errorf("%+v", res)
	}

	for _, target := range []*url.URL{nil, {Path: "/"}} {
		if _, err := wx.RoundTripper().RoundTrip(&http.Request{URL: target}); err == nil { //nolint:bodyclose // there is none
			t.Error("a request without a host was sent")
		}
	}
	res, err = wx.RoundTripper().RoundTrip(&http.Request{URL: &url.URL{Scheme: "http", Host: "h", Path: "/cgi-bin/token"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if whole, _ = io.ReadAll(res.Body); !strings.Contains(string(whole), "appid missing") {
		t.Errorf("without a method, which means GET: %s", whole)
	}
}

type closable struct {
	io.Reader
	closed bool
}

func (c *closable) Close() error {
	c.closed = true
	return nil
}
