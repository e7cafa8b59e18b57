package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/bottest"
	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

func TestMain(m *testing.M) {
	bottest.Main(func(ctx context.Context, address string) (bottest.Store, error) { return Open(ctx, address, Options{}) })
	testserver.Main(m)
}

var tests = remotetest.Engine{
	Engine: testserver.Redis,
	Open: func(ctx context.Context, address string, logger *slog.Logger) (custody.Store, error) {
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
	Fill: func(t *testing.T, address string, key custody.Key, n int, age time.Duration) {
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
	Messages: func(t *testing.T, address string) int {
		t.Helper()
		e := raw(t, address)
		n := 0
		keys := e.db.Scan(t.Context(), 0, e.prefix+"message:*", 1000).Iterator()
		for keys.Next(t.Context()) {
			n++
		}
		must(t, keys.Err())
		return n
	},
	Lines: func(t *testing.T, address string, key custody.Key) int {
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

func TestThreeDeliveriesThreeProcesses(t *testing.T) {
	t.Parallel()
	bottest.ThreeDeliveries(t, tests.Place(t, testserver.URL(t, testserver.Redis)))
}

func TestSoakProcesses(t *testing.T) {
	t.Parallel()
	bottest.Soak(t, tests.Place(t, testserver.URL(t, testserver.Redis)))
}

func TestKilledInBursts(t *testing.T) {
	t.Parallel()
	bottest.KilledInBursts(t, tests.Place(t, testserver.URL(t, testserver.Redis)))
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

// TestDamagedMessage: what is known of a message is nonsense, or the key holds
// something else. It counts as a new one.
func TestDamagedMessage(t *testing.T) {
	t.Parallel()
	address := tests.Place(t, testserver.URL(t, testserver.Redis))
	e := raw(t, address)
	s, err := Open(t.Context(), address, Options{})
	must(t, err)
	defer func() { _ = s.Close() }()
	must(t, e.db.HSet(t.Context(), e.message("a row"), "version", 17, "row", "{").Err())
	must(t, e.db.Set(t.Context(), e.message("a key"), "something else", 0).Err())
	for _, key := range []string{"a row", "a key"} {
		attempt, delivery, _, err := s.Claim(t.Context(), "account", key, "owner", time.Minute, time.Hour)
		if err != nil || attempt != 1 || delivery != 1 {
			t.Errorf("Claim of %s = attempt %d, delivery %d, %v", key, attempt, delivery, err)
		}
		if _, _, err := s.Finish(t.Context(), key, "owner", []byte("answer"), time.Hour); err != nil {
			t.Error(err)
		}
		_, answer, err := s.Wait(t.Context(), key, "other", time.Minute)
		if err != nil || string(answer) != "answer" {
			t.Errorf("Wait for %s = %q, %v", key, answer, err)
		}
	}
}

// TestInboxHealed: names in an inbox whose messages are gone are removed by
// whoever looks there, however many they are, and the one that waits is found
// behind them.
func TestInboxHealed(t *testing.T) {
	t.Parallel()
	address := tests.Place(t, testserver.URL(t, testserver.Redis))
	e := raw(t, address)
	s, err := Open(t.Context(), address, Options{})
	must(t, err)
	defer func() { _ = s.Close() }()
	for i := range 3*inboxLook + 1 {
		must(t, e.db.ZAdd(t.Context(), e.inbox("account"), goredis.Z{Score: float64(i + 1), Member: fmt.Sprint("gone ", i)}).Err())
	}
	for i := range inboxLook { // in work
		key := fmt.Sprint("held ", i)
		_, _, _, err = s.Claim(t.Context(), "account", key, "owner", time.Minute, time.Hour)
		must(t, err)
		_, _, err = s.Keep(t.Context(), key, []byte("message"))
		must(t, err)
	}
	_, _, _, err = s.Claim(t.Context(), "account", "left", "owner", 0, time.Hour)
	must(t, err)
	_, _, err = s.Keep(t.Context(), "left", []byte("message"))
	must(t, err)
	key, message, _, err := s.Take(t.Context(), "account", "heir", time.Minute)
	if err != nil || key != "left" || string(message) != "message" {
		t.Errorf("Take = %q, %q, %v", key, message, err)
	}
	if n, err := e.db.ZCard(t.Context(), e.inbox("account")).Result(); err != nil || n != inboxLook+1 {
		t.Errorf("%d names are in the inbox, %v; want %d", n, err, inboxLook+1)
	}
}
