package custody

import (
	"context"
	"sync"
	"time"
)

// storeCalls is a Keeper's way to its store. It bounds each call, reports it to the Trace,
// and knows for how long the store has been silent, or has taken nothing.
type storeCalls struct {
	cfg *Config
	hub *hub
	who follower

	mu      sync.Mutex // guards what follows
	trouble *trouble   // nil while the store does its part
}

// trouble is what the store does not do.
type trouble struct {
	silent time.Time // since when no call is answered; zero while they are
	stuck  time.Time // since when no call that writes succeeds; zero while they do
	wrote  time.Time // the last call that writes and failed
	queue  int       // how many Keepers waited for the store when the last call failed
}

// load reads the record. It also returns when the question was sent. A patient reader
// waits for others, so that their questions travel together.
func (c *storeCalls) load(ctx context.Context, patient bool) (Record, time.Time, error) {
	record, sent, err := c.hub.read(ctx, question{key: c.cfg.Key, patient: patient, timeout: c.cfg.Timing.StoreTimeout, report: c.reporter()})
	c.note(CallLoad, sent, err)
	return record, sent, err
}

// first asks for the record together with others that begin now; the answer goes to
// the Keeper's seed. It reports false where that cannot be.
func (c *storeCalls) first() bool {
	return c.hub.begin(&question{
		key: c.cfg.Key, patient: true, timeout: c.cfg.Timing.StoreTimeout, report: c.reporter(),
		answered: func(record Record, sent time.Time, err error) {
			c.note(CallLoad, sent, err)
			c.who.seed(record, sent, err)
		},
	})
}

// acquire takes the lease, or extends it when attempt holds it.
func (c *storeCalls) acquire(ctx context.Context, attempt string, holds bool) (lease Lease, sent time.Time, err error) {
	turn := first
	if !holds {
		turn = inTurn
	}
	sent, err = c.write(ctx, turn, CallAcquire, c.cfg.Key, func(ctx context.Context) error {
		var err error
		lease, err = c.cfg.Store.Acquire(ctx, c.cfg.Key, attempt, c.cfg.Timing.LeaseTTL)
		return err
	})
	return lease, sent, err
}

func (c *storeCalls) begin(ctx context.Context, lease Lease, notes []byte) error {
	_, err := c.write(ctx, first, CallBegin, c.cfg.Key, func(ctx context.Context) error {
		return c.cfg.Store.Begin(ctx, lease, notes)
	})
	return err
}

// save is not interrupted by Close, which waits for it.
func (c *storeCalls) save(lease Lease, record Record) error {
	_, err := c.write(context.Background(), first, CallSave, c.cfg.Key, func(ctx context.Context) error {
		return c.cfg.Store.Save(ctx, lease, record)
	})
	return err
}

// release is not interrupted by Close either: others would wait for the lease's end.
func (c *storeCalls) release(lease Lease, notes []byte) error {
	_, err := c.write(context.Background(), first, CallRelease, c.cfg.Key, func(ctx context.Context) error {
		return c.cfg.Store.Release(ctx, lease, notes)
	})
	return err
}

func (c *storeCalls) shorten(fence int64, end time.Time) error {
	_, err := c.write(context.Background(), first, CallShorten, c.cfg.Key, func(ctx context.Context) error {
		return c.cfg.Store.Shorten(ctx, c.cfg.Key, fence, end)
	})
	return err
}

// write makes a call that changes the record of key, when it is its turn; its time begins
// then.
func (c *storeCalls) write(
	ctx context.Context, turn turn, call StoreCall, key Key, do func(context.Context) error,
) (sent time.Time, err error) {
	timeout := c.cfg.Timing.StoreTimeout
	if call == CallSave {
		timeout = c.cfg.Timing.SaveTimeout
	}
	if err := c.hub.turns.enter(ctx, turn); err != nil {
		return time.Time{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sent = time.Now()
	err = do(ctx)
	c.hub.turns.leave(time.Since(sent), timeout, err)
	c.cfg.Trace.stored(StoredInfo{Key: key, Call: call, Took: time.Since(sent), Err: err})
	c.note(call, sent, err)
	return sent, err
}

// reporter returns what reports reads, where the Trace wants to know.
func (c *storeCalls) reporter() func(StoreCall, time.Time, error) {
	if c.cfg.Trace == nil || c.cfg.Trace.Stored == nil {
		return nil
	}
	return c.reportRead
}

func (c *storeCalls) reportRead(call StoreCall, sent time.Time, err error) {
	info := StoredInfo{Key: c.cfg.Key, Call: call, Took: time.Since(sent), Err: err}
	if call == CallLoadMany {
		info.Key = Key{}
	}
	c.cfg.Trace.stored(info)
}

// note keeps what a call says about the store. A lease that is another's, or lost,
// is an answer, and no proof that the store takes anything.
func (c *storeCalls) note(call StoreCall, sent time.Time, err error) {
	write := call != CallLoad
	failed := storeFailure(err)
	if err != nil && !failed && !isAnswer(err) {
		return // the Keeper is closing
	}
	waiting := 0
	if failed {
		waiting = c.hub.failed(c.who, write)
	}
	c.mu.Lock()
	if failed && c.trouble == nil {
		c.trouble = &trouble{}
	}
	switch t := c.trouble; {
	case t == nil:
	case failed:
		t.failed(write, sent, waiting, c.cfg.Timing)
	default:
		t.silent = time.Time{}
		if err == nil && useful(call) {
			t.stuck = time.Time{}
		}
		if t.stuck.IsZero() {
			c.trouble = nil
		}
	}
	c.mu.Unlock()
	if !failed {
		c.hub.answered(c.who, err == nil && useful(call))
	}
}

// failed takes note of a call that failed.
func (t *trouble) failed(write bool, sent time.Time, waiting int, timing Timing) {
	t.queue = waiting
	switch {
	case write:
		if t.stuck.IsZero() || t.forgets(sent, timing) {
			t.stuck = sent
		}
		t.wrote = sent
	case t.silent.IsZero():
		t.silent = sent
	}
}

// useful reports whether a call shows that renewals can be written down. A lease that
// is taken and given back does not.
func useful(call StoreCall) bool { return call == CallBegin || call == CallSave }

// takes notes that the store took what another process wrote.
func (c *storeCalls) takes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble != nil {
		c.trouble.stuck = time.Time{}
	}
}

// health returns for how long the store has been silent, and for how long it has
// taken nothing.
func (c *storeCalls) health(now time.Time) (silent, stuck time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble == nil {
		return 0, 0
	}
	if t := c.trouble.silent; !t.IsZero() {
		silent = now.Sub(t)
	}
	if t := c.trouble.stuck; !t.IsZero() && !c.trouble.forgets(now, c.cfg.Timing) {
		stuck = now.Sub(t)
	}
	return silent, stuck
}

// forgets reports whether no write has failed for so long that the store may have been
// well in between: nobody had anything to write.
func (t *trouble) forgets(now time.Time, timing Timing) bool {
	return now.Sub(t.wrote) > timing.StorePatience+maxBackOff
}

// retry returns when to retry what the store failed: one Keeper a second does,
// and wakes the others.
func (c *storeCalls) retry() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := 1
	if c.trouble != nil {
		waiting = max(waiting, c.trouble.queue)
	}
	return min(time.Duration(waiting)*time.Second, maxBackOff)
}
