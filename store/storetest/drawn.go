package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// everything is what the stores of this module can do besides credentials.
type everything interface {
	store.Ledger
	store.Queue
	Once
}

// checkDrawn plays random calls of [store.Ledger], [store.Queue] and callback.Once to the
// store and to store/memory, which is the rules of package store over maps, and compares
// every answer. Leases and waits are either over at once or last for an hour, so that
// both see the same whatever their clocks and however long a call takes. checkModel does
// the same with credentials.
func checkDrawn(t *testing.T, f *fixture) {
	if _, ok := f.store(0).(everything); !ok {
		t.Logf("%T keeps credentials only", f.store(0))
		return
	}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		rules := memory.New()
		defer func() { _ = rules.Close() }()
		d := &drawn{T: rt, ctx: t.Context(), f: f, rules: rules, run: fmt.Sprintf("run%d", run), versions: map[int64]int64{0: 0}}
		rt.Repeat(map[string]func(*rapid.T){
			"put": d.put, "documents": d.documents, "note": d.note, "uses": d.uses,
			"push": d.push, "turn": d.turn, "lend": d.lend, "done": d.done, "later": d.later, "lines": d.lines, "trim": d.trim,
			"claim": d.claim, "wait": d.wait, "hold": d.hold, "keep": d.keep, "finish": d.finish, "take": d.take,
		})
	})
}

// drawn is the state of one random run. What is global in a store, such as its lines, is
// distinguished from that of other runs by the name of the run.
type drawn struct {
	*rapid.T

	ctx   context.Context
	f     *fixture
	rules everything
	run   string

	versions map[int64]int64 // of documents: the rules' → the store's
	highest  int64           // of the rules'
	notes    int             // of this run
}

// subject returns the store that the next call goes to.
func (d *drawn) subject(rt *rapid.T) everything {
	d.T = rt
	return d.f.store(rapid.IntRange(0, len(d.f.handles)-1).Draw(rt, "handle")).(everything)
}

// agree compares what a call came to.
func (d *drawn) agree(call string, got, want any, err, wantErr error) {
	d.Helper()
	switch {
	case wantErr == nil && err != nil:
		d.Fatalf("%s: %v, want %+v", call, err, want)
	case wantErr != nil && err == nil:
		d.Fatalf("%s: %+v, want the error %v", call, got, wantErr)
	case wantErr != nil && !errors.Is(err, wantErr) && err.Error() != wantErr.Error():
		d.Fatalf("%s: the error %v, want %v", call, err, wantErr)
	case wantErr == nil && !reflect.DeepEqual(got, want):
		d.Fatalf("%s: %+v, want %+v", call, got, want)
	}
}

// one draws one of a few values.
func one[T any](d *drawn, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(d.T, label)
}

func (d *drawn) rarely(label string) bool { return rapid.IntRange(0, 29).Draw(d.T, label) == 29 }

// name draws one of two names of this run, now and then what no store takes.
func (d *drawn) name(label string) string {
	if d.rarely(label + " is bad") {
		return one(d, "bad "+label, "", "a\x00", "\xff", "a\nb", "中\x7f", strings.Repeat("n", 600))
	}
	return d.run + one(d, label, "a", "b")
}

// account is a name, but never "", which is an account like any other and would be that of
// every run.
func (d *drawn) account() string { return cmp.Or(d.name("account"), d.run) }

// owner has no run's name: it is at most 64 bytes, and another run's owner holds nothing
// here.
func (d *drawn) owner() string { return one(d, "owner", "owner1", "owner2") }

func (d *drawn) lasting(label string) time.Duration { return one(d, label, 0, time.Hour, time.Hour) }

func (d *drawn) body() []byte {
	if d.rarely("body is long") {
		return make([]byte, one(d, "bytes", 1<<20, 1<<20+1))
	}
	return one(d, "body", nil, []byte{}, []byte("x"), []byte("中\x00\xff\r\n"), bytes.Repeat([]byte("b"), 1<<10))
}

// answer is a body of which store/memory, which bounds the answers of a follower, keeps any
// number that a run has.
func (d *drawn) answer() []byte {
	if d.rarely("answer is too long") {
		return make([]byte, 1<<20+1)
	}
	return one(d, "answer", nil, []byte{}, []byte("x"), []byte("中\x00\xff\r\n"), bytes.Repeat([]byte("b"), 1<<12))
}

// impatient is a ctx that ends when somebody begins to wait for its end.
func (d *drawn) impatient() context.Context {
	ctx, cancel := context.WithDeadline(d.ctx, time.Now().Add(callTime))
	return &impatient{Context: ctx, end: cancel}
}

type impatient struct {
	context.Context

	end   func()
	ended bool
}

func (i *impatient) Done() <-chan struct{} {
	i.end()
	i.ended = true
	return i.Context.Done()
}

func (i *impatient) Err() error {
	if i.ended {
		return context.DeadlineExceeded
	}
	return i.Context.Err()
}

func (d *drawn) text(label string) string {
	return one(d, label, "", "a b", "中\t\n'\"\\%_?$1:n", "\u2028\uFFFD\U0001F512", "a\x00b", "a\xffb", strings.Repeat("中", 300))
}

// bytesOf tells nil from empty, and long ones by their length.
func bytesOf(b []byte, present bool) string {
	switch {
	case !present:
		return "nil"
	case len(b) > 100:
		return fmt.Sprint(len(b), " bytes of ", b[0])
	}
	return fmt.Sprintf("%q", b)
}

func (d *drawn) put(rt *rapid.T) {
	s := d.subject(rt)
	doc := store.Document{Kind: d.name("kind"), Name: d.name("name"), Body: d.body()}
	// The version that is there, none, or one of another change.
	there := int64(0)
	all, _ := d.rules.Documents(d.ctx, 0)
	for _, other := range all {
		if other.Kind == doc.Kind && other.Name == doc.Name && other.Body != nil {
			there = other.Version
		}
	}
	doc.Version = one(d, "version", there, there, there, 0, d.highest)
	want, wantErr := d.rules.Put(d.ctx, doc)
	doc.Version = d.versions[doc.Version]
	got, err := s.Put(d.ctx, doc)
	d.agree("Put", nil, nil, err, wantErr)
	if err != nil {
		return
	}
	if got <= d.versions[d.highest] {
		d.Fatalf("Put: version %d after %d", got, d.versions[d.highest])
	}
	d.versions[want], d.highest = got, want
}

func (d *drawn) documents(rt *rapid.T) {
	s := d.subject(rt)
	after := one(d, "after", 0, d.highest)
	of := func(all []store.Document, version func(int64) int64) (texts []string) {
		for _, doc := range all {
			if strings.HasPrefix(doc.Kind, d.run) {
				texts = append(texts, fmt.Sprintf("%q %q %d %s", doc.Kind, doc.Name, version(doc.Version), bytesOf(doc.Body, doc.Body != nil)))
			}
		}
		return texts
	}
	want, wantErr := d.rules.Documents(d.ctx, after)
	got, err := s.Documents(d.ctx, d.versions[after])
	d.agree("Documents", of(got, func(v int64) int64 { return v }), of(want, func(v int64) int64 { return d.versions[v] }), err, wantErr)
}

func (d *drawn) note(rt *rapid.T) {
	s := d.subject(rt)
	use := store.Use{Actor: d.text("actor"), Act: d.name("act"), Subject: d.text("subject"), Detail: d.text("detail")}
	wantErr := d.rules.Note(d.ctx, use)
	d.agree("Note", nil, nil, s.Note(d.ctx, use), wantErr)
	if wantErr == nil {
		d.notes++
	}
}

func (d *drawn) uses(rt *rapid.T) {
	s := d.subject(rt)
	limit := one(d, "limit", -1, 0, d.notes, min(d.notes, 2))
	want, wantErr := d.rules.Uses(d.ctx, limit)
	got, err := s.Uses(d.ctx, limit)
	of := func(uses []store.Use) (all []store.Use) {
		for _, use := range uses {
			use.At = time.Time{}
			all = append(all, use)
		}
		return all
	}
	d.agree("Uses", of(got), of(want), err, wantErr)
}

func (d *drawn) line() string {
	if d.rarely("line is bad") {
		return one(d, "bad line", "", "a b", "中", "a\x00", strings.Repeat("l", 256))
	}
	return d.run + one(d, "line", "a", "b")
}

func (d *drawn) id() string { return one(d, "id", "1", "2", "3", "4", "5", "6") }

func (d *drawn) push(rt *rapid.T) {
	s := d.subject(rt)
	var all []store.Delivery
	for range rapid.IntRange(0, 3).Draw(rt, "deliveries") {
		all = append(all, store.Delivery{
			Line: d.line(), Lane: one(d, "lane", "x", "y", "x y", "z"), ID: d.id(), Body: d.body(),
			Owner: one(d, "pushed for", "", "owner1"), Wait: one(d, "wait", 0, time.Hour, -1), Attempts: 7, Pushed: time.Unix(1, 0),
		})
	}
	wantErr := d.rules.Push(d.ctx, all)
	d.agree("Push", nil, nil, s.Push(d.ctx, all), wantErr)
}

func (d *drawn) turn(rt *rapid.T) {
	s := d.subject(rt)
	line, id, owner := d.line(), d.id(), d.owner()
	var got, want [2]bool
	var err, wantErr error
	want[0], want[1], wantErr = d.rules.Turn(d.ctx, line, id, owner)
	got[0], got[1], err = s.Turn(d.ctx, line, id, owner)
	d.agree("Turn", got, want, err, wantErr)
}

func (d *drawn) lend(rt *rapid.T) {
	s := d.subject(rt)
	line, owner, lease := d.line(), d.owner(), d.lasting("lease")
	most := one(d, "most", -1, 0, 1, 2, 10)
	of := func(all []store.Delivery) map[string]string {
		lent := map[string]string{}
		for _, x := range all {
			lent[x.ID] = fmt.Sprintf("%s %s %s %d %t", x.Line, x.Lane, bytesOf(x.Body, true), x.Attempts, x.Pushed.IsZero())
		}
		return lent
	}
	want, wantErr := d.rules.Lend(d.ctx, line, owner, lease, most)
	got, err := s.Lend(d.ctx, line, owner, lease, most)
	d.agree("Lend", of(got), of(want), err, wantErr)
}

func (d *drawn) done(rt *rapid.T) {
	s := d.subject(rt)
	line, id := d.line(), d.id()
	wantErr := d.rules.Done(d.ctx, line, id)
	d.agree("Done", nil, nil, s.Done(d.ctx, line, id), wantErr)
}

func (d *drawn) later(rt *rapid.T) {
	s := d.subject(rt)
	line, id, owner, wait := d.line(), d.id(), d.owner(), d.lasting("wait")
	wantErr := d.rules.Later(d.ctx, line, id, owner, wait)
	d.agree("Later", nil, nil, s.Later(d.ctx, line, id, owner, wait), wantErr)
}

func (d *drawn) lines(rt *rapid.T) {
	s := d.subject(rt)
	of := func(all []store.Line) (texts []string) {
		for _, line := range all {
			if strings.HasPrefix(line.Name, d.run) {
				texts = append(texts, fmt.Sprint(line.Name, line.Waiting, line.Oldest < callTime, line.Free > 0))
			}
		}
		return texts
	}
	want, wantErr := d.rules.Lines(d.ctx)
	got, err := s.Lines(d.ctx)
	d.agree("Lines", of(got), of(want), err, wantErr)
}

func (d *drawn) trim(rt *rapid.T) {
	s := d.subject(rt)
	line, most := d.line(), one(d, "most", -1, 0, 1, 2, 100)
	want, wantErr := d.rules.Trim(d.ctx, line, time.Hour, most)
	got, err := s.Trim(d.ctx, line, time.Hour, most)
	d.agree("Trim", got, want, err, wantErr)
}

func (d *drawn) key() string {
	if d.rarely("key is bad") {
		return one(d, "bad key", "中", "a\x00", "\t", strings.Repeat("k", 65), d.run+"unknown")
	}
	return d.run + one(d, "key", "1", "2", "3")
}

func (d *drawn) claim(rt *rapid.T) {
	s := d.subject(rt)
	account, key, owner := d.account(), d.key(), d.owner()
	lease, keep := d.lasting("lease"), d.lasting("keep")
	type result struct {
		attempt, delivery int
		soon              bool
	}
	var got, want result
	var age time.Duration
	var err, wantErr error
	want.attempt, want.delivery, age, wantErr = d.rules.Claim(d.ctx, account, key, owner, lease, keep)
	want.soon = age < callTime
	got.attempt, got.delivery, age, err = s.Claim(d.ctx, account, key, owner, lease, keep)
	got.soon = age >= 0 && age < callTime
	d.agree("Claim", got, want, err, wantErr)
}

// wait does not wait: where the rules say that there is something to wait for, the store
// has to wait as well.
func (d *drawn) wait(rt *rapid.T) {
	s := d.subject(rt)
	key, owner, lease := d.key(), d.owner(), d.lasting("lease")
	type result struct {
		attempt int
		answer  string
	}
	look := func(once Once, ctx context.Context) (result, error) {
		attempt, answer, err := once.Wait(ctx, key, owner, lease)
		return result{attempt, bytesOf(answer, true)}, err
	}
	want, wantErr := look(d.rules, d.impatient())
	if errors.Is(wantErr, context.DeadlineExceeded) {
		ctx, cancel := context.WithTimeout(d.ctx, 50*time.Millisecond)
		defer cancel()
		if got, err := look(s, ctx); !errors.Is(err, context.DeadlineExceeded) {
			d.Fatalf("Wait: %+v, %v, want it to wait", got, err)
		}
		return
	}
	got, err := look(s, d.ctx)
	d.agree("Wait", got, want, err, wantErr)
}

func (d *drawn) hold(rt *rapid.T) {
	s := d.subject(rt)
	key, owner, lease := d.key(), d.owner(), one(d, "lease", -1, 0, time.Hour)
	var got, want holdResult
	var err, wantErr error
	want.held, want.kept, wantErr = d.rules.Hold(d.ctx, key, owner, lease)
	got.held, got.kept, err = s.Hold(d.ctx, key, owner, lease)
	d.agree("Hold", got, want, err, wantErr)
}

func (d *drawn) keep(rt *rapid.T) {
	s := d.subject(rt)
	key, message := d.key(), d.body()
	type result struct {
		finished bool
		answer   string
	}
	look := func(once Once) (result, error) {
		finished, answer, err := once.Keep(d.ctx, key, message)
		return result{finished, bytesOf(answer, true)}, err
	}
	want, wantErr := look(d.rules)
	got, err := look(s)
	d.agree("Keep", got, want, err, wantErr)
}

func (d *drawn) finish(rt *rapid.T) {
	s := d.subject(rt)
	key, owner, answer, keep := d.key(), d.owner(), d.answer(), d.lasting("keep")
	var got, want holdResult
	var err, wantErr error
	want.held, want.kept, wantErr = d.rules.Finish(d.ctx, key, owner, answer, keep)
	got.held, got.kept, err = s.Finish(d.ctx, key, owner, answer, keep)
	d.agree("Finish", got, want, err, wantErr)
}

func (d *drawn) take(rt *rapid.T) {
	s := d.subject(rt)
	account, owner, lease := d.account(), d.owner(), d.lasting("lease")
	look := func(once Once) (takeResult, error) {
		key, message, attempt, err := once.Take(d.ctx, account, owner, lease)
		return takeResult{key, bytesOf(message, true), attempt}, err
	}
	want, wantErr := look(d.rules)
	got, err := look(s)
	d.agree("Take", got, want, err, wantErr)
}
