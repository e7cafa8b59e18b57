// Package sqlqueue is [store.Queue] in SQL that SQLite, PostgreSQL and MySQL
// understand.
package sqlqueue

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
	"github.com/zhongkong-go/zhongkong/store/internal/sqlrows"
)

// Queue runs the statements on a database or in a transaction.
type Queue struct {
	sqlrows.Calls

	Ignore    string // what ends an INSERT that leaves a row alone which is there
	Returning bool   // an UPDATE can say what it has changed, and pass over what others change
}

// Whatever was pushed before into a lane has a lower seq, unless it was pushed at the
// same time.
const (
	push = `INSERT INTO zhongkong_queue (line, lane, id, owner, free_us, pushed_us, attempts, body) VALUES ROWS IGNORE`

	pushRow = `(?, ?, ?, ?, NOW + ?, NOW, 0, ?)`

	turn = `SELECT q.line, q.id, q.owner, NOT EXISTS (` + earlier + `) AS first FROM zhongkong_queue q WHERE ` + one

	earlier = `SELECT 1 FROM zhongkong_queue e WHERE e.line = q.line AND e.lane = q.lane AND e.seq < q.seq`

	free = `SELECT q.seq FROM zhongkong_queue q WHERE q.line = ? AND q.free_us <= NOW AND NOT EXISTS (` + earlier + `)
		ORDER BY q.free_us, q.seq LIMIT ?`

	// The condition once more, for a row that another one was quicker to take.
	lend = `UPDATE zhongkong_queue SET owner = ?, free_us = NOW + ?, attempts = attempts + 1 WHERE seq IN (?) AND free_us <= NOW`

	// All in one, and without a wait for those that another one takes. MATERIALIZED, or a
	// plan may run the SELECT again for each row and so lend more than its LIMIT.
	lendFree = `WITH taken AS MATERIALIZED (` + free + ` FOR UPDATE OF q SKIP LOCKED), t AS MATERIALIZED (SELECT NOW AS us)
		UPDATE zhongkong_queue z SET owner = ?, free_us = t.us + ?, attempts = z.attempts + 1 FROM taken, t WHERE z.seq = taken.seq
		RETURNING z.line, z.lane, z.id, z.owner, z.attempts, z.pushed_us, z.body`

	lent = `SELECT line, lane, id, owner, attempts, pushed_us, body FROM zhongkong_queue WHERE seq IN (?) AND owner = ? ORDER BY seq`

	done = `DELETE FROM zhongkong_queue WHERE ` + one

	one = `line = ? AND id = ?`

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
	_, err := q.Exec(ctx, strings.NewReplacer("ROWS", rows, "IGNORE", q.Ignore).Replace(push), args...)
	return err
}

// Turn implements [store.Queue].
func (q Queue) Turn(ctx context.Context, line, id, owner string) (first, waits bool, err error) {
	asked := &remote.Turn{Line: line, ID: id, Owner: owner}
	err = q.TurnAll(ctx, []*remote.Turn{asked})
	return asked.Is && err == nil, asked.Waits && err == nil, err
}

// TurnAll implements [remote.QueueEngine].
func (q Queue) TurnAll(ctx context.Context, turns []*remote.Turn) error {
	args := make([]any, 0, 2*len(turns))
	for _, t := range turns {
		args = append(args, t.Line, t.ID)
		t.Is, t.Waits = false, false
	}
	var rows []struct {
		Line  string `db:"line"`
		ID    string `db:"id"`
		Owner string `db:"owner"`
		First bool   `db:"first"`
	}
	if err := q.Select(ctx, &rows, turn+strings.Repeat(" OR "+one, len(turns)-1), args...); err != nil {
		return err
	}
	for _, row := range rows {
		for _, t := range turns {
			if t.Line == row.Line && t.ID == row.ID {
				t.Is, t.Waits = row.First && row.Owner == t.Owner, true
			}
		}
	}
	return nil
}

// Lend implements [store.Queue].
func (q Queue) Lend(ctx context.Context, line, owner string, lease time.Duration, most int) ([]store.Delivery, error) {
	if q.Returning {
		return q.taken(ctx, lendFree, line, max(most, 0), owner, lease.Microseconds())
	}
	var seqs []int64
	if err := q.Select(ctx, &seqs, free, line, max(most, 0)); err != nil || len(seqs) == 0 {
		return nil, err
	}
	if _, err := q.Exec(ctx, lend, owner, lease.Microseconds(), seqs); err != nil {
		return nil, err
	}
	return q.taken(ctx, lent, seqs, owner)
}

// taken returns the deliveries that a statement lists.
func (q Queue) taken(ctx context.Context, query string, args ...any) ([]store.Delivery, error) {
	var rows []struct {
		Line     string `db:"line"`
		Lane     string `db:"lane"`
		ID       string `db:"id"`
		Owner    string `db:"owner"`
		Attempts int    `db:"attempts"`
		PushedUS int64  `db:"pushed_us"`
		Body     []byte `db:"body"`
	}
	if err := q.Select(ctx, &rows, query, args...); err != nil || len(rows) == 0 {
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
	_, err := q.Exec(ctx, done, line, id)
	return err
}

// DoneAll implements [remote.QueueEngine]. It goes through the rows in one order, so that
// two of them wait for each other only one way.
func (q Queue) DoneAll(ctx context.Context, deliveries []store.Delivery) error {
	sorted := slices.SortedFunc(slices.Values(deliveries), func(a, b store.Delivery) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.ID, b.ID))
	})
	args := make([]any, 0, 2*len(sorted))
	for _, d := range sorted {
		args = append(args, d.Line, d.ID)
	}
	_, err := q.Exec(ctx, done+strings.Repeat(" OR "+one, len(sorted)-1), args...)
	return err
}

// Later implements [store.Queue].
func (q Queue) Later(ctx context.Context, line, id, owner string, wait time.Duration) error {
	_, err := q.Exec(ctx, later, wait.Microseconds(), line, id, owner)
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
	if err := q.Select(ctx, &rows, lines); err != nil {
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
		err := q.Get(ctx, b.into, b.query, line, b.offset)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return 0, err
		}
	}
	result, err := q.Exec(ctx, trim, line, bound, keep.Microseconds(), last)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
