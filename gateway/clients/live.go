package clients

import (
	"crypto/subtle"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/store"
)

// askedAgain is how soon a program asks again that may have met a refusal.
const askedAgain = 30 * time.Second

// Live is a client at work.
type Live struct {
	Client

	id      ID
	keys    []liveKey
	all     bool
	account map[string]bool
	paths   pathList
	limiter *rate.Limiter // nil: no limit
	login   *login.Client // nil: it has no return addresses
	trail   *trail
}

// trail is what a client leaves at this gateway. It outlives changes of the client.
type trail struct {
	given   sync.Map     // appid → *atomic.Int64, when the last token was handed out in Unix nanoseconds
	streams atomic.Int64 // of events, that are open
	calls   atomic.Uint64
	last    atomic.Int64 // ns since 1970; 0 for never
}

type liveKey struct {
	hash  Hash
	until time.Time // zero: no end
}

// ID returns by what keys and tokens name the client.
func (c *Live) ID() ID { return c.id }

// hashes returns those of the keys that live at now.
func (c *Live) hashes(now time.Time) []Hash {
	live := make([]Hash, 0, 2)
	c.eachHash(now, func(hash Hash) { live = append(live, hash) })
	return live
}

// eachHash calls do with the hash of each key that lives at now.
func (c *Live) eachHash(now time.Time, do func(Hash)) {
	if c == nil || !c.alive(now) {
		return
	}
	for _, key := range c.keys {
		if key.until.IsZero() || now.Before(key.until) {
			do(key.hash)
		}
	}
}

// alive reports whether the client has not ended at now.
func (c *Live) alive(now time.Time) bool { return !c.over(now) }

// Has reports whether the key with that hash lives at now.
func (c *Live) Has(key Hash, now time.Time) (found bool) {
	c.eachHash(now, func(live Hash) { found = subtle.ConstantTimeCompare(live[:], key[:]) == 1 || found })
	return found
}

// Uses reports whether the client may use an account.
func (c *Live) Uses(appID string) bool { return c.all || c.account[appID] }

// Allows reports whether the client may call a path that [CleanPath] takes.
func (c *Live) Allows(path string) bool { return c.paths.allows(path) }

// Admit reports whether the client is within its rate, and counts the call.
func (c *Live) Admit() bool { return c.limiter == nil || c.limiter.Allow() }

// Fetched reports whether the client fetched a token of the account less than 30 s ago,
// and remembers that it does now.
func (c *Live) Fetched(appID string, now time.Time) bool {
	last, known := c.trail.given.Load(appID)
	if !known {
		last, _ = c.trail.given.LoadOrStore(appID, new(atomic.Int64))
	}
	before := last.(*atomic.Int64).Swap(now.UnixNano())
	return now.UnixNano()-before < int64(askedAgain)
}

// Listen takes one of the client's streams, of which there are at most so many. Whoever
// has got one calls Leave.
func (c *Live) Listen(most int64) bool {
	if c.trail.streams.Add(1) > most {
		c.trail.streams.Add(-1)
		return false
	}
	return true
}

// Leave gives a stream back.
func (c *Live) Leave() { c.trail.streams.Add(-1) }

// Count counts a call that ended at now.
func (c *Live) Count(now time.Time) {
	c.trail.calls.Add(1)
	c.trail.last.Store(now.UnixNano())
}

// Counted returns how many calls were counted, and when the last one ended; zero when
// there was none.
func (c *Live) Counted() (calls uint64, last time.Time) {
	if ns := c.trail.last.Load(); ns != 0 {
		last = time.Unix(0, ns)
	}
	return c.trail.calls.Load(), last
}

// newLive returns the client of a document.
func newLive(doc store.Document) (*Live, error) {
	stored, err := readClient(doc)
	if err != nil {
		return nil, err
	}
	if err := stored.validate(); err != nil {
		return nil, err
	}
	stored.Title = shape.Shown(stored.Title)
	c := &Live{Client: stored.Client, account: map[string]bool{}, trail: new(trail)}
	if c.id, c.keys, err = stored.parse(); err != nil {
		return nil, err
	}
	for _, account := range c.Accounts {
		c.all = c.all || account == AllAccounts
		c.account[account] = true
	}
	if c.paths, err = newPathList(c.Paths); err != nil {
		return nil, err
	}
	if len(c.Returns) > 0 {
		c.login = &login.Client{ID: login.ID(c.id), Name: c.Name}
		if c.login.Returns, err = weblogin.ParseReturns(c.Returns); err != nil {
			return nil, err
		}
	}
	if c.Rate > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(c.Rate), max(1, int(c.Rate)))
	}
	return c, nil
}
