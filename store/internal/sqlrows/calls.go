// Package sqlrows is what SQLite, PostgreSQL and MySQL have in common: statements that all of
// them understand, on the ledger and on the journals of credentials.
package sqlrows

import (
	"context"
	"database/sql"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/migrations"
)

// DB is a database or a transaction.
type DB interface {
	Rebind(query string) string
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
}

// Calls runs statements in which ? stands for an argument, NOW for the time, and
// migrations.Prefix for the tables' own.
type Calls struct {
	DB     DB
	Prefix string // of the tables
	Now    string // the time in µs, as an expression; "" for NowUS
	NowUS  int64
}

// bound is a statement as the database takes it: with the prefix, the time, and each
// slice among args spread over its IN.
func (c Calls) bound(query string, args ...any) (string, []any, error) {
	if c.Prefix != migrations.Prefix {
		query = strings.ReplaceAll(query, migrations.Prefix, c.Prefix)
	}
	if c.Now != "" {
		query = strings.ReplaceAll(query, "NOW", c.Now)
	} else {
		query, args = withTime(query, c.NowUS, args)
	}
	query, args, err := sqlx.In(query, args...)
	return c.DB.Rebind(query), args, err
}

// withTime makes each NOW a placeholder for now.
func withTime(query string, now int64, args []any) (string, []any) {
	var text strings.Builder
	all := make([]any, 0, len(args)+strings.Count(query, "NOW"))
	for {
		at := strings.IndexAny(query, "?N")
		switch {
		case at < 0:
			text.WriteString(query)
			return text.String(), append(all, args...)
		case query[at] == '?':
			all, args = append(all, args[0]), args[1:]
		case strings.HasPrefix(query[at:], "NOW"):
			text.WriteString(query[:at] + "?")
			all, query = append(all, now), query[at+len("NOW"):]
			continue
		}
		text.WriteString(query[:at+1])
		query = query[at+1:]
	}
}

// Exec runs a statement.
func (c Calls) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args, err := c.bound(query, args...)
	if err != nil {
		return nil, err
	}
	return c.DB.ExecContext(ctx, query, args...)
}

// Get reads one row.
func (c Calls) Get(ctx context.Context, into any, query string, args ...any) error {
	query, args, err := c.bound(query, args...)
	if err != nil {
		return err
	}
	return c.DB.GetContext(ctx, into, query, args...)
}

// Select reads rows.
func (c Calls) Select(ctx context.Context, into any, query string, args ...any) error {
	query, args, err := c.bound(query, args...)
	if err != nil {
		return err
	}
	return c.DB.SelectContext(ctx, into, query, args...)
}
