package memory

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

var _ store.Queue = (*Store)(nil)

// queue is the line of one receiver.
type queue struct {
	items map[string]*item   // by id
	lanes map[string][]*item // in order, none empty
}

// item is a delivery that waits. Its times are of the monotonic clock.
type item struct {
	store.Delivery

	place  int // in the order of Push
	pushed time.Duration
	free   time.Duration
}

func (l *queue) first(i *item) bool { return l.lanes[i.Lane][0] == i }

func (l *queue) remove(i *item) {
	delete(l.items, i.ID)
	lane := slices.DeleteFunc(l.lanes[i.Lane], func(other *item) bool { return other == i })
	if l.lanes[i.Lane] = lane; len(lane) == 0 {
		delete(l.lanes, i.Lane)
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
				l = &queue{items: map[string]*item{}, lanes: map[string][]*item{}}
				s.lines[d.Line] = l
			}
			if l.items[d.ID] != nil {
				continue
			}
			s.pushed++
			i := &item{Delivery: d, place: s.pushed, pushed: now.mono, free: now.mono + d.Wait}
			i.Body, i.Pushed, i.Attempts = bytes.Clone(d.Body), now.time, 0
			l.items[d.ID] = i
			l.lanes[d.Lane] = append(l.lanes[d.Lane], i)
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
		if i := l.items[id]; i != nil {
			turn, waits = i.Owner == owner && l.first(i), true
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
		var free []*item
		for _, lane := range l.lanes {
			if lane[0].free <= now.mono {
				free = append(free, lane[0])
			}
		}
		slices.SortFunc(free, func(a, b *item) int {
			return cmp.Or(cmp.Compare(a.free, b.free), cmp.Compare(a.place, b.place))
		})
		for _, i := range free[:min(len(free), max(most, 0))] {
			i.Owner, i.free = owner, now.mono+lease
			i.Attempts++
			d := i.Delivery
			d.Body, d.Wait = bytes.Clone(d.Body), 0
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
		if i := l.items[id]; i != nil {
			l.remove(i)
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
		if i := l.items[id]; i != nil && i.Owner == owner {
			i.Owner, i.free = "", now.mono+wait
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
			of := store.Line{Name: name, Waiting: len(l.items), Free: time.Duration(1<<63 - 1)}
			for _, i := range l.items {
				of.Oldest = max(of.Oldest, now.mono-i.pushed)
				of.Free = min(of.Free, max(0, i.free-now.mono))
			}
			lines = append(lines, of)
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
		all := make([]*item, 0, len(l.items))
		for _, i := range l.items {
			all = append(all, i)
		}
		slices.SortFunc(all, func(a, b *item) int { return cmp.Compare(a.place, b.place) })
		for n, i := range all {
			if now.mono-i.pushed > keep || len(all)-n > most {
				l.remove(i)
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
