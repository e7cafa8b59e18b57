package store_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zhongkong-go/zhongkong/store"
)

// TestClaimRules draws the calls of several deliveries about one message: at most one
// holds it at a time, attempts and deliveries are counted, and what is finished stays so
// until it may be forgotten.
func TestClaimRules(t *testing.T) {
	const lease, keep = 6 * time.Second, time.Hour
	rapid.Check(t, func(t *rapid.T) {
		var c store.Claim
		now := int64(1_000_000)
		holders := map[string]int64{} // until when each was told that it holds the message
		attempts, deliveries := 0, 0
		var finished bool
		for range rapid.IntRange(1, 40).Draw(t, "calls") {
			now += rapid.Int64Range(0, 4_000_000).Draw(t, "pause")
			owner := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "owner")
			hold := func(attempt int) {
				if attempt == 0 {
					return
				}
				for other, until := range holders {
					if other != owner && until > now {
						t.Fatalf("%s holds the message and %s is given it", other, owner)
					}
				}
				if finished {
					t.Fatalf("%s is given a finished message", owner)
				}
				if attempt != attempts {
					attempts++
				}
				if attempt != attempts {
					t.Fatalf("attempt %d, want %d", attempt, attempts)
				}
				holders[owner] = now + lease.Microseconds()
			}
			switch call := rapid.SampledFrom([]string{"claim", "wait", "hold", "release", "keep", "finish", "take"}).Draw(t, "call"); {
			case call == "claim":
				again := c.Owner == owner && !c.Finished && deliveries > 0
				claimed, fresh := c.Claim(now, "account", owner, lease, keep)
				if fresh != (deliveries == 0) {
					t.Fatalf("fresh is %t after %d deliveries", fresh, deliveries)
				}
				if !again {
					deliveries++
				}
				if claimed.Delivery != deliveries || claimed.Age != time.Duration(now-c.FirstUS)*time.Microsecond {
					t.Fatalf("claimed %+v, want delivery %d", claimed, deliveries)
				}
				hold(claimed.Attempt)
			case deliveries == 0: // the other calls are about messages that were claimed
			case call == "wait":
				attempt, answer, left := c.Wait(now, owner, lease)
				if finished != (attempt == 0 && left == 0) || finished && string(answer) != "answer" && !c.Kept {
					t.Fatalf("Wait: attempt %d, %q, %s left; finished %t", attempt, answer, left, finished)
				}
				hold(attempt)
			case call == "hold", call == "release":
				d := lease
				if call == "release" {
					d = 0
				}
				held, kept := c.Hold(now, owner, d)
				if held != (c.Owner == owner && !finished) || kept != c.Kept {
					t.Fatalf("Hold: %t, %t", held, kept)
				}
				if held {
					holders[owner] = now + d.Microseconds()
				}
			case call == "keep":
				waits := c.KeptUS > 0
				done, _, write := c.Keep(now, []byte("message"))
				if done != finished || write != (!finished && !waits) {
					t.Fatalf("Keep: finished %t, write %t", done, write)
				}
			case call == "finish":
				answer := []byte("answer")
				if c.Kept {
					answer = nil
				}
				held, _, drop := c.Finish(now, owner, answer, keep)
				if held != (c.Owner == owner) || drop != (held && !finished) {
					t.Fatalf("Finish: held %t, drop %t", held, drop)
				}
				finished = finished || drop
			case call == "take" && c.Waits(now):
				hold(c.Take(now, owner, lease))
			}
			if c.Finished != finished || c.Known(now) != (deliveries > 0) {
				t.Fatalf("finished %t, known %t", c.Finished, c.Known(now))
			}
		}
		if finished && c.Known(now+2*keep.Microseconds()) {
			t.Fatal("a finished message is never forgotten")
		}
	})
}

func TestCheckClaim(t *testing.T) {
	long := strings.Repeat("k", store.MaxClaimName+1)
	for name, err := range map[string]error{
		"account": store.CheckClaim(long, "", "", nil), "key": store.CheckClaim("", long, "", nil), "owner": store.CheckClaim("", "", long, nil),
		"ASCII": store.CheckClaim("", "鑰匙", "", nil), "bytes": store.CheckClaim("", "", "", make([]byte, store.MaxClaimAnswer+1)),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := store.CheckClaim(long[1:], long[1:], long[1:], make([]byte, store.MaxClaimAnswer)); err != nil {
		t.Error(err)
	}
}
