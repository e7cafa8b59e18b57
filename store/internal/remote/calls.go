package remote

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
)

// Load implements [custody.Store].
func (s *Store) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	if err := key.Check(); err != nil {
		return custody.Record{}, err
	}
	return call(ctx, s, func(ctx context.Context) (custody.Record, error) {
		state, err := s.read(ctx, key.String())
		if err == nil && !state.Found {
			err = custody.ErrNotFound
		}
		return state.Row.Record(state.Now), err
	})
}

// LoadMany returns the records of those keys that have one, in one round trip.
func (s *Store) LoadMany(ctx context.Context, keys []custody.Key) (map[custody.Key]custody.Record, error) {
	for _, key := range keys {
		if err := key.Check(); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, ctx.Err()
	}
	return call(ctx, s, func(ctx context.Context) (map[custody.Key]custody.Record, error) {
		names := make([]string, len(keys))
		for i, key := range keys {
			names[i] = key.String()
		}
		states, err := s.readMany(ctx, names)
		records := make(map[custody.Key]custody.Record, len(states))
		for i, state := range states {
			if state.Found {
				records[keys[i]] = state.Row.Record(state.Now)
			}
		}
		return records, err
	})
}

// Acquire implements [custody.Store].
func (s *Store) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	return call(ctx, s, func(ctx context.Context) (lease custody.Lease, err error) {
		err = s.change(ctx, custody.Lease{Key: key}, func(now time.Time, row *store.Row) (effect, error) {
			lease, err = row.Acquire(now, key, attempt, ttl)
			return effect{}, err
		})
		return lease, err
	})
}

// Begin implements [custody.Store].
func (s *Store) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	notes = bytes.Clone(notes)
	return s.as(ctx, lease, func(now time.Time, row *store.Row) (effect, error) {
		err := row.Begin(now, lease, notes)
		return effect{event: custody.EventBegin, until: row.LeaseEnd}, err
	})
}

// Save implements [custody.Store].
func (s *Store) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	record.End, record.Life, record.Notes = tellable(record.End), record.Life.Truncate(time.Microsecond), bytes.Clone(record.Notes)
	return s.as(ctx, lease, func(_ time.Time, row *store.Row) (effect, error) {
		return effect{event: custody.EventSave, tell: true}, row.Save(lease, record)
	})
}

// Release implements [custody.Store].
func (s *Store) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	notes = bytes.Clone(notes)
	return s.as(ctx, lease, func(_ time.Time, row *store.Row) (effect, error) {
		return effect{event: custody.EventRelease, tell: notes != nil}, row.Release(lease, notes)
	})
}

// Shorten implements [custody.Store].
func (s *Store) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	if err := key.Check(); err != nil {
		return err
	}
	end = tellable(end)
	return s.as(ctx, custody.Lease{Key: key}, func(_ time.Time, row *store.Row) (effect, error) {
		return effect{tell: row.Shorten(fence, end)}, nil
	})
}

// Journal implements [custody.Journal].
func (s *Store) Journal(ctx context.Context, key custody.Key, limit int) ([]custody.Entry, error) {
	if err := key.Check(); err != nil {
		return nil, err
	}
	return call(ctx, s, func(ctx context.Context) ([]custody.Entry, error) {
		return again(ctx, func() ([]custody.Entry, error) {
			return s.engine.Lines(ctx, key.String(), min(max(limit, 0), JournalLines))
		})
	})
}

// effect is what an edit does besides the row.
type effect struct {
	event custody.Event // of the journal's line; "": none
	tell  bool          // give a notice
	until time.Time     // when the edit stops being right; zero: it does not
}

// edit applies one of the contract's rules to a row.
type edit func(now time.Time, row *store.Row) (effect, error)

// as is a call that only changes.
func (s *Store) as(ctx context.Context, lease custody.Lease, edit edit) error {
	_, err := call(ctx, s, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.change(ctx, lease, edit)
	})
	return err
}

// change reads, edits and swaps the row of lease's key until nobody came between.
func (s *Store) change(ctx context.Context, lease custody.Lease, edit edit) error {
	if err := lease.Key.Check(); err != nil {
		return err
	}
	name := lease.Key.String()
	var lost *Change // one whose answer did not come
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		state, recalled, err := s.state(ctx, name)
		switch {
		case err != nil:
			return err
		case lost != nil && !recalled && state.Version == lost.New && same(name, state.Row, lost.Row):
			return nil
		}
		row := state.Row
		effect, err := edit(state.Now, &row)
		if err != nil || same(name, state.Row, row) {
			if recalled {
				continue // what is remembered may be wrong by now
			}
			return err
		}
		change := state.change(lease, row, effect)
		swapped, err := s.engine.Swap(ctx, change)
		switch {
		case recalled && passes(err) && ctx.Err() == nil:
			lost = &change // a connection may have been lost since the last call, see again
			continue
		case err != nil:
			return err
		case swapped:
			s.remember(name, State{Row: row, Found: true, Version: change.New, clock: state.clock})
			s.tidy(&change, state.Now)
			return nil
		case recalled:
			continue
		}
		if err := sleep(ctx, pause+rand.N(pause)); err != nil {
			return named.Errorf("zhongkong", "others change the record of %s all the time: %w", name, err)
		}
	}
}

// state is a row as it was a moment ago, or is now.
func (s *Store) state(ctx context.Context, name string) (state State, recalled bool, err error) {
	if state, recalled = s.recall(name); !recalled {
		state, err = s.read(ctx, name)
	}
	return state, recalled, err
}

// change returns what turns the state into row.
func (s *State) change(lease custody.Lease, row store.Row, effect effect) Change {
	change := Change{
		Name: lease.Key.String(), Found: s.Found, Old: s.Version,
		New: max(s.Version+1, s.Now.UnixMicro()),
		Row: row, Until: s.Now.Add(decisionTime),
	}
	if !effect.until.IsZero() && effect.until.Before(change.Until) {
		change.Until = effect.until
	}
	if effect.event != "" {
		change.Entry = &custody.Entry{
			At: s.Now, Event: effect.event, Fence: lease.Fence, Attempt: lease.Attempt, Detail: store.JournalDetail(lease.Detail),
		}
	}
	if effect.tell {
		change.Tell = &lease.Key
	}
	return change
}

// same reports whether an edit left the row as it was.
func same(name string, before, after store.Row) bool {
	return reflect.DeepEqual(columns.Of(name, &before), columns.Of(name, &after))
}

// tidy trims the journal now and then, next to the call and without its ctx.
func (s *Store) tidy(change *Change, now time.Time) {
	name := change.Name
	if change.Entry == nil {
		return // which wrote no line
	}
	s.mu.Lock()
	n := s.lines[name]
	s.lines[name] = n + 1
	s.mu.Unlock()
	if n%journalPace != 0 {
		return
	}
	_ = s.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, callTime)
		defer cancel()
		if err := s.engine.Trim(ctx, name, now.Add(-JournalAge)); err != nil && s.life.Err() == nil {
			s.log.Debug("the journal was not trimmed", slog.String("server", s.server.String()), slog.String("key", name), slog.Any("cause", err))
		}
	})
}

func (s *Store) read(ctx context.Context, name string) (State, error) {
	states, err := s.readMany(ctx, []string{name})
	if err != nil {
		return State{}, err
	}
	return states[0], nil
}

// again reads, and reads again when that failed in a way that passes. Each call
// begins with reading, often after hours: connections that were lost meanwhile,
// by a restart of the server all idle ones, are found out there, where asking
// again can do no harm.
func again[T any](ctx context.Context, read func() (T, error)) (T, error) {
	answer, err := read()
	for n := 0; n < lostAtMost && passes(err) && ctx.Err() == nil; n++ {
		answer, err = read()
	}
	return answer, err
}

// readMany reads rows. One that is damaged counts as empty, so that the
// credential is renewed and the row written anew.
func (s *Store) readMany(ctx context.Context, names []string) ([]State, error) {
	var asked time.Time
	states, err := again(ctx, func() ([]State, error) { asked = time.Now(); return s.engine.Read(ctx, names) })
	if err == nil && len(states) != len(names) {
		err = named.Errorf("zhongkong", "%v answered %d records for %d", s.server, len(states), len(names))
	}
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		states[i].clock = s.tick(states[i].Now, asked)
		s.remember(name, states[i])
		if damage := states[i].Damage; damage != nil {
			s.log.Warn(
				"a record is damaged and counts as empty", slog.String("log_code", "store_record_damaged"),
				slog.String("server", s.server.String()),
				slog.String("key", name),
				slog.Any("cause", damage),
			)
		}
	}
	return states, nil
}

// tellable is t as every engine can keep it: to the microsecond.
func tellable(t time.Time) time.Time { return columns.Time(columns.Micros(t)) }
