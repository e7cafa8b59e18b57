//go:build unix

package callback

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// BenchmarkBurst handles encrypted texts, 32 at a time, with memory as its floor: how many
// there are a second, and how much of a processor each takes.
func BenchmarkBurst(b *testing.B) {
	var floor, work float64 // pushes a second and µs of a processor, on memory
	for _, name := range []string{"memory", "sqlite"} {
		b.Run(name, func(b *testing.B) {
			var once Once = memory.New()
			if name == "sqlite" {
				store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "zhongkong.db"), sqlite.Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = store.Close() }()
				once = store
			}
			bot := NewRouter()
			bot.Default(func(c *Context) error { return c.ReplyText("thank you") })
			e := mustEndpoint(b, EndpointConfig{Verifier: newVerifier(b, safeConfig()), Router: bot, Once: once})
			server := httptest.NewServer(e)
			defer server.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
			requests := make([]*http.Request, b.N)
			for i := range requests {
				requests[i] = sentAs(b, true, rawText(int64(i+1), "hello"))
				requests[i].RequestURI, requests[i].URL.Scheme, requests[i].URL.Host = "", "http", server.Listener.Addr().String()
			}
			var next atomic.Int64
			var all sync.WaitGroup
			before := cpu()
			b.ResetTimer()
			for range 32 {
				all.Go(func() {
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						response, err := client.Do(requests[i])
						if err != nil {
							b.Error(err)
							return
						}
						n, _ := io.Copy(io.Discard, response.Body)
						_ = response.Body.Close()
						if response.StatusCode != http.StatusOK || n < 100 {
							b.Errorf("answered %d with %d bytes", response.StatusCode, n)
							return
						}
					}
				})
			}
			all.Wait()
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
