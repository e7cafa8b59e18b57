package memory

import (
	"fmt"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/pushtest"
)

// TestOnceForgets: what is old goes by itself, and what waits to be handled stays.
func TestOnceForgets(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, now := stepped()
	claim := func(key string) {
		if _, _, _, err := s.Claim(ctx, "wx1", key, "owner", time.Minute, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	claim("kept")
	if _, _, err := s.Keep(ctx, "kept", []byte("message")); err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		now.pass(time.Second)
		key := fmt.Sprint(i)
		claim(key)
		if _, _, err := s.Finish(ctx, key, "owner", nil, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.messages); n < 3600 || n > 10_000 {
		t.Errorf("%d messages are remembered; an hour has 3,600", n)
	}
	if key, message, attempt, err := s.Take(ctx, "wx1", "heir", time.Minute); key != "kept" || string(message) != "message" || attempt != 2 ||
		err != nil {
		t.Errorf("Take = %q, %q, %d, %v", key, message, attempt, err)
	}
}

// TestPushes: two pushes that differ are two messages, and each is one.
func TestPushes(t *testing.T) {
	t.Parallel()
	pushtest.Endpoint(t, New())
}
