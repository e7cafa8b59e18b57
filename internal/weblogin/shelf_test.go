package weblogin_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestShelf: what is put there is there for its life.
func TestShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer func() { _ = store.Close() }()
		seals, err := weblogin.NewSeals("test", custody.NewSecret("a secret"))
		if err != nil {
			t.Fatal(err)
		}
		shelf := weblogin.Shelf{Store: store, Account: "test", Seals: seals}
		if err := shelf.Put(t.Context(), "thing", "share", []int{1, 2}, 3*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			var got []int
			if err := shelf.Get(t.Context(), "thing", &got); err != nil || len(got) != 2 {
				t.Errorf("reading %d: %v, %v", i+1, got, err)
			}
		}
		var got []int
		for range 2 {
			if err := shelf.Get(t.Context(), "nothing", &got); !errors.Is(err, weblogin.ErrGone) {
				t.Errorf("nothing: %v", err)
			}
		}
		foreign := shelf
		if foreign.Seals, err = weblogin.NewSeals("test", custody.NewSecret("another")); err != nil {
			t.Fatal(err)
		}
		if err := foreign.Get(t.Context(), "thing", &got); !errors.Is(err, weblogin.ErrGone) {
			t.Errorf("with another key: %v", err)
		}
		time.Sleep(3*24*time.Hour + time.Second)
		if err := shelf.Get(t.Context(), "thing", &got); !errors.Is(err, weblogin.ErrGone) {
			t.Errorf("after its life: %v", err)
		}
	})
}

// flaky is a store of which the next calls fail: before they were carried out, or after.
type flaky struct {
	callback.Once

	mu    sync.Mutex
	fails map[string]int // calls that fail, by method
	lost  bool           // they were carried out, and the answer was lost
}

var errHiccup = errors.New("the store has a hiccup")

func (f *flaky) fail(method string, call func() error) error {
	f.mu.Lock()
	failing := f.fails[method] > 0
	f.fails[method]--
	f.mu.Unlock()
	if failing && !f.lost {
		return errHiccup
	}
	err := call()
	if failing {
		return errHiccup
	}
	return err
}

func (f *flaky) Claim( //nolint:revive // the contract of messages, which all stores implement
	ctx context.Context,
	account, key, owner string,
	lease, keep time.Duration,
) (attempt, delivery int, age time.Duration, err error) {
	err = f.fail("Claim", func() (err error) {
		attempt, delivery, age, err = f.Once.Claim(ctx, account, key, owner, lease, keep)
		return err
	})
	return attempt, delivery, age, err
}

func (f *flaky) Wait(ctx context.Context, key, owner string, lease time.Duration) (attempt int, answer []byte, err error) {
	err = f.fail("Wait", func() (err error) {
		attempt, answer, err = f.Once.Wait(ctx, key, owner, lease)
		return err
	})
	return attempt, answer, err
}

func (f *flaky) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	err = f.fail("Finish", func() (err error) {
		held, kept, err = f.Once.Finish(ctx, key, owner, answer, keep)
		return err
	})
	return held, kept, err
}

// onShelf runs a test with a shelf on a store that fails when it is told to.
func onShelf(t *testing.T, test func(t *testing.T, shelf weblogin.Shelf, store *flaky)) {
	synctest.Test(t, func(t *testing.T) {
		kept := memory.New()
		defer func() { _ = kept.Close() }()
		seals, err := weblogin.NewSeals("test", custody.NewSecret("a secret"))
		if err != nil {
			t.Fatal(err)
		}
		store := &flaky{Once: kept, fails: map[string]int{}}
		test(t, weblogin.Shelf{Store: store, Account: "test", Seals: seals}, store)
	})
}

// TestShelfTake: of many at once one takes a thing, and a store that fails for a while uses
// nothing up, wherever it fails.
func TestShelfTake(t *testing.T) {
	for _, method := range []string{"", "Claim", "Wait", "Finish"} {
		for _, lost := range []bool{false, true} {
			onShelf(t, func(t *testing.T, shelf weblogin.Shelf, store *flaky) {
				store.lost = lost
				fail := func(n int) {
					store.mu.Lock()
					defer store.mu.Unlock()
					store.fails = map[string]int{method: n}
				}
				take := func() (got int, err error) { return got, shelf.Take(t.Context(), "thing", &got, time.Minute) }
				fail(2)
				if err := shelf.Put(t.Context(), "thing", "share", 7, time.Minute); err != nil {
					t.Fatalf("%s: put: %v", method, err)
				}
				// For longer than a caller waits: an error, and the thing stays. Where the store
				// has recorded that it was taken and cannot say so, the caller has it.
				fail(1000)
				switch got, err := take(); {
				case method == "":
				case method == "Finish" && lost:
					if err != nil || got != 7 {
						t.Errorf("%s, lost %v: %d, %v", method, lost, got, err)
					}
				case !errors.Is(err, errHiccup) || got != 0 && method != "Finish":
					t.Errorf("%s, lost %v: %d, %v", method, lost, got, err)
				}
				fail(3)
				if method == "" {
					return
				}
				var taken, late atomic.Int32
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						switch got, err := take(); {
						case err == nil && got == 7:
							taken.Add(1)
						case errors.Is(err, weblogin.ErrTaken):
							late.Add(1)
						default:
							t.Errorf("%s, lost %v: %d, %v", method, lost, got, err)
						}
					})
				}
				all.Wait()
				want := int32(1)
				if method == "Finish" && lost {
					want = 0
				}
				if taken.Load() != want || late.Load() != 20-want {
					t.Errorf("%s, lost %v: taken %d times, late %d times", method, lost, taken.Load(), late.Load())
				}
			})
		}
	}
}

// TestShelfTakeGone: a caller that goes away takes nothing, a thing that is not there is
// taken by nobody, and one that was taken stays so for its life.
func TestShelfTakeGone(t *testing.T) {
	onShelf(t, func(t *testing.T, shelf weblogin.Shelf, _ *flaky) {
		var got int
		if err := shelf.Take(t.Context(), "thing", &got, time.Minute); !errors.Is(err, weblogin.ErrGone) {
			t.Errorf("nothing: %v", err)
		}
		if err := shelf.Put(t.Context(), "thing", "share", 7, time.Minute); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := shelf.Take(gone, "thing", &got, time.Minute); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that is gone: %v", err)
		}
		if err := shelf.Take(t.Context(), "thing", &got, time.Minute); err != nil || got != 7 {
			t.Errorf("%d, %v", got, err)
		}
		time.Sleep(59 * time.Second)
		if err := shelf.Take(t.Context(), "thing", &got, time.Minute); !errors.Is(err, weblogin.ErrTaken) {
			t.Errorf("again: %v", err)
		}
	})
}

// TestBudgetReturn: what did not come to be leaves its room to others, of this and of the
// minute before.
func TestBudgetReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := weblogin.Budget{Life: time.Minute, Most: 2, Each: 2}
		for range 100 {
			if !b.Take("a") {
				t.Fatal("no room, though all was returned")
			}
			b.Return("a")
		}
		b.Take("a")
		time.Sleep(time.Minute)
		b.Take("a")
		b.Return("a")
		b.Return("a")
		b.Return("a") // was not taken
		for i, want := range []bool{true, true, false} {
			if b.Take("a") != want {
				t.Errorf("thing %d: %v", i+1, !want)
			}
		}
	})
}

// TestBudget: one name's things use up nobody else's room, and are forgotten in time.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := weblogin.Budget{Life: time.Minute, Most: 10, Each: 4}
		take := func(name string, n int) (taken int) {
			for range n {
				if b.Take(name) {
					taken++
				}
			}
			return taken
		}
		if a, c := take("a", 9), take("c", 3); a != 4 || c != 3 {
			t.Errorf("%d and %d", a, c)
		}
		time.Sleep(time.Minute)
		if a, c, d := take("a", 9), take("c", 9), take("d", 9); a != 0 || c != 1 || d != 2 {
			t.Errorf("a minute later: %d, %d and %d", a, c, d)
		}
		time.Sleep(time.Minute)
		if a := take("a", 9); a != 4 {
			t.Errorf("two minutes later: %d", a)
		}
		time.Sleep(time.Hour)
		if d := take("d", 9); d != 4 {
			t.Errorf("an hour later: %d", d)
		}
	})
}
