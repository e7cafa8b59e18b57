package source

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

const (
	askEvery = time.Second     // between the beginnings of two questions that callers without a token cause
	askTime  = 2 * time.Second // for the gateways to answer one of them
)

// kept is a credential with the Keeper that keeps it. To ask a gateway is a read and
// costs no fetch, so before a caller gets an error from the Keeper's memory, a gateway is
// asked, unless that was done less than a second ago. All waiting callers share the
// question. If it is answered, another Keeper, which remembers no failure, takes the
// place of the one that does; the token in the store stays.
type kept struct {
	issuer *issuer
	open   func(custody.Kind) (*custody.Keeper, error)
	keeper atomic.Pointer[custody.Keeper]

	ctx    context.Context // of questions; ends with close
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	asking chan struct{}
	fault  error // of the last question; nil when it was answered
	closed bool
}

func newKept(i *issuer, open func(custody.Kind) (*custody.Keeper, error)) (*kept, error) {
	k := &kept{issuer: i, open: open}
	keeper, err := open(i.kind())
	if err != nil {
		return nil, err
	}
	k.keeper.Store(keeper)
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k, nil
}

// token is the Keeper's Token.
func (k *kept) token(ctx context.Context) (custody.Token, error) {
	token, err := k.keeper.Load().Token(ctx)
	if err == nil {
		return token, nil // without a closure on the heap
	}
	return k.insist(ctx, err, func(keeper *custody.Keeper) (custody.Token, error) { return keeper.Token(ctx) })
}

// reject is the Keeper's Reject.
func (k *kept) reject(ctx context.Context, refused string) (custody.Token, error) {
	token, err := k.keeper.Load().Reject(ctx, refused)
	if err == nil {
		return token, nil
	}
	return k.insist(ctx, err, func(keeper *custody.Keeper) (custody.Token, error) { return keeper.Reject(ctx, refused) })
}

// insist returns what get returns, once the gateways were asked again if err is the
// memory of a failure to ask them.
func (k *kept) insist(ctx context.Context, err error, get func(*custody.Keeper) (custody.Token, error)) (custody.Token, error) {
	for {
		var none *custody.Error
		if !errors.Is(err, custody.ErrClosed) && (!errors.As(err, &none) || !ofGateway(none)) {
			return custody.Token{}, err
		}
		renewed, fault := k.again(ctx, none == nil)
		if !renewed {
			return custody.Token{}, latest(none, fault, err)
		}
		var token custody.Token
		if token, err = get(k.keeper.Load()); err == nil {
			return token, nil
		}
	}
}

// ofGateway reports whether err is about asking the gateways.
func ofGateway(err *custody.Error) bool {
	for _, other := range []error{custody.ErrRefused, custody.ErrStore, custody.ErrSealKey, custody.ErrDailyLimit, custody.ErrRateLimit} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// latest returns err, with the cause that the last question met instead of the one that
// the Keeper remembers.
func latest(none *custody.Error, fault, err error) error {
	if none == nil {
		return err
	}
	now := *none
	now.RetryAfter = min(now.RetryAfter, askEvery) // callers ask again by then
	if fault != nil {
		f := failure(fault)
		now.Class, now.Code, now.Text, now.Err = f.Class, f.Code, f.Error(), f.Err
	}
	return &now
}

// again asks the gateways, unless that was done less than a second ago, and reports
// whether there is another Keeper by now; else it returns what the last question met.
// replaced says that the caller's Keeper was closed.
func (k *kept) again(ctx context.Context, replaced bool) (renewed bool, fault error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || replaced {
		return !k.closed, nil
	}
	keeper := k.keeper.Load()
	if k.asking == nil {
		if time.Since(k.issuer.lastAsked()) < askEvery {
			return false, k.fault
		}
		k.asking = make(chan struct{})
		k.group.Go(k.ask)
	}
	asking := k.asking
	k.mu.Unlock()
	select {
	case <-asking:
	case <-ctx.Done():
	}
	k.mu.Lock()
	return k.keeper.Load() != keeper, k.fault
}

// ask asks the gateways for all who wait.
func (k *kept) ask() {
	ctx, cancel := context.WithTimeout(k.ctx, askTime)
	defer cancel()
	err := k.issuer.ask(ctx)
	var next *custody.Keeper
	if err == nil {
		next, err = k.open(k.issuer.kind())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = err
	if next != nil {
		old := next // of a kept that was closed in the meantime
		if !k.closed {
			old = k.keeper.Swap(next)
			k.issuer.answered()
		}
		k.group.Go(func() { _ = old.Close() }) // its error is nil, as of all Keepers
	}
	close(k.asking)
	k.asking = nil
}

// close ends the Keeper and what goes on for it.
func (k *kept) close() error {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	err := k.keeper.Load().Close()
	k.group.Wait()
	return err
}
