//go:build unix

package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// TestShortRunsThroughAPooler: 200 runs of a command, as cron jobs and scripts make them,
// leave a PgBouncer of sessions alive and fetch one token between them. Package postgres has
// the same within one process, and for transactions.
func TestShortRunsThroughAPooler(t *testing.T) {
	t.Parallel()
	binary(t)
	server := testserver.URL(t, testserver.Postgres)
	sim := launch(t, []string{"PATH=" + os.Getenv("PATH")}, "simulate", "--listen", "127.0.0.1:0")
	defer sim.end(t, syscall.SIGTERM)
	pooler := testserver.Own(t, testserver.PgBouncer, func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartPgBouncer(ctx, server, "session", "default_pool_size = 20")
	})
	address := remotetest.With(t, remotetest.Through(t, server, pooler.Addr), "prefix", testserver.Name()+"_")
	env := []string{"ZHONGKONG_STORE=" + address, "WECHAT_API_BASE=" + sim.base}
	for _, name := range []string{"WECHAT_APPID", "WECHAT_APPSECRET"} {
		env = append(env, name+"="+sim.variable(t, name))
	}
	var mu sync.Mutex
	tokens := map[string]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				out, errs, err := command(t, env, "token", "get")
				if err != nil {
					t.Errorf("token get: %v\n%s", err, errs)
					return
				}
				mu.Lock()
				tokens[strings.TrimSpace(out)]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for token, n := range tokens {
		if len(tokens) != 1 || n != 200 || len(token) < 20 {
			t.Errorf("%d tokens, one of them %d times; want one, 200 times", len(tokens), n)
		}
	}
	if out, errs, err := command(t, env, "migrate", "up"); err != nil {
		t.Errorf("migrate up afterwards: %v\n%s%s", err, out, errs)
	}
	if out, errs, err := command(t, env, "migrate", "down"); err != nil {
		t.Errorf("migrate down afterwards: %v\n%s%s", err, out, errs)
	}
}
