package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.RunWith(t, storetest.Options{Open: func(t *testing.T) func(t *testing.T) custody.Store {
		t.Helper()
		path := newPath(t)
		return func(t *testing.T) custody.Store {
			t.Helper()
			return open(t, path, nil)
		}
	}})
}

// TestSettings looks at what every connection of the pool runs with.
func TestSettings(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	for range connections {
		conn, err := s.file.db.Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "25"} {
			var got string
			if err := conn.GetContext(t.Context(), &got, "PRAGMA "+pragma); err != nil || got != want {
				t.Errorf("%s is %q, %v; want %q", pragma, got, err, want)
			}
		}
	}
}

// TestOneTransaction: a transaction holds the write lock from its beginning, so
// that what it has read is still so when it writes.
func TestOneTransaction(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	for i, want := range []code{foreign, busy} {
		tx, err := s.file.db.BeginTxx(t.Context(), nil)
		if err == nil {
			defer func() { _ = tx.Rollback() }()
		}
		if codeOf(err) != want {
			t.Errorf("transaction %d: %v", i, err)
		}
	}
}

// TestBusy: while another program writes, reading goes on, and a writer leaves
// when its ctx ends.
func TestBusy(t *testing.T) {
	path := newPath(t)
	s := open(t, path, nil)
	save(t, s, "value")
	other := raw(t, path)
	run(t, other, "BEGIN IMMEDIATE")
	after := make(chan error)
	go func() { // one that has time, in front of the others
		var lease custody.Lease
		err := patiently(t, "Acquire", func() (err error) {
			lease, err = s.Acquire(context.WithoutCancel(t.Context()), key, "patient", time.Hour)
			return err
		})
		if err == nil && lease.Record.Value != "value" {
			err = fmt.Errorf("the lease's record has the value %q", lease.Record.Value)
		}
		after <- err
	}()
	patience.Until(t, "a call that waits for the lock", func() bool { return len(s.writing) > 0 })
	var calls sync.WaitGroup
	for i := range 64 {
		calls.Go(func() {
			patience.InTime(t, "Acquire with a ctx of 200ms", 1200*time.Millisecond, func() time.Duration {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				start := time.Now()
				_, err := s.Acquire(ctx, key, fmt.Sprint(i), time.Hour)
				took := time.Since(start)
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "lock") {
					t.Errorf("Acquire: got %v, want an error that is DeadlineExceeded and speaks of the lock", err)
				}
				return took
			})
		})
	}
	mustLoad(t, s, "value")
	calls.Wait()

	// A new handle opens too: it has nothing to write.
	mustLoad(t, open(t, path, nil), "value")

	run(t, other, "COMMIT")
	if err := <-after; err != nil {
		t.Fatalf("Acquire of a call that waited for the lock: %v", err)
	}
}

// TestCloseEndsWaiting: Close does not wait for somebody else's lock.
func TestCloseEndsWaiting(t *testing.T) {
	patience.InTime(t, "Close", time.Second, func() time.Duration {
		path := newPath(t)
		s := open(t, path, nil)
		save(t, s, "value")
		run(t, raw(t, path), "BEGIN IMMEDIATE")
		result := make(chan error)
		go func() {
			_, err := s.Acquire(context.Background(), key, "waiting", time.Hour)
			result <- err
		}()
		patience.Until(t, "a call that waits for the lock", func() bool { return len(s.writing) > 0 })
		start := time.Now()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-result; !errors.Is(err, errClosed) {
			t.Errorf("Acquire: got %v, want %v", err, errClosed)
		}
		return time.Since(start)
	})
}

// TestBubble: the store lives in a synctest bubble, where time is the test's,
// and leaves no goroutine behind.
func TestBubble(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		a, b := open(t, path, nil), open(t, path, nil)
		if _, err := a.Acquire(t.Context(), key, "first", 12*time.Second); err != nil {
			t.Fatal(err)
		}
		mustBeHeld(t, b, 12*time.Second, 12*time.Second)
		time.Sleep(12 * time.Second)
		lease, err := b.Acquire(t.Context(), key, "second", 12*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Save(t.Context(), lease, custody.Record{Value: "value"}); err != nil {
			t.Fatal(err)
		}
		mustLoad(t, a, "value")
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRow puts whatever there is into a column of a record. Load gives a record
// or an error, and the credential can be renewed.
func FuzzRow(f *testing.F) {
	path := newPath(f)
	s := open(f, path, nil)
	// The same table without types, as a hand might make it.
	other := raw(f, path)
	run(f, other, "DROP TABLE zhongkong_credentials")
	run(f, other, `CREATE TABLE zhongkong_credentials (name PRIMARY KEY, value, seal_key, end_us, life_us, fence, notes,
		top, attempt, lease_end_us, begun_us, unfinished_us, day, fetches)`)
	run(f, other, "PRAGMA synchronous = OFF")
	columns := []string{
		"value", "seal_key", "end_us", "life_us", "fence", "notes",
		"top", "attempt", "lease_end_us", "begun_us", "unfinished_us", "day", "fetches",
	}
	for i := range columns {
		for kind := range uint8(5) {
			f.Add(uint8(i), kind, int64(-1), 1e300, []byte("access_token \xff\x00 令牌"))
		}
		f.Add(uint8(i), uint8(1), int64(1)<<62, 0.0, []byte{})
		f.Add(uint8(i), uint8(1), int64(1), 0.0, []byte{})
	}
	f.Fuzz(func(t *testing.T, column, kind uint8, n int64, x float64, text []byte) {
		now := time.Now().UnixMicro()
		run(t, other, "INSERT OR REPLACE INTO zhongkong_credentials VALUES (?, 'value', '', ?, 7200000000, ?, x'', ?, '', 0, 0, 0, 20000, 3)",
			key.String(), now+3600_000_000, now, now)
		value := []any{nil, n, x, string(text), text}[kind%5]
		name := columns[int(column)%len(columns)]
		run(t, other, "UPDATE zhongkong_credentials SET "+name+" = ?", value)

		record, err := s.Load(t.Context(), key)
		if err == nil &&
			(record.Life < 0 || record.Fence < 0 || !record.End.IsZero() && record.End.UnixMicro() <= 0 || record.End.Year() > 9999) {
			t.Fatalf("Load believes %+v", record)
		}
		// Only a lease that somebody may hold is in the way; here nobody does.
		lease, err := s.Acquire(t.Context(), key, "attempt "+fmt.Sprint(time.Now().UnixNano()), time.Millisecond)
		if err != nil {
			t.Fatalf("with %T in %s: Acquire: %v", value, name, err)
		}
		if err := s.Save(t.Context(), lease, custody.Record{Value: "renewed"}); err != nil {
			t.Fatalf("with %T in %s: Save: %v", value, name, err)
		}
		mustLoad(t, s, "renewed")
	})
}
