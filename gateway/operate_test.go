package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// TestAccounts: where each account comes from, and its limit.
func TestAccounts(t *testing.T) {
	w := newWorld(t, simulator.Options{}, func(c *gateway.Config) {
		c.Accounts[1].DailyFetches = -1
	})
	admin := w.Admin(custody.NewSecret(adminKey), nil)
	if got := call(admin, "PUT", "/accounts", `{"accounts":[{"appid":"wx9999999999999999","secret":"made-up","daily_fetches":7}]}`, adminKey); got.Code != 200 {
		t.Fatal(got.Body)
	}
	want := map[string]struct {
		daily int
		admin bool
	}{appID: {1800, false}, otherApp: {0, false}, "wx9999999999999999": {7, true}}
	all := w.Accounts()
	for _, a := range all {
		if w := want[a.Key.AppID]; a.DailyFetches != w.daily || a.Admin != w.admin {
			t.Errorf("%s: %d fetches a day, by the admin API: %t; want %+v", a.Key.AppID, a.DailyFetches, a.Admin, w)
		}
	}
	if len(all) != 3 || all[0].Key.AppID != appID {
		t.Errorf("%d accounts, %s first", len(all), all[0].Key.AppID)
	}
}

// TestRefresh: a token that WeChat accepts is kept, one that it refuses renewed, and
// what cannot be done is explained. Each is in the journal, before it is done.
func TestRefresh(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	patience.Until(t, "a token", func() bool { return w.Status()[0].Live })
	refresh := func(want gateway.Refreshed) {
		t.Helper()
		got, err := w.Refresh(t.Context(), "page 192.0.2.1", appID)
		if err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	before := w.Status()[0].Fence
	refresh(gateway.RefreshKept)
	if n := w.issued(); n != 1 || w.Status()[0].Fence != before {
		t.Errorf("%d tokens were issued, want the first alone", n)
	}
	w.wx.Kill(appID)
	refresh(gateway.RefreshRenewed)
	if n := w.issued(); n != 2 || w.Status()[0].Fence <= before {
		t.Errorf("%d tokens were issued, want 2", n)
	}
	lines, err := w.Fetches(t.Context(), appID, 10)
	if err != nil || len(lines) != 4 || lines[0].Event != custody.EventSave || lines[1].Detail != "the token was refused" {
		t.Errorf("the token's journal: %v, %v", lines, err)
	}
	uses, err := w.Uses(t.Context(), 10)
	if err != nil || len(uses) != 2 || uses[0].Act != "refresh token" || uses[0].Actor != "page 192.0.2.1" || uses[0].Subject != appID {
		t.Errorf("the journal: %v, %v", uses, err)
	}

	w.wx.Inject(simulator.Fault{Path: domainIP, Errcode: -1})
	if _, err := w.Refresh(t.Context(), "page", appID); err == nil || !strings.Contains(err.Error(), "does not say") {
		t.Errorf("WeChat says nothing: %v", err)
	}
	if _, err := w.Refresh(t.Context(), "page", "wx0"); !errors.Is(err, gateway.ErrNoAccount) {
		t.Error(err)
	}
	if _, err := w.Fetches(t.Context(), "wx0", 1); !errors.Is(err, gateway.ErrNoAccount) {
		t.Error(err)
	}
	bad := newWorld(t, simulator.Options{}, func(c *gateway.Config) { c.Accounts[0].Secret = custody.NewSecret("wrong-" + appSecret) })
	var failure *custody.Error
	if _, err := bad.Refresh(t.Context(), "page", appID); !errors.As(err, &failure) || failure.Code != 40125 || failure.RetryAfter <= 0 {
		t.Errorf("a wrong AppSecret: %v", err)
	}
	w.mustNotShow(appSecret)

	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Refresh(context.Background(), "page", appID); err == nil || !strings.Contains(err.Error(), "journal") {
		t.Errorf("without a journal: %v", err)
	}
}
