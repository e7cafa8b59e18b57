package custody_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestRenew: a newer value is fetched at once, and until it is there nobody waits.
func TestRenew(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		pass(time.Hour)
		i.takesTime(3 * time.Second)
		k.Renew()
		synctest.Wait()
		start := time.Now()
		mustToken(t, k, value(1))
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a caller waited %s while the token lived", waited)
		}
		pass(3 * time.Second)
		mustToken(t, k, value(2))
		mustFetches(t, i, 2)
		pass(time.Hour)
		mustFetches(t, i, 2)
	})
}

// TestRenewDuringARenewal: the one under way may have asked too early, so one more
// follows, however often it is said.
func TestRenewDuringARenewal(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.takesTime(3 * time.Second)
		k := open(t, config(i, store))
		pass(time.Second)
		for range 5 {
			k.Renew()
		}
		mustToken(t, k, value(1))
		pass(3 * time.Second)
		mustToken(t, k, value(2))
		mustFetches(t, i, 2)
	})
}

// TestRenewIsHeldBack: by a failure whose time is not over; then it is made up for.
func TestRenewIsHeldBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		i.answers(func(int, custody.Mode) (custody.Grant, error) {
			return custody.Grant{}, &custody.FetchError{Class: custody.ClassBlocked, RetryAfter: time.Minute, Err: errors.New("no")}
		})
		for range 10 {
			k.Renew()
			pass(time.Second)
		}
		mustFetches(t, i, 2)
		mustToken(t, k, value(1))
		i.answers(nil)
		pass(time.Minute)
		mustToken(t, k, value(3))
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		k.Renew()
		synctest.Wait()
		mustFetches(t, i, 3)
	})
}
