package simulator_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

func TestSupersede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		mine := classic(t, wx).Token
		theirs := wx.Supersede(appid)
		life(t, wx, map[string]time.Duration{mine: 5 * time.Minute, theirs: 2 * time.Hour})
		if got := wx.Latest(appid, simulator.Classic); got != theirs {
			t.Errorf("latest is %q", got)
		}
		if got := wx.Stats(appid).Classic; got != (simulator.PoolStats{Calls: 1, Issued: 1, Outside: 1}) {
			t.Errorf("%+v", got)
		}

		theirs = wx.SupersedeStable(appid)
		if got := stable(t, wx, false).Token; got != theirs {
			t.Error("normal mode does not answer the token of the other party")
		}
		if got := stable(t, wx, true).Token; got != theirs {
			t.Error("the other party's refresh does not count towards the 30 s")
		}
		if got := wx.Stats(appid).Stable; got != (simulator.PoolStats{Calls: 2, Outside: 1}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		a, b, c := classic(t, wx).Token, classic(t, wx).Token, stable(t, wx, false).Token
		wx.Kill(appid)
		life(t, wx, map[string]time.Duration{a: 0, b: 0, c: 0})
		if got := stable(t, wx, false); got.Token == c || got.ExpiresIn != 7200 {
			t.Errorf("normal mode after Kill: %s", got.raw)
		}

		a, b = classic(t, wx).Token, classic(t, wx).Token
		if !wx.KillToken(a) || wx.KillToken(a) || wx.KillToken("x") {
			t.Error("KillToken does not report whether the token was alive")
		}
		life(t, wx, map[string]time.Duration{a: 0, b: 2 * time.Hour})
	})
}

func TestRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		a := stable(t, wx, false).Token
		if !wx.Refuse(a) || wx.Refuse(a) {
			t.Error("Refuse does not report whether the token was alive")
		}
		life(t, wx, map[string]time.Duration{a: 0})
		time.Sleep(time.Minute)
		if got := stable(t, wx, false); got.Token != a || got.ExpiresIn != 7140 {
			t.Errorf("normal mode: %s", got.raw)
		}
		b := stable(t, wx, true).Token
		life(t, wx, map[string]time.Duration{a: 0, b: 2 * time.Hour})
	})
}

func TestUpdate(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	token := classic(t, wx).Token

	wx.SetSecret(appid, "another")
	if wx.Secret() != "another" || classic(t, wx).Errcode != 0 {
		t.Error("the new secret does not work")
	}
	if probe(t, wx, token) != 0 {
		t.Error("a token died of SetSecret")
	}

	wx.SetWhitelist(appid, "192.0.2.1")
	if got := classic(t, wx).Errcode; got != 40164 {
		t.Error(got)
	}
	for name, change := range map[string]func(*simulator.Account){
		"Whitelist": func(a *simulator.Account) { a.Secret, a.Whitelist = "x", []string{"192.0.2.*"} },
		"Secret":    func(a *simulator.Account) { a.Secret, a.Whitelist = "", nil },
		"AppID":     func(a *simulator.Account) { a.AppID, a.Secret = "wx1", "x" },
		"State":     func(a *simulator.Account) { a.State, a.Secret = 1, "x" },
		"Kind":      func(a *simulator.Account) { a.Kind, a.Secret = 7, "x" },
	} {
		if err := wx.Update(appid, change); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a := wx.Accounts()[0]; a.Secret != "another" || len(a.Whitelist) != 1 {
		t.Errorf("a failed update left %+v", a)
	}
	wx.Accounts()[0].Whitelist[0] = "127.0.0.1"
	wx.SetWhitelist(appid)
	if got := classic(t, wx).Errcode; got != 0 {
		t.Error(got)
	}
	if err := wx.Update("wx1", func(*simulator.Account) {}); err == nil {
		t.Error("no error for an account that does not exist")
	}
}

func TestMistakesPanic(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	for name, f := range map[string]func(){
		"Supersede":       func() { wx.Supersede("wx1") },
		"SupersedeStable": func() { wx.SupersedeStable("wx1") },
		"Kill":            func() { wx.Kill("wx1") },
		"Latest":          func() { wx.Latest("wx1", simulator.Classic) },
		"Stats":           func() { wx.Stats("wx1") },
		"SetSecret":       func() { wx.SetSecret("wx1", "x") },
		"SetWhitelist":    func() { wx.SetWhitelist(appid, "x") },
		"Advance":         func() { wx.Clock.Advance(-1) },
		"Times":           func() { wx.Inject(simulator.Fault{Times: -1}) },
		"Delay":           func() { wx.Delay("", -1) },
		"Status":          func() { wx.Inject(simulator.Fault{Status: 100}) },
		"Rate":            func() { wx.Inject(simulator.Fault{Rate: 1.1}) },
		"Cut":             func() { wx.Inject(simulator.Fault{Cut: 9}) },
		"Path":            func() { wx.Inject(simulator.Fault{Path: "token"}) },
		"Ticket":          func() { wx.Ticket("wx1", simulator.JSAPI) },
		"KillTicket":      func() { wx.KillTicket("wx1", simulator.JSAPI) },
	} {
		mustPanic(t, name, f)
	}
}

func TestNewNamesTheOption(t *testing.T) {
	with := func(change func(*simulator.Account)) simulator.Options {
		a := one()
		change(&a[0])
		return simulator.Options{Accounts: a}
	}
	for want, o := range map[string]simulator.Options{
		"Options.Life is 1.5s":                       {Life: 1500 * time.Millisecond},
		"Options.Life is -1s":                        {Life: -time.Second},
		"Options.Overlap is 2h0m0s":                  {Overlap: 2 * time.Hour},
		"an AppID is empty":                          with(func(a *simulator.Account) { a.AppID = "" }),
		"the Secret of " + appid + " is empty":       with(func(a *simulator.Account) { a.Secret = "" }),
		`"x" is neither an IP nor a CIDR`:            with(func(a *simulator.Account) { a.Whitelist = []string{"x"} }),
		`"1.2.3.4:80" is neither an IP nor`:          with(func(a *simulator.Account) { a.Whitelist = []string{"1.2.3.4:80"} }),
		"only a mini program may use this form":      with(func(a *simulator.Account) { a.Whitelist = []string{"1.2.3.*"} }),
		"11 entries, but a mini program has at most": with(func(a *simulator.Account) { a.Kind, a.Whitelist = simulator.MiniProgram, make([]string, 11) }),
		appid + " appears twice":                     {Accounts: append(one(), one()...)},
	} {
		if _, err := simulator.New(o); err == nil || !strings.HasPrefix(err.Error(), "simulator: Options.") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q", err, want)
		}
	}
}

func TestClock(t *testing.T) {
	shared := new(simulator.Clock)
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{Clock: shared})
		other := simtest.InMemory(t, simulator.Options{Accounts: one(), Clock: shared})
		if !wx.Clock.Now().Equal(time.Now()) {
			t.Error("a new clock does not show the real time")
		}
		a, b := classic(t, wx).Token, classic(t, other).Token
		wx.Clock.Advance(time.Hour)
		time.Sleep(30 * time.Minute)
		life(t, wx, map[string]time.Duration{a: 30 * time.Minute})
		life(t, other, map[string]time.Duration{b: 30 * time.Minute})
		if got := time.Until(wx.Clock.Now()); got != time.Hour {
			t.Errorf("ahead by %s", got)
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		token := classic(t, wx).Token
		probe(t, wx, token)
		probe(t, wx, "x")
		probe(t, wx, "")
		wx.Kill(appid)
		probe(t, wx, token)
		must(t, wx.Client(), request(t, "GET", wx.URL+simulator.TokenPath+"?appid="+appid, ""))
		must(t, wx.Client(), request(t, "GET", wx.URL+simulator.TokenPath+"?appid=wx1", ""))
		must(t, wx.Client(), request(t, "GET", wx.URL+"/nowhere", ""))

		got := wx.Stats(appid)
		if got.Classic != (simulator.PoolStats{Calls: 2, Issued: 1}) || got.APICalls != 2 ||
			len(got.Errcodes) != 2 || got.Errcodes[40001] != 1 || got.Errcodes[40002] != 1 {
			t.Errorf("%+v", got)
		}
		got.Errcodes[40001] = 7 // a copy
		if wx.Stats(appid).Errcodes[40001] != 1 {
			t.Error("Stats gives its own map away")
		}
		got = wx.Stats("")
		if got.Classic != (simulator.PoolStats{Calls: 1}) || got.APICalls != 3 ||
			len(got.Errcodes) != 4 || got.Errcodes[40001] != 1 || got.Errcodes[41001] != 1 || got.Errcodes[40013] != 1 || got.Errcodes[40066] != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{Events: 3})
		a := stable(t, wx, false)
		wx.Clock.Advance(time.Hour)
		wx.Inject(simulator.Fault{Path: "/cgi-bin/menu/create", Times: 1, Delay: time.Second, Errcode: 40001})
		must(t, wx.Client(), request(t, "POST", wx.URL+"/cgi-bin/menu/create?access_token="+a.Token, `{"button":[]}`))

		all := wx.Events()
		if len(all) != 2 {
			t.Fatalf("%+v", all)
		}
		if e := all[0]; e.AppID != appid || e.Path != simulator.StableTokenPath || e.Method != http.MethodPost || e.Status != 200 ||
			e.Response != a.raw ||
			e.Fault ||
			e.Lost {
			t.Errorf("%+v", e)
		}
		want := simulator.Event{
			Time: time.Now().Add(time.Hour - time.Second), AppID: appid, Caller: "127.0.0.1", Method: http.MethodPost, Path: "/cgi-bin/menu/create",
			Query: "access_token=" + a.Token, Request: `{"button":[]}`, Status: 200, Errcode: 40001, Response: all[1].Response,
			Fault: true, Latency: time.Second,
		}
		if e := all[1]; !e.Time.Equal(want.Time) {
			t.Errorf("arrived at %s, want %s", e.Time, want.Time)
		} else if want.Time = e.Time; e != want {
			t.Errorf("%+v\nwant %+v", e, want)
		}

		for range 5 {
			probe(t, wx, a.Token)
		}
		call(t, wx, "/cgi-bin/last", a.Token)
		if all = wx.Events(); len(all) != 3 || all[0].Path != simulator.DomainIPPath || all[2].Path != "/cgi-bin/last" {
			t.Errorf("%+v", all)
		}
	})
}
