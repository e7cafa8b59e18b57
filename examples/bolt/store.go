// Package bolt is a store of one's own: everything that a store of zhongkong can do, over
// bbolt, a file for one process. The rules are those of package store, as functions of
// what is stored and the time; what is left to an engine is to read, write and list, each
// call in one transaction. Its test is the suite that all stores pass.
package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// The buckets, and what is in them as JSON. A name that has parts ends each with a zero
// byte, which no part has.
var (
	credentials = []byte("credentials") // key → store.Row
	journal     = []byte("journal")     // key, number → custody.Entry
	documents   = []byte("documents")   // kind, name → store.Document
	uses        = []byte("uses")        // number → store.Use
	queue       = []byte("queue")       // line, number → store.Waiting
	places      = []byte("places")      // line, id → number
	messages    = []byte("messages")    // key → store.Claim
	inbox       = []byte("inbox")       // key → what Keep was given
)

// Store implements [store.Store]. Make one with [Open].
type Store struct{ db *bbolt.DB }

var _ store.Store = (*Store)(nil)

// Open opens the file at path, which no other process may have open.
func Open(path string) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{credentials, journal, documents, uses, queue, places, messages, inbox} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	return &Store{db}, err
}

// Close implements [custody.Store].
func (s *Store) Close() error { return s.db.Close() }

// in runs do in a transaction, which changes nothing if it fails.
func (s *Store) in(ctx context.Context, do func(tx *bbolt.Tx, now time.Time) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error { return do(tx, time.Now().Truncate(time.Microsecond)) })
}

func name(parts ...string) (key []byte) {
	for _, part := range parts {
		key = append(append(key, part...), 0)
	}
	return key
}

func numbered(n uint64, parts ...string) []byte {
	return binary.BigEndian.AppendUint64(name(parts...), n)
}

func get[T any](tx *bbolt.Tx, bucket, key []byte) (value T, found bool) {
	data := tx.Bucket(bucket).Get(key)
	return value, data != nil && json.Unmarshal(data, &value) == nil
}

func put(tx *bbolt.Tx, bucket, key []byte, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return tx.Bucket(bucket).Put(key, data)
}

// list returns the values whose keys begin with prefix, in their order.
func list[T any](tx *bbolt.Tx, bucket, prefix []byte) (all []T) {
	cursor := tx.Bucket(bucket).Cursor()
	for key, data := cursor.Seek(prefix); key != nil && bytes.HasPrefix(key, prefix); key, data = cursor.Next() {
		var value T
		if json.Unmarshal(data, &value) == nil {
			all = append(all, value)
		}
	}
	return all
}

// edit applies a rule of [store.Row], and writes a line of the journal unless event is "".
func (s *Store) edit(ctx context.Context, lease custody.Lease, event custody.Event, rule func(now time.Time, row *store.Row) error) error {
	if err := lease.Key.Check(); err != nil {
		return err
	}
	return s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		key := name(lease.Key.String())
		row, found := get[store.Row](tx, credentials, key)
		before, _ := json.Marshal(row)
		if err := rule(now, &row); err != nil {
			return err
		}
		if after, _ := json.Marshal(row); bytes.Equal(before, after) && (found || event == "") {
			return nil
		}
		if event != "" {
			line := custody.Entry{At: now, Event: event, Fence: lease.Fence, Attempt: lease.Attempt, Detail: store.JournalDetail(lease.Detail)}
			n, err := tx.Bucket(journal).NextSequence()
			if err == nil {
				err = put(tx, journal, numbered(n, lease.Key.String()), line)
			}
			if err != nil {
				return err
			}
		}
		return put(tx, credentials, key, row)
	})
}

// Load implements [custody.Store].
func (s *Store) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	records, err := s.LoadMany(ctx, []custody.Key{key})
	record, found := records[key]
	if err == nil && !found {
		err = custody.ErrNotFound
	}
	return record, err
}

// LoadMany implements [custody.ManyLoader].
func (s *Store) LoadMany(ctx context.Context, keys []custody.Key) (map[custody.Key]custody.Record, error) {
	records := make(map[custody.Key]custody.Record)
	err := s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		for _, key := range keys {
			if err := key.Check(); err != nil {
				return err
			}
			if row, found := get[store.Row](tx, credentials, name(key.String())); found {
				records[key] = row.Record(now)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// Acquire implements [custody.Store].
func (s *Store) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (lease custody.Lease, err error) {
	err = s.edit(ctx, custody.Lease{Key: key}, "", func(now time.Time, row *store.Row) (err error) {
		lease, err = row.Acquire(now, key, attempt, ttl)
		return err
	})
	return lease, err
}

// Begin implements [custody.Store].
func (s *Store) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.edit(ctx, lease, custody.EventBegin, func(now time.Time, row *store.Row) error { return row.Begin(now, lease, notes) })
}

// Save implements [custody.Store].
func (s *Store) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	record.End, record.Life = record.End.Truncate(time.Microsecond), record.Life.Truncate(time.Microsecond)
	return s.edit(ctx, lease, custody.EventSave, func(_ time.Time, row *store.Row) error { return row.Save(lease, record) })
}

// Release implements [custody.Store].
func (s *Store) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	return s.edit(ctx, lease, custody.EventRelease, func(_ time.Time, row *store.Row) error { return row.Release(lease, notes) })
}

// Shorten implements [custody.Store].
func (s *Store) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	return s.edit(ctx, custody.Lease{Key: key}, "", func(_ time.Time, row *store.Row) error {
		row.Shorten(fence, end.Truncate(time.Microsecond))
		return nil
	})
}

// Journal implements [custody.Journal].
func (s *Store) Journal(ctx context.Context, key custody.Key, limit int) (lines []custody.Entry, err error) {
	if err := key.Check(); err != nil {
		return nil, err
	}
	err = s.in(ctx, func(tx *bbolt.Tx, _ time.Time) error {
		lines = newest(list[custody.Entry](tx, journal, name(key.String())), limit)
		return nil
	})
	return lines, err
}

func newest[T any](all []T, limit int) []T {
	all = all[max(0, len(all)-max(0, limit)):]
	slices.Reverse(all)
	return all
}

// Documents implements [store.Ledger].
func (s *Store) Documents(ctx context.Context, after int64) (docs []store.Document, err error) {
	err = s.in(ctx, func(tx *bbolt.Tx, _ time.Time) error {
		docs = slices.DeleteFunc(list[store.Document](tx, documents, nil), func(d store.Document) bool { return d.Version <= after })
		slices.SortFunc(docs, func(a, b store.Document) int { return int(a.Version - b.Version) })
		return nil
	})
	return docs, err
}

// Put implements [store.Ledger].
func (s *Store) Put(ctx context.Context, doc store.Document) (version int64, err error) {
	if err := doc.Check(); err != nil {
		return 0, err
	}
	err = s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		key := name(doc.Kind, doc.Name)
		there, _ := get[store.Document](tx, documents, key)
		top := int64(tx.Bucket(documents).Sequence())
		next, err := there.Put(now.UnixMicro(), top, doc)
		if err != nil {
			return err
		}
		version = next.Version
		return errors.Join(tx.Bucket(documents).SetSequence(uint64(version)), put(tx, documents, key, next))
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// Note implements [store.Ledger].
func (s *Store) Note(ctx context.Context, use store.Use) error {
	if err := use.Check(); err != nil {
		return err
	}
	return s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		use.At = now
		n, err := tx.Bucket(uses).NextSequence()
		return errors.Join(err, put(tx, uses, numbered(n), use))
	})
}

// Uses implements [store.Ledger].
func (s *Store) Uses(ctx context.Context, limit int) (all []store.Use, err error) {
	err = s.in(ctx, func(tx *bbolt.Tx, _ time.Time) error {
		all = newest(list[store.Use](tx, uses, nil), limit)
		return nil
	})
	return all, err
}

// line is everything that waits in a line, in the order of Push.
func line(tx *bbolt.Tx, of string) []*store.Waiting { return list[*store.Waiting](tx, queue, name(of)) }

func write(tx *bbolt.Tx, w *store.Waiting) error {
	return put(tx, queue, numbered(uint64(w.Place), w.Line), w)
}

func remove(tx *bbolt.Tx, w *store.Waiting) error {
	return errors.Join(tx.Bucket(queue).Delete(numbered(uint64(w.Place), w.Line)), tx.Bucket(places).Delete(name(w.Line, w.ID)))
}

// waiting runs do with a delivery, if it is there.
func (s *Store) waiting(ctx context.Context, of, id, owner string, do func(tx *bbolt.Tx, nowUS int64, w *store.Waiting) error) error {
	if err := store.CheckDelivery(of, id, owner); err != nil {
		return err
	}
	return s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		place, found := get[uint64](tx, places, name(of, id))
		if !found {
			return nil
		}
		w, _ := get[*store.Waiting](tx, queue, numbered(place, of))
		return do(tx, now.UnixMicro(), w)
	})
}

// Push implements [store.Queue].
func (s *Store) Push(ctx context.Context, deliveries []store.Delivery) error {
	if err := store.CheckPush(deliveries); err != nil {
		return err
	}
	return s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		for _, d := range deliveries {
			if _, found := get[uint64](tx, places, name(d.Line, d.ID)); found {
				continue
			}
			place, err := tx.Bucket(queue).NextSequence()
			d.Pushed = now
			w := d.Push(now.UnixMicro(), int64(place))
			if err := errors.Join(err, write(tx, &w), put(tx, places, name(d.Line, d.ID), place)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Turn implements [store.Queue].
func (s *Store) Turn(ctx context.Context, of, id, owner string) (turn, waits bool, err error) {
	err = s.waiting(ctx, of, id, owner, func(tx *bbolt.Tx, _ int64, w *store.Waiting) error {
		first := slices.IndexFunc(line(tx, of), func(other *store.Waiting) bool { return other.Lane == w.Lane })
		turn, waits = w.Owner == owner && line(tx, of)[first].Place == w.Place, true
		return nil
	})
	return turn, waits, err
}

// Lend implements [store.Queue].
func (s *Store) Lend(ctx context.Context, of, owner string, lease time.Duration, most int) (lent []store.Delivery, err error) {
	if err := store.CheckDelivery(of, "", owner); err != nil {
		return nil, err
	}
	err = s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		heads := map[string]*store.Waiting{}
		for _, w := range line(tx, of) {
			if heads[w.Lane] == nil {
				heads[w.Lane] = w
			}
		}
		free := slices.SortedFunc(maps.Values(heads), (*store.Waiting).Before)
		free = slices.DeleteFunc(free, func(w *store.Waiting) bool { return !w.Free(now.UnixMicro()) })
		for _, w := range free[:min(len(free), max(0, most))] {
			lent = append(lent, w.Lend(now.UnixMicro(), owner, lease))
			if err := write(tx, w); err != nil {
				return err
			}
		}
		return nil
	})
	return lent, err
}

// Done implements [store.Queue].
func (s *Store) Done(ctx context.Context, of, id string) error {
	return s.waiting(ctx, of, id, "", func(tx *bbolt.Tx, _ int64, w *store.Waiting) error { return remove(tx, w) })
}

// Later implements [store.Queue].
func (s *Store) Later(ctx context.Context, of, id, owner string, wait time.Duration) error {
	return s.waiting(ctx, of, id, owner, func(tx *bbolt.Tx, nowUS int64, w *store.Waiting) error {
		w.Later(nowUS, owner, wait)
		return write(tx, w)
	})
}

// Lines implements [store.Queue].
func (s *Store) Lines(ctx context.Context) (lines []store.Line, err error) {
	err = s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		of := map[string][]*store.Waiting{}
		for _, w := range list[*store.Waiting](tx, queue, nil) {
			of[w.Line] = append(of[w.Line], w)
		}
		for _, name := range slices.Sorted(maps.Keys(of)) {
			lines = append(lines, store.LineOf(name, now.UnixMicro(), slices.Values(of[name])))
		}
		return nil
	})
	return lines, err
}

// Trim implements [store.Queue].
func (s *Store) Trim(ctx context.Context, of string, keep time.Duration, most int) (dropped int, err error) {
	if err := store.CheckDelivery(of, "", ""); err != nil {
		return 0, err
	}
	err = s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		all := line(tx, of)
		for n, w := range all {
			if w.Over(now.UnixMicro(), keep, len(all)-1-n, most) {
				dropped++
				if err := remove(tx, w); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return dropped, err
}
