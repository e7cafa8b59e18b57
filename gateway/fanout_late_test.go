package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestFanoutLateAnswer: what the first subscriber answers to an order too late for one
// delivery is the answer to the next one, also at another gateway, and every subscriber
// gets the order once.
func TestFanoutLateAnswer(t *testing.T) {
	const answer = `{"ErrCode":0,"ErrMsg":"success"}`
	for name, test := range map[string]struct {
		event  string
		change func(*system)
		back   time.Duration // when the first subscriber is well again
		within time.Duration // the answer arrives
		raw    string
	}{
		"late":       {"xpay_goods_deliver_notify", func(s *system) { s.takes = 6 * time.Second }, 0, 15 * time.Second, answer},
		"an error":   {"xpay_goods_deliver_notify", func(s *system) { s.status = http.StatusInternalServerError }, 2 * time.Second, 15 * time.Second, answer},
		"away":       {"minigame_game_goods_deliver", func(s *system) { s.away = true }, time.Hour, 2 * time.Hour, answer},
		"a page":     {"xpay_goods_deliver_notify", func(s *system) { s.says = func(got) string { return "<html>" } }, 0, 15 * time.Second, ""},
		"in the end": {"minigame_game_goods_deliver", func(s *system) { s.status = http.StatusInternalServerError }, 10 * time.Minute, 2 * time.Hour, answer},
	} {
		for _, mode := range []fanout.Mode{gateway.Plain, gateway.Safe} {
			t.Run(name+", "+string(mode), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := pushWeChat(t, nil)
					pay, crm := newSystem("pay", mode), newSystem("crm", gateway.Safe)
					pay.says = func(got) string { return answer }
					test.change(pay)
					log := new(logtest.Log)
					systems, store := company{pay, crm}, memory.New()
					gateways := [2]*gateway.Gateway{p.gateway(store, systems, log, nil), p.gateway(store, systems, log, nil)}
					time.Sleep(time.Second)
					if test.back > 0 {
						time.AfterFunc(test.back, func() { pay.change(func(s *system) { s.away, s.status = false, 0 }) })
					}
					turn := 0
					either := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						turn++
						gateways[turn%2].ServeHTTP(w, r)
					})
					m, begun := simulator.Notice(test.event, simulator.Field{Name: "OutTradeNo", Value: "1"}), time.Now()
					m.Created = begun
					push := simulator.Push{Handler: either, URL: "http://gateway.invalid/callback/" + appID, Message: m}
					result := p.deliver(push)
					if raw := replyOf(result); result.Verdict != simulator.Silent || raw != test.raw || time.Since(begun) > test.within {
						t.Errorf("after %s and %d deliveries: %s, %q\n%s", time.Since(begun), len(result.Deliveries), result, raw, log)
					}
					for _, d := range result.Deliveries[:len(result.Deliveries)-1] {
						if d.Status != http.StatusServiceUnavailable {
							t.Errorf("a delivery before is answered with %d %s", d.Status, d.Body)
						}
					}
					time.Sleep(time.Minute)
					for range 2 {
						result = p.deliver(push)
						if raw := replyOf(result); raw != test.raw || len(result.Deliveries) != 1 {
							t.Errorf("again: %s, %q", result, raw)
						}
					}
					want := 1
					if name == "a page" {
						want = 2 // it took the first, too, and answered nonsense
					}
					if n := pay.count(); n != want && name != "late" || crm.count() != 1 {
						t.Errorf("the first subscriber got it %d times, the other %d times", n, crm.count())
					}
					for _, g := range gateways {
						if err := g.Close(); err != nil {
							t.Error(err)
						}
					}
				})
			})
		}
	}
}

func replyOf(r simulator.Result) string {
	if r.Reply == nil {
		return ""
	}
	return strings.TrimSpace(r.Reply.Raw)
}
