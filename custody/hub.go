package custody

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	gather      = 20 * time.Millisecond  // in which a program makes its Keepers before their records are loaded
	loadGap     = 100 * time.Millisecond // between two calls for records, once loadBurst of them came sooner
	loadBurst   = 10                     // calls without a gap between them
	loadsAtOnce = 32                     // calls for records that are under way at once, where a store has no LoadMany
	watchPause  = time.Second            // before a subscription that ended is made anew
)

// follower is a Keeper as its hub knows it.
type follower interface {
	notice()                       // the record may have changed: look
	compare(Record, time.Time)     // this is the record, by a question sent at that time: look if it is news
	seed(Record, time.Time, error) // this is the first record, or there is none, or the store failed
	storeBack()                    // the store does what it failed to do before
}

// hub is one store as the Keepers of a Scheduler share it. Their reads travel
// together, one subscription serves all of them, and the first call that
// succeeds after failures wakes all that the store failed before.
type hub struct {
	store   Store
	many    ManyLoader // nil where the store has no LoadMany
	watcher Watcher    // nil where the store has no Watch

	ctx    context.Context // ends with the Scheduler, or with the last follower
	cancel context.CancelFunc
	done   sync.WaitGroup
	slots  chan struct{} // one for each Load that is under way
	turns  turns         // of calls that change the store

	mu        sync.Mutex // guards what follows
	queue     []*question
	reading   bool      // a goroutine works the queue
	hurried   bool      // somebody in the queue waits for a value
	next      time.Time // of the pace: see loadGap
	gathered  time.Time // until then, Keepers that begin are waited for
	members   int
	followers map[Key]map[follower]struct{} // where the store says what changed
	failing   map[follower]bool             // whose last call failed: true for one that writes
	back      chan struct{}                 // one place: the store answers once more, subscribe at once
	hurry     chan struct{}                 // one place: a caller waits, so nothing is gathered
	watching  bool
}

// question asks for one record.
type question struct {
	key      Key
	patient  bool // nobody waits for more than an error, so it goes at the pace of the hub
	timeout  time.Duration
	report   func(call StoreCall, sent time.Time, err error) // nil: nobody wants to know
	answered func(Record, time.Time, error)                  // called once, from the hub's goroutine
}

func (q *question) reported(call StoreCall, sent time.Time, err error) {
	if q.report != nil {
		q.report(call, sent, err)
	}
}

func newHub(store Store) *hub {
	h := &hub{
		store: store, slots: make(chan struct{}, loadsAtOnce),
		followers: map[Key]map[follower]struct{}{}, failing: map[follower]bool{}, back: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
	}
	h.many, _ = store.(ManyLoader)
	h.watcher, _ = store.(Watcher)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// close ends the hub's goroutines and waits for them. Reads then go to the store one
// by one.
func (h *hub) close() {
	h.mu.Lock()
	h.cancel()
	h.mu.Unlock()
	h.done.Wait()
}

// goes runs do unless the hub is closed. The caller holds mu.
func (h *hub) goes(do func()) bool {
	if h.ctx.Err() != nil {
		return false
	}
	h.done.Go(do)
	return true
}

// follow tells f of changes of key's record from now on.
func (h *hub) follow(key Key, f follower) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members++
	if h.watcher == nil {
		return
	}
	if h.followers[key] == nil {
		h.followers[key] = map[follower]struct{}{}
	}
	h.followers[key][f] = struct{}{}
	if !h.watching {
		h.watching = h.goes(h.listen)
	}
}

// leave undoes follow and reports whether f was the last follower.
func (h *hub) leave(key Key, f follower) (last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.failing, f)
	h.members--
	if h.watcher != nil {
		delete(h.followers[key], f)
		if len(h.followers[key]) == 0 {
			delete(h.followers, key)
		}
	}
	return h.members == 0
}

// begin asks for the first record of a Keeper, together with those of others that
// begin now. It reports false where each has to ask for itself.
func (h *hub) begin(q *question) bool {
	if h.many == nil {
		return false
	}
	h.mu.Lock()
	if !h.reading {
		h.gathered = time.Now().Add(gather)
	}
	h.mu.Unlock()
	return h.ask(q)
}

// read asks for a record and waits for the answer until ctx ends.
func (h *hub) read(ctx context.Context, q question) (Record, time.Time, error) {
	type answer struct {
		record Record
		sent   time.Time
		err    error
	}
	if h.many == nil || h.ctx.Err() != nil {
		return h.readOne(ctx, q)
	}
	answers := make(chan answer, 1)
	q.answered = func(record Record, sent time.Time, err error) { answers <- answer{record, sent, err} }
	h.ask(&q)
	select {
	case a := <-answers:
		return a.record, a.sent, a.err
	case <-ctx.Done():
		return Record{}, time.Time{}, ctx.Err()
	case <-h.ctx.Done():
		return h.readOne(ctx, q)
	}
}

// readOne is read for a store that answers about one record at a time.
func (h *hub) readOne(ctx context.Context, q question) (Record, time.Time, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return Record{}, time.Time{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	sent := time.Now()
	record, err := h.store.Load(ctx, q.key)
	q.reported(CallLoad, sent, err)
	return record, sent, err
}

// ask puts q into the queue. It reports false when the hub is closed.
func (h *hub) ask(q *question) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return false
	}
	h.queue = append(h.queue, q)
	if !q.patient {
		h.hurried = true
		select {
		case h.hurry <- struct{}{}:
		default:
		}
	}
	if !h.reading {
		h.reading = h.goes(h.work)
	}
	return true
}

// work asks the store for what is in the queue until the queue is empty. What is
// asked in the meantime goes with the next call; where nobody is in a hurry, a moment
// is waited for more.
func (h *hub) work() {
	for h.ctx.Err() == nil {
		h.mu.Lock()
		if len(h.queue) == 0 {
			h.reading = false
			h.mu.Unlock()
			return
		}
		now := time.Now()
		start := h.gathered // so that each knows how many there are: see Scheduler.delay
		if len(h.queue) < MaxLoadMany {
			start = later(start, h.next.Add(-loadBurst*loadGap))
		}
		if !h.hurried && now.Before(start) {
			h.mu.Unlock()
			h.pause(start.Sub(now))
			continue
		}
		h.next = earlier(later(h.next, now), now.Add(loadBurst*loadGap)).Add(loadGap)
		batch := h.queue[:min(len(h.queue), MaxLoadMany)]
		h.queue = slices.Clone(h.queue[len(batch):])
		h.hurried = slices.ContainsFunc(h.queue, func(q *question) bool { return !q.patient })
		h.mu.Unlock()
		h.load(batch)
	}
}

// pause waits for d, or for a caller.
func (h *hub) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.hurry:
	case <-h.ctx.Done():
	}
}

func (h *hub) load(batch []*question) {
	first := batch[0]
	if len(batch) == 1 {
		ctx, cancel := context.WithTimeout(h.ctx, first.timeout)
		defer cancel()
		sent := time.Now()
		record, err := h.store.Load(ctx, first.key)
		first.reported(CallLoad, sent, err)
		first.answered(record, sent, err)
		return
	}
	keys := make([]Key, len(batch))
	for i, q := range batch {
		keys[i] = q.key
	}
	records, sent, err := h.loadMany(keys, first.timeout)
	if i := slices.IndexFunc(batch, func(q *question) bool { return q.report != nil }); i >= 0 {
		batch[i].reported(CallLoadMany, sent, err) // one reports a call for many
	}
	for _, q := range batch {
		record, found := records[q.key]
		switch {
		case err != nil:
			q.answered(Record{}, sent, err)
		case !found:
			q.answered(Record{Now: sent}, sent, ErrNotFound)
		default:
			q.answered(record, sent, nil)
		}
	}
}

// loadMany is LoadMany, which may take four times as long as a call about one.
func (h *hub) loadMany(keys []Key, timeout time.Duration) (map[Key]Record, time.Time, error) {
	ctx, cancel := context.WithTimeout(h.ctx, 4*timeout)
	defer cancel()
	sent := time.Now()
	records, err := h.many.LoadMany(ctx, keys)
	return records, sent, err
}

// failed remembers that the store failed f, in a call that writes or only reads. It
// returns how many wait for the store.
func (h *hub) failed(f follower, write bool) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing[f] = write || h.failing[f]
	return len(h.failing)
}

// answered records that the store did its part of a call of f. What failed before for
// lack of the same wakes up.
func (h *hub) answered(f follower, write bool) {
	h.mu.Lock()
	if len(h.failing) == 0 {
		h.mu.Unlock()
		return
	}
	var back []follower
	for other, wrote := range h.failing {
		if write || !wrote {
			delete(h.failing, other)
			if other != f {
				back = append(back, other)
			}
		}
	}
	h.mu.Unlock()
	if len(back) == 0 {
		return
	}
	select {
	case h.back <- struct{}{}:
	default:
	}
	for _, other := range back {
		other.storeBack()
	}
}

// listen passes notices on. Nobody was notified of what changed before a subscription
// began, so all records are compared then. Notices may be lost all the same:
// nothing depends on them.
func (h *hub) listen() {
	for h.ctx.Err() == nil {
		changed, err := h.watcher.Watch(h.ctx)
		if err == nil {
			h.compareAll()
			for key := range changed {
				for _, f := range h.following(key) {
					f.notice()
				}
			}
		}
		timer := time.NewTimer(watchPause)
		select {
		case <-timer.C:
		case <-h.back:
		case <-h.ctx.Done():
		}
		timer.Stop()
	}
}

func (h *hub) following(key Key) []follower {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.followers[key]))
}

// compareAll shows the followers their records, many with one question where the store
// takes it.
func (h *hub) compareAll() {
	h.mu.Lock()
	keys := slices.Collect(maps.Keys(h.followers))
	h.mu.Unlock()
	for batch := range slices.Chunk(keys, MaxLoadMany) {
		if h.many == nil {
			for _, key := range batch {
				for _, f := range h.following(key) {
					f.notice()
				}
			}
			continue
		}
		records, sent, err := h.loadMany(batch, compareTime)
		if err != nil {
			return // the subscription will end as well
		}
		for key, record := range records {
			for _, f := range h.following(key) {
				f.compare(record, sent)
			}
		}
	}
}

// compareTime bounds the comparison at the beginning of a subscription.
const compareTime = time.Second

// storeFailure reports whether err says that the store did not do its part: anything
// but an answer of its contract, or the end of the caller.
func storeFailure(err error) bool {
	return err != nil && !isAnswer(err) && !errors.Is(err, ErrClosed) && !errors.Is(err, context.Canceled)
}

// isAnswer reports whether err is one that the contract of a store knows.
func isAnswer(err error) bool {
	var held *HeldError
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrFenced) || errors.As(err, &held)
}
