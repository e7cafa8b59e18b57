package callback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

var (
	_ Once = (*memory.Store)(nil)
	_ Once = (*local)(nil)
)

// process is the store as one process has it: from kill on nothing of what the
// process does reaches it.
type process struct {
	Once
	dead atomic.Bool
}

var errDead = errors.New("the store does not answer")

func (p *process) kill() { p.dead.Store(true) }

func (p *process) err() error {
	if p.dead.Load() {
		return errDead
	}
	return nil
}

func (p *process) Claim(ctx context.Context, account, key, owner string, lease, keep time.Duration) (int, int, time.Duration, error) { //nolint:revive // the contract of messages
	if err := p.err(); err != nil {
		return 0, 0, 0, err
	}
	return p.Once.Claim(ctx, account, key, owner, lease, keep)
}

func (p *process) Wait(ctx context.Context, key, owner string, lease time.Duration) (int, []byte, error) {
	if err := p.err(); err != nil {
		return 0, nil, err
	}
	return p.Once.Wait(ctx, key, owner, lease)
}

func (p *process) Hold(ctx context.Context, key, owner string, lease time.Duration) (bool, bool, error) {
	if err := p.err(); err != nil {
		return false, false, err
	}
	return p.Once.Hold(ctx, key, owner, lease)
}

func (p *process) Keep(ctx context.Context, key string, message []byte) (bool, []byte, error) {
	if err := p.err(); err != nil {
		return false, nil, err
	}
	return p.Once.Keep(ctx, key, message)
}

func (p *process) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (bool, bool, error) {
	if err := p.err(); err != nil {
		return false, false, err
	}
	return p.Once.Finish(ctx, key, owner, answer, keep)
}

func (p *process) Take(ctx context.Context, account, owner string, lease time.Duration) (string, []byte, int, error) { //nolint:revive // the contract of messages
	if err := p.err(); err != nil {
		return "", nil, 0, err
	}
	return p.Once.Take(ctx, account, owner, lease)
}

func serve(t *testing.T, e http.Handler, encrypted bool, message string) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	e.ServeHTTP(recorder, sentAs(t, encrypted, message))
	return recorder
}

// TestRepeated: for a day a repetition gets the same answer and reaches no handler; a
// stale one is refused.
func TestRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, once := range map[string]Once{"no store": nil, "store": memory.New()} {
			var runs atomic.Int32
			bot := NewRouter()
			bot.Default(func(c *Context) error { return c.ReplyText(fmt.Sprint("answer ", runs.Add(1))) })
			e := mustEndpoint(t, EndpointConfig{Router: bot, Once: once})
			message := textPush(1, "a")
			begun := time.Now()
			for _, test := range []struct {
				at   time.Duration
				want string
			}{
				{0, "answer 1"},
				{0, "answer 1"},
				{5 * time.Second, "answer 1"},
				{15 * time.Second, "answer 1"},
				{16 * time.Second, "answer 1"},
				{time.Hour, "answer 1"},
				{23 * time.Hour, "answer 1"},
			} {
				time.Sleep(test.at - time.Since(begun))
				if got := answered(t, serve(t, e, true, message)).Get("Content"); got != test.want || runs.Load() != 1 {
					t.Errorf("%s, after %s: answered %q by run %d, want %q by the first", name, test.at, got, runs.Load(), test.want)
				}
			}
			stale := sentAs(t, true, message)
			time.Sleep(6 * time.Minute)
			recorder := httptest.NewRecorder()
			e.ServeHTTP(recorder, stale)
			if recorder.Code != http.StatusForbidden || runs.Load() != 1 {
				t.Errorf("%s: a stale repetition is answered with %d, %d runs", name, recorder.Code, runs.Load())
			}
			mustShutdown(t, e)
		}
	})
}

// TestAtTheSameTime: 50 deliveries at once, on three processes, are one message.
func TestAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		var runs atomic.Int32
		bot := NewRouter()
		bot.Default(func(c *Context) error {
			time.Sleep(3 * time.Second)
			return c.ReplyText(fmt.Sprint("run ", runs.Add(1)))
		})
		var endpoints []*Endpoint
		for range 3 {
			e := mustEndpoint(t, EndpointConfig{Router: bot, Once: store})
			defer mustShutdown(t, e)
			endpoints = append(endpoints, e)
		}
		message := textPush(1, "a")
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if got := answered(t, serve(t, endpoints[i%3], true, message)).Get("Content"); got != "run 1" {
					t.Errorf("delivery %d is answered with %q", i, got)
				}
			})
		}
		all.Wait()
	})
}

// TestFailures: whatever goes wrong, the follower sees no failure line, and
// somebody hears of it.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var heard []string
		build := func(onError bool) *Router {
			bot := NewRouter()
			bot.Text("panic", func(*Context) error { panic("oh no") })
			bot.Text("error", func(c *Context) error { _ = c.ReplyText("half"); return errors.New("no weather") })
			bot.Text("slow", func(c *Context) error { time.Sleep(20 * time.Second); return c.ReplyText("done") })
			if onError {
				bot.OnError(func(c *Context, err error) { heard = append(heard, err.Error()); _ = c.ReplyText("sorry") })
			}
			return bot
		}
		log := slog.New(slog.NewTextHandler(&out, nil))
		silent := mustEndpoint(t, EndpointConfig{Router: build(false), Logger: log})
		defer mustShutdown(t, silent)
		for i, content := range []string{"panic", "error", "slow"} {
			out.Reset()
			if got, _ := wechat(t, true, textPush(i, content), silent); got != "" {
				t.Errorf("%s is answered with %q", content, got)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			want := map[string]string{"panic": "oh no", "error": "no weather", "slow": "Sender is not set"}[content]
			if strings.Count(out.String(), "level=ERROR") != 1 || !strings.Contains(out.String(), want) {
				t.Errorf("%s: the log is %s", content, &out)
			}
		}
		sender := &messages{err: errors.New("45015")}
		out.Reset()
		loud := mustEndpoint(t, EndpointConfig{Router: build(true), Logger: log, Sender: sender})
		defer mustShutdown(t, loud)
		for i, test := range []struct{ content, answer, heard string }{
			{"panic", "sorry", "callback: a handler panicked: oh no"},
			{"error", "sorry", "no weather"},
			{"slow", "", "callback: a late reply was not sent: 45015"},
		} {
			heard = nil
			if got, _ := wechat(t, true, textPush(i, test.content), loud); got != test.answer {
				t.Errorf("%s is answered with %q", test.content, got)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if fmt.Sprint(heard) != "["+test.heard+"]" {
				t.Errorf("%s: OnError heard %q", test.content, heard)
			}
		}
		if out.Len() > 0 || sender.String() != "done" {
			t.Errorf("sent %q; the log is %s", sender, &out)
		}
	})
}

// TestLoggedOnce: with Logger in the chain the endpoint says nothing more.
func TestLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	bot := NewRouter()
	bot.Use(Logger(log), Recover())
	bot.Default(func(*Context) error { panic("oh no") })
	e := mustEndpoint(t, EndpointConfig{Router: bot, Logger: log})
	defer mustShutdown(t, e)
	if got := answered(t, serve(t, e, true, textPush(1, "a"))); got != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("answered %v; the log is %s", got, &out)
	}
}

// TestWorking: the follower hears that an answer will come, and then the answer.
func TestWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sender := new(messages)
		bot := NewRouter()
		bot.Default(func(c *Context) error { time.Sleep(20 * time.Second); return c.ReplyText("done") })
		e := mustEndpoint(t, EndpointConfig{Router: bot, Sender: sender, Working: "请稍候"})
		defer mustShutdown(t, e)
		content, delivery := wechat(t, true, textPush(1, "a"), e)
		time.Sleep(time.Minute)
		if content != "请稍候" || delivery != 3 || sender.String() != "done" {
			t.Errorf("delivery %d is answered with %q, sent %q", delivery, content, sender)
		}
	})
}

// TestKilled: a process dies in the middle of a message. What was not answered is
// handled by the next delivery; what was answered is taken up from the inbox.
func TestKilled(t *testing.T) {
	for name, test := range map[string]struct {
		killed   time.Duration // after the first delivery
		once     bool          // AtMostOnce
		content  string
		delivery int
		runs     int
		sent     string
	}{
		"soon":                  {time.Second, false, "run 2", 3, 2, ""},
		"in the second":         {6 * time.Second, false, "", 3, 2, "run 2"},
		"answered":              {16 * time.Second, false, "", 3, 2, "run 2"},
		"soon, at most once":    {time.Second, true, "", 3, 1, ""},
		"answered at most once": {16 * time.Second, true, "", 3, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, sender := memory.New(), new(messages)
				dying := &process{Once: store}
				var runs atomic.Int32
				bot := NewRouter()
				bot.Default(func(c *Context) error {
					run := runs.Add(1)
					takes := 7 * time.Second
					if run == 1 {
						takes = time.Hour // the killed process's, whose handler ends nowhere
					}
					select {
					case <-time.After(takes):
					case <-c.Done():
						return c.Err()
					}
					return c.ReplyText(fmt.Sprint("run ", run))
				})
				victim := mustEndpoint(t, EndpointConfig{Router: bot, Once: dying, Sender: sender, AtMostOnce: test.once})
				heir := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, Sender: sender, AtMostOnce: test.once})
				defer mustShutdown(t, heir)
				defer func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if err := victim.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Shutdown of a process with a handler: %v", err)
					}
				}()
				time.AfterFunc(test.killed, dying.kill)
				content, delivery := wechat(t, true, textPush(1, "a"), victim, heir, heir)
				time.Sleep(time.Minute)
				if content != test.content || delivery != test.delivery || int(runs.Load()) != test.runs || sender.String() != test.sent {
					t.Errorf("delivery %d is answered with %q after %d runs, sent %q; want delivery %d, %q, %d runs, sent %q",
						delivery, content, runs.Load(), sender, test.delivery, test.content, test.runs, test.sent)
				}
			})
		})
	}
}

// TestContextValues: handlers find the values of EndpointConfig.Context, also of a
// message that another process left, and those of the request.
func TestContextValues(t *testing.T) {
	type configured struct{}
	type requested struct{}
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		victim := &process{Once: store}
		var mu sync.Mutex
		var found []string
		config := EndpointConfig{
			Router: NewRouter(), Once: victim, Sender: new(messages),
			Context: context.WithValue(t.Context(), configured{}, "configured"),
		}
		config.Router.Default(func(c *Context) error {
			mu.Lock()
			found = append(found, fmt.Sprintf("%v %v", c.Value(configured{}), c.Value(requested{})))
			run := len(found)
			mu.Unlock()
			if run == 1 {
				<-c.Done()
			}
			return nil
		})
		first := mustEndpoint(t, config)
		request := sentAs(t, true, textPush(1, "a"))
		go func() {
			time.Sleep(16 * time.Second)
			victim.kill()
		}()
		first.ServeHTTP(httptest.NewRecorder(), request.WithContext(context.WithValue(t.Context(), requested{}, "requested")))
		config.Once = store
		second := mustEndpoint(t, config)
		time.Sleep(time.Minute)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_ = first.Shutdown(ended)
		mustShutdown(t, second)
		if want := []string{"configured requested", "configured <nil>"}; !slices.Equal(found, want) {
			t.Errorf("handlers find %q, want %q", found, want)
		}
	})
}

// TestFrozen: a process that was silent for too long loses its message, is told
// so, and what it made of it counts for nothing.
func TestFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, sender := memory.New(), new(messages)
		frozen := &process{Once: store}
		var causes []error
		var runs atomic.Int32
		bot := NewRouter()
		bot.Default(func(c *Context) error {
			run := runs.Add(1)
			if run == 1 {
				<-c.Done()
				causes = append(causes, context.Cause(c))
			}
			return c.ReplyText(fmt.Sprint("run ", run))
		})
		first := mustEndpoint(t, EndpointConfig{Router: bot, Once: frozen, Sender: sender})
		defer mustShutdown(t, first)
		second := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, Sender: sender})
		defer mustShutdown(t, second)
		frozen.kill()
		frozen.dead.Store(false)
		time.AfterFunc(time.Second, frozen.kill)
		time.AfterFunc(9*time.Second, func() { frozen.dead.Store(false) })
		content, delivery := wechat(t, true, textPush(1, "a"), first, second, first)
		time.Sleep(time.Minute)
		synctest.Wait()
		if content != "run 2" || delivery != 2 || runs.Load() != 2 || sender.String() != "" {
			t.Errorf("delivery %d is answered with %q after %d runs, sent %q", delivery, content, runs.Load(), sender)
		}
		if len(causes) != 1 || !errors.Is(causes[0], errLost) {
			t.Errorf("the frozen handler found %v", causes)
		}
	})
}

// silent is a store to which renewals of leases do not get through.
type silent struct{ Once }

func (silent) Hold(context.Context, string, string, time.Duration) (bool, bool, error) {
	return false, false, errDead
}

// TestSlowStore: a lease that could not be renewed in time does not make a process
// handle again what it is handling.
func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		bot := NewRouter()
		bot.Default(func(c *Context) error {
			run := runs.Add(1)
			takes, err := time.ParseDuration(c.Message.Content)
			if err != nil {
				return err
			}
			time.Sleep(takes)
			return c.ReplyText(fmt.Sprint("run ", run))
		})
		sender := new(messages)
		e := mustEndpoint(t, EndpointConfig{Router: bot, Once: silent{memory.New()}, Sender: sender})
		defer mustShutdown(t, e)
		content, delivery := wechat(t, true, textPush(1, "12s"), e)
		if content != "run 1" || delivery != 3 || runs.Load() != 1 {
			t.Errorf("delivery %d is answered with %q, %d runs", delivery, content, runs.Load())
		}
		content, delivery = wechat(t, true, textPush(2, "50s"), e) // and the inbox offers it meanwhile
		time.Sleep(2 * time.Minute)
		if content != "" || delivery != 3 || runs.Load() != 2 || sender.String() != "run 2" {
			t.Errorf("delivery %d is answered with %q, %d runs, sent %q", delivery, content, runs.Load(), sender)
		}
	})
}

// TestPoison: a message that kills each process that handles it is given up.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		var out bytes.Buffer
		var runs atomic.Int32
		var current atomic.Pointer[process]
		bot := NewRouter()
		bot.Default(func(c *Context) error {
			if runs.Add(1) == 1 {
				time.Sleep(16 * time.Second)
			}
			current.Load().kill()
			<-c.Done()
			return c.Err()
		})
		for i := range 10 {
			current.Store(&process{Once: store})
			e := mustEndpoint(t, EndpointConfig{Router: bot, Once: current.Load(), Logger: slog.New(slog.NewTextHandler(&out, nil))})
			if i == 0 {
				wechat(t, true, textPush(1, "a"), e)
			}
			time.Sleep(time.Minute)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = e.Shutdown(ctx) // as a supervisor does with what hangs
			cancel()
		}
		if runs.Load() != maxAttempts || strings.Count(out.String(), "given up") != 1 {
			t.Errorf("%d runs, want %d: %s", runs.Load(), maxAttempts, &out)
		}
	})
}

// TestSealedAtRest: a store never sees what people write, and a process with other
// keys cannot read it.
func TestSealedAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			config     Config
			keys, then []Secret
			other      []Secret // of a process that cannot read it
		}{
			"derived from the AES key": {safeConfig(), nil, nil, nil},
			"derived from the Token":   {plainConfig(), nil, nil, nil},
			"seal key":                 {safeConfig(), []Secret{text(strings.Repeat("1", 32))}, []Secret{text(strings.Repeat("2", 32)), text(strings.Repeat("1", 32))}, []Secret{text(strings.Repeat("3", 32))}},
			"seal key introduced":      {safeConfig(), nil, []Secret{text(strings.Repeat("1", 32))}, nil},
		} {
			store := &spy{Once: memory.New()}
			dying := &process{Once: store}
			sender := new(messages)
			var out bytes.Buffer
			bot := NewRouter()
			bot.Text("quick", func(c *Context) error { return c.ReplyText("secret answer") })
			var runs atomic.Int32
			bot.Default(func(c *Context) error {
				if runs.Add(1) == 1 { // in the process that dies
					<-c.Done()
					return c.Err()
				}
				return c.ReplyText("secret answer")
			})
			config := EndpointConfig{Verifier: newVerifier(t, test.config), Router: bot, Sender: sender, SealKeys: test.keys, Logger: slog.New(slog.NewTextHandler(&out, nil))}
			config.Once = dying
			e := mustEndpoint(t, config)
			safe := test.config.AESKey != nil
			quick := textPush(2, "quick")
			wechat(t, safe, quick, e)
			wechat(t, safe, textPush(1, "secret question"), e)
			dying.kill()
			config.Once = store
			if test.other != nil {
				config.SealKeys = test.other
				other := mustEndpoint(t, config)
				time.Sleep(12 * time.Second)
				mustShutdown(t, other)
				if !strings.Contains(out.String(), "same seal keys") || sender.String() != "" {
					t.Errorf("%s: with other keys: sent %q; the log is %s", name, sender, &out)
				}
			}
			config.SealKeys = test.then
			heir := mustEndpoint(t, config)
			time.Sleep(time.Minute)
			mustShutdown(t, heir)
			if sender.String() != "secret answer" {
				t.Errorf("%s: sent %q; the log is %s", name, sender, &out)
			}
			if seen := store.seen.String(); seen == "" || strings.Contains(seen, "secret") || strings.Contains(seen, follower) {
				t.Errorf("%s: the store saw %q", name, seen)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = e.Shutdown(ctx)
			cancel()
		}
	})
}

// spy sees everything that a store is given.
type spy struct {
	Once
	mu   sync.Mutex
	seen bytes.Buffer
}

func (s *spy) see(what ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(&s.seen, "%s", what)
}

func (s *spy) Claim(ctx context.Context, account, key, owner string, lease, keep time.Duration) (int, int, time.Duration, error) { //nolint:revive // the contract of messages
	s.see(account, key, owner)
	return s.Once.Claim(ctx, account, key, owner, lease, keep)
}

func (s *spy) Keep(ctx context.Context, key string, message []byte) (bool, []byte, error) {
	s.see(message)
	return s.Once.Keep(ctx, key, message)
}

func (s *spy) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (bool, bool, error) {
	s.see(answer)
	return s.Once.Finish(ctx, key, owner, answer, keep)
}

// TestStoreAway: without its store a process goes on alone, says so once, and a
// message at most once is turned away.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, atMostOnce := range []bool{false, true} {
			store := &process{Once: memory.New()}
			var out bytes.Buffer
			sender := new(messages)
			var runs atomic.Int32
			bot := NewRouter()
			bot.Text("slow", func(c *Context) error { runs.Add(1); time.Sleep(20 * time.Second); return c.ReplyText("done") })
			bot.Default(func(c *Context) error { runs.Add(1); return c.ReplyText("done") })
			e := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, Sender: sender, AtMostOnce: atMostOnce, Logger: slog.New(slog.NewTextHandler(&out, nil))})
			store.kill()
			message := textPush(1, "a")
			for range 3 {
				recorder := serve(t, e, true, message)
				if (recorder.Code == http.StatusOK) == atMostOnce {
					t.Errorf("at most once: %t; answered %d", atMostOnce, recorder.Code)
				}
			}
			if !atMostOnce {
				if _, delivery := wechat(t, true, textPush(2, "slow"), e); delivery != 3 {
					t.Errorf("a slow one is answered in delivery %d", delivery)
				}
			}
			time.Sleep(time.Minute)
			store.dead.Store(false)
			if got := answered(t, serve(t, e, true, textPush(3, "a"))).Get("Content"); got != "done" {
				t.Errorf("with the store again: %q", got)
			}
			want, sent := int32(3), "done"
			if atMostOnce {
				want, sent = 1, ""
			}
			if runs.Load() != want || sender.String() != sent {
				t.Errorf("at most once: %t; %d runs, sent %q", atMostOnce, runs.Load(), sender)
			}
			if strings.Count(out.String(), "the store does not answer;") != 1 || strings.Count(out.String(), "the store answers again") != 1 {
				t.Errorf("at most once: %t; the log is %s", atMostOnce, &out)
			}
			mustShutdown(t, e)
		}
	})
}

// TestLostFinish: an outcome that could not be recorded at once is recorded later,
// and the message is not handled again.
func TestLostFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &process{Once: memory.New()}
		sender := new(messages)
		var runs atomic.Int32
		bot := NewRouter()
		bot.Default(func(c *Context) error {
			runs.Add(1)
			time.Sleep(20 * time.Second)
			store.kill()
			time.AfterFunc(3*time.Second, func() { store.dead.Store(false) })
			return c.ReplyText("done")
		})
		e := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, Sender: sender})
		defer mustShutdown(t, e)
		wechat(t, true, textPush(1, "a"), e)
		time.Sleep(2 * time.Minute)
		if runs.Load() != 1 || sender.String() != "done" {
			t.Errorf("%d runs, sent %q", runs.Load(), sender)
		}
	})
}

// TestShutdown waits for handlers up to its limit, takes nothing more, and leaves
// to others what is not done.
func TestShutdown(t *testing.T) {
	for _, test := range []struct {
		name         string
		takes, limit time.Duration
		deaf         bool // does not listen to its Context
		want         time.Duration
		err          error
		sent         string
	}{
		{"in time", 20 * time.Second, 10 * time.Second, false, 5 * time.Second, nil, "run 1"},
		{"too slow", time.Hour, 10 * time.Second, false, 10 * time.Second, context.DeadlineExceeded, "run 2"},
		{"deaf", time.Hour, 10 * time.Second, true, 11 * time.Second, context.DeadlineExceeded, "run 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, sender := memory.New(), new(messages)
				var runs atomic.Int32
				bot := NewRouter()
				bot.Default(func(c *Context) error {
					run, takes := runs.Add(1), test.takes
					if run == 2 {
						takes = time.Second
					}
					done := c.Done()
					if test.deaf {
						done = nil
					}
					select {
					case <-time.After(takes):
						return c.ReplyText(fmt.Sprint("run ", run))
					case <-done:
						return c.Err()
					}
				})
				e := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, Sender: sender})
				if _, delivery := wechat(t, true, textPush(1, "a"), e); delivery != 3 {
					t.Fatalf("answered in delivery %d", delivery)
				}
				time.Sleep(500 * time.Millisecond) // 15 s are over
				ctx, cancel := context.WithTimeout(t.Context(), test.limit)
				defer cancel()
				begun := time.Now()
				if err := e.Shutdown(ctx); !errors.Is(err, test.err) || time.Since(begun) != test.want {
					t.Errorf("Shutdown = %v after %s, want %v after %s", err, time.Since(begun), test.err, test.want)
				}
				if recorder := serve(t, e, true, textPush(2, "b")); recorder.Code != http.StatusServiceUnavailable {
					t.Errorf("after Shutdown a message is answered with %d", recorder.Code)
				}
				if !test.deaf {
					mustShutdown(t, e)
				}
				heir := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, Sender: sender})
				time.Sleep(4 * time.Second) // and no lease to wait for
				if sender.String() != test.sent {
					t.Errorf("sent %q, want %q", sender, test.sent)
				}
				time.Sleep(2 * time.Hour)
				mustShutdown(t, heir)
				if sender.String() != test.sent {
					t.Errorf("in the end, sent %q, want %q", sender, test.sent)
				}
			})
		})
	}
}

// counting counts what a store took for finished.
type counting struct {
	Once
	finished func(key string)
}

func (c *counting) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (bool, bool, error) {
	held, kept, err := c.Once.Finish(ctx, key, owner, answer, keep)
	if held && err == nil && (!kept || len(answer) == 0) {
		c.finished(key)
	}
	return held, kept, err
}

// server is a process of the soak.
type server struct {
	*Endpoint
	once  *process
	ended chan struct{} // closed when it is killed
}

// soak is what the soak counts.
type soak struct {
	t     *testing.T
	store Once
	dying sync.WaitGroup

	mu       sync.Mutex // guards what follows
	random   *rand.Rand
	servers  []*server
	begun    map[string]int // by key
	finished map[string]int
	answered map[string]bool
	kills    int
}

func (s *soak) start() *server {
	p := &server{once: &process{Once: s.store}, ended: make(chan struct{})}
	bot := NewRouter()
	bot.Default(func(c *Context) error {
		s.mu.Lock()
		s.begun[keyFor(testAppID, c.Message)]++
		takes := time.Duration(s.random.Int64N(int64(20 * time.Second)))
		s.mu.Unlock()
		select {
		case <-time.After(takes):
			return c.ReplyText("done")
		case <-p.ended:
			return errDead
		case <-c.Done():
			return c.Err()
		}
	})
	p.Endpoint = mustEndpoint(s.t, EndpointConfig{
		Verifier: newVerifier(s.t, plainConfig()), Router: bot, Sender: new(messages),
		Once: &counting{Once: p.once, finished: func(key string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.finished[key]++
		}},
	})
	return p
}

// kill ends one process as SIGKILL does and starts another in its place.
func (s *soak) kill() {
	fresh := s.start()
	s.mu.Lock()
	i := s.random.IntN(len(s.servers))
	old := s.servers[i]
	s.servers[i] = fresh
	s.kills++
	s.mu.Unlock()
	old.once.kill()
	close(old.ended)
	s.dying.Go(func() { mustShutdown(s.t, old.Endpoint) }) // so that the bubble can end; it reaches nothing any more
}

// deliver is what WeChat does with a message.
func (s *soak) deliver(id int) {
	message := textPush(id, "work")
	for range 3 {
		s.mu.Lock()
		p := s.servers[s.random.IntN(len(s.servers))]
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
		recorder := httptest.NewRecorder()
		served := make(chan struct{})
		go func() {
			defer close(served)
			p.ServeHTTP(recorder, sentAs(s.t, false, message).WithContext(ctx))
		}()
		select {
		case <-served:
		case <-p.ended: // and its connections with it
			cancel()
			<-served
		}
		ok := ctx.Err() == nil && recorder.Code == http.StatusOK
		<-ctx.Done()
		cancel()
		if ok {
			m := mustParse(s.t, message)
			s.mu.Lock()
			s.answered[keyFor(testAppID, m)] = true
			s.mu.Unlock()
			return
		}
	}
}

// TestSoakAtScale sends 10,000 messages with handlers of 0 to 20 s to three processes,
// of which one is killed every 20 s or so: what was answered is handled, and
// nothing is finished twice.
func TestSoakAtScale(t *testing.T) {
	count, processes := tier.Scale(t, 2000, tier.Count(2000, 10_000)), 3
	synctest.Test(t, func(t *testing.T) {
		s := &soak{
			t: t, store: memory.New(), random: rand.New(rand.NewPCG(1, 2)),
			begun: make(map[string]int), finished: make(map[string]int), answered: make(map[string]bool),
		}
		for range processes {
			s.servers = append(s.servers, s.start())
		}
		over := make(chan struct{})
		var killer, all sync.WaitGroup
		killer.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(20 * time.Second):
					s.kill()
				}
			}
		})
		for id := range count {
			time.Sleep(100 * time.Millisecond)
			all.Go(func() { s.deliver(id) })
		}
		all.Wait()
		close(over)
		killer.Wait()
		s.dying.Wait()
		time.Sleep(5 * time.Minute) // for the inbox
		for _, p := range s.servers {
			mustShutdown(t, p.Endpoint)
		}
		again := 0
		for key, n := range s.begun {
			if n > 1 {
				again++
			}
			if s.finished[key] > 1 {
				t.Errorf("message %s was finished %d times", key, s.finished[key])
			}
		}
		for key := range s.answered {
			if s.finished[key] != 1 {
				t.Errorf("message %s was answered and is lost: %d attempts, finished %d times", key, s.begun[key], s.finished[key])
			}
		}
		t.Logf("%d messages, %d kills: %d answered, %d handled, %d started again because a kill fell in between",
			count, s.kills, len(s.answered), len(s.finished), again)
		if s.kills < count/250 || again == 0 || len(s.answered) < count*95/100 {
			t.Error("the soak did not do what it is for")
		}
	})
}

// TestStoreComesAndGoes: what begins with the store is handled with it to its end, and what
// begins without it without it, whichever delivery finds it in which state.
func TestStoreComesAndGoes(t *testing.T) {
	for name, deadAtFirst := range map[string]bool{"it goes": false, "it comes": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &process{Once: memory.New()}
				var runs atomic.Int32
				bot := NewRouter()
				bot.Default(func(c *Context) error { runs.Add(1); time.Sleep(8 * time.Second); return c.ReplyText("done") })
				e := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, Sender: new(messages)})
				defer mustShutdown(t, e)
				store.dead.Store(deadAtFirst)
				time.AfterFunc(2*time.Second, func() { store.dead.Store(!deadAtFirst) })
				if _, delivery := wechat(t, true, textPush(1, "a"), e); delivery != 2 && delivery != 3 {
					t.Errorf("answered in delivery %d", delivery)
				}
				store.dead.Store(false)
				time.Sleep(20 * time.Second)
				serve(t, e, true, textPush(1, "a")) // a repetition afterwards
				if runs.Load() != 1 {
					t.Errorf("%d runs", runs.Load())
				}
			})
		})
	}
}

// absent is a store whose file is gone.
type absent struct{ Once }

func (absent) Keep(context.Context, string, []byte) (bool, []byte, error) {
	return false, nil, fmt.Errorf("store: %w", fs.ErrNotExist)
}

// TestAbsentIsNotGone: a file that does not exist is an outage, and no answer that was
// dropped: the late reply is sent.
func TestAbsentIsNotGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		sender := new(messages)
		bot := NewRouter()
		bot.Default(func(c *Context) error { time.Sleep(20 * time.Second); return c.ReplyText("done") })
		e := mustEndpoint(t, EndpointConfig{Router: bot, Once: absent{memory.New()}, Sender: sender, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		defer mustShutdown(t, e)
		wechat(t, true, textPush(1, "a"), e)
		time.Sleep(time.Minute)
		if sender.String() != "done" || strings.Contains(out.String(), "was handled") {
			t.Errorf("sent %q; the log is %s", sender, &out)
		}
	})
}

// TestShutdownLeavesAnOrder: an event that wants the handler's own answer and is cut off by
// a shutdown is left to its next delivery, and not to the inbox, whose reply nobody takes.
func TestShutdownLeavesAnOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		slow := NewRouter()
		slow.Default(func(c *Context) error { <-c.Done(); return c.Err() })
		e := mustEndpoint(t, EndpointConfig{Router: slow, Once: store})
		message := eventPush("xpay_goods_deliver_notify", "OutTradeNo", "1")
		codes := make(chan int, 1)
		go func() { codes <- serve(t, e, true, message).Code }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = e.Shutdown(ctx)
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Errorf("the delivery that was cut off is answered with %d", code)
		}
		bot := NewRouter()
		bot.Default(func(c *Context) error { return c.ReplyJSON(map[string]int{"ErrCode": 0}) })
		next := mustEndpoint(t, EndpointConfig{Router: bot, Once: store})
		defer mustShutdown(t, next)
		time.Sleep(time.Minute)
		if recorder := serve(t, next, true, message); recorder.Code != http.StatusOK || !strings.Contains(recorder.Body.String(), "Encrypt") {
			t.Errorf("the next delivery is answered with %d %s", recorder.Code, recorder.Body)
		}
	})
}

// TestNeverBegun: what a process claims and cannot begin, because it shuts down, is handled
// by the next one, even if it may be handled once only.
func TestNeverBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		var runs atomic.Int32
		bot := NewRouter()
		bot.Default(func(*Context) error { runs.Add(1); return nil })
		closed := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, AtMostOnce: true})
		mustShutdown(t, closed)
		if recorder := serve(t, closed, true, textPush(1, "a")); recorder.Code == http.StatusOK {
			t.Errorf("a closed endpoint answers %d", recorder.Code)
		}
		e := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, AtMostOnce: true})
		defer mustShutdown(t, e)
		serve(t, e, true, textPush(1, "a"))
		if runs.Load() != 1 {
			t.Errorf("%d runs", runs.Load())
		}
	})
}

// TestLocalRules: what a process remembers without a store follows the rules that stores
// follow, call by call.
func TestLocalRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // one that waits is wrong
		defer cancel()
		alone := new(local)
		both := [2]Once{alone, memory.New()}
		var calls []string
		for range rapid.IntRange(1, 30).Draw(rt, "calls") {
			owner := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "owner")
			key := rapid.SampledFrom([]string{"k", "l"}).Draw(rt, "key")
			call := rapid.SampledFrom([]string{"claim", "wait", "hold", "give back", "keep", "finish", "finish with nothing"}).Draw(rt, "call")
			calls = append(calls, owner+" "+call+" "+key)
			if c := alone.find(key); call == "wait" && c != nil && !c.free && !c.finished {
				continue // there is something to wait for, at both
			}
			var got [2]string
			for i, once := range both {
				switch call {
				case "claim":
					attempt, _, _, err := once.Claim(ctx, "wx1", key, owner, time.Hour, time.Hour)
					got[i] = fmt.Sprint(attempt, err != nil)
				case "wait":
					attempt, answer, err := once.Wait(ctx, key, owner, time.Hour)
					got[i] = fmt.Sprintf("%d %q %t", attempt, answer, err != nil)
				case "keep":
					finished, answer, err := once.Keep(ctx, key, []byte("message"))
					got[i] = fmt.Sprintf("%t %q %t", finished, answer, err != nil)
				case "hold", "give back":
					lease := time.Hour
					if call == "give back" {
						lease = 0
					}
					held, kept, err := once.Hold(ctx, key, owner, lease)
					got[i] = fmt.Sprint(held, kept, err != nil)
				default:
					var answer []byte
					if call == "finish" {
						answer = []byte("answer of " + owner)
					}
					held, kept, err := once.Finish(ctx, key, owner, answer, time.Hour)
					got[i] = fmt.Sprint(held, kept, err != nil)
				}
			}
			if got[0] != got[1] {
				rt.Fatalf("%q: alone %s, a store %s", calls, got[0], got[1])
			}
		}
	})
}
