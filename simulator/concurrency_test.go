package simulator_test

import (
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestEverythingAtOnce is for the race detector, and for counts that must add up.
func TestEverythingAtOnce(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one(), Events: 16})
	const rounds = 200
	actions := []func(){
		func() { classic(t, wx) },
		func() { stable(t, wx, false) },
		func() { stable(t, wx, true) },
		func() { probe(t, wx, wx.Latest(appid, simulator.Classic)) },
		func() { wx.Supersede(appid) },
		func() { wx.SupersedeStable(appid) },
		func() { wx.Kill(appid) },
		func() { wx.KillToken(wx.Latest(appid, simulator.Stable)) },
		func() { wx.Refuse(wx.Latest(appid, simulator.Classic)) },
		func() { wx.Clock.Advance(time.Second) },
		func() { wx.SetSecret(appid, wx.Secret()) },
		func() { wx.SetWhitelist(appid, "127.0.0.0/8") },
		func() { wx.Inject(simulator.Fault{AppID: appid, Times: 1, Delay: time.Microsecond}).Hits() },
		func() { wx.Delay("/cgi-bin/menu/*", time.Hour).Remove() },
		func() { wx.Stats(appid); wx.Stats(""); wx.Events(); wx.Accounts() },
		func() { wx.Inspect(wx.Latest(appid, simulator.Stable)) },
	}
	var all sync.WaitGroup
	for _, act := range actions {
		all.Go(func() {
			for range rounds {
				act()
			}
		})
	}
	all.Wait()
	got := wx.Stats(appid)
	if got.Classic.Calls != rounds || got.Classic.Issued != rounds || got.Classic.Outside != rounds ||
		got.Stable.Calls != 2*rounds || got.Stable.Outside != rounds {
		t.Errorf("%+v", got)
	}
	if len(wx.Events()) != 16 {
		t.Errorf("%d events", len(wx.Events()))
	}
}

// TestOneStableToken: callers of normal mode never supersede one another.
func TestOneStableToken(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: one()})
	var all sync.WaitGroup
	tokens := make(chan string, 100)
	for range 100 {
		all.Go(func() { tokens <- stable(t, wx, false).Token })
	}
	all.Wait()
	close(tokens)
	for token := range tokens {
		if token != wx.Latest(appid, simulator.Stable) {
			t.Error("two tokens")
		}
	}
	if got := wx.Stats(appid).Stable; got != (simulator.PoolStats{Calls: 100, Issued: 1}) {
		t.Errorf("%+v", got)
	}
}
