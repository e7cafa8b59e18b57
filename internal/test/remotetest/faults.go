package remotetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// unreachable: a server that is away stops no start, and is used as soon as it
// is there.
func (e Engine) unreachable(t *testing.T, _ string) {
	server := testserver.Own(t, e.Engine, e.Start)
	_ = server.Stop()
	var log *Log
	var s custody.Store
	patience.InTime(t, "Open where nobody listens", 4*time.Second, func() time.Duration {
		log = new(Log)
		start := time.Now()
		s = e.OpenAt(t, server.URL, log)
		return time.Since(start)
	})
	log.MustWarnOnce(t, "cannot be reached", server.Addr, "see that it runs")
	for range 3 {
		_, err := s.Load(t.Context(), Key)
		MustSay(t, err, "cannot be reached", server.Addr, "see that it runs")
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	Eventually(t, func() error { return onlyNotFound(s.Load(t.Context(), Key)) })
	Save(t, s, "value")
	log.MustWarnOnce(t)
	if !strings.Contains(log.String(), "the store is open now") {
		t.Errorf("it is not said that the store is open: %s", log.String())
	}
}

// onlyNotFound is nil for a store that works and is empty.
func onlyNotFound(_ custody.Record, err error) error {
	if errors.Is(err, custody.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("not yet: %w", err)
}

// Eventually calls try until it succeeds.
func Eventually(t *testing.T, try func() error) {
	t.Helper()
	var err error
	if !patience.Wait(func() bool {
		err = try()
		return err == nil
	}) {
		t.Fatal(err)
	}
}

// silent: a server that takes connections and says nothing stops no start
// either, and no caller longer than its ctx.
func (e Engine) silent(t *testing.T, server string) {
	address := e.Place(t, server)
	proxy := testserver.NewProxy(t, Host(t, address))
	proxy.Freeze()
	far := Through(t, address, proxy.Addr)
	patience.InTime(t, "Open whose ctx ended after 100ms", 1600*time.Millisecond, func() time.Duration {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		s, err := e.Open(ctx, far, nil)
		took := time.Since(start)
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Open whose ctx ended after 100ms returned %v", err)
		}
		MustSay(t, err, "is not open yet")
		return took
	})

	var log *Log
	var s custody.Store
	patience.InTime(t, "Open", 8*time.Second, func() time.Duration {
		log = new(Log)
		start := time.Now()
		s = e.OpenAt(t, far, log)
		return time.Since(start)
	})
	log.MustWarnOnce(t, "see that it runs")
	proxy.Heal()
	Eventually(t, func() error { return onlyNotFound(s.Load(t.Context(), Key)) })
	log.MustWarnOnce(t)
}

// restart: the server ends in use and comes back.
func (e Engine) restart(t *testing.T, _ string) {
	server := testserver.Own(t, e.Engine, e.Start)
	s := e.OpenAt(t, server.URL, nil)
	Save(t, s, "value")
	var keys <-chan custody.Key
	if w, ok := s.(custody.Watcher); ok {
		var err error
		if keys, err = w.Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_ = server.Stop()
	patience.InTime(t, "Load from a server that is gone", 4*time.Second, func() time.Duration {
		start := time.Now()
		_, err := s.Load(t.Context(), Key)
		took := time.Since(start)
		MustSay(t, err, "see that it runs")
		return took
	})
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	MustLoad(t, s, "value")
	n := 0
	Eventually(t, func() error {
		n++
		lease, err := s.Acquire(t.Context(), Key, fmt.Sprint(n), time.Hour)
		if err == nil {
			err = s.Release(t.Context(), lease, fmt.Append(nil, n))
		}
		if err != nil || keys == nil {
			return err
		}
		select {
		case <-keys:
			return nil
		default:
			return errors.New("no notice after the restart")
		}
	})
}

// closeEndsWaiting: Close does not wait for a server that is silent.
func (e Engine) closeEndsWaiting(t *testing.T, server string) {
	address := e.Place(t, server)
	proxy := testserver.NewProxy(t, Host(t, address))
	patience.InTime(t, "Close", 2*time.Second, func() time.Duration {
		proxy.Heal()
		s := e.OpenAt(t, Through(t, address, proxy.Addr), nil)
		Save(t, s, "value")
		proxy.Freeze()
		result := make(chan error)
		go func() {
			_, err := s.Load(context.Background(), Key)
			result <- err
		}()
		patience.Until(t, "a call that waits for the server", func() bool { return proxy.Held() > 0 })
		start := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		MustSay(t, <-result, "is closed")
		return time.Since(start)
	})
}

// damaged: a record that holds nonsense is renewed like a missing one, and its
// fence still grows.
func (e Engine) damaged(t *testing.T, server string) {
	address := e.Place(t, server)
	log := new(Log)
	s := e.OpenAt(t, address, log)
	lease := Save(t, s, "lost")
	const far = 1_000_000_000_000
	e.Damage(t, address, lease.Fence+far)
	MustLoad(t, s, "")
	lines := slices.DeleteFunc(log.Lines(slog.LevelWarn), func(line string) bool {
		return strings.Contains(line, "log_code=store_not_open") // a machine with other work opens it at the second attempt
	})
	if len(lines) != 1 || !strings.Contains(lines[0], e.Says) || !strings.Contains(lines[0], Key.String()) {
		t.Errorf("want one line at Warn about %s of %s: %q", e.Says, Key, lines)
	}
	MustHide(t, log.String())
	if next := Save(t, s, "renewed"); next.Fence <= lease.Fence {
		t.Errorf("fence %d after %d, want a higher one", next.Fence, lease.Fence)
	} else if e.Says == "end_us" && next.Fence <= lease.Fence+far {
		t.Errorf("fence %d, want one above the damaged row's", next.Fence)
	}
	MustLoad(t, s, "renewed")
}
