//go:build cgo && unix

package wechat_test

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestLoginProcesses: 100 reloads of one return address at once, in two processes: one
// exchange, 100 answers, one login. When the process that exchanges a code is killed, the
// other one does it.
func TestLoginProcesses(t *testing.T) {
	t.Parallel()
	wx := simtest.New(t, simulator.Options{Accounts: loginAccounts()})
	database := filepath.Join(t.TempDir(), "zhongkong.db")
	var processes []*process
	var urls []string
	for range 2 {
		p := start(t, job{Base: wx.URL, Database: database, AppID: testAppID, Secret: testSecret, Origin: shopOrigin})
		p.say("serve 0")
		processes, urls = append(processes, p), append(urls, p.hear().Token)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	b := newBrowser(t)
	send := func(base, address string) (status int, location string, session bool) {
		r := b.request(http.MethodGet, base+strings.TrimPrefix(address, shopOrigin))
		r.RequestURI = ""
		res, err := client.Do(r)
		if err != nil {
			return 0, err.Error(), false
		}
		defer func() { _ = res.Body.Close() }()
		_, _ = io.Copy(io.Discard, res.Body)
		for _, c := range res.Cookies() {
			session = session || strings.Contains(c.Name, "zk_user_")
			if strings.Contains(c.Name, "zk_login_") {
				b.cookies[c.Name] = c
			}
		}
		return res.StatusCode, res.Header.Get("Location"), session
	}
	begin := func() string {
		t.Helper()
		status, location, _ := send(urls[0], "/me?a=1")
		if status != http.StatusFound {
			t.Fatalf("%d %s", status, location)
		}
		back, err := wx.Authorize(location, simulator.Consent{})
		if err != nil {
			t.Fatal(err)
		}
		return back
	}

	wx.Inject(simulator.Fault{Path: "/sns/oauth2/access_token", Delay: 300 * time.Millisecond})
	back := begin()
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if status, location, session := send(urls[i%2], back); status != http.StatusSeeOther || location != shopOrigin+"/me?a=1" || !session {
				t.Errorf("answer %d: %d %s, a session: %v", i+1, status, location, session)
			}
		})
	}
	all.Wait()
	s := &shop{wx: wx}
	if n := s.exchanges(); n != 1 || wx.Stats(testAppID).Errcodes[40163] != 0 {
		t.Errorf("%d exchanges", n)
	}

	wx.ClearFaults()
	hanging := wx.Inject(simulator.Fault{Path: "/sns/oauth2/access_token", Delay: time.Hour, Times: 1})
	back = begin()
	all.Go(func() {
		if status, location, _ := send(urls[0], back); status != 0 {
			t.Errorf("a killed process answers %d %s", status, location)
		}
	})
	patience.Wait(func() bool { return hanging.Hits() == 1 })
	if err := processes[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if status, location, session := send(urls[1], back); status != http.StatusSeeOther || location != shopOrigin+"/me?a=1" || !session {
		t.Errorf("after the other process was killed: %d %s, a session: %v", status, location, session)
	}
	all.Wait()
	_ = processes[0].cmd.Wait()
	processes[1].quit()
}

// TestLoginProcessesThroughRelay: the same for programs that have no AppSecret and whose site
// is not in WeChat's console: they log in by a gateway's relay, as by WeChat itself.
func TestLoginProcessesThroughRelay(t *testing.T) {
	t.Parallel()
	g := newBehind(t)
	key := g.client(gateway.Client{Name: "shop", Returns: []string{shopOrigin + "/*"}})
	database := filepath.Join(t.TempDir(), "zhongkong.db")
	var urls []string
	var processes []*process
	for range 2 {
		p := start(t, job{Base: g.wx.URL, Database: database, AppID: testAppID, Origin: shopOrigin, OpenBase: g.server.URL, Gateway: g.server.URL, Key: key})
		p.say("serve 0")
		processes, urls = append(processes, p), append(urls, p.hear().Token)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	b := newBrowser(t)
	send := func(base, address string) (status int, location string, session bool) {
		address, _, _ = strings.Cut(address, "#") // which browsers keep to themselves
		r := b.request(http.MethodGet, base+strings.TrimPrefix(address, shopOrigin))
		r.RequestURI = ""
		res, err := client.Do(r)
		if err != nil {
			return 0, err.Error(), false
		}
		defer func() { _ = res.Body.Close() }()
		_, _ = io.Copy(io.Discard, res.Body)
		for _, c := range res.Cookies() {
			session = session || strings.Contains(c.Name, "zk_user_")
			if strings.Contains(c.Name, "zk_login_") {
				b.cookies[c.Name] = c
			}
		}
		return res.StatusCode, res.Header.Get("Location"), session
	}
	hop := func(address string) string {
		t.Helper()
		status, location, _ := send("", address)
		if status != http.StatusFound {
			t.Fatalf("%d %s", status, location)
		}
		return location
	}
	g.wx.Inject(simulator.Fault{Path: "/sns/oauth2/access_token", Delay: 200 * time.Millisecond})
	back, err := g.wx.Authorize(hop(hop(urls[0]+"/me?a=1")), simulator.Consent{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(back, g.server.URL+"/login/shop?") {
		t.Fatalf("WeChat sends the browser to %s", back)
	}
	var all sync.WaitGroup
	locations := make([]string, 50)
	for i := range locations { // the relay's return address
		all.Go(func() { _, locations[i], _ = send("", back) })
	}
	all.Wait()
	for i, location := range locations {
		if location != locations[0] || !strings.HasPrefix(location, shopOrigin+"/me?code="+login.Prefix) {
			t.Fatalf("answer %d: to %s", i+1, location)
		}
	}
	for i := range 100 { // the program's
		all.Go(func() {
			if status, location, session := send(urls[i%2], locations[0]); status != http.StatusSeeOther || location != shopOrigin+"/me?a=1" || !session {
				t.Errorf("answer %d: %d %s, a session: %v", i+1, status, location, session)
			}
		})
	}
	all.Wait()
	s := &shop{wx: g.wx}
	if n := s.exchanges(); n != 1 || g.wx.Stats(testAppID).Errcodes[40163] != 0 {
		t.Errorf("%d exchanges", n)
	}
	for _, p := range processes {
		p.quit()
	}
}
