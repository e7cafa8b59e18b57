package simulator_test

import (
	"net/http"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// discard is a ResponseWriter without cost.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkTokenCheck fails below 15,000 checks a second, so that the simulator
// is not what a load test measures.
func BenchmarkTokenCheck(b *testing.B) {
	wx := simtest.InMemory(b, simulator.Options{Accounts: one()})
	r := request(b, "GET", "/cgi-bin/menu/get?access_token="+wx.Supersede(appid), "")
	r.RemoteAddr = "127.0.0.1:1"
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		wx.ServeHTTP(w, r)
	}
	rate := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "checks/s")
	if b.N > 1000 && rate < 15_000 {
		b.Errorf("%.0f checks a second", rate)
	}
	if wx.Stats(appid).Errcodes[40001] != 0 {
		b.Error("the token was refused")
	}
}

// BenchmarkTokenCheckOverSocket is the same as a client on loopback sees it.
func BenchmarkTokenCheckOverSocket(b *testing.B) {
	wx := simtest.New(b, simulator.Options{Accounts: one()})
	r := request(b, "GET", wx.URL+"/cgi-bin/menu/get?access_token="+wx.Supersede(appid), "")
	for b.Loop() {
		if a, err := do(wx.Client(), r); err != nil || a.Errcode != 0 {
			b.Fatal(err, a.raw)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
}
