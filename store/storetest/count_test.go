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
				p := &program{T: t, counts: counts}
				var err error
				p.keeper, err = custody.New(custody.Config{
					Key: custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"},
					Kind: custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) {
						return custody.Grant{Value: custody.NewSecret(fmt.Sprint("value-", p.fetched.Add(1))), ExpiresIn: 2 * time.Hour}, nil
					}},
					Store: store,
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = p.keeper.Close() }()
				p.read()
				synctest.Wait()
				if n := counts.Total() - counts.Of("Load"); n > 3 {
					t.Errorf("the first fetch took %d calls apart from looking, want at most 3", n)
				}
				for cycle := range 5 {
					p.live(cycle)
				}
			})
		})
	}
}

// program reads a token that a Keeper keeps alive, in a bubble.
type program struct {
	*testing.T

	keeper  *custody.Keeper
	counts  *storetest.Counts
	fetched atomic.Int64
}

func (p *program) read() {
	p.Helper()
	for range 1000 {
		if _, err := p.keeper.Token(p.Context()); err != nil {
			p.Fatal(err)
		}
	}
}

// live reads through one life of the token, and its renewal.
func (p *program) live(cycle int) {
	p.Helper()
	p.counts.Reset()
	time.Sleep(110 * time.Minute) // before any window opens
	p.read()
	synctest.Wait()
	if n := p.counts.Total(); n != 0 {
		p.Errorf("cycle %d: %d calls while the token is fresh, want none", cycle, n)
	}
	before := p.fetched.Load()
	for p.fetched.Load() == before {
		time.Sleep(time.Second)
		p.read()
	}
	synctest.Wait()
	of := p.counts.Of
	loads, rest := of("Load"), p.counts.Total()-of("Load")
	p.Logf("cycle %d: %d calls for the renewal, %d Loads of its own notice", cycle, rest, loads)
	if rest > 3 || of("Acquire") != 1 || of("Begin") != 1 || of("Save") != 1 {
		p.Errorf("cycle %d: the renewal took %d calls: %d Acquire, %d Begin, %d Save", cycle, rest, of("Acquire"), of("Begin"), of("Save"))
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
			if _, err := j.Journal(t.Context(), custody.Key{Kind: "x", AppID: "y"}, 1); err != nil || counts.Of("Journal") != 1 {
				t.Errorf("store %d: Journal: %v, counted %d times", i, err, counts.Of("Journal"))
			}
		}
		if counts.Of("Load") != 1 || counts.Total() < 1 {
			t.Errorf("store %d: Load was counted %d times", i, counts.Of("Load"))
		}
	}
}
