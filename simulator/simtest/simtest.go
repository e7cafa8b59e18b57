// Package simtest gives a test its own WeChat: a [simulator.Simulator] that ends
// with the test.
//
//	func TestMenu(t *testing.T) {
//		wx := simtest.New(t, simulator.Options{})
//		app := newApp(wx.URL, wx.AppID(), wx.Secret()) // the program under test
//		app.CreateMenu()
//		wx.Clock.Advance(2 * time.Hour) // the token has expired
//		app.CreateMenu()
//		if n := wx.Stats(wx.AppID()).Stable.Issued; n != 2 { ... }
//	}
//
// Pushes go the other way: wx.Push(ctx, app.URL, simulator.Text("你好")).
//
// Inside a testing/synctest bubble, use [InMemory].
package simtest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// Sim is a Simulator and the way to it.
type Sim struct {
	*simulator.Simulator

	// URL is where it listens, without a slash at the end: the API base to
	// configure instead of https://api.weixin.qq.com.
	URL string

	client *http.Client
}

// New starts a Simulator on a free port of loopback, with its admin API. When the
// test ends, its connections are cut and its port is closed.
func New(tb testing.TB, options simulator.Options) *Sim {
	tb.Helper()
	s := start(tb, options)
	server := httptest.NewServer(s.Handler())
	tb.Cleanup(func() {
		server.CloseClientConnections() // ends delays: Close alone waits for them
		server.Close()
	})
	s.URL, s.client = server.URL, server.Client()
	return s
}

// InMemory makes a Simulator without a server, for testing/synctest bubbles: call
// it inside. Only Client and RoundTripper reach it; its URL is no host's.
func InMemory(tb testing.TB, options simulator.Options) *Sim {
	tb.Helper()
	s := start(tb, options)
	s.URL, s.client = "http://wechat.invalid", &http.Client{Transport: s.RoundTripper()}
	return s
}

func start(tb testing.TB, options simulator.Options) *Sim {
	tb.Helper()
	s, err := simulator.New(options)
	if err != nil {
		tb.Fatal(err)
	}
	return &Sim{Simulator: s}
}

// Client returns a client that reaches URL.
func (s *Sim) Client() *http.Client { return s.client }

// AppID returns the appid of the first account.
func (s *Sim) AppID() string { return s.Accounts()[0].AppID }

// Secret returns the AppSecret that the first account has now.
func (s *Sim) Secret() string { return s.Accounts()[0].Secret }

// Account returns the first account as it is now: what the app under test has to be
// configured with.
func (s *Sim) Account() simulator.Account { return s.Accounts()[0] }
