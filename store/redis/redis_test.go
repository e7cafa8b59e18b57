package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong"
	"github.com/zhongkong-go/zhongkong/internal/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

var tests = remotetest.Engine{
	Engine: testserver.Redis,
	Open: func(ctx context.Context, address string, logger *slog.Logger) (zhongkong.Store, error) {
		return Open(ctx, address, Options{Logger: logger})
	},
	Remove: func(ctx context.Context, address string) error {
		e, err := newEngine(address, Options{})
		if err != nil {
			return err
		}
		defer func() { _ = e.Close() }()
		keys := e.db.Scan(ctx, 0, e.prefix+"*", 1000).Iterator()
		for keys.Next(ctx) {
			if err := e.db.Del(ctx, keys.Val()).Err(); err != nil {
				return err
			}
		}
		return keys.Err()
	},
	Start: func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartRedis(ctx, "--appendonly", "yes", "--appendfsync", "always")
	},
	Damage: func(t *testing.T, address string, _ int64) {
		t.Helper()
		e := raw(t, address)
		must(t, e.db.HSet(t.Context(), e.record(remotetest.Key.String()), "row", `{"value": 17}`).Err())
	},
	Says: "the field row is no record",
	Fill: func(t *testing.T, address string, key zhongkong.Key, n int, age time.Duration) {
		t.Helper()
		e := raw(t, address)
		_, err := e.db.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
			for i := range n {
				text, err := json.Marshal(line{AtUS: time.Now().Add(-age).UnixMicro(), Event: "begin", Fence: 1, Detail: fmt.Sprint(i + 1)})
				if err != nil {
					return err
				}
				p.LPush(t.Context(), e.journal(key.String()), text)
			}
			return nil
		})
		must(t, err)
	},
	Lines: func(t *testing.T, address string, key zhongkong.Key) int {
		t.Helper()
		e := raw(t, address)
		n, err := e.db.LLen(t.Context(), e.journal(key.String())).Result()
		must(t, err)
		return int(n)
	},
}

func TestStore(t *testing.T) {
	t.Parallel()
	remotetest.Run(t, tests)
}

func TestSpeedNotice(t *testing.T) { tests.SpeedNotice(t) }

// raw is somebody else's connection.
func raw(t *testing.T, address string) *engine {
	t.Helper()
	e, err := newEngine(address, Options{})
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
