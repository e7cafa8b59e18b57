package custody

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"
)

const (
	// defaultRenewalsPerSecond keeps a process that was just started with many accounts
	// from asking for all of them at once.
	defaultRenewalsPerSecond = 50

	// hurryMost is how many times faster work starts that is behind its time: twice as
	// fast for a second, three times for two.
	hurryMost = 10
)

const (
	defaultSpreadOver = time.Hour // of SchedulerConfig.SpreadOver
	many              = 1000      // Keepers of one Scheduler, from which on work is spread
)

// Scheduler starts what its Keepers have to do ahead of time: one heap and one
// goroutine for all of them. It also holds what Keepers on one store share: reads that
// travel together, and a subscription where a store has [Watcher]. It runs from the
// first Keeper on. A program with several accounts makes one and passes it to all of
// them:
//
//	s := custody.NewScheduler(custody.SchedulerConfig{})
//	defer s.Close()
type Scheduler struct {
	pace   time.Duration // between two starts
	paced  bool          // by the program: late or not
	spread time.Duration

	mu      sync.Mutex // guards what follows
	heap    taskHeap
	hubs    map[Store]*hub
	tasks   int
	phase   float64 // from 0 to 1
	running bool
	closed  bool
	next    time.Time // no start before it

	wake chan struct{} // the first task of the heap changed; one place
	stop chan struct{}
	done sync.WaitGroup
}

// SchedulerConfig sets a [Scheduler] up.
type SchedulerConfig struct {
	// MaxRenewalsPerSecond paces the starts of renewals ahead of time; 0 means 50, and
	// up to 500 while they are behind their time, as those of 10,000 tokens that live for
	// a minute would be. A caller that waits for a token is never paced.
	MaxRenewalsPerSecond float64

	// SpreadOver is the time over which the first fetches of more than 1,000
	// credentials are spread, so that their renewals do not come all at once ever
	// after; 0 means 1 h. It delays no caller either.
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
		pace:   time.Duration(float64(time.Second) / perSecond),
		paced:  cfg.MaxRenewalsPerSecond > 0,
		spread: spread,
		phase:  rand.Float64(),
		hubs:   map[Store]*hub{},
		wake:   make(chan struct{}, 1),
		stop:   make(chan struct{}),
	}
}

// Close stops the Scheduler and waits for its goroutines. Keepers that are
// still open continue without renewing ahead of time; close them first. Closing
// twice is safe.
func (s *Scheduler) Close() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	hubs := make([]*hub, 0, len(s.hubs))
	for _, h := range s.hubs {
		hubs = append(hubs, h)
	}
	s.mu.Unlock()
	if first {
		close(s.stop)
	}
	for _, h := range hubs {
		h.close()
	}
	s.done.Wait()
}

// join returns what the Keepers on store share, with f among them. A store that cannot
// be compared is shared by nobody.
func (s *Scheduler) join(store Store, key Key, f follower) *hub {
	s.mu.Lock()
	defer s.mu.Unlock()
	var h *hub
	shareable := reflect.TypeOf(store).Comparable()
	if shareable {
		h = s.hubs[store]
	}
	if h == nil {
		h = newHub(store)
		if s.closed {
			h.cancel()
		}
		if shareable {
			s.hubs[store] = h
		}
	}
	h.follow(key, f)
	return h
}

// leave undoes join. The last one to leave ends the hub.
func (s *Scheduler) leave(h *hub, key Key, f follower) {
	s.mu.Lock()
	last := h.leave(key, f)
	if last && reflect.TypeOf(h.store).Comparable() {
		delete(s.hubs, h.store)
	}
	s.mu.Unlock()
	if last {
		h.close()
	}
}

// add counts t in.
func (s *Scheduler) add(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.counted = true
	s.tasks++
}

// delay says when the first fetch, or the first renewal, of one of many is due
// if any time up to most will do; 0 where there are not many. Steps of the golden
// ratio fill the time more evenly than drawing does.
func (s *Scheduler) delay(most time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks < many {
		return 0
	}
	_, s.phase = math.Modf(s.phase + math.Phi)
	return time.Duration(s.phase * float64(most))
}

// set plans t for when, instead of its former time.
func (s *Scheduler) set(t *task, when time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !t.counted {
		return
	}
	if t.planned {
		t.when = when
		heap.Fix(&s.heap, t.index)
	} else {
		t.when, t.planned = when, true
		heap.Push(&s.heap, t)
	}
	if !s.running {
		s.running = true
		s.done.Go(s.run)
	}
	if s.heap[0] == t {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// remove forgets t.
func (s *Scheduler) remove(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.counted {
		return
	}
	t.counted = false
	s.tasks--
	if t.planned {
		heap.Remove(&s.heap, t.index)
		t.planned = false
	}
}

func (s *Scheduler) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t, wait := s.due()
		if t != nil {
			t.run.wakeUp()
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

// due takes the task whose time has come, or says how long nothing is to do.
func (s *Scheduler) due() (*task, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.heap) == 0 {
		return nil, time.Hour
	}
	now, first := time.Now(), s.heap[0]
	start := later(first.when, s.next)
	if wait := start.Sub(now); wait > 0 {
		return nil, wait
	}
	s.next = now.Add(s.until(now.Sub(first.when)))
	heap.Pop(&s.heap)
	first.planned = false
	return first, 0
}

// until returns the time between a start that comes late and the next one.
func (s *Scheduler) until(late time.Duration) time.Duration {
	if s.paced || late <= 0 {
		return s.pace
	}
	return time.Duration(float64(s.pace) / min(1+late.Seconds(), hurryMost))
}

// task is a Keeper's place in the heap, guarded by Scheduler.mu.
type task struct {
	run     interface{ wakeUp() } // something is due
	when    time.Time
	index   int
	planned bool
	counted bool
}

// taskHeap implements [heap.Interface]: the earliest first.
type taskHeap []*task

func (h taskHeap) Len() int           { return len(h) }
func (h taskHeap) Less(i, j int) bool { return h[i].when.Before(h[j].when) }

func (h taskHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *taskHeap) Push(x any) {
	t := x.(*task)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *taskHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}
