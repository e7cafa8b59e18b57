package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestFanoutModes: whatever WeChat's mode and format, each system gets the push in its
// own mode under its own keys, and the first one's answer comes out in WeChat's.
func TestFanoutModes(t *testing.T) {
	for _, weChat := range []simulator.Mode{simulator.Plain, simulator.Compatible, simulator.Safe} {
		for _, first := range []fanout.Mode{gateway.Plain, gateway.Compatible, gateway.Safe} {
			for _, format := range []simulator.Format{simulator.XML, simulator.JSON} {
				t.Run(fmt.Sprintf("%s/%s/%s", weChat, first, format), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						modes(t, weChat, first, format)
					})
				})
			}
		}
	}
}

func modes(t *testing.T, weChat simulator.Mode, first fanout.Mode, format simulator.Format) {
	t.Helper()
	p := pushWeChat(t, func(a *simulator.Account) {
		a.Mode, a.Format = weChat, format
		if weChat == simulator.Plain {
			a.AESKey = ""
		}
	})
	systems := company{newSystem("bot", first), newSystem("plain", gateway.Plain), newSystem("compatible", gateway.Compatible), newSystem("safe", gateway.Safe)}
	systems[0].says = echo
	if format == simulator.JSON {
		systems[0].says = func(g got) string {
			return fmt.Sprintf(`{"ToUserName":"%s","FromUserName":"%s","CreateTime":1713424427,"MsgType":"text","Content":"you wrote %s"}`,
				g.from, element(g.text, "ToUserName"), g.content)
		}
	}
	log := new(logtest.Log)
	g := p.gateway(memory.New(), systems, log, func(c *gateway.Config) {
		if weChat == simulator.Plain {
			c.Accounts[0].Callback.AESKey = custody.Secret{}
		}
	})
	defer func() { _ = g.Close() }()
	p.replied(g, simulator.Text("hello").By(followers[0]), "you wrote hello")
	synctest.Wait()
	for _, s := range systems {
		if s.refused != "" || !slices.Equal(s.pushes(), []string{followers[0] + ":hello"}) {
			t.Errorf("%s got %q; refused: %q", s.Name, s.pushes(), s.refused)
		}
	}
	if queues, err := g.Queues(t.Context()); err != nil || len(queues) != 4 || queues[0].Waiting != 0 {
		t.Errorf("%+v, %v", queues, err)
	}
	if text := log.String(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
		t.Error(text)
	}
}

// TestFanoutRules: who gets what, and who of them answers.
func TestFanoutRules(t *testing.T) {
	rules := map[string]gateway.Rule{
		"all":      {},
		"texts":    {Types: []string{"text"}},
		"clicks":   {Events: []string{"click"}}, // in whatever case
		"either":   {Types: []string{"image"}, Events: []string{"CLICK", "subscribe"}},
		"events":   {Types: []string{"event"}},
		"menu":     {Key: "menu_*"},
		"posters":  {Events: []string{"subscribe", "SCAN"}, Key: "poster?"},
		"one":      {Followers: followers[1:2]},
		"oneclick": {Events: []string{"CLICK"}, Followers: followers[1:2]},
	}
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		var systems company
		for _, name := range []string{"all", "texts", "clicks", "either", "events", "menu", "posters", "one", "oneclick"} {
			s := newSystem(name, gateway.Safe)
			s.When = rules[name]
			systems = append(systems, s)
		}
		g := p.gateway(memory.New(), systems, new(logtest.Log), nil)
		defer func() { _ = g.Close() }()
		before := map[string]int{}
		for _, row := range []struct {
			message simulator.Message
			want    string
		}{
			{simulator.Text("menu_1").By(followers[0]), "all texts"},
			{simulator.Text("x").By(followers[1]), "all texts one"},
			{simulator.Image("http://x.invalid/1", "media").By(followers[0]), "all either"},
			{simulator.Click("menu_1").By(followers[0]), "all clicks either events menu"},
			{simulator.Click("other").By(followers[1]), "all clicks either events one oneclick"},
			{simulator.View("http://x.invalid/menu_1", "1").By(followers[0]), "all events"},
			{simulator.Subscribe().With("EventKey", "qrscene_poster1").With("Ticket", "ticket").By(followers[0]), "all either events posters"},
			{simulator.Scan("poster2", "ticket").By(followers[0]), "all events posters"},
			{simulator.Scan("poster22", "ticket").By(followers[0]), "all events"},
		} {
			p.silent(g, row.message)
			synctest.Wait()
			var who []string
			for _, s := range systems {
				if n := s.count(); n > before[s.Name] {
					who = append(who, s.Name)
					before[s.Name] = n
				}
			}
			if got := strings.Join(who, " "); got != row.want {
				t.Errorf("%v went to %q, want %q", row.message, got, row.want)
			}
		}
	})
}

// TestFanoutFirstAnswers: the first whose rule matches, nobody else.
func TestFanoutFirstAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		clicks, texts, other := newSystem("clicks", gateway.Safe), newSystem("texts", gateway.Plain), newSystem("other", gateway.Safe)
		clicks.When = gateway.Rule{Events: []string{"CLICK"}}
		for _, s := range []*system{clicks, texts, other} {
			s.says = func(g got) string { return strings.Replace(echo(g), "you wrote", s.Name+" says", 1) }
		}
		g := p.gateway(memory.New(), company{clicks, texts, other}, new(logtest.Log), nil)
		defer func() { _ = g.Close() }()
		p.replied(g, simulator.Text("hi"), "texts says hi")
		p.replied(g, simulator.Click("hi"), "clicks says CLICK hi")
		only := newSystem("only", gateway.Safe)
		only.When = gateway.Rule{Types: []string{"voice"}}
		if err := g.Replace([]gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: "classic", Callback: company{only}.callback()}}); err != nil {
			t.Fatal(err)
		}
		p.silent(g, simulator.Text("nobody wants this"))
		if only.count() != 0 {
			t.Error("it was delivered")
		}
	})
}

// TestFanoutFirstFails: WeChat is told success in time whatever the first system does,
// the other gets the push at once, and the first is given it again.
func TestFanoutFirstFails(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*system)
		says   string // the log
	}{
		{"late", func(s *system) { s.takes = 4200 * time.Millisecond }, "did not answer in time"},
		{"an error", func(s *system) { s.status = http.StatusInternalServerError }, "answered 500"},
		{"a redirect", func(s *system) { s.status = http.StatusFound }, "redirects are not followed"},
		{"overloaded", func(s *system) { s.status = http.StatusServiceUnavailable }, "answered 503"},
		{"away", func(s *system) { s.away = true }, "nothing listens"},
		{"an error page", func(s *system) { s.says = func(got) string { return " <!DOCTYPE html><p>trouble" } }, "neither success"},
		{"in plain text", func(s *system) { s.says = func(g got) string { return " " + echo(g) } }, "in plain text, but its mode is safe"},
		{"not to the follower", func(s *system) {
			s.says = func(g got) string { return strings.Replace(echo(g), g.from, "oSomebodyElse", 1) }
		}, "swapped"},
		{"JSON to XML", func(s *system) { s.says = func(got) string { return `{"MsgType":"text"}` } }, "in JSON to a message in XML"},
		{"a page in XML", func(s *system) { s.says = func(got) string { return "<html><body>trouble</body></html>" } }, "neither XML nor JSON"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pushWeChat(t, nil)
				first, other := newSystem("bot", gateway.Safe), newSystem("crm", gateway.Safe)
				row.change(first)
				log := new(logtest.Log)
				g := p.gateway(memory.New(), company{first, other}, log, nil)
				defer func() { _ = g.Close() }()
				began := time.Now()
				p.silent(g, simulator.Text("hello"))
				if took := time.Since(began); took > 4600*time.Millisecond {
					t.Errorf("WeChat was answered after %s", took)
				}
				synctest.Wait()
				if other.count() != 1 {
					t.Errorf("the other got it %d times", other.count())
				}
				if !strings.Contains(log.String(), row.says) {
					t.Errorf("the log does not say %q:\n%s", row.says, log)
				}
				first.change(func(s *system) { s.away, s.status, s.takes = false, 0, 0 })
				before := first.count() // 1 where it took it, and answered nonsense
				time.Sleep(2 * time.Minute)
				if n := first.count(); n != before+1 {
					t.Errorf("the first got it %d times afterwards", n-before)
				}
				if other.count() != 1 {
					t.Errorf("the other got it %d times", other.count())
				}
			})
		})
	}
}

// TestFanoutDownForAnHourAtScale: one of three systems is down for an hour. It gets everything
// afterwards, in the order of each follower, and is asked gently meanwhile; the others
// and the followers notice nothing.
func TestFanoutDownForAnHourAtScale(t *testing.T) {
	pause := time.Hour / time.Duration(tier.Scale(t, 240, 1200)) // between two messages
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot, crm, audit := newSystem("bot", gateway.Plain), newSystem("crm", gateway.Safe), newSystem("audit", gateway.Compatible)
		bot.says = echo
		log := new(logtest.Log)
		g := p.gateway(memory.New(), company{bot, crm, audit}, log, nil)
		defer func() { _ = g.Close() }()

		var want []string
		say := func() {
			follower := followers[len(want)%len(followers)]
			content := fmt.Sprintf("%04d", len(want))
			want = append(want, follower+":"+content)
			began := time.Now()
			p.replied(g, simulator.Text(content).By(follower), "you wrote "+content)
			if took := time.Since(began); took > time.Second {
				t.Errorf("the follower waited %s", took)
			}
			time.Sleep(100 * time.Millisecond)
			if n := audit.count(); n != len(want) {
				t.Errorf("the third has got %d of %d", n, len(want))
			}
		}
		for range 5 {
			say()
		}
		crm.change(func(s *system) { s.away, s.asked = true, 0 })
		before := crm.count()
		for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(pause) {
			say()
		}
		if n := crm.count(); n != before {
			t.Fatalf("a system that is down got %d pushes", n-before)
		}
		crm.mu.Lock()
		asked := crm.asked
		crm.mu.Unlock()
		if asked < 60 || asked > 140 { // each minute or half of one, after a beginning
			t.Errorf("it was asked %d times in an hour", asked)
		}
		queues, err := g.Queues(t.Context())
		if err != nil || len(queues) != 3 || queues[2].Subscriber != "crm" || !queues[2].Down || queues[2].Waiting != len(want)-before ||
			queues[2].Oldest < 59*time.Minute || queues[2].Failure == "" || queues[0].Waiting+queues[1].Waiting != 0 || queues[1].Delivered != uint64(len(want)) {
			t.Errorf("%+v, %v", queues, err)
		}
		crm.change(func(s *system) { s.away = false })
		time.Sleep(61 * time.Second)
		for _, s := range []*system{bot, crm, audit} {
			inOrder(t, s, want, false)
			if s.refused != "" {
				t.Errorf("%s refused: %s", s.Name, s.refused)
			}
		}
		say()
		if n := crm.count(); n != len(want) {
			t.Errorf("once it is up again it has got %d of %d", n, len(want))
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("the log has %d lines at Warn, want 1:\n%s", n, log)
		}
		t.Logf("%d pushes, %d of them while one was down, which was asked %d times", len(want), len(want)-before-1, asked)
	})
}

// TestFanoutFirstDownForAWhile: the one that answers is down. WeChat is answered at
// once, what came meanwhile is delivered before what comes then, and then it answers.
func TestFanoutFirstDownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot := newSystem("bot", gateway.Safe)
		bot.says, bot.away = echo, true
		g := p.gateway(memory.New(), company{bot}, new(logtest.Log), nil)
		defer func() { _ = g.Close() }()
		var want []string
		for n := range 100 {
			follower := followers[n%len(followers)]
			want = append(want, fmt.Sprintf("%s:%03d", follower, n))
			began := time.Now()
			p.silent(g, simulator.Text(fmt.Sprintf("%03d", n)).By(follower))
			if took := time.Since(began); took > time.Second {
				t.Errorf("WeChat waited %s", took)
			}
			time.Sleep(5 * time.Second)
		}
		bot.change(func(s *system) { s.away = false })
		time.Sleep(61 * time.Second)
		inOrder(t, bot, want, false)
		p.replied(g, simulator.Text("back").By(followers[0]), "you wrote back")
	})
}

// TestFanoutFollowerIsQuick: of two messages of a follower the second waits for the
// first, and both are answered, though they come to two gateways. Another follower's
// does not wait.
func TestFanoutFollowerIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot := newSystem("bot", gateway.Safe)
		bot.says, bot.takes = echo, 1500*time.Millisecond
		store := memory.New()
		one := p.gateway(store, company{bot}, new(logtest.Log), nil)
		defer func() { _ = one.Close() }()
		two := p.gateway(store, company{bot}, new(logtest.Log), nil)
		defer func() { _ = two.Close() }()
		done := make(chan struct{}, 3)
		say := func(g *gateway.Gateway, follower, content string) {
			go func() {
				p.replied(g, simulator.Text(content).By(follower), "you wrote "+content)
				done <- struct{}{}
			}()
			time.Sleep(100 * time.Millisecond)
		}
		began := time.Now()
		say(one, followers[0], "1")
		say(two, followers[0], "2")
		say(two, followers[1], "3")
		for range 3 {
			<-done
		}
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it took %s, want 3 s", took)
		}
		if got := bot.pushes(); len(got) != 3 || got[1] != followers[1]+":3" || got[2] != followers[0]+":2" {
			t.Errorf("it got %q", got)
		}
	})
}

// TestFanoutOneFollowerFails: a message that is never taken stops what its follower
// writes afterwards, and nobody else's.
func TestFanoutOneFollowerFails(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(status), func(t *testing.T) { fanoutOneFollowerFails(t, status) })
	}
}

// fanoutOneFollowerFails fails with a status; 503 is what an Endpoint answers about an event
// that it wants again.
func fanoutOneFollowerFails(t *testing.T, status int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot, crm := newSystem("bot", gateway.Plain), newSystem("crm", gateway.Plain)
		var poisoned atomic.Bool
		poisoned.Store(true)
		network := roundTrip(func(r *http.Request) (*http.Response, error) {
			body, _ := r.GetBody()
			text := make([]byte, 1<<12)
			n, _ := body.Read(text)
			if poisoned.Load() && strings.Contains(string(text[:n]), "poison") && r.URL.Path == "/crm" {
				return &http.Response{StatusCode: status, Body: http.NoBody}, nil
			}
			return company{bot, crm}.RoundTrip(r)
		})
		g := p.gateway(memory.New(), company{bot, crm}, new(logtest.Log), func(c *gateway.Config) { c.Callbacks = network })
		defer func() { _ = g.Close() }()
		p.silent(g, simulator.Text("poison").By(followers[0]))
		for n := range 20 {
			p.silent(g, simulator.Text(fmt.Sprint("after ", n)).By(followers[0]))
			p.silent(g, simulator.Text(fmt.Sprint("other ", n)).By(followers[1]))
			synctest.Wait()
			if got := crm.pushes(); len(got) != n+1 || got[n] != fmt.Sprintf("%s:other %d", followers[1], n) {
				t.Fatalf("it got %q", got)
			}
			time.Sleep(time.Minute)
		}
		poisoned.Store(false)
		time.Sleep(2 * time.Minute)
		if got := crm.pushes(); len(got) != 41 || got[20] != followers[0]+":poison" || got[40] != followers[0]+":after 19" {
			t.Errorf("it got %q", got)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestFanoutRepetitions: a message that WeChat repeats, at any gateway, adds nothing
// and is answered the same.
func TestFanoutRepetitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot, crm := newSystem("bot", gateway.Safe), newSystem("crm", gateway.Safe)
		n := 0
		bot.says = func(g got) string {
			n++
			return strings.Replace(echo(g), "you wrote", fmt.Sprint("answer ", n), 1)
		}
		store := memory.New()
		one := p.gateway(store, company{bot, crm}, new(logtest.Log), nil)
		defer func() { _ = one.Close() }()
		two := p.gateway(store, company{bot, crm}, new(logtest.Log), nil)
		defer func() { _ = two.Close() }()
		m := simulator.Text("hello").By(followers[0])
		m.ID, m.Created = 23892468385179204, time.Now()
		p.replied(one, m, "answer 1 hello")
		p.replied(two, m, "answer 1 hello")
		p.replied(one, m, "answer 1 hello")
		if result := p.deliver(simulator.Push{Handler: two, URL: "http://x.invalid/callback/" + appID, Message: m, Attack: simulator.Replay}); !result.OK() {
			t.Error(result)
		}

		// Two at the same time, and one whose answer got lost.
		bot.change(func(s *system) { s.takes = time.Second })
		m.ID++
		done := make(chan struct{}, 2)
		for _, g := range []*gateway.Gateway{one, two} {
			go func() {
				p.replied(g, m, "answer 2 hello")
				done <- struct{}{}
			}()
		}
		<-done
		<-done
		m.ID++
		gone, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := p.wx.Deliver(gone, simulator.Push{Handler: one, URL: "http://x.invalid/callback/" + appID, Message: m}); err == nil {
			t.Error("WeChat did not go")
		}
		p.replied(two, m, "answer 3 hello")

		time.Sleep(time.Minute)
		p.replied(two, m, "answer 3 hello") // long after
		if bot.count() != 3 || crm.count() != 3 {
			t.Errorf("they got it %d and %d times, want 3", bot.count(), crm.count())
		}
	})
}
