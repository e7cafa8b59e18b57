package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

func checkWatcher(t *testing.T, f *fixture) {
	watcher, ok := f.store(0).(custody.Watcher)
	if !ok {
		t.Logf("%T has no Watch: processes see a change when they look next", f.store(0))
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keys, err := watcher.Watch(ctx)
	must(t, "Watch", err)
	// A notice may be lost, so what caused it is done again until one arrives.
	notice := func(what string, cause func()) {
		t.Helper()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		timeout := time.After(callTime)
		for cause(); ; {
			select {
			case key, open := <-keys:
				if !open {
					t.Fatalf("the channel ended before its ctx")
				}
				if key != f.key {
					t.Fatalf("notice of %v, want %v", key, f.key)
				}
				return
			case <-tick.C:
				cause()
			case <-timeout:
				t.Fatalf("no notice of %s", what)
			}
		}
	}
	drain := func() {
		for {
			select {
			case <-keys:
			case <-time.After(50 * time.Millisecond):
				return
			}
		}
	}
	n := 0
	acquire := func() custody.Lease {
		n++
		return f.acquire(t, 1, fmt.Sprintf("attempt-%d", n), longLease)
	}
	var last custody.Lease
	end := time.Now().Add(time.Hour)
	notice("a Save", func() {
		last = acquire()
		must(t, "Save", f.store(1).Save(in(t), last, sample(last, fmt.Sprintf("value-%d", n))))
	})
	drain()
	notice("a Shorten", func() {
		end = end.Add(-10 * time.Minute)
		must(t, "Shorten", f.store(1).Shorten(in(t), f.key, last.Fence, end))
	})
	drain()
	notice("a Release with notes", func() {
		must(t, "Release", f.store(1).Release(in(t), acquire(), fmt.Appendf(nil, "notes-%d", n)))
	})
	cancel()
	mustEnd(t, keys, "its ctx ended")

	keys, err = watcher.Watch(t.Context())
	must(t, "Watch", err)
	must(t, "Close", f.store(0).Close())
	mustEnd(t, keys, "the store was closed")
}

func mustEnd(t *testing.T, keys <-chan custody.Key, why string) {
	t.Helper()
	timeout := time.After(callTime)
	for {
		select {
		case _, open := <-keys:
			if !open {
				return
			}
		case <-timeout:
			t.Fatalf("the channel of Watch is still open after %s", why)
		}
	}
}
