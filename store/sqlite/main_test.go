package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/bottest"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

func TestMain(m *testing.M) {
	bottest.Main(func(ctx context.Context, address string) (bottest.Store, error) { return Open(ctx, address, Options{}) })
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	tier.Overlap()
	goleak.VerifyTestMain(m)
}

var key = custody.Key{Kind: "access_token", API: "stable", AppID: "wx0123456789abcdef"}

func newPath(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "zhongkong.db")
}

func open(tb testing.TB, path string, log *logtest.Log) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), path, Options{Logger: log.Logger(slog.LevelInfo)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// raw is somebody else's connection to the file.
func raw(tb testing.TB, path string) *sql.Conn {
	tb.Helper()
	db, err := sql.Open(driver, dsn(path, "mode=rwc&_busy_timeout=2000"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

func run(tb testing.TB, conn *sql.Conn, query string, args ...any) {
	tb.Helper()
	if _, err := conn.ExecContext(tb.Context(), query, args...); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}

// patiently calls again when call failed after it had waited for the database to open,
// as a busy machine may need longer than that to make one.
func patiently(tb testing.TB, what string, call func() error) error {
	tb.Helper()
	return insist(call, func() { patience.Again(tb, what) })
}

// insist is patiently without a test: it calls again before the second call.
func insist(call func() error, again func()) (err error) {
	calls := 0
	patience.Wait(func() bool {
		if calls++; calls == 2 {
			again()
		}
		start := time.Now()
		err = call()
		return err == nil || time.Since(start) < openTime
	})
	return err
}

// save takes a lease and saves value.
func save(tb testing.TB, s *Store, value string) custody.Lease {
	tb.Helper()
	var lease custody.Lease
	if err := patiently(tb, "Acquire", func() (err error) {
		lease, err = s.Acquire(tb.Context(), key, "attempt for "+value, time.Hour)
		return err
	}); err != nil {
		tb.Fatalf("Acquire: %v", err)
	}
	record := custody.Record{Value: value, End: lease.Record.Now.Add(time.Hour), Life: 2 * time.Hour}
	if err := s.Save(tb.Context(), lease, record); err != nil {
		tb.Fatalf("Save: %v", err)
	}
	return lease
}

// mustLoad wants value; "" stands for no record.
func mustLoad(tb testing.TB, s *Store, value string) {
	tb.Helper()
	var record custody.Record
	err := patiently(tb, "Load", func() (err error) {
		record, err = s.Load(tb.Context(), key)
		return err
	})
	if errors.Is(err, custody.ErrNotFound) && value == "" {
		return
	}
	if err != nil || record.Value != value {
		tb.Fatalf("Load: got %q, %v; want %q", record.Value, err, value)
	}
}

func names(tb testing.TB, folder string) []string {
	tb.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		tb.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}
