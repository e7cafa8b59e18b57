package console_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/consoletest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/test/pages/browsertest"
)

// storied is a store with a past: tokens were fetched at other times than just now,
// and its journals reach back a day.
type storied struct {
	*memory.Store

	ages map[string]time.Duration // of the tokens, by appid
	born time.Time                // what is older was not so
	past map[string][]custody.Entry
}

func (s *storied) aged(key custody.Key, r custody.Record) custody.Record {
	if r.Value != "" {
		r.End = r.End.Add(-s.ages[key.AppID])
	}
	return r
}

func (s *storied) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	r, err := s.Store.Load(ctx, key)
	return s.aged(key, r), err
}

func (s *storied) LoadMany(ctx context.Context, keys []custody.Key) (map[custody.Key]custody.Record, error) {
	all, err := s.Store.LoadMany(ctx, keys)
	for key, r := range all {
		all[key] = s.aged(key, r)
	}
	return all, err
}

func (s *storied) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	lease, err := s.Store.Acquire(ctx, key, attempt, ttl)
	lease.Record = s.aged(key, lease.Record)
	return lease, err
}

func (s *storied) Journal(ctx context.Context, key custody.Key, limit int) ([]custody.Entry, error) {
	all, err := s.Store.Journal(ctx, key, limit)
	all = slices.DeleteFunc(all, func(e custody.Entry) bool { return e.At.Before(s.born) })
	all = append(all, s.past[key.AppID]...)
	return all[:min(len(all), limit)], err
}

// remember writes a day into the journal of an account whose token is so old: a
// renewal every two hours or so, and what else there was.
func (s *storied) remember(appID, host string, before ...custody.Entry) {
	entries := slices.Clone(before)
	for at := s.ages[appID] + time.Second; at < 24*time.Hour; at += 116 * time.Minute {
		attempt := fmt.Sprintf("%s/%s", host, at)
		entries = append(entries,
			custody.Entry{At: time.Now().Add(-at), Event: custody.EventSave, Attempt: attempt, Detail: "ahead of the token's end"},
			custody.Entry{At: time.Now().Add(-at - time.Second), Event: custody.EventBegin, Attempt: attempt, Detail: "ahead of the token's end"})
	}
	slices.SortFunc(entries, func(a, b custody.Entry) int { return b.At.Compare(a.At) })
	s.past[appID] = entries
}

// lively is a gateway on which something has happened.
func lively(t *testing.T) *consoletest.Desk {
	const accounts = 6
	store := &storied{Store: memory.New(), ages: map[string]time.Duration{}, past: map[string][]custody.Entry{}}
	first := consoletest.Start(t, consoletest.Options{
		Accounts: accounts, Store: store,
		Faults: []simulator.Fault{{AppID: consoletest.AppID(4), Errcode: -1}},
	}).
		Settled()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	first.WeChat.ClearFaults()
	store.born = time.Now()
	for n := range accounts {
		store.ages[consoletest.AppID(n)] = time.Duration(n*n*37+n*11+3) * time.Minute % (108 * time.Minute)
	}
	store.ages[consoletest.AppID(1)] = 117*time.Minute + 30*time.Second
	for n := range accounts {
		host := fmt.Sprintf("gateway-%d/7", n%2+1)
		before := []custody.Entry{}
		event := func(minutes int, earlier time.Duration, event custody.Event, detail string) {
			at := time.Now().Add(-time.Duration(minutes)*time.Minute - earlier)
			before = append(before, custody.Entry{At: at, Event: event, Attempt: fmt.Sprintf("%s/%d", host, minutes), Detail: detail})
		}
		switch n {
		case 2: // another program fetches for it
			for _, minutes := range []int{191, 197, 214, 505, 521} {
				event(minutes, 0, custody.EventSave, "the token was refused")
				event(minutes, time.Second, custody.EventBegin, "the token was refused")
			}
		case 3, 4:
			for minutes := 11 + 740*(4-n); minutes < 55+800*(4-n); minutes += 10 {
				event(minutes, 0, custody.EventRelease, "WeChat refuses /cgi-bin/stable_token for "+consoletest.AppID(n)+": errcode 40164, invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist. The address is 203.0.113.7. Add it.")
				event(minutes, time.Second, custody.EventBegin, "the token had expired")
			}
		}
		if n == 4 {
			store.ages[consoletest.AppID(n)] = 3 * time.Hour
		}
		store.remember(consoletest.AppID(n), host, before...)
	}
	d := consoletest.Start(t, consoletest.Options{Accounts: accounts, Store: store, WeChat: first.WeChat, Faults: []simulator.Fault{
		{AppID: consoletest.AppID(4), Path: simulator.StableTokenPath, Errcode: 40164, Errmsg: "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist"},
		{AppID: consoletest.AppID(1), Path: simulator.StableTokenPath, Errcode: -1, Errmsg: "system error"},
	}, Change: func(c *gateway.Config) {
		c.Accounts[0].Callback = consoletest.PushedTo(t)
		c.Accounts[0].Callback.Subscribers[1].Title = "进销存"
		for n, name := range []string{"主店公众号", "会员中心", "", "分店小程序", "门店助手", ""} {
			c.Accounts[n].Name = name
		}
	}}).Settled()
	d.Until("the renewal that fails", func() bool {
		return slices.ContainsFunc(d.Status(), func(s custody.Status) bool { return s.Live && s.Failure != nil })
	})
	shop := d.Client(gateway.Client{Name: "shop", Accounts: []string{gateway.AllAccounts}})
	for range 1204 {
		d.Fetch(consoletest.AppID(0), shop)
	}
	d.Client(gateway.Client{Name: "crm", Title: "客户管理系统", Accounts: []string{consoletest.AppID(0), consoletest.AppID(3), consoletest.AppID(5)}, Paths: []string{"/cgi-bin/user/*", "/cgi-bin/menu/get"}, Rate: 50})
	d.Client(gateway.Client{Name: "legacy-php", Accounts: []string{consoletest.AppID(2)}, Real: true, Ends: time.Now().AddDate(1, 0, 0)})
	if _, err := d.Clients("admin 192.0.2.7").Rotate(t.Context(), "crm", 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Refresh(t.Context(), "admin 192.0.2.7", consoletest.AppID(0)); err != nil {
		t.Fatal(err)
	}
	d.Push(consoletest.AppID(0), 12)
	return d
}

// TestLooks: at every width, in light and dark, in both languages the page has
// something to show and nothing to scroll sideways for. With -screenshots it writes
// the pictures of the READMEs.
func TestLooks(t *testing.T) {
	d := lively(t)
	wide, narrow := browsertest.Look{Width: 1600, Height: 1160}, browsertest.Look{Width: 390, Height: 844}
	for _, one := range []struct {
		name, path string // without a name there is no picture
		look       browsertest.Look
		dark       bool
		lang       string
	}{
		{"gateway-en-light", "", wide, false, "en"},
		{"gateway-en-dark", "", wide, true, "en"},
		{"gateway-zh-light", "", wide, false, "zh-CN"},
		{"gateway-zh-dark", "", wide, true, "zh-CN"},
		{"gateway-narrow", "", narrow, false, "en"},
		{"gateway-narrow-account", "accounts/" + consoletest.AppID(4), narrow, true, "zh-CN"},
		{"", "#clients-part", narrow, false, "zh-CN"},
		{"gateway-account", "accounts/" + consoletest.AppID(4), wide, false, "en"},
		{"", "accounts/" + consoletest.AppID(0), browsertest.Look{Width: 900, Height: 1000}, true, "zh-CN"},
		{"", "", browsertest.Look{Width: 1000, Height: 1000}, false, "en"},
		{"", "clients/add", narrow, false, "zh-CN"},
		{"", "clients/title?name=crm", narrow, false, "en"},
		{"", "clients/revoke?name=shop", narrow, true, "en"},
	} {
		t.Run(one.name+" "+one.path, func(t *testing.T) {
			one.look.Still, one.look.Dark, one.look.Lang = true, one.dark, one.lang
			tab := open(t, d, one.path, one.look)
			tab.Await(`!document.getElementById("link") && document.title || ` + browsertest.Joined)
			tab.Fits(".sheet", "thead")
			tab.Picture(one.name, 8_000, 400<<10)
		})
	}
}
