package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// numbers returns those of the account appID.
func numbers(t *testing.T, g *gateway.Gateway) gateway.AccountNumbers {
	t.Helper()
	all := g.Numbers().Accounts
	i := slices.IndexFunc(all, func(a gateway.AccountNumbers) bool { return a.AppID == appID })
	if i < 0 {
		t.Fatalf("no numbers of %s", appID)
	}
	return all[i]
}

// callsOf returns the counts that are not 0, as text.
func callsOf(counts []gateway.CallCount) string {
	var list []string
	for _, c := range counts {
		if c.Count > 0 {
			list = append(list, fmt.Sprintf("%s %d: %d", c.Answerer, c.Errcode, c.Count))
		}
	}
	return strings.Join(list, ", ")
}

func tokensOf(t *testing.T, a gateway.AccountNumbers) gateway.KindNumbers {
	t.Helper()
	i := slices.IndexFunc(a.Kinds, func(k gateway.KindNumbers) bool { return k.Kind == "access_token" })
	if i < 0 {
		t.Fatalf("%s has no numbers of its access_token: %+v", a.AppID, a.Kinds)
	}
	return a.Kinds[i]
}

// TestNumbersOfCalls: who answered what, for which account and client.
func TestNumbersOfCalls(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	key := w.client(gateway.Client{Name: "shop", Paths: []string{"/cgi-bin/*", "/made/*"}})
	w.client(gateway.Client{Name: "idle"})
	token := w.token(key)
	authorized := []string{"Authorization", "Bearer " + key, "X-WeChat-AppID", appID}
	before := time.Now()
	w.get(domainIP + "?access_token=" + token)
	w.get(domainIP, authorized...)
	w.wx.Inject(simulator.Fault{Path: domainIP, Errcode: 45009, Times: 2})
	w.get(domainIP, authorized...)
	w.get(domainIP, authorized...)
	w.wx.Inject(simulator.Fault{Path: domainIP, Body: `{"errcode": 123456789012, "errmsg":"none that anybody knows"}`, Times: 1})
	w.get(domainIP, authorized...)
	w.wx.Inject(simulator.Fault{Path: domainIP, Status: http.StatusBadGateway, Body: "<html>", Times: 1})
	w.get(domainIP, authorized...)
	w.get("/elsewhere", authorized...)                                         // not one of the client's paths
	w.get(domainIP, "Authorization", "Bearer zkkey_none")                      // no key
	w.get(domainIP + "?access_token=" + "zk_none")                             // no token
	w.get("/healthz")                                                          // does not count
	w.get("/readyz")                                                           // nor does this
	w.get("/cgi-bin/ticket/getticket?type=jsapi&access_token=" + w.token(key)) // answered here

	patience.Until(t, "all are counted", func() bool {
		return w.Numbers().All.Calls != nil && strings.Contains(callsOf(w.Numbers().Nobody), "40001")
	})
	n := w.Numbers()
	got := callsOf(numbers(t, w.Gateway).Calls)
	want := fmt.Sprintf("gateway 0: 3, gateway 48001: 1, wechat %d: 2, wechat 0: 2, wechat 45009: 2", gateway.OtherErrcode)
	if got != want {
		t.Errorf("calls of the account: %s; want %s", got, want)
	}
	if got, want := callsOf(n.Nobody), "gateway 40001: 1, gateway 40125: 1"; got != want {
		t.Errorf("calls of nobody: %s; want %s", got, want)
	}
	if n.WrongKeys != 2 || n.Proxied.Count != 6 || n.Proxied.UpTo[30] != 6 || n.Proxied.Sum <= 0 {
		t.Errorf("%d wrong keys, %d calls to WeChat in %s, %d of them in 30 s; want 2 and 6", n.WrongKeys, n.Proxied.Count, n.Proxied.Sum, n.Proxied.UpTo[30])
	}
	if len(n.Clients) != 2 || n.Clients[0].Name != "idle" || n.Clients[0].Calls != 0 || !n.Clients[0].Last.IsZero() ||
		n.Clients[1].Calls != 10 || n.Clients[1].Last.Before(before) {
		t.Errorf("clients: %+v", n.Clients)
	}

	// A client that is changed keeps its count, one that is revoked has none.
	if _, err := w.clients().Rotate(t.Context(), "shop", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := w.clients().Revoke(t.Context(), "idle"); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	if list := w.ClientNumbers(); len(list) != 1 || list[0].Calls != 10 {
		t.Errorf("clients after a rotation and a revocation: %+v", list)
	}
}

// TestNumbersOfRenewals: why the token was renewed, with what result, and what is
// left of the day.
func TestNumbersOfRenewals(t *testing.T) {
	var told atomic.Int32
	w := newWorld(t, simulator.Options{}, func(c *gateway.Config) {
		c.Accounts[0].DailyFetches = 3
		c.Trace = &custody.Trace{Fetched: func(custody.FetchedInfo) { told.Add(1) }}
	})
	key := w.client(gateway.Client{Name: "shop", Accounts: []string{gateway.AllAccounts}})
	w.token(key)
	patience.Until(t, "two tokens", func() bool { return w.Status()[0].Live && w.Status()[1].Live })
	w.wx.Kill(appID)
	if got := w.get(domainIP, "Authorization", "Bearer "+key, "X-WeChat-AppID", appID); got.Errcode != 0 {
		t.Fatal(got.body)
	}
	want := []gateway.RenewalCount{
		{Reason: custody.ReasonMissing, Result: custody.RenewalSaved, Count: 1},
		{Reason: custody.ReasonRefused, Result: custody.RenewalSaved, Count: 1},
	}
	var k gateway.KindNumbers
	patience.Until(t, "both renewals are counted", func() bool { // they are when callers have their token already
		k = tokensOf(t, numbers(t, w.Gateway))
		return slices.Equal(k.Renewals, want)
	})
	if k.Fetches != 2 || k.Left != 1 || k.Limit != 3 || k.Refusals[custody.RefusalRenewed] != 1 || len(k.Failures) != 0 {
		t.Errorf("after a refusal: %+v", k)
	}
	for range 2 {
		w.wx.Kill(appID)
		w.get(domainIP, "Authorization", "Bearer "+key, "X-WeChat-AppID", appID)
	}
	k = tokensOf(t, numbers(t, w.Gateway))
	if k.Left != 0 || !slices.Equal(k.Failures, []gateway.FailureCount{{Class: custody.ClassQuota, Count: 1}}) {
		t.Errorf("when the day's fetches are used up: %+v", k)
	}
	n := w.Numbers()
	if all := tokensOf(t, n.All); all.Fetches != 4 || n.Fetched.Count != 4 || told.Load() != 4 {
		t.Errorf("%d fetches of all accounts, %d of them timed, %d told to Config.Trace; want 4", all.Fetches, n.Fetched.Count, told.Load())
	}
	save := slices.IndexFunc(n.Store, func(s gateway.StoreNumbers) bool { return s.Call == custody.CallSave })
	if s := n.Store[save]; s.Outcomes[custody.OutcomeOK] != 4 || s.Latency.Count != 4 {
		t.Errorf("saves: %+v", s)
	}

	// An account that is changed keeps its numbers, one that is removed has none.
	if err := w.Replace([]gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Stable}}); err != nil {
		t.Fatal(err)
	}
	if tokensOf(t, numbers(t, w.Gateway)).Fetches < 3 {
		t.Error("the account's numbers were lost when it was changed")
	}
	if w.History(otherApp) != nil || len(w.Numbers().Accounts) != 1 {
		t.Error("there are numbers of an account that was removed")
	}
	if err := w.Replace([]gateway.Account{{AppID: "wx9999999999999999"}}); err == nil {
		t.Fatal("an account without a secret was taken")
	}
	if w.History("wx9999999999999999") != nil || w.History(appID) == nil {
		t.Error("a change that was not taken changed what is counted")
	}
	patience.Until(t, "a stable token", func() bool { return w.wx.Latest(appID, simulator.Stable) != "" })
	if text := fmt.Sprintf("%+v", w.Numbers()); strings.Contains(text, appSecret) ||
		strings.Contains(text, w.wx.Latest(appID, simulator.Stable)) ||
		strings.Contains(text, key) {
		t.Error("a secret is among the numbers")
	}
}

// TestHistory: a day in quarters of an hour, as two gateways of one store see it.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{{AppID: appID, Secret: appSecret}}})
		store := memory.New()
		t.Cleanup(func() { _ = store.Close() })
		clients := gateway.NewClients(store, "test")
		key, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{appID}})
		if err != nil {
			t.Fatal(err)
		}
		var gateways [2]*gateway.Gateway
		for i := range gateways {
			if gateways[i], err = gateway.New(t.Context(), gateway.Config{
				Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret)}},
				Store:    store, SealKeys: []custody.Secret{sealKey}, Transport: wx.RoundTripper(),
			}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = gateways[i].Close() }()
		}
		call := func() {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, domainIP, http.NoBody)
			r.Header.Set("Authorization", "Bearer "+key.Reveal())
			r.Header.Set("X-WeChat-AppID", appID)
			gateways[0].ServeHTTP(httptest.NewRecorder(), r)
		}
		must := func(g int, last gateway.Bucket) {
			t.Helper()
			synctest.Wait()
			for _, appID := range []string{appID, ""} {
				list := gateways[g].History(appID)
				last.Start = time.Now().Truncate(15 * time.Minute)
				if got := list[len(list)-1]; len(list) != 96 || !got.Start.Equal(last.Start) || got.Renewals != last.Renewals ||
					got.Refusals != last.Refusals ||
					got.Failures != last.Failures {
					t.Errorf(
						"gateway %d at %s, appid %q: the last of %d quarters is %+v, want %+v",
						g,
						time.Now().Format("15:04"),
						appID,
						len(list),
						got,
						last,
					)
				}
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := gateways[0].History(appID)[95].Renewals + gateways[1].History(appID)[95].Renewals; n != 1 {
			t.Errorf("the first fetch counts as %d renewals", n)
		}

		time.Sleep(20 * time.Minute)
		must(0, gateway.Bucket{})
		wx.Kill(appID)
		call()
		must(0, gateway.Bucket{Renewals: 1, Refusals: 1})
		must(1, gateway.Bucket{Renewals: 1}) // it was told

		time.Sleep(20 * time.Minute)
		wx.Kill(appID)
		wx.Inject(simulator.Fault{Path: simulator.Fetches, Errcode: -1, Times: 1})
		call()
		must(0, gateway.Bucket{Refusals: 1, Failures: 1})
		must(1, gateway.Bucket{})
		time.Sleep(2 * time.Second)
		call()
		must(0, gateway.Bucket{Refusals: 1, Failures: 1, Renewals: 1}) // the refused token was not tried again

		time.Sleep(30 * time.Minute)
		list := gateways[0].History(appID)
		for i, want := range []gateway.Bucket{{Calls: 1, Renewals: 1, Refusals: 1}, {Calls: 2, Errors: 1, Renewals: 1, Refusals: 1, Failures: 1}, {}, {}} {
			got := list[len(list)-4+i]
			if want.Start = got.Start; got != want { // the calls too
				t.Errorf("quarter %d of the last hour is %+v, want %+v", i, got, want)
			}
		}

		time.Sleep(24 * time.Hour)
		sum := gateway.Bucket{}
		for _, b := range gateways[0].History(appID) {
			sum.Renewals += b.Renewals
			sum.Refusals += b.Refusals
			sum.Failures += b.Failures
		}
		if sum.Renewals < 12 || sum.Renewals > 13 || sum.Refusals != 0 || sum.Failures != 0 {
			t.Errorf("a day later: %+v, want the renewals of 24 h alone", sum)
		}
	})
}

// TestClientOfManyAccounts: the journal's line about it is cut, and the client is whole.
func TestClientOfManyAccounts(t *testing.T) {
	t.Parallel()
	clients := gateway.NewClients(memory.New(), "test")
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf("wx%016x", i)
	}
	if _, err := clients.Add(t.Context(), gateway.Client{Name: "many", Accounts: many}); err != nil {
		t.Fatal(err)
	}
	list, err := clients.List(t.Context())
	if err != nil || len(list) != 1 || len(list[0].Accounts) != len(many) {
		t.Errorf("%d clients, %v", len(list), err)
	}
}
