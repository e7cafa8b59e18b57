package custody

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	sharedSlot  = 10 * time.Minute
	sharedSlots = int64(time.Hour / sharedSlot)
)

var errShared = errors.New("other credentials count their fetches in the same record, and it was not this one's turn in time")

// sharedCount is what the record of a Shared.Key holds, as notes: how many fetches were
// begun in each ten minutes of the store's clock.
type sharedCount struct {
	Begun map[int64]int `json:"begun"`
}

// parseShared reads a count and leaves out what is no part of the hour before now: what is
// older, and what a clock that was corrected since has counted.
func parseShared(data []byte, now time.Time) sharedCount {
	var c sharedCount
	if len(data) > 0 && json.Unmarshal(data, &c) != nil {
		c = sharedCount{}
	}
	slot := slotOf(now)
	for at := range c.Begun {
		if at < slot-sharedSlots || at > slot+sharedSlots {
			delete(c.Begun, at)
		}
	}
	return c
}

func slotOf(t time.Time) int64 { return t.UnixMicro() / sharedSlot.Microseconds() }

// begin counts a fetch at now, if fewer than limit were begun in the hour before. Otherwise
// it returns how long it takes until some of them are over.
func (c *sharedCount) begin(now time.Time, limit int) (wait time.Duration) {
	sum, oldest := 0, slotOf(now)
	for at, n := range c.Begun {
		sum += n
		oldest = min(oldest, at)
	}
	if sum >= limit {
		return time.UnixMicro((oldest + sharedSlots + 1) * sharedSlot.Microseconds()).Sub(now)
	}
	if c.Begun == nil {
		c.Begun = map[int64]int{}
	}
	c.Begun[slotOf(now)]++
	return 0
}

// share counts a fetch of this Keeper's, under the lease of the common count, which lasts
// for two calls. When the limit is reached it counts nothing and returns how long to wait.
func (c *storeCalls) share(ctx context.Context) (wait time.Duration, err error) {
	lease, err := c.acquireShared(ctx)
	if err != nil {
		return 0, err
	}
	now := lease.Record.Now
	counted := parseShared(lease.Record.Notes, now)
	wait = counted.begin(now, c.cfg.Kind.Shared.HourlyFetches)
	notes, err := json.Marshal(counted)
	if err != nil {
		return 0, err
	}
	_, err = c.write(context.Background(), first, CallRelease, c.cfg.Timing.StoreTimeout, func(ctx context.Context) error {
		return c.cfg.Store.Release(ctx, lease, notes)
	})
	if errors.Is(err, ErrFenced) {
		err = errShared // this process was stopped in between
	}
	return wait, err
}

// acquireShared takes the lease of the common count. It waits for others, who hold it for
// as long as two calls take, no longer than one call may take.
func (c *storeCalls) acquireShared(ctx context.Context) (lease Lease, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timing.StoreTimeout)
	defer cancel()
	id := attemptID()
	for {
		_, err := c.write(ctx, first, CallAcquire, c.cfg.Timing.StoreTimeout, func(ctx context.Context) error {
			var err error
			lease, err = c.cfg.Store.Acquire(ctx, c.cfg.Kind.Shared.Key, id, c.cfg.Timing.LeaseTTL)
			return err
		})
		if _, busy := errors.AsType[*HeldError](err); !busy {
			return lease, err
		}
		select {
		case <-time.After(time.Duration(5+rand.IntN(20)) * time.Millisecond):
		case <-ctx.Done():
			return lease, errShared
		}
	}
}

// counted counts a fetch against the limit that others share, and reports whether it may be
// sent. One that could not be counted is not sent.
func (f renewal) counted() bool {
	k := f.k
	limit := k.cfg.Kind.Shared.HourlyFetches
	if limit == 0 {
		return true
	}
	wait, err := k.calls.share(f.ctx)
	switch {
	case err != nil:
		_ = f.release(nil)
		f.tried(f.asked, err)
	case wait > 0:
		_ = f.release(nil)
		_ = f.fail(&failure{
			err: Error{
				Class: ClassBlocked,
				Text:  fmt.Sprintf("%d fetches were made in an hour by all credentials of %s together, as many as are allowed: find out who makes them", limit, k.cfg.Kind.Shared.Key.AppID),
				Err:   ErrRateLimit,
			},
			until: time.Now().Add(wait),
		})
	default:
		return true
	}
	return false
}
