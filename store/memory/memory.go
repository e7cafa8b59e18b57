// Package memory keeps credentials, and which messages were handled, in the memory
// of one process: for tests, and for a program that runs alone and may fetch anew
// whenever it starts. Whatever has a second process, or restarts often, wants a
// store that lasts, such as store/sqlite.
package memory

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// What the journal keeps of each key.
const (
	journalLines = 1000
	journalAge   = 30 * 24 * time.Hour
)

// notices is how many unread keys a watcher may pile up before it misses some,
// which the contract allows: one program rarely has more accounts than this.
const notices = 256

var errClosed = errors.New("zhongkong: the memory store is closed")

// Store implements [store.Store] and [custody.Watcher]. Make one with [New].
type Store struct {
	now  func() moment // tests step it
	made time.Time

	mu       sync.Mutex // guards what follows; never held while waiting
	closed   bool
	entries  map[custody.Key]*entry
	watchers map[*watcher]struct{}
	ledger   ledger

	messages map[string]*message
	inbox    map[string]*message // of those, what Take looks through
	places   int64               // given out in the inbox
	swept    int                 // messages that were left by the last sweep
	answers  store.AnswerBudget

	lines  map[string]*queue
	pushed int64 // deliveries
}

// moment is one time on both clocks of the process.
type moment struct {
	time time.Time     // the store's time: the wall clock, to the microsecond
	mono time.Duration // since the store was made, whatever is done to the wall clock
}

type entry struct {
	row store.Row

	// until is the lease's end on the monotonic clock: a wall clock that is set
	// back makes no lease longer.
	until time.Duration

	journal []custody.Entry // oldest first, at most journalLines
}

var (
	_ store.Store     = (*Store)(nil)
	_ custody.Watcher = (*Store)(nil)
)

// New returns an empty store. It needs no Close to be forgotten, except to end
// the channels of its watchers.
func New() *Store {
	start := time.Now()
	return &Store{
		now:      func() moment { return moment{wall(time.Now()), time.Since(start)} },
		made:     start,
		entries:  make(map[custody.Key]*entry),
		watchers: make(map[*watcher]struct{}),
		messages: make(map[string]*message),
		inbox:    make(map[string]*message),
		lines:    make(map[string]*queue),
	}
}

// Load implements [custody.Store].
func (s *Store) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	if err := key.Check(); err != nil {
		return custody.Record{}, err
	}
	var record custody.Record
	err := s.do(ctx, func(now moment) error {
		e := s.entries[key]
		if e == nil {
			return custody.ErrNotFound
		}
		record = answer(e.row.Record(now.time))
		return nil
	})
	return record, err
}

// Acquire implements [custody.Store].
func (s *Store) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	var lease custody.Lease
	err := s.change(ctx, key, func(now moment, e *entry) error {
		left := e.until - now.mono
		if left <= 0 {
			e.row.LeaseEnd = time.Time{}
		}
		top := e.row.Top
		var err error
		lease, err = e.row.Acquire(now.time, key, attempt, ttl)
		var held *custody.HeldError
		switch {
		case errors.As(err, &held):
			held.Left = min(held.Left, left)
		case err == nil && e.row.Top == top:
			e.until = max(e.until, now.mono+ttl)
		case err == nil:
			e.until = now.mono + ttl
		}
		lease.Record = answer(lease.Record)
		return err
	})
	return lease, err
}

// Begin implements [custody.Store].
func (s *Store) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.change(ctx, lease.Key, func(now moment, e *entry) error {
		if now.mono >= e.until {
			e.row.LeaseEnd = time.Time{}
		}
		if err := e.row.Begin(now.time, lease, bytes.Clone(notes)); err != nil {
			return err
		}
		e.write(now, custody.EventBegin, lease)
		return nil
	})
}

// Save implements [custody.Store].
func (s *Store) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	return s.change(ctx, lease.Key, func(now moment, e *entry) error {
		before := e.row
		record.End, record.Life = wall(record.End), record.Life.Truncate(time.Microsecond)
		record.Notes = bytes.Clone(record.Notes)
		if err := e.row.Save(lease, record); err != nil {
			return err
		}
		if !same(before, e.row) {
			e.write(now, custody.EventSave, lease)
			s.tell(lease.Key)
		}
		return nil
	})
}

// Release implements [custody.Store].
func (s *Store) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.change(ctx, lease.Key, func(now moment, e *entry) error {
		before := e.row
		if err := e.row.Release(lease, bytes.Clone(notes)); err != nil {
			return err
		}
		if !same(before, e.row) {
			e.write(now, custody.EventRelease, lease)
		}
		if notes != nil {
			s.tell(lease.Key)
		}
		return nil
	})
}

// Shorten implements [custody.Store].
func (s *Store) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	if err := key.Check(); err != nil {
		return err
	}
	return s.do(ctx, func(moment) error {
		if e := s.entries[key]; e != nil && e.row.Shorten(fence, wall(end)) {
			s.tell(key)
		}
		return nil
	})
}

// Journal implements [custody.Journal].
func (s *Store) Journal(ctx context.Context, key custody.Key, limit int) ([]custody.Entry, error) {
	if err := key.Check(); err != nil {
		return nil, err
	}
	var entries []custody.Entry
	err := s.do(ctx, func(now moment) error {
		e := s.entries[key]
		if e == nil {
			return nil
		}
		e.trim(now)
		entries = slices.Clone(e.journal[max(0, len(e.journal)-max(0, limit)):])
		slices.Reverse(entries)
		return nil
	})
	return entries, err
}

// Watch implements [custody.Watcher]. The channel ends with ctx or the store.
func (s *Store) Watch(ctx context.Context) (<-chan custody.Key, error) {
	w := &watcher{keys: make(chan custody.Key, notices)}
	err := s.do(ctx, func(moment) error {
		s.watchers[w] = struct{}{}
		w.stop = context.AfterFunc(ctx, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.end(w)
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return w.keys, nil
}

// Close implements [custody.Store]. The records are gone with it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		s.end(w)
	}
	for _, m := range s.messages {
		m.tell()
	}
	s.closed, s.entries, s.messages, s.inbox, s.lines = true, nil, nil, nil, nil
	return nil
}

// do runs f as one atomic step at one moment.
func (s *Store) do(ctx context.Context, f func(now moment) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	return f(s.now())
}

// change is do for a call that writes: what f does to a key that was never seen
// is kept only when it succeeds.
func (s *Store) change(ctx context.Context, key custody.Key, f func(now moment, e *entry) error) error {
	return s.do(ctx, func(now moment) error {
		e := s.entries[key]
		if e == nil {
			e = new(entry)
		}
		if err := f(now, e); err != nil {
			return err
		}
		s.entries[key] = e
		return nil
	})
}

// write adds a line to the journal.
func (e *entry) write(now moment, event custody.Event, lease custody.Lease) {
	e.journal = append(e.journal, custody.Entry{
		At: now.time, Event: event, Fence: lease.Fence, Attempt: lease.Attempt, Detail: store.JournalDetail(lease.Detail),
	})
	e.trim(now)
}

func (e *entry) trim(now moment) {
	first := max(0, len(e.journal)-journalLines)
	for first < len(e.journal) && e.journal[first].At.Before(now.time.Add(-journalAge)) {
		first++
	}
	e.journal = slices.Delete(e.journal, 0, first)
}

type watcher struct {
	keys chan custody.Key
	stop func() bool // ends the wait for the watcher's ctx
}

// tell never waits: who does not read misses notices.
func (s *Store) tell(key custody.Key) {
	for w := range s.watchers {
		select {
		case w.keys <- key:
		default:
		}
	}
}

// end closes w's channel once, with s.mu held.
func (s *Store) end(w *watcher) {
	if _, ok := s.watchers[w]; ok {
		delete(s.watchers, w)
		w.stop()
		close(w.keys)
	}
}

// answer gives record a copy of its notes: the caller may write into them.
func answer(record custody.Record) custody.Record {
	record.Notes = bytes.Clone(record.Notes)
	return record
}

// same reports whether a call left the row as it was.
func same(a, b store.Row) bool {
	return a.Value == b.Value && a.SealKey == b.SealKey && a.End.Equal(b.End) && a.Life == b.Life &&
		a.Fence == b.Fence && bytes.Equal(a.Notes, b.Notes) && a.Top == b.Top && a.Attempt == b.Attempt &&
		a.LeaseEnd.Equal(b.LeaseEnd) && a.Begun.Equal(b.Begun) && a.Unfinished.Equal(b.Unfinished)
}

// wall is t without its monotonic reading, to the microsecond of the contract.
func wall(t time.Time) time.Time {
	return t.Truncate(time.Microsecond)
}
