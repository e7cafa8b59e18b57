package sqlrows

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// readRows has the server's time, which comes without a row as well.
const readRows = `SELECT t.now_us, c.name, c.changed_us, c.value, c.seal_key, c.end_us, c.life_us, c.fence, c.notes,
	c.top, c.attempt, c.lease_end_us, c.begun_us, c.unfinished_us, c.day, c.fetches
	FROM (SELECT NOW AS now_us) t LEFT JOIN zhongkong_credentials c ON c.name IN (?)`

// The columns of a credential, of a [Change], and the ones from the other.
const (
	Columns = `name, changed_us, value, seal_key, end_us, life_us, fence, notes,
		top, attempt, lease_end_us, begun_us, unfinished_us, day, fetches`

	Values = `:name, :changed_us, :bytes, :seal_key, :end_us, :life_us, :fence, :notes,
		:top, :attempt, :lease_end_us, :begun_us, :unfinished_us, :day, :fetches`

	Assignments = `changed_us = :changed_us, value = :bytes, seal_key = :seal_key,
		end_us = :end_us, life_us = :life_us, fence = :fence, notes = :notes,
		top = :top, attempt = :attempt, lease_end_us = :lease_end_us,
		begun_us = :begun_us, unfinished_us = :unfinished_us, day = :day, fetches = :fetches`
)

// Change is a [remote.Change] as arguments.
type Change struct {
	columns.Credential
	Bytes   []byte       `db:"bytes"` // the value, whatever is in it
	Changed int64        `db:"changed_us"`
	Old     int64        `db:"old_us"`
	Until   int64        `db:"until_us"`
	Entry   columns.Line `db:"entry"`
}

// ChangeOf is c as arguments.
func ChangeOf(c remote.Change) Change {
	args := Change{
		Credential: columns.Of(c.Name, &c.Row), Bytes: []byte(c.Row.Value),
		Changed: c.New, Old: c.Old, Until: c.Until.UnixMicro(),
	}
	if c.Entry != nil {
		args.Entry = columns.LineOf(c.Name, *c.Entry)
	}
	return args
}

// Read implements [remote.Engine] for a server, but for the meaning of its errors.
func (c Calls) Read(ctx context.Context, pool *sqlx.DB, names []string) ([]remote.State, error) {
	query, args, err := c.bound(readRows, names)
	if err != nil {
		return nil, err
	}
	rows, err := pool.QueryxContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var at time.Time
	found := make(map[string]remote.State, len(names))
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			return nil, err
		}
		us, _ := values[0].(int64)
		at = time.UnixMicro(us)
		var name string
		switch value := values[1].(type) { // by driver
		case string:
			name = value
		case []byte:
			name = string(value)
		default:
			continue // no row at all
		}
		state := remote.State{Found: true}
		state.Version, _ = values[2].(int64)
		state.Row, state.Damage = columns.Read(values[3:])
		found[name] = state
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	states := make([]remote.State, len(names))
	for i, name := range names {
		states[i] = found[name]
		states[i].Now = at
	}
	return states, nil
}

const (
	readLines = `SELECT name, at_us, event, fence, attempt, detail FROM zhongkong_journal
		WHERE name = ? AND at_us >= NOW - ? ORDER BY id DESC LIMIT ?`

	trimOldLines = `DELETE FROM zhongkong_journal WHERE at_us < ?`

	trimManyLines = `DELETE FROM zhongkong_journal WHERE name = ? AND id <= (SELECT id FROM
		(SELECT id FROM zhongkong_journal WHERE name = ? ORDER BY id DESC LIMIT 1 OFFSET ?) AS last)`
)

// Lines returns the newest lines of a journal.
func (c Calls) Lines(ctx context.Context, name string, limit int) ([]custody.Entry, error) {
	var lines []columns.Line
	err := c.Select(ctx, &lines, readLines, name, remote.JournalAge.Microseconds(), min(max(limit, 0), remote.JournalLines))
	if err != nil {
		return nil, err
	}
	entries := make([]custody.Entry, 0, len(lines))
	for _, l := range lines {
		entries = append(entries, l.Entry())
	}
	return entries, nil
}

// Trim removes the lines of a journal that are too many, and those of every key from before a
// time.
func (c Calls) Trim(ctx context.Context, name string, before time.Time) error {
	if _, err := c.Exec(ctx, trimOldLines, columns.Micros(before)); err != nil {
		return err
	}
	_, err := c.Exec(ctx, trimManyLines, name, name, remote.JournalLines)
	return err
}
