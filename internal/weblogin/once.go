package weblogin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
)

const (
	exchangeTime = 10 * time.Second           // for everything that is done with a code
	codeLease    = 5 * time.Second            // for which a process holds the code, extended while it works
	waitTime     = exchangeTime + 2*codeLease // for another process
	codeMemory   = Time + waitTime            // how long a code is remembered
	storeTime    = 3 * time.Second            // for one call of the store
	maxRemember  = 4096                       // codes, in this process
)

// Outcome is what became of a code. Every request that brings it gets the same.
type Outcome[T any] struct {
	Value *T     `json:"value,omitempty"`
	Again bool   `json:"again,omitempty"` // WeChat does not take this code: another one helps
	Page  string `json:"page,omitempty"`  // else: the Reason of the page that the user sees
}

// unavailable is the outcome of a code of which nothing is known.
func unavailable[T any]() Outcome[T] { return Outcome[T]{Page: PageUnavailable.Reason} }

// Once exchanges each code once, whichever of the processes on a store a request with it
// reaches, and remembers what became of it for some minutes.
type Once[T any] struct {
	Store   callback.Once // nil: this process alone remembers
	Account string        // whose the keys are in Store
	Seals   Seals
	Log     *slog.Logger

	mu  sync.Mutex // guards what follows
	all map[string]*flight[T]
}

// flight is one exchange. done is closed when outcome is there.
type flight[T any] struct {
	done    chan struct{}
	end     time.Time
	outcome Outcome[T]
}

// join returns the flight of a key, and whether the caller has to fly it.
func (o *Once[T]) join(key string) (f *flight[T], first bool) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.all[key]; f != nil && now.Before(f.end) {
		return f, false
	}
	if o.all == nil {
		o.all = map[string]*flight[T]{}
	}
	if len(o.all) >= maxRemember {
		o.shrink(now)
	}
	f = &flight[T]{done: make(chan struct{}), end: now.Add(codeMemory)}
	o.all[key] = f
	return f, true
}

// shrink forgets what is old, and if that is little, half of the rest: the store remembers.
func (o *Once[T]) shrink(now time.Time) {
	for key, f := range o.all {
		if !now.Before(f.end) {
			delete(o.all, key)
		}
	}
	for key := range o.all {
		if len(o.all) <= maxRemember/2 {
			return
		}
		delete(o.all, key)
	}
}

func (o *Once[T]) forget(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, key)
}

// Do lets exchange find out what became of a code of appID, once for all processes on the
// store. ctx bounds the waiting for another request that does it; exchange has 10 s.
func (o *Once[T]) Do(ctx context.Context, appID, code string, exchange func(context.Context) Outcome[T]) Outcome[T] {
	sum := sha256.Sum256([]byte(appID + " " + code))
	key := "login." + hex.EncodeToString(sum[:20])
	f, first := o.join(key)
	if !first {
		select {
		case <-f.done:
			return f.outcome
		case <-ctx.Done():
			return unavailable[T]()
		}
	}
	f.outcome = unavailable[T]() // should a hook panic
	keep := false
	defer func() {
		if !keep {
			o.forget(key)
		}
		close(f.done)
	}()
	// A caller that goes away must not lose the code: the next request gets its outcome.
	f.outcome, keep = o.inStore(context.WithoutCancel(ctx), appID, key, func(ctx context.Context) Outcome[T] {
		ctx, cancel := context.WithTimeout(ctx, exchangeTime)
		defer cancel()
		return exchange(ctx)
	})
	return f.outcome
}

// inStore does it for all processes. Without keep, the next request may try again.
func (o *Once[T]) inStore(ctx context.Context, appID, key string, exchange func(context.Context) Outcome[T]) (out Outcome[T], keep bool) {
	if o.Store == nil {
		return exchange(ctx), true
	}
	owner := callback.NewOwner(key)
	within, cancel := context.WithTimeout(ctx, storeTime)
	attempt, _, _, err := o.Store.Claim(within, o.Account, key, owner, codeLease, codeMemory)
	cancel()
	if err != nil {
		o.Log.Warn("a login continues without the store, so that another process might exchange its code, too",
			"log_code", "weblogin_without_store", "appid", appID, "error", err)
		return exchange(ctx), true
	}
	if attempt == 0 {
		within, cancel := context.WithTimeout(ctx, waitTime)
		defer cancel()
		var sealed []byte
		attempt, sealed, err = o.Store.Wait(within, key, owner, codeLease)
		switch {
		case callback.IsAnswerGone(err):
			return Outcome[T]{Again: true}, true
		case err != nil:
			o.Log.Warn("what became of a login could not be read", "log_code", "weblogin_outcome_unreadable", "appid", appID, "error", err)
			return unavailable[T](), false
		case attempt == 0:
			return o.open(appID, key, sealed), true
		}
	}
	finished, release := false, o.hold(ctx, key, owner)
	defer func() {
		release()
		if !finished { // a hook has panicked
			within, cancel := context.WithTimeout(ctx, storeTime)
			defer cancel()
			_, _, _ = o.Store.Hold(within, key, owner, 0)
		}
	}()
	out = exchange(ctx)
	finished = true
	o.record(ctx, claim{appID, key, owner}, out)
	return out, true
}

// hold extends the lease of a code until release is called: a process that is killed is
// noticed soon, and a slow one keeps its code.
func (o *Once[T]) hold(ctx context.Context, key, owner string) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(codeLease / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_, _, _ = o.Store.Hold(ctx, key, owner, codeLease) // the next one may succeed
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// claim is what a process holds while it exchanges a code.
type claim struct{ appID, key, owner string }

// record tells the other processes.
func (o *Once[T]) record(ctx context.Context, c claim, out Outcome[T]) {
	text, err := json.Marshal(out)
	if err == nil {
		within, cancel := context.WithTimeout(ctx, storeTime)
		defer cancel()
		_, _, err = o.Store.Finish(within, c.key, c.owner, o.Seals.Seal(c.key, text), codeMemory)
	}
	if err != nil {
		o.Log.Warn("other processes do not know of a login", "log_code", "weblogin_not_shared", "appid", c.appID, "error", err)
	}
}

// open reads what another process has recorded.
func (o *Once[T]) open(appID, key string, sealed []byte) (out Outcome[T]) {
	text, err := o.Seals.Open(key, sealed)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		o.Log.Warn("what another process recorded of a login was sealed with other keys: give all processes of the account "+
			"the same seal keys and AppSecret", "log_code", "weblogin_seal_key_differs", "appid", appID)
		return Outcome[T]{Again: true}
	}
	return out
}
