package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

// queue is the line of one receiver. Its times are of the monotonic clock.
type queue struct {
	items map[string]*store.Waiting   // by id
	lanes map[string][]*store.Waiting // in order, none empty
}

func (l *queue) first(w *store.Waiting) bool { return l.lanes[w.Lane][0] == w }

func (l *queue) remove(w *store.Waiting) {
	delete(l.items, w.ID)
	lane := slices.DeleteFunc(l.lanes[w.Lane], func(other *store.Waiting) bool { return other == w })
	if l.lanes[w.Lane] = lane; len(lane) == 0 {
		delete(l.lanes, w.Lane)
	}
}

// Push implements [store.Queue].
func (s *Store) Push(ctx context.Context, deliveries []store.Delivery) error {
	if err := store.CheckPush(deliveries); err != nil {
		return err
	}
	return s.do(ctx, func(now moment) error {
		for _, d := range deliveries {
			l := s.lines[d.Line]
			if l == nil {
				l = &queue{items: map[string]*store.Waiting{}, lanes: map[string][]*store.Waiting{}}
				s.lines[d.Line] = l
			}
			if l.items[d.ID] != nil {
				continue
			}
			s.pushed++
			w := d.Push(now.us(), s.pushed)
			w.Body, w.Pushed = bytes.Clone(d.Body), now.time
			l.items[d.ID] = &w
			l.lanes[d.Lane] = append(l.lanes[d.Lane], &w)
		}
		return nil
	})
}

// Turn implements [store.Queue].
func (s *Store) Turn(ctx context.Context, line, id, owner string) (turn, waits bool, err error) {
	if err := store.CheckDelivery(line, id, owner); err != nil {
		return false, false, err
	}
	err = s.queued(ctx, line, func(_ moment, l *queue) error {
		if w := l.items[id]; w != nil {
			turn, waits = w.Owner == owner && l.first(w), true
		}
		return nil
	})
	return turn, waits, err
}

// Lend implements [store.Queue].
func (s *Store) Lend(ctx context.Context, line, owner string, lease time.Duration, most int) ([]store.Delivery, error) {
	if err := store.CheckDelivery(line, "", owner); err != nil {
		return nil, err
	}
	var lent []store.Delivery
	err := s.queued(ctx, line, func(now moment, l *queue) error {
		var free []*store.Waiting
		for _, lane := range l.lanes {
			if lane[0].Free(now.us()) {
				free = append(free, lane[0])
			}
		}
		slices.SortFunc(free, (*store.Waiting).Before)
		for _, w := range free[:min(len(free), max(most, 0))] {
			d := w.Lend(now.us(), owner, lease)
			d.Body = bytes.Clone(d.Body)
			lent = append(lent, d)
		}
		return nil
	})
	return lent, err
}

// Done implements [store.Queue].
func (s *Store) Done(ctx context.Context, line, id string) error {
	if err := store.CheckDelivery(line, id, ""); err != nil {
		return err
	}
	return s.queued(ctx, line, func(_ moment, l *queue) error {
		if w := l.items[id]; w != nil {
			l.remove(w)
		}
		return nil
	})
}

// Later implements [store.Queue].
func (s *Store) Later(ctx context.Context, line, id, owner string, wait time.Duration) error {
	if err := store.CheckDelivery(line, id, owner); err != nil {
		return err
	}
	return s.queued(ctx, line, func(now moment, l *queue) error {
		if w := l.items[id]; w != nil {
			w.Later(now.us(), owner, wait)
		}
		return nil
	})
}

// Lines implements [store.Queue].
func (s *Store) Lines(ctx context.Context) ([]store.Line, error) {
	var lines []store.Line
	err := s.do(ctx, func(now moment) error {
		for name, l := range s.lines {
			if len(l.items) == 0 {
				delete(s.lines, name)
				continue
			}
			lines = append(lines, store.LineOf(name, now.us(), maps.Values(l.items)))
		}
		slices.SortFunc(lines, func(a, b store.Line) int { return cmp.Compare(a.Name, b.Name) })
		return nil
	})
	return lines, err
}

// Trim implements [store.Queue].
func (s *Store) Trim(ctx context.Context, line string, keep time.Duration, most int) (dropped int, err error) {
	if err := store.CheckDelivery(line, "", ""); err != nil {
		return 0, err
	}
	err = s.queued(ctx, line, func(now moment, l *queue) error {
		all := slices.SortedFunc(maps.Values(l.items), func(a, b *store.Waiting) int { return cmp.Compare(a.Place, b.Place) })
		for n, w := range all {
			if w.Over(now.us(), keep, len(all)-1-n, most) {
				l.remove(w)
				dropped++
			}
		}
		return nil
	})
	return dropped, err
}

// queued is do for a line in which something waits.
func (s *Store) queued(ctx context.Context, name string, f func(now moment, l *queue) error) error {
	return s.do(ctx, func(now moment) error {
		if l := s.lines[name]; l != nil {
			return f(now, l)
		}
		return nil
	})
}
