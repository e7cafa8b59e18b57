package fanout

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// Status is what waits for one subscriber, in the store, and how it goes with it
// at this gateway.
type Status struct {
	AppID      string
	Subscriber string
	Title      string // of the subscriber, for people
	Configured bool   // false: it was taken away, and what waits for it is dropped in the end

	Waiting int           // pushes that it has not taken, those that are under way too
	Oldest  time.Duration // the age of the first of them

	Down    bool   // it takes nothing; everything waits
	Failure string // the last one, "" since a success; never a secret

	// Counts of this gateway since its start. A push that was delivered twice counts
	// twice.
	Delivered uint64
	Failed    uint64
	Late      uint64 // of the first subscriber: the follower got no answer
	Dropped   uint64 // 3 days old, or too many
}

// Queues returns what waits for each subscriber, and for those that were taken away,
// in the order of appids and names. When the store does not answer, its error comes
// with what this gateway knows.
func (f *Fanout) Queues(ctx context.Context) ([]Status, error) {
	waiting, err := f.store.Lines(ctx)
	if err != nil {
		err = named.Errorf("gateway", "the store does not tell what waits: %w", err)
	}
	all := map[string]Status{}
	f.mu.Lock()
	for name, l := range f.lines {
		all[name] = l.status(name)
	}
	f.mu.Unlock()
	for _, of := range waiting {
		s, configured := all[of.Name]
		if !configured {
			s = nameLine(of.Name)
		}
		s.Waiting, s.Oldest = of.Waiting, of.Oldest
		all[of.Name] = s
	}
	list := make([]Status, 0, len(all))
	for _, s := range all {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.AppID, b.AppID), cmp.Compare(a.Subscriber, b.Subscriber))
	})
	return list, err
}

func nameLine(name string) (s Status) {
	s.AppID, s.Subscriber, _ = strings.Cut(name, "/")
	return s
}

func (l *line) status(name string) Status {
	s := nameLine(name)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sub != nil {
		s.Title = l.sub.Title
	}
	s.Configured, s.Down, s.Failure = true, l.failing > 0, l.failure
	s.Delivered, s.Failed, s.Late, s.Dropped = l.counts.delivered, l.counts.failed, l.counts.late, l.counts.dropped
	return s
}
