package remote

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

// QueueEngine is [store.Queue] and can do several calls in one.
type QueueEngine interface {
	store.Queue

	// DoneAll is Done of each.
	DoneAll(ctx context.Context, deliveries []store.Delivery) error

	// TurnAll is Turn of each.
	TurnAll(ctx context.Context, turns []*Turn) error
}

// Turn is what Turn of [store.Queue] asks, and the answer.
type Turn struct {
	Line, ID, Owner string

	Is    bool // it is Owner's turn
	Waits bool
}

// Queue implements [store.Queue] next to a [Store], over an engine that keeps the
// same contract. Every call may be repeated: a Lend whose answer was lost lends what
// comes back when its lease has ended.
type Queue struct {
	store  *Store
	engine QueueEngine
	pushes group[[]store.Delivery]
	turns  group[*Turn]
	ends   group[store.Delivery]

	between func(err error) bool // somebody came between, and it may be tried again
	explain func(err error) error
}

// NewQueue returns the queue of a store. engine's errors are those of a driver, which
// between and explain know; both may be nil.
func NewQueue(s *Store, engine QueueEngine, between func(error) bool, explain func(error) error) *Queue {
	late := s.late()
	q := &Queue{store: s, engine: engine, between: between, explain: explain}
	q.pushes.late, q.turns.late, q.ends.late = late, late, late
	q.pushes.run = func(ctx context.Context, pushes [][]store.Delivery) error {
		return q.change(ctx, func(ctx context.Context) error { return engine.Push(ctx, slices.Concat(pushes...)) })
	}
	q.pushes.fits = func(pushes [][]store.Delivery, next []store.Delivery) bool {
		n, size := len(next), sizeOf(next)
		for _, push := range pushes {
			n, size = n+len(push), size+sizeOf(push)
		}
		return n <= store.MaxPush && size <= mergeMost
	}
	q.turns.run = func(ctx context.Context, turns []*Turn) error {
		asked := make([]*Turn, len(turns)) // a call that was given up may still write into its own
		for i, t := range turns {
			asked[i] = &Turn{Line: t.Line, ID: t.ID, Owner: t.Owner}
		}
		err := q.change(ctx, func(ctx context.Context) error { return engine.TurnAll(ctx, asked) })
		for i, t := range asked {
			if err == nil {
				turns[i].Is, turns[i].Waits = t.Is, t.Waits
			}
		}
		return err
	}
	q.turns.fits = func(turns []*Turn, _ *Turn) bool { return len(turns) < store.MaxPush }
	q.ends.run = func(ctx context.Context, ends []store.Delivery) error {
		return q.change(ctx, func(ctx context.Context) error { return engine.DoneAll(ctx, ends) })
	}
	q.ends.fits = func(ends []store.Delivery, _ store.Delivery) bool { return len(ends) < store.MaxPush }
	return q
}

// mergeMost bounds the bytes of bodies that go together: servers bound a statement, MySQL
// by max_allowed_packet.
const mergeMost = 1 << 20

func sizeOf(deliveries []store.Delivery) (sum int) {
	for _, d := range deliveries {
		sum += len(d.Body)
	}
	return sum
}

// change makes one call for several callers.
func (q *Queue) change(ctx context.Context, do func(ctx context.Context) error) error {
	_, err := queued(ctx, q, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return err
}

// tries is how often a call is made that others come between.
const tries = 10

// queued makes one call.
func queued[T any](ctx context.Context, q *Queue, do func(ctx context.Context) (T, error)) (T, error) {
	return call(ctx, q.store, func(ctx context.Context) (T, error) {
		return again(ctx, func() (answer T, err error) {
			for n := range tries {
				answer, err = do(ctx)
				if err == nil || q.between == nil || !q.between(err) || sleep(ctx, time.Millisecond<<n) != nil {
					break
				}
			}
			if q.explain != nil {
				err = q.explain(err)
			}
			return answer, err
		})
	})
}

// Push implements [store.Queue].
func (q *Queue) Push(ctx context.Context, deliveries []store.Delivery) error {
	if err := store.CheckPush(deliveries); err != nil {
		return err
	}
	own := slices.Clone(deliveries)
	for i := range own {
		own[i].Body = bytes.Clone(own[i].Body) // the caller may leave before it is written
	}
	return q.pushes.do(ctx, own)
}

// Turn implements [store.Queue].
func (q *Queue) Turn(ctx context.Context, line, id, owner string) (turn, waits bool, err error) {
	if err := store.CheckDelivery(line, id, owner); err != nil {
		return false, false, err
	}
	asked := &Turn{Line: line, ID: id, Owner: owner}
	if err := q.turns.do(ctx, asked); err != nil {
		return false, false, err
	}
	return asked.Is, asked.Waits, nil
}

// Lend implements [store.Queue].
func (q *Queue) Lend(ctx context.Context, line, owner string, lease time.Duration, most int) ([]store.Delivery, error) {
	if err := store.CheckDelivery(line, "", owner); err != nil {
		return nil, err
	}
	return queued(ctx, q, func(ctx context.Context) ([]store.Delivery, error) {
		return q.engine.Lend(ctx, line, owner, lease, most)
	})
}

// Done implements [store.Queue].
func (q *Queue) Done(ctx context.Context, line, id string) error {
	if err := store.CheckDelivery(line, id, ""); err != nil {
		return err
	}
	return q.ends.do(ctx, store.Delivery{Line: line, ID: id})
}

// Later implements [store.Queue].
func (q *Queue) Later(ctx context.Context, line, id, owner string, wait time.Duration) error {
	if err := store.CheckDelivery(line, id, owner); err != nil {
		return err
	}
	_, err := queued(ctx, q, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, q.engine.Later(ctx, line, id, owner, wait)
	})
	return err
}

// Lines implements [store.Queue].
func (q *Queue) Lines(ctx context.Context) ([]store.Line, error) {
	return queued(ctx, q, q.engine.Lines)
}

// Trim implements [store.Queue].
func (q *Queue) Trim(ctx context.Context, line string, keep time.Duration, most int) (int, error) {
	if err := store.CheckDelivery(line, "", ""); err != nil {
		return 0, err
	}
	return queued(ctx, q, func(ctx context.Context) (int, error) { return q.engine.Trim(ctx, line, keep, most) })
}
