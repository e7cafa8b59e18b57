package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// checkModel plays random calls to the store and to [store.Row], which is
// the contract as code, and compares every answer. rapid shortens a sequence
// that fails to the few calls that matter.
func checkModel(t *testing.T, f *fixture) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &model{T: rt, t: t, f: f, key: f.key}
		m.key.AppID = fmt.Sprintf("model-%d", run)
		rt.Repeat(map[string]func(*rapid.T){
			"":              m.look,
			"acquire":       m.acquire,
			"acquire again": m.acquireAgain,
			"let it end":    m.letItEnd,
			"begin":         m.begin,
			"save":          m.save,
			"save again":    m.saveAgain,
			"release":       m.release,
			"shorten":       m.shorten,
		})
	})
}

// model is the state of one random run.
type model struct {
	*rapid.T
	t   *testing.T
	f   *fixture
	key custody.Key

	row    store.Row
	now    time.Time // what the store's clock has passed
	begun  bool      // row.Unfinished is a lower bound; the store knows the moment
	leases []custody.Lease
	saved  []custody.Record // what was saved last under leases[i]

	attempts, values int
}

func (m *model) store() custody.Store {
	return m.f.store(rapid.IntRange(0, len(m.f.handles)-1).Draw(m.T, "handle"))
}

// passed notes that the store's clock shows now.
func (m *model) passed(now time.Time) {
	if now.After(m.now) {
		m.now = now
	}
}

// look compares the whole record after each step.
func (m *model) look(rt *rapid.T) {
	m.T = rt
	got, err := m.store().Load(in(m.t), m.key)
	switch {
	case errors.Is(err, custody.ErrNotFound):
		if m.row.Value != "" || len(m.row.Notes) > 0 {
			rt.Fatalf("Load: %v, though something was stored", err)
		}
		return
	case err != nil:
		rt.Fatalf("Load: %v", err)
	case len(m.leases) == 0:
		rt.Fatalf("Load of a key that was never stored: got %+v, want ErrNotFound", got)
	}
	if d := m.f.differ(got, m.row.Record(m.now), m.row.Fence); d != "" {
		rt.Fatalf("Load: %s", d)
	}
	m.passed(got.Now)
}

func (m *model) acquire(rt *rapid.T) {
	m.T = rt
	m.attempts++
	m.take(fmt.Sprintf("attempt-%d", m.attempts), longLease)
}

func (m *model) acquireAgain(rt *rapid.T) {
	m.T = rt
	m.take(m.lease().Attempt, longLease)
}

// letItEnd takes a lease and sees its end.
func (m *model) letItEnd(rt *rapid.T) {
	m.T = rt
	m.attempts++
	const ttl = 2 * time.Millisecond
	if m.take(fmt.Sprintf("attempt-%d", m.attempts), ttl) {
		wait(m.t, 2*ttl)
		m.passed(m.now.Add(ttl))
	}
}

func (m *model) take(attempt string, ttl time.Duration) bool {
	lease, err := m.store().Acquire(in(m.t), m.key, attempt, ttl)
	before := m.row
	if err == nil {
		m.passed(lease.Record.Now)
	}
	want, wantErr := m.row.Acquire(m.now, m.key, attempt, ttl)
	var held, wantHeld *custody.HeldError
	if errors.As(wantErr, &wantHeld) {
		if !errors.As(err, &held) || held.Left <= 0 || held.Left > longLease {
			m.Fatalf("Acquire(%q): got %v, want a *HeldError with at most %v left", attempt, err, longLease)
		}
		return false
	}
	if err != nil {
		m.Fatalf("Acquire(%q): %v, want a lease", attempt, err)
	}
	if d := m.f.differ(lease.Record, want.Record, want.Record.Fence); d != "" {
		m.Fatalf("the lease's record: %s", d)
	}
	if lease.Key != m.key || lease.Attempt != attempt {
		m.Fatalf("Acquire(%q) returned %+v", attempt, lease)
	}
	if m.row.Top == before.Top && lease.Fence != before.Top {
		m.Fatalf("the attempt's own lease has the fence %d, then %d", before.Top, lease.Fence)
	}
	if m.row.Top != before.Top && lease.Fence <= before.Top {
		m.Fatalf("fence %d after %d, want a higher one", lease.Fence, before.Top)
	}
	m.row.Top = lease.Fence
	if lease.Today != want.Today && len(m.leases) > 0 && sameDay(m.leases[0], lease) {
		m.Fatalf("Today is %d, want %d", lease.Today, want.Today)
	}
	m.unfinished(before, lease)
	m.leases = append(m.leases, lease)
	m.saved = append(m.saved, custody.Record{})
	return true
}

// unfinished compares Lease.Unfinished. The model knows of a Begin only that it
// was not before m.now at that call, until the store tells the moment.
func (m *model) unfinished(before store.Row, lease custody.Lease) {
	if !m.row.Unfinished.Equal(before.Unfinished) {
		m.begun = true
	}
	got, want := lease.Unfinished, m.row.Unfinished
	ok := got.Equal(want)
	if m.begun && !want.IsZero() {
		ok = !got.Before(want) && !got.After(lease.Record.Now)
	}
	if got.IsZero() != want.IsZero() || !ok {
		m.Fatalf("Unfinished is %v, want %v", got, want)
	}
	m.row.Unfinished, m.begun = got, false
}

// lease draws one of those that were given out, the latest most often.
func (m *model) lease() custody.Lease {
	return m.leases[m.index()]
}

func (m *model) index() int {
	if len(m.leases) == 0 {
		m.Skip("no lease was given out yet")
	}
	return len(m.leases) - 1 - rapid.IntRange(0, len(m.leases)-1).Draw(m.T, "lease from the last")
}

func (m *model) notes() []byte {
	return rapid.SampledFrom([][]byte{nil, []byte("notes"), []byte("便条\x00\xff"), {}}).Draw(m.T, "notes")
}

// end draws the end of a value, as finely as the store keeps it.
func (m *model) end() time.Time {
	const hour, week = int64(time.Hour / time.Microsecond), int64(7 * 24 * time.Hour / time.Microsecond)
	us := rapid.Int64Range(-hour, week).Draw(m.T, "end in µs from now")
	return m.now.Add(time.Duration(us) * time.Microsecond).Truncate(m.f.precision)
}

// agree wants the store to refuse what the model refuses, in the same words where no
// caller tells the errors apart.
func (m *model) agree(call string, err, want error) {
	if want == nil && err != nil || want != nil && !errors.Is(err, want) && (err == nil || err.Error() != want.Error()) {
		m.Fatalf("%s: got %v, want %v", call, err, want)
	}
}

func (m *model) begin(rt *rapid.T) {
	m.T = rt
	lease, notes := m.lease(), m.notes()
	m.agree("Begin", m.store().Begin(in(m.t), lease, notes), m.row.Begin(m.now, lease, notes))
}

func (m *model) save(rt *rapid.T) {
	m.T = rt
	i := m.index()
	m.values++
	end := m.end()
	record := custody.Record{
		Value:   fmt.Sprintf("value-%d-%s", m.values, rapid.SampledFrom([]string{"", "令牌", "'\x00\""}).Draw(rt, "value")),
		SealKey: rapid.SampledFrom([]string{"", "0a1b2c3d"}).Draw(rt, "seal key"),
		End:     end,
		Life:    time.Duration(rapid.Int64Range(0, int64(7*24*time.Hour/time.Microsecond)).Draw(rt, "life in µs")) * time.Microsecond,
		Notes:   m.notes(),
	}
	m.saved[i] = record
	m.agree("Save", m.store().Save(in(m.t), m.leases[i], record), m.row.Save(m.leases[i], record))
}

func (m *model) saveAgain(rt *rapid.T) {
	m.T = rt
	i := m.index()
	if m.saved[i].Value == "" {
		rt.Skip("nothing was saved under this lease")
	}
	m.agree("Save again", m.store().Save(in(m.t), m.leases[i], m.saved[i]), m.row.Save(m.leases[i], m.saved[i]))
}

func (m *model) release(rt *rapid.T) {
	m.T = rt
	lease, notes := m.lease(), m.notes()
	m.agree("Release", m.store().Release(in(m.t), lease, notes), m.row.Release(lease, notes))
}

func (m *model) shorten(rt *rapid.T) {
	m.T = rt
	fence := m.row.Fence
	if len(m.leases) > 0 && rapid.Bool().Draw(rt, "another fence") {
		fence = m.lease().Fence
	}
	end := m.end()
	m.agree("Shorten", m.store().Shorten(in(m.t), m.key, fence, end), nil)
	m.row.Shorten(fence, end)
}
