package fanout

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/store"
)

// WeChat waits 5 s for an answer and asks three times.
const (
	freshness    = 5 * time.Minute         // how far a push's timestamp may be from now
	answerTime   = 4500 * time.Millisecond // after a push's arrival, when it has to be answered
	askTime      = 4 * time.Second         // after its arrival, until when the first subscriber may answer it
	storeTime    = time.Second             // to the store
	claimTime    = 6 * time.Second         // until another delivery of WeChat's takes a push over
	rememberTime = 24 * time.Hour          // of what came under a plain signature

	holdTime  = 20 * time.Second // of a delivery by whoever answers WeChat; longer than all three requests take
	lendTime  = 30 * time.Second // of a delivery by whoever works the queue; longer than it takes
	sendTime  = 10 * time.Second // for a subscriber to answer what is delivered from the queue
	graceTime = 3 * time.Second  // for deliveries that are under way at Close
)

const (
	perLine    = 8                  // deliveries to a subscriber at a time
	lendLeast  = 3                  // of them that have to be free before more are looked for
	oddLanes   = 3                  // followers of whom a subscriber takes nothing, until it counts as down
	firstPause = time.Second        // after a failure, doubling to
	lastPause  = time.Minute        // which is also the longest that a subscriber that is back is not noticed
	keepTime   = 3 * 24 * time.Hour // of what a subscriber does not take
	keepMost   = 100_000            // of the same
	patrolTime = 2 * time.Second    // between looks at the queue
	patrolCost = 20                 // times what a look takes, at least
	patrolIdle = time.Hour          // between looks of a gateway without callbacks: what is left of before is dropped some time
)

// syncOwner has the deliveries that whoever answers WeChat tries first. callback.Once
// sees to it that there is one for each push.
const syncOwner = "answer"

// Config describes a Fanout.
type Config struct {
	// Store keeps what was not taken yet, and what was answered.
	Store store.Store

	SealKeys []custody.Secret // seal pushes in the store: the first seals, all open

	// Transport carries pushes to subscribers. Nil means one with timeouts that obeys
	// HTTPS_PROXY and NO_PROXY.
	Transport http.RoundTripper

	// Refused counts a push that was refused to an address, and reports whether the
	// log is to tell of it.
	Refused func(remote string) bool

	Logger *slog.Logger // gets a Warn when a subscriber does not take a push; required
}

// Fanout hands what WeChat pushes to the subscribers of an account. It is safe for
// concurrent use.
type Fanout struct {
	store     store.Store
	keys      []custody.Secret
	transport http.RoundTripper
	idle      func()
	refused   func(remote string) bool
	log       *slog.Logger

	receivers atomic.Pointer[map[string]*receiver] // by appid; the map never changes

	working context.Context // ends when no more is taken from the queue
	stop    context.CancelFunc
	sending context.Context // ends when deliveries are broken off
	cut     context.CancelFunc
	group   sync.WaitGroup // of the goroutines

	mu    sync.Mutex // guards what follows
	lines map[string]*line
	told  map[string]bool // lines without a subscriber of which the log knows
	away  bool            // the store did not answer; said once
}

// New returns a Fanout without accounts. Close it.
func New(cfg Config) *Fanout {
	f := &Fanout{
		store: cfg.Store, keys: cfg.SealKeys, transport: cfg.Transport, idle: func() {}, refused: cfg.Refused, log: cfg.Logger,
		lines: map[string]*line{}, told: map[string]bool{},
	}
	if f.transport == nil {
		own := network.New(network.Steps{Dial: 3 * time.Second, TLS: 3 * time.Second, Idle: 90 * time.Second, IdlePerHost: perLine})
		own.MaxResponseHeaderBytes = 64 << 10
		f.transport, f.idle = own, own.CloseIdleConnections
	}
	f.receivers.Store(&map[string]*receiver{})
	f.working, f.stop = context.WithCancel(context.Background())
	f.sending, f.cut = context.WithCancel(context.Background())
	f.group.Go(f.patrol)
	return f
}

// Account is an account with what stands in its console.
type Account struct {
	AppID    string    // or corpid:agentid of an app of WeCom
	Callback *Callback // required
}

// Prepare checks the callbacks of accounts, and returns what makes them those at work.
func (f *Fanout) Prepare(list []Account) (set func(), err error) {
	before, next := *f.receivers.Load(), map[string]*receiver{}
	for _, a := range list {
		if old := before[a.AppID]; old != nil && old.spec.equal(a.Callback) {
			next[a.AppID] = old
			continue
		}
		r, err := newReceiver(a.AppID, a.Callback)
		if err != nil {
			return nil, named.Errorf("gateway", "account %s: callback: %w", a.AppID, err)
		}
		next[a.AppID] = r
	}
	if err := ownTokens(list); err != nil {
		return nil, err
	}
	return func() { f.set(next) }, nil
}

// ownTokens returns an error for two accounts in plain mode that have one Token: a
// signature that was seen at one would carry any body into the other.
func ownTokens(list []Account) error {
	for i, a := range list {
		for _, b := range list[:i] {
			if !a.Callback.AESKey.IsZero() || !b.Callback.AESKey.IsZero() {
				continue
			}
			for _, token := range []custody.Secret{a.Callback.Token, a.Callback.PreviousToken} {
				if !token.IsZero() && (token.Equal(b.Callback.Token) || token.Equal(b.Callback.PreviousToken)) {
					return named.Errorf("gateway", "account %s: callback: its Token is that of account %s too, and neither has an AES key: anyone who sees a signature of one "+
						"can forge pushes to the other; give each a Token of its own, or choose safe mode (安全模式)", a.AppID, b.AppID)
				}
			}
		}
	}
	return nil
}

// set makes receivers those at work. Calls that are under way end as they began.
func (f *Fanout) set(receivers map[string]*receiver) {
	f.receivers.Store(&receivers)
	now := map[string]*subscriber{}
	for _, r := range receivers {
		for _, s := range r.subscribers {
			now[s.line] = s
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, s := range now {
		delete(f.told, name)
		if l := f.lines[name]; l != nil {
			l.change(s)
			continue
		}
		f.lines[name] = newLine(f, s)
	}
	for name, l := range f.lines {
		if now[name] == nil {
			l.change(nil)
			delete(f.lines, name)
		}
	}
}

// line returns that of a subscriber, nil when it was taken away.
func (f *Fanout) line(name string) *line {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines[name]
}

// patrol looks what lies in the queue: that of gateways which ended, what is to be
// tried again, and what is too old.
func (f *Fanout) patrol() {
	last, pause := time.Now(), patrolTime
	for wait(f.working, jitter(pause)) {
		if len(*f.receivers.Load()) == 0 && time.Since(last) < patrolIdle {
			continue
		}
		last = time.Now()
		f.look(f.working)
		pause = max(patrolTime, patrolCost*time.Since(last))
	}
}

// look is one look.
func (f *Fanout) look(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, 2*storeTime)
	lines, err := f.store.Lines(short)
	cancel()
	if ctx.Err() != nil {
		return
	}
	f.answered(err)
	if err != nil {
		return
	}
	waiting := make(map[string]store.Line, len(lines))
	for _, of := range lines {
		waiting[of.Name] = of
		f.trim(ctx, of)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, l := range f.lines {
		of := waiting[name]
		l.see(of)
		if of.Waiting > 0 && of.Free == 0 {
			l.ring()
		}
	}
	for name, of := range waiting {
		if f.lines[name] == nil && !f.told[name] {
			f.told[name] = true
			f.log.Warn("pushes wait for a subscriber that is not configured; they are dropped when they are 3 days old, unless it comes back",
				"log_code", "fanout_subscriber_not_configured",
				"subscriber", name, "waiting", of.Waiting)
		}
	}
}

// trim drops what is too much of a line, and says so.
func (f *Fanout) trim(ctx context.Context, of store.Line) {
	if of.Oldest <= keepTime && of.Waiting <= keepMost {
		return
	}
	short, cancel := context.WithTimeout(ctx, 2*storeTime)
	defer cancel()
	n, err := f.store.Trim(short, of.Name, keepTime, keepMost)
	if err != nil || n == 0 {
		return // the next look tries again, or another gateway was first
	}
	f.log.Error("pushes were dropped: the subscriber did not take them in 3 days, or more than 100,000 wait for it",
		"log_code", "fanout_dropped", "subscriber", of.Name, "dropped", n)
	if l := f.line(of.Name); l != nil {
		l.count(func(c *counts) { c.dropped += uint64(n) })
	}
}

// answered says once when the store goes away and once when it is back.
func (f *Fanout) answered(err error) {
	f.mu.Lock()
	before := f.away
	f.away = err != nil
	f.mu.Unlock()
	switch {
	case err != nil && !before:
		f.log.Warn("the store does not answer; until it does, a push is handed to all its subscribers at once, and taken only if all of them take it; else it is sent again",
			"log_code", "fanout_store_away", "error", err)
	case err == nil && before:
		f.log.Info("the store keeps pushes again")
	}
}

// aside does what the answer to WeChat need not wait for.
func (f *Fanout) aside(do func()) {
	if f.working.Err() != nil {
		do() // Close may not wait for one more
		return
	}
	f.group.Go(do)
}

// Close lets deliveries that are under way end, for a while.
func (f *Fanout) Close() {
	f.stop()
	late := time.AfterFunc(graceTime, f.cut)
	f.group.Wait()
	late.Stop()
	f.cut()
	f.idle()
}

// sealName binds a sealed text to where it lies.
func sealName(kind, line, id string) string { return kind + " " + line + " " + id }

// seal returns text for the store.
func (f *Fanout) seal(name, text string) ([]byte, error) {
	sealed, keyID, err := custody.Seal(f.keys, name, custody.NewSecret(text))
	if err != nil {
		return nil, err
	}
	return []byte(keyID + " " + sealed), nil
}

// open reverses seal.
func (f *Fanout) open(name string, body []byte) (string, error) {
	keyID, sealed, ok := strings.Cut(string(body), " ")
	if !ok {
		return "", errors.New("it is damaged")
	}
	text, err := custody.Unseal(f.keys, name, sealed, keyID)
	return text.Reveal(), err
}

// wait reports false when ctx ended before d was over.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
