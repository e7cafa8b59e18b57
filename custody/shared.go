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
	sharedSlot  = 10 * time.Minute // in which the fetches of one record are counted together
	sharedSlots = int64(time.Hour / sharedSlot)

	sharedPause     = 8 * time.Millisecond   // between two tries to get the lease; doubles
	lastSharedPause = 100 * time.Millisecond // the longest of these
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
// id is that of an Acquire without an answer, "" for none.
func (c *storeCalls) share(ctx context.Context, id *string) (wait time.Duration, err error) {
	if *id == "" {
		*id = attemptID()
	}
	lease, err := c.acquireShared(ctx, *id)
	if err != nil {
		return 0, err
	}
	*id = ""
	now := lease.Record.Now
	counted := parseShared(lease.Record.Notes, now)
	wait = counted.begin(now, c.cfg.Kind.Shared.HourlyFetches)
	notes, err := json.Marshal(counted)
	if err != nil {
		return 0, err
	}
	_, err = c.write(context.Background(), first, CallRelease, c.cfg.Kind.Shared.Key, func(ctx context.Context) error {
		return c.cfg.Store.Release(ctx, lease, notes)
	})
	if errors.Is(err, ErrFenced) {
		err = errShared // this process was stopped in between
	}
	return wait, err
}

// acquireShared takes the lease of the common count, for as long as two calls may take. It
// waits for others as long as one call may take. If an answer
// is lost, the next try with the same id gets the same lease.
func (c *storeCalls) acquireShared(ctx context.Context, id string) (lease Lease, err error) {
	timeout := c.cfg.Timing.StoreTimeout
	pause := sharedPause
	for until := time.Now().Add(timeout); ; pause = min(2*pause, lastSharedPause) {
		_, err := c.write(ctx, inTurn, CallAcquire, c.cfg.Kind.Shared.Key, func(ctx context.Context) error {
			var err error
			lease, err = c.cfg.Store.Acquire(ctx, c.cfg.Kind.Shared.Key, id, min(2*timeout, c.cfg.Timing.LeaseTTL))
			return err
		})
		if _, busy := errors.AsType[*HeldError](err); !busy {
			return lease, err
		}
		if time.Now().After(until) {
			return lease, errShared
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return lease, ctx.Err()
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
	wait, err := k.calls.share(f.ctx, &f.shared)
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
