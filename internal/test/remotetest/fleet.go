package remotetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// firstStarts: many programs start at once where there is nothing yet. Each has
// to succeed, and one gets the lease.
func (e Engine) firstStarts(t *testing.T, server string) {
	address := e.Place(t, server)
	const starts = 40
	errs := make([]error, starts)
	var winners atomic.Int32
	var all sync.WaitGroup
	for i := range starts {
		all.Go(func() {
			log := new(Log)
			s, err := e.Open(t.Context(), address, log.Logger(slog.LevelInfo))
			if err != nil {
				errs[i] = err
				return
			}
			defer func() { _ = s.Close() }()
			var held *custody.HeldError
			patience.Wait(func() bool { // a database that many open at once takes its time
				_, err = s.Acquire(t.Context(), Key, fmt.Sprint(i), time.Hour)
				return err == nil || errors.As(err, &held)
			})
			switch {
			case err == nil:
				winners.Add(1)
			case !errors.As(err, &held):
				errs[i] = err
			case log.String() != "" && !strings.Contains(log.String(), "is not open yet"): // on a busy machine
				errs[i] = errors.New(log.String())
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := winners.Load(); n != 1 {
		t.Errorf("%d starts got the lease, want one", n)
	}
}

// prefixes: two deployments on one server do not know one another.
func (e Engine) prefixes(t *testing.T, server string) {
	a, b := e.OpenAt(t, e.Place(t, server), nil), e.OpenAt(t, e.Place(t, server), nil)
	Save(t, a, "value of a")
	MustLoad(t, b, "")
	Save(t, b, "value of b")
	MustLoad(t, a, "value of a")
	if j, ok := a.(custody.Journal); ok {
		if lines, err := j.Journal(t.Context(), Key, 10); err != nil || len(lines) != 1 {
			t.Errorf("the journal of a: %v, %v", lines, err)
		}
	}
	for _, prefix := range []string{"'; DROP TABLE x; --", "a b", strings.Repeat("x", 65), "{a}", "中控"} {
		s, err := e.Open(t.Context(), With(t, server, "prefix", prefix), nil)
		if err == nil {
			_ = s.Close()
		}
		MustSay(t, err, "prefix")
	}
}

// oneRenewalForAll: eight processes, each with its own store, and a hundred
// callers in each renew one short-lived credential twenty times. Each value was
// fetched once, and every caller always had one.
func (e Engine) oneRenewalForAll(t *testing.T, server string) {
	const processes, callers, values = 8, 100, 21
	const life = 3 * time.Second // a busy machine may take a second or two from fetch to caller
	address := e.Place(t, server)
	var fetched, failed atomic.Int64
	kind := custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) {
		return custody.Grant{Value: custody.NewSecret(fmt.Sprintf("value-%d", fetched.Add(1))), ExpiresIn: life}, nil
	}}
	var all sync.WaitGroup
	var counts []*storetest.Counts
	var keepers []*custody.Keeper
	for range processes {
		s, count := storetest.Count(e.OpenAt(t, address, nil))
		counts = append(counts, count)
		keeper, err := custody.New(custody.Config{
			Key: Key, Kind: kind, Store: s,
			Timing: custody.Timing{StoreTimeout: 5 * time.Second}, // the machine is busy with the other tests
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = keeper.Close() })
		keepers = append(keepers, keeper)
		for range callers {
			all.Go(func() {
				pace := time.NewTicker(15 * time.Millisecond)
				defer pace.Stop()
				for ; fetched.Load() < values; <-pace.C {
					token, err := keeper.Token(t.Context())
					if err != nil || token.Value() == "" {
						failed.Add(1)
						t.Error(err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	for _, keeper := range keepers { // before anybody counts
		if err := keeper.Close(); err != nil {
			t.Error(err)
		}
	}
	lines, err := e.OpenAt(t, address, nil).(custody.Journal).Journal(t.Context(), Key, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var begun, saved, calls int
	for _, line := range lines {
		switch line.Event {
		case custody.EventBegin:
			begun++
		case custody.EventSave:
			saved++
		}
	}
	for _, count := range counts {
		calls += count.Total()
	}
	t.Logf("%d processes × %d callers: %d values issued, %d fetches begun, %d saved, %d store calls, %d calls failed",
		processes, callers, fetched.Load(), begun, saved, calls, failed.Load())
	if n := int(fetched.Load()); n < values || begun != n || saved < n-1 || saved > n {
		t.Errorf("%d values were issued for %d fetches begun and %d saved", n, begun, saved)
	}
}
