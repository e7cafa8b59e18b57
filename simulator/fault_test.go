package simulator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

func TestFaultAnswers(t *testing.T) {
	for name, start := range ways {
		t.Run(name, func(t *testing.T) {
			wx := start(t, simulator.Options{Accounts: one()})
			for name, row := range map[string]struct {
				fault       simulator.Fault
				status      int
				errcode     int
				raw         string // with a "…" at its end: the beginning
				contentType string
				issued      int
			}{
				"errcode":         {simulator.Fault{Errcode: -1}, 200, -1, `{"errcode":-1,"errmsg":"system error rid: …`, "application/json; encoding=utf-8", 0},
				"any errcode":     {simulator.Fault{Errcode: 99999}, 200, 99999, `{"errcode":99999,"errmsg":"unknown error rid: …`, "application/json; encoding=utf-8", 0},
				"errcode with IP": {simulator.Fault{Errcode: 40164}, 200, 40164, `{"errcode":40164,"errmsg":"invalid ip 127.0.0.1 ipv6 …`, "application/json; encoding=utf-8", 0},
				"errmsg": {
					simulator.Fault{Errcode: 40001, Errmsg: "it's \"old\" hint: [x]\n中"},
					200, 40001,
					`{"errcode":40001,"errmsg":"it's \"old\" hint: [x]\u000a中"}`, "application/json; encoding=utf-8", 0,
				},
				"errcode, late":     {simulator.Fault{Errcode: -1, After: true}, 200, -1, `{"errcode":-1,…`, "application/json; encoding=utf-8", 1},
				"errcode with 500":  {simulator.Fault{Errcode: -1, Status: 500}, 500, -1, `{"errcode":-1,…`, "application/json; encoding=utf-8", 0},
				"5xx":               {simulator.Fault{Status: 502, Body: "<html>", ContentType: "text/html"}, 502, 0, "<html>", "text/html", 0},
				"5xx, late":         {simulator.Fault{Status: 502, After: true}, 502, 0, "", "application/json; encoding=utf-8", 1},
				"empty":             {simulator.Fault{Status: 200}, 200, 0, "", "application/json; encoding=utf-8", 0},
				"body":              {simulator.Fault{Body: "[]"}, 200, 0, "[]", "application/json; encoding=utf-8", 0},
				"body cut short":    {simulator.Fault{Body: "0123456789", Cut: simulator.CutShort}, 200, 0, "01234", "application/json; encoding=utf-8", 0},
				"truncated JSON":    {simulator.Fault{Cut: simulator.CutShort}, 200, 0, `{"access_token":"91_…`, "application/json; encoding=utf-8", 1},
				"content type only": {simulator.Fault{ContentType: "text/plain"}, 200, 0, `{"access_token":"91_…`, "text/plain", 1},
			} {
				before := wx.Stats(appid).Classic
				row.fault.Path, row.fault.Times = simulator.TokenPath, 1
				rule := wx.Inject(row.fault)
				a := classic(t, wx)
				beginning, open := strings.CutSuffix(row.raw, "…")
				if a.status != row.status || a.Errcode != row.errcode || !strings.HasPrefix(a.raw, beginning) || (!open && a.raw != row.raw) {
					t.Errorf("%s: %d %s", name, a.status, a.raw)
				}
				if got := a.header.Get("Content-Type"); got != row.contentType {
					t.Errorf("%s: Content-Type %q", name, got)
				}
				after := wx.Stats(appid).Classic
				if after.Calls != before.Calls+1 || after.Issued != before.Issued+row.issued || rule.Hits() != 1 {
					t.Errorf("%s: %+v became %+v, %d hits", name, before, after, rule.Hits())
				}
				if a = classic(t, wx); a.Token == "" {
					t.Errorf("%s: still there after one call: %s", name, a.raw)
				}
			}
		})
	}
}

func TestCutConnection(t *testing.T) {
	for name, start := range ways {
		t.Run(name, func(t *testing.T) {
			wx := start(t, simulator.Options{Accounts: one()})
			for name, row := range map[string]struct {
				fault  simulator.Fault
				err    error
				issued int
				status int
			}{
				"before the call": {simulator.Fault{Cut: simulator.CutAnswer}, io.EOF, 0, 0},
				"after the call":  {simulator.Fault{Cut: simulator.CutAnswer, After: true}, io.EOF, 1, 0},
				"in the body":     {simulator.Fault{Cut: simulator.CutBody}, io.ErrUnexpectedEOF, 1, 200},
				"in a false body": {simulator.Fault{Cut: simulator.CutBody, Status: 500, Body: "0123456789"}, io.ErrUnexpectedEOF, 0, 500},
			} {
				before := wx.Stats(appid).Stable.Issued
				row.fault.Times = 1
				wx.Inject(row.fault)
				// A POST: net/http sends a GET again by itself when a used connection ends.
				_, err := do(wx.Client(), request(t, "POST", wx.URL+simulator.StableTokenPath, stableBody(wx, true)))
				if !errors.Is(err, row.err) {
					t.Errorf("%s: %v, want %v", name, err, row.err)
				}
				if got := wx.Stats(appid).Stable.Issued - before; got != row.issued {
					t.Errorf("%s: %d issued, want %d", name, got, row.issued)
				}
				all := wx.Events()
				if e := all[len(all)-1]; !e.Lost || !e.Fault || e.Status != row.status {
					t.Errorf("%s: %+v", name, e)
				}
				wx.Clock.Advance(time.Minute) // past the 30 s between two forced refreshes
			}
		})
	}
}

// TestTransportRepeatsGET shows what Fault.Cut warns of.
func TestTransportRepeatsGET(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: one()})
	classic(t, wx) // the connection is used now
	wx.Inject(simulator.Fault{Path: simulator.TokenPath, Times: 1, After: true, Cut: simulator.CutAnswer})
	if a := classic(t, wx); a.Token != wx.Latest(appid, simulator.Classic) {
		t.Errorf("%s", a.raw)
	}
	if got := wx.Stats(appid).Classic; got.Calls != 3 || got.Issued != 3 {
		t.Errorf("%+v, want 3 calls for two requests", got)
	}
}

func TestWhichFaultHappens(t *testing.T) {
	accounts := append(one(), simulator.Account{AppID: "wx2", Secret: "2"})
	wx := simtest.InMemory(t, simulator.Options{Accounts: accounts})
	token := classic(t, wx).Token
	expect := func(what string, want, got int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}

	wx.Inject(simulator.Fault{Errcode: 1})
	lasting := wx.Inject(simulator.Fault{Errcode: 2})
	wx.Inject(simulator.Fault{Errcode: 3, Times: 2})
	wx.Inject(simulator.Fault{Errcode: 4, Times: 1})
	for i, want := range []int{3, 3, 4, 2, 2} {
		expect("call "+string(rune('1'+i)), want, probe(t, wx, token))
	}
	expect("hits", 2, lasting.Hits())
	lasting.Remove()
	lasting.Remove()
	expect("removed", 1, probe(t, wx, token))
	wx.ClearFaults()
	expect("cleared", 0, probe(t, wx, token))

	wx.Inject(simulator.Fault{Path: simulator.Fetches, Errcode: 5})
	expect("token", 5, classic(t, wx).Errcode)
	expect("stable_token", 5, stable(t, wx, false).Errcode)
	expect("an API", 0, probe(t, wx, token))
	wx.ClearFaults()

	wx.Inject(simulator.Fault{Path: simulator.APICalls, Errcode: 6})
	expect("stable_token", 0, stable(t, wx, false).Errcode)
	expect("an API", 6, probe(t, wx, token))
	expect("an unknown path", 6, call(t, wx, "/nowhere", token).Errcode)
	wx.ClearFaults()

	wx.Inject(simulator.Fault{Path: "/cgi-bin/menu/*", Errcode: 7})
	expect("a prefix", 7, call(t, wx, "/cgi-bin/menu/get", token).Errcode)
	expect("another path", 0, call(t, wx, "/cgi-bin/menus", token).Errcode)
	wx.ClearFaults()

	wx.Inject(simulator.Fault{AppID: "wx2", Errcode: 8})
	expect("another account", 0, probe(t, wx, token))
	expect("the account", 8, probe(t, wx, wx.Supersede("wx2")))
	expect("no account", 40001, probe(t, wx, "x"))
}

// TestRate: the share is met, and the seed decides which calls.
func TestRate(t *testing.T) {
	hits := func(seed uint64) (pattern string) {
		wx := simtest.InMemory(t, simulator.Options{Accounts: one(), Seed: seed})
		token := wx.Supersede(appid)
		wx.Inject(simulator.Fault{Errcode: -1, Rate: 0.25})
		for range 400 {
			pattern += map[int]string{0: ".", -1: "x"}[probe(t, wx, token)]
		}
		return pattern
	}
	a, b, c := hits(1), hits(1), hits(2)
	if a != b || a == c {
		t.Error("the seed does not decide")
	}
	if n := strings.Count(a, "x"); n < 60 || n > 140 || len(a) != 400 {
		t.Errorf("%d of %d calls, want about 100", n, len(a))
	}

	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	rule := wx.Inject(simulator.Fault{Errcode: -1, Rate: 0.5, Times: 3})
	token := wx.Supersede(appid)
	for range 200 {
		probe(t, wx, token)
	}
	if rule.Hits() != 3 {
		t.Errorf("%d hits, want 3", rule.Hits())
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := inMemory(t, simulator.Options{})
		slow := wx.Delay(simulator.TokenPath, 5*time.Second)
		begun := time.Now()
		done := make(chan time.Duration)
		for range 10 {
			go func() {
				_, _ = do(wx.Client(), request(t, "GET", classicURL(wx), ""))
				done <- time.Since(begun)
			}()
		}
		synctest.Wait()
		token := stable(t, wx, false).Token
		if probe(t, wx, token) != 0 || wx.Supersede(appid) == "" || wx.Stats(appid).Classic.Calls != 10 || time.Since(begun) != 0 {
			t.Error("delayed calls block others")
		}
		if got := wx.Stats(appid).Classic.Issued; got != 0 {
			t.Errorf("%d issued before the delay was over", got)
		}
		for range 10 {
			if got := <-done; got != 5*time.Second {
				t.Errorf("answered after %s", got)
			}
		}
		if got := wx.Stats(appid).Classic.Issued; got != 10 {
			t.Errorf("%d issued", got)
		}
		slow.Remove()
		begun = time.Now()
		if classic(t, wx).Token == "" || time.Since(begun) != 0 {
			t.Error("the delay was not removed")
		}
	})
}

func TestCallerGoesAwayDuringDelay(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			wx := inMemory(t, simulator.Options{})
			wx.Inject(simulator.Fault{Path: simulator.TokenPath, Delay: time.Hour, After: late})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begun := time.Now()
			_, err := do(wx.Client(), request(t, "GET", classicURL(wx), "").WithContext(ctx))
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 100*time.Millisecond {
				t.Errorf("%v after %s", err, time.Since(begun))
			}
			issued := wx.Stats(appid).Classic.Issued
			if (issued == 1) != late {
				t.Errorf("late %t: %d issued", late, issued)
			}
			if e := wx.Events()[0]; !e.Lost || e.Status != 0 || e.Latency != 100*time.Millisecond {
				t.Errorf("%+v", e)
			}
			_, err = do(wx.Client(), request(t, "GET", classicURL(wx), "").WithContext(ctx))
			if !errors.Is(err, context.DeadlineExceeded) || wx.Stats(appid).Classic.Calls != 1 {
				t.Errorf("a call with an ended ctx: %v", err)
			}
		})
	}
}

func TestCallerGoesAwayOverSocket(t *testing.T) {
	wx := simtest.New(t, simulator.Options{Accounts: one()})
	wx.Delay(simulator.StableTokenPath, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := do(wx.Client(), request(t, "POST", wx.URL+simulator.StableTokenPath, stableBody(wx, false)).WithContext(ctx))
		failed <- err
	}()
	patience.Until(t, "the call", func() bool { return wx.Stats(appid).Stable.Calls == 1 })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	patience.Until(t, "the end of the handler", func() bool { return len(wx.Events()) == 1 })
	if got := wx.Stats(appid).Stable.Issued; got != 0 {
		t.Errorf("%d issued", got)
	}
}

func TestHalfARequest(t *testing.T) {
	wx := simtest.InMemory(t, simulator.Options{Accounts: one()})
	for _, body := range []io.Reader{
		io.MultiReader(strings.NewReader("{"), failing{}),
		io.MultiReader(strings.NewReader(strings.Repeat(" ", 1<<20)), failing{}),
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, wx.URL+simulator.StableTokenPath, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = do(wx.Client(), r); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}
	if got := wx.Stats("").Stable.Calls; got != 0 {
		t.Errorf("%d calls", got)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the line is dead") }
