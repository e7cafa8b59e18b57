package console

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/store"
)

// However many look at the page, the gateway and the store are asked this often.
const (
	accountsAge = 400 * time.Millisecond
	usesAge     = 2 * time.Second
	clientsAge  = 2 * time.Second
	fetchesAge  = 30 * time.Second // also at once, when a token or its failure is another one
	storePause  = 3 * time.Second  // after it did not answer
	storeTime   = 2 * time.Second  // that it is given
	maxUses     = 80               // lines of the journal
	maxFetches  = 1000             // lines of an account's journal, as many as a store keeps
	fewFetches  = 100              // which are enough for a day of most accounts
	maxReads    = 8                // accounts whose journals are read at the same time
	maxJournals = 600              // that are remembered
)

// data is what the page shows, as of a moment ago.
type data struct {
	gateway  *gateway.Gateway
	accounts cached[[]gateway.AccountState]
	uses     cached[[]store.Use]
	clients  cached[[]gateway.Client]
	waiting  cached[queues]

	mu       sync.Mutex // guards what follows
	journals map[string]*journal
	away     time.Time // when the store last did not answer
}

func newData(g *gateway.Gateway) *data { return &data{gateway: g, journals: map[string]*journal{}} }

// cached is an answer that may be a moment old. The mutex is held while it is asked
// for, so that one asks for all.
type cached[T any] struct {
	mu    sync.Mutex // guards what follows
	at    time.Time  // of the last question
	good  time.Time  // of the last answer; zero when there was none
	value T
	err   error // of the last question
}

// get returns the last answer, with when it was given, and why there is no newer one.
func (c *cached[T]) get(age time.Duration, ask func() (T, error)) (T, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.at.IsZero() || now.Sub(c.at) >= age {
		value, err := ask()
		c.at, c.err = time.Now(), err
		if err == nil {
			c.value, c.good = value, c.at
		}
	}
	return c.value, c.good, c.err
}

// forget has the next get ask.
func (c *cached[T]) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = time.Time{}
}

// forget has everything asked for that an act may have changed.
func (d *data) forget() {
	d.accounts.forget()
	d.uses.forget()
	d.clients.forget()
}

// all returns every account's state, in the order of the appids. Nobody changes the
// slice.
func (d *data) all() []gateway.AccountState {
	all, _, _ := d.accounts.get(accountsAge, func() ([]gateway.AccountState, error) { return d.gateway.Accounts(), nil })
	return all
}

// asked bounds a question to the store. It is nobody's request: the answer is for all.
func asked[T any](ask func(ctx context.Context) (T, error)) func() (T, error) {
	return func() (T, error) {
		ctx, cancel := context.WithTimeout(context.Background(), storeTime)
		defer cancel()
		return ask(ctx)
	}
}

// trail returns the newest lines of the gateways' journal.
func (d *data) trail() ([]store.Use, time.Time, error) {
	return d.uses.get(usesAge, asked(func(ctx context.Context) ([]store.Use, error) { return d.gateway.Uses(ctx, maxUses) }))
}

// list returns the clients.
func (d *data) list() ([]gateway.Client, time.Time, error) {
	return d.clients.get(clientsAge, asked(func(ctx context.Context) ([]gateway.Client, error) { return d.gateway.Clients("page").List(ctx) }))
}

// journal is what the store remembers of one account's fetches.
type journal struct {
	read    time.Time // zero: never, or the store did not answer
	good    time.Time // when the store answered last
	fence   int64     // of the token then
	failure string    // what there was then
	entries []custody.Entry
	whole   bool // there are no older entries of the last day
	known   bool
}

// fetches returns the journals of the accounts by appid, read anew where they are old.
// Those that the store does not tell are as they were, or not known.
func (d *data) fetches(accounts []gateway.AccountState) map[string]journal {
	var stale []gateway.AccountState
	now := time.Now()
	d.mu.Lock()
	rest := now.Sub(d.away) < storePause
	for _, a := range accounts {
		j := d.journals[a.Key.AppID]
		if rest || j != nil && now.Sub(j.read) < fetchesAge && j.fence == a.Fence && j.failure == failureOf(a) {
			continue
		}
		claimed := journal{} // nobody else reads it meanwhile
		if j != nil {
			claimed = *j
		}
		claimed.read, claimed.fence, claimed.failure = now, a.Fence, failureOf(a)
		d.journals[a.Key.AppID] = &claimed
		stale = append(stale, a)
	}
	d.mu.Unlock()
	d.read(stale)
	d.mu.Lock()
	defer d.mu.Unlock()
	found := make(map[string]journal, len(accounts))
	for _, a := range accounts {
		if j := d.journals[a.Key.AppID]; j != nil {
			found[a.Key.AppID] = *j
		}
	}
	return found
}

func failureOf(a gateway.AccountState) string {
	if a.Failure == nil {
		return ""
	}
	return a.Failure.Text
}

// read reads journals, some at a time. When the store does not answer, it is left
// alone for a moment.
func (d *data) read(accounts []gateway.AccountState) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	work := make(chan gateway.AccountState)
	var reading sync.WaitGroup
	for range min(maxReads, len(accounts)) {
		reading.Go(func() {
			for a := range work {
				j, err := d.one(ctx, a)
				d.mu.Lock()
				switch {
				case err == nil:
					d.journals[a.Key.AppID] = j
				case !errors.Is(err, gateway.ErrNoAccount):
					d.away = time.Now()
					if claimed := d.journals[a.Key.AppID]; claimed != nil {
						claimed.read = time.Time{}
					}
				}
				d.mu.Unlock()
			}
		})
	}
	for _, a := range accounts {
		work <- a
	}
	close(work)
	reading.Wait()
	d.trim()
}

// one reads the journal of an account, at least as far back as a day.
func (d *data) one(ctx context.Context, a gateway.AccountState) (*journal, error) {
	now := time.Now()
	j := &journal{read: now, good: now, fence: a.Fence, failure: failureOf(a), known: true}
	for _, limit := range []int{fewFetches, maxFetches} {
		entries, err := d.gateway.Fetches(ctx, a.Key.AppID, limit)
		if err != nil {
			return nil, err
		}
		j.entries = entries
		if len(entries) < limit || time.Since(entries[len(entries)-1].At) > day {
			j.whole = true
			break
		}
	}
	return j, nil
}

// trim forgets journals that nobody has looked at for the longest time.
func (d *data) trim() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.journals) <= maxJournals {
		return
	}
	names := make([]string, 0, len(d.journals))
	for name := range d.journals {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return d.journals[a].read.Compare(d.journals[b].read) })
	for _, name := range names[:len(names)-maxJournals/2] {
		delete(d.journals, name)
	}
}

// today counts the fetches that were begun this Beijing day (UTC+8), and reports
// whether there may be more of them.
func (j journal) today(now time.Time) (n int, more bool) {
	beijing := now.UTC().Add(8 * time.Hour)
	midnight := beijing.Truncate(day).Add(-8 * time.Hour)
	for _, e := range j.entries {
		if e.At.Before(midnight) {
			return n, false
		}
		if e.Event == custody.EventBegin {
			n++
		}
	}
	return n, !j.whole
}
