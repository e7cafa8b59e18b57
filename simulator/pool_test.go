package simulator_test

import (
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// life fails unless each token is alive exactly as long as stated. 0 is dead.
func life(t *testing.T, wx *simtest.Sim, left map[string]time.Duration) {
	t.Helper()
	for token, want := range left {
		info := wx.Inspect(token)
		if info.Left != want || wx.Accepts(token) != (want > 0) || (probe(t, wx, token) == 0) != (want > 0) {
			t.Errorf("token %.12s…: %+v, want %s left", token, info, want)
		}
	}
}

func TestTokenForm(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	form := regexp.MustCompile(`^[0-9]+_[A-Za-z0-9_-]{133}$`)
	for _, a := range []reply{classic(t, wx), stable(t, wx, false)} {
		if !form.MatchString(a.Token) || a.ExpiresIn != 7200 {
			t.Error(a.raw)
		}
		if a.raw != `{"access_token":"`+a.Token+`","expires_in":7200}` {
			t.Errorf("not WeChat's form: %s", a.raw)
		}
		if got := a.header.Get("Content-Type"); got != "application/json; encoding=utf-8" {
			t.Errorf("Content-Type is %q", got)
		}
	}
}

func TestClassicGenerations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		a := classic(t, wx).Token
		life(t, wx, map[string]time.Duration{a: 2 * time.Hour})
		time.Sleep(time.Hour)
		b := classic(t, wx).Token
		life(t, wx, map[string]time.Duration{a: 5 * time.Minute, b: 2 * time.Hour})
		time.Sleep(5*time.Minute - 1)
		life(t, wx, map[string]time.Duration{a: 1})
		time.Sleep(time.Nanosecond)
		life(t, wx, map[string]time.Duration{a: 0, b: 115 * time.Minute})

		c := classic(t, wx).Token
		time.Sleep(time.Minute)
		d := classic(t, wx).Token // the third: b dies at once
		life(t, wx, map[string]time.Duration{b: 0, c: 5 * time.Minute, d: 2 * time.Hour})
		if got := wx.Inspect(d); !got.Current || got.Pool != simulator.Classic || got.AppID != appid {
			t.Errorf("%+v", got)
		}
		if got := wx.Inspect(c); got.Current {
			t.Errorf("%+v", got)
		}

		time.Sleep(2*time.Hour - time.Minute)
		e := classic(t, wx).Token
		life(t, wx, map[string]time.Duration{d: time.Minute, e: 2 * time.Hour}) // its own end comes before the overlap's
		time.Sleep(time.Minute)
		if got := probe(t, wx, d); got != 42001 {
			t.Errorf("%d, want 42001", got)
		}
	})
}

func TestOverlap(t *testing.T) {
	for _, row := range []struct {
		life, overlap, want time.Duration
	}{
		{0, 0, 5 * time.Minute},
		{2 * time.Minute, 0, 5 * time.Second},
		{24 * time.Hour, 0, 5 * time.Minute},
		{0, time.Minute, time.Minute},
		{0, -1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			wx := inMemory(t, simulator.Options{Life: row.life, Overlap: row.overlap})
			total := row.life
			if total == 0 {
				total = simulator.DefaultLife
			}
			a := classic(t, wx)
			if a.ExpiresIn != int(total/time.Second) {
				t.Errorf("life %s: %s", row.life, a.raw)
			}
			wx.Supersede(appid)
			life(t, wx, map[string]time.Duration{a.Token: row.want})

			b := stable(t, wx, false)
			time.Sleep(total - row.want - 1)
			if got := stable(t, wx, false); row.want > 0 && got.Token != b.Token {
				t.Errorf("overlap %s: renewed too early", row.want)
			}
			time.Sleep(time.Nanosecond)
			got := stable(t, wx, false)
			if got.Token == b.Token {
				t.Errorf("overlap %s: not renewed", row.want)
			}
			life(t, wx, map[string]time.Duration{b.Token: row.want})
		})
	}
}

func TestStableNormal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		a := stable(t, wx, false)
		time.Sleep(100*time.Minute + time.Millisecond)
		b := stable(t, wx, false)
		if b.Token != a.Token || b.ExpiresIn != 1199 {
			t.Errorf("%s", b.raw)
		}
		time.Sleep(15*time.Minute - 2*time.Millisecond) // 1 ms before the handover
		if b = stable(t, wx, false); b.Token != a.Token || b.ExpiresIn != 300 {
			t.Errorf("%s", b.raw)
		}
		time.Sleep(time.Millisecond)
		c := stable(t, wx, false)
		if c.Token == a.Token || c.ExpiresIn != 7200 {
			t.Errorf("%s", c.raw)
		}
		life(t, wx, map[string]time.Duration{a.Token: 5 * time.Minute, c.Token: 2 * time.Hour})
		if got := wx.Stats(appid).Stable; got != (simulator.PoolStats{Calls: 4, Issued: 2}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestStableForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		a := stable(t, wx, false).Token
		b := stable(t, wx, true).Token
		if a == b {
			t.Fatal("force did not refresh")
		}
		life(t, wx, map[string]time.Duration{a: 5 * time.Minute, b: 2 * time.Hour})
		time.Sleep(30*time.Second - 1)
		if got := stable(t, wx, true); got.Token != b || got.ExpiresIn != 7170 {
			t.Errorf("inside the 30 s: %s", got.raw)
		}
		time.Sleep(time.Nanosecond)
		c := stable(t, wx, true).Token
		life(t, wx, map[string]time.Duration{a: 0, b: 5 * time.Minute, c: 2 * time.Hour})

		for range 18 {
			time.Sleep(30 * time.Second)
			if got := stable(t, wx, true); got.Errcode != 0 {
				t.Fatal(got.raw)
			}
		}
		last := wx.Latest(appid, simulator.Stable)
		if got := stable(t, wx, true); got.Token != last {
			t.Errorf("21st, inside the 30 s: %s", got.raw)
		}
		time.Sleep(30 * time.Second)
		if got := stable(t, wx, true); got.Errcode != 45009 {
			t.Errorf("21st: %s", got.raw)
		}
		if got := stable(t, wx, false); got.Token != last {
			t.Errorf("normal mode after it: %s", got.raw)
		}
		if got := wx.Stats(appid).Stable; got.Forced != 20 || got.Issued != 21 {
			t.Errorf("%+v", got)
		}
		time.Sleep(24 * time.Hour)
		if got := stable(t, wx, true); got.Errcode != 0 {
			t.Errorf("the next day: %s", got.raw)
		}
	})
}

func TestPoolsAreIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		a, b := classic(t, wx).Token, stable(t, wx, false).Token
		for range 3 {
			wx.SupersedeStable(appid)
		}
		life(t, wx, map[string]time.Duration{a: 2 * time.Hour, b: 0})
		c := stable(t, wx, false).Token
		for range 3 {
			classic(t, wx)
		}
		life(t, wx, map[string]time.Duration{a: 0, c: 2 * time.Hour})
	})
}

func TestDayChangesAtMidnightInBeijing(t *testing.T) {
	accounts := one()
	accounts[0].DailyFetches = 2
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{Accounts: accounts})
		now := wx.Clock.Now().UTC() // a bubble begins at midnight UTC, 8 o'clock in Beijing
		midnight := time.Date(now.Year(), now.Month(), now.Day(), 16, 0, 0, 0, time.UTC)
		classic(t, wx)
		classic(t, wx)
		wx.Clock.Advance(midnight.Sub(now) - 1)
		if got := classic(t, wx); got.Errcode != 45009 {
			t.Errorf("before midnight: %s", got.raw)
		}
		wx.Clock.Advance(1)
		if got := classic(t, wx); got.Errcode != 0 {
			t.Errorf("after midnight: %s", got.raw)
		}
	})
}

func TestLimitsOfWeChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{Events: -1})
		for range 2000 {
			if a := classic(t, wx); a.Errcode != 0 {
				t.Fatal(a.raw)
			}
		}
		if a := classic(t, wx); a.Errcode != 45009 {
			t.Error(a.raw)
		}
		for range 10_000 {
			if a := stable(t, wx, false); a.Errcode != 0 {
				t.Fatal(a.raw)
			}
		}
		if a := stable(t, wx, false); a.Errcode != 45011 {
			t.Error(a.raw)
		}
		time.Sleep(time.Minute)
		if a := stable(t, wx, false); a.Errcode != 0 {
			t.Error(a.raw)
		}
		if len(wx.Events()) != 0 {
			t.Error("events were kept")
		}
	})
}

func TestOldTokensAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		a := wx.Supersede(appid)
		for range 63 {
			wx.Supersede(appid)
		}
		if got := wx.Inspect(a); got.AppID != appid || got.Errcode != 40001 {
			t.Errorf("%+v", got)
		}
		wx.Supersede(appid)
		if got := wx.Inspect(a); got != (simulator.TokenInfo{Errcode: 40001}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestSeed(t *testing.T) {
	tokens := func(seed uint64, stableFirst bool) [4]string {
		wx := simtest.InMemory(t, simulator.Options{Seed: seed})
		var s string
		if stableFirst {
			s = stable(t, wx, false).Token
		}
		c := classic(t, wx).Token
		if !stableFirst {
			s = stable(t, wx, false).Token
		}
		return [4]string{wx.AppID(), wx.Secret(), c, s}
	}
	if a, b := tokens(1, false), tokens(1, true); a != b {
		t.Errorf("the same seed, but\n%v\n%v", a, b)
	}
	a, b, c := tokens(1, false), tokens(2, false), tokens(0, false)
	for i := range a {
		if a[i] == b[i] || a[i] == c[i] || b[i] == c[i] {
			t.Errorf("different seeds, but\n%v\n%v\n%v", a, b, c)
		}
	}
	if a[2] == a[3] {
		t.Error("both pools have the same token")
	}
}
