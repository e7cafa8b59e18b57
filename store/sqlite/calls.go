package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// lockTime bounds the wait for a lock of a call whose ctx does not.
const lockTime = 5 * time.Second

// journalPace: a key's journal is trimmed at the first line that a process writes for it and at
// every journalPace-th after it.
const journalPace = 100

// sight is when this process first saw a lease.
type sight struct {
	fence int64
	at    time.Duration // on the monotonic clock
}

// Load implements [custody.Store].
func (s *Store) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	if err := key.Check(); err != nil {
		return custody.Record{}, err
	}
	var record custody.Record
	err := s.read(ctx, func(ctx context.Context, db *sqlx.DB) error {
		row, found, err := s.row(ctx, db, key.String())
		if err == nil && !found {
			err = custody.ErrNotFound
		}
		record = row.Record(s.time())
		return err
	})
	if err != nil {
		return custody.Record{}, err
	}
	return record, nil
}

// Acquire implements [custody.Store].
func (s *Store) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	var lease custody.Lease
	err := s.change(ctx, key, func(now time.Time, row *store.Row) (custody.Event, error) {
		left := length(row, ttl) - s.sighted(key, row.Top)
		if row.Attempt != attempt && left <= 0 {
			row.LeaseEnd = time.Time{}
		}
		var err error
		lease, err = row.Acquire(now, key, attempt, ttl)
		if held, ok := errors.AsType[*custody.HeldError](err); ok {
			held.Left = min(held.Left, left)
		}
		return "", err
	})
	if err != nil {
		return custody.Lease{}, err
	}
	s.sighted(key, lease.Fence)
	return lease, nil
}

// length is what a lease may last from when this process first saw it, whatever
// is done to the wall clock meanwhile. Its fence tells when it was given, or a
// later time when clocks were set back before, so that the difference is the
// lease's own length or too little; hence at least the caller's ttl, as all
// processes have the same as a rule. A lease of days is damage.
func length(row *store.Row, ttl time.Duration) time.Duration {
	return max(ttl, min(row.LeaseEnd.Sub(time.UnixMicro(row.Top)), 24*time.Hour))
}

// sighted returns how long ago this process first saw the lease with fence.
func (s *Store) sighted(key custody.Key, fence int64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.mono()
	first, ok := s.sights[key]
	if !ok || first.fence != fence {
		first = sight{fence: fence, at: now}
		s.sights[key] = first
	}
	return now - first.at
}

// Begin implements [custody.Store].
func (s *Store) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.changeAs(ctx, lease, func(now time.Time, row *store.Row) (custody.Event, error) {
		return custody.EventBegin, row.Begin(now, lease, notes)
	})
}

// Save implements [custody.Store].
func (s *Store) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	return s.changeAs(ctx, lease, func(_ time.Time, row *store.Row) (custody.Event, error) {
		return custody.EventSave, row.Save(lease, record)
	})
}

// Release implements [custody.Store].
func (s *Store) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.changeAs(ctx, lease, func(_ time.Time, row *store.Row) (custody.Event, error) {
		return custody.EventRelease, row.Release(lease, notes)
	})
}

// Shorten implements [custody.Store].
func (s *Store) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	if err := key.Check(); err != nil {
		return err
	}
	return s.change(ctx, key, func(_ time.Time, row *store.Row) (custody.Event, error) {
		row.Shorten(fence, end)
		return "", nil
	})
}

// Journal implements [custody.Journal].
func (s *Store) Journal(ctx context.Context, key custody.Key, limit int) ([]custody.Entry, error) {
	if err := key.Check(); err != nil {
		return nil, err
	}
	var entries []custody.Entry
	err := s.read(ctx, func(ctx context.Context, db *sqlx.DB) (err error) {
		entries, err = s.statements(db).Lines(ctx, key.String(), limit)
		return err
	})
	return entries, err
}

// read runs do, which only reads, until no lock is in its way.
func (s *Store) read(ctx context.Context, do func(ctx context.Context, db *sqlx.DB) error) error {
	return s.call(ctx, func(ctx context.Context, f *file) error {
		return f.unlessMoved(s.persist(ctx, func() error { return do(context.WithoutCancel(ctx), f.db) }))
	})
}

// errMoved: the file is no longer the one at its path. What was read from it or written
// into it does not count.
var errMoved = errors.New("the file was removed or replaced")

// unlessMoved is err, of something that was done with the file, or errMoved.
func (f *file) unlessMoved(err error) error {
	if !f.current() {
		return errMoved
	}
	return err
}

// call runs do on the open database. It comes again when the file was damaged or is no
// longer the one at its path.
func (s *Store) call(ctx context.Context, do func(ctx context.Context, f *file) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	limited, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for try := 1; ; try++ {
		f, err := s.opened(limited, true)
		if err != nil {
			return err
		}
		err = do(limited, f)
		again := try < 4
		switch c := codeOf(err); {
		case again && (c == corrupt || c == notADB):
			if err := s.setAside(limited, f, err); err != nil {
				return s.failed(limited, f, err)
			}
			s.retire(f)
		case again && (c == moved || c == schema || errors.Is(err, errMoved)):
			s.retire(f)
		case again && err != nil && s.retired(f):
			// Another call retired it under this one.
		default:
			return s.failed(limited, f, err)
		}
	}
}

// failed says what an error of a call means for the person who has to act.
func (s *Store) failed(ctx context.Context, f *file, err error) error {
	c := codeOf(err)
	if c == foreign {
		return err
	}
	err = explain(f.path, err)
	if c == busy && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, ctx.Err())
	}
	return err
}

// edit applies one of the contract's rules to a row and names the journal's
// line, if there is one.
type edit func(now time.Time, row *store.Row) (custody.Event, error)

// change reads, edits and writes the row of key in one transaction.
func (s *Store) change(ctx context.Context, key custody.Key, edit edit) error {
	return s.changeAs(ctx, custody.Lease{Key: key}, edit)
}

// changeAs is change with the lease that the journal's line is about.
func (s *Store) changeAs(ctx context.Context, lease custody.Lease, edit edit) error {
	if err := lease.Key.Check(); err != nil {
		return err
	}
	return s.write(ctx, true, func(ctx context.Context, tx *tx) error { return s.edit(ctx, tx, lease, edit) })
}

func (s *Store) edit(ctx context.Context, tx *tx, lease custody.Lease, edit edit) error {
	name := lease.Key.String()
	row, _, err := s.row(ctx, tx, name)
	if err != nil {
		return err
	}
	now, before := s.time(), columns.Of(name, &row)
	event, err := edit(now, &row)
	if err != nil {
		return err
	}
	after := columns.Of(name, &row)
	if reflect.DeepEqual(before, after) {
		return nil
	}
	if _, err := tx.NamedExecContext(ctx, replaceRow, after); err != nil {
		return err
	}
	if event == "" {
		return nil
	}
	_, err = tx.NamedExecContext(ctx,
		`INSERT INTO zhongkong_journal (name, at_us, event, fence, attempt, detail)
		VALUES (:name, :at_us, :event, :fence, :attempt, :detail)`,
		columns.LineOf(name, custody.Entry{
			At: now, Event: event, Fence: lease.Fence, Attempt: lease.Attempt, Detail: store.JournalDetail(lease.Detail),
		}))
	if err != nil || !s.untidy(name) {
		return err
	}
	return s.statements(tx).Trim(ctx, name, now.Add(-remote.JournalAge))
}

// untidy counts a line of a key's journal and reports whether to trim it now.
func (s *Store) untidy(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.lines[name]
	s.lines[name] = n + 1
	return n%journalPace == 0
}

// rowReader is a database or a transaction.
type rowReader interface {
	QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row
}

// row reads the row of a key. One that is damaged counts as empty, so that the
// credential is renewed and the row written anew.
func (s *Store) row(ctx context.Context, q rowReader, name string) (row store.Row, found bool, err error) {
	values, err := q.QueryRowxContext(ctx, selectRow, name).SliceScan()
	if errors.Is(err, sql.ErrNoRows) {
		return store.Row{}, false, nil
	}
	if err != nil {
		return store.Row{}, false, err
	}
	row, err = columns.Read(values)
	if err != nil {
		s.damaged(name, err)
	}
	return row, true, nil
}

// damaged says that a record counts as empty.
func (s *Store) damaged(name string, cause error) {
	s.log.Warn("a record is damaged and counts as empty", slog.String("log_code", "sqlite_record_damaged"),
		slog.String("path", s.path), slog.String("key", name), slog.Any("cause", cause))
}

// time is the store's time, to the microsecond of the contract.
func (s *Store) time() time.Time { return time.UnixMicro(s.now().UnixMicro()) }
