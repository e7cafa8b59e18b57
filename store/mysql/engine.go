package mysql

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"
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
	db *sqlx.DB

	insert, update string
}

// now is the server's time in µs. Neither the server's time zone nor the
// session's, with its hour that comes twice a year, has a part in it.
const now = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`

const (
	// Without CLIENT_FOUND_ROWS, ROW_COUNT is 1 for a row that was inserted and 0
	// for one that was there and is set to what it is.
	insertRow = `START TRANSACTION;
		INSERT INTO zhongkong_credentials (` + sqlrows.Columns + `)
		SELECT ` + sqlrows.Values + ` FROM DUAL WHERE ` + now + ` < :until_us
		ON DUPLICATE KEY UPDATE name = zhongkong_credentials.name;` + andWrite

	// Here ROW_COUNT is 1 for a row that was changed, and the version always is.
	updateRow = `START TRANSACTION;
		UPDATE zhongkong_credentials SET ` + sqlrows.Assignments + `
		WHERE name = :name AND changed_us = :old_us AND ` + now + ` < :until_us;` + andWrite

	andWrite = `SET @swapped = ROW_COUNT();
		INSERT INTO zhongkong_journal (name, at_us, event, fence, attempt, detail)
		SELECT :name, :entry.at_us, :entry.event, :entry.fence, :entry.attempt, :entry.detail
		FROM DUAL WHERE @swapped = 1 AND :entry.event <> '';
		COMMIT;
		SELECT @swapped`

	// lockDocuments holds its row until the end of the transaction.
	lockDocuments = `UPDATE zhongkong_versions SET top = GREATEST(top + 1, NOW) WHERE id = 1`

	nextVersion = `(SELECT top FROM zhongkong_versions WHERE id = 1)`

	replaceDocument = `ON DUPLICATE KEY UPDATE body = VALUES(body), version = VALUES(version)`
)

func newEngine(address string, options Options) (*engine, error) {
	s, err := read(address, options)
	if err != nil {
		return nil, err
	}
	connector, err := driver.NewConnector(s.config)
	if err != nil {
		return nil, kind.Refuse("its URL cannot work", "correct it")
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(idleTime)
	db.SetConnMaxLifetime(lifeTime)
	named := func(query string) string { return strings.ReplaceAll(query, migrations.Prefix, s.prefix) }
	return &engine{settings: s, db: sqlx.NewDb(db, "mysql"), insert: named(insertRow), update: named(updateRow)}, nil
}

func (e *engine) calls() sqlrows.Calls { return sqlrows.Calls{DB: e.db, Prefix: e.prefix, Now: now} }

// ledger keeps documents and the trail.
func (e *engine) ledger(s *remote.Store) *remote.Ledger {
	return remote.NewLedger(s, sqlrows.Server{
		Ledger: sqlrows.Ledger{Calls: e.calls(), Next: nextVersion, Replace: replaceDocument},
		Pool:   e.db, Lock: lockDocuments, Explain: e.failed,
	})
}

// Close implements [remote.Engine].
func (e *engine) Close() error { return e.db.Close() }

// Prepare implements [remote.Engine].
func (e *engine) Prepare(ctx context.Context) error {
	var readOnly string
	if err := e.db.GetContext(ctx, &readOnly, `SELECT @@global.read_only`); err != nil {
		return e.explain(err)
	}
	if readOnly != "0" && readOnly != "OFF" {
		return e.isReadOnly(nil)
	}
	return e.schema().Prepare(ctx)
}

func (e *engine) schema() remote.Schema {
	return remote.Schema{
		Set: migrations.Set{Dialect: migrations.MySQL, Prefix: e.prefix}, DB: e.db.DB,
		Server: e.server, NoMigrate: e.noMigrate, Lock: e.lock, Explain: e.explain,
	}
}

// lock holds a lock of the session while do runs. Its name is the whole
// server's, and short. The lock of a process that dies ends with its connection.
func (e *engine) lock(ctx context.Context, do func(ctx context.Context) error) error {
	conn, err := e.db.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(e.config.DBName + "." + migrations.Set{Prefix: e.prefix}.Table()))
	name := fmt.Sprintf("zhongkong %x", hash.Sum64())
	patience := 60.0 // s; a ctx that ends earlier breaks the connection off
	if deadline, ok := ctx.Deadline(); ok {
		patience = math.Ceil(time.Until(deadline).Seconds())
	}
	var got sql.NullInt64
	if err := conn.GetContext(ctx, &got, `SELECT GET_LOCK(?, ?)`, name, patience); err != nil {
		return err
	}
	if got.Int64 != 1 {
		return &remote.FaultError{
			Server: e.server, What: "is being migrated by another program", Passes: true,
			Remedy: "let it finish; this program then continues automatically",
		}
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `DO RELEASE_LOCK(?)`, name)
	}()
	return do(ctx)
}

// Read implements [remote.Engine].
func (e *engine) Read(ctx context.Context, names []string) ([]remote.State, error) {
	states, err := e.calls().Read(ctx, e.db, names)
	return states, e.failed(err)
}

// Swap implements [remote.Engine].
func (e *engine) Swap(ctx context.Context, c remote.Change) (bool, error) {
	query := e.insert
	if c.Found {
		query = e.update
	}
	query, list, err := e.db.BindNamed(query, sqlrows.ChangeOf(c))
	if err != nil {
		return false, err
	}
	conn, err := e.db.Connx(ctx)
	if err != nil {
		return false, e.failed(err)
	}
	defer func() { _ = conn.Close() }()
	var swapped int
	err = conn.QueryRowxContext(ctx, query, list...).Scan(&swapped)
	if err == nil {
		return swapped == 1, nil
	}
	// The transaction may still be open, and ends with the connection.
	_ = conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	if cameBetween(codeOf(err)) {
		return false, nil
	}
	return false, e.failed(err)
}

// cameBetween: changed since it was read, lock wait timeout, deadlock.
func cameBetween(code uint16) bool { return code == 1020 || code == 1205 || code == 1213 }

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
// have lost its server, or have one that became a replica.
func (e *engine) failed(err error) error {
	if c := codeOf(err); err != nil && (c == 0 || isReadOnly(c)) {
		remote.Evict(e.db.DB, connections)
	}
	return e.explain(err)
}

// codeOf is the number of the error that the server answered, 0 when it did not.
func codeOf(err error) uint16 {
	if e, ok := errors.AsType[*driver.MySQLError](err); ok {
		return e.Number
	}
	return 0
}
