// Package columns is the way of a [store.Row] and of a journal's line into
// the tables of a SQL store and back. The tables have the same columns in every
// dialect: texts, byte strings and numbers, so that no dialect's idea of a date
// or of a rounding gets between a time and its microseconds.
package columns

import (
	"fmt"
	"math"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// Credential is a row of the table of credentials, but for what a dialect adds.
type Credential struct {
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

// Format implements [fmt.Formatter]: the value does not print.
func (c Credential) Format(f fmt.State, verb rune) {
	type plain Credential // without methods
	p := plain(c)
	p.Value = custody.NewSecret(p.Value).String()
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), p)
}

// Of is row under name, for the table.
func Of(name string, row *store.Row) Credential {
	return Credential{
		Name: name, Value: row.Value, SealKey: row.SealKey,
		EndUS: Micros(row.End), LifeUS: row.Life.Microseconds(), Fence: row.Fence,
		Notes: append([]byte{}, row.Notes...), // never NULL
		Top:   row.Top, Attempt: row.Attempt,
		LeaseEndUS: Micros(row.LeaseEnd), BegunUS: Micros(row.Begun), UnfinishedUS: Micros(row.Unfinished),
		Day: row.Day, Fetches: row.Fetches,
	}
}

// Values are the columns from value to fetches, as [Read] wants them.
func (c Credential) Values() []any {
	return []any{
		c.Value, c.SealKey, c.EndUS, c.LifeUS, c.Fence, c.Notes,
		c.Top, c.Attempt, c.LeaseEndUS, c.BegunUS, c.UnfinishedUS, int64(c.Day), int64(c.Fetches),
	}
}

// Read is the way back. It believes nothing: the table may have been written by
// a hand, a tool or a failing disk. Its error names the column and never shows
// the content, which may be a token in the wrong place. Of a damaged row the
// highest fence is kept if it can be read. The values are those of the columns
// from value to fetches, in the order of [Credential].
func Read(values []any) (store.Row, error) {
	var r reader
	row := store.Row{
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
		return store.Row{Top: row.Top}, r.err
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
	return Time(r.integer(values, i, column, maxMicros))
}

// maxMicros is the end of the year 9999, the last that time formats show.
const maxMicros = 253402300799999999

// Micros is t in the table. 0 says none, so what lies before 1970 or after 9999
// is written as the nearest time that can be written.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return min(max(t.UnixMicro(), 1), maxMicros)
}

// Time is the way back of [Micros].
func Time(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}

// Line is a [custody.Entry] as the table of the journal keeps it.
type Line struct {
	Name    string `db:"name"`
	AtUS    int64  `db:"at_us"`
	Event   string `db:"event"`
	Fence   int64  `db:"fence"`
	Attempt string `db:"attempt"`
	Detail  string `db:"detail"`
}

// LineOf is entry under name, for the table.
func LineOf(name string, entry custody.Entry) Line {
	return Line{
		Name: name, AtUS: Micros(entry.At), Event: string(entry.Event),
		Fence: entry.Fence, Attempt: entry.Attempt, Detail: entry.Detail,
	}
}

// Entry is the line for who reads the journal.
func (l Line) Entry() custody.Entry {
	return custody.Entry{
		At: Time(l.AtUS), Event: custody.Event(l.Event), Fence: l.Fence, Attempt: l.Attempt, Detail: l.Detail,
	}
}
