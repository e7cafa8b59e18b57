package simulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// heap returns the bytes that are in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSpeedMemory: nothing that a simulator keeps grows with its use, neither over
// 10,000 pushes nor over 100,000 calls, paths and refusals of all sorts among them.
// The race detector's own memory would be measured too.
func TestSpeedMemory(t *testing.T) {
	tier.Speed(t)
	wx := simtest.InMemory(t, simulator.Options{Accounts: []simulator.Account{pushing()}})
	w := discard{http.Header{}}
	calls := func(n int) {
		for i := range n {
			token := wx.Latest(appid, simulator.Classic)
			switch i % 10 {
			case 0:
				token = fmt.Sprintf("unknown-%d", i)
			case 1:
				wx.Supersede(appid)
			}
			target := fmt.Sprintf("/cgi-bin/path/%d?access_token=%s", i, token)
			if i%10 == 2 {
				target = "/cgi-bin/ticket/getticket?type=jsapi&access_token=" + token
				wx.Clock.Advance(time.Minute)
			}
			r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
			r.RemoteAddr = "127.0.0.1:1"
			wx.ServeHTTP(w, r)
		}
	}
	app := answering(200, hello)
	pushes := func(n int) {
		for range n {
			p := simulator.Push{Handler: app, Mode: simulator.Plain, Message: simulator.Text("你好")}
			if res, err := wx.Deliver(t.Context(), p); err != nil || !res.OK() {
				t.Fatal(err, res)
			}
		}
	}
	calls(5_000) // fills the rings
	pushes(2_000)
	before := heap()
	calls(100_000)
	pushes(10_000)
	grown := heap() - before
	const limit = 1 << 20
	t.Logf("memory after 100,000 calls and 10,000 pushes: %.2f × what it was before, %+d KiB (limit %d KiB)",
		float64(before+grown)/float64(before), grown>>10, limit>>10)
	if grown > limit {
		t.Errorf("the heap grew by %d bytes, want at most %d", grown, limit)
	}
	runtime.KeepAlive(wx)
}
