package sqlite

import (
	"fmt"
	"math"
	"time"

	"github.com/zhongkong-go/zhongkong"
)

// columns is a [zhongkong.Row] as the table zhongkong_credentials keeps it.
type columns struct {
	Name         string `db:"name"`
	Value        string `db:"value"`
	SealKey      string `db:"seal_key"`
	EndUS        int64  `db:"end_us"`
	LifeUS       int64  `db:"life_us"`
	Fence        int64  `db:"fence"`
	Notes        []byte `db:"notes"`
	Top          int64  `db:"top"`
	Attempt      string `db:"attempt"`
	LeaseEndUS   int64  `db:"lease_end_us"`
	BegunUS      int64  `db:"begun_us"`
	UnfinishedUS int64  `db:"unfinished_us"`
	Day          int    `db:"day"`
	Fetches      int    `db:"fetches"`
}

const (
	selectRow = `SELECT value, seal_key, end_us, life_us, fence, notes,
		top, attempt, lease_end_us, begun_us, unfinished_us, day, fetches
		FROM zhongkong_credentials WHERE name = ?`

	replaceRow = `INSERT INTO zhongkong_credentials (name, value, seal_key, end_us, life_us, fence, notes,
		top, attempt, lease_end_us, begun_us, unfinished_us, day, fetches)
		VALUES (:name, :value, :seal_key, :end_us, :life_us, :fence, :notes,
		:top, :attempt, :lease_end_us, :begun_us, :unfinished_us, :day, :fetches)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, seal_key = excluded.seal_key,
		end_us = excluded.end_us, life_us = excluded.life_us, fence = excluded.fence, notes = excluded.notes,
		top = excluded.top, attempt = excluded.attempt, lease_end_us = excluded.lease_end_us,
		begun_us = excluded.begun_us, unfinished_us = excluded.unfinished_us,
		day = excluded.day, fetches = excluded.fetches`
)

// write is the way of a row into the table.
func write(name string, row *zhongkong.Row) columns {
	return columns{
		Name: name, Value: row.Value, SealKey: row.SealKey,
		EndUS: micros(row.End), LifeUS: row.Life.Microseconds(), Fence: row.Fence,
		Notes: append([]byte{}, row.Notes...), // never NULL
		Top:   row.Top, Attempt: row.Attempt,
		LeaseEndUS: micros(row.LeaseEnd), BegunUS: micros(row.Begun), UnfinishedUS: micros(row.Unfinished),
		Day: row.Day, Fetches: row.Fetches,
	}
}

// read is the way back. It believes nothing: the file may have been written by
// a hand, a tool or a failing disk. Its error names the column and never shows
// the content, which may be a token in the wrong place. Of a damaged row the
// highest fence is kept if it can be read.
func read(values []any) (zhongkong.Row, error) {
	var r reader
	row := zhongkong.Row{
		Value:      r.text(values, 0, "value"),
		SealKey:    r.text(values, 1, "seal_key"),
		End:        r.time(values, 2, "end_us"),
		Life:       time.Duration(r.integer(values, 3, "life_us", math.MaxInt64/1000)) * time.Microsecond,
		Fence:      r.integer(values, 4, "fence", maxMicros),
		Notes:      r.blob(values, 5, "notes"),
		Top:        r.integer(values, 6, "top", maxMicros),
		Attempt:    r.text(values, 7, "attempt"),
		LeaseEnd:   r.time(values, 8, "lease_end_us"),
		Begun:      r.time(values, 9, "begun_us"),
		Unfinished: r.time(values, 10, "unfinished_us"),
		Day:        int(r.integer(values, 11, "day", math.MaxInt32)),
		Fetches:    int(r.integer(values, 12, "fetches", math.MaxInt32)),
	}
	if r.err != nil {
		return zhongkong.Row{Top: row.Top}, r.err
	}
	return row, nil
}

// reader takes values apart and keeps the first thing that is wrong.
type reader struct{ err error }

func (r *reader) wrong(column, what string) {
	if r.err == nil {
		r.err = fmt.Errorf("the column %s holds %s", column, what)
	}
}

func (r *reader) at(values []any, i int, column string) any {
	if i >= len(values) {
		r.wrong(column, "nothing")
		return nil
	}
	return values[i]
}

func (r *reader) text(values []any, i int, column string) string {
	switch v := r.at(values, i, column).(type) {
	case string:
		return v
	case []byte:
		return string(v)
	default:
		r.wrong(column, fmt.Sprintf("a %T where a text is expected", v))
		return ""
	}
}

func (r *reader) blob(values []any, i int, column string) []byte {
	if s := r.text(values, i, column); s != "" {
		return []byte(s)
	}
	return nil
}

func (r *reader) integer(values []any, i int, column string, most int64) int64 {
	v := r.at(values, i, column)
	n, ok := v.(int64)
	switch {
	case !ok:
		r.wrong(column, fmt.Sprintf("a %T where a number is expected", v))
	case n < 0 || n > most:
		r.wrong(column, "a number out of all bounds")
	default:
		return n
	}
	return 0
}

func (r *reader) time(values []any, i int, column string) time.Time {
	if us := r.integer(values, i, column, maxMicros); us != 0 {
		return time.UnixMicro(us)
	}
	return time.Time{}
}

// maxMicros is the end of the year 9999, the last that time formats show.
const maxMicros = 253402300799999999

// micros is t in the table. 0 says none, so what lies before 1970 or after 9999
// is told as the nearest time that can be told.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return min(max(t.UnixMicro(), 1), maxMicros)
}
