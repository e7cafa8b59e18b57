package simulator_test

import (
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// discard is a ResponseWriter without cost.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

// checkRuns returns the handler at work, and its floor: a handler that parses the
// query, looks the token up in a map and sends the same answer.
func checkRuns(tb testing.TB) (check, floor func(n int)) {
	tb.Helper()
	wx := simtest.InMemory(tb, simulator.Options{Accounts: one()})
	token := wx.Supersede(appid)
	r := request(tb, "GET", "/cgi-bin/draft/count?access_token="+token, "")
	r.RemoteAddr = "127.0.0.1:1"
	w := discard{http.Header{}}
	tokens := map[string]bool{token: true}
	body := []byte(`{"errcode":0,"errmsg":"ok"}`)
	least := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !tokens[r.URL.Query().Get("access_token")] {
			panic("the token is unknown")
		}
		w.Header().Set("Content-Type", "application/json; encoding=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body)
	})
	serve := func(h http.Handler) func(int) {
		return func(n int) {
			for range n {
				h.ServeHTTP(w, r)
			}
		}
	}
	tb.Cleanup(func() {
		if got := wx.Stats(appid).Errcodes; len(got) > 0 {
			tb.Errorf("calls were refused: %v", got)
		}
	})
	return serve(wx), serve(least)
}

// TestSpeedTokenCheck holds the handler to a multiple of the least that any handler could
// do, so that the simulator is not what a load test measures.
func TestSpeedTokenCheck(t *testing.T) {
	tier.Speed(t)
	check, floor := checkRuns(t)
	patience.AtMost(t, "token check, to a handler that looks the token up in a map", 20, func() float64 {
		const turns, calls = 101, 500
		var times [2][]time.Duration
		for range turns {
			for i, run := range []func(int){check, floor} {
				begun := time.Now()
				run(calls)
				times[i] = append(times[i], time.Since(begun))
			}
		}
		slices.Sort(times[0])
		slices.Sort(times[1])
		return float64(times[0][turns/2]) / float64(times[1][turns/2])
	})
}

func BenchmarkTokenCheck(b *testing.B) {
	check, floor := checkRuns(b)
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		check(b.N)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
	})
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		floor(b.N)
	})
}

// BenchmarkTokenCheckOverSocket is the same as a client on loopback sees it.
func BenchmarkTokenCheckOverSocket(b *testing.B) {
	wx := simtest.New(b, simulator.Options{Accounts: one()})
	r := request(b, "GET", wx.URL+"/cgi-bin/draft/count?access_token="+wx.Supersede(appid), "")
	for b.Loop() {
		if a, err := do(wx.Client(), r); err != nil || a.Errcode != 0 {
			b.Fatal(err, a.raw)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
}
