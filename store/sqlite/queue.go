package sqlite

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/sqlqueue"
	"github.com/zhongkong-go/zhongkong/store/internal/sqlrows"
)

// queue is the queue in db, at this moment.
func (s *Store) queue(db sqlrows.DB) sqlqueue.Queue {
	return sqlqueue.Queue{Calls: s.statements(db), Ignore: `ON CONFLICT (line, id) DO NOTHING`}
}

// Push implements [store.Queue].
func (s *Store) Push(ctx context.Context, deliveries []store.Delivery) error {
	if err := store.CheckPush(deliveries); err != nil {
		return err
	}
	return s.write(ctx, false, func(ctx context.Context, tx *tx) error { return s.queue(tx).Push(ctx, deliveries) })
}

// Turn implements [store.Queue].
func (s *Store) Turn(ctx context.Context, line, id, owner string) (turn, waits bool, err error) {
	if err := store.CheckDelivery(line, id, owner); err != nil {
		return false, false, err
	}
	err = s.queued(ctx, func(ctx context.Context, q sqlqueue.Queue) (err error) {
		turn, waits, err = q.Turn(ctx, line, id, owner)
		return err
	})
	return turn && err == nil, waits && err == nil, err
}

// Lend implements [store.Queue].
func (s *Store) Lend(ctx context.Context, line, owner string, lease time.Duration, most int) (lent []store.Delivery, err error) {
	if err := store.CheckDelivery(line, "", owner); err != nil {
		return nil, err
	}
	err = s.write(ctx, false, func(ctx context.Context, tx *tx) (err error) {
		lent, err = s.queue(tx).Lend(ctx, line, owner, lease, most)
		return err
	})
	if err != nil {
		return nil, err
	}
	return lent, nil
}

// Done implements [store.Queue].
func (s *Store) Done(ctx context.Context, line, id string) error {
	if err := store.CheckDelivery(line, id, ""); err != nil {
		return err
	}
	return s.write(ctx, false, func(ctx context.Context, tx *tx) error { return s.queue(tx).Done(ctx, line, id) })
}

// Later implements [store.Queue].
func (s *Store) Later(ctx context.Context, line, id, owner string, wait time.Duration) error {
	if err := store.CheckDelivery(line, id, owner); err != nil {
		return err
	}
	return s.write(ctx, false, func(ctx context.Context, tx *tx) error { return s.queue(tx).Later(ctx, line, id, owner, wait) })
}

// Lines implements [store.Queue].
func (s *Store) Lines(ctx context.Context) (lines []store.Line, err error) {
	err = s.queued(ctx, func(ctx context.Context, q sqlqueue.Queue) (err error) {
		lines, err = q.Lines(ctx)
		return err
	})
	return lines, err
}

// Trim implements [store.Queue].
func (s *Store) Trim(ctx context.Context, line string, keep time.Duration, most int) (dropped int, err error) {
	if err := store.CheckDelivery(line, "", ""); err != nil {
		return 0, err
	}
	err = s.write(ctx, false, func(ctx context.Context, tx *tx) (err error) {
		dropped, err = s.queue(tx).Trim(ctx, line, keep, most)
		return err
	})
	if err != nil {
		return 0, err
	}
	return dropped, nil
}

// queued is a call that only reads.
func (s *Store) queued(ctx context.Context, do func(ctx context.Context, q sqlqueue.Queue) error) error {
	return s.read(ctx, func(ctx context.Context, db *sqlx.DB) error { return do(ctx, s.queue(db)) })
}
