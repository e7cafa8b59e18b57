package postgres

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/bottest"
	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

func TestMain(m *testing.M) {
	bottest.Main(func(ctx context.Context, address string) (bottest.Store, error) { return Open(ctx, address, Options{}) })
	testserver.Main(m)
}

var tests = remotetest.Engine{
	Engine: testserver.Postgres,
	Open: func(ctx context.Context, address string, logger *slog.Logger) (custody.Store, error) {
		return Open(ctx, address, Options{Logger: logger})
	},
	Remove: func(ctx context.Context, address string) error { // all at once: undoing each migration takes ten times as long
		s, err := read(address, Options{})
		if err != nil {
			return err
		}
		conn, err := pgx.ConnectConfig(ctx, s.config)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		var tables string
		const list = `SELECT coalesce(string_agg(tablename, ', '), '') FROM pg_tables WHERE starts_with(tablename, $1)`
		if err := conn.QueryRow(ctx, list, s.prefix).Scan(&tables); err != nil || tables == "" {
			return err
		}
		_, err = conn.Exec(ctx, `DROP TABLE IF EXISTS `+tables)
		return err
	},
	Start: func(ctx context.Context) (*testserver.Server, error) { return testserver.StartPostgres(ctx) },
	Damage: func(t *testing.T, address string, top int64) {
		t.Helper()
		raw(t, address, `UPDATE PREFIX_credentials SET end_us = -1, top = $1`, top)
	},
	Says: "end_us",
	Fill: func(t *testing.T, address string, key custody.Key, n int, age time.Duration) {
		t.Helper()
		raw(t, address, `INSERT INTO PREFIX_journal (name, at_us, event, fence, attempt, detail)
			SELECT $1, `+now+` - $2, 'begin', 1, '', i FROM generate_series(1, $3) AS i`, key.String(), age.Microseconds(), n)
	},
	Messages: func(t *testing.T, address string) int {
		t.Helper()
		return number(t, address, `SELECT count(*) FROM PREFIX_messages`)
	},
	Lines: func(t *testing.T, address string, key custody.Key) (n int) {
		t.Helper()
		return number(t, address, `SELECT count(*) FROM PREFIX_journal WHERE name = $1`, key.String())
	},
}

func TestStore(t *testing.T) {
	t.Parallel()
	remotetest.Run(t, tests)
}

func TestThreeDeliveriesThreeProcesses(t *testing.T) {
	t.Parallel()
	bottest.ThreeDeliveries(t, tests.Place(t, testserver.URL(t, testserver.Postgres)))
}

func TestSoakProcesses(t *testing.T) {
	t.Parallel()
	bottest.Soak(t, tests.Place(t, testserver.URL(t, testserver.Postgres)))
}

func TestKilledInBursts(t *testing.T) {
	t.Parallel()
	bottest.KilledInBursts(t, tests.Place(t, testserver.URL(t, testserver.Postgres)))
}

func TestSpeedNotice(t *testing.T) { tests.SpeedNotice(t) }

// connect is somebody else's connection.
func connect(t *testing.T, address string) (*pgx.Conn, settings) {
	t.Helper()
	s, err := read(address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), s.config)
	if err != nil {
		t.Fatal(err)
	}
	return conn, s
}

// raw executes a statement in which PREFIX_ stands for the URL's prefix.
func raw(t *testing.T, address, query string, args ...any) {
	t.Helper()
	conn, s := connect(t, address)
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), strings.ReplaceAll(query, "PREFIX_", s.prefix), args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// number is the one that a query answers.
func number(t *testing.T, address, query string, args ...any) (n int) {
	t.Helper()
	conn, s := connect(t, address)
	defer func() { _ = conn.Close(t.Context()) }() // a test may ask for as long as it takes
	if err := conn.QueryRow(t.Context(), strings.ReplaceAll(query, "PREFIX_", s.prefix), args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
