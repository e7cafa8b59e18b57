//go:build unix

// Package burst measures how many requests a second a program takes when many arrive at
// once, next to the same program on another store.
package burst

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// atOnce is how many requests are under way.
const atOnce = 32

// Floor is the measurement with which others are compared.
type Floor struct{ rate, work float64 }

// Run carries out do for each number below b.N, then waits until all is done, and reports
// pushes a second and µs of this process's processor time for each. isFloor makes it the
// floor; other measurements report their ratios to that, too. An error ends it.
func (f *Floor) Run(b *testing.B, isFloor bool, do func(i int) error, done func() bool) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	before := CPU()
	b.ResetTimer()
	for range atOnce {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				if err := do(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	for !b.Failed() && !done() {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	rate := float64(b.N) / b.Elapsed().Seconds()
	work := float64((CPU() - before).Microseconds()) / float64(b.N)
	b.ReportMetric(rate, "pushes/s")
	b.ReportMetric(work, "cpu-µs/push")
	switch {
	case isFloor:
		f.rate, f.work = rate, work
	case f.rate > 0:
		b.ReportMetric(rate/f.rate, "x_floor")
		b.ReportMetric(work/f.work, "x_floor_cpu")
	}
}

// CPU is what this process has computed so far.
func CPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
