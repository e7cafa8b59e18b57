package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// tutorialLife is what Func takes for the life of a token that another
// program saved: it wrote the end alone.
const tutorialLife = 2 * time.Hour

// Func makes a [custody.Store] of two functions of your own, which keep one JSON
// document of each key wherever you like:
//
//	tokens := store.Func(
//		func(_ context.Context, key custody.Key) ([]byte, error) { return os.ReadFile("wechat.json") },
//		func(_ context.Context, key custody.Key, data []byte) error { return os.WriteFile("wechat.json", data, 0o600) },
//	)
//
// The document holds access_token and expires_in, the time of its end in
// milliseconds since 1970, as programs after the well-known tutorial write it;
// one that such a program wrote is read. It also holds what a restart should
// remember, such as failures; readers may ignore it.
//
// load returns no bytes, or an error that is [fs.ErrNotExist], when there is
// nothing yet. The functions are not called concurrently, and have to return
// soon after their ctx ends.
//
// The lease and the count of today's fetches live in this process: it has to be
// the only one that renews. For several processes take store/sqlite or a server.
func Func(
	load func(ctx context.Context, key custody.Key) ([]byte, error),
	save func(ctx context.Context, key custody.Key, data []byte) error,
) custody.Store {
	return &funcStore{load: load, save: save, turn: make(chan struct{}, 1), rows: map[custody.Key]Row{}}
}

type funcStore struct {
	load func(ctx context.Context, key custody.Key) ([]byte, error)
	save func(ctx context.Context, key custody.Key, data []byte) error

	turn chan struct{}       // holds one while a call is under way; a mutex would ignore ctx
	rows map[custody.Key]Row // guarded by turn

	closing sync.Once
	closed  bool // guarded by turn
}

// document is what is kept of a Row.
type document struct {
	AccessToken string          `json:"access_token"`
	ExpiresIn   int64           `json:"expires_in"` // the end, in ms since 1970
	SealKey     string          `json:"seal_key,omitempty"`
	Life        *int64          `json:"life,omitempty"` // µs; nil where another program saved
	Fence       int64           `json:"fence,omitempty"`
	Notes       json.RawMessage `json:"notes,omitempty"`
	NotesBytes  []byte          `json:"notes_bytes,omitempty"` // notes that are no JSON object
}

func (s *funcStore) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	if err := key.Check(); err != nil {
		return custody.Record{}, err
	}
	var record custody.Record
	err := s.do(ctx, key, func(now time.Time, row *Row) error {
		if row.Value == "" && row.Notes == nil {
			return custody.ErrNotFound
		}
		record = row.Record(now)
		record.Notes = bytes.Clone(record.Notes)
		return nil
	})
	return record, err
}

func (s *funcStore) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	var lease custody.Lease
	err := s.do(ctx, key, func(now time.Time, row *Row) error {
		var err error
		lease, err = row.Acquire(now, key, attempt, ttl)
		lease.Record.Notes = bytes.Clone(lease.Record.Notes)
		return err
	})
	return lease, err
}

func (s *funcStore) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.do(ctx, lease.Key, func(now time.Time, row *Row) error {
		return row.Begin(now, lease, bytes.Clone(notes))
	})
}

func (s *funcStore) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	return s.do(ctx, lease.Key, func(_ time.Time, row *Row) error {
		record.Notes = bytes.Clone(record.Notes)
		return row.Save(lease, record)
	})
}

func (s *funcStore) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.do(ctx, lease.Key, func(_ time.Time, row *Row) error {
		return row.Release(lease, bytes.Clone(notes))
	})
}

func (s *funcStore) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	return s.do(ctx, key, func(_ time.Time, row *Row) error {
		row.Shorten(fence, end)
		return nil
	})
}

// Close waits for the call that is under way.
func (s *funcStore) Close() error {
	s.closing.Do(func() {
		s.turn <- struct{}{}
		s.closed = true
		<-s.turn
	})
	return nil
}

// do applies change to the row of key as it is stored now, and saves what of it
// is to be kept. Nothing is remembered of a change that could not be saved.
func (s *funcStore) do(ctx context.Context, key custody.Key, change func(now time.Time, row *Row) error) error {
	if err := key.Check(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.closed {
		return errors.New("zhongkong: the store is closed")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := s.load(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now := time.Now().Truncate(time.Microsecond)
	row := s.rows[key]
	read(data).into(&row, now)
	before := documentOf(row)
	if err := change(now, &row); err != nil {
		return err
	}
	if after := documentOf(row); !bytes.Equal(after, before) {
		if err := s.save(ctx, key, after); err != nil {
			return err
		}
	}
	s.rows[key] = row
	return nil
}

// read returns the document; one that cannot be read counts as empty.
func read(data []byte) document {
	var d document
	if json.Unmarshal(data, &d) != nil || len(d.AccessToken) > custody.MaxValueBytes || d.ExpiresIn < 0 || d.Fence < 0 {
		return document{}
	}
	return d
}

// into replaces what row has of the stored document.
func (d document) into(row *Row, now time.Time) {
	row.Value, row.SealKey, row.Fence = d.AccessToken, d.SealKey, d.Fence
	row.Top = max(row.Top, d.Fence)
	row.Notes = d.Notes
	if row.Notes == nil {
		row.Notes = d.NotesBytes
	}
	row.End, row.Life = time.Time{}, 0
	if d.ExpiresIn != 0 {
		row.End = time.UnixMilli(d.ExpiresIn)
	}
	switch {
	case d.Life != nil:
		row.Life = time.Duration(*d.Life) * time.Microsecond
	case d.AccessToken != "":
		row.Life = max(tutorialLife, row.End.Sub(now))
	}
}

func documentOf(row Row) []byte {
	d := document{AccessToken: row.Value, SealKey: row.SealKey, Fence: row.Fence}
	if !row.End.IsZero() {
		d.ExpiresIn = row.End.UnixMilli()
	}
	if row.Fence != 0 {
		life := row.Life.Microseconds()
		d.Life = &life
	}
	if compact := new(bytes.Buffer); len(row.Notes) > 0 && row.Notes[0] == '{' && json.Compact(compact, row.Notes) == nil &&
		bytes.Equal(compact.Bytes(), row.Notes) {
		d.Notes = row.Notes
	} else {
		d.NotesBytes = row.Notes
	}
	data, err := json.Marshal(d) //nolint:gosec // G117: to hand the token to its store is the purpose
	if err != nil {
		return nil // cannot happen: strings, numbers and valid JSON
	}
	return data
}
