package callback

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func eventPush(name Event, pairs ...string) string {
	return push(time.Now().Unix(), TypeEvent, elements(append([]string{"Event", string(name)}, pairs...)...))
}

// TestAgain: a handler that asks for it is run by the next delivery, and a failure is a
// reason to ask where WeChat repeats until it is satisfied.
func TestAgain(t *testing.T) {
	failure := errors.New("no database")
	for name, test := range map[string]struct {
		message string
		err     error
		codes   []int // of the deliveries
		runs    int
	}{
		"text, again":         {textPush(1, "a"), Again(failure), []int{503, 503, 200, 200}, 3},
		"text, wrapped again": {textPush(1, "a"), fmt.Errorf("order 7: %w", Again(failure)), []int{503, 503, 200, 200}, 3},
		"text, again nil":     {textPush(1, "a"), Again(nil), []int{503, 503, 200}, 3},
		"text, error":         {textPush(1, "a"), failure, []int{200, 200}, 1},
		"click, error":        {push(1, TypeEvent, elements("Event", "CLICK", "EventKey", "k")), failure, []int{200, 200}, 1},
		"order, error":        {push(1, TypeEvent, elements("Event", "channels_ec_order_pay", "order_id", "1")), failure, []int{503, 503, 200, 200}, 3},
		"unknown, error":      {push(1, TypeEvent, elements("Event", "tomorrow's")), failure, []int{503, 503, 200, 200}, 3},
	} {
		for where, once := range map[string]func() Once{"no store": func() Once { return nil }, "store": func() Once { return memory.New() }} {
			t.Run(name+", "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var runs atomic.Int32
					bot := NewRouter()
					bot.Default(func(c *Context) error {
						_ = c.ReplyText("half done")
						if runs.Add(1) < 3 {
							return test.err
						}
						return c.ReplyText("done")
					})
					e := mustEndpoint(t, EndpointConfig{Router: bot, Once: once()})
					defer mustShutdown(t, e)
					for i, code := range test.codes {
						recorder := serve(t, e, true, test.message)
						if recorder.Code != code {
							t.Fatalf("delivery %d is answered with %d %s, want %d", i+1, recorder.Code, recorder.Body, code)
						}
						if code == 200 && test.runs == 3 && answered(t, recorder).Get("Content") != "done" {
							t.Errorf("delivery %d is answered with %s", i+1, recorder.Body)
						}
						time.Sleep(5 * time.Second)
					}
					if int(runs.Load()) != test.runs {
						t.Errorf("%d runs, want %d", runs.Load(), test.runs)
					}
				})
			})
		}
	}
}

// TestAgainLate: a message whose deliveries are answered is taken up from the inbox.
func TestAgainLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		sender := new(messages)
		bot := NewRouter()
		bot.Default(func(c *Context) error {
			if run := runs.Add(1); run < 3 {
				time.Sleep(20 * time.Second)
				return Again(errors.New("no database"))
			}
			return c.ReplyText("done")
		})
		e := mustEndpoint(t, EndpointConfig{Router: bot, Once: memory.New(), Sender: sender})
		defer mustShutdown(t, e)
		if content, delivery := wechat(t, true, textPush(1, "a"), e); content != "" || delivery != 3 {
			t.Errorf("delivery %d is answered with %q", delivery, content)
		}
		time.Sleep(5 * time.Minute)
		if runs.Load() != 3 || sender.String() != "done" {
			t.Errorf("%d runs, sent %q", runs.Load(), sender)
		}
	})
}

// TestGoexit: a handler that ends its goroutine is a failed one, and nobody hangs.
func TestGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		bot := NewRouter()
		bot.Use(Recover())
		bot.Default(func(*Context) error { runtime.Goexit(); return nil })
		e := mustEndpoint(t, EndpointConfig{Router: bot, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		defer mustShutdown(t, e)
		begun := time.Now()
		if got := answered(t, serve(t, e, true, textPush(1, "a"))); got != nil || time.Since(begun) > time.Second {
			t.Errorf("answered %v after %s", got, time.Since(begun))
		}
		if !strings.Contains(out.String(), "runtime.Goexit") || strings.Count(out.String(), "level=ERROR") != 1 {
			t.Errorf("the log is %s", &out)
		}
	})
}

// TestRepeatedForHours: the same answer at 0, 16 and 40 s and after 2 h, sealed for each
// delivery, by one run; also by deliveries that keep the timestamp of the first one,
// where a store knows what was handled.
func TestRepeatedForHours(t *testing.T) {
	order := func() string { return eventPush("channels_ec_order_pay", "order_id", "1") }
	for name, test := range map[string]struct {
		message func() string
		same    bool // timestamp and nonce
		store   bool
		codes   []int
	}{
		"text":                  {func() string { return textPush(1, "a") }, false, true, []int{200, 200, 200, 200}},
		"text, no store":        {func() string { return textPush(1, "a") }, false, false, []int{200, 200, 200, 200}},
		"order":                 {order, false, true, []int{200, 200, 200, 200}},
		"order, same":           {order, true, true, []int{200, 200, 200, 200}},
		"order, same, no store": {order, true, false, []int{200, 200, 200, 403}},
		"text, same":            {func() string { return textPush(1, "a") }, true, true, []int{200, 200, 200, 403}},
		"unknown event, same":   {func() string { return eventPush("tomorrow's") }, true, true, []int{200, 200, 200, 200}},
		"click, same":           {func() string { return eventPush(Click, "EventKey", "k") }, true, true, []int{200, 200, 200, 403}},
		"JSON, same": {func() string {
			return `{"ToUserName":"` + account + `","FromUserName":"` + follower + `","MsgType":"event","Event":"x"}`
		}, true, true, []int{200, 200, 200, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var runs atomic.Int32
				bot := NewRouter()
				bot.Default(func(c *Context) error { return c.ReplyText(fmt.Sprint("answer ", runs.Add(1))) })
				config := EndpointConfig{Router: bot}
				if test.store {
					config.Once = memory.New()
				}
				time.Sleep(time.Second)
				e := mustEndpoint(t, config)
				defer mustShutdown(t, e)
				message, begun := test.message(), time.Now()
				first := sentAs(t, true, message)
				body, _ := io.ReadAll(first.Body)
				for i, at := range []time.Duration{0, 16 * time.Second, 40 * time.Second, 2 * time.Hour} {
					time.Sleep(at - time.Since(begun))
					r := httptest.NewRequest(http.MethodPost, first.URL.String(), bytes.NewReader(body))
					if !test.same {
						r = sentAs(t, true, message)
					}
					recorder := httptest.NewRecorder()
					e.ServeHTTP(recorder, r)
					if recorder.Code != test.codes[i] {
						t.Errorf("after %s: %d %s, want %d", at, recorder.Code, recorder.Body, test.codes[i])
					}
					if recorder.Code == 200 && answered(t, recorder).Get("Content") != "answer 1" {
						t.Errorf("after %s: %s", at, recorder.Body)
					}
					if recorder.Code == 200 && !strings.Contains(recorder.Body.String(), r.URL.Query().Get("nonce")) {
						t.Errorf("after %s: the answer is sealed for another delivery: %s", at, recorder.Body)
					}
				}
				if runs.Load() != 1 {
					t.Errorf("%d runs", runs.Load())
				}
			})
		})
	}
}

// TestLateUnknown: a store that begins after a push was sent cannot know whether it was
// handled, and the push is refused as stale; one of before takes it.
func TestLateUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := memory.New()
		time.Sleep(time.Second)
		r := sentAs(t, true, eventPush("channels_ec_order_pay", "order_id", "1"))
		body, _ := io.ReadAll(r.Body)
		time.Sleep(time.Hour)
		var runs atomic.Int32
		bot := NewRouter()
		bot.Default(func(*Context) error { runs.Add(1); return nil })
		for _, test := range []struct {
			once Once
			code int
			runs int32
		}{{memory.New(), 403, 0}, {&process{Once: before}, 200, 1}, {before, 200, 1}} {
			e := mustEndpoint(t, EndpointConfig{Router: bot, Once: test.once})
			recorder := httptest.NewRecorder()
			e.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, r.URL.String(), bytes.NewReader(body)))
			if recorder.Code != test.code || runs.Load() != test.runs {
				t.Errorf("answered %d, %d runs; want %d, %d", recorder.Code, runs.Load(), test.code, test.runs)
			}
			mustShutdown(t, e)
		}
		dead := &process{Once: before}
		dead.kill()
		e := mustEndpoint(t, EndpointConfig{Router: bot, Once: dead})
		recorder := httptest.NewRecorder()
		e.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, r.URL.String(), bytes.NewReader(body)))
		if recorder.Code != http.StatusServiceUnavailable || runs.Load() != 1 {
			t.Errorf("without an answer of the store: %d, %d runs", recorder.Code, runs.Load())
		}
		mustShutdown(t, e)
	})
}

// TestOtherAnswers: an answer of the handler's own form is sealed like a reply, in the
// form of the push, again for each delivery, and success is never sealed.
func TestOtherAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		reply             func(c *Context) error
		want, contentType string
	}{
		"JSON": {func(c *Context) error { return c.ReplyJSON(map[string]any{"ErrCode": 0, "ErrMsg": "<成功>"}) }, `{"ErrCode":0,"ErrMsg":"<成功>"}`, "application/json; charset=utf-8"},
		"XML": {func(c *Context) error {
			return c.ReplyRaw("", []byte("<xml><MsgType>event</MsgType><ResultCode>0</ResultCode></xml>"))
		}, "<xml><MsgType>event</MsgType><ResultCode>0</ResultCode></xml>", "text/xml; charset=utf-8"},
		"text":       {func(c *Context) error { return c.ReplyRaw("text/x-own", []byte("line\nline")) }, "line\nline", "text/x-own"},
		"success":    {func(c *Context) error { return c.ReplyRaw("", []byte("success")) }, "success", "text/plain; charset=utf-8"},
		"taken back": {func(c *Context) error { _ = c.ReplyJSON(1); return c.ReplyNothing() }, "success", "text/plain; charset=utf-8"},
	} {
		for _, inJSON := range []bool{false, true} {
			for _, safe := range []bool{false, true} {
				message := eventPush("xpay_goods_deliver_notify", "OutTradeNo", "1")
				if inJSON {
					message = asJSON(mustParse(t, message).Fields)
				}
				config := plainConfig()
				if safe {
					config = safeConfig()
				}
				bot := NewRouter()
				bot.Default(test.reply)
				e := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, config), Router: bot, Once: memory.New()})
				for range 2 {
					recorder := serve(t, e, safe, message)
					got, contentType := recorder.Body.String(), test.contentType
					if safe && test.want != "success" {
						fields, isJSON, wrong := readAnswer(got)
						if wrong != "" || isJSON != inJSON {
							t.Fatalf("%s: the envelope is %s, JSON %t, want JSON %t", name, got, isJSON, inJSON)
						}
						q := Query{Timestamp: fields.Get("TimeStamp"), Nonce: fields.Get("Nonce"), MsgSignature: fields.Get("MsgSignature")}
						opened, _, err := newVerifier(t, safeConfig()).Open(q, []byte(got))
						if err != nil {
							t.Fatal(err)
						}
						got = string(opened)
						contentType = map[bool]string{true: "application/json; charset=utf-8", false: "text/xml; charset=utf-8"}[inJSON]
					}
					if recorder.Code != 200 || got != test.want || recorder.Header().Get("Content-Type") != contentType {
						t.Errorf("%s, safe %t: answered %d %q as %s", name, safe, recorder.Code, got, recorder.Header().Get("Content-Type"))
					}
				}
				mustShutdown(t, e)
			}
		}
	}
	c := &Context{limits: Limits{}.withDefaults()}
	for _, err := range []error{c.ReplyRaw("", nil), c.ReplyRaw("a\r\nb", []byte("a")), c.ReplyRaw("", make([]byte, MaxBody+1))} {
		if !errors.Is(err, ErrReply) {
			t.Errorf("a raw reply that cannot be: %v", err)
		}
	}
	if err := c.ReplyJSON(func() {}); err == nil {
		t.Error("a function is JSON")
	}
}

// TestBodyRead: a body that something has read before is not WeChat's fault, is told
// apart, and is never success.
func TestBodyRead(t *testing.T) {
	for name, drain := range map[string]func(r *http.Request){
		"all":                       func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
		"a part":                    func(r *http.Request) { _, _ = io.CopyN(io.Discard, r.Body, 10) },
		"no length":                 func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); r.ContentLength = -1 },
		"no body":                   func(r *http.Request) { r.Body = nil },
		"an empty one in its place": func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 },
		"a low limit":               func(r *http.Request) { r.Body = http.MaxBytesReader(nil, r.Body, 20) },
		"gzip":                      compress,
	} {
		for _, safe := range []bool{false, true} {
			config := plainConfig()
			if safe {
				config = safeConfig()
			}
			var reason Reason
			bot := NewRouter()
			bot.Default(func(*Context) error { t.Error("the handler was called"); return nil })
			e := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, config), Router: bot, Refused: func(err *Error) { reason = err.Reason }})
			r := sentAs(t, safe, textPush(1, "a"))
			drain(r)
			recorder := httptest.NewRecorder()
			e.ServeHTTP(recorder, r)
			want := ReasonBodyRead
			if name == "gzip" {
				want = ReasonCompressed
			}
			if recorder.Code != http.StatusInternalServerError || reason != want {
				t.Errorf("%s, safe %t: %d, %s", name, safe, recorder.Code, reason)
			}
			r = sentAs(t, safe, textPush(1, "a"))
			drain(r)
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "nonce=", "nonce=1", 1)
			recorder = httptest.NewRecorder()
			e.ServeHTTP(recorder, r)
			if recorder.Code != http.StatusForbidden || reason != ReasonSignature {
				t.Errorf("%s, safe %t, forged: %d, %s", name, safe, recorder.Code, reason)
			}
			mustShutdown(t, e)
		}
	}
}

// compress does what a proxy may do to a request that it passes on.
func compress(r *http.Request) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.Copy(w, r.Body)
	_ = w.Close()
	r.Header.Set("Content-Encoding", "gzip")
	r.Body, r.ContentLength = io.NopCloser(&b), int64(b.Len())
}

// TestLocalBounds: without a store, old answers make room for new ones, and a repetition
// whose answer is gone is success and no second run.
func TestLocalBounds(t *testing.T) {
	var out bytes.Buffer
	var runs atomic.Int32
	bot := NewRouter()
	bot.Default(func(c *Context) error { runs.Add(1); return c.ReplyRaw("", make([]byte, MaxBody)) })
	e := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, plainConfig()), Router: bot, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	defer mustShutdown(t, e)
	const count = maxShare/MaxBody + 200
	serve(t, e, false, strings.Replace(textPush(7, "a"), follower, "oAnother", 1))
	runs.Store(0)
	for id := range count {
		serve(t, e, false, textPush(id, "a"))
	}
	if another := serve(t, e, false, strings.Replace(textPush(7, "a"), follower, "oAnother", 1)); another.Body.Len() != MaxBody || runs.Load() != count {
		t.Errorf("another's message is answered with %d bytes; %d runs", another.Body.Len(), runs.Load())
	}
	if s := &e.local.answers; s.bytes > maxShare+MaxBody || len(s.claims) > 2*s.kept+64 || runs.Load() != count {
		t.Errorf("%d bytes are kept after %d runs", e.local.answers.bytes, runs.Load())
	}
	if first := serve(t, e, false, textPush(0, "a")); first.Body.String() != "success" || strings.Count(out.String(), "not kept any more") != 1 {
		t.Errorf("the first is answered with %.40q; the log is %s", first.Body, &out)
	}
	if last := serve(t, e, false, textPush(count-1, "a")); last.Body.Len() != MaxBody || runs.Load() != count {
		t.Errorf("the last is answered with %d bytes; %d runs", last.Body.Len(), runs.Load())
	}
	if owner := NewOwner(follower); len(owner) > 64 || strings.Contains(owner, follower[:8]) || owner == NewOwner(follower) || owner[27:] != NewOwner(follower)[27:] || owner[27:] == NewOwner("another")[27:] {
		t.Errorf("the owner is %s", owner)
	}
}

// TestMemoryBoundAtScale: what is remembered of many messages is bounded in bytes, and none is
// handled twice.
func TestMemoryBoundAtScale(t *testing.T) {
	tier.Full(t)
	const most = 64 << 20
	count := tier.Scale(t, 2000, 40_000)
	var runs atomic.Int32
	answer := strings.Repeat("a", 2000)
	bot := NewRouter()
	bot.Default(func(c *Context) error { runs.Add(1); return c.ReplyText(answer) })
	e := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, plainConfig()), Router: bot, Once: memory.New()})
	defer mustShutdown(t, e)
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	for id := range count {
		if recorder := serve(t, e, false, textPush(id, "a")); recorder.Code != http.StatusOK || recorder.Body.Len() < len(answer) {
			t.Fatalf("message %d is answered with %d, %d bytes", id, recorder.Code, recorder.Body.Len())
		}
	}
	if grown := int64(heap()) - int64(before); grown > most {
		t.Errorf("%d messages take %d MiB, want at most %d", count, grown>>20, most>>20)
	} else {
		t.Logf("%d messages take %.1f MiB", count, float64(grown)/(1<<20))
	}
	for id := 0; id < count; id += 1000 {
		serve(t, e, false, textPush(id, "a"))
	}
	if int(runs.Load()) != count {
		t.Errorf("%d runs of %d messages", runs.Load(), count)
	}
}

// TestSlowOrder: of an event that WeChat delivers for hours, the answer of a handler that
// takes longer than all first deliveries is kept for the later ones.
func TestSlowOrder(t *testing.T) {
	for _, takes := range []time.Duration{6 * time.Second, 18 * time.Second, 25 * time.Second, 45 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var runs atomic.Int32
			bot := NewRouter()
			bot.Default(func(c *Context) error {
				runs.Add(1)
				time.Sleep(takes)
				return c.ReplyJSON(map[string]int{"ErrCode": 0})
			})
			e := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, plainConfig()), Router: bot, Once: memory.New()})
			defer mustShutdown(t, e)
			begun := time.Now()
			message := eventPush("channels_ec_order_pay", "order_id", "1")
			for _, at := range []time.Duration{0, 16 * time.Second, 60 * time.Second, 2 * time.Hour} {
				time.Sleep(at - time.Since(begun))
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				recorder := httptest.NewRecorder()
				e.ServeHTTP(recorder, sentAs(t, false, message).WithContext(ctx))
				left := ctx.Err() != nil // WeChat
				cancel()
				done := at+5*time.Second > takes
				if !left && (done && recorder.Body.String() != `{"ErrCode":0}` || !done && recorder.Code != http.StatusServiceUnavailable) {
					t.Errorf("takes %s, after %s: %d %s", takes, at, recorder.Code, recorder.Body)
				}
			}
			if runs.Load() != 1 {
				t.Errorf("takes %s: %d runs", takes, runs.Load())
			}
		})
	}
}

// TestReplayOfARepetition: a repetition that somebody recorded is never handled, for as long
// as it would be taken by its timestamp.
func TestReplayOfARepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		bot := NewRouter()
		bot.Default(func(*Context) error { runs.Add(1); return nil })
		e := mustEndpoint(t, EndpointConfig{Router: bot, Once: memory.New()})
		defer mustShutdown(t, e)
		time.Sleep(time.Second)
		message := eventPush("xpay_goods_deliver_notify", "OutTradeNo", "1")
		serve(t, e, true, message)
		time.Sleep(24 * time.Hour)
		repetition := sentAs(t, true, message)
		body, _ := io.ReadAll(repetition.Body)
		for range 60 {
			e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, repetition.URL.String(), bytes.NewReader(body)))
			time.Sleep(time.Hour)
		}
		if runs.Load() != 1 {
			t.Errorf("%d runs", runs.Load())
		}
	})
}

// TestTwoAccountsOneStore: two accounts of one store are told the same, as the apps of a
// company are, and both handle it.
func TestTwoAccountsOneStore(t *testing.T) {
	store := memory.New()
	var runs [2]atomic.Int32
	message := eventPush("change_external_contact", "ChangeType", "add_external_contact")
	for range 2 {
		for i := range runs {
			bot := NewRouter()
			bot.Default(func(c *Context) error { runs[i].Add(1); return c.ReplyText(fmt.Sprint("account ", i)) })
			e := mustEndpoint(t, EndpointConfig{Router: bot, Once: store, Account: fmt.Sprint("account", i)})
			if got := answered(t, serve(t, e, true, message)).Get("Content"); got != fmt.Sprint("account ", i) {
				t.Errorf("account %d answers %q", i, got)
			}
			mustShutdown(t, e)
		}
	}
	if runs[0].Load() != 1 || runs[1].Load() != 1 {
		t.Errorf("%d and %d runs", runs[0].Load(), runs[1].Load())
	}
}

// TestGoexitElsewhere: OnError and a Sender that end their goroutine hold nobody up.
func TestGoexitElsewhere(t *testing.T) {
	for name, once := range map[string]func() Once{"no store": func() Once { return nil }, "store": func() Once { return memory.New() }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				var runs atomic.Int32
				bot := NewRouter()
				bot.OnError(func(*Context, error) { runtime.Goexit() })
				bot.Default(func(*Context) error { runs.Add(1); return errors.New("no database") })
				e := mustEndpoint(t, EndpointConfig{Router: bot, Once: once(), Logger: slog.New(slog.NewTextHandler(&out, nil))})
				defer mustShutdown(t, e)
				begun := time.Now()
				for range 2 {
					if recorder := serve(t, e, true, textPush(1, "a")); recorder.Body.String() != "success" {
						t.Errorf("a text is answered with %d %s", recorder.Code, recorder.Body)
					}
				}
				if recorder := serve(t, e, true, eventPush("xpay_goods_deliver_notify", "OutTradeNo", name)); recorder.Code != 503 {
					t.Errorf("an order is answered with %d %s", recorder.Code, recorder.Body)
				}
				if took := time.Since(begun); took > time.Second || runs.Load() != 2 || !strings.Contains(out.String(), "in OnError") {
					t.Errorf("%s, %d runs; the log is %s", took, runs.Load(), &out)
				}
			})
		})
	}
}
