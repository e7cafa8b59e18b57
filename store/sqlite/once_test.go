package sqlite

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/pushtest"
	"github.com/zhongkong-go/zhongkong/store"
)

// TestOnceForgets: what is old goes by itself, and what waits to be handled stays.
func TestOnceForgets(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, newPath(t), nil)
	now := time.Now()
	s.now = func() time.Time { return now }
	claim := func(key string) {
		if _, _, _, err := s.Claim(ctx, "wx1", key, "owner", time.Minute, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	claim("kept")
	if _, _, err := s.Keep(ctx, "kept", []byte("message")); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * forgetPace {
		now = now.Add(20 * time.Second)
		key := fmt.Sprint(i)
		claim(key)
		if i%2 == 0 {
			if _, _, err := s.Finish(ctx, key, "owner", nil, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
	}
	var n int
	if err := s.present().db.GetContext(ctx, &n, `SELECT count(*) FROM zhongkong_messages`); err != nil {
		t.Fatal(err)
	}
	if n < 180 || n > 180+forgetPace {
		t.Errorf("%d messages are remembered; an hour has 180", n)
	}
	if key, message, attempt, err := s.Take(ctx, "wx1", "heir", time.Minute); key != "kept" || string(message) != "message" || attempt != 2 ||
		err != nil {
		t.Errorf("Take = %q, %q, %d, %v", key, message, attempt, err)
	}
}

// TestOnceRemembers: a message is not read again between its Claim and its Finish, unless
// another connection has written meanwhile.
func TestOnceRemembers(t *testing.T) {
	t.Parallel()
	ctx, path := t.Context(), newPath(t)
	s := open(t, path, nil)
	other := raw(t, path)
	claim := func(owner string, want int) {
		t.Helper()
		if _, delivery, _, err := s.Claim(ctx, "wx1", "key", owner, time.Minute, time.Hour); err != nil || delivery != want {
			t.Fatalf("delivery %d, %v, want %d", delivery, err, want)
		}
	}
	change := func(statement string) {
		t.Helper()
		if _, err := other.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	remembered := func() int { return len(s.present().writes.claims) }
	claim("owner", 1)
	claim("second", 2)
	change(`UPDATE zhongkong_messages SET deliveries = 6`)
	claim("third", 7)
	if n := remembered(); n != 1 {
		t.Errorf("%d messages are remembered, want the one that is being handled", n)
	}
	change(`DELETE FROM zhongkong_messages`)
	if _, _, err := s.Finish(ctx, "key", "owner", nil, time.Hour); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("Finish of what is gone: %v", err)
	}
	claim("owner", 1)
	if held, _, err := s.Finish(ctx, "key", "owner", []byte("answer"), time.Hour); !held || err != nil {
		t.Error(held, err)
	}
	if n := remembered(); n != 0 {
		t.Errorf("%d messages are remembered after the end", n)
	}
	if _, answer, err := s.Wait(ctx, "key", "other", time.Minute); string(answer) != "answer" || err != nil {
		t.Errorf("%q, %v", answer, err)
	}
}

// TestPushes: two pushes that differ are two messages, and each is one.
func TestPushes(t *testing.T) {
	t.Parallel()
	pushtest.Endpoint(t, open(t, newPath(t), nil))
}
