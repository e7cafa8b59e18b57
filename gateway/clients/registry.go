package clients

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/store"
)

const (
	lookEvery    = 2 * time.Second // for changes of clients; with lookTimeout, less than the 5 s that are promised
	lookTimeout  = 2 * time.Second // of one look
	missEvery    = time.Second     // between the beginnings of two looks that unknown keys cause, all of them together
	missPatience = time.Second     // of a caller whose key is unknown, while the store is read
)

// Config says where a [Registry] reads, and whom it tells.
type Config struct {
	Ledger   store.Ledger     // where clients and accounts are stored
	SealKeys []custody.Secret // 32 bytes each: the first makes gateway tokens, all read them

	// Other receives the documents that are no clients when they change; Changed is
	// called after every change. Both have to be there.
	Other   func(store.Document)
	Changed func()

	Logger *slog.Logger // gets a Warn when the store cannot be read; required
}

// Registry knows the clients of a store as of a moment ago, and makes and reads their
// gateway tokens. It is safe for concurrent use.
type Registry struct {
	cfg    Config
	ledger store.Ledger
	log    *slog.Logger
	tokens *tokens

	clients atomic.Pointer[map[ID]*Live]
	sites   atomic.Pointer[sites] // of clients
	loaded  atomic.Bool           // the store has answered once: an id that is not among clients is nobody's

	looking sync.Mutex // guards what follows, and is held while the store is read
	version int64      // the highest that was seen
	names   map[string]ID
	away    bool // the store did not answer; said once

	wanted chan struct{} // one place: run is to look now
	mu     sync.Mutex    // guards what follows
	began  time.Time     // of the last look, whatever came of it
	coming chan struct{} // closed at the end of the look that is wanted or under way; nil when there is none
}

// New returns a registry that has read nothing yet.
func New(cfg Config) (*Registry, error) {
	tokens, err := newTokens(cfg.SealKeys)
	if err != nil {
		return nil, err
	}
	r := &Registry{
		cfg: cfg, ledger: cfg.Ledger, log: cfg.Logger, tokens: tokens,
		names: map[string]ID{}, wanted: make(chan struct{}, 1),
	}
	r.clients.Store(&map[ID]*Live{})
	r.sites.Store(newSites(nil))
	return r, nil
}

// Run looks for changes until ctx ends.
func (r *Registry) Run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-r.wanted:
		}
		r.Look(ctx)
	}
}

// Refresh reads the store before a caller is refused for something that this gateway
// does not know, unless that was done less than a second ago: a client that another
// gateway has just added or rotated is in the store. All waiting callers share one look,
// so that unknown keys, however many, cost the store one look a second. A store that
// does not answer keeps a caller for missPatience.
func (r *Registry) Refresh(ctx context.Context) {
	r.mu.Lock()
	if r.coming == nil && time.Since(r.began) < missEvery {
		r.mu.Unlock()
		return
	}
	if r.coming == nil {
		r.coming = make(chan struct{})
		select {
		case r.wanted <- struct{}{}:
		default: // Run is about to look
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
func (r *Registry) begin(ctx context.Context) (end func()) {
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

// Look reads what changed since the last look.
func (r *Registry) Look(ctx context.Context) {
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
			r.log.Warn("clients cannot be looked up: those known continue to work, and a revocation is not seen until the store answers",
				"log_code", "clients_unknown", "error", err)
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
		if doc.Kind == kindClient {
			r.take(clients, doc)
		} else {
			r.cfg.Other(doc)
		}
	}
	r.clients.Store(&clients)
	r.sites.Store(newSites(clients))
	r.loaded.Store(true)
	r.cfg.Changed()
}

// take puts a changed client into clients.
func (r *Registry) take(clients map[ID]*Live, doc store.Document) {
	before, known := r.names[doc.Name]
	old := clients[before]
	if known {
		delete(clients, before)
		delete(r.names, doc.Name)
	}
	if doc.Body == nil {
		return
	}
	c, err := newLive(doc)
	if err != nil {
		r.log.Warn("a stored client cannot be used", "log_code", "clients_record_unusable", "client", doc.Name, "error", err)
		return
	}
	if old != nil && old.id == c.id {
		c.trail = old.trail
		if old.Rate == c.Rate {
			c.limiter = old.limiter
		}
	}
	clients[c.id], r.names[doc.Name] = c, c.id
}

// Find returns the client that id names, nil when there is none.
func (r *Registry) Find(id ID) *Live { return (*r.clients.Load())[id] }

// ByKey returns the client to which the key belongs, and the key's hash. Before it
// returns none for what has the shape of a key, the store is read.
func (r *Registry) ByKey(ctx context.Context, text string, now time.Time) (c *Live, hash Hash, found bool) {
	id, ok := parseKey(text)
	hash = hashKey(text)
	if c, found = r.match(id, hash, now); !ok || found {
		return c, hash, ok && found
	}
	r.Refresh(ctx)
	c, found = r.match(id, hash, now)
	return c, hash, found
}

func (r *Registry) match(id ID, hash Hash, now time.Time) (c *Live, found bool) {
	c = r.Find(id)
	return c, c.Has(hash, now)
}

// ByToken returns the client for which a gateway token was made, and the appid of its
// account. Before it refuses one that no client that it knows proves, the store is read.
// The error is a [*TokenError].
func (r *Registry) ByToken(ctx context.Context, text string, now time.Time) (c *Live, appID string, err error) {
	c, said, refused := r.prove(text, now)
	if refused != nil && refused.unproven {
		r.Refresh(ctx)
		c, said, refused = r.prove(text, now)
	}
	if refused != nil {
		return nil, "", refused
	}
	return c, said.appID, nil
}

func (r *Registry) prove(text string, now time.Time) (c *Live, said ticket, refused *TokenError) {
	said, refused = r.tokens.open(text, now, func(id ID) []Hash {
		c = r.Find(id)
		return c.hashes(now)
	})
	return c, said, refused
}

// Mint returns a gateway token for the client that called with the key of that hash.
func (r *Registry) Mint(c *Live, key Hash, appID string, now time.Time) string {
	return r.tokens.mint(c.id, key, appID, now)
}

// Minted reports whether text is a gateway token that lives, as Mint makes it of the
// same client, key and account.
func (r *Registry) Minted(text string, c *Live, key Hash, appID string) bool {
	said, refused := r.tokens.open(text, time.Now(), func(ID) []Hash { return []Hash{key} })
	return refused == nil && said.client == c.id && said.appID == appID
}

// Known reports whether the store has answered once: a key that no client has is
// nobody's.
func (r *Registry) Known() bool { return r.loaded.Load() }

// sites are the clients that have to do with sites of their own.
type sites struct {
	login  []*Live            // with return addresses
	origin map[string][]*Live // by each origin
}

func newSites(clients map[ID]*Live) *sites {
	s := &sites{origin: map[string][]*Live{}}
	for _, c := range clients {
		if c.login != nil {
			s.login = append(s.login, c)
		}
		for _, origin := range c.Origins {
			s.origin[origin] = append(s.origin[origin], c)
		}
	}
	return s
}

// Logins returns the living clients that may log users in.
func (r *Registry) Logins(now time.Time) (clients []*login.Client) {
	for _, c := range r.sites.Load().login {
		if c.alive(now) {
			clients = append(clients, c.login)
		}
	}
	return clients
}

// Registered reports whether an origin is one of a living client that may use the account
// and a path of it.
func (r *Registry) Registered(origin, appID, path string, now time.Time) bool {
	return slices.ContainsFunc(r.sites.Load().origin[origin], func(c *Live) bool { return c.Uses(appID) && c.Allows(path) && c.alive(now) })
}

// All returns the clients, in no order.
func (r *Registry) All() []*Live { return slices.Collect(maps.Values(*r.clients.Load())) }
