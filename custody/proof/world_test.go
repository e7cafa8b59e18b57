package proof_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// point is where a trap waits: before or after the effect of a call.
type point struct {
	call  string // load, acquire, begin, save, release, shorten, fetch, probe
	after bool
}

func (p point) String() string {
	if p.after {
		return "after " + p.call
	}
	return "before " + p.call
}

// effect is what a trap does.
type effect struct {
	kind string        // error: the call, or its answer, is lost; delay: this call; freeze: the whole process; kill
	long time.Duration // of a delay or a freeze
}

func (e effect) String() string {
	if e.long > 0 {
		return e.kind + " for " + e.long.String()
	}
	return e.kind
}

var (
	errTrap = errors.New("connection reset")
	errDead = errors.New("the process is dead")
)

// process is one program with a Keeper: everything that it does to the world
// passes its gate, where it can be stopped.
type process struct {
	w  *world
	id int
	k  *custody.Keeper

	asking atomic.Int32 // calls of WeChat that are under way; for a breach of the protocol

	mu     sync.Mutex // guards what follows
	traps  map[point]effect
	frozen time.Time // until then nothing happens
	dead   bool
	last   map[custody.Key]custody.Record // for a breach of the protocol: what was loaded last
}

// yield lets other goroutines go first, sometimes, in a world that is restless:
// what happens in one moment of the bubble's time then happens in orders that an
// idle machine never shows.
func (w *world) yield() {
	if w.restless && rand.IntN(3) == 0 {
		for range rand.IntN(50) {
			runtime.Gosched()
		}
	}
}

// gate is passed before and after each call.
func (p *process) gate(ctx context.Context, at point) error {
	p.w.yield()
	defer p.w.yield()
	p.mu.Lock()
	e, ok := p.traps[at]
	delete(p.traps, at)
	if ok {
		p.w.disturb(fmt.Sprintf("process %d: %s %s", p.id, e, at))
		switch e.kind {
		case "kill":
			p.dead = true
		case "freeze":
			p.frozen = time.Now().Add(e.long)
			p.w.disturbedUntil(p.frozen)
		}
	}
	p.mu.Unlock()
	for { // a stopped process does not see its ctx end
		p.mu.Lock()
		thaw := p.frozen
		p.mu.Unlock()
		if !time.Now().Before(thaw) {
			break
		}
		time.Sleep(min(time.Until(thaw), time.Second)) // end thaws it early
	}
	if p.isDead() {
		return errDead
	}
	switch e.kind {
	case "error":
		return errTrap
	case "delay":
		select {
		case <-time.After(e.long):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *process) isFrozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.frozen)
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// through makes a call between the two gates of its name.
func through[T any](ctx context.Context, p *process, name string, call func() (T, error)) (T, error) {
	var zero T
	began := time.Now()
	if err := p.gate(ctx, point{name, false}); err != nil {
		p.w.returned(name, began)
		return zero, err
	}
	v, err := call()
	gateErr := p.gate(ctx, point{name, true})
	p.w.returned(name, began)
	if gateErr != nil {
		return zero, gateErr
	}
	return v, err
}

// port is a process's way to the store.
type port struct{ *process }

func (p port) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	return through(ctx, p.process, "load", func() (custody.Record, error) {
		record, err := p.w.store.Load(ctx, key)
		record.Now = record.Now.Add(p.w.skew())
		p.mu.Lock()
		p.last[key] = record
		p.mu.Unlock()
		return record, err
	})
}

func (p port) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	return through(ctx, p.process, "acquire", func() (custody.Lease, error) {
		p.w.books.Lock()
		defer p.w.books.Unlock()
		lease, err := p.w.store.Acquire(ctx, key, attempt, ttl)
		if err == nil {
			p.w.gave(lease.Fence)
			lease.Record.Now = lease.Record.Now.Add(p.w.skew())
			if !lease.Unfinished.IsZero() {
				lease.Unfinished = lease.Unfinished.Add(p.w.skew())
			}
			if p.w.breach == "no second look" {
				p.mu.Lock()
				lease.Record = p.last[key]
				p.mu.Unlock()
				lease.Record.Now = time.Now().Add(p.w.skew())
			}
		}
		return lease, err
	})
}

func (p port) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	_, err := through(ctx, p.process, "begin", func() (struct{}, error) {
		return struct{}{}, p.w.store.Begin(ctx, lease, notes)
	})
	return err
}

func (p port) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	_, err := through(ctx, p.process, "save", func() (struct{}, error) {
		p.w.books.Lock()
		defer p.w.books.Unlock()
		err := p.w.store.Save(ctx, lease, record)
		if err == nil {
			p.w.saved(lease.Fence, record.Value)
		}
		return struct{}{}, err
	})
	return err
}

func (p port) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	_, err := through(ctx, p.process, "release", func() (struct{}, error) {
		return struct{}{}, p.w.store.Release(ctx, lease, notes)
	})
	return err
}

func (p port) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	p.w.stir()
	_, err := through(ctx, p.process, "shorten", func() (struct{}, error) {
		return struct{}{}, p.w.store.Shorten(ctx, key, fence, end)
	})
	return err
}

func (p port) Close() error { return nil }

func (p port) Watch(ctx context.Context) (<-chan custody.Key, error) {
	watcher, ok := p.w.store.(custody.Watcher)
	if !ok {
		return nil, errors.New("this store tells nothing")
	}
	return watcher.Watch(ctx)
}

// RoundTrip is a process's way to WeChat.
func (p *process) RoundTrip(r *http.Request) (*http.Response, error) {
	name := "fetch"
	if strings.HasSuffix(r.URL.Path, "get_api_domain_ip") {
		name = "probe"
	}
	p.asking.Add(1)
	defer p.asking.Add(-1)
	return through(r.Context(), p, name, func() (*http.Response, error) {
		if name == "probe" {
			return p.w.wire.RoundTrip(r)
		}
		before, good, hits := p.w.issued(), p.w.good(), p.w.hits()
		answer, err := p.w.wire.RoundTrip(r)
		p.w.count()
		if p.w.hits() > hits {
			p.w.disturb("and meets a fault")
		}
		if good > 0 && p.w.issued() > before {
			p.w.violation("process %d: a new token although the stored one was good for %s", p.id, good)
		}
		return answer, err
	})
}

// world is everything in one schedule: WeChat, a store, and processes. It notes
// what must never happen.
type world struct {
	t       *testing.T
	breach  string // how the protocol is broken on purpose; "" for not at all
	api     platform.TokenAPI
	overlap time.Duration
	sim     *simulator.Simulator
	wire    http.RoundTripper
	appID   string
	secret  custody.Secret
	store   custody.Store
	key     custody.Key
	start   time.Time
	all     []*process

	restless bool // one world in sixteen: it takes time

	books sync.Mutex // held while a lease is given or a token saved, and that is noted

	mu         sync.Mutex // guards what follows
	violations []string
	diary      []string
	disturbed  time.Time // the last time that anything went wrong
	troubles   int
	outside    time.Time // the last time that somebody else fetched, or killed a token
	given      int64     // the highest fence
	savedFence int64
	values     map[string]time.Time // that were saved, and when
	stirs      map[time.Time]bool   // the moments in which a live token may have been taken from a reader
	fetched    int
	issues     []time.Time
	rules      []*simulator.Rule
	ahead      time.Duration // the store's clock
}

func (w *world) note(format string, args ...any) {
	w.diary = append(w.diary, fmt.Sprintf("%9s  ", time.Since(w.start).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (w *world) violation(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("NEVER: "+format, args...)
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

func (w *world) disturb(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s", what)
	if now := time.Now(); now.After(w.disturbed) {
		w.disturbed = now
	}
	w.troubles++
}

// disturbedUntil counts the time until then as trouble.
func (w *world) disturbedUntil(end time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if end.After(w.disturbed) {
		w.disturbed = end
	}
}

func (w *world) quietFor() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.disturbed)
}

// skew is by how much the store's clock was set forward.
func (w *world) skew() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ahead
}

func (w *world) gave(fence int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.given = max(w.given, fence)
}

// stir notes that a token which is live at this moment may not be live in the
// next one, without any time between them: it is being refused, or there is news
// of it.
func (w *world) stir() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stirs[time.Now()] = true
}

// returned notes a call that began at began and ends now. One that a reader makes
// for itself does not count: it begins in the moment of his own call, and tells of
// no change.
func (w *world) returned(name string, began time.Time) {
	switch name {
	case "fetch", "save", "shorten", "release":
		w.stir()
	default:
		if !began.Equal(time.Now()) {
			w.stir()
		}
	}
}

func (w *world) stirred(at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stirs[at]
}

// savedBefore reports whether the store had value before this moment.
func (w *world) savedBefore(value string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.values[value]
	return !at.IsZero() && at.Before(time.Now())
}

// saved checks that no late holder overwrites a newer token.
func (w *world) saved(fence int64, value string) {
	w.mu.Lock()
	late := fence < w.given || fence < w.savedFence
	w.savedFence = max(w.savedFence, fence)
	if w.values[value].IsZero() {
		w.values[value] = time.Now()
	}
	w.note("saved …%s under fence +%d", value[max(0, len(value)-6):], fence-w.start.UnixMicro())
	w.mu.Unlock()
	if late {
		w.violation("a late holder saved over a newer token")
	}
}

// good returns for how long the stored token is good at the moment in which a
// fetch reaches WeChat; 0 when its window is open or there was trouble.
func (w *world) good() time.Duration {
	record, err := w.store.Load(context.Background(), w.key)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fetched++
	w.note("a fetch reaches WeChat")
	left := record.End.Sub(record.Now) - w.ahead
	if err != nil || left <= 300*time.Second || time.Since(w.disturbed) < 5*time.Minute || !w.sim.Accepts(record.Value) {
		return 0
	}
	return left
}

// issued is how many tokens WeChat gave to our processes.
func (w *world) issued() int {
	s := w.sim.Stats(w.appID)
	return s.Classic.Issued + s.Stable.Issued
}

// count notes when tokens were issued.
func (w *world) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.issues) < w.issued() {
		w.issues = append(w.issues, time.Now())
	}
}

// hits is how many calls met an injected fault.
func (w *world) hits() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.rules {
		n += r.Hits()
	}
	return n
}

// newWorld must be called in a bubble.
func newWorld(t *testing.T, plan schedule, breach string, store custody.Store) *world {
	t.Helper()
	sim, err := simulator.New(simulator.Options{Seed: 1, Events: -1, Overlap: plan.Overlap, Accounts: []simulator.Account{{
		AppID: "wx0123456789abcdef", Secret: "0123456789abcdef0123456789abcdef",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, breach: breach, api: plan.API, overlap: plan.Overlap, sim: sim, wire: sim.RoundTripper(), store: store,
		appID: "wx0123456789abcdef", secret: custody.NewSecret("0123456789abcdef0123456789abcdef"),
		start: time.Now(), restless: rand.IntN(16) == 0, values: map[string]time.Time{}, stirs: map[time.Time]bool{},
	}
	return w
}

// spawn starts a process.
func (w *world) spawn() *process {
	p := &process{w: w, id: len(w.all), traps: map[point]effect{}, last: map[custody.Key]custody.Record{}}
	client, err := platform.New(platform.Config{Base: "http://wechat.invalid", Transport: p})
	if err != nil {
		w.t.Fatal(err)
	}
	if key := client.Key(w.appID, w.api); w.key != key {
		w.key = key
	}
	kind := client.AccessToken(platform.Account{AppID: w.appID, Secret: w.secret}, w.api)
	switch w.breach {
	case "no shortening":
		kind.Idempotent = true
	case "no probe":
		kind.Probe = nil
	}
	p.k, err = custody.New(custody.Config{Key: w.key, Kind: kind, Store: port{p}, Secret: w.secret, Overlap: w.overlap})
	if err != nil {
		w.t.Fatal(err)
	}
	w.all = append(w.all, p)
	return p
}

// kill ends a process as SIGKILL does: nothing of it reaches the world any more.
func (p *process) kill() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
}

// end closes all Keepers; what is left of dead ones has no effect.
func (w *world) end() {
	for _, p := range w.all {
		p.mu.Lock()
		p.frozen = time.Time{}
		p.mu.Unlock()
		_ = p.k.Close()
	}
	_ = w.store.Close()
}

// token is a reader's call with patience, and what must hold of it.
func (p *process) token(patience time.Duration) (custody.Token, error) {
	w := p.w
	live := p.k.Status().Live
	w.yield()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	start := time.Now()
	for w.breach == "readers wait" && p.asking.Load() > 0 && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
	}
	token, err := p.k.Token(ctx)
	waited := time.Since(start)
	switch {
	case waited > patience:
		w.violation("a caller with %s waited %s", patience, waited)
	case live && (waited > 0 || err != nil) && !w.stirred(start):
		w.violation("a reader waited %s (%v) while a live token existed", waited, err)
	case err != nil:
		return custody.Token{}, err
	}
	if err == nil {
		p.check(token)
	}
	return token, err
}

// check holds a token that was handed out against WeChat's books.
func (p *process) check(token custody.Token) {
	w := p.w
	info := w.sim.Inspect(token.Value())
	switch {
	case info.AppID == "":
		w.violation("a token that WeChat never issued: %q", token.Value())
	case info.Errcode == 42001:
		w.violation("process %d: a token was handed out after its end", p.id)
	}
}

// use is a user's call of an API: with the token, and after a refusal once more
// with another. It reports whether the user got an answer.
func (p *process) use(latency time.Duration) bool {
	w := p.w
	token, err := p.token(20 * time.Second)
	if err != nil {
		return false
	}
	time.Sleep(latency)
	if w.sim.Accepts(token.Value()) {
		return true
	}
	refused := token.Value()
	if w.breach == "not by value" {
		if now, err := p.k.Token(w.t.Context()); err == nil {
			refused = now.Value()
		}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	w.stir()
	w.yield()
	other, err := p.k.Reject(ctx, refused)
	if err == nil {
		p.check(other)
		return w.sim.Accepts(other.Value())
	}
	if p.isDead() || p.isFrozen() {
		return false
	}
	w.mu.Lock()
	w.note("process %d: Reject: %v", p.id, err)
	explained := w.explains(refused)
	w.mu.Unlock()
	if now, err := p.k.Token(ctx); err == nil && now.Value() != token.Value() && w.savedBefore(now.Value()) && w.sim.Accepts(now.Value()) {
		w.violation("process %d: the refusal of an older token reached a user although there is a newer one", p.id)
	} else if !explained {
		w.violation("process %d: a token was handed out that WeChat refuses, and there was no other", p.id)
	}
	return false
}

// explains reports whether somebody else, or WeChat's rule that of three tokens
// the first one dies at once, explains that a token is refused.
func (w *world) explains(string) bool {
	recent := 0
	for _, at := range w.issues {
		if time.Since(at) < w.overlap+10*time.Second {
			recent++
		}
	}
	return recent > 1 || (!w.outside.IsZero() && time.Since(w.outside) < 3*time.Hour)
}

// misuse is a call that WeChat refuses with a token's errcode although the token
// is good, which happens. It must not cost a fetch.
func (p *process) misuse() {
	token, err := p.token(20 * time.Second)
	if err != nil || !p.w.sim.Accepts(token.Value()) {
		return
	}
	ctx, cancel := context.WithTimeout(p.w.t.Context(), 30*time.Second)
	defer cancel()
	p.w.stir()
	_, _ = p.k.Reject(ctx, token.Value())
}

// able are the processes that run.
func (w *world) able() (able []*process) {
	for _, p := range w.all {
		if !p.isDead() && !p.isFrozen() {
			able = append(able, p)
		}
	}
	return able
}

// live lets time pass with traffic: every process is used at n moments, and
// every 20 s for ten minutes after a trouble.
func (w *world) live(d time.Duration, n int) {
	end, every := time.Now().Add(d), d/time.Duration(n)
	next := time.Now().Add(every)
	for time.Now().Before(end) {
		time.Sleep(min(20*time.Second, time.Until(next)))
		if !time.Now().Before(next) {
			next = next.Add(every)
			w.traffic()
		} else if w.quietFor() < 10*time.Minute {
			w.traffic()
		}
	}
	synctest.Wait()
}

// traffic has two users call an API in each process.
func (w *world) traffic() {
	var users sync.WaitGroup
	for _, p := range w.able() {
		for user := range 2 {
			users.Go(func() {
				ok := p.use(time.Duration(user) * 700 * time.Millisecond)
				if !ok && w.quietFor() > 15*time.Minute && !p.isDead() && !p.isFrozen() {
					w.violation("process %d: a user's call failed long after the last trouble", p.id)
				}
			})
		}
	}
	users.Wait()
}
