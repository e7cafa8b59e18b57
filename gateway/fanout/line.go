package fanout

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/store"
)

// line is what one subscriber gets from this gateway. It has a goroutine while there
// is something to deliver.
type line struct {
	f    *Fanout
	name string
	bell chan struct{} // something may be there, or something has changed

	mu      sync.Mutex  // guards what follows
	sub     *subscriber // nil when it was taken away
	running bool

	failing int             // failures in a row, at least lastPause or so apart; 0: it is up
	until   time.Time       // when it may be tried again
	odd     map[string]bool // lanes of which something failed since the last success
	failure string          // the last
	warned  time.Time       // when the log was last told of an answer that did not come

	seen   store.Line // what waits, as of the last look
	counts counts
}

// counts are of this gateway, since its start.
type counts struct{ delivered, failed, late, dropped uint64 }

func newLine(f *Fanout, s *subscriber) *line {
	return &line{f: f, name: s.line, sub: s, bell: make(chan struct{}, 1), odd: map[string]bool{}}
}

// change gives the line another subscriber, or none. A corrected address is tried at
// once; a new title changes nothing.
func (l *line) change(s *subscriber) {
	l.mu.Lock()
	same := l.sub == s || l.sub != nil && s != nil && l.sub.Title != s.Title && l.sub.equal(s.Subscriber)
	l.sub = s
	if !same {
		l.failing, l.until, l.failure = 0, time.Time{}, ""
		clear(l.odd)
	}
	l.mu.Unlock()
	if !same {
		l.ring()
	}
}

func (l *line) see(of store.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = of
}

func (l *line) count(add func(*counts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	add(&l.counts)
}

// up reports whether the subscriber may be asked now, and whether nothing waits for
// it as far as is known.
func (l *line) up() (up, empty bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.until), l.seen.Waiting == 0
}

// ring has the line looked at.
func (l *line) ring() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.bell <- struct{}{}:
	default:
	}
	if !l.running && l.sub != nil && l.f.working.Err() == nil {
		l.running = true
		l.f.group.Go(l.run)
	}
}

// rest reports whether the goroutine may end: nobody has rung.
func (l *line) rest() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.bell) > 0 && l.sub != nil && l.f.working.Err() == nil {
		return false
	}
	l.running = false
	return true
}

// room returns the subscriber, how many deliveries may begin while busy are under way,
// and when to look again if none.
func (l *line) room(busy int) (sub *subscriber, most int, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pause = time.Until(l.until)
	switch {
	case pause > 0:
		return l.sub, 0, pause
	case l.failing > 0: // one delivery finds out
		return l.sub, max(0, 1-busy), 0
	case perLine-busy < lendLeast && busy > 0:
		return l.sub, 0, 0 // a look for each delivery would cost as much as the deliveries
	default:
		return l.sub, perLine - busy, 0
	}
}

// run delivers until nothing is left that could be.
func (l *line) run() {
	finished := make(chan struct{}, perLine)
	busy := 0
	defer func() {
		for ; busy > 0; busy-- {
			<-finished
		}
	}()
	dry := false // nothing was there at the last look
	for {
		sub, most, pause := l.room(busy)
		if sub == nil || l.f.working.Err() != nil {
			if l.rest() {
				return
			}
			continue
		}
		if most > 0 && !dry {
			select {
			case <-l.bell:
			default:
			}
			owner := rand.Text()
			ctx, cancel := context.WithTimeout(l.f.working, 2*storeTime)
			lent, err := l.f.store.Lend(ctx, l.name, owner, lendTime, most)
			cancel()
			if l.f.working.Err() == nil {
				l.f.answered(err)
			}
			for _, d := range lent {
				busy++
				l.f.group.Go(func() {
					defer func() { finished <- struct{}{} }()
					l.deliver(sub, d, owner)
				})
			}
			dry = len(lent) < most
			continue
		}
		if busy == 0 && dry && pause <= 0 {
			if l.rest() {
				return
			}
			dry = false
			continue
		}
		dry = l.await(&busy, finished, pause, dry)
	}
}

// await waits for what may change something, and reports whether the queue still has
// nothing for the line.
func (l *line) await(busy *int, finished <-chan struct{}, pause time.Duration, dry bool) bool {
	var over <-chan time.Time
	if pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-finished:
		*busy--
		return false // the next of its lane
	case <-l.bell:
		return false
	case <-over:
		return false
	case <-l.f.working.Done():
		return dry
	}
}

// deliver tries one delivery of the queue.
func (l *line) deliver(sub *subscriber, d store.Delivery, owner string) {
	text, err := l.f.open(sealName("push", l.name, d.ID), d.Body)
	var m *callback.Message
	if err == nil {
		m, err = callback.ParseMessage([]byte(text))
	}
	if err != nil {
		l.f.log.Error("a push that waits cannot be read by this gateway",
			"log_code", "fanout_waiting_unreadable", "subscriber", l.name, "error", err)
		l.later(d.ID, owner, lastPause)
		return
	}
	ctx, cancel := context.WithTimeout(l.f.sending, sendTime)
	defer cancel()
	appID := nameLine(l.name).AppID
	asked := l.f.answering(sub, appID, m)
	reply, err := l.f.send(ctx, sub, m, text, asked)
	if unusable, ok := errors.AsType[unusableError](err); ok { // it took the push all the same
		l.f.log.Warn("a subscriber took a push, and its answer cannot be used: the push is answered with success",
			"log_code", "fanout_answer_unusable", "subscriber", l.name, "error", unusable)
		err = nil
	}
	if asked && err == nil {
		if err := l.f.record(appID, d.ID, m, reply); err != nil {
			l.f.log.Warn("the answer of a subscriber cannot be recorded; the push is delivered to it again",
				"log_code", "fanout_answer_unrecorded", "subscriber", l.name, "error", err)
			l.later(d.ID, owner, backOff(d.Attempts))
			return
		}
	}
	switch {
	case err == nil:
		l.succeeded()
		l.done(d.ID)
	case l.f.sending.Err() != nil:
		l.later(d.ID, owner, 0)
	case isAway(err):
		l.failed(d.Lane, err)
		l.later(d.ID, owner, 0)
	default:
		l.failed(d.Lane, err)
		l.later(d.ID, owner, backOff(d.Attempts))
	}
}

// done removes what was delivered. What it cannot remove is delivered again.
func (l *line) done(id string) {
	for try := range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), storeTime)
		err := l.f.store.Done(ctx, l.name, id)
		cancel()
		if err == nil || !wait(l.f.sending, firstPause<<try/4) {
			return
		}
	}
	l.f.log.Warn("a push that was delivered cannot be removed from the store; it will be delivered again",
		"log_code", "fanout_not_removed", "subscriber", l.name)
}

// later gives a delivery back; if that fails, its lease ends.
func (l *line) later(id, owner string, pause time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	_ = l.f.store.Later(ctx, l.name, id, owner, pause)
}

// succeeded notes that the subscriber took something.
func (l *line) succeeded() {
	l.mu.Lock()
	was, waiting := l.failing, l.seen.Waiting
	l.failing, l.until, l.failure = 0, time.Time{}, ""
	clear(l.odd)
	l.counts.delivered++
	l.mu.Unlock()
	if was > 0 {
		l.f.log.Info("a subscriber takes pushes again", "subscriber", l.name, "waiting", waiting)
		l.ring()
	}
}

// failed notes that it did not. It is down when it cannot be reached, or takes nothing
// of several followers.
func (l *line) failed(lane string, err error) {
	l.mu.Lock()
	l.counts.failed++
	l.failure = err.Error()
	l.odd[lane] = true
	if !isAway(err) && len(l.odd) < oddLanes && l.failing == 0 || time.Now().Before(l.until) {
		l.mu.Unlock()
		l.f.log.Debug("a push was not taken", "subscriber", l.name, "error", err)
		return
	}
	l.failing++
	l.until = time.Now().Add(backOff(l.failing))
	first := l.failing == 1
	l.mu.Unlock()
	level := slog.LevelDebug
	if first {
		level = slog.LevelWarn
	}
	l.f.log.Log(context.Background(), level, "a subscriber takes no pushes; they wait in the store until it does",
		"log_code", "fanout_subscriber_down",
		"subscriber", l.name, "error", err)
}

// unanswered notes that the follower got no answer, and why. The log is told once a
// minute; Status counts all.
func (l *line) unanswered(why error) {
	l.mu.Lock()
	l.counts.late++
	level := slog.LevelDebug
	if why != nil && time.Since(l.warned) >= lastPause {
		level, l.warned = slog.LevelWarn, time.Now()
	}
	late := l.counts.late
	l.mu.Unlock()
	if why != nil {
		l.f.log.Log(context.Background(), level, "a subscriber did not answer a push; the follower is answered nothing, and it is delivered again",
			"log_code", "fanout_not_answered",
			"subscriber", l.name, "error", why, "unanswered", late)
	}
}

// backOff is a pause after n failures.
func backOff(n int) time.Duration {
	return jitter(min(firstPause<<min(max(n-1, 0), 10), lastPause))
}

// jitter is between a half and the whole of d.
func jitter(d time.Duration) time.Duration { return d/2 + mathrand.N(d/2+1) }
