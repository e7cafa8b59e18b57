package mysql

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

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
	Engine: testserver.MySQL,
	Open: func(ctx context.Context, address string, logger *slog.Logger) (custody.Store, error) {
		return Open(ctx, address, Options{Logger: logger})
	},
	Remove: func(ctx context.Context, address string) error { // all at once: undoing each migration takes longer
		e, err := newEngine(address, Options{})
		if err != nil {
			return err
		}
		defer func() { _ = e.Close() }()
		var tables string
		const list = `SELECT coalesce(group_concat(table_name), '') FROM information_schema.tables
			WHERE table_schema = database() AND left(table_name, char_length(?)) = ?`
		if err := e.db.GetContext(ctx, &tables, list, e.prefix, e.prefix); err != nil || tables == "" {
			return err
		}
		_, err = e.db.ExecContext(ctx, `DROP TABLE IF EXISTS `+tables)
		return err
	},
	Start: func(ctx context.Context) (*testserver.Server, error) { return testserver.StartMySQL(ctx) },
	Damage: func(t *testing.T, address string, top int64) {
		t.Helper()
		raw(t, address, `UPDATE PREFIX_credentials SET end_us = -1, top = ?`, top)
	},
	Says: "end_us",
	Fill: func(t *testing.T, address string, key custody.Key, n int, age time.Duration) {
		t.Helper()
		values := make([]any, 0, 3*n)
		for i := range n {
			values = append(values, key.String(), age.Microseconds(), i+1)
		}
		raw(t, address, `INSERT INTO PREFIX_journal (name, at_us, event, fence, attempt, detail) VALUES `+
			strings.TrimSuffix(strings.Repeat(`(?, `+now+` - ?, 'begin', 1, '', ?), `, n), ", "), values...)
	},
	Messages: func(t *testing.T, address string) int {
		t.Helper()
		return number(t, address, `SELECT count(*) FROM PREFIX_messages`)
	},
	Lines: func(t *testing.T, address string, key custody.Key) (n int) {
		t.Helper()
		return number(t, address, `SELECT count(*) FROM PREFIX_journal WHERE name = ?`, key.String())
	},
}

func TestStore(t *testing.T) {
	t.Parallel()
	remotetest.Run(t, tests)
}

func TestThreeDeliveriesThreeProcesses(t *testing.T) {
	t.Parallel()
	bottest.ThreeDeliveries(t, tests.Place(t, testserver.URL(t, testserver.MySQL)))
}

func TestSoakProcesses(t *testing.T) {
	t.Parallel()
	bottest.Soak(t, tests.Place(t, testserver.URL(t, testserver.MySQL)))
}

func TestKilledInBursts(t *testing.T) {
	t.Parallel()
	bottest.KilledInBursts(t, tests.Place(t, testserver.URL(t, testserver.MySQL)))
}

// raw executes a statement in which PREFIX_ stands for the URL's prefix.
func raw(t *testing.T, address, query string, args ...any) {
	t.Helper()
	e := other(t, address)
	if _, err := e.db.ExecContext(t.Context(), strings.ReplaceAll(query, "PREFIX_", e.prefix), args...); err != nil {
		t.Fatal(err)
	}
}

// number is the one that a query answers.
func number(t *testing.T, address, query string, args ...any) (n int) {
	t.Helper()
	e := other(t, address)
	defer func() { _ = e.Close() }() // a test may ask for as long as it takes
	if err := e.db.GetContext(t.Context(), &n, strings.ReplaceAll(query, "PREFIX_", e.prefix), args...); err != nil {
		t.Fatal(err)
	}
	return n
}

// other is somebody else's connection.
func other(t *testing.T, address string) *engine {
	t.Helper()
	e, err := newEngine(address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}
