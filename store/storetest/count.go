package storetest

import (
	"context"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// Counts are the calls that passed through a store made by [Count].
type Counts struct {
	mu    sync.Mutex
	calls map[string]int
}

// Total returns how many calls there were, but for Close and Watch, which a
// process makes once.
func (c *Counts) Total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, calls := range c.calls {
		n += calls
	}
	return n
}

// Of returns how many calls of a method there were: Of("Save").
func (c *Counts) Of(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[method]
}

// Reset begins to count anew.
func (c *Counts) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.calls)
}

func (c *Counts) add(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[method]++
}

// Count returns a store that counts the calls on their way to store, with the
// optional abilities that store has and no others. It is for tests of what a
// program costs its store.
func Count(store custody.Store) (custody.Store, *Counts) {
	counts := &Counts{calls: make(map[string]int)}
	s := &counted{Store: store, counts: counts}
	watcher, watches := store.(custody.Watcher)
	journal, writes := store.(custody.Journal)
	j := countedJournal{journal, counts}
	switch {
	case watches && writes:
		return &struct {
			*counted
			custody.Watcher
			countedJournal
		}{s, watcher, j}, counts
	case watches:
		return &struct {
			*counted
			custody.Watcher
		}{s, watcher}, counts
	case writes:
		return &struct {
			*counted
			countedJournal
		}{s, j}, counts
	}
	return s, counts
}

type counted struct {
	custody.Store
	counts *Counts
}

func (s *counted) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	s.counts.add("Load")
	return s.Store.Load(ctx, key)
}

func (s *counted) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	s.counts.add("Acquire")
	return s.Store.Acquire(ctx, key, attempt, ttl)
}

func (s *counted) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	s.counts.add("Begin")
	return s.Store.Begin(ctx, lease, notes)
}

func (s *counted) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	s.counts.add("Save")
	return s.Store.Save(ctx, lease, record)
}

func (s *counted) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	s.counts.add("Release")
	return s.Store.Release(ctx, lease, notes)
}

func (s *counted) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	s.counts.add("Shorten")
	return s.Store.Shorten(ctx, key, fence, end)
}

type countedJournal struct {
	journal custody.Journal
	counts  *Counts
}

func (j countedJournal) Journal(ctx context.Context, key custody.Key, limit int) ([]custody.Entry, error) {
	j.counts.add("Journal")
	return j.journal.Journal(ctx, key, limit)
}
