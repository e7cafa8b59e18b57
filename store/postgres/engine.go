package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
	"github.com/zhongkong-go/zhongkong/store/internal/sqlrows"
)

// The pool of a process.
const (
	connections = 8
	idleTime    = time.Minute
	lifeTime    = 30 * time.Minute
)

// engine implements [remote.Engine].
type engine struct {
	settings
	db      *sqlx.DB
	channel string // of the notices
	log     *slog.Logger

	insert, update string
}

// now is the server's time in µs, at the moment when it is evaluated: not that
// of the transaction's beginning.
const now = `CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)`

// Every statement is a transaction of its own. What is in a WITH happens
// together or not at all.
const (
	insertRow = `WITH swapped AS (
		INSERT INTO zhongkong_credentials (` + sqlrows.Columns + `)
		SELECT ` + sqlrows.Values + ` WHERE ` + now + ` < :until_us
		ON CONFLICT (name) DO NOTHING
		RETURNING 1)` + andTell

	updateRow = `WITH swapped AS (
		UPDATE zhongkong_credentials SET ` + sqlrows.Assignments + `
		WHERE name = :name AND changed_us = :old_us AND ` + now + ` < :until_us
		RETURNING 1)` + andTell

	andTell = `, written AS (
		INSERT INTO zhongkong_journal (name, at_us, event, fence, attempt, detail)
		SELECT :name, :entry.at_us, :entry.event, :entry.fence, :entry.attempt, :entry.detail
		FROM swapped WHERE :entry.event <> ''),
		told AS (SELECT pg_notify(:channel, :tell) FROM swapped WHERE :tell <> '')
		SELECT (SELECT count(*) FROM swapped), (SELECT count(*) FROM told)`

	// lockDocuments hinders no reader.
	lockDocuments = `LOCK TABLE zhongkong_documents IN SHARE ROW EXCLUSIVE MODE`

	nextVersion = `greatest((SELECT coalesce(max(version), 0) + 1 FROM zhongkong_documents), NOW)`
)

func newEngine(address string, options Options) (*engine, error) {
	s, err := read(address, options)
	if err != nil {
		return nil, err
	}
	s.config.DialFunc = onlyToConnect(s.config.DialFunc)
	// No ping before a connection is used again: every call begins with reading,
	// and that is repeated where the connection turns out to be lost.
	db := sql.OpenDB(connector{
		stdlib.GetConnector(*s.config, stdlib.OptionShouldPing(func(context.Context, stdlib.ShouldPingParams) bool { return false })),
	})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(idleTime)
	db.SetConnMaxLifetime(lifeTime)
	logger := options.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	named := func(query string) string { return strings.ReplaceAll(query, migrations.Prefix, s.prefix) }
	return &engine{
		settings: s, db: sqlx.NewDb(db, "pgx"), channel: s.prefix + "notices", log: logger,
		insert: named(insertRow), update: named(updateRow),
	}, nil
}

func (e *engine) calls() sqlrows.Calls { return sqlrows.Calls{DB: e.db, Prefix: e.prefix, Now: now} }

// ledger keeps documents and the trail.
func (e *engine) ledger(s *remote.Store) *remote.Ledger {
	return remote.NewLedger(s, sqlrows.Server{
		Ledger: sqlrows.Ledger{Calls: e.calls(), Next: nextVersion, Replace: sqlrows.ReplaceOnConflict},
		Pool:   e.db, Lock: lockDocuments, Explain: e.failed,
	})
}

// connecting marks the ctx under which a connection is made.
type connecting struct{}

// connector makes the connections of the pool.
type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	return c.Connector.Connect(context.WithValue(ctx, connecting{}, true))
}

// onlyToConnect dials for connections and not for cancel requests, which pgx sends when
// the ctx of a statement ends. Ours are short enough to let them finish, and a pooler may
// hand the server's connection to another client before the request arrives. PgBouncer
// 1.18 does not survive some of them.
func onlyToConnect(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if ctx.Value(connecting{}) == nil {
			return nil, errors.New("no cancel requests")
		}
		return dial(ctx, network, address)
	}
}

// Close implements [remote.Engine].
func (e *engine) Close() error { return e.db.Close() }

// Prepare implements [remote.Engine].
func (e *engine) Prepare(ctx context.Context) error {
	var readOnly string
	if err := e.db.GetContext(ctx, &readOnly, `SHOW transaction_read_only`); err != nil {
		return e.explain(err)
	}
	if readOnly == "on" {
		return e.isReadOnly(nil)
	}
	var schema sql.NullString
	if err := e.db.GetContext(ctx, &schema, `SELECT current_schema()`); err != nil {
		return e.explain(err)
	}
	if !schema.Valid {
		return e.lacksSchema(nil)
	}
	return e.schema().Prepare(ctx)
}

func (e *engine) schema() remote.Schema {
	return remote.Schema{
		Set: migrations.Set{Dialect: migrations.Postgres, Prefix: e.prefix}, DB: e.db.DB,
		Server: e.server, NoMigrate: e.noMigrate, Lock: e.lock, Explain: e.explain,
	}
}

// lock holds an advisory lock while do runs: one of a transaction, which ends with it
// however the process does. One of the session would stay behind in a pooler that gives
// connections away after each transaction; and who waits for the lock inside of a
// transaction keeps a connection of the pooler, which do may need.
func (e *engine) lock(ctx context.Context, do func(ctx context.Context) error) error {
	for {
		locked, err := e.tryLock(ctx, e.lockID(), do)
		if locked || err != nil {
			return err
		}
		timer := time.NewTimer(lockPause/2 + rand.N(lockPause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

func (s *settings) lockID() int64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(migrations.Set{Prefix: s.prefix}.Table()))
	return int64(hash.Sum64())
}

// lockPause is the time between two tries to get the lock.
const lockPause = 50 * time.Millisecond

// tryLock runs do if nobody has the lock.
func (e *engine) tryLock(ctx context.Context, id int64, do func(ctx context.Context) error) (locked bool, err error) {
	tx, err := e.db.BeginTxx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }()
	if err := tx.GetContext(ctx, &locked, `SELECT pg_try_advisory_xact_lock($1)`, id); err != nil || !locked {
		return false, err
	}
	return true, do(ctx)
}

// Read implements [remote.Engine].
func (e *engine) Read(ctx context.Context, names []string) ([]remote.State, error) {
	states, err := e.calls().Read(ctx, e.db, names)
	return states, e.failed(err)
}

// Swap implements [remote.Engine].
func (e *engine) Swap(ctx context.Context, c remote.Change) (bool, error) {
	args := struct {
		sqlrows.Change
		Channel string `db:"channel"`
		Tell    string `db:"tell"` // the notice; "": none
	}{Change: sqlrows.ChangeOf(c), Channel: e.channel}
	if c.Tell != nil {
		text, err := json.Marshal(c.Tell)
		if err != nil {
			return false, err
		}
		args.Tell = string(text)
	}
	query := e.insert
	if c.Found {
		query = e.update
	}
	query, list, err := e.db.BindNamed(query, args)
	if err != nil {
		return false, err
	}
	var swapped, told int
	err = e.db.QueryRowxContext(ctx, query, list...).Scan(&swapped, &told)
	return swapped == 1, e.swapFailed(err)
}

// swapFailed is nil where somebody came between: under a stricter isolation than
// usual the server says so with an error.
func (e *engine) swapFailed(err error) error {
	switch codeOf(err) {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return nil
	}
	return e.failed(err)
}

// Lines implements [remote.Engine].
func (e *engine) Lines(ctx context.Context, name string, limit int) ([]custody.Entry, error) {
	entries, err := e.calls().Lines(ctx, name, limit)
	return entries, e.failed(err)
}

// Trim implements [remote.Engine].
func (e *engine) Trim(ctx context.Context, name string, before time.Time) error {
	return e.failed(e.calls().Trim(ctx, name, before))
}

// failed is explain for a call, whose connection is not the only one that may
// have lost its server.
func (e *engine) failed(err error) error {
	if err != nil && codeOf(err) == "" {
		remote.Evict(e.db.DB, connections)
	}
	return e.explain(err)
}

// codeOf is the SQLSTATE of what the server answered, "" when it did not.
func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// errPooled is returned where notices do not arrive.
var errPooled = errors.New("a pooler between gives the connection away after each transaction")

// listen connects and listens to the notices. It fails with errPooled where the
// connection to the pooler keeps none to the server: a transaction of another one then
// gets the backend that was this one's a moment ago.
func (e *engine) listen(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(context.WithValue(ctx, connecting{}, true), e.config.Copy())
	if err != nil {
		return nil, err
	}
	if err := e.listenOn(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

func (e *engine) listenOn(ctx context.Context, conn *pgx.Conn) error {
	var before, after int
	const backend = `SELECT pg_backend_pid()`
	if err := conn.QueryRow(ctx, backend).Scan(&before); err != nil {
		return err
	}
	tx, err := e.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `SELECT 1`); err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, backend).Scan(&after); err != nil {
		return err
	}
	if before != after {
		return errPooled
	}
	_, err = conn.Exec(ctx, `LISTEN `+pgx.Identifier{e.channel}.Sanitize())
	return err
}
