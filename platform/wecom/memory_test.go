package wecom_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// everybody is a store with a live token for each key.
type everybody struct{ *memory.Store }

func (everybody) LoadMany(_ context.Context, keys []custody.Key) (map[custody.Key]custody.Record, error) {
	now := time.Now()
	records := make(map[custody.Key]custody.Record, len(keys))
	for _, key := range keys {
		records[key] = custody.Record{Value: "made-up-token", End: now.Add(2 * time.Hour), Life: 2 * time.Hour, Fence: 1, Now: now}
	}
	return records, nil
}

// TestSpeedAgentsMemory: an app of WeCom takes about as much memory as an official account,
// and no goroutine.
func TestSpeedAgentsMemory(t *testing.T) {
	tier.Speed(t)
	const (
		n    = 10_000
		most = 1.25
	)
	corp := open(t, &server{})
	official, err := platform.New(platform.Config{})
	if err != nil {
		t.Fatal(err)
	}
	accounts := heapOfEach(t, n, func(i int) custody.Config {
		a := platform.Account{AppID: fmt.Sprintf("wx%016d", i), Secret: custody.NewSecret(fmt.Sprintf("%032d", i))}
		return custody.Config{Key: official.Key(a.AppID, platform.Stable), Kind: official.AccessToken(a, platform.Stable), Secret: a.Secret}
	})
	agents := heapOfEach(t, n, func(i int) custody.Config {
		a := wecom.App{CorpID: corpID, AgentID: fmt.Sprint(1000000 + i), Secret: custody.NewSecret(fmt.Sprintf("%043d", i))}
		return custody.Config{Key: corp.Key(a), Kind: corp.AccessToken(a), Secret: a.Secret}
	})
	t.Logf("%d bytes of heap for each app of WeCom, %.2f × the %d of an official account, at most %.2f ×", agents, float64(agents)/float64(accounts), accounts, most)
	if float64(agents) > most*float64(accounts) {
		t.Errorf("an app of WeCom takes %d bytes, an official account %d", agents, accounts)
	}
}

// heapOfEach returns the heap that each of n Keepers takes when it has its token.
func heapOfEach(t *testing.T, n int, config func(i int) custody.Config) int {
	t.Helper()
	scheduler, store := custody.NewScheduler(custody.SchedulerConfig{}), everybody{memory.New()}
	defer scheduler.Close()
	goroutines, before := runtime.NumGoroutine(), heap()
	keepers := make([]*custody.Keeper, n)
	for i := range keepers {
		cfg := config(i)
		cfg.Store, cfg.Scheduler = store, scheduler
		k, err := custody.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		keepers[i] = k
	}
	for _, k := range keepers {
		for !k.Status().Live {
			time.Sleep(time.Millisecond)
		}
	}
	each := (heap() - before) / n
	if extra := runtime.NumGoroutine() - goroutines; extra > 4 {
		t.Errorf("%d goroutines for %d idle Keepers", extra, n)
	}
	for _, k := range keepers {
		_ = k.Close()
	}
	return each
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
