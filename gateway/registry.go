package gateway

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/zhongkong-go/zhongkong/store"
)

const (
	lookEvery   = 2 * time.Second // for changes of clients; with lookTimeout, less than the 5 s that are promised
	lookTimeout = 2 * time.Second
	probeEvery  = 30 * time.Second // at most one probe that clients cause, of each account, over all gateways
)

// client is a Client at work.
type client struct {
	Client

	id      clientID
	keys    []liveKey
	all     bool
	account map[string]bool
	paths   pathList
	limiter *rate.Limiter // nil: no limit
	given   *sync.Map     // appid → *atomic.Int64, when the last token was handed out in Unix nanoseconds
	use     *use
}

type liveKey struct {
	hash  keyHash
	until time.Time // zero: no end
}

// hashes returns those of the keys that live at now.
func (c *client) hashes(now time.Time) []keyHash {
	live := make([]keyHash, 0, 2)
	c.eachHash(now, func(hash keyHash) { live = append(live, hash) })
	return live
}

// eachHash calls do with the hash of each key that lives at now.
func (c *client) eachHash(now time.Time, do func(keyHash)) {
	if c == nil || !c.Ends.IsZero() && !now.Before(c.Ends) {
		return
	}
	for _, key := range c.keys {
		if key.until.IsZero() || now.Before(key.until) {
			do(key.hash)
		}
	}
}

// fetched reports whether the client fetched a token of the account less than
// askedAgain ago, and remembers that it does now.
func (c *client) fetched(appID string, now time.Time) bool {
	last, known := c.given.Load(appID)
	if !known {
		last, _ = c.given.LoadOrStore(appID, new(atomic.Int64))
	}
	before := last.(*atomic.Int64).Swap(now.UnixNano())
	return now.UnixNano()-before < int64(askedAgain)
}

func (c *client) uses(appID string) bool { return c.all || c.account[appID] }

// registry knows the clients of the store, as of a moment ago.
type registry struct {
	ledger   store.Ledger
	accounts func(store.Document) // is given the admin API's accounts when they change
	changed  func()               // is told of every change of clients
	log      *slog.Logger

	clients atomic.Pointer[map[clientID]*client]
	loaded  atomic.Bool // the store has answered once: whoever is not among clients is none

	looking sync.Mutex // guards what follows, and is held while the store is asked
	version int64      // the highest that was seen
	names   map[string]clientID
	away    bool // the store did not answer; said once

	mu     sync.Mutex       // guards what follows
	probes map[string]probe // by appid
}

// probe is when this process saw that an account was probed because of a client.
type probe struct {
	version int64
	seen    time.Time
}

func newRegistry(ledger store.Ledger, accounts func(store.Document), log *slog.Logger) *registry {
	r := &registry{ledger: ledger, accounts: accounts, changed: func() {}, log: log, names: map[string]clientID{}, probes: map[string]probe{}}
	r.clients.Store(&map[clientID]*client{})
	return r
}

// run looks for changes until ctx ends.
func (r *registry) run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.look(ctx)
		}
	}
}

// look reads what changed since the last look.
func (r *registry) look(ctx context.Context) {
	r.looking.Lock()
	defer r.looking.Unlock()
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	docs, err := r.ledger.Documents(limited, r.version)
	cancel()
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		if !r.away {
			r.log.Warn("clients cannot be looked up: those known go on, and a revocation is not seen until the store answers", "error", err)
		}
		r.away = true
		return
	case r.away:
		r.away = false
		r.log.Info("clients can be looked up again")
	}
	if len(docs) == 0 {
		r.loaded.Store(true)
		return
	}
	clients := maps.Clone(*r.clients.Load())
	for _, doc := range docs {
		r.version = max(r.version, doc.Version)
		switch doc.Kind {
		case kindProbe:
			r.probed(doc.Name, doc.Version)
		case kindAccounts:
			r.accounts(doc)
		case kindClient:
			r.take(clients, doc)
		}
	}
	r.clients.Store(&clients)
	r.loaded.Store(true)
	r.changed()
}

// take puts a changed client into clients.
func (r *registry) take(clients map[clientID]*client, doc store.Document) {
	before, known := r.names[doc.Name]
	old := clients[before]
	if known {
		delete(clients, before)
		delete(r.names, doc.Name)
	}
	if doc.Body == nil {
		return
	}
	c, err := newClient(doc)
	if err != nil {
		r.log.Warn("a stored client cannot be used", "client", doc.Name, "error", err)
		return
	}
	if old != nil && old.id == c.id {
		c.given, c.use = old.given, old.use
		if old.Rate == c.Rate {
			c.limiter = old.limiter
		}
	}
	clients[c.id], r.names[doc.Name] = c, c.id
}

func newClient(doc store.Document) (*client, error) {
	stored, err := readClient(doc)
	if err != nil {
		return nil, err
	}
	if err := stored.validate(); err != nil {
		return nil, err
	}
	c := &client{Client: stored.Client, account: map[string]bool{}, given: new(sync.Map), use: new(use)}
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
	if c.Rate > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(c.Rate), max(1, int(c.Rate)))
	}
	return c, nil
}

// find returns the client that id names, nil when there is none.
func (r *registry) find(id clientID) *client { return (*r.clients.Load())[id] }

// byKey returns the client to whom the key belongs, and the key's hash.
func (r *registry) byKey(text string, now time.Time) (*client, keyHash, bool) {
	id, ok := parseKey(text)
	hash := hashKey(text)
	c := r.find(id)
	found := false
	c.eachHash(now, func(live keyHash) { found = subtle.ConstantTimeCompare(live[:], hash[:]) == 1 || found })
	return c, hash, ok && found
}

// probed remembers a probe of whichever gateway. What was seen first counts: then it
// can be no older.
func (r *registry) probed(appID string, version int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if version > r.probes[appID].version {
		r.probes[appID] = probe{version, time.Now()}
	}
}

// lastProbe returns the last probe that was seen, and whether the next has to wait.
func (r *registry) lastProbe(appID string) (last probe, lately bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last = r.probes[appID]
	return last, last.version != 0 && time.Since(last.seen) < probeEvery
}

// mayProbe reports whether this gateway is the one to probe an account now because
// of a client: at most one of all does, in 30 s. Without a store nobody does.
func (r *registry) mayProbe(ctx context.Context, appID string) bool {
	last, lately := r.lastProbe(appID)
	if lately {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	version, err := r.ledger.Put(ctx, store.Document{Kind: kindProbe, Name: appID, Body: []byte("{}"), Version: last.version})
	if err != nil {
		return false // another gateway was first, or nobody knows
	}
	r.probed(appID, version)
	return true
}
