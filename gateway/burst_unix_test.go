//go:build unix

package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// counter is a network in which every system answers success at once.
type counter struct{ delivered atomic.Int64 }

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	c.delivered.Add(1)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("success")), Request: r}, nil
}

// BenchmarkFanout pushes encrypted texts, 32 at a time, through a gateway to two systems
// until both have all of them, with a gateway on memory as its floor.
func BenchmarkFanout(b *testing.B) {
	var floor, work float64
	for _, name := range []string{"memory", "sqlite", "redis", "postgres", "mysql"} {
		b.Run(name, func(b *testing.B) {
			address := os.Getenv("ZHONGKONG_TEST_" + strings.ToUpper(name))
			switch {
			case name == "memory":
				address = "memory:"
			case name == "sqlite":
				address = "sqlite:" + filepath.Join(b.TempDir(), "zhongkong.db")
			case address == "":
				b.Skip("no server is named in the environment")
			}
			store, err := open.Open(b.Context(), address, open.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			p := pushWeChat(b, nil)
			systems := company{newSystem("first", gateway.Safe), newSystem("second", gateway.Safe)}
			network := new(counter)
			g := p.gateway(store, systems, new(logtest.Log), func(cfg *gateway.Config) {
				cfg.Callbacks, cfg.Logger, cfg.Access = network, nil, nil
			})
			defer func() { _ = g.Close() }()
			requests := make([]*http.Request, b.N)
			for i := range requests {
				text := simulator.Text("hello").By(fmt.Sprintf("o%027d", time.Now().UnixNano()+int64(i)))
				requests[i], err = p.wx.NewRequest(b.Context(), simulator.Push{URL: "http://gateway.invalid/callback/" + appID, Message: text})
				if err != nil {
					b.Fatal(err)
				}
			}
			var next atomic.Int64
			var all sync.WaitGroup
			before := cpu()
			b.ResetTimer()
			for range 32 {
				all.Go(func() {
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						recorder := httptest.NewRecorder()
						g.ServeHTTP(recorder, requests[i])
						if recorder.Code != http.StatusOK {
							b.Errorf("answered %d %s", recorder.Code, recorder.Body)
							return
						}
					}
				})
			}
			all.Wait()
			for network.delivered.Load() < 2*int64(b.N) && !b.Failed() {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			rate := float64(b.N) / b.Elapsed().Seconds()
			each := float64((cpu() - before).Microseconds()) / float64(b.N)
			b.ReportMetric(rate, "pushes/s")
			b.ReportMetric(each, "cpu-µs/push")
			if name == "memory" {
				floor, work = rate, each
			} else if floor > 0 {
				b.ReportMetric(rate/floor, "x_floor")
				b.ReportMetric(each/work, "x_floor_cpu")
			}
		})
	}
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
