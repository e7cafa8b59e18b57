package wecom_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

const corpID = "ww0123456789abcdef"

func app(agent int) wecom.App {
	return wecom.App{
		CorpID: corpID, AgentID: fmt.Sprint(agent), Secret: custody.NewSecret(fmt.Sprintf("madeUpSecret%031d", agent)),
	}
}

// server is a WeCom that a test plays: answers by path, and every call that came.
type server struct {
	mu     sync.Mutex
	calls  []*http.Request
	at     []time.Time
	answer func(r *http.Request) string
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.at = append(s.calls, r), append(s.at, time.Now())
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(s.answer(r))),
	}, nil
}

func (s *server) count(path string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.calls {
		if r.URL.Path == path {
			n++
		}
	}
	return n
}

func open(t *testing.T, s *server) *wecom.API {
	t.Helper()
	api, err := wecom.New(platform.Config{Transport: s})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func keep(t *testing.T, key custody.Key, kind custody.Kind, store custody.Store) *custody.Keeper {
	t.Helper()
	k, err := custody.New(custody.Config{Key: key, Kind: kind, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

const granted = `{"errcode":0,"errmsg":"ok","access_token":"token-%d","expires_in":7200,"warning_msg":"you are using TLS v1"}`

func hint(code int, errmsg, ip string) string {
	return fmt.Sprintf(`{"errcode":%d,"errmsg":"%s, hint: [1690282230612130918224239], from ip: %s, more info at https://open.work.weixin.qq.com/devtool/query?e=%[1]d"}`,
		code, errmsg, ip)
}

// TestAccessToken: one token for each secret of a corp, fetched from qyapi.weixin.qq.com
// with the corpid and that secret.
func TestAccessToken(t *testing.T) {
	t.Parallel()
	n := 0
	s := &server{answer: func(*http.Request) string { n++; return fmt.Sprintf(granted, n) }}
	api := open(t, s)
	store := memory.New()
	defer func() { _ = store.Close() }()
	contacts := wecom.App{CorpID: corpID, Secret: custody.NewSecret("madeUpSecretOfTheContacts")}
	other := wecom.App{CorpID: corpID, Secret: custody.NewSecret("madeUpSecretOfTheApproval")}
	names := map[string]bool{}
	for _, a := range []wecom.App{app(1000002), app(1000003), contacts, other} {
		token, err := keep(t, api.Key(a), api.AccessToken(a), store).Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := s.calls[n-1]
		if want := fmt.Sprintf("token-%d", n); token.Value() != want {
			t.Errorf("%s: the token is %q, want %q", a.ID(), token.Value(), want)
		}
		q := r.URL.Query()
		if r.Method != http.MethodGet || r.URL.Scheme+"://"+r.URL.Host+r.URL.Path != "https://qyapi.weixin.qq.com/cgi-bin/gettoken" ||
			q.Get("corpid") != corpID || q.Get("corpsecret") != a.Secret.Reveal() || len(q) != 2 {
			t.Errorf("%s: asked %s %s%s with %d parameters", a.ID(), r.Method, r.URL.Host, r.URL.Path, len(q))
		}
		names[api.Key(a).String()] = true
		if strings.Contains(api.Key(a).String(), a.Secret.Reveal()) {
			t.Errorf("the key of %s holds its secret", a.ID())
		}
	}
	if !names["access_token/ww0123456789abcdef:1000002"] || len(names) != 4 {
		t.Errorf("the keys are %v", names)
	}
	kind := api.AccessToken(app(1000002))
	if !kind.Idempotent || kind.Forceable {
		t.Error("gettoken answers the token that lives, and cannot be forced")
	}
}

// TestCheck: what cannot be an app is refused before anything is sent.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := &server{answer: func(*http.Request) string { return fmt.Sprintf(granted, 1) }}
	api := open(t, s)
	store := memory.New()
	defer func() { _ = store.Close() }()
	for name, a := range map[string]wecom.App{
		"no corpid":    {Secret: custody.NewSecret("x")},
		"odd corpid":   {CorpID: "ww:1", Secret: custody.NewSecret("x")},
		"odd agentid":  {CorpID: corpID, AgentID: "sales", Secret: custody.NewSecret("x")},
		"no secret":    {CorpID: corpID, AgentID: "1"},
		"slash within": {CorpID: "ww/1", AgentID: "1", Secret: custody.NewSecret("x")},
	} {
		if err := a.Check(); err == nil || !strings.HasPrefix(err.Error(), "wecom: ") {
			t.Errorf("%s: Check says %v", name, err)
		}
		if a.CorpID == "" || strings.Contains(a.CorpID, "/") {
			continue // no Keeper has such a key
		}
		var failure *custody.Error
		if _, err := keep(t, api.Key(a), api.AccessToken(a), store).Token(t.Context()); !errors.As(err, &failure) || failure.Class != custody.ClassFatal {
			t.Errorf("%s: Token says %v", name, err)
		}
	}
	if len(s.calls) != 0 {
		t.Errorf("%d calls were sent", len(s.calls))
	}
	if err := app(1).Check(); err != nil {
		t.Error(err)
	}

	const secret = "a-Secret_of-43-characters-as-WeCom-has-them"
	for name, a := range map[string]wecom.App{
		"in the place of the corpid":  {CorpID: secret, AgentID: "1", Secret: custody.NewSecret("x")},
		"in the place of the agentid": {CorpID: corpID, AgentID: secret, Secret: custody.NewSecret("x")},
	} {
		err := a.Check()
		_, token := keep(t, api.Key(a), api.AccessToken(a), store).Token(t.Context())
		_, ticket := wecom.ParseTicketType(secret)
		if text := fmt.Sprintf("%v %v %v %s %s", err, token, ticket, a.ID(), api.Key(a)); err == nil || token == nil || strings.Contains(text, secret) {
			t.Errorf("a Secret %s: %s", name, text)
		}
	}
	issue := platform.Issue{Secret: custody.NewSecret(secret), SecretName: "corpsecret"}
	if text := fmt.Sprintf("%+v %#v", issue, issue); strings.Contains(text, secret) {
		t.Errorf("an Issue shows its Secret: %s", text)
	}
}

// TestRefusals: of all errcodes, 40014 and 42001 refuse a token by its value; the call is
// repeated with the next one. The others reach the caller, and nothing is fetched.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const path = "/cgi-bin/message/send"
	refusing := map[int]bool{40014: true, 42001: true}
	for _, info := range errcode.AllOn(errcode.WeCom) {
		synctest.Test(t, func(t *testing.T) {
			n := 1
			s := &server{}
			s.answer = func(r *http.Request) string {
				old := r.URL.Query().Get("access_token") == "token-1"
				switch {
				case r.URL.Path == "/cgi-bin/gettoken":
					answer := fmt.Sprintf(granted, n)
					n++
					return answer
				case old && refusing[info.Code], old && r.URL.Path == path:
					return hint(info.Code, "made up", "203.0.113.7")
				}
				return `{"errcode":0,"errmsg":"ok"}`
			}
			api := open(t, s)
			store := memory.New()
			defer func() { _ = store.Close() }()
			client := api.Client(keep(t, api.Key(app(1)), api.AccessToken(app(1)), store), app(1))
			err := client.Post(t.Context(), path, map[string]any{"agentid": 1}, nil)
			if refusing[info.Code] {
				if err != nil || s.count(path) != 2 || s.count("/cgi-bin/gettoken") != 2 {
					t.Errorf("%d: %v after %d calls and %d fetches", info.Code, err, s.count(path), s.count("/cgi-bin/gettoken"))
				}
				return
			}
			var refusal *platform.Error
			if !errors.As(err, &refusal) || refusal.Code != info.Code || refusal.Host != errcode.WeCom || refusal.Info().Cause != info.Cause {
				t.Errorf("%d: %v", info.Code, err)
			}
			if s.count(path) != 1 || s.count("/cgi-bin/gettoken") != 1 || len(s.calls) != 2 {
				t.Errorf("%d: %d calls, want one fetch and one call", info.Code, len(s.calls))
			}
		})
	}
}

// TestErrors: WeCom's errors are read as WeCom writes them; 60020 names the address.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body, message, rid, ip string
		code                   int
	}{
		{hint(60020, "not allow to access from your ip", "203.0.113.7"), "not allow to access from your ip", "1690282230612130918224239", "203.0.113.7", 60020},
		{hint(60020, "not allow to access from your ip", ""), "not allow to access from your ip", "1690282230612130918224239", "", 60020},
		{
			`{"errcode":45009,"errmsg":"api freq out of limit, hint: [1635043469_160_1ea1b1d99cd2c82ebf782c0c06a61af4], from ip: 203.0.113.7, more info at https://open.work.weixin.qq.com/devtool/query?e=45009"}`,
			"api freq out of limit", "1635043469_160_1ea1b1d99cd2c82ebf782c0c06a61af4", "", 45009,
		},
		{`{"errcode":48002,"errmsg":"api forbidden"}`, "api forbidden", "", "", 48002},
	} {
		s := &server{answer: func(r *http.Request) string {
			if r.URL.Path == "/cgi-bin/gettoken" {
				return fmt.Sprintf(granted, 1)
			}
			return c.body
		}}
		api := open(t, s)
		store := memory.New()
		client := api.Client(keep(t, api.Key(app(1)), api.AccessToken(app(1)), store), app(1))
		err := client.Get(t.Context(), "/cgi-bin/user/get", nil, nil)
		var refusal *platform.Error
		if !errors.As(err, &refusal) {
			t.Fatal(err)
		}
		if refusal.Message != c.message || refusal.RID != c.rid || refusal.IP != c.ip || refusal.Code != c.code || refusal.AppID != corpID+":1" {
			t.Errorf("%s is read as %+v", c.body, refusal)
		}
		text := err.Error()
		for _, want := range []string{"WeCom refuses /cgi-bin/user/get for ww0123456789abcdef:1: errcode " + fmt.Sprint(c.code), c.ip, refusal.Info().Cause} {
			if !strings.Contains(text, want) {
				t.Errorf("%q does not say %q", text, want)
			}
		}
		if strings.Contains(text, "more info") || strings.Contains(text, "token-1") {
			t.Errorf("%q says too much", text)
		}
	}
}

// TestFaultySecret: a refused secret is left alone for more than an hour, so that a thousand
// apps with wrong secrets stay below the 2,000 faulty calls after which WeCom refuses all for
// an hour.
func TestFaultySecret(t *testing.T) {
	t.Parallel()
	for _, code := range []int{40001, 40013, 40091, 41002, 41004} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{answer: func(*http.Request) string { return hint(code, "made up", "203.0.113.7") }}
			api := open(t, s)
			store := memory.New()
			defer func() { _ = store.Close() }()
			k := keep(t, api.Key(app(1)), api.AccessToken(app(1)), store)
			for range 60 { // an hour in which somebody asks each minute
				var failure *custody.Error
				if _, err := k.Token(t.Context()); !errors.As(err, &failure) || failure.Class != custody.ClassBlocked || failure.Code != code {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
			if n := len(s.calls); n != 1 {
				t.Errorf("%d: %d faulty calls in an hour, want 1", code, n)
			}
		})
	}
}

// TestFaultySecrets: of a corp's secrets that are all wrong, two processes on one store make one
// call each in any hour, also when a process is restarted: as many as there are wrong secrets, of
// the 2,000 after which WeCom refuses all for an hour.
func TestFaultySecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const agents = 200
		s := &server{answer: func(*http.Request) string { return hint(40001, "invalid credential", "203.0.113.7") }}
		store := memory.New()
		defer func() { _ = store.Close() }()
		process := func() (stop func()) {
			api, scheduler := open(t, s), custody.NewScheduler(custody.SchedulerConfig{})
			var keepers []*custody.Keeper
			for i := range agents {
				a := app(1000000 + i)
				k, err := custody.New(custody.Config{
					Key: api.Key(a), Kind: api.AccessToken(a), Store: store, Secret: a.Secret, Scheduler: scheduler,
				})
				if err != nil {
					t.Fatal(err)
				}
				keepers = append(keepers, k)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var callers sync.WaitGroup
			for _, k := range keepers {
				callers.Go(func() {
					for ctx.Err() == nil { // a program that asks again whatever it was told
						if _, err := k.Token(ctx); err == nil {
							t.Error("a wrong secret brought a token")
						}
						select {
						case <-ctx.Done():
						case <-time.After(15 * time.Minute):
						}
					}
				})
			}
			return func() {
				cancel()
				callers.Wait()
				for _, k := range keepers {
					_ = k.Close()
				}
				scheduler.Close()
			}
		}
		first, second := process(), process()
		time.Sleep(20 * time.Minute)
		first()
		first = process()
		time.Sleep(2 * time.Hour)
		first()
		second()
		if n := len(s.at); n < 2*agents {
			t.Errorf("%d calls in 2 h 20 min: a secret that was corrected at WeCom would not be found", n)
		}
		for i := agents; i < len(s.at); i++ {
			if gap := s.at[i].Sub(s.at[i-agents]); gap < time.Hour {
				t.Fatalf("%d calls within %s", agents+1, gap)
			}
		}
	})
}

// TestThousandAgents: a thousand apps that all need a token make at most 50 calls of
// gettoken in any second of the first minute, with a store and without one, and all are
// served.
func TestThousandAgents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const agents = 1000
		n := 0
		s := &server{answer: func(*http.Request) string { n++; return fmt.Sprintf(granted, n) }}
		api := open(t, s)
		store := memory.New()
		defer func() { _ = store.Close() }()
		scheduler := custody.NewScheduler(custody.SchedulerConfig{})
		defer scheduler.Close()
		start := time.Now()
		var all sync.WaitGroup
		for i := range agents {
			a := app(1000000 + i)
			k, err := custody.New(custody.Config{Key: api.Key(a), Kind: api.AccessToken(a), Store: store, Scheduler: scheduler})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = k.Close() }()
			all.Go(func() {
				if _, err := k.Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %s", took)
		}
		atMost(t, s, 50)
		if len(s.calls) != agents {
			t.Errorf("%d calls for %d agents", len(s.calls), agents)
		}
	})
}

// atMost checks how many calls came in any second.
func atMost(t *testing.T, s *server, most int) {
	t.Helper()
	for i, at := range s.at {
		n := 0
		for _, other := range s.at[i:] {
			if other.Sub(at) < time.Second {
				n++
			}
		}
		if n > most {
			t.Fatalf("%d calls within a second, want at most %d", n, most)
		}
	}
}

// TestThousandAgentsWithoutStore: nor when they all stop waiting for a store that is away.
func TestThousandAgentsWithoutStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := &server{answer: func(*http.Request) string { n++; return fmt.Sprintf(granted, n) }}
		api := open(t, s)
		scheduler := custody.NewScheduler(custody.SchedulerConfig{})
		defer scheduler.Close()
		var all sync.WaitGroup
		for i := range 1000 {
			a := app(1000000 + i)
			k, err := custody.New(custody.Config{Key: api.Key(a), Kind: api.AccessToken(a), Store: away{memory.New()}, Scheduler: scheduler})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = k.Close() }()
			all.Go(func() {
				for _, err := k.Token(t.Context()); err != nil; _, err = k.Token(t.Context()) {
					time.Sleep(time.Second)
				}
			})
		}
		all.Wait()
		atMost(t, s, 50)
	})
}

// away is a store that does not answer.
type away struct{ *memory.Store }

var errAway = errors.New("connection refused")

func (away) Load(context.Context, custody.Key) (custody.Record, error) {
	return custody.Record{}, errAway
}

func (away) LoadMany(context.Context, []custody.Key) (map[custody.Key]custody.Record, error) {
	return nil, errAway
}

func (away) Acquire(context.Context, custody.Key, string, time.Duration) (custody.Lease, error) {
	return custody.Lease{}, errAway
}

// TestTickets: all apps of a corp share its ticket, each has an agent ticket of its own, and
// a window of an hour sees at most 50 fetches of each.
func TestTickets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := &server{}
		s.answer = func(r *http.Request) string {
			n++
			if r.URL.Path == "/cgi-bin/gettoken" {
				return fmt.Sprintf(granted, n)
			}
			return fmt.Sprintf(`{"errcode":0,"errmsg":"ok","ticket":"ticket-%d","expires_in":7200}`, n)
		}
		api := open(t, s)
		store := memory.New()
		defer func() { _ = store.Close() }()
		got := map[string]int{}
		var agent *custody.Keeper
		for _, a := range []wecom.App{app(1), app(2)} {
			tokens := keep(t, api.Key(a), api.AccessToken(a), store)
			for _, kind := range []wecom.TicketType{wecom.CorpTicket, wecom.AgentTicket} {
				k := keep(t, api.TicketKey(a, kind), api.Ticket(tokens, a, kind), store)
				ticket, err := k.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got[ticket.Value()]++
				agent = k
			}
		}
		if len(got) != 3 || s.count("/cgi-bin/get_jsapi_ticket") != 1 || s.count("/cgi-bin/ticket/get") != 2 {
			t.Errorf("the tickets are %v", got)
		}
		for _, r := range s.calls {
			if r.URL.Path == "/cgi-bin/ticket/get" && r.URL.Query().Get("type") != "agent_config" {
				t.Errorf("an agent ticket was asked for with %q", r.URL.Query().Get("type"))
			}
		}
		var none error
		for end := time.Now().Add(59 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Second) {
			ticket, err := agent.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := agent.Reject(t.Context(), ticket.Value()); err != nil {
				none = err
			}
		}
		if most := s.count("/cgi-bin/ticket/get"); most != 51 || !errors.Is(none, custody.ErrRateLimit) {
			t.Errorf("%d fetches of two agents' tickets in an hour, then %v; want 50 of one and 1 of the other", most, none)
		}
	})
}

// TestTicketsOfCorp: ten apps whose pages refuse each ticket, in two processes, fetch no
// more in any hour than WeCom allows the corp (400) and an app (100), and the corp's own
// ticket is still renewed. Without the store nobody fetches one.
func TestTicketsOfCorp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := &server{}
		s.answer = func(r *http.Request) string {
			n++
			if r.URL.Path == "/cgi-bin/gettoken" {
				return fmt.Sprintf(granted, n)
			}
			return fmt.Sprintf(`{"errcode":0,"errmsg":"ok","ticket":"ticket-%d","expires_in":7200}`, n)
		}
		store := memory.New()
		defer func() { _ = store.Close() }()
		var tickets []*custody.Keeper
		open1, open2 := open(t, s), open(t, s)
		for _, api := range []*wecom.API{open1, open2} {
			for i := range 10 {
				a := app(1000000 + i)
				tokens := keep(t, api.Key(a), api.AccessToken(a), store)
				tickets = append(tickets, keep(t, api.TicketKey(a, wecom.AgentTicket), api.Ticket(tokens, a, wecom.AgentTicket), store))
			}
		}
		a := app(1000000)
		corp := keep(t, open1.TicketKey(a, wecom.CorpTicket), open1.Ticket(keep(t, open1.Key(a), open1.AccessToken(a), store), a, wecom.CorpTicket), store)
		limited := false
		for end := time.Now().Add(2 * time.Hour); time.Now().Before(end); time.Sleep(time.Minute) {
			for _, k := range tickets {
				ticket, err := k.Token(t.Context())
				if err == nil {
					_, err = k.Reject(t.Context(), ticket.Value())
				}
				limited = limited || errors.Is(err, custody.ErrRateLimit)
			}
			if _, err := corp.Token(t.Context()); err != nil {
				t.Fatalf("the corp's own ticket: %v", err)
			}
		}
		if most := s.mostInAnHour("/cgi-bin/ticket/get"); most > 300 || most < 200 || !limited {
			t.Errorf("%d agent tickets were fetched in an hour, want up to 300; somebody was limited: %t", most, limited)
		}

		before := s.count("/cgi-bin/ticket/get")
		lone := app(2000000)
		without := away{memory.New()}
		k := keep(t, open1.TicketKey(lone, wecom.AgentTicket), open1.Ticket(keep(t, open1.Key(lone), open1.AccessToken(lone), without), lone, wecom.AgentTicket), without)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		for ctx.Err() == nil {
			if _, err := k.Token(ctx); err == nil {
				t.Fatal("a ticket was fetched that nobody counts")
			}
			time.Sleep(time.Second)
		}
		if n := s.count("/cgi-bin/ticket/get"); n != before {
			t.Errorf("%d tickets were fetched without the store", n-before)
		}
	})
}

// mostInAnHour returns how many calls of a path came within an hour, at most.
func (s *server) mostInAnHour(path string) (most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, at := range s.at {
		n := 0
		for j, other := range s.at[i:] {
			if s.calls[i+j].URL.Path == path && other.Sub(at) < time.Hour {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// TestTicketWithoutAgent: a secret that belongs to no app has no agent ticket.
func TestTicketWithoutAgent(t *testing.T) {
	t.Parallel()
	s := &server{answer: func(*http.Request) string { return fmt.Sprintf(granted, 1) }}
	api := open(t, s)
	contacts := wecom.App{CorpID: corpID, Secret: custody.NewSecret("madeUpSecretOfTheContacts")}
	store := memory.New()
	tokens := keep(t, api.Key(contacts), api.AccessToken(contacts), store)
	k := keep(t, api.TicketKey(contacts, wecom.AgentTicket), api.Ticket(tokens, contacts, wecom.AgentTicket), store)
	if _, err := k.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "no AgentID") {
		t.Errorf("Token says %v", err)
	}
}

// TestForeignHosts: a token of WeCom's goes to qyapi alone, and not to WeChat's other host.
func TestForeignHosts(t *testing.T) {
	t.Parallel()
	s := &server{answer: func(*http.Request) string { return fmt.Sprintf(granted, 1) }}
	api := open(t, s)
	store := memory.New()
	transport := &platform.Transport{Base: s, Tokens: keep(t, api.Key(app(1)), api.AccessToken(app(1)), store), API: api.Platform()}
	for url, want := range map[string]bool{
		"https://qyapi.weixin.qq.com/cgi-bin/user/get": true,
		"http://qyapi.weixin.qq.com/cgi-bin/user/get":  false,
		"https://api.weixin.qq.com/cgi-bin/user/get":   false,
		"https://qyapi.weixin.qq.com.example/x":        false,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != want || err != nil && !errors.Is(err, platform.ErrForeignHost) {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, base := range []string{"http://qyapi.weixin.qq.com", "not a url"} {
		if _, err := wecom.New(platform.Config{Base: base}); err == nil {
			t.Errorf("New takes %q", base)
		}
	}
}

// TestLogin: the addresses as WeCom documents them, and what a code brings.
func TestLogin(t *testing.T) {
	t.Parallel()
	if got := wecom.AuthorizeURL("https://open.weixin.qq.com", app(7), "https://shop.example/a?b=c", "snsapi_base", "s"); got !=
		"https://open.weixin.qq.com/connect/oauth2/authorize?appid=ww0123456789abcdef&redirect_uri=https%3A%2F%2Fshop.example%2Fa%3Fb%3Dc"+
			"&response_type=code&scope=snsapi_base&state=s&agentid=7#wechat_redirect" {
		t.Error(got)
	}
	if got := wecom.LoginURL("https://login.work.weixin.qq.com", app(7), "https://shop.example/a", "s"); got !=
		"https://login.work.weixin.qq.com/wwlogin/sso/login?login_type=CorpApp&appid=ww0123456789abcdef&agentid=7&redirect_uri=https%3A%2F%2Fshop.example%2Fa&state=s" {
		t.Error(got)
	}
	answer := ""
	s := &server{answer: func(r *http.Request) string {
		if r.URL.Path == "/cgi-bin/gettoken" {
			return fmt.Sprintf(granted, 1)
		}
		return answer
	}}
	api := open(t, s)
	store := memory.New()
	client := api.Client(keep(t, api.Key(app(7)), api.AccessToken(app(7)), store), app(7))
	for body, want := range map[string]wecom.Visitor{
		`{"errcode":0,"errmsg":"ok","userid":"zhangsan","user_ticket":"T"}`:           {UserID: "zhangsan", Ticket: custody.NewSecret("T")},
		`{"errcode":0,"errmsg":"ok","UserId":"zhangsan","DeviceId":"d"}`:              {UserID: "zhangsan"},
		`{"errcode":0,"errmsg":"ok","openid":"o1","external_userid":"wm1"}`:           {OpenID: "o1", ExternalUserID: "wm1"},
		`{"errcode":0,"errmsg":"ok"}`:                                                 {},
		hint(40029, "invalid code", "203.0.113.7"):                                    {},
		`{"errcode":0,"errmsg":"ok","userid":17}`:                                     {},
		`{"errcode":0,"errmsg":"ok","userid":"a","openid":"","external_userid":null}`: {UserID: "a"},
	} {
		answer = body
		got, err := wecom.ExchangeCode(t.Context(), client, "madeUpCode")
		if failed := want.UserID == "" && want.OpenID == ""; (err != nil) != failed || got.UserID != want.UserID || got.OpenID != want.OpenID ||
			got.ExternalUserID != want.ExternalUserID || !got.Ticket.Equal(want.Ticket) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "madeUpCode") {
			t.Errorf("the error holds the code: %v", err)
		}
		if platform.AnotherCodeHelps(err) != strings.Contains(body, "40029") {
			t.Errorf("%s: AnotherCodeHelps is wrong about %v", body, err)
		}
	}
	if _, err := wecom.ExchangeCode(t.Context(), client, ""); err == nil {
		t.Error("an empty code is exchanged")
	}
}
