package remotetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/pushtest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// Key is the one that the tests use.
var Key = custody.Key{Kind: "access_token", API: "stable", AppID: "wx0123456789abcdef"}

// Engine is a store package as these tests need it.
type Engine struct {
	Engine testserver.Engine

	// Open is the package's Open.
	Open func(ctx context.Context, address string, logger *slog.Logger) (custody.Store, error)

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
	Fill func(t *testing.T, address string, key custody.Key, n int, age time.Duration)

	// Lines counts what the journal of a key holds, shown or not.
	Lines func(t *testing.T, address string, key custody.Key) int

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
		{"MessagesEnd", e.messagesEnd},
		{"Pushes", e.pushes},
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
func (e Engine) OpenAt(tb testing.TB, address string, log *Log) custody.Store {
	tb.Helper()
	var logger *slog.Logger
	if log != nil {
		logger = log.Logger(slog.LevelInfo)
	}
	s, err := e.Open(tb.Context(), address, logger)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// MustNotOpen wants Open to refuse address with an error that says words, and to log
// nothing of it. A server that a busy machine keeps from answering is waited for by Open,
// so it is tried again.
func (e Engine) MustNotOpen(t *testing.T, address string, words ...string) {
	t.Helper()
	var err error
	var log *Log
	patience.Attempts(t, "a refusal of Open", func() bool {
		log = new(Log)
		s, refused := e.Open(t.Context(), address, log.Logger(slog.LevelInfo))
		if err = refused; err == nil {
			_ = s.Close()
		}
		return err != nil
	})
	MustSay(t, err, words...)
	if text := log.String(); text != "" {
		t.Errorf("what Open returns is logged as well: %s", text)
	}
}

// Save takes the lease of Key and saves value.
func Save(tb testing.TB, s custody.Store, value string) custody.Lease {
	tb.Helper()
	lease, err := s.Acquire(tb.Context(), Key, "attempt for "+value, time.Hour)
	if err != nil {
		tb.Fatalf("Acquire: %v", err)
	}
	record := custody.Record{Value: value, End: lease.Record.Now.Add(time.Hour), Life: 2 * time.Hour}
	if err := s.Save(tb.Context(), lease, record); err != nil {
		tb.Fatalf("Save: %v", err)
	}
	return lease
}

// MustLoad wants value of Key; "" stands for no record.
func MustLoad(tb testing.TB, s custody.Store, value string) {
	tb.Helper()
	record, err := s.Load(tb.Context(), Key)
	if errors.Is(err, custody.ErrNotFound) && value == "" {
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

func (e Engine) conformance(t *testing.T, server string) {
	storetest.RunWith(t, storetest.Options{
		ServerClock: true,
		Open: func(t *testing.T) func(t *testing.T) custody.Store {
			address := e.Place(t, server)
			return func(t *testing.T) custody.Store { return e.OpenAt(t, address, nil) }
		},
		Remote: &storetest.Remote{Open: func(t *testing.T) (direct, wired custody.Store, wire storetest.Wire) {
			address := e.Place(t, server)
			proxy := testserver.NewProxy(t, Host(t, address))
			return e.OpenAt(t, address, nil), e.OpenAt(t, Through(t, address, proxy.Addr), nil), proxy
		}},
	})
}

// pushes: two that differ are two messages, and each is one.
func (e Engine) pushes(t *testing.T, server string) {
	pushtest.Endpoint(t, e.OpenAt(t, e.Place(t, server), nil).(storetest.Once))
}

// messagesEnd: what is known of messages is removed when it may be, and the one
// that waits to be handled stays.
func (e Engine) messagesEnd(t *testing.T, server string) {
	const messages = 600 // one more than the pace in which they are looked for, and then some
	address := e.Place(t, server)
	once := e.OpenAt(t, address, nil).(storetest.Once)
	claimFor := func(key string, lease time.Duration) {
		if _, _, _, err := once.Claim(t.Context(), "account", key, "owner", lease, time.Millisecond); err != nil {
			t.Errorf("Claim: %v", err)
		}
	}
	claim := func(key string) { claimFor(key, time.Millisecond) }
	Eventually(t, func() error { // a slow machine may take longer than the message is known
		claimFor("kept", time.Second)
		_, _, err := once.Keep(t.Context(), "kept", []byte("message"))
		return err
	})
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
		n := e.Messages(t, address)
		if n < messages/2 {
			return nil
		}
		for range 50 { // removing them may have failed, and is tried again at its pace only
			claim(fmt.Sprint("message ", next.Add(1)))
		}
		return fmt.Errorf("%d messages are known", n)
	})
	Eventually(t, func() error { // its lease is over some time
		key, message, _, err := once.Take(t.Context(), "account", "heir", time.Minute)
		if err == nil && (key != "kept" || string(message) != "message") {
			err = fmt.Errorf("took %q, %q", key, message)
		}
		return err
	})
}

// roundTrips counts what calls cost on the network, once connections are open.
func (e Engine) roundTrips(t *testing.T, server string) {
	address := e.Place(t, server)
	proxy := testserver.NewProxy(t, Host(t, address))
	s := e.OpenAt(t, Through(t, address, proxy.Addr), nil)
	Save(t, s, "value") // what is done once is done, such as the journal's trimming
	var lease custody.Lease
	attempt, message := 0, 0
	once := s.(storetest.Once)
	claim := func(ctx context.Context) error {
		_, _, _, err := once.Claim(ctx, "account", fmt.Sprint("message ", message), "owner", time.Hour, time.Hour)
		return err
	}
	trips := fewestTrips(t, proxy,
		func(ctx context.Context) error { _, err := s.Load(ctx, Key); return err },
		func(ctx context.Context) (err error) {
			attempt++
			lease, err = s.Acquire(ctx, Key, fmt.Sprint("attempt ", attempt), time.Hour)
			return err
		},
		func(ctx context.Context) error { return s.Begin(ctx, lease, nil) },
		func(ctx context.Context) error { return s.Save(ctx, lease, custody.Record{Value: "next"}) },
		func(ctx context.Context) error { message++; return claim(ctx) },
		func(ctx context.Context) error {
			_, _, err := once.Finish(ctx, fmt.Sprint("message ", message), "owner", []byte("answer"), time.Hour)
			return err
		},
		claim,
	)
	for i, want := range []struct {
		call string
		most int
	}{{"Load", 1}, {"Acquire", 1}, {"Begin", 1}, {"Save", 1}, {"Claim", 1}, {"Finish", 1}, {"Claim of a repetition", 3}} {
		if trips[i] > want.most {
			t.Errorf("%s took %d round trips, want at most %d", want.call, trips[i], want.most)
		}
	}
}

// fewestTrips makes the calls one after the other, in several rounds, and returns how
// many round trips each took at least: what runs beside them, such as the journal's
// trimming on a connection of its own, only adds some.
func fewestTrips(t *testing.T, proxy *testserver.Proxy, calls ...func(ctx context.Context) error) []int {
	t.Helper()
	fewest := make([]int, len(calls))
	for round := range 5 {
		for proxy.Quiet(t) {
		}
		for i, call := range calls {
			before := proxy.Trips()
			if err := call(t.Context()); err != nil {
				t.Fatalf("call %d of %d: %v", i+1, len(calls), err)
			}
			if n := proxy.Trips() - before; round == 0 || n < fewest[i] {
				fewest[i] = n
			}
		}
	}
	return fewest
}

// journalEnds: 1,000 lines of a key are shown, for 30 days; few more are kept.
func (e Engine) journalEnds(t *testing.T, server string) {
	address := e.Place(t, server)
	s := e.OpenAt(t, address, nil)
	journal := s.(custody.Journal)
	shown := func(key custody.Key, want int) []custody.Entry {
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
	LoadMany(ctx context.Context, keys []custody.Key) (map[custody.Key]custody.Record, error)
}

func (e Engine) loadMany(t *testing.T, server string) {
	address := e.Place(t, server)
	proxy := testserver.NewProxy(t, Host(t, address))
	s := e.OpenAt(t, Through(t, address, proxy.Addr), nil)
	Save(t, s, "value")
	keys := []custody.Key{Key}
	for i := range 1000 {
		keys = append(keys, custody.Key{Kind: "access_token", AppID: fmt.Sprintf("wx%016x", i)})
	}
	var records map[custody.Key]custody.Record
	trips := fewestTrips(t, proxy, func(ctx context.Context) (err error) {
		records, err = s.(manyLoader).LoadMany(ctx, keys)
		return err
	})
	if trips[0] != 1 {
		t.Errorf("%d keys took %d round trips, want 1", len(keys), trips[0])
	}
	if r := records[Key]; len(records) != 1 || r.Value != "value" || r.Now.IsZero() {
		t.Errorf("got %v", records)
	}
	if records, err := s.(manyLoader).LoadMany(t.Context(), nil); err != nil || len(records) != 0 {
		t.Errorf("LoadMany of no keys: %v, %v", records, err)
	}
}
