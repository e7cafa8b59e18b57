package sqlite

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// What callers do at once in a benchmark, over the cores of the machine. The figures of both
// drivers are compared: CGO_ENABLED=0 go test -run '^$' -bench . ./store/sqlite, and 1.
const callers = 16

// BenchmarkRenewal is what the store does for a renewal: Acquire, Begin, Save.
func BenchmarkRenewal(b *testing.B) {
	s := open(b, newPath(b), nil)
	var n atomic.Int64
	b.SetParallelism(callers)
	b.RunParallel(func(pb *testing.PB) {
		key := key
		key.AppID = fmt.Sprintf("wx%016x", n.Add(1))
		for pb.Next() {
			lease, err := s.Acquire(b.Context(), key, fmt.Sprint(n.Add(1)), time.Minute)
			if err == nil {
				err = s.Begin(b.Context(), lease, nil)
			}
			if err == nil {
				err = s.Save(b.Context(), lease, custody.Record{Value: "made-up-token", Life: 2 * time.Hour})
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "renewals/s")
}

// BenchmarkPush is what the store does for a pushed message: Claim, Finish.
func BenchmarkPush(b *testing.B) {
	s := open(b, newPath(b), nil)
	var n atomic.Int64
	b.SetParallelism(callers)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			name := fmt.Sprintf("message-%d", n.Add(1))
			_, _, _, err := s.Claim(b.Context(), key.AppID, name, name, 6*time.Second, time.Hour)
			if err == nil {
				_, _, err = s.Finish(b.Context(), name, name, []byte("success"), time.Hour)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
}
