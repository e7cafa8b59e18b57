package custody

import (
	"bytes"
	"context"
	"errors"
	"time"
)

// acquire takes the lease. It returns none when in the meantime somebody else
// did what was to do, and the time by which a fetch has to be over.
func (r *renewal) acquire() (*Lease, time.Time, error) {
	for {
		asked := time.Now() // the lease may have begun then
		lease, err := r.takeLease()
		var busy *HeldError
		switch {
		case err == nil:
			done, err := r.settled()
			if done || err != nil {
				_ = r.release(lease, nil)
				return nil, time.Time{}, err
			}
			return &lease, asked.Add(r.k.cfg.Timing.FetchTimeout), nil
		case errors.As(err, &busy):
			done, err := r.watchHolder(time.Now().Add(busy.Left))
			if done || err != nil {
				return nil, time.Time{}, err
			}
		default:
			return nil, time.Time{}, r.withoutStore(err)
		}
	}
}

// takeLease asks for the lease and adopts the record that comes with it. A call
// without an answer may have had its effect, so it is made again for the same
// attempt.
func (r *renewal) takeLease() (Lease, error) {
	k, t := r.k, r.k.cfg.Timing
	attempt, first := k.attemptID(), time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		ctx, cancel := context.WithTimeout(r.f.ctx, t.StoreTimeout)
		r.f.unseen()
		sent := time.Now()
		lease, err := k.cfg.Store.Acquire(ctx, k.cfg.Key, attempt, t.LeaseTTL)
		cancel()
		k.stored(CallAcquire, sent, err)
		if err == nil {
			r.adopt(lease.Record, sent)
			return lease, nil
		}
		var busy *HeldError
		if errors.As(err, &busy) || time.Since(first)+pause > t.FetchTimeout/2 || !sleep(r.f.ctx, pause) {
			return Lease{}, err
		}
	}
}

// watchHolder looks at the record until somebody else's renewal has come to an
// end: with a result (done), with a failure (err), or without either.
func (r *renewal) watchHolder(end time.Time) (done bool, err error) {
	before := r.rec
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if err := r.pause(min(pause, max(time.Until(end), time.Millisecond))); err != nil {
			return false, err
		}
		if r.load() == nil {
			if done, err := r.settled(); done || err != nil {
				return done, err
			}
			if r.rec.Fence != before.Fence || !bytes.Equal(r.rec.Notes, before.Notes) {
				return false, nil
			}
		}
		if !time.Now().Before(end) {
			return false, nil
		}
	}
}

// pause waits for d, or for the store's word that the record changed.
func (r *renewal) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.f.noticed:
		return nil
	case <-r.f.ctx.Done():
		return ErrClosed
	}
}

// release ends the lease as well as it can be done: when it fails, the lease
// ends by itself.
func (r *renewal) release(lease Lease, notes []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.f.ctx), r.k.cfg.Timing.StoreTimeout)
	defer cancel()
	sent := time.Now()
	err := r.k.cfg.Store.Release(ctx, lease, notes)
	r.k.stored(CallRelease, sent, err)
	if err != nil {
		r.k.log().Debug("the lease was not released and ends by itself", "fence", lease.Fence, "error", err)
	}
	return err
}
