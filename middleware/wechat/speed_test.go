package wechat_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// ratio returns the median time of a over that of b, measured in short turns so
// that whatever slows the machine down meets both.
func ratio(calls int, a, b func(n int)) float64 {
	const turns = 201
	var times [2][]time.Duration
	for turn := range turns {
		for i := range 2 {
			i ^= turn & 1 // each is as often the first
			run := a
			if i == 1 {
				run = b
			}
			start := time.Now()
			run(calls)
			times[i] = append(times[i], time.Since(start))
		}
	}
	slices.Sort(times[0])
	slices.Sort(times[1])
	return float64(times[0][turns/2]) / float64(times[1][turns/2])
}

// liveClient returns a client that holds a live token.
func liveClient(tb testing.TB) *wechat.Client {
	tb.Helper()
	cfg, _ := inMemory(tb, config(), simulator.Options{})
	client := newClient(tb, cfg)
	mustToken(tb, client)
	return client
}

// tokens calls Token n times.
func tokens(tb testing.TB, client *wechat.Client) func(n int) {
	tb.Helper()
	ctx := tb.Context()
	return func(n int) {
		for range n {
			if token, err := client.Token(ctx); err != nil || token.Fence() == 0 {
				panic("no token")
			}
		}
	}
}

// atomicLoads is what a live token costs at least.
func atomicLoads() func(n int) {
	var p atomic.Pointer[time.Time]
	start := time.Now()
	p.Store(&start)
	return func(n int) {
		for range n {
			if base := p.Load(); time.Now().Before(*base) {
				panic("time runs backwards")
			}
		}
	}
}

// TestSpeedToken holds a live token to 1.5 times an atomic load and a time.Now.
func TestSpeedToken(t *testing.T) {
	tier.Speed(t)
	client := liveClient(t)
	run := tokens(t, client)
	if allocs := testing.AllocsPerRun(1000, func() { run(1) }); allocs > 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
	patience.AtMost(t, "Client.Token with a live token, to atomic.Pointer.Load and time.Now", 1.5, func() float64 {
		return ratio(1000, run, atomicLoads())
	})
}

// TestSpeedTokenParallel wants at least 1.6 times the throughput of one core on
// two.
func TestSpeedTokenParallel(t *testing.T) {
	tier.Speed(t)
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("one core")
	}
	const (
		limit = 1.6
		calls = 20_000          // some 1 ms: less than a scheduler's slice, and a thousand times a goroutine's start
		turns = 201             // in a row
		most  = 5 * time.Second // for a moment in which both cores are ours
	)
	run := tokens(t, liveClient(t))
	patience.AtLeast(t, "Client.Token on two cores, to the throughput of one", limit, func() (best float64) {
		for began := time.Now(); best < limit && time.Since(began) < most; {
			one, two := time.Hour, time.Hour // the least of all turns: that of a quiet machine
			for range turns {
				start := time.Now()
				run(calls)
				one = min(one, time.Since(start))
				start = time.Now()
				var both sync.WaitGroup
				for range 2 {
					both.Go(func() { run(calls) })
				}
				both.Wait()
				two = min(two, time.Since(start))
			}
			best = max(best, 2*float64(one)/float64(two))
		}
		return best
	})
}

// engines returns an engine with the middleware and one with the least that puts
// a client into the context.
func engines(tb testing.TB) (ours, floor *gin.Engine) {
	tb.Helper()
	client := liveClient(tb)
	ours, floor = gin.New(), gin.New()
	ours.Use(client.Middleware())
	floor.Use(func(c *gin.Context) {
		c.Set("wechat", client)
		c.Next()
	})
	for _, engine := range []*gin.Engine{ours, floor} {
		engine.GET("/menu", func(*gin.Context) {})
	}
	return ours, floor
}

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header             { return w.header }
func (nowhere) Write(p []byte) (int, error)       { return len(p), nil }
func (nowhere) WriteString(s string) (int, error) { return len(s), nil }
func (nowhere) WriteHeader(int)                   {}

func requests(engine *gin.Engine) func(n int) {
	w, r := nowhere{http.Header{}}, httptest.NewRequest(http.MethodGet, "/menu", http.NoBody)
	return func(n int) {
		for range n {
			engine.ServeHTTP(w, r)
		}
	}
}

// TestSpeedMiddleware holds the middleware, on a path that is not the callback's,
// to 1.3 times one that does c.Set and c.Next, and to its allocations.
func TestSpeedMiddleware(t *testing.T) {
	tier.Speed(t)
	withOurs, withFloor := engines(t)
	ours, floor := requests(withOurs), requests(withFloor)
	most, got := testing.AllocsPerRun(1000, func() { floor(1) }), testing.AllocsPerRun(1000, func() { ours(1) })
	if got > most {
		t.Errorf("%v allocations, want no more than the %v of c.Set and c.Next", got, most)
	}
	patience.AtMost(t, "the middleware, to c.Set and c.Next", 1.3, func() float64 { return ratio(1000, ours, floor) })
}

func BenchmarkToken(b *testing.B) {
	run, floor := tokens(b, liveClient(b)), atomicLoads()
	b.Run("token", func(b *testing.B) {
		b.ReportAllocs()
		run(b.N)
		b.StopTimer()
		b.ReportMetric(ratio(1000, run, floor), "x_floor")
	})
	b.Run("floor", func(b *testing.B) { floor(b.N) })
}

func BenchmarkMiddleware(b *testing.B) {
	withOurs, withFloor := engines(b)
	ours, floor := requests(withOurs), requests(withFloor)
	b.Run("middleware", func(b *testing.B) {
		b.ReportAllocs()
		ours(b.N)
		b.StopTimer()
		b.ReportMetric(ratio(1000, ours, floor), "x_floor")
	})
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		floor(b.N)
	})
}
