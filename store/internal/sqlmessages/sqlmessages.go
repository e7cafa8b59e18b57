// Package sqlmessages is [remote.MessageEngine] for servers that speak SQL.
package sqlmessages

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// Dialect is what PostgreSQL and MySQL say differently.
type Dialect struct {
	Now    string // the server's time in µs
	From   string // a table of one row: what is before the WHERE of a SELECT without one
	Ignore string // what ends an INSERT that leaves a row alone which is there
	Forget string // a DELETE of some thousand rows, where GONE stands for those that may go

	Between func(err error) bool  // somebody came between, and it may be tried again
	Explain func(err error) error // makes an error of the driver's the store's
}

// Every statement is a transaction of its own, and does nothing but one thing to
// one row.
const (
	gone = `end_us <= NOW AND kept_us = 0 AND (finished OR lease_end_us <= NOW)`

	// Without the row the time is there all the same.
	readMessage = `SELECT t.now_us, m.name IS NOT NULL AS found, COALESCE(m.changed_us, 0) AS changed_us,
		COALESCE(m.account, '') AS account, COALESCE(m.owner, '') AS owner,
		COALESCE(m.attempts, 0) AS attempts, COALESCE(m.deliveries, 0) AS deliveries,
		COALESCE(m.first_us, 0) AS first_us, COALESCE(m.lease_end_us, 0) AS lease_end_us, COALESCE(m.end_us, 0) AS end_us,
		COALESCE(m.finished, FALSE) AS finished, COALESCE(m.answer, '') AS answer,
		COALESCE(m.kept, FALSE) AS kept, COALESCE(m.kept_us, 0) AS kept_us
		FROM (SELECT NOW AS now_us) t LEFT JOIN zhongkong_messages m ON m.name = ?`

	insertMessage = `INSERT INTO zhongkong_messages (name, changed_us, account, owner, attempts, deliveries,
		first_us, lease_end_us, end_us, finished, answer, kept, kept_us, message)
		SELECT :name, :changed_us, :account, :owner, :attempts, :deliveries,
		:first_us, :lease_end_us, :end_us, :finished, :answer, :kept, :kept_us, :content FROM_ONE
		WHERE NOW < :until_us IGNORE`

	updateMessage = `UPDATE zhongkong_messages SET changed_us = :changed_us, account = :account, owner = :owner,
		attempts = :attempts, deliveries = :deliveries, first_us = :first_us, lease_end_us = :lease_end_us, end_us = :end_us,
		finished = :finished, answer = :answer, kept = :kept, kept_us = :kept_us, message = COALESCE(:content, message)
		WHERE name = :name AND changed_us = :old_us AND NOW < :until_us`

	firstKept = `SELECT name FROM zhongkong_messages
		WHERE account = ? AND kept_us > 0 AND NOT finished AND lease_end_us <= NOW ORDER BY kept_us, name LIMIT 1`

	readContent = `SELECT message FROM zhongkong_messages WHERE name = ?`
)

// Engine implements [remote.MessageEngine].
type Engine struct {
	db      *sqlx.DB
	dialect Dialect

	read, insert, update, first, content, forget string
}

// New is for tables whose names begin with prefix.
func New(db *sqlx.DB, prefix string, dialect Dialect) *Engine {
	words := strings.NewReplacer("GONE", strings.ReplaceAll(gone, "NOW", dialect.Now),
		"NOW", dialect.Now, "FROM_ONE", dialect.From, "IGNORE", dialect.Ignore)
	in := func(query string) string { return strings.ReplaceAll(words.Replace(query), migrations.Prefix, prefix) }
	return &Engine{
		db: db, dialect: dialect,
		read: db.Rebind(in(readMessage)), insert: in(insertMessage), update: in(updateMessage),
		first: db.Rebind(in(firstKept)), content: db.Rebind(in(readContent)), forget: in(dialect.Forget),
	}
}

// ReadMessage implements [remote.MessageEngine].
func (e *Engine) ReadMessage(ctx context.Context, name string) (remote.MessageState, error) {
	var row struct {
		columns.Message
		Found     bool  `db:"found"`
		ChangedUS int64 `db:"changed_us"`
		NowUS     int64 `db:"now_us"`
	}
	err := e.db.GetContext(ctx, &row, e.read, name)
	return remote.MessageState{Message: row.Message, Found: row.Found, Version: row.ChangedUS, NowUS: row.NowUS}, e.dialect.Explain(err)
}

// SwapMessage implements [remote.MessageEngine].
func (e *Engine) SwapMessage(ctx context.Context, c remote.MessageChange) (bool, error) {
	if c.Answer == nil {
		c.Answer = []byte{} // never NULL
	}
	query := e.insert
	if c.Found {
		query = e.update
	}
	query, args, err := e.db.BindNamed(query, struct {
		columns.Message
		Name    string `db:"name"`
		Changed int64  `db:"changed_us"`
		Old     int64  `db:"old_us"`
		Until   int64  `db:"until_us"`
		Content []byte `db:"content"`
	}{c.Message, c.Name, c.New, c.Old, c.UntilUS, c.Content})
	if err != nil {
		return false, err
	}
	result, err := e.db.ExecContext(ctx, query, args...)
	switch {
	case err == nil:
	case e.dialect.Between(err):
		return false, nil
	default:
		return false, e.dialect.Explain(err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// FirstKept implements [remote.MessageEngine].
func (e *Engine) FirstKept(ctx context.Context, account string) (name string, err error) {
	err = e.get(ctx, &name, e.first, account)
	return name, err
}

// Content implements [remote.MessageEngine].
func (e *Engine) Content(ctx context.Context, name string) (content []byte, err error) {
	err = e.get(ctx, &content, e.content, name)
	return content, err
}

// get leaves into alone where there is no row.
func (e *Engine) get(ctx context.Context, into any, query string, args ...any) error {
	err := e.db.GetContext(ctx, into, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return e.dialect.Explain(err)
}

// Forget implements [remote.MessageEngine].
func (e *Engine) Forget(ctx context.Context) error {
	_, err := e.db.ExecContext(ctx, e.forget)
	return e.dialect.Explain(err)
}
