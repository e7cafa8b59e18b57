package remotetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong"
	"github.com/zhongkong-go/zhongkong/internal/testserver"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// Key is the one that the tests use.
var Key = zhongkong.Key{Kind: "access_token", API: "stable", AppID: "wx0123456789abcdef"}

// Engine is a store package as these tests need it.
type Engine struct {
	Engine testserver.Engine

	// Open is the package's Open.
	Open func(ctx context.Context, address string, logger *slog.Logger) (zhongkong.Store, error)

	// Remove takes away what the URL's prefix has on the server.
	Remove func(ctx context.Context, address string) error

	// Start starts a server that keeps what it was told over a restart.
	Start func(ctx context.Context) (*testserver.Server, error)

	// Damage puts nonsense into the record of Key, and into its highest fence the
	// number top. Says is what the log has to say of it.
	Damage func(t *testing.T, address string, top int64)
	Says   string

	// Fill adds n lines of that age to the journal of a key, with their number
	// from 1 to n as the detail.
	Fill func(t *testing.T, address string, key zhongkong.Key, n int, age time.Duration)

	// Lines counts what the journal of a key holds, shown or not.
	Lines func(t *testing.T, address string, key zhongkong.Key) int

	// Messages counts what is known of messages.
	Messages func(t *testing.T, address string) int

	// Slack is how many lines may be held beyond those that are shown.
	Slack int
}

// Run checks the store of a package, with the conformance suite first.
func Run(t *testing.T, e Engine) {
	server := testserver.URL(t, e.Engine)
	for _, c := range []struct {
		name  string
		check func(t *testing.T, server string)
	}{
		{"Conformance", e.conformance},
		{"Messages", e.messages},
		{"MessagesEnd", e.messagesEnd},
		{"Queue", e.queue},
		{"FirstStarts", e.firstStarts},
		{"Prefixes", e.prefixes},
		{"RoundTrips", e.roundTrips},
		{"Unreachable", e.unreachable},
		{"Silent", e.silent},
		{"Restart", e.restart},
		{"CloseEndsWaiting", e.closeEndsWaiting},
		{"DamagedRecordHeals", e.damaged},
		{"JournalEnds", e.journalEnds},
		{"LoadMany", e.loadMany},
		{"OneRenewalForAll", e.oneRenewalForAll},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t, server)
		})
	}
}

// Place is the URL of a place of the test's own on a server, empty.
func (e Engine) Place(tb testing.TB, server string) string {
	tb.Helper()
	address := With(tb, server, "prefix", testserver.Name()+"_")
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Remove(ctx, address); err != nil {
			tb.Log(err) // of a server that the test has ruined
		}
	})
	return address
}

// OpenAt is Open for a test that wants no error.
func (e Engine) OpenAt(tb testing.TB, address string, log *Log) zhongkong.Store {
	tb.Helper()
	s, err := e.Open(tb.Context(), address, log.Logger())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// With is an URL with one more parameter.
func With(tb testing.TB, address, name, value string) string {
	tb.Helper()
	return change(tb, address, func(u *url.URL) {
		query := u.Query()
		query.Set(name, value)
		u.RawQuery = query.Encode()
	})
}

// Through is an URL that leads to addr.
func Through(tb testing.TB, address, addr string) string {
	tb.Helper()
	return change(tb, address, func(u *url.URL) { u.Host = addr })
}

// Host is where an URL leads to.
func Host(tb testing.TB, address string) (host string) {
	tb.Helper()
	change(tb, address, func(u *url.URL) { host = u.Host })
	return host
}

func change(tb testing.TB, address string, f func(u *url.URL)) string {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	f(u)
	return u.String()
}

// Save takes the lease of Key and saves value.
func Save(tb testing.TB, s zhongkong.Store, value string) zhongkong.Lease {
	tb.Helper()
	lease, err := s.Acquire(tb.Context(), Key, "attempt for "+value, time.Hour)
	if err != nil {
		tb.Fatalf("Acquire: %v", err)
	}
	record := zhongkong.Record{Value: value, End: lease.Record.Now.Add(time.Hour), Life: 2 * time.Hour}
	if err := s.Save(tb.Context(), lease, record); err != nil {
		tb.Fatalf("Save: %v", err)
	}
	return lease
}

// MustLoad wants value of Key; "" stands for no record.
func MustLoad(tb testing.TB, s zhongkong.Store, value string) {
	tb.Helper()
	record, err := s.Load(tb.Context(), Key)
	if errors.Is(err, zhongkong.ErrNotFound) && value == "" {
		return
	}
	if err != nil || record.Value != value {
		tb.Fatalf("Load: got %q, %v; want %q", record.Value, err, value)
	}
}

// MustSay wants an error that says words, and no password.
func MustSay(tb testing.TB, err error, words ...string) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("no error, want one that says %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			tb.Errorf("the error does not say %q: %v", word, err)
		}
	}
	MustHide(tb, err.Error(), fmt.Sprintf("%+v %#v", err, err))
}

// MustHide wants texts without a password.
func MustHide(tb testing.TB, texts ...string) {
	tb.Helper()
	for _, text := range texts {
		if strings.Contains(text, testserver.Password) || strings.Contains(text, "wrong-pa55word") {
			tb.Errorf("the password is in: %s", text)
		}
	}
}

// Log is a log that a test reads.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// Logger writes into the log.
func (l *Log) Logger() *slog.Logger {
	if l == nil {
		return nil
	}
	return slog.New(slog.NewTextHandler(l, nil))
}

// Text is what was written.
func (l *Log) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// MustWarnOnce wants one line at Warn that says words.
func (l *Log) MustWarnOnce(tb testing.TB, words ...string) {
	tb.Helper()
	var lines []string
	for line := range strings.Lines(l.Text()) {
		if strings.Contains(line, "level=WARN") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 {
		tb.Fatalf("%d lines at Warn, want one:\n%s", len(lines), strings.Join(lines, ""))
	}
	for _, word := range words {
		if !strings.Contains(lines[0], word) {
			tb.Errorf("the line at Warn does not say %q: %s", word, lines[0])
		}
	}
	MustHide(tb, l.Text())
}

func (e Engine) conformance(t *testing.T, server string) {
	storetest.RunWith(t, storetest.Options{
		ServerClock: true,
		Open: func(t *testing.T) func(t *testing.T) zhongkong.Store {
			address := e.Place(t, server)
			return func(t *testing.T) zhongkong.Store { return e.OpenAt(t, address, nil) }
		},
		Remote: &storetest.Remote{Open: func(t *testing.T) (direct, wired zhongkong.Store, wire storetest.Wire) {
			address := e.Place(t, server)
			proxy := testserver.NewProxy(t, Host(t, address))
			return e.OpenAt(t, address, nil), e.OpenAt(t, Through(t, address, proxy.Addr), nil), proxy
		}},
	})
}

// messages is the conformance suite of callback.Once.
func (e Engine) messages(t *testing.T, server string) {
	storetest.RunOnce(t, storetest.Options{
		ServerClock: true,
		Open: func(t *testing.T) func(t *testing.T) zhongkong.Store {
			address := e.Place(t, server)
			return func(t *testing.T) zhongkong.Store { return e.OpenAt(t, address, nil) }
		},
	})
}

// queue is the conformance suite of zhongkong.Queue.
func (e Engine) queue(t *testing.T, server string) {
	storetest.RunQueue(t, storetest.Options{
		ServerClock: true,
		Open: func(t *testing.T) func(t *testing.T) zhongkong.Store {
			address := e.Place(t, server)
			return func(t *testing.T) zhongkong.Store { return e.OpenAt(t, address, nil) }
		},
	})
}

// messagesEnd: what is known of messages is removed when it may be, and the one
// that waits to be handled stays.
func (e Engine) messagesEnd(t *testing.T, server string) {
	const messages = 600 // one more than the pace in which they are looked for, and then some
	address := e.Place(t, server)
	once := e.OpenAt(t, address, nil).(storetest.Once)
	claim := func(key string) {
		if _, _, _, err := once.Claim(t.Context(), "account", key, "owner", time.Millisecond, time.Millisecond); err != nil {
			t.Errorf("Claim: %v", err)
		}
	}
	claim("kept")
	if _, _, err := once.Keep(t.Context(), "kept", []byte("message")); err != nil {
		t.Fatal(err)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := next.Add(1); i <= messages; i = next.Add(1) {
				claim(fmt.Sprint("message ", i))
			}
		})
	}
	all.Wait()
	Eventually(t, func() error {
		if n := e.Messages(t, address); n >= messages/2 {
			return fmt.Errorf("%d messages are known", n)
		}
		return nil
	})
	key, message, _, err := once.Take(t.Context(), "account", "heir", time.Minute)
	if err != nil || key != "kept" || string(message) != "message" {
		t.Errorf("Take = %q, %q, %v", key, message, err)
	}
}

// firstStarts: many programs start at once where there is nothing yet. Each has
// to succeed, and one gets the lease.
func (e Engine) firstStarts(t *testing.T, server string) {
	address := e.Place(t, server)
	const starts = 40
	errs := make([]error, starts)
	var winners atomic.Int32
	var all sync.WaitGroup
	for i := range starts {
		all.Go(func() {
			log := new(Log)
			s, err := e.Open(t.Context(), address, log.Logger())
			if err != nil {
				errs[i] = err
				return
			}
			defer func() { _ = s.Close() }()
			_, err = s.Acquire(t.Context(), Key, fmt.Sprint(i), time.Hour)
			var held *zhongkong.HeldError
			switch {
			case err == nil:
				winners.Add(1)
			case !errors.As(err, &held):
				errs[i] = err
			case log.Text() != "" && !strings.Contains(log.Text(), "is not open yet"): // on a busy machine
				errs[i] = errors.New(log.Text())
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := winners.Load(); n != 1 {
		t.Errorf("%d starts got the lease, want one", n)
	}
}

// prefixes: two deployments on one server do not know one another.
func (e Engine) prefixes(t *testing.T, server string) {
	a, b := e.OpenAt(t, e.Place(t, server), nil), e.OpenAt(t, e.Place(t, server), nil)
	Save(t, a, "value of a")
	MustLoad(t, b, "")
	Save(t, b, "value of b")
	MustLoad(t, a, "value of a")
	if j, ok := a.(zhongkong.Journal); ok {
		if lines, err := j.Journal(t.Context(), Key, 10); err != nil || len(lines) != 1 {
			t.Errorf("the journal of a: %v, %v", lines, err)
		}
	}
	for _, prefix := range []string{"'; DROP TABLE x; --", "a b", strings.Repeat("x", 65), "{a}", "中控"} {
		s, err := e.Open(t.Context(), With(t, server, "prefix", prefix), nil)
		if err == nil {
			_ = s.Close()
		}
		MustSay(t, err, "prefix")
	}
}

// roundTrips counts what calls cost on the network, once connections are open.
func (e Engine) roundTrips(t *testing.T, server string) {
	address := e.Place(t, server)
	proxy := testserver.NewProxy(t, Host(t, address))
	s := e.OpenAt(t, Through(t, address, proxy.Addr), nil)
	Save(t, s, "value") // what is done once is done, such as the journal's trimming
	for proxy.Quiet(t) {
	}
	var lease zhongkong.Lease
	for _, c := range []struct {
		name string
		most int
		call func(ctx context.Context) error
	}{
		{"Load", 1, func(ctx context.Context) error { _, err := s.Load(ctx, Key); return err }},
		{"Acquire", 2, func(ctx context.Context) (err error) {
			lease, err = s.Acquire(ctx, Key, "attempt", time.Hour)
			return err
		}},
		{"Begin", 2, func(ctx context.Context) error { return s.Begin(ctx, lease, nil) }},
		{"Save", 2, func(ctx context.Context) error { return s.Save(ctx, lease, zhongkong.Record{Value: "next"}) }},
	} {
		before := proxy.Trips()
		if err := c.call(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if n := proxy.Trips() - before; n > c.most {
			t.Errorf("%s took %d round trips, want at most %d", c.name, n, c.most)
		}
	}
}

// unreachable: a server that is away stops no start, and is used as soon as it
// is there.
func (e Engine) unreachable(t *testing.T, _ string) {
	server := testserver.Own(t, e.Engine, e.Start)
	server.Stop()
	log := new(Log)
	start := time.Now()
	s := e.OpenAt(t, server.URL, log)
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Open took %v to see that nobody listens", took)
	}
	log.MustWarnOnce(t, "cannot be reached", server.Addr, "see that it runs")
	for range 3 {
		_, err := s.Load(t.Context(), Key)
		MustSay(t, err, "cannot be reached", server.Addr, "see that it runs")
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	Eventually(t, func() error { return onlyNotFound(s.Load(t.Context(), Key)) })
	Save(t, s, "value")
	log.MustWarnOnce(t)
	if !strings.Contains(log.Text(), "the store is open now") {
		t.Errorf("it is not said that the store is open: %s", log.Text())
	}
}

// onlyNotFound is nil for a store that works and is empty.
func onlyNotFound(_ zhongkong.Record, err error) error {
	if errors.Is(err, zhongkong.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("not yet: %w", err)
}

// Eventually calls try until it succeeds, for some seconds.
func Eventually(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// silent: a server that takes connections and says nothing stops no start
// either, and no caller longer than its ctx.
func (e Engine) silent(t *testing.T, server string) {
	address := e.Place(t, server)
	proxy := testserver.NewProxy(t, Host(t, address))
	proxy.Freeze()
	far := Through(t, address, proxy.Addr)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	s, err := e.Open(ctx, far, nil)
	if err == nil {
		_ = s.Close()
	}
	if took := time.Since(start); took > 1600*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open whose ctx ended after 100ms took %v and returned %v", took, err)
	}
	MustSay(t, err, "is not open yet")

	log := new(Log)
	start = time.Now()
	s = e.OpenAt(t, far, log)
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("Open took %v", took)
	}
	log.MustWarnOnce(t, "see that it runs")
	proxy.Heal()
	Eventually(t, func() error { return onlyNotFound(s.Load(t.Context(), Key)) })
	log.MustWarnOnce(t)
}

// restart: the server ends in use and comes back.
func (e Engine) restart(t *testing.T, _ string) {
	server := testserver.Own(t, e.Engine, e.Start)
	s := e.OpenAt(t, server.URL, nil)
	Save(t, s, "value")
	var keys <-chan zhongkong.Key
	if w, ok := s.(zhongkong.Watcher); ok {
		var err error
		if keys, err = w.Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	server.Stop()
	start := time.Now()
	_, err := s.Load(t.Context(), Key)
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Load took %v to see that the server is gone", took)
	}
	MustSay(t, err, "see that it runs")
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	MustLoad(t, s, "value")
	n := 0
	Eventually(t, func() error {
		n++
		lease, err := s.Acquire(t.Context(), Key, fmt.Sprint(n), time.Hour)
		if err == nil {
			err = s.Release(t.Context(), lease, fmt.Append(nil, n))
		}
		if err != nil || keys == nil {
			return err
		}
		select {
		case <-keys:
			return nil
		default:
			return errors.New("no notice after the restart")
		}
	})
}

// closeEndsWaiting: Close does not wait for a server that is silent.
func (e Engine) closeEndsWaiting(t *testing.T, server string) {
	address := e.Place(t, server)
	proxy := testserver.NewProxy(t, Host(t, address))
	s := e.OpenAt(t, Through(t, address, proxy.Addr), nil)
	Save(t, s, "value")
	proxy.Freeze()
	result := make(chan error)
	go func() {
		_, err := s.Load(context.Background(), Key)
		result <- err
	}()
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	MustSay(t, <-result, "is closed")
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("Close took %v", took)
	}
}

// damaged: a record that holds nonsense is renewed like a missing one, and its
// fence still grows.
func (e Engine) damaged(t *testing.T, server string) {
	address := e.Place(t, server)
	log := new(Log)
	s := e.OpenAt(t, address, log)
	lease := Save(t, s, "lost")
	const far = 1_000_000_000_000
	e.Damage(t, address, lease.Fence+far)
	MustLoad(t, s, "")
	log.MustWarnOnce(t, e.Says, Key.String())
	if next := Save(t, s, "renewed"); next.Fence <= lease.Fence {
		t.Errorf("fence %d after %d, want a higher one", next.Fence, lease.Fence)
	} else if e.Says == "end_us" && next.Fence <= lease.Fence+far {
		t.Errorf("fence %d, want one above the damaged row's", next.Fence)
	}
	MustLoad(t, s, "renewed")
}

// journalEnds: 1,000 lines of a key are shown, for 30 days; few more are kept.
func (e Engine) journalEnds(t *testing.T, server string) {
	address := e.Place(t, server)
	s := e.OpenAt(t, address, nil)
	journal := s.(zhongkong.Journal)
	shown := func(key zhongkong.Key, want int) []zhongkong.Entry {
		t.Helper()
		lines, err := journal.Journal(t.Context(), key, 5000)
		if err != nil || len(lines) != want {
			t.Fatalf("Journal: %d lines, %v; want %d", len(lines), err, want)
		}
		return lines
	}
	old := Key
	old.AppID += "-old"
	e.Fill(t, address, old, 20, 31*24*time.Hour)
	e.Fill(t, address, Key, 1200, 29*24*time.Hour)
	shown(old, 0)
	if lines := shown(Key, 1000); lines[0].Detail != "1200" || lines[999].Detail != "201" {
		t.Errorf("the lines go from %v to %v", lines[0], lines[999])
	}
	lease := Save(t, s, "value")
	if lines := shown(Key, 1000); lines[0].Fence != lease.Fence || lines[999].Detail != "202" {
		t.Errorf("the lines go from %v to %v", lines[0], lines[999])
	}
	Eventually(t, func() error { // trimming is nobody's wait
		if n := e.Lines(t, address, Key); n > 1000+e.Slack {
			return fmt.Errorf("%d lines are kept", n)
		}
		return nil
	})
}

// manyLoader is an ability that a store may have.
type manyLoader interface {
	LoadMany(ctx context.Context, keys []zhongkong.Key) (map[zhongkong.Key]zhongkong.Record, error)
}

func (e Engine) loadMany(t *testing.T, server string) {
	address := e.Place(t, server)
	proxy := testserver.NewProxy(t, Host(t, address))
	s := e.OpenAt(t, Through(t, address, proxy.Addr), nil)
	Save(t, s, "value")
	for proxy.Quiet(t) {
	}
	keys := []zhongkong.Key{Key}
	for i := range 1000 {
		keys = append(keys, zhongkong.Key{Kind: "access_token", AppID: fmt.Sprintf("wx%016x", i)})
	}
	before := proxy.Trips()
	records, err := s.(manyLoader).LoadMany(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	if n := proxy.Trips() - before; n != 1 {
		t.Errorf("%d keys took %d round trips, want 1", len(keys), n)
	}
	if r := records[Key]; len(records) != 1 || r.Value != "value" || r.Now.IsZero() {
		t.Errorf("got %v", records)
	}
	if records, err := s.(manyLoader).LoadMany(t.Context(), nil); err != nil || len(records) != 0 {
		t.Errorf("LoadMany of no keys: %v, %v", records, err)
	}
}

// oneRenewalForAll: eight processes, each with its own store, and a hundred
// callers in each renew one short-lived credential twenty times. Each value was
// fetched once, and every caller always had one.
func (e Engine) oneRenewalForAll(t *testing.T, server string) {
	const processes, callers, values = 8, 100, 21
	address := e.Place(t, server)
	var fetched, failed atomic.Int64
	kind := zhongkong.Kind{Fetch: func(context.Context, zhongkong.Mode) (zhongkong.Grant, error) {
		return zhongkong.Grant{Value: zhongkong.NewSecret(fmt.Sprintf("value-%d", fetched.Add(1))), ExpiresIn: time.Second}, nil
	}}
	var all sync.WaitGroup
	var counts []*storetest.Counts
	var keepers []*zhongkong.Keeper
	for range processes {
		s, count := storetest.Count(e.OpenAt(t, address, nil))
		counts = append(counts, count)
		keeper, err := zhongkong.New(zhongkong.Config{
			Key: Key, Kind: kind, Store: s,
			Timing: zhongkong.Timing{StoreTimeout: 5 * time.Second}, // the machine is busy with the other tests
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = keeper.Close() })
		keepers = append(keepers, keeper)
		for range callers {
			all.Go(func() {
				for fetched.Load() < values {
					token, err := keeper.Token(t.Context())
					if err != nil || token.Value() == "" {
						failed.Add(1)
						t.Error(err)
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
	}
	all.Wait()
	for _, keeper := range keepers { // before anybody counts
		if err := keeper.Close(); err != nil {
			t.Error(err)
		}
	}
	lines, err := e.OpenAt(t, address, nil).(zhongkong.Journal).Journal(t.Context(), Key, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var begun, saved, calls int
	for _, line := range lines {
		switch line.Event {
		case zhongkong.EventBegin:
			begun++
		case zhongkong.EventSave:
			saved++
		}
	}
	for _, count := range counts {
		calls += count.Total()
	}
	t.Logf("%d processes × %d callers: %d values issued, %d fetches begun, %d saved, %d store calls, %d calls failed",
		processes, callers, fetched.Load(), begun, saved, calls, failed.Load())
	if n := int(fetched.Load()); n < values || begun != n || saved < n-1 || saved > n {
		t.Errorf("%d values were issued for %d fetches begun and %d saved", n, begun, saved)
	}
}

// SpeedNotice measures how long after the beginning of a Save another process
// is told, over 200 of them, against the time of a Load, which is a round trip.
func (e Engine) SpeedNotice(t *testing.T) {
	t.Helper() // its line belongs to the engine's test
	if raceEnabled || testing.CoverMode() != "" || testing.Short() {
		t.Skip("instrumented or short: times mean nothing")
	}
	address := e.Place(t, testserver.URL(t, e.Engine))
	a, b := e.OpenAt(t, address, nil), e.OpenAt(t, address, nil)
	keys, err := b.(zhongkong.Watcher).Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var notices, floors []time.Duration
	for i := range 200 {
		lease, err := a.Acquire(t.Context(), Key, fmt.Sprint(i), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		record := zhongkong.Record{Value: fmt.Sprint(i), End: lease.Record.Now.Add(time.Hour)}
		start := time.Now()
		if err := a.Save(t.Context(), lease, record); err != nil {
			t.Fatal(err)
		}
		select {
		case <-keys:
		case <-time.After(5 * time.Second):
			t.Fatalf("no notice of Save %d", i)
		}
		notices = append(notices, time.Since(start))
		start = time.Now()
		if _, err := b.Load(t.Context(), Key); err != nil {
			t.Fatal(err)
		}
		floors = append(floors, time.Since(start))
	}
	slices.Sort(notices)
	slices.Sort(floors)
	p50, p99, floor := notices[100], notices[198], floors[100]
	t.Logf("notice of a renewal on %s: p50 %v, p99 %v of 200; %.1f × a Load", e.Engine, p50, p99, float64(p50)/float64(floor))
	if p50 > 50*time.Millisecond || p99 > time.Second {
		t.Errorf("p50 %v, p99 %v; want at most 50ms and 1s", p50, p99)
	}
}
