package callback

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func textMessage(content string) *Message {
	return &Message{Type: TypeText, Content: content, ToUserName: account, FromUserName: follower}
}

func eventMessage(event Event, key string) *Message {
	return &Message{Type: TypeEvent, Event: event, EventKey: key, ToUserName: account, FromUserName: follower}
}

// say replies with what it is called and what was matched.
func say(name string) Handler {
	return func(c *Context) error {
		return c.ReplyText(strings.Join(append([]string{name}, c.Matches...), "|"))
	}
}

func TestRouter(t *testing.T) {
	bot := NewRouter()
	bot.Text("天气", say("exact"))
	bot.Text("天气*", say("prefix"))
	bot.Text("*多少钱?", say("pattern"))
	bot.Text(`1\*1`, say("escaped"))
	bot.Text("a*b*c", say("two"))
	bot.Regexp(regexp.MustCompile(`^订单(\d+)$`), say("regexp"))
	bot.Event(Subscribe, say("subscribe"))
	bot.Key(Click, "V1_*", say("key"))
	bot.Key(Scan, "7", say("scan"))
	bot.Event(Click, say("click"))
	bot.On(MatchType(TypeImage, TypeVoice), say("media"))
	vip := bot.Group(func(m *Message) ([]string, bool) { return []string{"vip"}, m.FromUserName == "vip" })
	vip.Type(TypeLink, say("link"))
	vip.Text("hello", say("hello"))
	closed := bot.Group(MatchEvent(View))
	closed.Default(say("view"))
	bot.Default(say("default"))
	for _, test := range []struct {
		m    *Message
		want string
	}{
		{textMessage("天气"), "exact|天气"},
		{textMessage(" 天气\n"), "exact|天气"},
		{textMessage("天气 北京"), "prefix|天气 北京| 北京"},
		{textMessage("这个多少钱？"), "pattern|这个多少钱？|这个|？"},
		{textMessage("多少钱?"), "pattern|多少钱?||?"},
		{textMessage("多少钱"), "default"},
		{textMessage("1*1"), "escaped|1*1"},
		{textMessage("121"), "default"},
		{textMessage("a-b-b\nc"), "two|a-b-b\nc|-|-b\n"},
		{textMessage("订单42"), "regexp|订单42|42"},
		{textMessage("订单x"), "default"},
		{eventMessage(Subscribe, ""), "subscribe"},
		{eventMessage(Subscribe, "qrscene_1"), "subscribe"},
		{eventMessage(Click, "V1_menu"), "key|V1_menu|menu"},
		{eventMessage(Click, "V2"), "click"},
		{eventMessage(Scan, "7"), "scan|7"},
		{eventMessage(Scan, "77"), "default"},
		{eventMessage(View, "u"), "view"},
		{&Message{Type: TypeImage}, "media"},
		{&Message{Type: TypeVoice}, "media"},
		{&Message{Type: TypeLink}, "default"},
		{&Message{Type: TypeLink, FromUserName: "vip"}, "link|vip"},
		{&Message{Type: TypeText, FromUserName: "vip", Content: "hello"}, "hello|hello"},
		{&Message{Type: TypeText, FromUserName: "vip", Content: "other"}, "default"},
		{&Message{Type: TypeText, Event: Click, Content: "V1_"}, "default"},
		{&Message{Type: "new"}, "default"},
		{&Message{}, "default"},
	} {
		reply, err := bot.Handle(t.Context(), test.m)
		if err != nil || reply == nil || reply.Content != test.want {
			t.Errorf("%+v: %+v, %v; want %q", typed(test.m), reply, err, test.want)
		}
	}
	if reply, err := NewRouter().Handle(t.Context(), textMessage("a")); reply != nil || err != nil {
		t.Errorf("an empty router replies %+v, %v", reply, err)
	}
}

// TestOnion: the chain runs inwards and back, through groups too, and in the
// order of Use whatever was added when.
func TestOnion(t *testing.T) {
	var steps []string
	step := func(name string) Handler {
		return func(c *Context) error {
			steps = append(steps, name)
			err := c.Next()
			steps = append(steps, "/"+name)
			return err
		}
	}
	bot := NewRouter()
	bot.Use(step("a"))
	group := bot.Group(nil)
	group.Use(step("c"))
	group.Text("x", step("route"), say("x"))
	group.Group(MatchType(TypeImage)).Default(step("inner"))
	bot.Use(step("b"))
	bot.Default(step("default"))
	for _, test := range []struct {
		m    *Message
		want string
	}{
		{textMessage("x"), "a b c route /route /c /b /a"},
		{textMessage("y"), "a b default /default /b /a"},
		{&Message{Type: TypeImage}, "a b c inner /inner /c /b /a"},
	} {
		steps = nil
		if _, err := bot.Handle(t.Context(), test.m); err != nil {
			t.Error(err)
		}
		if got := strings.Join(steps, " "); got != test.want {
			t.Errorf("steps %s, want %s", got, test.want)
		}
	}
}

func TestOnionValues(t *testing.T) {
	type key struct{}
	bot := NewRouter()
	bot.Use(func(c *Context) error {
		c.Set("who", "小明")
		c.Context = context.WithValue(c.Context, key{}, "value")
		if err := c.Next(); err != nil {
			return err
		}
		if reply := c.Replied(); reply != nil {
			reply.Content += "!"
		}
		if c.Get("back") != true || c.Get("nothing") != nil {
			t.Error("values do not come back")
		}
		return nil
	})
	bot.Default(func(c *Context) error {
		c.Set("back", true)
		return c.ReplyText(fmt.Sprint(c.Get("who"), c.Value(key{})))
	})
	if reply, err := bot.Handle(t.Context(), textMessage("a")); err != nil || reply.Content != "小明value!" {
		t.Errorf("Handle = %+v, %v", reply, err)
	}
}

// TestReplyMethods: each method sets its reply, the last one counts, and a wrong
// one is an error and changes nothing.
func TestReplyMethods(t *testing.T) {
	c := &Context{Message: textMessage(""), limits: Limits{}.withDefaults()}
	for _, test := range []struct {
		err  error
		want Reply
	}{
		{c.ReplyText("a"), Reply{Type: TypeText, Content: "a"}},
		{c.ReplyImage("m"), Reply{Type: TypeImage, MediaID: "m"}},
		{c.ReplyVoice("m"), Reply{Type: TypeVoice, MediaID: "m"}},
		{c.ReplyVideo("m", "t", "d"), Reply{Type: TypeVideo, MediaID: "m", Title: "t", Description: "d"}},
		{c.ReplyMusic(Reply{ThumbMediaID: "m"}), Reply{Type: TypeMusic, ThumbMediaID: "m"}},
		{c.Transfer("k"), Reply{Type: TypeTransfer, KfAccount: "k"}},
		{c.ReplyNews(Article{Title: "t"}), Reply{Type: TypeNews, Articles: []Article{{Title: "t"}}}},
	} {
		if test.err != nil {
			t.Errorf("%s: %v", test.want.Type, test.err)
		}
	}
	for name, err := range map[string]error{
		"text": c.ReplyText(strings.Repeat("a", 2049)), "image": c.ReplyImage(""), "music": c.ReplyMusic(Reply{}),
		"news": c.ReplyNews(), "two articles": c.ReplyNews(Article{}, Article{}), "reply": c.Reply(&Reply{}),
	} {
		if !errors.Is(err, ErrReply) {
			t.Errorf("%s: %v, want ErrReply", name, err)
		}
	}
	if r := c.Replied(); r == nil || r.Type != TypeNews {
		t.Errorf("the reply is %+v, want the last right one", r)
	}
	if err := c.ReplyNothing(); err != nil || c.Replied() != nil {
		t.Errorf("ReplyNothing leaves %+v, %v", c.Replied(), err)
	}
}

// TestErrors: an error and a panic travel to one place, and take the reply along.
func TestErrors(t *testing.T) {
	failure := errors.New("no weather today")
	var heard []error
	bot := NewRouter()
	bot.Text("error", func(c *Context) error { _ = c.ReplyText("half"); return failure })
	bot.Text("panic", func(*Context) error { panic(failure) })
	bot.Text("worse", func(*Context) error { return failure })
	bot.OnError(func(c *Context, err error) {
		heard = append(heard, err)
		if c.Replied() != nil {
			t.Error("the reply is still there")
		}
		if c.Message.Content == "worse" {
			_ = c.ReplyText("never")
			panic("worse")
		}
		_ = c.ReplyText("sorry")
	})
	for _, content := range []string{"error", "panic"} {
		heard = nil
		reply, err := bot.Handle(t.Context(), textMessage(content))
		if !errors.Is(err, failure) || reply == nil || reply.Content != "sorry" {
			t.Errorf("%s: Handle = %+v, %v", content, reply, err)
		}
		var panicked *PanicError
		if len(heard) != 1 || !errors.Is(heard[0], failure) || errors.As(err, &panicked) != (content == "panic") {
			t.Errorf("%s: OnError heard %v", content, heard)
		}
		if panicked != nil && !strings.Contains(string(panicked.Stack), "TestErrors") {
			t.Errorf("the stack is %s", panicked.Stack)
		}
	}
	if reply, err := bot.Handle(t.Context(), textMessage("worse")); reply != nil || !errors.Is(err, failure) {
		t.Errorf("after a panic in OnError: %+v, %v", reply, err)
	}
	if err := (&PanicError{Value: "v"}).Unwrap(); err != nil {
		t.Errorf("a panic with a string unwraps to %v", err)
	}
}

// TestRouterIsBuiltFirst: what would race with messages is a panic.
func TestRouterIsBuiltFirst(t *testing.T) {
	bot := NewRouter()
	group := bot.Group(nil)
	mustPanic(t, "OnError of a group", func() { group.OnError(func(*Context, error) {}) })
	if _, err := bot.Handle(t.Context(), textMessage("a")); err != nil {
		t.Fatal(err)
	}
	mustPanic(t, "Use", func() { bot.Use() })
	mustPanic(t, "Text", func() { group.Text("a") })
	mustPanic(t, "Group", func() { group.Group(nil) })
	mustPanic(t, "Default", func() { bot.Default() })
	mustPanic(t, "RateLimit", func() { RateLimit(0, 1, nil) })
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s does not panic", what)
		}
	}()
	f()
}

// FuzzPattern holds MatchText against a slow and simple matcher.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"天气*", "天气"},
		{"*天?*", "今天气"},
		{`a\*\\`, `a*\`},
		{"a*b*c", "abbc"},
		{`\`, `\`},
		{"[a-z]+(", "[a-z]+("},
		{"a\nb*", "a\nbc"},
		{"\xff*", "\xff"},
		{strings.Repeat("*a", 20), strings.Repeat("a", 40) + "b"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, content string) {
		if len(pattern) > 64 || len(content) > 256 {
			return
		}
		pattern, content = clean(pattern), strings.TrimSpace(clean(content))
		matches, ok := MatchText(pattern)(textMessage(content))
		if want := glob([]rune(pattern), []rune(content)); ok != want {
			t.Errorf("%q matches %q: %t, want %t", pattern, content, ok, want)
		}
		if ok && matches[0] != content {
			t.Errorf("%q matches %q as %q", pattern, content, matches)
		}
	})
}

// glob keeps the set of places in the text that the pattern so far leads to.
func glob(pattern, text []rune) bool {
	at := make([]bool, len(text)+1)
	at[0] = true
	for i := 0; i < len(pattern); i++ {
		next := make([]bool, len(text)+1)
		r, literal := pattern[i], false
		if r == '\\' && i+1 < len(pattern) {
			i++
			r, literal = pattern[i], true
		}
		if r == '*' && !literal {
			if first := slices.Index(at, true); first >= 0 {
				for j := first; j <= len(text); j++ {
					next[j] = true
				}
			}
		} else {
			for j, c := range text {
				next[j+1] = at[j] && (c == r || r == '?' && !literal)
			}
		}
		at = next
	}
	return at[len(text)]
}
