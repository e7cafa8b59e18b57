package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

// queued starts a write of each name in turn, while nobody may write, and returns when all
// of them wait. Their errors are those of failing; finish lets them go and waits.
func queued(t *testing.T, s *Store, names []string, failing map[string]error) (errs map[string]error, finish func()) {
	t.Helper()
	s.writing <- struct{}{}
	errs = make(map[string]error)
	var mu sync.Mutex
	var calls sync.WaitGroup
	for i, name := range names {
		calls.Go(func() {
			err := s.write(t.Context(), name == "urgent", func(ctx context.Context, tx *tx) error {
				if err := failing["before "+name]; err != nil {
					return err
				}
				_, err := tx.ExecContext(ctx, `INSERT INTO zhongkong_uses (at_us, actor, act, subject, detail) VALUES (CAST(strftime('%s') AS INTEGER) * 1000000, ?, '', '', '')`, name)
				return errors.Join(err, failing[name])
			})
			mu.Lock()
			defer mu.Unlock()
			errs[name] = err
		})
		patience.Until(t, name+" waits", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.waiting) == i+1 })
	}
	return errs, func() { <-s.writing; calls.Wait() }
}

func actors(t *testing.T, s *Store) (names []string) {
	t.Helper()
	uses, err := s.Uses(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, use := range uses {
		names = append([]string{use.Actor}, names...)
	}
	return names
}

// TestBatch: what waits is carried out in one transaction, credentials first, and what
// fails takes nothing else with it.
func TestBatch(t *testing.T) {
	t.Parallel()
	answer, broken := errors.New("held by another"), errors.New("the disk is full, say")
	for name, test := range map[string]struct {
		failing map[string]error
		want    string
	}{
		"AllWork":         {nil, "[urgent a b c]"},
		"FailsBefore":     {map[string]error{"before b": answer}, "[urgent a c]"},
		"FailsAfterwards": {map[string]error{"b": broken}, "[urgent a c]"},
		"TwoFail":         {map[string]error{"before a": answer, "c": broken}, "[urgent b]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newPath(t), nil)
			names := []string{"a", "b", "urgent", "c"}
			errs, finish := queued(t, s, names, test.failing)
			f := s.present()
			batch := s.batch(f)
			if len(batch) != len(names) || !batch[0].urgent {
				t.Errorf("a batch of %d, want %d and the urgent one first", len(batch), len(names))
			}
			s.mu.Lock()
			s.waiting = batch
			s.mu.Unlock()
			finish()
			if got := fmt.Sprint(actors(t, s)); got != test.want {
				t.Errorf("the table has %s, want %s", got, test.want)
			}
			for _, name := range names {
				want := errors.Join(test.failing["before "+name], test.failing[name])
				if (errs[name] == nil) != (want == nil) || want != nil && !errors.Is(errs[name], answer) && !errors.Is(errs[name], broken) {
					t.Errorf("%s: error %v, want %v", name, errs[name], want)
				}
			}
		})
	}
}

// TestBatchIsBounded: a crowd is carried out in several transactions, and nobody is lost.
func TestBatchIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	names := make([]string, batchMost+10)
	for i := range names {
		names[i] = fmt.Sprintf("%04d", i)
	}
	_, finish := queued(t, s, names, nil)
	finish()
	if got := actors(t, s); fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("the table has %d rows, want %d in their order", len(got), len(names))
	}
}

// TestLeaveTheQueue: a call whose ctx ends before its turn changes nothing.
func TestLeaveTheQueue(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), nil)
	s.writing <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := s.write(ctx, false, func(context.Context, *tx) error { t.Error("it is carried out all the same"); return nil })
	if !errors.Is(err, context.DeadlineExceeded) || len(s.waiting) != 0 {
		t.Errorf("error %v, and %d wait", err, len(s.waiting))
	}
	<-s.writing
	save(t, s, "value")
}

// TestFollowersOutliveTheirLeader: the call that carries out a batch gives up on a lock of
// another program, and the others' changes are made when the lock is gone.
func TestFollowersOutliveTheirLeader(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, nil)
	other := raw(t, path)
	run(t, other, "BEGIN IMMEDIATE")
	insert := func(ctx context.Context, name string) error {
		return s.write(ctx, false, func(ctx context.Context, tx *tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO zhongkong_uses (at_us, actor, act, subject, detail) VALUES (CAST(strftime('%s') AS INTEGER) * 1000000, ?, '', '', '')`, name)
			return err
		})
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var calls sync.WaitGroup
	calls.Go(func() {
		if err := insert(short, "leader"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the leader's error is %v", err)
		}
	})
	patience.Until(t, "the leader waits for the lock", func() bool { return len(s.writing) == 1 })
	calls.Go(func() {
		if err := insert(t.Context(), "follower"); err != nil {
			t.Error(err)
		}
	})
	<-short.Done()
	patience.Until(t, "the follower leads", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) == 0 && len(s.writing) == 1
	})
	run(t, other, "COMMIT")
	calls.Wait()
	if got := fmt.Sprint(actors(t, s)); got != "[follower]" {
		t.Errorf("the table has %s", got)
	}
}

// TestLockedIsTheLeadersError: of operations that a lock kept out, each in a transaction of
// its own too, only the leader's fails; the others wait again.
func TestLockedIsTheLeadersError(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, nil)
	mustLoad(t, s, "")
	run(t, raw(t, path), "BEGIN IMMEDIATE")
	nothing := func(context.Context, *tx) error { return nil }
	var ops []*operation
	for range 3 {
		ops = append(ops, &operation{f: s.present(), ctx: t.Context(), do: nothing, done: make(chan struct{})})
	}
	leader, other, last := ops[0], ops[1], ops[2]
	locked := s.present().transact(ops[:1])
	if codeOf(locked) != busy {
		t.Fatalf("a transaction next to a lock: %v", locked)
	}
	s.settle(leader, []*operation{other}, locked) // alone
	s.settle(leader, []*operation{leader, last}, locked)
	if leader.err == nil || len(s.waiting) != 2 || s.waiting[0] != last || s.waiting[1] != other {
		t.Errorf("the leader's error is %v, and %d wait", leader.err, len(s.waiting))
	}
	for _, op := range ops[1:] {
		select {
		case <-op.done:
			t.Error("an operation that was not carried out has ended")
		default:
		}
	}
	s.waiting = nil
}
