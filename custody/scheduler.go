package custody

import (
	"container/heap"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"
)

// defaultRenewalsPerSecond keeps a process that was just started with many
// accounts from asking for all of them at once.
const defaultRenewalsPerSecond = 50

const (
	defaultSpreadOver = time.Hour
	many              = 1000                  // Keepers of one Scheduler, from which on work is spread
	gather            = 20 * time.Millisecond // in which a program makes its Keepers before they are loaded
)

// Scheduler starts what its Keepers have to do ahead of time: one heap and one
// goroutine for all of them, plus one that listens where a store has [Watcher].
// It runs from the first Keeper on. A program with several accounts makes one
// and passes it to all of them:
//
//	s := custody.NewScheduler(custody.SchedulerConfig{})
//	defer s.Close()
type Scheduler struct {
	pace   time.Duration // between two starts
	spread time.Duration

	mu      sync.Mutex // guards what follows
	heap    keeperHeap
	watches map[Store]*watch
	keepers int
	phase   float64             // from 0 to 1
	loading map[Store][]*Keeper // to be loaded, where a store loads many at once
	running bool
	closed  bool
	next    time.Time // no start before it

	wake chan struct{} // the first entry of the heap changed; one place
	stop chan struct{}
	done sync.WaitGroup
}

// SchedulerConfig sets a [Scheduler] up.
type SchedulerConfig struct {
	// MaxRenewalsPerSecond paces the starts of renewals ahead of time; 0 means 50.
	// A caller who waits for a token is never paced.
	MaxRenewalsPerSecond float64

	// SpreadOver is the time over which the first fetches of more than 1,000
	// credentials are spread, so that their renewals do not come all at once ever
	// after; 0 means 1 h. It too holds up no caller.
	SpreadOver time.Duration
}

// NewScheduler returns a Scheduler that does nothing until a Keeper uses it. A
// negative or absurd pace panics: it is a constant of the program.
func NewScheduler(cfg SchedulerConfig) *Scheduler {
	perSecond := cfg.MaxRenewalsPerSecond
	if perSecond == 0 {
		perSecond = defaultRenewalsPerSecond
	}
	if !(perSecond > 0) || math.IsInf(perSecond, 1) {
		panic(fmt.Sprintf("zhongkong: SchedulerConfig.MaxRenewalsPerSecond is %v: it must be a positive number", perSecond))
	}
	if cfg.SpreadOver < 0 {
		panic(fmt.Sprintf("zhongkong: SchedulerConfig.SpreadOver is %s: it must not be negative", cfg.SpreadOver))
	}
	spread := cfg.SpreadOver
	if spread == 0 {
		spread = defaultSpreadOver
	}
	return &Scheduler{
		pace:    time.Duration(float64(time.Second) / perSecond),
		spread:  spread,
		phase:   rand.Float64(),
		watches: map[Store]*watch{},
		loading: map[Store][]*Keeper{},
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
	}
}

// Close stops the Scheduler and waits for its goroutines. Keepers that are
// still open go on, without renewing ahead of time; close them first. Closing
// twice is safe.
func (s *Scheduler) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stop)
		clear(s.loading)
		for _, w := range s.watches {
			w.cancel()
		}
	}
	s.mu.Unlock()
	s.done.Wait()
}

// add counts k in.
func (s *Scheduler) add(k *Keeper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.counted = true
	s.keepers++
}

// delay says when the first fetch, or the first renewal, of one of many is due
// if any time up to most will do; 0 where there are not many. Steps of the golden
// ratio fill the time more evenly than drawing does.
func (s *Scheduler) delay(most time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keepers <= many {
		return 0
	}
	_, s.phase = math.Modf(s.phase + math.Phi)
	return time.Duration(s.phase * float64(most))
}

// load has k's record loaded together with others'. It reports false when k has
// to do that itself.
func (s *Scheduler) load(k *Keeper) bool {
	store, ok := k.cfg.Store.(ManyLoader)
	if !ok || !reflect.TypeOf(k.cfg.Store).Comparable() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	waiting, busy := s.loading[k.cfg.Store]
	s.loading[k.cfg.Store] = append(waiting, k)
	if !busy {
		s.done.Go(func() { s.loadAll(k.cfg.Store, store) })
	}
	return true
}

// loadAll loads the records of all Keepers that wait for it, and ends.
func (s *Scheduler) loadAll(key Store, store ManyLoader) {
	select {
	case <-time.After(gather):
	case <-s.stop:
		return
	}
	for {
		s.mu.Lock()
		waiting := s.loading[key]
		if len(waiting) == 0 {
			delete(s.loading, key)
			s.mu.Unlock()
			return
		}
		batch := waiting[:min(len(waiting), MaxLoadMany)]
		s.loading[key] = waiting[len(batch):]
		s.mu.Unlock()

		keys := make([]Key, len(batch))
		for i, k := range batch {
			keys[i] = k.cfg.Key
		}
		sent := time.Now()
		records, err := s.loadMany(context.Background(), store, batch, keys)
		for _, k := range batch {
			if err != nil {
				s.set(k, sent) // each for itself, at the Scheduler's pace
				continue
			}
			record, ok := records[k.cfg.Key]
			if !ok {
				record.Now = sent
			}
			k.seed(record, sent)
		}
	}
}

// set plans k for when, in place of its former time.
func (s *Scheduler) set(k *Keeper, when time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	e := &k.entry
	if e.planned {
		e.when = when
		heap.Fix(&s.heap, e.index)
	} else {
		e.keeper, e.when, e.planned = k, when, true
		heap.Push(&s.heap, e)
	}
	if !s.running {
		s.running = true
		s.done.Go(s.run)
	}
	if s.heap[0] == e {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// remove forgets k.
func (s *Scheduler) remove(k *Keeper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !k.counted {
		return
	}
	k.counted = false
	s.keepers--
	if e := &k.entry; e.planned {
		heap.Remove(&s.heap, e.index)
		e.planned = false
	}
}

func (s *Scheduler) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		k, wait := s.due()
		if k != nil {
			k.wakeUp()
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.stop:
			return
		}
	}
}

// due takes the Keeper whose time has come, or says how long nothing is to do.
func (s *Scheduler) due() (*Keeper, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.heap) == 0 {
		return nil, time.Hour
	}
	now, first := time.Now(), s.heap[0]
	start := first.when
	if start.Before(s.next) {
		start = s.next
	}
	if wait := start.Sub(now); wait > 0 {
		return nil, wait
	}
	s.next = now.Add(s.pace)
	heap.Pop(&s.heap)
	first.planned = false
	return first.keeper, 0
}

// watch is one subscription to the notices of a store, for all its Keepers.
type watch struct {
	cancel  context.CancelFunc
	keepers map[Key]map[*Keeper]struct{} // guarded by Scheduler.mu
}

// subscribe lets k look whenever its store says that its record changed.
func (s *Scheduler) subscribe(k *Keeper) {
	store, ok := k.cfg.Store.(Watcher)
	if !ok || !reflect.TypeOf(k.cfg.Store).Comparable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	w := s.watches[k.cfg.Store]
	if w == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w = &watch{cancel: cancel, keepers: map[Key]map[*Keeper]struct{}{}}
		s.watches[k.cfg.Store] = w
		s.done.Go(func() { s.listen(ctx, store, w) })
	}
	if w.keepers[k.cfg.Key] == nil {
		w.keepers[k.cfg.Key] = map[*Keeper]struct{}{}
	}
	w.keepers[k.cfg.Key][k] = struct{}{}
}

// unsubscribe undoes subscribe; the last one of a store ends its subscription.
func (s *Scheduler) unsubscribe(k *Keeper) {
	if _, ok := k.cfg.Store.(Watcher); !ok || !reflect.TypeOf(k.cfg.Store).Comparable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watches[k.cfg.Store]
	if w == nil {
		return
	}
	delete(w.keepers[k.cfg.Key], k)
	if len(w.keepers[k.cfg.Key]) == 0 {
		delete(w.keepers, k.cfg.Key)
	}
	if len(w.keepers) == 0 {
		w.cancel()
		delete(s.watches, k.cfg.Store)
	}
}

// listen passes notices on until ctx ends. A subscription that cannot be had or
// breaks off is made again after a pause. What changed before it began was told
// to nobody, so all records are looked at then; and as notices may be lost all
// the same, nothing hangs on them.
func (s *Scheduler) listen(ctx context.Context, store Watcher, w *watch) {
	pause := time.Second
	for ctx.Err() == nil {
		changed, err := store.Watch(ctx)
		if err == nil {
			pause = time.Second
			s.lookAround(ctx, store, w)
			for key := range changed {
				s.notify(w, key)
			}
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, time.Minute)
	}
}

func (s *Scheduler) notify(w *watch, key Key) {
	for _, k := range s.watching(w, key) {
		k.notice()
	}
}

func (s *Scheduler) watching(w *watch, key Key) []*Keeper {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(w.keepers[key]))
}

// lookAround tells the Keepers of w whose record is another than they know, many
// with one question where the store takes it.
func (s *Scheduler) lookAround(ctx context.Context, store Watcher, w *watch) {
	s.mu.Lock()
	keys := slices.Collect(maps.Keys(w.keepers))
	s.mu.Unlock()
	loader, ok := store.(ManyLoader)
	for batch := range slices.Chunk(keys, MaxLoadMany) {
		var records map[Key]Record
		sent := time.Now()
		if ok {
			var err error
			if records, err = s.loadMany(ctx, loader, s.watching(w, batch[0]), batch); err != nil {
				return // it will break off as well
			}
		}
		for _, key := range batch {
			record, found := records[key]
			for _, k := range s.watching(w, key) {
				switch {
				case !ok:
					s.set(k, time.Now()) // at the Scheduler's pace
				case found:
					k.compare(record, sent)
				}
			}
		}
	}
}

func (s *Scheduler) loadMany(ctx context.Context, store ManyLoader, of []*Keeper, keys []Key) (map[Key]Record, error) {
	if len(of) == 0 { // closed meanwhile
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 4*of[0].cfg.Timing.StoreTimeout)
	defer cancel()
	sent := time.Now()
	records, err := store.LoadMany(ctx, keys)
	loadedMany(of, sent, err)
	return records, err
}

// sleep waits for d and reports whether ctx lasted that long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// entry is a Keeper's place in the heap, guarded by Scheduler.mu.
type entry struct {
	keeper  *Keeper
	when    time.Time
	index   int
	planned bool
}

// keeperHeap implements [heap.Interface]: the earliest first.
type keeperHeap []*entry

func (h keeperHeap) Len() int           { return len(h) }
func (h keeperHeap) Less(i, j int) bool { return h[i].when.Before(h[j].when) }

func (h keeperHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *keeperHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *keeperHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
