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
	"github.com/zhongkong-go/zhongkong/migrations"
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
	Remove: func(ctx context.Context, address string) error {
		for {
			status, err := Migrate(ctx, address, Options{}, migrations.Down)
			if err != nil || status.Version == 0 {
				return err
			}
		}
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
