package custody

import (
	"context"
	"errors"
	"time"
)

// unsaved is what the store has not taken yet. It belongs to the running
// flight; the scheduler starts one when the next try is due.
type unsaved struct {
	save    *pendingSave
	shorten *pendingShorten
	tries   int
	again   time.Time
}

type pendingSave struct {
	lease  Lease
	record Record
}

type pendingShorten struct {
	fence int64
	end   time.Time // in the store's clock
}

func (u *unsaved) postpone() {
	u.tries++
	u.again = time.Now().Add(backOff(u.tries))
}

// flush tries again to bring to the store what it has not taken.
func (r *renewal) flush() {
	k := r.k
	u := k.unsaved
	if u == nil {
		return
	}
	if p := u.save; p != nil {
		// Fenced: somebody else renews by now. The look that follows adopts what
		// that one saved; until then ours is the newest.
		if err := k.saveRecord(p.lease, p.record); err == nil || errors.Is(err, ErrFenced) {
			u.save = nil
		}
	}
	if u.shorten != nil && k.shortenRecord(*u.shorten) == nil {
		u.shorten = nil
	}
	if u.save == nil && u.shorten == nil {
		k.unsaved = nil
		return
	}
	u.postpone()
}

// saveRecord is Store.Save, which Close waits for.
func (k *Keeper) saveRecord(lease Lease, record Record) error {
	ctx, cancel := context.WithTimeout(context.Background(), k.cfg.Timing.SaveTimeout)
	defer cancel()
	sent := time.Now()
	err := k.cfg.Store.Save(ctx, lease, record)
	k.stored(CallSave, sent, err)
	return err
}

func (k *Keeper) shortenRecord(p pendingShorten) error {
	ctx, cancel := context.WithTimeout(context.Background(), k.cfg.Timing.StoreTimeout)
	defer cancel()
	sent := time.Now()
	err := k.cfg.Store.Shorten(ctx, k.cfg.Key, p.fence, p.end)
	k.stored(CallShorten, sent, err)
	return err
}
