package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	key    = custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"}
	server = Server{Kind: "Fake", Place: "server", Password: custody.NewSecret("made-up-pa55word")}
)

// fake is an engine in memory, whose every step a test may disturb.
type fake struct {
	prepare func(ctx context.Context) error
	read    func(ctx context.Context) error // before it reads
	answer  func()                          // before what it has read arrives
	swap    func() (lost bool)              // before it swaps; lost: the answer is

	mu    sync.Mutex
	skew  time.Duration // of its clock against the process's
	rows  map[string]Change
	lines map[string][]custody.Entry
	trims int
}

func newFake() *fake {
	return &fake{skew: 5 * time.Hour, rows: map[string]Change{}, lines: map[string][]custody.Entry{}}
}

func (f *fake) now() time.Time { return time.Now().Add(f.skew).Truncate(time.Microsecond) }

func (f *fake) Prepare(ctx context.Context) error {
	if f.prepare != nil {
		return f.prepare(ctx)
	}
	return nil
}

func (f *fake) Read(ctx context.Context, names []string) ([]State, error) {
	if f.read != nil {
		if err := f.read(ctx); err != nil {
			return nil, err
		}
	}
	if f.answer != nil {
		defer f.answer()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	states := make([]State, len(names))
	for i, name := range names {
		c, found := f.rows[name]
		c.Row.Notes = append([]byte(nil), c.Row.Notes...)
		states[i] = State{Row: c.Row, Found: found, Version: c.New, Now: f.now()}
	}
	return states, ctx.Err()
}

func (f *fake) Swap(_ context.Context, c Change) (bool, error) {
	lost := f.swap != nil && f.swap()
	f.mu.Lock()
	defer f.mu.Unlock()
	old, found := f.rows[c.Name]
	if found != c.Found || found && old.New != c.Old || !f.now().Before(c.Until) {
		return false, nil
	}
	c.Row.Notes = append([]byte(nil), c.Row.Notes...)
	f.rows[c.Name] = c
	if c.Entry != nil {
		f.lines[c.Name] = append([]custody.Entry{*c.Entry}, f.lines[c.Name]...)
	}
	if lost {
		return false, errors.New("the answer was lost")
	}
	return true, nil
}

func (f *fake) Lines(_ context.Context, name string, limit int) ([]custody.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]custody.Entry(nil), f.lines[name][:min(limit, len(f.lines[name]))]...), nil
}

func (f *fake) Trim(context.Context, string, time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trims++
	return nil
}

func (f *fake) Close() error { return nil }

func open(t *testing.T, f *fake) *Store {
	t.Helper()
	s, err := Open(t.Context(), f, server, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestConformance: the rules hold over any engine that swaps.
func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.RunWith(t, storetest.Options{Open: func(*testing.T) func(t *testing.T) custody.Store {
		f := newFake()
		return func(t *testing.T) custody.Store {
			t.Helper()
			return open(t, f)
		}
	}})
}

// TestFrozenInTheMiddle: a process is stopped between its look and its write.
// What it decided is not carried out when it is over by then.
func TestFrozenInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		ttl, frozen time.Duration
		want        error
	}{
		{"PastTheLease", 12 * time.Second, 13 * time.Second, custody.ErrFenced},
		{"PastAShortLease", 500 * time.Millisecond, 800 * time.Millisecond, custody.ErrFenced},
		{"WithinTheLease", 12 * time.Second, 5 * time.Second, nil}, // it decides anew
		{"Hardly", 12 * time.Second, 500 * time.Millisecond, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				s := open(t, f)
				defer func() { _ = s.Close() }()
				lease, err := s.Acquire(t.Context(), key, "attempt", c.ttl)
				if err != nil {
					t.Fatal(err)
				}
				swaps := 0
				f.swap = func() bool {
					if swaps++; swaps == 1 {
						// The process stands still, so its own timers do too: only
						// the server's clock goes on.
						f.mu.Lock()
						f.skew += c.frozen
						f.mu.Unlock()
					}
					return false
				}
				if err := s.Begin(t.Context(), lease, nil); !errors.Is(err, c.want) {
					t.Errorf("Begin: got %v, want %v", err, c.want)
				}
				if late := c.frozen > decisionTime; c.want == nil && (swaps > 1) != late {
					t.Errorf("%d attempts to write", swaps)
				}
				if n := len(f.lines[key.String()]); c.want != nil && n > 0 || c.want == nil && n != 1 {
					t.Errorf("the journal has %d lines", n)
				}
			})
		})
	}
}

// TestLostAnswer: what happened is not done twice.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := open(t, f)
	lease, err := s.Acquire(t.Context(), key, "attempt", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	record := custody.Record{Value: "value", End: lease.Record.Now.Add(time.Hour)}
	f.swap = func() bool { return true }
	if err := s.Save(t.Context(), lease, record); err == nil {
		t.Fatal("no error for a Save whose answer was lost")
	}
	if err := s.Save(t.Context(), lease, record); err != nil {
		t.Fatal(err)
	}
	if n := len(f.lines[key.String()]); n != 1 {
		t.Errorf("the journal has %d lines, want one", n)
	}
}

// TestEngineThatHangs: a call ends with its ctx, and Close ends at all, though
// the engine knows nothing of either.
func TestEngineThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := open(t, f)
		hang := make(chan struct{})
		f.read = func(context.Context) error { <-hang; return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := s.Load(ctx, key)
		if took := time.Since(start); took > time.Second+grace || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load took %v and returned %v", took, err)
		}
		start = time.Now()
		_, err = s.Load(context.Background(), key)
		if took := time.Since(start); took > callTime+grace || err == nil {
			t.Errorf("Load without a deadline took %v and returned %v", took, err)
		}
		close(hang)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestOpening: one attempt at a time for all callers, outliving each of them;
// a failure that passes is said once and tried again, at a pace.
func TestOpening(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var attempts atomic.Int32
		var works atomic.Bool
		f := newFake()
		f.prepare = func(ctx context.Context) error {
			attempts.Add(1)
			ok := works.Load()
			select {
			case <-time.After(7 * time.Second): // longer than any caller waits
			case <-ctx.Done():
				return ctx.Err()
			}
			if ok {
				return nil
			}
			return &FaultError{
				Server: server,
				What:   "cannot be reached",
				Remedy: "see that it runs",
				Passes: true,
				Err:    errors.New("made-up-pa55word"),
			}
		}
		start := time.Now()
		s, err := Open(t.Context(), f, server, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != openTime {
			t.Errorf("Open took %v, want %v", took, openTime)
		}
		works.Store(true)
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				if _, err := s.Load(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Load %d: %v", i, err)
				}
			})
		}
		all.Wait()
		time.Sleep(time.Minute)
		if n := attempts.Load(); n != 1 {
			t.Errorf("%d attempts, want one for all", n)
		}
		if _, err := s.Load(t.Context(), key); err == nil || errors.Is(err, custody.ErrNotFound) {
			t.Errorf("Load: got %v; an attempt takes longer than a call", err)
		}
		time.Sleep(10 * time.Second) // the attempt that it began has ended well
		if _, err := s.Load(t.Context(), key); !errors.Is(err, custody.ErrNotFound) {
			t.Errorf("Load after the server came: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		text := log.String()
		if strings.Count(text, "WARN") != 1 || !strings.Contains(text, "the store is open now") || strings.Contains(text, "pa55word") {
			t.Errorf("the log says:\n%s", text)
		}
	})
}

// TestShortPassword: a password that is a word of a sentence hides no such word, only
// itself where a driver quotes it.
func TestShortPassword(t *testing.T) {
	fault := &FaultError{
		Server: Server{Kind: "Fake", Place: "server", Password: custody.NewSecret("server")}, What: "cannot be used", Remedy: "ask the server",
		Err: errors.New("ERR unknown command 'AUTH', with args beginning with: 'server' of this server"),
	}
	const want = "zhongkong: the Fake server cannot be used: ask the server " +
		"(ERR unknown command 'AUTH', with args beginning with: '[secret]' of this server)"
	if got := fault.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestWrongConfiguration: what does not pass is an error of Open, unsaid.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.prepare = func(context.Context) error {
		return &FaultError{Server: server, What: "refuses the password", Remedy: "correct it", Err: errors.New("made-up-pa55word\nsecond line")}
	}
	var log strings.Builder
	_, err := Open(t.Context(), f, server, slog.New(slog.NewTextHandler(&log, nil)))
	const want = "zhongkong: the Fake server refuses the password: correct it ([secret] second line)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if text := fmt.Sprintf("%+v %#v", err, err); strings.Contains(text, "pa55word") {
		t.Errorf("it prints %s", text)
	}
	if log.Len() > 0 {
		t.Errorf("it is logged as well: %s", log.String())
	}
}

// TestTablesGone: who finds them gone prepares again, once for each call.
func TestTablesGone(t *testing.T) {
	t.Parallel()
	f := newFake()
	prepared := 0
	f.prepare = func(context.Context) error { prepared++; return nil }
	s := open(t, f)
	f.read = func(context.Context) error {
		if prepared == 1 {
			return fmt.Errorf("%w: no such table", ErrUnprepared)
		}
		return nil
	}
	if _, err := s.Load(t.Context(), key); !errors.Is(err, custody.ErrNotFound) || prepared != 2 {
		t.Fatalf("Load: %v after %d preparations, want ErrNotFound after 2", err, prepared)
	}
	f.read = func(context.Context) error { return fmt.Errorf("%w: no such table", ErrUnprepared) }
	if _, err := s.Load(t.Context(), key); !errors.Is(err, ErrUnprepared) || prepared > 4 {
		t.Fatalf("Load: %v after %d preparations", err, prepared)
	}
}

// TestBetween: others change the record all the time, and the call ends with its
// ctx.
func TestBetween(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := open(t, f)
		defer func() { _ = s.Close() }()
		f.swap = func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			c := f.rows[key.String()]
			c.New++
			f.rows[key.String()] = c
			return false
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Acquire(ctx, key, "attempt", time.Minute)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "others change") {
			t.Errorf("got %v", err)
		}
	})
}

// TestSlowAnswer: the server's time is reckoned from its last answer, but not from one that
// took long to arrive: what is written would be dated back.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]int{0: 1, 100 * time.Millisecond: 1, 500 * time.Millisecond: 3} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			s := open(t, f)
			defer func() { _ = s.Close() }()
			reads := 0
			f.answer = func() { reads++; time.Sleep(took) }
			lease, err := s.Acquire(t.Context(), key, "attempt", time.Minute)
			if err == nil {
				err = s.Begin(t.Context(), lease, nil)
			}
			before := f.now()
			if err == nil {
				err = s.Save(t.Context(), lease, custody.Record{Value: "value", End: before.Add(time.Hour), Life: time.Hour})
			}
			if err != nil || reads != want {
				t.Fatalf("an answer takes %s: %d reads, %v, want %d", took, reads, err, want)
			}
			if at := f.lines[key.String()][0].At; at.Before(before.Add(-quick)) {
				t.Errorf("an answer takes %s: the journal is dated back by %s", took, before.Sub(at))
			}
		})
	}
}

// TestTrimming: at the first line of a key, and at every hundredth after it.
func TestTrimming(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := open(t, f)
	lease, err := s.Acquire(t.Context(), key, "attempt", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for range 2*journalPace + 1 {
		if err := s.Begin(t.Context(), lease, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if f.trims != 3 {
		t.Errorf("trimmed %d times, want 3", f.trims)
	}
}
