package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/migrations"
)

// pooled returns a place on the shared server, and its address through a PgBouncer of the
// test's own.
func pooled(t *testing.T, mode string, settings ...string) (direct, through string) {
	t.Helper()
	server := testserver.URL(t, testserver.Postgres)
	pooler := testserver.Own(t, testserver.PgBouncer, func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartPgBouncer(ctx, server, mode, settings...)
	})
	direct = tests.Place(t, server)
	return direct, remotetest.Through(t, direct, pooler.Addr)
}

// TestPooled: behind a pooler of sessions and one of transactions, many first starts at
// once make the tables once and leave no lock, and programs that break off whatever they
// are doing, 200 times, leave the pooler alive.
func TestPooled(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			pool := "default_pool_size = 20"
			if mode == "transaction" {
				pool = "default_pool_size = 3" // less than there are programs
			}
			direct, through := pooled(t, mode, pool)
			var starts sync.WaitGroup
			for range 8 {
				starts.Go(func() {
					s, err := Open(t.Context(), through, Options{})
					if err != nil {
						t.Error(err)
						return
					}
					remotetest.MustLoad(t, s, "")
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			starts.Wait()
			if status, err := Migrate(t.Context(), through, Options{}, migrations.Up); err != nil || status.Version == 0 {
				t.Errorf("migrate up afterwards: version %d, %v", status.Version, err)
			}
			for range 200 {
				s, err := Open(t.Context(), through, Options{})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(3*time.Millisecond))
				_, err = s.Load(ctx, remotetest.Key)
				cancel()
				if err != nil && !errors.Is(err, custody.ErrNotFound) && !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			tests.OpenAt(t, through, nil)
			set, err := read(direct, Options{})
			if err != nil {
				t.Fatal(err)
			}
			id := uint64(set.lockID())
			if locks := number(t, direct, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
				AND classid::bigint = $1 AND objid::bigint = $2`, int64(id>>32), int64(id&(1<<32-1))); locks != 0 {
				t.Errorf("%d locks are left", locks)
			}
		})
	}
}

// TestNoCancelRequest: a statement whose caller has left is let finish, without a second
// connection to the server that would cancel it.
func TestNoCancelRequest(t *testing.T) {
	t.Parallel()
	direct := tests.Place(t, testserver.URL(t, testserver.Postgres))
	proxy := testserver.NewProxy(t, remotetest.Host(t, direct))
	s := tests.OpenAt(t, remotetest.Through(t, direct, proxy.Addr), nil)
	remotetest.MustLoad(t, s, "")
	before, _ := proxy.Connections()

	conn, _ := connect(t, direct)
	defer func() { _ = conn.Close(t.Context()) }()
	set, err := read(direct, Options{})
	if err != nil {
		t.Fatal(err)
	}
	locked, err := conn.Begin(t.Context())
	if err == nil {
		_, err = locked.Exec(t.Context(), `LOCK TABLE `+set.prefix+`credentials IN ACCESS EXCLUSIVE MODE`)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Load(ctx, remotetest.Key); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Load of a locked table: %v", err)
	}
	if err := locked.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	patience.Until(t, "the statement and its connection end", func() bool { _, open := proxy.Connections(); return open == 0 })
	if made, _ := proxy.Connections(); made != before {
		t.Errorf("%d connections were made after the first %d", made-before, before)
	}
}

// TestPooledNotices: a pooler of sessions passes notices on; behind one of transactions
// nobody waits for them.
func TestPooledNotices(t *testing.T) {
	t.Parallel()
	t.Run("session", func(t *testing.T) {
		t.Parallel()
		_, through := pooled(t, "session")
		s := tests.OpenAt(t, through, nil)
		keys, err := s.(custody.Watcher).Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		remotetest.Save(t, s, "value")
		patience.Until(t, "a notice comes", func() bool {
			select {
			case key := <-keys:
				return key == remotetest.Key
			default:
				return false
			}
		})
	})
	t.Run("transaction", func(t *testing.T) {
		t.Parallel()
		_, through := pooled(t, "transaction")
		log := new(remotetest.Log)
		s := tests.OpenAt(t, through, log)
		if _, err := s.(custody.Watcher).Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
		patience.Until(t, "the log says that notices do not arrive", func() bool {
			return strings.Contains(log.String(), "the pooler pools transactions")
		})
		remotetest.Save(t, s, "value")
		remotetest.MustLoad(t, s, "value")
	})
}

// TestPoolerRefuses: what a pooler answers to a URL that cannot work, in its one code for
// everything.
func TestPoolerRefuses(t *testing.T) {
	t.Parallel()
	_, through := pooled(t, "transaction")
	tests.MustNotOpen(t, remotetest.With(t, through, "search_path", "public"), "through a pooler", "ignore_startup_parameters")
	_, through = pooled(t, "statement")
	tests.MustNotOpen(t, through, "pools statements", "pool_mode")
}
