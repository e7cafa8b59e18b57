package custody_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestRenewsInTheWindow: 170 to 290 s before the end of 7,200 s, inside the 5
// minutes in which WeChat gives a new token, and not always at the same second.
func TestRenewsInTheWindow(t *testing.T) {
	t.Parallel()
	early, late := life, time.Duration(0)
	for range 50 {
		bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
			k := open(t, config(i, store))
			mustToken(t, k, value(1))
			pass(life - 20*time.Second - time.Millisecond)
			asked := i.asked()
			if len(asked) != 2 {
				t.Fatalf("%d fetches in one life, want 2", len(asked))
			}
			before := life - asked[1].at.Sub(asked[0].at)
			if before < 170*time.Second || before > 290*time.Second {
				t.Errorf("renewed %s before the end, want 170 s to 290 s", before)
			}
			early, late = min(early, before), max(late, before)
		})
	}
	if late-early < 30*time.Second {
		t.Errorf("50 renewals fell between %s and %s before the end: they are not spread", early, late)
	}
}

// TestWindowsWithinTheOverlap: processes whom nobody tells of a renewal look while
// the superseded value still works, however short the overlap is.
func TestWindowsWithinTheOverlap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lives, overlap, apart time.Duration }{
		{life, 0, 135 * time.Second},
		{life, time.Minute, 27 * time.Second},
		{10 * time.Minute, 0, 11250 * time.Millisecond}, // 25 s of overlap
		{life, time.Second, 450 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(c.lives, " ", c.overlap), func(t *testing.T) {
			t.Parallel()
			early, late := c.lives, time.Duration(0)
			for range 50 {
				bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
					i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
						return custody.Grant{Value: custody.NewSecret(value(n)), ExpiresIn: c.lives}, nil
					})
					cfg := config(i, store)
					cfg.Overlap = c.overlap
					k := open(t, cfg)
					mustToken(t, k, value(1))
					due := k.Status().Renewal
					early, late = min(early, due), max(late, due)
				})
			}
			if apart := late - early; apart > c.apart || apart < c.apart/3 {
				t.Errorf("50 windows begin within %s, want at most %s, and not all at once", apart, c.apart)
			}
		})
	}
}

// TestZonesOfLives walks through lives of every length: a live token is handed
// out to its margin and not beyond, and is renewed before that.
func TestZonesOfLives(t *testing.T) {
	t.Parallel()
	for _, lives := range []time.Duration{time.Second, 10 * time.Second, 30 * time.Second, 200 * time.Second, 10 * time.Minute, life, 7 * 24 * time.Hour} {
		t.Run(lives.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
					if n > 1 {
						return custody.Grant{}, &custody.FetchError{Class: custody.ClassBlocked, RetryAfter: 30 * 24 * time.Hour, Err: errors.New("no more")}
					}
					return custody.Grant{Value: custody.NewSecret(value(1)), ExpiresIn: lives}, nil
				})
				k := open(t, config(i, store))
				start := time.Now()
				mustToken(t, k, value(1))
				margin := min(20*time.Second, lives/10)
				pass(time.Until(start.Add(lives - margin - time.Millisecond)))
				mustToken(t, k, value(1))
				if n := len(i.asked()); n != 2 {
					t.Errorf("%d fetches before the end, want 2", n)
				}
				window := min(5*time.Minute, (lives-margin)/2)
				if at := i.asked()[1].at.Sub(start); at < lives-margin-window || at > lives-margin {
					t.Errorf("renewed after %s of %s", at, lives)
				}
				pass(time.Until(start.Add(lives - margin)))
				if token, err := k.Token(t.Context()); err == nil {
					t.Errorf("Token at the margin: %s was handed out %s before its end", token.Value(), margin)
				}
			})
		})
	}
}

// TestReadersDuringARenewal that takes 5 s: nobody waits.
func TestReadersDuringARenewal(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		i.takesTime(5 * time.Second)
		deadline := time.Now().Add(life)
		for len(i.asked()) < 2 && time.Now().Before(deadline) {
			pass(time.Second)
		}
		mustFetches(t, i, 2)
		start := time.Now()
		for range 4 { // over 4 of the 5 s
			var readers sync.WaitGroup
			for range 100 {
				readers.Go(func() {
					before := time.Now()
					token, err := k.Token(t.Context())
					if err != nil || token.Value() != value(1) {
						t.Errorf("Token during a renewal: %v, %v; want the live one", token.Value(), err)
					}
					if waited := time.Since(before); waited != 0 {
						t.Errorf("a reader waited %s", waited)
					}
				})
			}
			readers.Wait()
			pass(time.Second)
		}
		pass(time.Until(start.Add(6 * time.Second)))
		mustToken(t, k, value(2))
	})
}

// TestCallersOwnContext: a caller with 100 ms on a dead token returns after
// exactly that, and the flight goes on for the others.
func TestCallersOwnContext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.takesTime(3 * time.Second)
		k := open(t, config(i, store))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := k.Token(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Token: got %v, want DeadlineExceeded", err)
		}
		if waited := time.Since(start); waited != 100*time.Millisecond {
			t.Errorf("returned after %s, want exactly 100 ms", waited)
		}
		mustToken(t, k, value(1))
		if waited := time.Since(start); waited != 3*time.Second {
			t.Errorf("the second caller had the token after %s, want 3 s: the first flight's", waited)
		}
		mustFetches(t, i, 1)
	})
}

// TestThousandColdCallers in ten processes on an empty store: one fetch.
func TestThousandColdCallers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.takesTime(time.Second)
		var callers sync.WaitGroup
		for range 10 {
			k := open(t, config(i, store))
			for range 100 {
				callers.Go(func() {
					if token, err := k.Token(t.Context()); err != nil || token.Value() != value(1) {
						t.Errorf("Token: %q, %v", token.Value(), err)
					}
				})
			}
		}
		callers.Wait()
		mustFetches(t, i, 1)
	})
}

// TestRestarts within a token's life cost nothing.
func TestRestarts(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		for n := range 10 {
			k, err := custody.New(config(i, store))
			if err != nil {
				t.Fatal(err)
			}
			token := mustToken(t, k, value(1))
			want := custody.OriginStore
			if n == 0 {
				want = custody.OriginFetched
			}
			if token.Origin() != want {
				t.Errorf("start %d: the token's origin is %s, want %s", n, token.Origin(), want)
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			pass(5 * time.Minute)
		}
		mustFetches(t, i, 1)
	})
}

// TestOneOfManyRenews: five processes over ten lives, one fetch each life, and
// all of them hand out the newest token.
func TestOneOfManyRenews(t *testing.T) {
	t.Parallel()
	for name, shared := range map[string]func(*memory.Store) custody.Store{
		"watched": func(s *memory.Store) custody.Store { return s },
		"silent":  func(s *memory.Store) custody.Store { return struct{ custody.Store }{s} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				i.takesTime(300 * time.Millisecond)
				var keepers []*custody.Keeper
				for range 5 {
					keepers = append(keepers, open(t, config(i, shared(store))))
				}
				for n := 1; n <= 10; n++ {
					for _, k := range keepers {
						mustToken(t, k, value(n))
					}
					before := len(i.asked())
					for len(i.asked()) == before {
						pass(time.Second)
					}
					pass(2 * time.Minute) // all windows of this life are open by now
				}
				if n := len(i.asked()); n != 11 {
					t.Errorf("%d fetches in ten lives, want 11", n)
				}
			})
		})
	}
}

// TestWaiterIsNoticed: who waits for another process's renewal has its token in
// the moment it is saved.
func TestWaiterIsNoticed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.takesTime(3300 * time.Millisecond)
		start := time.Now()
		open(t, config(i, store))
		synctest.Wait()
		mustToken(t, open(t, config(i, store)), value(1))
		if waited := time.Since(start); waited != 3300*time.Millisecond {
			t.Errorf("waited %s for a renewal of 3.3 s", waited)
		}
		mustFetches(t, i, 1)
	})
}

// TestSecondLook: another process renewed between the look and the lease; the
// record that comes with the lease says so.
func TestSecondLook(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		mustToken(t, open(t, config(i, &forestalled{Store: store})), "91_newer")
		synctest.Wait() // the lease is given back after the token is handed out
		mustFetches(t, i, 0)
		lease, err := store.Acquire(t.Context(), accessToken, "next", time.Second)
		if err != nil || lease.Today != 0 {
			t.Errorf("Acquire after it: %v with %d fetches today; want a lease that was given back, and none", err, lease.Today)
		}
	})
}

// forestalled is a store in which another process renews right before the first
// Acquire.
type forestalled struct {
	custody.Store
	once sync.Once
}

func (f *forestalled) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	f.once.Do(func() {
		other, err := f.Store.Acquire(ctx, key, "another process", ttl)
		if err == nil {
			_ = f.Save(ctx, other, custody.Record{Value: "91_newer", End: other.Record.Now.Add(life), Life: life})
		}
	})
	return f.Store.Acquire(ctx, key, attempt, ttl)
}

// TestNoticeTravels: where the store tells of changes, the others have a new
// token at once.
func TestNoticeTravels(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		a, b := open(t, config(i, store)), open(t, config(i, store))
		mustToken(t, a, value(1))
		mustToken(t, b, value(1))
		i.supersede()
		if _, err := a.Reject(t.Context(), value(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mustToken(t, b, value(2))
	})
}

// distant is a store whose notices come only once its listener was let in, and
// whose answers take until they may arrive.
type distant struct {
	*memory.Store
	listening chan struct{}
	answers   atomic.Pointer[chan struct{}]
}

func (d *distant) Watch(ctx context.Context) (<-chan custody.Key, error) {
	if d.listening != nil {
		<-d.listening
	}
	return d.Store.Watch(ctx)
}

func (d *distant) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	record, err := d.Store.Load(ctx, key)
	if arrive := d.answers.Load(); arrive != nil {
		<-*arrive
	}
	return record, err
}

// TestNoticeBeforeListening: what changed before a process listens, or while its
// connection was away, it sees as soon as it does.
func TestNoticeBeforeListening(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		d := &distant{Store: store, listening: make(chan struct{})}
		a, b := open(t, config(i, store)), open(t, config(i, d))
		mustToken(t, a, value(1))
		mustToken(t, b, value(1))
		i.supersede()
		if _, err := a.Reject(t.Context(), value(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mustToken(t, b, value(1))
		close(d.listening)
		synctest.Wait()
		mustToken(t, b, value(2))
	})
}

// TestNoticeDuringLook: a change that is told while an older answer of the store
// is still on its way leads to another look.
func TestNoticeDuringLook(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		d := &distant{Store: store}
		a, b := open(t, config(i, store)), open(t, config(i, d))
		mustToken(t, a, value(1))
		mustToken(t, b, value(1))
		synctest.Wait()
		arrive := make(chan struct{})
		d.answers.Store(&arrive)
		for n := 1; n <= 2; n++ {
			i.supersede()
			if _, err := a.Reject(t.Context(), value(n)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // b asks, and is told once more
		}
		mustToken(t, b, value(1))
		d.answers.Store(nil)
		close(arrive)
		synctest.Wait()
		mustToken(t, b, value(3))
	})
}

// TestSameValueAgain: an issuer that answers the living value is asked again
// after half of what is left, which is no failure and no new token.
func TestSameValueAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		start := time.Now()
		i.answers(func(int, custody.Mode) (custody.Grant, error) {
			return custody.Grant{Value: custody.NewSecret(value(1)), ExpiresIn: life - time.Since(start).Truncate(time.Second)}, nil
		})
		k := open(t, config(i, store))
		mustToken(t, k, value(1))
		pass(life - 21*time.Second)
		asked := i.asked()
		if len(asked) < 3 || len(asked) > 12 {
			t.Fatalf("%d fetches, want a few: each after half of what was left", len(asked))
		}
		for n := 2; n < len(asked); n++ {
			left := life - asked[n-1].at.Sub(start)
			if gap := asked[n].at.Sub(asked[n-1].at); gap > left/2+2*time.Second || gap < left/4 {
				t.Errorf("fetch %d came %s after the one before, when %s were left", n+1, gap, left)
			}
		}
		if f := k.Status().Failure; f != nil {
			t.Errorf("Status tells of a failure: %v", f)
		}
	})
}

// TestSameValueLivesLonger: the issuer made the life of its value longer instead
// of giving another; half of that later it is asked again.
func TestSameValueLivesLonger(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.answers(func(int, custody.Mode) (custody.Grant, error) { return grant(1), nil })
		k := open(t, config(i, store))
		pass(life + time.Minute)
		mustToken(t, k, value(1))
		pass(life / 2)
		asked := i.asked()
		if len(asked) != 3 || asked[2].at.Sub(asked[1].at) != life/2 {
			t.Errorf("%d fetches, want a third half a life after the second: %v", len(asked), asked)
		}
	})
}

// TestGrantsThatAreNone: a typed error, nothing stored, the live token kept.
func TestGrantsThatAreNone(t *testing.T) {
	t.Parallel()
	long := make([]byte, custody.MaxValueBytes+1)
	for n := range long {
		long[n] = 'a'
	}
	for name, g := range map[string]custody.Grant{
		"empty":      {ExpiresIn: life},
		"no life":    {Value: custody.NewSecret("91_x")},
		"negative":   {Value: custody.NewSecret("91_x"), ExpiresIn: -time.Second},
		"too short":  {Value: custody.NewSecret("91_x"), ExpiresIn: time.Second - 1},
		"too long":   {Value: custody.NewSecret("91_x"), ExpiresIn: 7*24*time.Hour + 1},
		"too large":  {Value: custody.NewSecret(string(long)), ExpiresIn: life},
		"dead early": {Value: custody.NewSecret("91_x"), ExpiresIn: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
				i.answers(func(n int, _ custody.Mode) (custody.Grant, error) {
					if n == 1 {
						return grant(1), nil
					}
					return g, nil
				})
				k := open(t, config(i, store))
				mustToken(t, k, value(1))
				i.takesTime(3 * time.Second)
				pass(life - 25*time.Second)
				if n := len(i.asked()); n < 2 {
					t.Fatalf("%d fetches", n)
				}
				mustToken(t, k, value(1))
				f := k.Status().Failure
				if f == nil || f.Class != custody.ClassTransient {
					t.Fatalf("Status: failure %v, want a transient one", f)
				}
				record, err := store.Load(t.Context(), accessToken)
				if err != nil || record.Value != value(1) {
					t.Errorf("the store holds %v, %v; want the first value", record.Value, err)
				}
				pass(10 * time.Second)
				if _, err := k.Token(t.Context()); !errors.As(err, new(*custody.Error)) {
					t.Errorf("Token after the end: %v, want a *custody.Error", err)
				}
			})
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, i *issuer, store *memory.Store) {
		i.takesTime(2 * time.Second)
		k, err := custody.New(config(i, store))
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second) // the fetch is on its way
		waiting := make(chan error, 1)
		go func() {
			_, err := k.Token(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		start := time.Now()
		if err := k.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("Close waited %s, want 1 s: until the fetch was answered and saved", waited)
		}
		if err := <-waiting; err != nil && !errors.Is(err, custody.ErrClosed) {
			t.Errorf("a waiting caller got %v", err)
		}
		if err := k.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
		if _, err := k.Token(t.Context()); !errors.Is(err, custody.ErrClosed) {
			t.Errorf("Token after Close: %v, want ErrClosed", err)
		}
		if _, err := k.Reject(t.Context(), value(1)); !errors.Is(err, custody.ErrClosed) {
			t.Errorf("Reject after Close: %v, want ErrClosed", err)
		}
		mustToken(t, open(t, config(i, store)), value(1))
		mustFetches(t, i, 1)
	})
}
