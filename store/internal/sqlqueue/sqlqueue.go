// Package sqlqueue is [store.Queue] in SQL that SQLite, PostgreSQL and MySQL
// understand.
package sqlqueue

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store"
)

// DB is a database or a transaction.
type DB interface {
	sqlx.ExtContext
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
}

// Queue runs the statements on a database or in a transaction.
type Queue struct {
	DB     DB
	Prefix string // of the tables
	Now    string // the time in µs, as an expression
	Ignore string // what ends an INSERT that leaves a row alone which is there
}

// Whatever was pushed before into a lane has a lower seq, unless it was pushed at the
// same time.
const (
	push = `INSERT INTO zhongkong_queue (line, lane, id, owner, free_us, pushed_us, attempts, body) VALUES ROWS IGNORE`

	pushRow = `(?, ?, ?, ?, NOW + ?, NOW, 0, ?)`

	turn = `SELECT q.owner AS owner, NOT EXISTS (` + earlier + `) AS first FROM zhongkong_queue q WHERE q.line = ? AND q.id = ?`

	earlier = `SELECT 1 FROM zhongkong_queue e WHERE e.line = q.line AND e.lane = q.lane AND e.seq < q.seq`

	free = `SELECT q.seq FROM zhongkong_queue q WHERE q.line = ? AND q.free_us <= NOW AND NOT EXISTS (` + earlier + `)
		ORDER BY q.free_us, q.seq LIMIT ?`

	// The condition once more, for a row that another one was quicker to take.
	lend = `UPDATE zhongkong_queue SET owner = ?, free_us = NOW + ?, attempts = attempts + 1 WHERE seq IN (?) AND free_us <= NOW`

	lent = `SELECT line, lane, id, owner, attempts, pushed_us, body FROM zhongkong_queue WHERE seq IN (?) AND owner = ? ORDER BY seq`

	done = `DELETE FROM zhongkong_queue WHERE line = ? AND id = ?`

	later = `UPDATE zhongkong_queue SET owner = '', free_us = NOW + ? WHERE line = ? AND id = ? AND owner = ?`

	lines = `SELECT line, count(*) AS waiting, NOW - min(pushed_us) AS oldest_us, min(free_us) - NOW AS free_us
		FROM zhongkong_queue GROUP BY line ORDER BY line`

	overfull = `SELECT seq FROM zhongkong_queue WHERE line = ? ORDER BY seq DESC LIMIT 1 OFFSET ?`

	oldest = `SELECT seq FROM zhongkong_queue WHERE line = ? ORDER BY seq LIMIT 1 OFFSET ?`

	trim = `DELETE FROM zhongkong_queue WHERE line = ? AND seq <= ? AND (pushed_us < NOW - ? OR seq <= ?)`
)

// trimMost is how many of the oldest deliveries one Trim looks at: what takes long
// holds up the others.
const trimMost = 10_000

func (q Queue) words(query string) string {
	return strings.NewReplacer("NOW", q.Now, "IGNORE", q.Ignore, migrations.Prefix, q.Prefix).Replace(query)
}

func (q Queue) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return q.DB.ExecContext(ctx, q.DB.Rebind(q.words(query)), args...)
}

// in spreads the one slice among args over its IN.
func (q Queue) in(query string, args ...any) (string, []any, error) {
	query, args, err := sqlx.In(q.words(query), args...)
	return q.DB.Rebind(query), args, err
}

// Push implements [store.Queue].
func (q Queue) Push(ctx context.Context, deliveries []store.Delivery) error {
	if len(deliveries) == 0 {
		return nil
	}
	rows := strings.Join(slices.Repeat([]string{pushRow}, len(deliveries)), ", ")
	args := make([]any, 0, 6*len(deliveries))
	for _, d := range deliveries {
		args = append(args, d.Line, d.Lane, d.ID, d.Owner, d.Wait.Microseconds(), d.Body)
	}
	_, err := q.exec(ctx, strings.Replace(push, "ROWS", rows, 1), args...)
	return err
}

// Turn implements [store.Queue].
func (q Queue) Turn(ctx context.Context, line, id, owner string) (first, waits bool, err error) {
	var row struct {
		Owner string `db:"owner"`
		First bool   `db:"first"`
	}
	err = q.DB.GetContext(ctx, &row, q.DB.Rebind(q.words(turn)), line, id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	return err == nil && row.First && row.Owner == owner, err == nil, err
}

// Lend implements [store.Queue].
func (q Queue) Lend(ctx context.Context, line, owner string, lease time.Duration, most int) ([]store.Delivery, error) {
	var seqs []int64
	if err := q.DB.SelectContext(ctx, &seqs, q.DB.Rebind(q.words(free)), line, max(most, 0)); err != nil || len(seqs) == 0 {
		return nil, err
	}
	query, args, err := q.in(lend, owner, lease.Microseconds(), seqs)
	if err != nil {
		return nil, err
	}
	if _, err := q.DB.ExecContext(ctx, query, args...); err != nil {
		return nil, err
	}
	if query, args, err = q.in(lent, seqs, owner); err != nil {
		return nil, err
	}
	var rows []struct {
		Line     string `db:"line"`
		Lane     string `db:"lane"`
		ID       string `db:"id"`
		Owner    string `db:"owner"`
		Attempts int    `db:"attempts"`
		PushedUS int64  `db:"pushed_us"`
		Body     []byte `db:"body"`
	}
	if err := q.DB.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, err
	}
	deliveries := make([]store.Delivery, len(rows))
	for i, r := range rows {
		deliveries[i] = store.Delivery{
			Line: r.Line, Lane: r.Lane, ID: r.ID, Owner: r.Owner, Body: r.Body,
			Attempts: r.Attempts, Pushed: time.UnixMicro(r.PushedUS),
		}
	}
	return deliveries, nil
}

// Done implements [store.Queue].
func (q Queue) Done(ctx context.Context, line, id string) error {
	_, err := q.exec(ctx, done, line, id)
	return err
}

// Later implements [store.Queue].
func (q Queue) Later(ctx context.Context, line, id, owner string, wait time.Duration) error {
	_, err := q.exec(ctx, later, wait.Microseconds(), line, id, owner)
	return err
}

// Lines implements [store.Queue].
func (q Queue) Lines(ctx context.Context) ([]store.Line, error) {
	var rows []struct {
		Line     string `db:"line"`
		Waiting  int    `db:"waiting"`
		OldestUS int64  `db:"oldest_us"`
		FreeUS   int64  `db:"free_us"`
	}
	if err := q.DB.SelectContext(ctx, &rows, q.words(lines)); err != nil {
		return nil, err
	}
	all := make([]store.Line, len(rows))
	for i, r := range rows {
		all[i] = store.Line{
			Name: r.Line, Waiting: r.Waiting,
			Oldest: max(0, time.Duration(r.OldestUS)*time.Microsecond), Free: max(0, time.Duration(r.FreeUS)*time.Microsecond),
		}
	}
	return all, nil
}

// Trim implements [store.Queue].
func (q Queue) Trim(ctx context.Context, line string, keep time.Duration, most int) (dropped int, err error) {
	last := int64(0)              // of those that are too many
	bound := int64(math.MaxInt64) // of those that are looked at
	for _, b := range []struct {
		into   *int64
		query  string
		offset int
	}{{&last, overfull, max(most, 0)}, {&bound, oldest, trimMost - 1}} {
		err := q.DB.GetContext(ctx, b.into, q.DB.Rebind(q.words(b.query)), line, b.offset)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return 0, err
		}
	}
	result, err := q.exec(ctx, trim, line, bound, keep.Microseconds(), last)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
