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
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
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

	readRows, insert, update, lines, trimOld, trimMany string
}

// now is the server's time in µs, at the moment when it is evaluated: not that
// of the transaction's beginning.
const now = `CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)`

// Every statement is a transaction of its own. What is in a WITH happens
// together or not at all.
const (
	readRows = `SELECT t.now_us, c.name, c.changed_us, c.value, c.seal_key, c.end_us, c.life_us, c.fence, c.notes,
		c.top, c.attempt, c.lease_end_us, c.begun_us, c.unfinished_us, c.day, c.fetches
		FROM (SELECT ` + now + ` AS now_us) t LEFT JOIN zhongkong_credentials c ON c.name = ANY($1)`

	insertRow = `WITH swapped AS (
		INSERT INTO zhongkong_credentials (name, changed_us, value, seal_key, end_us, life_us, fence, notes,
		top, attempt, lease_end_us, begun_us, unfinished_us, day, fetches)
		SELECT :name, :changed_us, :bytes, :seal_key, :end_us, :life_us, :fence, :notes,
		:top, :attempt, :lease_end_us, :begun_us, :unfinished_us, :day, :fetches
		WHERE ` + now + ` < :until_us
		ON CONFLICT (name) DO NOTHING
		RETURNING 1)` + andTell

	updateRow = `WITH swapped AS (
		UPDATE zhongkong_credentials SET changed_us = :changed_us, value = :bytes, seal_key = :seal_key,
		end_us = :end_us, life_us = :life_us, fence = :fence, notes = :notes,
		top = :top, attempt = :attempt, lease_end_us = :lease_end_us,
		begun_us = :begun_us, unfinished_us = :unfinished_us, day = :day, fetches = :fetches
		WHERE name = :name AND changed_us = :old_us AND ` + now + ` < :until_us
		RETURNING 1)` + andTell

	andTell = `, written AS (
		INSERT INTO zhongkong_journal (name, at_us, event, fence, attempt, detail)
		SELECT :name, :entry.at_us, :entry.event, :entry.fence, :entry.attempt, :entry.detail
		FROM swapped WHERE :entry.event <> ''),
		told AS (SELECT pg_notify(:channel, :tell) FROM swapped WHERE :tell <> '')
		SELECT (SELECT count(*) FROM swapped), (SELECT count(*) FROM told)`

	readLines = `SELECT name, at_us, event, fence, attempt, detail FROM zhongkong_journal
		WHERE name = $1 AND at_us >= ` + now + ` - $2 ORDER BY id DESC LIMIT $3`

	trimOldLines = `DELETE FROM zhongkong_journal WHERE at_us < $1`

	trimManyLines = `DELETE FROM zhongkong_journal WHERE name = $1 AND id <=
		(SELECT id FROM zhongkong_journal WHERE name = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)`
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
		readRows: named(readRows), insert: named(insertRow), update: named(updateRow),
		lines: named(readLines), trimOld: named(trimOldLines), trimMany: named(trimManyLines),
	}, nil
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
	rows, err := e.db.QueryxContext(ctx, e.readRows, names)
	if err != nil {
		return nil, e.failed(err)
	}
	defer func() { _ = rows.Close() }()
	var at time.Time
	found := make(map[string]remote.State, len(names))
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			return nil, e.failed(err)
		}
		us, _ := values[0].(int64)
		at = time.UnixMicro(us)
		name, ok := values[1].(string)
		if !ok {
			continue // no row at all
		}
		state := remote.State{Found: true}
		state.Version, _ = values[2].(int64)
		state.Row, state.Damage = columns.Read(values[3:])
		found[name] = state
	}
	if err := rows.Err(); err != nil {
		return nil, e.failed(err)
	}
	states := make([]remote.State, len(names))
	for i, name := range names {
		states[i] = found[name]
		states[i].Now = at
	}
	return states, nil
}

// change is a [remote.Change] as arguments.
type change struct {
	columns.Credential
	Bytes   []byte       `db:"bytes"` // the value
	Changed int64        `db:"changed_us"`
	Old     int64        `db:"old_us"`
	Until   int64        `db:"until_us"`
	Channel string       `db:"channel"`
	Tell    string       `db:"tell"` // the notice; "": none
	Entry   columns.Line `db:"entry"`
}

// Swap implements [remote.Engine].
func (e *engine) Swap(ctx context.Context, c remote.Change) (bool, error) {
	args := change{
		Credential: columns.Of(c.Name, &c.Row), Bytes: []byte(c.Row.Value),
		Changed: c.New, Old: c.Old, Until: c.Until.UnixMicro(), Channel: e.channel,
	}
	if c.Entry != nil {
		args.Entry = columns.LineOf(c.Name, *c.Entry)
	}
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
	var lines []columns.Line
	if err := e.db.SelectContext(ctx, &lines, e.lines, name, remote.JournalAge.Microseconds(), limit); err != nil {
		return nil, e.failed(err)
	}
	entries := make([]custody.Entry, 0, len(lines))
	for _, l := range lines {
		entries = append(entries, l.Entry())
	}
	return entries, nil
}

// Trim implements [remote.Engine].
func (e *engine) Trim(ctx context.Context, name string, before time.Time) error {
	if _, err := e.db.ExecContext(ctx, e.trimOld, before.UnixMicro()); err != nil {
		return e.failed(err)
	}
	_, err := e.db.ExecContext(ctx, e.trimMany, name, remote.JournalLines)
	return e.failed(err)
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
