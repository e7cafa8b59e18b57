package remote

import (
	"context"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

// Queue implements [store.Queue] beside a [Store], over an engine that keeps the
// same contract. Every call may be repeated: a Lend whose answer was lost lends what
// comes back when its lease is over.
type Queue struct {
	store  *Store
	engine store.Queue

	between func(err error) bool // somebody came between, and it may be tried again
	explain func(err error) error
}

// NewQueue returns the queue of a store. engine's errors are those of a driver, which
// between and explain know; both may be nil.
func NewQueue(store *Store, engine store.Queue, between func(error) bool, explain func(error) error) *Queue {
	return &Queue{store, engine, between, explain}
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
	_, err := queued(ctx, q, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, q.engine.Push(ctx, deliveries)
	})
	return err
}

// Turn implements [store.Queue].
func (q *Queue) Turn(ctx context.Context, line, id, owner string) (turn, waits bool, err error) {
	if err := store.CheckDelivery(line, id, owner); err != nil {
		return false, false, err
	}
	answer, err := queued(ctx, q, func(ctx context.Context) (a [2]bool, err error) {
		a[0], a[1], err = q.engine.Turn(ctx, line, id, owner)
		return a, err
	})
	return answer[0], answer[1], err
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
	_, err := queued(ctx, q, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, q.engine.Done(ctx, line, id)
	})
	return err
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
