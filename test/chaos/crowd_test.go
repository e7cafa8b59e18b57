//go:build unix && chaos

package chaos

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// TestCrowd asks for 10,000 accounts at once, on an empty store of each engine: nobody who
// has a minute is told that the store does not answer.
func TestCrowd(t *testing.T) {
	const accounts = 10_000
	for _, engine := range engines() {
		t.Run(engine.name, func(t *testing.T) {
			store, err := open.Open(t.Context(), engine.open(t).url, open.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			scheduler := custody.NewScheduler(custody.SchedulerConfig{})
			defer scheduler.Close()
			var fetches, failed atomic.Int64
			var callers sync.WaitGroup
			began := time.Now()
			for n := range accounts {
				k, err := custody.New(custody.Config{
					Key: custody.Key{Kind: "access_token", AppID: fmt.Sprintf("wx%016d", n)}, Store: store, Scheduler: scheduler,
					Kind: custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) {
						return custody.Grant{Value: custody.NewSecret(fmt.Sprint("value", fetches.Add(1))), ExpiresIn: 2 * time.Hour}, nil
					}},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = k.Close() }()
				callers.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if _, err := k.Token(ctx); err != nil && failed.Add(1) == 1 {
						t.Errorf("after %s: %v", time.Since(began).Round(time.Second), err)
					}
				})
			}
			callers.Wait()
			t.Logf("%d accounts on %s: %d callers failed, %s, %d fetches", accounts, engine.name, failed.Load(), time.Since(began).Round(100*time.Millisecond), fetches.Load())
		})
	}
}
