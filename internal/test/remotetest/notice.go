package remotetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// SpeedNotice measures how long after the beginning of a Save another process
// is told, over 200 of them, against the time of a Load, which is a round trip.
func (e Engine) SpeedNotice(t *testing.T) {
	t.Helper() // its line belongs to the engine's test
	tier.Speed(t)
	address := e.Place(t, testserver.URL(t, e.Engine))
	a, b := e.OpenAt(t, address, nil), e.OpenAt(t, address, nil)
	keys, err := b.(custody.Watcher).Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var p50, p99 time.Duration
	if !patience.Attempts(t, "notices", func() bool {
		var floor time.Duration
		p50, p99, floor = speedNotice(t, a, b, keys)
		t.Logf("notice of a renewal on %s: p50 %v, p99 %v of 200; %.1f × a Load", e.Engine, p50, p99, float64(p50)/float64(floor))
		return p50 <= 50*time.Millisecond && p99 <= time.Second
	}) {
		t.Errorf("p50 %v, p99 %v; want at most 50ms and 1s", p50, p99)
	}
}

// speedNotice saves in a, loads from b and reads keys, on which b is told.
func speedNotice(t *testing.T, a, b custody.Store, keys <-chan custody.Key) (p50, p99, floor time.Duration) {
	t.Helper()
	var notices, floors []time.Duration
	for i := range 200 {
		lease, err := a.Acquire(t.Context(), Key, fmt.Sprint(i), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		record := custody.Record{Value: fmt.Sprint(i), End: lease.Record.Now.Add(time.Hour)}
		start := time.Now()
		if err := a.Save(t.Context(), lease, record); err != nil {
			t.Fatal(err)
		}
		select {
		case <-keys:
		case <-time.After(5 * time.Second):
			t.Fatalf("no notice of Save %d", i)
		}
		notices = append(notices, time.Since(start))
		start = time.Now()
		if _, err := b.Load(t.Context(), Key); err != nil {
			t.Fatal(err)
		}
		floors = append(floors, time.Since(start))
	}
	slices.Sort(notices)
	slices.Sort(floors)
	return notices[100], notices[198], floors[100]
}
