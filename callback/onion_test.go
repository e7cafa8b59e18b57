package callback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecover(t *testing.T) {
	var seen error
	bot := NewRouter()
	bot.Use(func(c *Context) error {
		seen = c.Next()
		return c.ReplyText("all is well")
	}, Recover())
	bot.Default(func(*Context) error { panic("oh") })
	reply, err := bot.Handle(t.Context(), textMessage("a"))
	if err != nil || reply.Content != "all is well" || seen == nil || !strings.Contains(seen.Error(), "oh") {
		t.Errorf("Handle = %+v, %v; seen: %v", reply, err, seen)
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	bot := NewRouter()
	bot.Use(Logger(slog.New(slog.NewTextHandler(&out, nil))))
	bot.Text("good*", say("secret answer"))
	bot.Text("bad*", func(*Context) error { return errors.New("no weather") })
	bot.Text("worst", func(*Context) error { panic("no sky") })
	for _, test := range []struct {
		m    *Message
		want []string
	}{
		{&Message{Type: TypeText, ID: 42, FromUserName: follower, Content: "good secret"}, []string{"level=INFO", "type=text", "msg_id=42", "from=" + follower, "took=", "reply=text"}},
		{textMessage("bad secret"), []string{"level=ERROR", `error="no weather"`}},
		{textMessage("worst"), []string{"level=ERROR", "no sky", "stack="}},
		{eventMessage(Click, "V1"), []string{"level=INFO", "event=CLICK", "key=V1"}},
	} {
		out.Reset()
		_, _ = bot.Handle(t.Context(), test.m)
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the log lacks %s: %s", want, &out)
			}
		}
		if strings.Count(out.String(), "\n") != 1 || strings.Contains(out.String(), "secret") {
			t.Errorf("the log tells too much: %s", &out)
		}
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bot := NewRouter()
		bot.Use(func(c *Context) error {
			err := c.Next()
			if c.Err() != nil {
				t.Error("the Context before Timeout ended as well")
			}
			return err
		}, Timeout(3*time.Second))
		wait := func(d time.Duration) Handler {
			return func(c *Context) error {
				select {
				case <-time.After(d):
				case <-c.Done():
				}
				return c.ReplyText("done")
			}
		}
		bot.Text("quick", wait(2*time.Second))
		bot.Text("slow", wait(4*time.Second))
		if reply, err := bot.Handle(t.Context(), textMessage("quick")); err != nil || reply == nil {
			t.Errorf("quick: %+v, %v", reply, err)
		}
		if reply, err := bot.Handle(t.Context(), textMessage("slow")); !errors.Is(err, context.DeadlineExceeded) || reply != nil {
			t.Errorf("slow: %+v, %v", reply, err)
		}
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bot := NewRouter()
		limit := RateLimit(3, time.Minute, say("over"))
		bot.Use(limit)
		bot.Default(say("in"))
		ask := func(from string) string {
			reply, err := bot.Handle(t.Context(), &Message{FromUserName: from})
			if err != nil || reply == nil {
				t.Fatalf("Handle = %+v, %v", reply, err)
			}
			return reply.Content
		}
		for i, want := range []string{"in", "in", "in", "over", "over"} {
			if got := ask("a"); got != want {
				t.Errorf("message %d is %s, want %s", i, got, want)
			}
		}
		if got := ask("b"); got != "in" {
			t.Errorf("another follower is %s", got)
		}
		time.Sleep(20 * time.Second)
		for _, want := range []string{"in", "over"} {
			if got := ask("a"); got != want {
				t.Errorf("20 s later: %s, want %s", got, want)
			}
		}
		// A flood of ten minutes: 3 a minute and a burst of 3 get in, and nobody is
		// remembered for long.
		in := 0
		for i := range 6000 {
			time.Sleep(100 * time.Millisecond)
			if ask("c") == "in" {
				in++
			}
			ask(fmt.Sprint("follower ", i))
		}
		if in < 30 || in > 33 {
			t.Errorf("%d messages got in within 10 minutes, want 30 and a burst", in)
		}
	})
	l := &limiter{step: time.Second, period: time.Minute}
	now := time.Unix(0, 0)
	for i := range 10_000 {
		l.allow(fmt.Sprint(i), now)
		now = now.Add(100 * time.Millisecond)
	}
	if n := len(l.young) + len(l.old); n > 1200 {
		t.Errorf("%d followers are remembered, want those of two minutes", n)
	}
	silent := RateLimit(1, time.Minute, nil)
	c := &Context{Message: &Message{}, chain: []Handler{func(*Context) error { return errors.New("called") }}}
	if err := silent(c); err == nil {
		t.Error("the first message does not get in")
	}
	if err := silent(c); err != nil {
		t.Errorf("the second message: %v, want nothing", err)
	}
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		bot := NewRouter()
		bot.Use(Observe(func(c *Context, took time.Duration, err error) {
			got = append(got, fmt.Sprint(c.Message.Type, took, err != nil))
		}))
		bot.Text("a", func(*Context) error { time.Sleep(time.Second); return nil })
		bot.Default(func(*Context) error { panic("oh") })
		_, _ = bot.Handle(t.Context(), textMessage("a"))
		_, _ = bot.Handle(t.Context(), textMessage("b"))
		if fmt.Sprint(got) != "[text1s false text0s true]" {
			t.Errorf("observed %s", got)
		}
	})
}
