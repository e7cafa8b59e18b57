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

// Why a value is not returned.
var (
	ErrGone  = errors.New("weblogin: the store does not have it, or not any more")
	ErrTaken = errors.New("weblogin: it was taken before")

	errSlow = errors.New("weblogin: the store took longer than a lease")
)

const (
	callTime   = 2 * time.Second // for one call of the store
	shelfTime  = 6 * time.Second // for all calls that one use of a shelf takes
	shelfLease = 2 * shelfTime
)

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
	ctx, cancel := context.WithTimeout(ctx, shelfTime)
	defer cancel()
	name, owner := nameOn(thing), callback.NewOwner(share)
	if err = again(ctx, func(ctx context.Context) error {
		_, _, _, err := s.Store.Claim(ctx, s.Account, name, owner, shelfLease, life)
		return err
	}); err != nil {
		return err
	}
	return s.finish(ctx, name, owner, s.Seals.Seal(name, text), life)
}

// finish records an answer. That the store has taken it and its answer was lost does not
// matter: the same is recorded again.
func (s Shelf) finish(ctx context.Context, name, owner string, answer []byte, life time.Duration) error {
	return again(ctx, func(ctx context.Context) error {
		held, _, err := s.Store.Finish(ctx, name, owner, answer, life)
		if err == nil && !held {
			err = errSlow
		}
		return err
	})
}

// Get reads a value. An error is ErrGone or the store's.
func (s Shelf) Get(ctx context.Context, thing string, value any) error {
	ctx, cancel := context.WithTimeout(ctx, shelfTime)
	defer cancel()
	name, owner := nameOn(thing), callback.NewOwner("reads")
	var sealed []byte
	err := again(ctx, func(ctx context.Context) error {
		attempt, _, _, err := s.Store.Claim(ctx, s.Account, name, owner, codeLease, codeLease)
		switch {
		case err != nil:
			return err
		case attempt != 0: // this call is the first that the store knows of
			_, _, _ = s.Store.Hold(ctx, name, owner, 0)
			return ErrGone
		}
		_, sealed, err = s.Store.Wait(ctx, name, owner, codeLease)
		if callback.IsAnswerGone(err) {
			err = ErrGone
		}
		return err
	})
	if err != nil {
		return err
	}
	plain, err := s.Seals.Open(name, sealed)
	if err == nil {
		err = json.Unmarshal(plain, value)
	}
	if err != nil {
		return ErrGone
	}
	return nil
}

// Take is Get for one caller of all: the others get ErrTaken, for life. A call that fails for
// another reason takes nothing, so that it can be made again.
func (s Shelf) Take(ctx context.Context, thing string, value any, life time.Duration) error {
	within, cancel := context.WithTimeout(ctx, shelfTime)
	defer cancel()
	name, owner := "taken."+nameOn(thing), callback.NewOwner("takes")
	err := s.claim(within, name, owner, life)
	read := false
	if err == nil {
		err = s.Get(within, thing, value)
		read = err == nil
	}
	if err == nil {
		err = within.Err() // a caller that is gone gets nothing
	}
	if err == nil {
		err = s.finish(within, name, owner, nil, life)
	}
	if err != nil && !errors.Is(err, ErrTaken) { // the store may have carried out what it failed to answer
		free, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
		defer cancel()
		held, _, unknown := s.Store.Hold(free, name, owner, 0) // else it is free when its lease ends
		if unknown == nil && !held && read && !errors.Is(err, errSlow) && ctx.Err() == nil {
			return nil // finish was carried out, and only its answer was lost
		}
	}
	return err
}

// claim makes owner the one who takes a thing. It waits for another who is about to.
func (s Shelf) claim(ctx context.Context, name, owner string, life time.Duration) error {
	return again(ctx, func(ctx context.Context) error {
		attempt, _, _, err := s.Store.Claim(ctx, s.Account, name, owner, shelfLease, life)
		if err == nil && attempt == 0 {
			attempt, _, err = s.Store.Wait(ctx, name, owner, shelfLease)
		}
		if err == nil && attempt == 0 {
			err = ErrTaken
		}
		return err
	})
}

// again makes a call until the store answers, as long as ctx allows.
func again(ctx context.Context, call func(context.Context) error) error {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		within, cancel := context.WithTimeout(ctx, callTime)
		err := call(within)
		cancel()
		if err == nil || errors.Is(err, ErrGone) || errors.Is(err, ErrTaken) || errors.Is(err, errSlow) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
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

// Return takes back one Take of a name, of what did not come to be.
func (b *Budget) Return(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range []*count{&b.now, &b.before} {
		if c.each[name] > 0 {
			c.all--
			c.each[name]--
			return
		}
	}
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
