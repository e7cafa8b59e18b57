//go:build unix && chaos

package chaos

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// span is a time from one moment to another.
type span struct{ from, to time.Time }

func (s span) meets(o span) bool { return !s.from.After(o.to) && !o.from.After(s.to) }

// common returns for how long both last.
func (s span) common(o span) time.Duration {
	from, to := s.from, s.to
	if o.from.After(from) {
		from = o.from
	}
	if o.to.Before(to) {
		to = o.to
	}
	return max(0, to.Sub(from))
}

// sight is one look of the observer at the store.
type sight struct {
	span                      // of the call
	err     error             // the store did not answer
	records map[string]record // by AppID
}

// record is what the store had of an account.
type record struct {
	value string
	left  time.Duration // until the end, by the store
	life  time.Duration
	live  bool // it may be handed out, and WeChat accepts it
}

// observer reads the store itself, next to the workers and not through them. So it
// knows what they could have known, and when.
type observer struct {
	store custody.Store
	keys  map[string]custody.Key // by AppID
	sims  map[string]*simtest.Sim

	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	sights []sight
	stills []span                       // in which this process, WeChat's stand-in with it, did not run
	seen   map[string]bool              // tokens that were in the store
	tokens []token                      // that were issued, oldest first
	known  map[string]bool              // their values
	bad    map[string][]simulator.Event // refusals by the number of the user's call
	probes int
	strays int
}

// token is one that WeChat's stand-in issued to a worker.
type token struct {
	appID, value, caller string
	at                   time.Time
}

const (
	lookSlow  = 500 * time.Millisecond // a store that takes longer for a look does not count as answering
	lookEvery = 100 * time.Millisecond
	lookTime  = time.Second
	skew      = 2 * time.Second        // a process counts a token's life from when it asked a store, which may answer a second later on a busy machine
	numbered  = "n"                    // the parameter with the number of a user's call
	late      = 300 * time.Millisecond // a journal's times may be reckoned from the server's last answer, which took time
)

func newObserver() *observer {
	return &observer{
		keys: map[string]custody.Key{}, sims: map[string]*simtest.Sim{},
		seen: map[string]bool{}, known: map[string]bool{}, bad: map[string][]simulator.Event{},
	}
}

// observe is for simulator.Options.
func (o *observer) observe(e simulator.Event) {
	query, _ := url.ParseQuery(e.Query)
	number := query.Get(numbered)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case e.Path == simulator.TokenPath || e.Path == simulator.StableTokenPath || e.Path == "/cgi-bin/gettoken":
		var answer struct {
			Token string `json:"access_token"`
		}
		if json.Unmarshal([]byte(e.Response), &answer) == nil && answer.Token != "" && !o.known[answer.Token] {
			o.known[answer.Token] = true
			o.tokens = append(o.tokens, token{e.AppID, answer.Token, e.Caller, e.Time})
		}
	case number == "":
		o.probes++
	case e.Errcode != 0:
		o.bad[number] = append(o.bad[number], e)
		if e.Fault && e.Path != refusedPath {
			o.strays++
		}
	}
}

// watch looks until the test ends.
func (o *observer) watch(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	o.cancel = cancel
	t.Cleanup(o.stop)
	o.work.Go(func() {
		for ctx.Err() == nil {
			o.look(ctx)
			time.Sleep(lookEvery)
		}
	})
	o.work.Go(func() { // see internal/test/patience
		const step = 20 * time.Millisecond
		for last := time.Now(); ctx.Err() == nil; {
			time.Sleep(step)
			now := time.Now()
			if now.Sub(last) > 5*step {
				o.mu.Lock()
				o.stills = append(o.stills, span{last, now})
				o.mu.Unlock()
			}
			last = now
		}
	})
}

func (o *observer) stop() {
	o.cancel()
	o.work.Wait()
}

func (o *observer) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	keys := make([]custody.Key, 0, len(o.keys))
	for _, key := range o.keys {
		keys = append(keys, key)
	}
	s := sight{span: span{from: time.Now()}, records: map[string]record{}}
	found, err := o.store.(custody.ManyLoader).LoadMany(ctx, keys)
	s.to, s.err = time.Now(), err
	for key, r := range found {
		if r.Value == "" {
			continue
		}
		left := r.End.Sub(r.Now)
		s.records[key.AppID] = record{
			value: r.Value, left: left, life: r.Life,
			live: left > r.Life/10+skew && o.sims[key.AppID].Accepts(r.Value), // it is handed out until a tenth of its life is left
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sights = append(o.sights, s)
	for _, r := range s.records {
		o.seen[r.value] = true
	}
}

// answered reports whether the store answered, and in good time.
func (s *sight) answered() bool { return s.err == nil && s.to.Sub(s.from) < lookSlow }

// unanswered returns the looks that the store did not answer in good time.
func (o *observer) unanswered() (all []span) {
	for _, s := range o.sights {
		if !s.answered() {
			all = append(all, s.span)
		}
	}
	return all
}

// last returns the last look that was answered.
func (o *observer) last() (s sight, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range slices.Backward(o.sights) {
		if v.err == nil {
			return v, true
		}
	}
	return sight{}, false
}

// answers waits for a look that began after t and was answered.
func (o *observer) answers(t *testing.T, after time.Time) time.Time {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if s, ok := o.last(); ok && s.from.After(after) {
			return s.to
		}
		if time.Now().After(deadline) {
			t.Fatal("FAIL: the store does not answer a minute after its start")
		}
	}
}

// still returns for how long this machine stood still in s.
func (o *observer) still(s span) (sum time.Duration) {
	for _, still := range o.stills {
		sum += s.common(still)
	}
	return sum
}

// servable reports whether one and the same live token of the account was in a store
// that answered, all the time from 2 s before s to its end.
func (o *observer) servable(appID string, s span) bool {
	s.from = s.from.Add(-2 * time.Second)
	s.from = s.from.Add(-o.still(s))
	var value string
	before, after := false, false
	for _, look := range o.sights {
		switch {
		case look.to.Before(s.from):
			before, value = look.answered() && look.records[appID].live, look.records[appID].value
			continue
		case after:
			return true
		}
		if r := look.records[appID]; !look.answered() || !r.live || r.value != value || !before {
			return false
		}
		after = look.from.After(s.to)
	}
	return after
}

// wasted returns the tokens of an account that the store never had, by the observer's
// looks and the journal.
func (o *observer) wasted(appID string, journal []custody.Entry) (all []token) {
	claimed := map[int]bool{}
	for _, token := range o.tokens {
		if token.appID != appID || o.seen[token.value] {
			continue
		}
		saved := false
		for i, e := range slices.Backward(journal) { // oldest first: perhaps it was replaced between two looks
			if e.Event == custody.EventSave && !claimed[i] && e.At.After(token.at.Add(-late)) && o.replaced(appID, token, e.At) {
				claimed[i], saved = true, true
				break
			}
		}
		if !saved {
			all = append(all, token)
		}
	}
	return all
}

// replaced reports whether a token that was saved at t may have been replaced, by the next
// that was issued for the account, before the observer looked.
func (o *observer) replaced(appID string, of token, t time.Time) bool {
	var next time.Time
	for _, other := range o.tokens {
		if other.appID == appID && other.at.After(of.at) && (next.IsZero() || other.at.Before(next)) {
			next = other.at
		}
	}
	if next.Before(t) {
		return false // none, or what was saved was that one
	}
	for _, look := range o.sights {
		if look.answered() && look.from.After(t.Add(late)) && look.to.Before(next) {
			return false
		}
	}
	return true
}

// opening is when the window of a record in s opens, in which it is renewed: the second
// half of what is handed out.
func (r record) opening(s sight) time.Time { return r.ending(s).Add(-(r.life - r.life/10) / 2) }

// ending is when it ends for callers, with a tenth of its life left.
func (r record) ending(s sight) time.Time { return s.to.Add(r.left - r.life/10) }

// next returns when the first window opens after now, as far as the store knows.
func (o *observer) next() (first time.Time) {
	s, ok := o.last()
	if !ok {
		return time.Time{}
	}
	for _, r := range s.records {
		at := r.opening(s)
		if at.After(time.Now()) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// crossed counts the windows that opened and the tokens that ended in a span, by what
// the store had last before it.
func (o *observer) crossed(out span) (windows, ends int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var before sight
	for _, s := range o.sights {
		if s.err == nil && s.to.Before(out.from) {
			before = s
		}
	}
	for _, r := range before.records {
		if at := r.opening(before); at.After(out.from) && at.Before(out.to) {
			windows++
		}
		if at := r.ending(before); at.After(out.from) && at.Before(out.to) {
			ends++
		}
	}
	return windows, ends
}

// strayOf says what became of a user's call that ended with a refusal: whether that was a
// stray, and whether the call had been repeated.
func (o *observer) strayOf(number string) (stray, repeated bool) {
	events := o.bad[number]
	if len(events) == 0 {
		return false, false
	}
	return events[len(events)-1].Fault, len(events) > 1
}
