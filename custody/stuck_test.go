package custody_test

import (
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestStoreThatOthersWrite: a process whose last write failed learns from what another
// process saved that the store takes writes. What failed hours ago does not use up the
// patience with the next failure.
func TestStoreThatOthersWrite(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		f := &faulty{Store: store}
		a := open(t, config(i, f))
		mustToken(t, a, value(1))
		f.acquire.Store(&errAway)
		time.Sleep(life - 5*time.Minute)
		for a.Status().Renewal > 0 {
			pass(100 * time.Millisecond)
		}
		b := open(t, config(i, store))
		b.Renew()
		for a.Status().Left < time.Hour || b.Status().Left < time.Hour {
			pass(time.Second) // until b has renewed, and a has seen it
		}
		f.acquire.Store(nil)
		mustFetches(t, i, 2)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}

		time.Sleep(life - 10*time.Minute)
		f.load.Store(&errAway)
		for a.Status().Failure == nil && len(i.asked()) == 2 {
			pass(100 * time.Millisecond)
		}
		pass(5 * time.Second)
		mustFetches(t, i, 2)
		f.load.Store(nil)
		pass(5 * time.Second)
		mustFetches(t, i, 3)
	})
}
