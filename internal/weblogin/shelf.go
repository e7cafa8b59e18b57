package weblogin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
)

// ErrGone is returned for what is not on a shelf, or not any more.
var ErrGone = errors.New("weblogin: the store does not have it, or not any more")

// Shelf keeps small things for a while, sealed, for all processes on a store.
type Shelf struct {
	Store   callback.Once
	Account string // whose the things are, in Store
	Seals   Seals
}

// nameOn returns the name of a thing in the store: who reads the store does not learn it.
func nameOn(thing string) string {
	sum := sha256.Sum256([]byte(thing))
	return "kept." + hex.EncodeToString(sum[:20])
}

// Put keeps a value for life. A store that keeps answers in memory keeps some of each share;
// of these the oldest go first.
func (s Shelf) Put(ctx context.Context, thing, share string, value any, life time.Duration) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	name, owner := nameOn(thing), callback.NewOwner(share)
	if _, _, _, err = s.Store.Claim(ctx, s.Account, name, owner, codeLease, life); err != nil {
		return err
	}
	held, _, err := s.Store.Finish(ctx, name, owner, s.Seals.Seal(name, text), life)
	if err == nil && !held {
		err = errors.New("weblogin: the store took longer than a lease")
	}
	return err
}

// Get reads a value, and returns how often that was done, this time included: of many at
// once, one is the first. An error is ErrGone or the store's.
func (s Shelf) Get(ctx context.Context, thing string, value any) (times int, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	name, owner := nameOn(thing), callback.NewOwner("reads")
	attempt, calls, _, err := s.Store.Claim(ctx, s.Account, name, owner, codeLease, codeLease)
	switch {
	case err != nil:
		return 0, err
	case attempt != 0: // this call is the first that the store knows of
		_, _, _ = s.Store.Hold(ctx, name, owner, 0)
		return 0, ErrGone
	}
	_, sealed, err := s.Store.Wait(ctx, name, owner, codeLease)
	switch {
	case callback.IsAnswerGone(err):
		return 0, ErrGone
	case err != nil:
		return 0, err
	}
	plain, err := s.Seals.Open(name, sealed)
	if err == nil {
		err = json.Unmarshal(plain, value)
	}
	if err != nil {
		return 0, ErrGone
	}
	return calls - 1, nil // Put's was the first
}

// Budget bounds how many things live, of which nothing is known but how long: what was taken
// counts for one Life at least, and for two at most. It is safe for concurrent use.
type Budget struct {
	Life time.Duration
	Most int // of all together
	Each int // of one name

	mu          sync.Mutex // guards what follows
	began       time.Time
	now, before count
}

type count struct {
	all  int
	each map[string]int
}

// Take counts one thing of a name, and reports whether there was room for it.
func (b *Budget) Take(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := time.Now()
	switch age := at.Sub(b.began); {
	case age >= 2*b.Life:
		b.began, b.now, b.before = at, count{}, count{}
	case age >= b.Life:
		b.began, b.now, b.before = at, count{}, b.now
	}
	if b.now.all+b.before.all >= b.Most || b.now.each[name]+b.before.each[name] >= b.Each {
		return false
	}
	if b.now.each == nil {
		b.now.each = map[string]int{}
	}
	b.now.all++
	b.now.each[name]++
	return true
}
