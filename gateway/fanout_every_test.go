package gateway_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/pushtest"
	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// TestFanoutRepeated: a push delivered at 0, 16 and 40 s and after 2 h gets the same
// answer, and the subscriber gets it once; so does an event that keeps its timestamp.
func TestFanoutRepeated(t *testing.T) {
	for name, test := range map[string]struct {
		message simulator.Message
		same    bool
	}{
		"text":        {simulator.Text("hello"), false},
		"order":       {simulator.Notice("channels_ec_order_pay", simulator.Field{Name: "order_id", Value: "1"}), false},
		"order, same": {simulator.Notice("channels_ec_order_pay", simulator.Field{Name: "order_id", Value: "1"}), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pushWeChat(t, nil)
				bot := newSystem("bot", gateway.Safe)
				bot.says = func(g got) string { return echo(g) + strings.Repeat("\n", bot.count()) }
				store := memory.New()
				time.Sleep(time.Second)
				g := p.gateway(store, company{bot}, new(logtest.Log), nil)
				defer func() { _ = g.Close() }()
				m, begun := test.message, time.Now()
				m.Created, m.ID = begun, 23892468385179204
				push := simulator.Push{Handler: g, URL: "http://gateway.invalid/callback/" + appID, Message: m}
				if test.same {
					push.Timestamp = fmt.Sprint(begun.Unix())
				}
				first := ""
				for _, at := range []time.Duration{0, 16 * time.Second, 40 * time.Second, 2 * time.Hour} {
					time.Sleep(at - time.Since(begun))
					result := p.deliver(push)
					if result.Verdict != simulator.Replied || len(result.Deliveries) != 1 {
						t.Fatalf("after %s: %v", at, result)
					}
					if first == "" {
						first = result.Reply.Raw
					}
					if result.Reply.Raw != first {
						t.Errorf("after %s the answer is %q, at first it was %q", at, result.Reply.Raw, first)
					}
				}
				if bot.count() != 1 {
					t.Errorf("the subscriber got it %d times", bot.count())
				}
			})
		})
	}
}

// TestFanoutEveryEvent: events that differ in one field reach the subscriber both, in
// every mode and format, and a repeated one does not.
func TestFanoutEveryEvent(t *testing.T) {
	for _, mode := range []simulator.Mode{simulator.Plain, simulator.Compatible, simulator.Safe} {
		for _, format := range []simulator.Format{simulator.XML, simulator.JSON} {
			t.Run(fmt.Sprint(mode, " ", format), func(t *testing.T) {
				p := pushWeChat(t, func(a *simulator.Account) {
					if a.Format = format; mode == simulator.Plain {
						a.AESKey = ""
					}
					a.Mode = mode
				})
				crm := newSystem("crm", gateway.Safe)
				g := p.gateway(memory.New(), company{crm}, new(logtest.Log), func(cfg *gateway.Config) {
					if mode == simulator.Plain {
						cfg.Accounts[0].Callback.AESKey = custody.Secret{}
						cfg.Accounts[0].Callback.Mode = gateway.Plain
					}
				})
				defer func() { _ = g.Close() }()
				at, want := time.Now(), 0
				for _, name := range []string{"user_get_card", "poi_check_notify", "tomorrow's", "CLICK"} {
					for code := range 3 {
						m := simulator.Notice(name, simulator.Field{Name: "CardId", Value: "pA"}, simulator.Field{Name: "UserCardCode", Value: fmt.Sprint(226009850808 + code)})
						m.Created = at
						p.silent(g, m)
						p.silent(g, m)
						want++
					}
				}
				if crm.count() != want {
					t.Errorf("the subscriber got %d of %d events", crm.count(), want)
				}
			})
		}
	}
}

// TestFanoutDrawn: on every engine and in every mode, of two pushes that differ the
// subscriber gets both, and of each one.
func TestFanoutDrawn(t *testing.T) {
	t.Parallel()
	stores := map[string]func(t *testing.T) string{
		"memory": func(*testing.T) string { return "memory:" },
		"SQLite": func(t *testing.T) string { t.Helper(); return "sqlite:" + newPath(t) },
	}
	for _, engine := range testserver.Engines {
		stores[string(engine)] = func(t *testing.T) string {
			t.Helper()
			tier.Full(t)
			return remotetest.With(t, testserver.URL(t, engine), "prefix", testserver.Name()+"_")
		}
	}
	for name, address := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := open.Open(t.Context(), address(t), open.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			for _, mode := range pushtest.Modes {
				account := pushtest.Account(mode)
				crm := newSystem("crm"+string(mode), gateway.Safe)
				callbacks := company{crm}.callback()
				callbacks.Token, callbacks.AESKey = custody.NewSecret(account.Token.Reveal()), custody.Secret{}
				if account.AESKey == nil {
					callbacks.Mode = gateway.Plain
				} else {
					callbacks.AESKey = custody.NewSecret(account.AESKey.Reveal())
				}
				g, err := gateway.New(t.Context(), gateway.Config{
					Accounts: []gateway.Account{{AppID: account.AppID, Secret: custody.NewSecret(appSecret), Callback: callbacks}},
					Store:    store, SealKeys: []custody.Secret{sealKey}, APIBase: "http://wechat.invalid", Transport: nobody{}, Callbacks: company{crm},
				})
				if err != nil {
					t.Fatal(err)
				}
				pushtest.Check(t, pushtest.Receiver{
					Handler: g, Path: "/callback/" + account.AppID, Config: account, Mode: mode, Handled: crm.count,
				})
				if err := g.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// nobody is a network in which nobody answers.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody answers")
}

// TestFanoutAsTyped: what a follower types reaches the subscriber byte for byte.
func TestFanoutAsTyped(t *testing.T) {
	p := pushWeChat(t, nil)
	crm := newSystem("crm", gateway.Safe)
	log := new(logtest.Log)
	g := p.gateway(memory.New(), company{crm}, log, nil)
	defer func() { _ = g.Close() }()
	for i, content := range []string{
		"<xml><a><![CDATA[hi]]></a></xml>", "a]]>b", "x]]></status>", "x]]></Content><Event><![CDATA[subscribe]]></Event><Content><![CDATA[y", "ordinary",
	} {
		for _, mode := range []simulator.Mode{simulator.Safe, simulator.Compatible} {
			result := p.deliver(simulator.Push{Handler: g, URL: "http://gateway.invalid/callback/" + appID, Message: simulator.Text(content), Mode: mode})
			if result.Verdict != simulator.Silent || len(result.Deliveries) != 1 {
				t.Errorf("%q in %s mode: %v", content, mode, result)
			}
		}
		if crm.count() != 2*(i+1) || !strings.Contains(crm.last(), "<Content><![CDATA["+content+"]]></Content>\n<MsgId>") {
			t.Fatalf("%q reaches the subscriber %d times, the last time as %s", content, crm.count(), crm.last())
		}
	}
	rapid.Check(t, func(rt *rapid.T) { // whatever is typed
		pieces := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]string{
			"]]>", "]]></Content>\n", "<Content><![CDATA[", "<MsgId>1</MsgId>", "]]]]><![CDATA[>", "&", "<a/>", "</xml>", "<Encrypt><![CDATA[AAAA]]></Encrypt>", "<!--",
		}), rapid.StringMatching(`[a你😀 ]{0,4}`)), 1, 6).Draw(rt, "typed")
		content, mode := strings.Join(pieces, ""), rapid.SampledFrom([]simulator.Mode{simulator.Safe, simulator.Compatible}).Draw(rt, "mode")
		before := crm.count()
		for _, text := range []string{content, "ordinary"} {
			push := simulator.Push{Handler: g, URL: "http://gateway.invalid/callback/" + appID, Message: simulator.Text(text), Mode: mode}
			if result := p.deliver(push); result.Verdict != simulator.Silent || len(result.Deliveries) != 1 {
				rt.Fatalf("%q in %s mode: %v", text, mode, result)
			}
			if !strings.Contains(crm.last(), "<Content><![CDATA["+text+"]]></Content>\n<MsgId>") {
				rt.Fatalf("%q reaches the subscriber as %s", text, crm.last())
			}
		}
		if crm.count() != before+2 {
			rt.Fatalf("the subscriber got %d of 2 texts", crm.count()-before)
		}
	})
	before := crm.count()
	result := p.deliver(simulator.Push{Handler: g, URL: "http://gateway.invalid/callback/" + appID, Message: simulator.Message{Raw: "<xml><a>"}})
	if result.Verdict != simulator.Silent || crm.count() != before || !strings.Contains(log.String(), "cannot be read") {
		t.Errorf("of what cannot be read: %v; the log is %s", result, log)
	}
}

func (s *system) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[len(s.got)-1].text
}

// TestFanoutOtherAnswers: an XML or JSON object of any kind that came in the subscriber's
// mode is passed on, in the mode of the push.
func TestFanoutOtherAnswers(t *testing.T) {
	for _, mode := range []fanout.Mode{gateway.Plain, gateway.Safe} {
		for name, answer := range map[string]string{
			"JSON":  `{"ErrCode":0,"ErrMsg":"success"}`,
			"event": "<xml><MsgType><![CDATA[event]]></MsgType><ResultCode>0</ResultCode></xml>",
		} {
			p := pushWeChat(t, nil)
			pay := newSystem("pay", mode)
			pay.says = func(got) string { return answer }
			g := p.gateway(memory.New(), company{pay}, new(logtest.Log), nil)
			result := p.push(g, simulator.Notice("xpay_goods_deliver_notify"))
			if result.Verdict != simulator.Silent || result.Reply == nil || result.Reply.Raw != answer || !strings.HasPrefix(result.Deliveries[0].Body, "<xml>") {
				t.Errorf("%s from a subscriber in %s mode: %v, %+v", name, mode, result, result.Deliveries)
			}
			if pay.count() != 1 {
				t.Errorf("it was delivered %d times", pay.count())
			}
			_ = g.Close()
		}
	}
}
