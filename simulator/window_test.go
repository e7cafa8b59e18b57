package simulator_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestPushEvents: what a window shows of a push is in its events: the message and
// the reply in plain text whatever the mode, one id for all deliveries, and the
// verdict with the last of them.
func TestPushEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
		asked := 0
		app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked < 3 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			answering(200, hello).ServeHTTP(w, r)
		})
		res, err := wx.Deliver(t.Context(), simulator.Push{Handler: app, Mode: simulator.Plain, Message: simulator.Text("在吗")})
		if err != nil || res.Verdict != simulator.Replied {
			t.Fatal(err, res)
		}
		all := wx.Events()
		if len(all) != 3 {
			t.Fatalf("%d events, want 3", len(all))
		}
		for i, e := range all {
			last := i == 2
			if e.MsgID == 0 || e.MsgID != all[0].MsgID || !strings.Contains(e.Message, "在吗") || e.Mode != simulator.Plain ||
				(e.Verdict != "") != last || (e.Reply != "") != last {
				t.Errorf("delivery %d: %+v", i+1, e)
			}
		}
		if e := all[2]; e.Verdict != res.Verdict || e.Reason != res.Reason || e.Sees != res.Sees || e.Reply != res.Reply.Raw {
			t.Errorf("the last is %+v, want the verdict of %+v", e, res)
		}

		if _, err := wx.Deliver(t.Context(), simulator.Push{
			Handler: answering(200, "success"), Message: simulator.Text("在吗"),
			Attack: simulator.Tampered,
		}); err != nil {
			t.Fatal(err)
		}
		all = wx.Events()
		if e := all[3]; e.Verdict != simulator.Accepted || e.Attack != simulator.Tampered || !strings.Contains(e.Request, "<Encrypt>") ||
			!strings.Contains(e.Message, "在吗") {
			t.Errorf("an attack in safe mode: %+v", e)
		}
		if _, err := wx.Verify(t.Context(), simulator.Push{Handler: answering(200, "x")}); err != nil {
			t.Fatal(err)
		}
		if e := wx.Events()[4]; e.Verdict != simulator.Failed || e.MsgID != 0 || e.Message != "" || e.Method != http.MethodGet {
			t.Errorf("a verification: %+v", e)
		}
	})
}

// TestWhatIsThere: menus, quotas and faults can be looked at.
func TestWhatIsThere(t *testing.T) {
	wx := inMemory(t, simulator.Options{})
	if got := wx.Menu(appid); got != "" {
		t.Error("a menu before there is one:", got)
	}
	token := classic(t, wx).Token
	const menu = `{"button":[{"type":"click","name":"今日","key":"V1"}]}`
	must(t, wx.Client(), request(t, "POST", wx.URL+"/cgi-bin/menu/create?access_token="+token, menu))
	if got := wx.Menu(appid); got != menu {
		t.Error("the menu is", got)
	}
	want := []simulator.Quota{{simulator.StableTokenPath, 0, 500_000}, {simulator.TokenPath, 1, 2_000}, {"/cgi-bin/menu/create", 1, 1_000}}
	if diff := cmp.Diff(want, wx.Quotas(appid)); diff != "" {
		t.Error(diff)
	}
	f := simulator.Fault{Path: simulator.Fetches, Errcode: -1}
	r := wx.Inject(f)
	if all := wx.Faults(); len(all) != 1 || all[0].ID() != r.ID() || all[0].Fault() != f {
		t.Errorf("the faults are %v", all)
	}
	r.Remove()
	if all := wx.Faults(); len(all) != 0 {
		t.Errorf("removed, and still there: %v", all)
	}
}
