package gateway_test

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestManyAccountsAtScale: among 2,000 accounts 500 come and 500 go while calls are under way.
// No call of one that stays fails and none of their tokens is fetched again, those that
// went are refused, those that came work, and nothing is left running.
func TestManyAccountsAtScale(t *testing.T) {
	all := tier.Scale(t, 400, tier.Count(400, 2000))
	change := all / 4 // and as many are WeChat's alone at first
	stay, part := all-change, change/5
	name := func(n int) string { return fmt.Sprintf("wx%016x", n) }
	var there []simulator.Account
	var accounts []gateway.Account
	for n := range all + change {
		there = append(there, simulator.Account{AppID: name(n), Secret: fmt.Sprintf("made-up-%d", n)})
		accounts = append(accounts, gateway.Account{AppID: name(n), Secret: custody.NewSecret(there[n].Secret)})
	}
	wx := simtest.New(t, simulator.Options{Accounts: there})
	before := runtime.NumGoroutine()
	w := join(t, wx, sqliteStore(t, newPath(t)), func(c *gateway.Config) {
		c.Accounts = accounts[:all]
		c.Logger, c.Access = nil, nil
	})
	key := w.client(gateway.Client{Name: "shop", Accounts: []string{gateway.AllAccounts}})
	w.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 16
	ask := func(n int) reply {
		return w.get(domainIP, "Authorization", "Bearer "+key, "X-WeChat-AppID", name(n))
	}
	each := func(from, to int, errcode int) {
		t.Helper()
		var group sync.WaitGroup
		for first := range 8 {
			group.Go(func() {
				for n := from + first; n < to && !t.Failed(); n += 8 {
					if got := ask(n); got.Errcode != errcode || errcode == 0 && got.status != http.StatusOK {
						t.Errorf("account %d: %s, want %d", n, got.body, errcode)
					}
				}
			})
		}
		group.Wait()
	}
	each(0, all, 0)
	each(all, all+change, 40013)

	var calls atomic.Int64
	var group sync.WaitGroup
	stop := make(chan struct{})
	for caller := range 4 {
		group.Go(func() {
			for n := caller; ; n = (n + 7) % stay {
				select {
				case <-stop:
					return
				default:
				}
				calls.Add(1)
				if got := ask(n); got.Errcode != 0 || got.status != http.StatusOK {
					t.Errorf("account %d, which stays: %s", n, got.body)
					return
				}
			}
		})
	}
	// Those from stay to all go and the last ones come, in five steps.
	for step := part; step <= change; step += part {
		list := append(append([]gateway.Account{}, accounts[:all-step]...), accounts[all:all+step]...)
		seen := calls.Load()
		if err := w.Replace(list); err != nil {
			t.Error(err)
			break
		}
		patience.Until(t, "calls after a change", func() bool { return calls.Load() > seen+20 || t.Failed() })
	}
	each(stay, all, 40013)
	each(all, all+change, 0)
	close(stop)
	group.Wait()
	each(0, stay, 0)
	for n := range stay {
		if issued := wx.Stats(name(n)).Stable.Issued; issued != 1 {
			t.Errorf("account %d stayed, and %d tokens were issued for it, want 1", n, issued)
		}
	}
	w.http.CloseIdleConnections()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	// What is left serves the listener, WeChat and the store, whatever the number of
	// accounts.
	patience.Until(t, "the end of what ran", func() bool { return runtime.NumGoroutine() < before+50 })
	t.Logf("%d calls of those that stay, meanwhile", calls.Load())
}
