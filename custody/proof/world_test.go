package proof_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
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

	errAway     = errors.New("connection refused")
	errReadOnly = errors.New("the database is read-only")
)

// process is one program with a Keeper: everything that it does to the world
// passes its gate, where it can be stopped.
type process struct {
	w  *world
	id int
	k  *custody.Keeper

	asking atomic.Int32 // calls of WeChat that are under way; for a breach of the protocol

	mu      sync.Mutex // guards what follows
	traps   map[point]effect
	frozen  time.Time // until then nothing happens
	dead    bool
	last    map[custody.Key]custody.Record // for a breach of the protocol: what was loaded last
	stale   remembered                     // for breaches that answer from memory
	lacked  time.Time                      // the last time that this process met a store that failed it
	fetches int                            // that are under way
	done    map[string]bool                // attempts that saved or gave their lease back
	given   map[string]custody.Lease       // by attempt
	worked  map[string]time.Time           // path and value → when it worked
}

// remembered is what a process that breaks law 12 answers from.
type remembered struct {
	err   error
	until time.Time
}

// recall returns what a process remembers that answers from memory instead of evidence.
func (p *process) recall() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.stale.until) {
		return p.stale.err
	}
	return nil
}

// remember keeps an answer as the breach of this world does.
func (p *process) remember(token custody.Token, refused string, err error) {
	var e *custody.Error
	isError := errors.As(err, &e)
	var keep time.Duration
	switch {
	case p.w.breach == "answers from an accepted verdict" && err == nil && token.Value() == refused:
		keep, err = time.Minute, custody.ErrRefused
	case p.w.breach == "answers from the breaker" && isError && errors.Is(err, custody.ErrRefused):
		keep = 10 * time.Minute
	case p.w.breach == "answers from a failure" && isError && !errors.Is(err, custody.ErrRefused):
		keep = max(e.RetryAfter, time.Minute)
	case p.w.breach == "sleeps when the store is back" && errors.Is(err, custody.ErrStore):
		keep = time.Minute
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stale = remembered{err, time.Now().Add(keep)}
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

// lack is what the store does at this moment instead of answering: it is unavailable, or
// reads and saves nothing.
func (w *world) lack(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch now := time.Now(); {
	case now.Before(w.away):
		return errAway
	case now.Before(w.readOnly) && name != "load":
		return errReadOnly
	}
	return nil
}

// reach is through for a call of the store, which may not do its part.
func reach[T any](ctx context.Context, p port, name string, call func() (T, error)) (T, error) {
	answer, err := through(ctx, p.process, name, func() (T, error) {
		if err := p.w.lack(name); err != nil {
			var zero T
			return zero, err
		}
		return call()
	})
	var held *custody.HeldError
	if err != nil && !errors.Is(err, custody.ErrNotFound) && !errors.Is(err, custody.ErrFenced) && !errors.As(err, &held) {
		p.mu.Lock()
		p.lacked = time.Now()
		p.mu.Unlock()
	}
	return answer, err
}

// port is a process's way to the store.
type port struct{ *process }

func (p port) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	return reach(ctx, p, "load", func() (custody.Record, error) {
		record, err := p.w.store.Load(ctx, key)
		record.Now = record.Now.Add(p.w.skew())
		p.mu.Lock()
		p.last[key] = record
		p.mu.Unlock()
		return record, err
	})
}

func (p port) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	if p.w.breach == "a read-only store counts as healthy" && errors.Is(p.w.lack("acquire"), errReadOnly) {
		return custody.Lease{}, &custody.HeldError{Left: time.Second}
	}
	if p.w.breach == "no extension" {
		p.mu.Lock()
		given, has := p.given[attempt]
		p.mu.Unlock()
		if has {
			return given, nil
		}
	}
	lease, err := p.acquire(ctx, key, attempt, ttl)
	if err == nil {
		p.mu.Lock()
		if p.done[attempt] {
			p.w.violation("process %d: an attempt that had ended took the lease again", p.id)
		}
		p.given[attempt] = lease
		p.mu.Unlock()
	}
	return lease, err
}

// ended notes that an attempt saved, or gave its lease back.
func (p port) ended(lease custody.Lease) {
	p.mu.Lock()
	p.done[lease.Attempt] = true
	p.mu.Unlock()
	if p.w.breach == "extends after the end" && rand.IntN(3) == 0 {
		_, _ = p.Acquire(context.Background(), lease.Key, lease.Attempt, 5*time.Second)
	}
}

func (p port) acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	return reach(ctx, p, "acquire", func() (custody.Lease, error) {
		p.w.books.Lock()
		defer p.w.books.Unlock()
		lease, err := p.w.store.Acquire(ctx, key, attempt, ttl)
		if err == nil && key != p.w.key {
			lease.Record.Now = lease.Record.Now.Add(p.w.skew()) // the common count of several credentials
			return lease, nil
		}
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
	_, err := reach(ctx, p, "begin", func() (struct{}, error) {
		return struct{}{}, p.w.store.Begin(ctx, lease, notes)
	})
	return err
}

func (p port) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	_, err := reach(ctx, p, "save", func() (struct{}, error) {
		p.w.books.Lock()
		defer p.w.books.Unlock()
		err := p.w.store.Save(ctx, lease, record)
		if err == nil {
			p.w.saved(lease.Fence, record.Value)
		}
		return struct{}{}, err
	})
	if err == nil {
		p.ended(lease)
	}
	return err
}

func (p port) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	_, err := reach(ctx, p, "release", func() (struct{}, error) {
		return struct{}{}, p.w.store.Release(ctx, lease, notes)
	})
	if err == nil {
		p.ended(lease)
	}
	return err
}

func (p port) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	p.w.stir()
	_, err := reach(ctx, p, "shorten", func() (struct{}, error) {
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
		defer p.w.fetching(p)()
		before, good, hits := p.w.issued(), p.w.good(), p.w.hits()
		answer, err := p.w.roundTrip(r)
		p.w.count()
		if p.w.hits() > hits {
			p.w.disturb("and meets a fault")
		}
		if good > 0 && p.w.issued() > before {
			p.w.violation("process %d: a new token although the stored one was good for %s", p.id, good)
		}
		if err := p.w.slowly(r.Context()); err != nil {
			return nil, err
		}
		return answer, err
	})
}

// slowly holds an answer back while WeChat is slow.
func (w *world) slowly(ctx context.Context) error {
	w.mu.Lock()
	slow := time.Now().Before(w.slow)
	w.mu.Unlock()
	if !slow {
		return nil
	}
	select {
	case <-time.After(9 * time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetching notes that p's fetch is under way. Two at once mean that a lease was not what
// it is for, unless something took it from its holder.
func (w *world) fetching(p *process) (done func()) {
	w.mu.Lock()
	all := slices.Clone(w.all)
	w.mu.Unlock()
	for _, other := range all {
		other.mu.Lock()
		busy := other != p && other.fetches > 0 && !other.dead
		other.mu.Unlock()
		if busy && w.quietFor() > 2*time.Minute && !w.storeFails(2*time.Minute) {
			w.violation("process %d fetches while process %d does, and that one lives", p.id, other.id)
		}
	}
	p.mu.Lock()
	p.fetches++
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.fetches--
		p.mu.Unlock()
	}
}

// storeFails reports whether the store did not do its part at any time of the last d.
func (w *world) storeFails(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.away) < d || time.Since(w.readOnly) < d
}

// answered reports whether the store has answered p for 2 s, and p was not stopped.
func (p *process) answered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead && time.Since(p.lacked) > lag && time.Since(p.frozen) > lag && len(p.traps) == 0 &&
		time.Since(p.w.awayUntil()) > lag
}

func (w *world) awayUntil() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.away
}

// lag is how old what a process says may be: it reads the store once a second.
const lag = 2 * time.Second

// newer returns whether the store has had a live value that WeChat accepts, and that is
// not value, for longer than lag.
func (w *world) newer(value string) bool {
	record, err := w.store.Load(context.Background(), w.key)
	if err != nil || record.Value == "" || record.Value == value || !w.accepts(record.Value) {
		return false
	}
	if w.inspect(value).Current {
		return false // fetched while the store took nothing: what it has is older
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.renewals[record.Value]
	margin := min(20*time.Second, record.Life/10)
	return !at.IsZero() && time.Since(at) > lag && record.End.Sub(record.Now)-w.ahead > margin
}

// world is everything in one schedule: WeChat, a store, and processes. It notes
// what must never happen.
type world struct {
	t       *testing.T
	breach  string // how the protocol is broken on purpose; "" for not at all
	api     platform.TokenAPI
	overlap time.Duration
	sim     *simulator.Simulator
	ticket  *ticketBooks // nil where the credential is a token
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
	values     map[string]time.Time // that were saved, and when for the first time
	renewals   map[string]time.Time // the same, for the last time: stable_token returns a value again, and its record may have ended
	stirs      map[time.Time]bool   // the moments in which a live token may have been taken from a reader
	fetched    int
	issues     []time.Time
	rules      []*simulator.Rule
	ahead      time.Duration // the store's clock
	away       time.Time     // until then the store is unavailable
	readOnly   time.Time     // until then it reads and saves nothing

	readOnlySince time.Time
	slow          time.Time // until then WeChat answers fetches after 9 s
	stray         time.Time // until then some good calls are refused
	broken        bool      // one path is refused always
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
	w.renewals[value] = time.Now()
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
	if err != nil || left <= 300*time.Second || time.Since(w.disturbed) < 5*time.Minute || !w.accepts(record.Value) {
		return 0
	}
	return left
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
	account := simulator.Account{AppID: "wx0123456789abcdef", Secret: "0123456789abcdef0123456789abcdef"}
	if plan.API == weCom || isTicket(plan.API) {
		account.AppID, account.Kind = "ww0123456789abcdef:1000002", simulator.WeCom
	}
	sim, err := simulator.New(simulator.Options{Seed: 1, Events: -1, Overlap: plan.Overlap, Accounts: []simulator.Account{account}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, breach: breach, api: plan.API, overlap: plan.Overlap, sim: sim, wire: sim.RoundTripper(), store: store,
		appID: account.AppID, secret: custody.NewSecret("0123456789abcdef0123456789abcdef"),
		start: time.Now(), restless: rand.IntN(16) == 0, values: map[string]time.Time{}, renewals: map[string]time.Time{}, stirs: map[time.Time]bool{},
	}
	if isTicket(w.api) {
		w.ticket = newTicketBooks(t, w)
	}
	return w
}

// spawn starts a process.
func (w *world) spawn() *process {
	p := &process{
		w: w, id: len(w.all), traps: map[point]effect{}, last: map[custody.Key]custody.Record{},
		done: map[string]bool{}, given: map[string]custody.Lease{}, worked: map[string]time.Time{},
	}
	key, kind := w.kind(p)
	if w.key != key {
		w.key = key
	}
	switch w.breach {
	case "no shortening":
		kind.Idempotent = true
	case "no probe", "not by value":
		kind.Probe = nil
	}
	var err error
	p.k, err = custody.New(custody.Config{Key: w.key, Kind: kind, Store: port{p}, Secret: w.secret, Overlap: w.overlap})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.all = append(w.all, p)
	w.mu.Unlock()
	return p
}

// weCom is the world of a WeCom app, whose gettoken answers the token that lives and knows no
// forced renewal.
const weCom platform.TokenAPI = "wecom"

// kind is what the processes keep.
func (w *world) kind(p *process) (custody.Key, custody.Kind) {
	if w.api == weCom || w.ticket != nil {
		api, err := wecom.New(platform.Config{Transport: p})
		if err != nil {
			w.t.Fatal(err)
		}
		if b := w.ticket; b != nil {
			return api.TicketKey(b.app, b.kind), api.Ticket(b.tokens, b.app, b.kind)
		}
		app := wecom.App{CorpID: "ww0123456789abcdef", AgentID: "1000002", Secret: w.secret}
		return api.Key(app), api.AccessToken(app)
	}
	api, err := platform.New(platform.Config{Base: "http://wechat.invalid", Transport: p})
	if err != nil {
		w.t.Fatal(err)
	}
	return api.Key(w.appID, w.api), api.AccessToken(platform.Account{AppID: w.appID, Secret: w.secret}, w.api)
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
	if w.ticket != nil {
		w.ticket.close()
	}
	_ = w.store.Close()
}

// token is a reader's call with patience, and what must hold of it.
func (p *process) token(patience time.Duration) (custody.Token, error) {
	w := p.w
	live := p.holds()
	w.yield()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	start := time.Now()
	for w.breach == "readers wait" && p.asking.Load() > 0 && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
	}
	token, err := custody.Token{}, p.recall()
	if err == nil {
		token, err = p.k.Token(ctx)
		p.remember(token, "", err)
	}
	waited := time.Since(start)
	p.evidence("", err)
	if err != nil && w.api != platform.Classic && w.ticket == nil && w.onlyReadOnly() && p.answered() {
		w.violation("process %d: no token although nothing but saving fails: %v", p.id, err)
	}
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

// holds reports whether the process has a token for which no reader may wait. Before the
// last resort is handed out, the store is asked, and an attempt that is about to be made
// is waited for.
func (p *process) holds() bool {
	status := p.k.Status()
	return status.Live && !status.Refused
}

// check holds a token that was handed out against WeChat's books.
func (p *process) check(token custody.Token) {
	w := p.w
	info := w.inspect(token.Value())
	switch {
	case info.AppID == "":
		w.violation("a token that WeChat never issued: %q", token.Value())
	case info.Errcode == 42001:
		w.violation("process %d: a token was handed out after its end", p.id)
	}
}

// evidence holds an error against what the store has: a process reads it before it
// returns one.
func (p *process) evidence(refused string, err error) {
	w := p.w
	var e *custody.Error
	isError := errors.As(err, &e) || errors.Is(err, custody.ErrRefused)
	if !isError || !p.answered() {
		return
	}
	switch {
	case w.newer(refused):
		w.violation("process %d: an error (%v) although the store has had a live newer token for 2 s", p.id, err)
	case errors.Is(err, custody.ErrStore) && !w.storeFails(lag):
		w.violation("process %d: it says that the store does not answer, which has for 2 s: %v", p.id, err)
	}
}

// onlyReadOnly reports whether the store has been read-only for a while, and nothing
// else is wrong.
func (w *world) onlyReadOnly() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	const since = 11 * time.Minute // a back-off that began before lasts for ten
	return now.Before(w.readOnly) && now.Sub(w.readOnlySince) > time.Minute && now.Sub(w.disturbed) > since &&
		now.After(w.away.Add(since)) && now.After(w.slow.Add(since))
}

// use is a user's call of an API, as a Transport makes it: with the token, and after a
// refusal up to two times more with what the Keeper gives. It reports whether the user
// got an answer.
func (p *process) use(latency time.Duration, path string) bool {
	w := p.w
	token, err := p.token(20 * time.Second)
	if err != nil {
		return false
	}
	p.handedOut(token)
	time.Sleep(latency)
	call := &custody.Call{Path: path}
	ctx, cancel := context.WithTimeout(custody.WithCall(w.t.Context(), call), 30*time.Second)
	defer cancel()
	for range 3 {
		if p.call(token.Value(), path) {
			return true
		}
		refused := token.Value()
		if w.breach == "not by value" {
			if now, err := p.k.Token(w.t.Context()); err == nil {
				refused = now.Value()
			}
		}
		p.mu.Lock()
		call.Worked, call.Lived = p.worked[path+"\n"+refused], p.worked[refused]
		p.mu.Unlock()
		w.stir()
		w.yield()
		other, err := p.reject(ctx, refused)
		if err != nil {
			p.refusedFor(token.Value(), path, err)
			return false
		}
		p.check(other)
		token = other
	}
	return false
}

// handedOut checks a token in the moment in which a user gets it: unless somebody else
// invalidated it, WeChat takes it.
func (p *process) handedOut(token custody.Token) {
	w := p.w
	if w.accepts(token.Value()) || w.storeFails(15*time.Minute) {
		return
	}
	p.mu.Lock()
	stopped := time.Since(p.frozen) < 15*time.Minute
	p.mu.Unlock()
	w.mu.Lock()
	strange := !w.outside.IsZero() && time.Since(w.outside) < 3*time.Hour
	w.mu.Unlock()
	if !stopped && !strange && w.recent() <= 1 {
		w.violation("process %d: a token was handed out that WeChat refuses, and nobody else invalidated it", p.id)
	}
}

// recent returns how many tokens were issued within the last overlap.
func (w *world) recent() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.issues {
		if time.Since(at) < w.overlap+10*time.Second {
			n++
		}
	}
	return n
}

// reject is the Keeper's, or what a process that answers from memory remembers.
func (p *process) reject(ctx context.Context, refused string) (custody.Token, error) {
	if err := p.recall(); err != nil {
		return custody.Token{}, err
	}
	token, err := p.k.Reject(ctx, refused)
	p.remember(token, refused, err)
	return token, err
}

// call is the call itself. It reports false when the token is refused, be it for a
// reason of the path's own, or for none.
func (p *process) call(value, path string) bool {
	w := p.w
	if !w.accepts(value) || path == brokenPath {
		return false
	}
	w.mu.Lock()
	stray := time.Now().Before(w.stray) && rand.IntN(10) == 0 && w.breach != "not by value"
	w.mu.Unlock()
	if stray {
		return false
	}
	p.mu.Lock()
	p.worked[path+"\n"+value], p.worked[value] = time.Now(), time.Now()
	p.mu.Unlock()
	return true
}

const brokenPath = "/broken"

// refusedFor checks a refusal that reached a user.
func (p *process) refusedFor(value, path string, err error) {
	w := p.w
	if p.isDead() || p.isFrozen() {
		return
	}
	p.evidence(value, err)
	if path == brokenPath {
		return
	}
	explained := w.recent() > 1
	w.mu.Lock()
	w.note("process %d: Reject: %v", p.id, err)
	explained = explained || w.explains()
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	if now, err := p.k.Token(ctx); err == nil && now.Value() != value && w.savedBefore(now.Value()) && w.accepts(now.Value()) {
		w.violation("process %d: the refusal of an older token reached a user although there is a newer one", p.id)
	} else if !explained {
		w.violation("process %d: a token was handed out that WeChat refuses, and there was no other", p.id)
	}
}

// explains reports whether something that happened a moment ago explains that a token is
// refused and no other is to be had: somebody else, trouble whose consequences (a breaker,
// a back-off) last for eleven minutes, or WeChat's rule that of three tokens the first one
// dies at once.
func (w *world) explains() bool {
	const consequences = 11 * time.Minute
	return time.Since(w.outside) < consequences || time.Since(w.disturbed) < consequences ||
		time.Since(w.away) < consequences || time.Since(w.readOnly) < consequences || time.Since(w.slow) < consequences ||
		time.Since(w.stray) < lag
}

// misuse is a call that WeChat refuses with a token's errcode although the token
// is good, which happens. It must not cost a fetch.
func (p *process) misuse() {
	token, err := p.token(20 * time.Second)
	if err != nil || !p.w.accepts(token.Value()) {
		return
	}
	ctx, cancel := context.WithTimeout(p.w.t.Context(), 30*time.Second)
	defer cancel()
	p.w.stir()
	other, err := p.k.Reject(ctx, token.Value())
	p.remember(other, token.Value(), err)
}

// straying reports whether good calls are refused now and then.
func (w *world) straying() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.stray) < lag
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
				ok := p.use(time.Duration(user)*700*time.Millisecond, "/used")
				if !ok && w.quietFor() > 15*time.Minute && !w.storeFails(15*time.Minute) && !w.straying() && !p.isDead() && !p.isFrozen() {
					w.violation("process %d: a user's call failed long after the last trouble", p.id)
				}
			})
		}
		if w.broken {
			users.Go(func() { p.use(0, brokenPath) })
		}
	}
	users.Wait()
}
