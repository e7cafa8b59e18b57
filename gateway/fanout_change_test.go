package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// TestFanoutAttacks: forged pushes reach nobody, are said, and nothing secret is.
func TestFanoutAttacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot := newSystem("bot", gateway.Safe)
		log := new(logtest.Log)
		g := p.gateway(memory.New(), company{bot}, log, nil)
		defer func() { _ = g.Close() }()
		url := "http://gateway.invalid/callback/" + appID
		for attack, reason := range map[simulator.Attack]string{
			simulator.WrongSignature: "signature", simulator.Stale: "stale", simulator.Tampered: "msg_signature",
			simulator.ForeignAppID: "appid", simulator.PlainText: "plain_text",
		} {
			result := p.deliver(simulator.Push{Handler: g, URL: url, Message: simulator.Text("forged"), Attack: attack})
			if result.Verdict != simulator.Refused || result.Deliveries[0].Status != http.StatusForbidden || result.Deliveries[0].Body != "wrong" {
				t.Errorf("%s: %s", attack, result)
			}
			if !strings.Contains(log.String(), "reason="+reason) {
				t.Errorf("%s: the log does not say %q:\n%s", attack, reason, log)
			}
		}
		for _, row := range []struct {
			method, target string
			status         int
		}{
			{http.MethodPost, "/callback/" + otherApp, http.StatusNotFound},
			{http.MethodGet, "/callback/", http.StatusOK}, // no path that WeChat has: 40066
			{http.MethodGet, "/callback/" + appID, http.StatusForbidden},
			{http.MethodGet, "/callback/" + appID + "?signature=x&timestamp=1&nonce=2&echostr=3", http.StatusForbidden},
			{http.MethodPost, "/callback/" + appID + "?signature=" + pushToken, http.StatusForbidden},
			{http.MethodDelete, "/callback/" + appID, http.StatusMethodNotAllowed},
		} {
			answer := httptest.NewRecorder()
			g.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), row.method, row.target, strings.NewReader("<xml></xml>")))
			if answer.Code != row.status {
				t.Errorf("%s %s: %d %s, want %d", row.method, row.target, answer.Code, answer.Body, row.status)
			}
		}
		synctest.Wait()
		if bot.asked != 0 {
			t.Errorf("%d forged pushes reached a system", bot.asked)
		}
		verified, err := p.wx.Verify(t.Context(), simulator.Push{Handler: g, URL: url})
		if err != nil || verified.Verdict != simulator.Verified {
			t.Error(verified, err)
		}
		refused, err := p.wx.Verify(t.Context(), simulator.Push{Handler: g, URL: url, Attack: simulator.WrongSignature})
		if err != nil || refused.Verdict != simulator.Refused {
			t.Error(refused, err)
		}
		for _, secret := range []string{pushToken, pushAESKey, bot.Token.Reveal(), bot.AESKey.Reveal(), "forged"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log shows %s", secret)
			}
		}
	})
}

// TestFanoutPlainBody: of two bodies under one plain signature the first counts, at
// whichever gateway it came.
func TestFanoutPlainBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, func(a *simulator.Account) { a.AESKey = "" })
		bot := newSystem("bot", gateway.Plain)
		store := memory.New()
		plain := func(c *gateway.Config) { c.Accounts[0].Callback.AESKey = custody.Secret{} }
		one := p.gateway(store, company{bot}, new(logtest.Log), plain)
		defer func() { _ = one.Close() }()
		two := p.gateway(store, company{bot}, new(logtest.Log), plain)
		defer func() { _ = two.Close() }()
		now := time.Now()
		push := func(g *gateway.Gateway, content string) simulator.Result {
			m := simulator.Text(content).By(followers[0])
			m.ID, m.Created = 23892468385179204, now
			return p.deliver(simulator.Push{
				Handler: g, URL: "http://x.invalid/callback/" + appID, Message: m, SameNonce: true, Nonce: "1234567", Timestamp: fmt.Sprint(now.Unix()),
			})
		}
		for _, row := range []struct {
			g       *gateway.Gateway
			content string
			status  int
		}{{one, "genuine", 200}, {two, "forged", 403}, {one, "forged", 403}, {two, "genuine", 200}} {
			if got := push(row.g, row.content).Deliveries[0].Status; got != row.status {
				t.Errorf("%s: %d, want %d", row.content, got, row.status)
			}
		}
		if got := bot.pushes(); len(got) != 1 || got[0] != followers[0]+":genuine" {
			t.Errorf("it got %q", got)
		}
	})
}

// forgetful is a store whose queue is away.
type forgetful struct {
	*memory.Store

	away atomic.Bool
}

func (s *forgetful) err() error {
	if s.away.Load() {
		return errors.New("made up: no answer")
	}
	return nil
}

func (s *forgetful) Claim(ctx context.Context, account, key, owner string, lease, keep time.Duration) (int, int, time.Duration, error) { //nolint:revive // the contract of messages
	if err := s.err(); err != nil {
		return 0, 0, 0, err
	}
	return s.Store.Claim(ctx, account, key, owner, lease, keep)
}

func (s *forgetful) Push(ctx context.Context, d []store.Delivery) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Push(ctx, d)
}

func (s *forgetful) Lend(ctx context.Context, line, owner string, lease time.Duration, most int) ([]store.Delivery, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Lend(ctx, line, owner, lease, most)
}

func (s *forgetful) Lines(ctx context.Context) ([]store.Line, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Lines(ctx)
}

// TestFanoutStoreAway: while nothing can be kept, a push is taken when all systems take
// it at once; when one does not, WeChat is told to ask again, and what waits for one is
// not overtaken.
func TestFanoutStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot, crm := newSystem("bot", gateway.Safe), newSystem("crm", gateway.Safe)
		bot.says = echo
		store := &forgetful{Store: memory.New()}
		log := new(logtest.Log)
		g := p.gateway(store, company{bot, crm}, log, nil)
		defer func() { _ = g.Close() }()

		store.away.Store(true)
		p.replied(g, simulator.Text("1").By(followers[0]), "you wrote 1")
		if bot.count() != 1 || crm.count() != 1 {
			t.Errorf("they got %d and %d", bot.count(), crm.count())
		}
		crm.change(func(s *system) { s.away = true })
		result := p.push(g, simulator.Text("2").By(followers[0]))
		if result.Verdict != simulator.Failed || len(result.Deliveries) != 3 || result.Deliveries[2].Status != http.StatusServiceUnavailable {
			t.Errorf("%s (%d deliveries)", result, len(result.Deliveries))
		}
		if n := strings.Count(log.String(), "the store does not answer"); n != 1 {
			t.Errorf("it is said %d times", n)
		}
		if _, err := g.Queues(t.Context()); err == nil {
			t.Error("Queues: no error")
		}

		// WeChat repeats, and the store is back.
		store.away.Store(false)
		p.push(g, simulator.Text("2").By(followers[0]))
		time.Sleep(5 * time.Second)
		store.away.Store(true)
		if result := p.push(g, simulator.Text("3").By(followers[0])); result.Verdict != simulator.Failed {
			t.Errorf("what waits is overtaken: %s", result)
		}
		crm.change(func(s *system) { s.away = false })
		store.away.Store(false)
		time.Sleep(2 * time.Minute)
		p.replied(g, simulator.Text("4").By(followers[0]), "you wrote 4")
		synctest.Wait()
		if got, want := crm.pushes(), []string{followers[0] + ":1", followers[0] + ":2", followers[0] + ":4"}; !slices.Equal(got, want) {
			t.Errorf("the CRM got %q, want %q", got, want)
		}
		if !strings.Contains(log.String(), "the store keeps pushes again") {
			t.Error("nobody is told that it is back")
		}
	})
}

// TestFanoutChanges: Replace and the admin API change subscribers without touching the
// token. What waits for one that was taken away waits on, and is delivered if it comes
// back.
func TestFanoutChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot, crm, next := newSystem("bot", gateway.Safe), newSystem("crm", gateway.Safe), newSystem("next", gateway.Plain)
		bot.says, crm.away = echo, true
		log, store := new(logtest.Log), memory.New()
		all := company{bot, crm, next}
		g := p.gateway(store, all, log, nil)
		defer func() { _ = g.Close() }()
		time.Sleep(time.Second)
		issued := p.wx.Stats(appID).Classic.Issued
		replace := func(systems ...*system) {
			t.Helper()
			account := gateway.Account{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: "classic", Callback: company(systems).callback()}
			if err := g.Replace([]gateway.Account{account}); err != nil {
				t.Fatal(err)
			}
		}
		p.replied(g, simulator.Text("1").By(followers[0]), "you wrote 1")
		replace(bot, next)
		p.replied(g, simulator.Text("2").By(followers[0]), "you wrote 2")
		time.Sleep(10 * time.Second)
		queues, err := g.Queues(t.Context())
		if err != nil || len(queues) != 3 || queues[1].Subscriber != "crm" || queues[1].AppID != appID || queues[1].Configured || queues[1].Waiting != 1 || !queues[0].Configured {
			t.Errorf("%+v, %v", queues, err)
		}
		if n := strings.Count(log.String(), "a subscriber that is not configured"); n != 1 {
			t.Errorf("it is said %d times", n)
		}
		crm.change(func(s *system) { s.away = false })
		time.Sleep(time.Minute)
		if crm.count() != 0 {
			t.Error("a system that was taken away got a push")
		}
		replace(bot, crm, next)
		time.Sleep(5 * time.Second)
		if got := crm.pushes(); !slices.Equal(got, []string{followers[0] + ":1"}) {
			t.Errorf("when it came back it got %q", got)
		}

		// A wrong key, corrected: what waits is delivered at once.
		wrong := &system{Subscriber: crm.Subscriber}
		wrong.Token = custody.NewSecret("anotherToken")
		replace(bot, wrong, next)
		p.replied(g, simulator.Text("3").By(followers[0]), "you wrote 3")
		time.Sleep(10 * time.Minute)
		if crm.count() != 1 || !strings.Contains(log.String(), "it answered 403: see that it has the token and aes_key") {
			t.Errorf("with another Token it got %q", crm.pushes())
		}
		replace(bot, crm, next)
		time.Sleep(61 * time.Second)
		if got := crm.pushes(); len(got) != 2 {
			t.Errorf("with the right Token it has got %q", got)
		}
		if n := p.wx.Stats(appID).Classic.Issued; n != issued {
			t.Errorf("%d tokens were fetched for it", n-issued)
		}

		// Nothing of a list with a mistake is taken.
		twice := company{bot, bot}.callback()
		if err := g.Replace([]gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), Callback: twice}}); err == nil || !strings.Contains(err.Error(), "appears twice") {
			t.Error(err)
		}
		p.replied(g, simulator.Text("4").By(followers[0]), "you wrote 4")

		// The admin API's accounts bring theirs.
		if err := g.Replace(nil); err != nil {
			t.Fatal(err)
		}
		if result := p.push(g, simulator.Text("5").By(followers[0])); result.Verdict != simulator.Failed {
			t.Errorf("an account that was taken away: %s", result)
		}
		admin := g.Admin(custody.NewSecret(adminKey), nil)
		body := fmt.Sprintf(`{"accounts":[{"appid":%q,"secret":%q,"token_api":"classic","callback":{"token":%q,"aes_key":%q,"subscribers":[
			{"name":"bot","url":%q,"token":%q,"aes_key":%q,"when":{"type":["text"],"key":"","follower":[%q]}}]}}]}`,
			appID, appSecret, pushToken, pushAESKey, bot.URL, bot.Token.Reveal(), bot.AESKey.Reveal(), followers[0])
		if got := call(admin, http.MethodPut, "/accounts", body, adminKey); got.Code != http.StatusOK {
			t.Fatal(got.Body)
		}
		p.replied(g, simulator.Text("6").By(followers[0]), "you wrote 6")
		p.silent(g, simulator.Text("7").By(followers[1]))
		for _, row := range [][2]string{
			{strings.Replace(body, `"token":"`+pushToken+`"`, `"token":{"env":"HOME"}`, 1), "the keys of its callback"},
			{strings.Replace(body, `"name":"bot"`, `"name":""`, 1), "line 2: callback of " + appID + ": the subscriber has no name"},
		} {
			if got := call(admin, http.MethodPut, "/accounts", row[0], adminKey); got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), row[1]) {
				t.Errorf("%d %s, want %q", got.Code, got.Body, row[1])
			}
		}
		p.replied(g, simulator.Text("8").By(followers[0]), "you wrote 8")
		docs, err := store.Documents(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range docs {
			if text := string(doc.Body); strings.Contains(text, pushToken) || strings.Contains(text, bot.AESKey.Reveal()) {
				t.Errorf("the store shows a key: %s", doc.Kind)
			}
		}
	})
}

// aged is a store in whose queue everything is older than it is, so that a test need not
// let days pass.
type aged struct {
	*memory.Store

	by   time.Duration
	most atomic.Int64 // of the last Trim
}

func (s *aged) Lines(ctx context.Context) ([]store.Line, error) {
	lines, err := s.Store.Lines(ctx)
	for i := range lines {
		lines[i].Oldest += s.by
	}
	return lines, err
}

func (s *aged) Trim(ctx context.Context, line string, keep time.Duration, most int) (int, error) {
	s.most.Store(int64(most))
	return s.Store.Trim(ctx, line, keep-s.by, most)
}

// TestFanoutKeepsThreeDays: what is older is dropped, and that is said.
func TestFanoutKeepsThreeDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot := newSystem("bot", gateway.Safe)
		bot.away = true
		log, store := new(logtest.Log), &aged{Store: memory.New(), by: 71 * time.Hour}
		g := p.gateway(store, company{bot}, log, nil)
		defer func() { _ = g.Close() }()
		p.silent(g, simulator.Text("1").By(followers[0]))
		time.Sleep(30 * time.Minute)
		p.silent(g, simulator.Text("2").By(followers[0]))
		time.Sleep(29 * time.Minute)
		if queues, err := g.Queues(t.Context()); err != nil || len(queues) != 1 || queues[0].Waiting != 2 || queues[0].Dropped != 0 {
			t.Errorf("%+v, %v", queues, err)
		}
		time.Sleep(2 * time.Minute)
		if queues, err := g.Queues(t.Context()); err != nil || len(queues) != 1 || queues[0].Waiting != 1 || queues[0].Dropped != 1 {
			t.Errorf("%+v, %v", queues, err)
		}
		if n := strings.Count(log.String(), "pushes were dropped"); n != 1 || store.most.Load() != 100_000 {
			t.Errorf("it is said %d times; at most %d may wait", n, store.most.Load())
		}
		bot.change(func(s *system) { s.away = false })
		time.Sleep(time.Minute + time.Second)
		if got := bot.pushes(); !slices.Equal(got, []string{followers[0] + ":2"}) {
			t.Errorf("it got %q", got)
		}
	})
}

// TestFanoutSealed: what waits stands in the store sealed, with nothing of the follower.
func TestFanoutSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot := newSystem("bot", gateway.Safe)
		bot.away = true
		store := memory.New()
		g := p.gateway(store, company{bot}, new(logtest.Log), nil)
		p.silent(g, simulator.Text("confidential").By(followers[0]))
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		lent, err := store.Lend(t.Context(), appID+"/bot", "test", time.Minute, 10)
		if err != nil || len(lent) != 1 {
			t.Fatal(lent, err)
		}
		if text := fmt.Sprint(lent[0].Lane, lent[0].ID, string(lent[0].Body)); strings.Contains(text, "confidential") || strings.Contains(text, followers[0]) {
			t.Error(text)
		}
		if err := store.Later(t.Context(), appID+"/bot", lent[0].ID, "test", 0); err != nil {
			t.Fatal(err)
		}

		// A gateway with other seal keys cannot read it, leaves it there and says so.
		bot.change(func(s *system) { s.away = false })
		log := new(logtest.Log)
		other := p.gateway(store, company{bot}, log, func(c *gateway.Config) {
			c.SealKeys = []custody.Secret{custody.NewSecret(strings.Repeat("o", 32))}
		})
		time.Sleep(10 * time.Second)
		if bot.count() != 0 || !strings.Contains(log.String(), "cannot be read by this gateway") {
			t.Error(log)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		g = p.gateway(store, company{bot}, new(logtest.Log), nil)
		defer func() { _ = g.Close() }()
		time.Sleep(2 * time.Minute)
		if got := bot.pushes(); !slices.Equal(got, []string{followers[0] + ":confidential"}) {
			t.Errorf("it got %q", got)
		}
	})
}

// TestFanoutClose: what is under way is given time, then broken off and given back.
func TestFanoutClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pushWeChat(t, nil)
		bot, crm, slow := newSystem("bot", gateway.Safe), newSystem("crm", gateway.Safe), newSystem("slow", gateway.Safe)
		crm.takes, slow.takes = 2*time.Second, 8*time.Second
		store := memory.New()
		g := p.gateway(store, company{bot, crm, slow}, new(logtest.Log), nil)
		p.silent(g, simulator.Text("1").By(followers[0]))
		synctest.Wait() // both are being asked
		began := time.Now()
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 2*time.Second || took > 4*time.Second {
			t.Errorf("Close took %s", took)
		}
		if crm.count() != 1 || slow.count() != 0 {
			t.Errorf("they got %d and %d", crm.count(), slow.count())
		}
		lines, err := store.Lines(t.Context())
		if err != nil || len(lines) != 1 || lines[0].Name != appID+"/slow" || lines[0].Free != 0 {
			t.Errorf("%+v, %v", lines, err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}
