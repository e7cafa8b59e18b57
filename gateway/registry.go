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
	lookEvery    = 2 * time.Second // for changes of clients; with lookTimeout, less than the 5 s that are promised
	lookTimeout  = 2 * time.Second
	missEvery    = time.Second // between the beginnings of two looks that unknown keys cause, all of them together
	missPatience = time.Second // of a caller whose key is unknown, while the store is read
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
	streams *atomic.Int64 // of events, that are open
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
	accounts func(store.Document) // receives the admin API's accounts when they change
	changed  func()               // is called after every change of clients
	log      *slog.Logger

	clients atomic.Pointer[map[clientID]*client]
	loaded  atomic.Bool // the store has answered once: an id that is not among clients is nobody's

	looking sync.Mutex // guards what follows, and is held while the store is read
	version int64      // the highest that was seen
	names   map[string]clientID
	away    bool // the store did not answer; said once

	wanted chan struct{} // one place: run is to look now
	mu     sync.Mutex    // guards what follows
	began  time.Time     // of the last look, whatever came of it
	coming chan struct{} // closed at the end of the look that is wanted or under way; nil when there is none
}

func newRegistry(ledger store.Ledger, accounts func(store.Document), log *slog.Logger) *registry {
	r := &registry{
		ledger: ledger, accounts: accounts, changed: func() {}, log: log,
		names: map[string]clientID{}, wanted: make(chan struct{}, 1),
	}
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
		case <-r.wanted:
		}
		r.look(ctx)
	}
}

// refresh reads the store before a caller is refused for something that this gateway
// does not know, unless that was done less than a second ago: a client that another
// gateway has just added or rotated is in the store. All waiting callers share one look,
// so that unknown keys, however many, cost the store one look a second. A store that
// does not answer keeps a caller for missPatience.
func (r *registry) refresh(ctx context.Context) {
	r.mu.Lock()
	if r.coming == nil && time.Since(r.began) < missEvery {
		r.mu.Unlock()
		return
	}
	if r.coming == nil {
		r.coming = make(chan struct{})
		select {
		case r.wanted <- struct{}{}:
		default: // run is about to look
		}
	}
	coming := r.coming
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, missPatience)
	defer cancel()
	select {
	case <-coming:
	case <-ctx.Done():
	}
}

// begin marks the beginning of a look, and returns what marks its end. One that its
// caller gave up counts as none.
func (r *registry) begin(ctx context.Context) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.wanted: // this look is the one
	default:
	}
	if r.coming == nil {
		r.coming = make(chan struct{})
	}
	r.began = time.Now()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if ctx.Err() != nil {
			r.began = time.Time{}
		}
		close(r.coming)
		r.coming = nil
	}
}

// look reads what changed since the last look.
func (r *registry) look(ctx context.Context) {
	r.looking.Lock()
	defer r.looking.Unlock()
	defer r.begin(ctx)()
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	docs, err := r.ledger.Documents(limited, r.version)
	cancel()
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		if !r.away {
			r.log.Warn("clients cannot be looked up: those known continue to work, and a revocation is not seen until the store answers", "error", err)
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
		c.given, c.use, c.streams = old.given, old.use, old.streams
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
	c := &client{Client: stored.Client, account: map[string]bool{}, given: new(sync.Map), use: new(use), streams: new(atomic.Int64)}
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

// byKey returns the client to which the key belongs, and the key's hash. Before it
// returns none for what has the shape of a key, the store is read.
func (r *registry) byKey(ctx context.Context, text string, now time.Time) (c *client, hash keyHash, found bool) {
	id, ok := parseKey(text)
	hash = hashKey(text)
	if c, found = r.match(id, hash, now); !ok || found {
		return c, hash, ok && found
	}
	r.refresh(ctx)
	c, found = r.match(id, hash, now)
	return c, hash, found
}

func (r *registry) match(id clientID, hash keyHash, now time.Time) (c *client, found bool) {
	c = r.find(id)
	c.eachHash(now, func(live keyHash) { found = subtle.ConstantTimeCompare(live[:], hash[:]) == 1 || found })
	return c, found
}
