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
