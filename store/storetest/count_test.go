package storetest_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// bare has no optional ability, as MySQL's store has no Watch.
type bare struct{ custody.Store }

// TestCost counts what a program costs its store: a renewal at most three calls,
// reading none, and waiting for a window none either.
func TestCost(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) custody.Store{
		"Watcher": func(*testing.T) custody.Store { return memory.New() },
		"Bare":    func(*testing.T) custody.Store { return bare{memory.New()} },
		"SQLite": func(t *testing.T) custody.Store {
			t.Helper()
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "zhongkong.db"), sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, counts := storetest.Count(open(t))
				defer func() { _ = store.Close() }()
				var fetched atomic.Int64
				keeper, err := custody.New(custody.Config{
					Key: custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"},
					Kind: custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) {
						return custody.Grant{Value: custody.NewSecret(fmt.Sprint("value-", fetched.Add(1))), ExpiresIn: 2 * time.Hour}, nil
					}},
					Store: store,
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = keeper.Close() }()
				read := func() {
					t.Helper()
					for range 1000 {
						if _, err := keeper.Token(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				read()
				synctest.Wait()
				if n := counts.Total() - counts.Of("Load"); n > 3 {
					t.Errorf("the first fetch took %d calls beside looking, want at most 3", n)
				}
				for cycle := range 5 {
					counts.Reset()
					time.Sleep(110 * time.Minute) // before any window opens
					read()
					synctest.Wait()
					if n := counts.Total(); n != 0 {
						t.Errorf("cycle %d: %d calls while the token is fresh, want none", cycle, n)
					}
					before := fetched.Load()
					for fetched.Load() == before {
						time.Sleep(time.Second)
						read()
					}
					synctest.Wait()
					loads, rest := counts.Of("Load"), counts.Total()-counts.Of("Load")
					t.Logf("cycle %d: %d calls for the renewal, %d Loads of its own notice", cycle, rest, loads)
					if rest > 3 || counts.Of("Acquire") != 1 || counts.Of("Begin") != 1 || counts.Of("Save") != 1 {
						t.Errorf("cycle %d: the renewal took %d calls: %d Acquire, %d Begin, %d Save", cycle, rest, counts.Of("Acquire"), counts.Of("Begin"), counts.Of("Save"))
					}
				}
			})
		})
	}
}

// TestCountKeepsAbilities: what a store can do, it can do counted, and no more.
func TestCountKeepsAbilities(t *testing.T) {
	t.Parallel()
	type watcher struct {
		custody.Store
		custody.Watcher
	}
	type journal struct {
		custody.Store
		custody.Journal
	}
	m := memory.New()
	for i, store := range []custody.Store{m, bare{m}, watcher{m, m}, journal{m, m}} {
		counted, counts := storetest.Count(store)
		_, watches := store.(custody.Watcher)
		_, writes := store.(custody.Journal)
		_, countedWatches := counted.(custody.Watcher)
		_, countedWrites := counted.(custody.Journal)
		if watches != countedWatches || writes != countedWrites {
			t.Errorf("store %d: watches %v, counted %v; has a journal %v, counted %v", i, watches, countedWatches, writes, countedWrites)
		}
		_, _ = counted.Load(t.Context(), custody.Key{Kind: "x", AppID: "y"})
		if j, ok := counted.(custody.Journal); ok {
			if _, err := j.Journal(t.Context(), custody.Key{}, 1); err != nil || counts.Of("Journal") != 1 {
				t.Errorf("store %d: Journal: %v, counted %d times", i, err, counts.Of("Journal"))
			}
		}
		if counts.Of("Load") != 1 || counts.Total() < 1 {
			t.Errorf("store %d: Load was counted %d times", i, counts.Of("Load"))
		}
	}
}
