//go:build unix

package examples_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// phone is a browser in WeChat that reaches a public address on this machine.
type phone struct {
	t       *testing.T
	app     string
	wx      *simtest.Sim
	client  *http.Client
	cookies map[string]string
}

func newPhone(t *testing.T, app string, wx *simtest.Sim) *phone {
	return &phone{
		t: t, app: app, wx: wx, cookies: map[string]string{},
		client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

func (p *phone) open(path string) string {
	p.t.Helper()
	for range 10 {
		req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.app+path, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		for name, value := range p.cookies {
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		res, err := p.client.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			p.t.Fatal(err)
		}
		for _, c := range res.Cookies() {
			p.cookies[c.Name] = c.Value
		}
		location := res.Header.Get("Location")
		if location == "" {
			return string(body)
		}
		if strings.HasPrefix(location, p.wx.URL) {
			if location, err = p.wx.Authorize(location, simulator.Consent{}); err != nil {
				p.t.Fatal(err)
			}
		}
		var public bool
		if path, public = strings.CutPrefix(location, "http://shop.example"); !public {
			p.t.Fatalf("it leads to %s", location)
		}
	}
	p.t.Fatal("it is sent from one address to the next")
	return ""
}
