package wechat_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func simulatorOptions() simulator.Options { return simulator.Options{Accounts: account()} }

// tokenAPIs are the ways to a token, with the counts that the simulator keeps.
var tokenAPIs = map[platform.TokenAPI]func(*simtest.Sim) simulator.PoolStats{
	platform.Stable:  func(wx *simtest.Sim) simulator.PoolStats { return wx.Stats(testAppID).Stable },
	platform.Classic: func(wx *simtest.Sim) simulator.PoolStats { return wx.Stats(testAppID).Classic },
}

// menuOf returns a menu of one button.
func menuOf(name string) map[string]any {
	return map[string]any{"button": []any{map[string]string{"type": "click", "name": name, "key": "V1"}}}
}

func TestCalls(t *testing.T) {
	cfg, wx := inMemory(t, config(), simulatorOptions())
	client := newClient(t, cfg)
	var answer struct {
		IPs []string `json:"ip_list"`
	}
	if err := client.Get(t.Context(), domainIP, nil, &answer); err != nil || len(answer.IPs) == 0 {
		t.Errorf("Get: %v, %v", answer, err)
	}
	if err := client.Post(t.Context(), "/cgi-bin/menu/create", menuOf("菜单 <&>"), nil); err != nil {
		t.Errorf("Post: %v", err)
	}
	if events := wx.Events(); !strings.Contains(events[len(events)-1].Request, "菜单 <&>") {
		t.Errorf("Post sent %q", events[len(events)-1].Request)
	}
	if body, err := fetch(client.HTTPClient(), "https://api.weixin.qq.com"+domainIP); err != nil || !strings.Contains(body, "ip_list") {
		t.Errorf("HTTPClient: %s, %v", body, err)
	}
	if body, err := fetch(client.HTTPClient(), "https://example.org/"); !errors.Is(err, platform.ErrForeignHost) {
		t.Errorf("HTTPClient, another host: %s, %v", body, err)
	}

	token := mustToken(t, client)
	wx.Kill(testAppID)
	next, err := client.Reject(t.Context(), token)
	if err != nil || next.Value() == token || next.Value() != mustToken(t, client) || !wx.Accepts(next.Value()) {
		t.Errorf("Reject: %v, %v", next, err)
	}
	if s := client.Status(); !s.Live || s.Key.AppID != testAppID || s.Fence != next.Fence() || s.Origin != custody.OriginFetched || s.Failure != nil {
		t.Errorf("Status: %+v", s)
	}
}

// TestFiles: a picture goes up and comes down again, also when the token dies in between,
// and what other libraries stream gets its length.
func TestFiles(t *testing.T) {
	cfg, wx := inMemory(t, config(), simulatorOptions())
	client := newClient(t, cfg)
	picture := "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 2<<20)
	answer, err := client.Upload(t.Context(), "/cgi-bin/media/upload?type=image", "media", "猫.png", io.MultiReader(strings.NewReader(picture)))
	var media struct {
		ID string `json:"media_id"`
	}
	if err != nil || json.Unmarshal(answer, &media) != nil || media.ID == "" {
		t.Fatalf("Upload: %s, %v", answer, err)
	}
	wx.Kill(testAppID)
	file, header, err := client.Download(t.Context(), "/cgi-bin/media/get", url.Values{"media_id": {media.ID}})
	if err != nil {
		t.Fatalf("Download: %v", err)
	}
	content, err := io.ReadAll(file)
	if err != nil || string(content) != picture || file.Close() != nil || header.Get("Content-Type") != "image/png" {
		t.Errorf("Download: %d bytes, %v, %v", len(content), err, header)
	}
	_, _, err = client.Download(t.Context(), "/cgi-bin/media/get?media_id=none", nil)
	var refused *platform.Error
	if !errors.As(err, &refused) || refused.Code != 40007 {
		t.Errorf("a file that is not there: %v, want errcode 40007", err)
	}
	resp, err := client.HTTPClient().Post(client.Base()+"/cgi-bin/menu/create", "application/json", io.MultiReader(strings.NewReader(`{"button":[{"type":"click","name":"a","key":"A"}]}`)))
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(resp.Body); resp.Body.Close() != nil || !strings.Contains(string(text), `"errcode":0`) {
		t.Errorf("a stream by HTTPClient: %s", text)
	}
	if err := client.Get(wechat.WithTimeLimit(t.Context(), time.Nanosecond), domainIP, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call with a limit of a nanosecond: %v", err)
	}
	cfg.CallTimeout = time.Nanosecond
	if err := newClient(t, cfg).Get(t.Context(), domainIP, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("CallTimeout of a nanosecond: %v", err)
	}
}

// fetch is a library that takes an http.Client.
func fetch(client *http.Client, target string) (string, error) {
	resp, err := client.Get(target)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// TestRecovers: a call that WeChat refuses because of the token is made again,
// and its caller does not notice.
func TestRecovers(t *testing.T) {
	for api, stats := range tokenAPIs {
		cfg, wx := inMemory(t, config(), simulatorOptions())
		cfg.TokenAPI = api
		client := newClient(t, cfg)
		mustToken(t, client)
		wx.Kill(testAppID)
		if err := client.Get(t.Context(), domainIP, nil, nil); err != nil {
			t.Errorf("%s: %v", api, err)
		}
		if got := stats(wx); got.Calls != 2 || got.Issued != 2 {
			t.Errorf("%s: %+v, want two calls and two tokens", api, got)
		}
	}
}

// TestStartWaitsForNothing: New returns although WeChat does not answer, and a
// caller gets back when its own ctx ends.
func TestStartWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, wx := inMemory(t, config(), simulatorOptions())
		wx.Delay(simulator.Everything, time.Hour)
		start := time.Now()
		client := newClient(t, cfg)
		if took := time.Since(start); took > 0 {
			t.Errorf("New took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := client.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Token: %v", err)
		}
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("Token took %s", took)
		}
	})
}

// TestRenewedAheadOfItsEnd, without anybody asking, by a Scheduler that two
// accounts share.
func TestRenewedAheadOfItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scheduler := custody.NewScheduler(custody.SchedulerConfig{})
		defer scheduler.Close()
		const second = "wxfedcba9876543210"
		wx := simtest.InMemory(t, simulator.Options{Accounts: append(account(), simulator.Account{AppID: second, Secret: testSecret})})
		for _, appid := range []string{testAppID, second} {
			cfg := config()
			cfg.AppID, cfg.Scheduler, cfg.Transport = appid, scheduler, wx.RoundTripper()
			client, err := wechat.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
		}
		time.Sleep(24 * time.Hour)
		for _, appid := range []string{testAppID, second} {
			if got := wx.Stats(appid).Stable; got.Issued < 12 || got.Issued > 13 || !wx.Accepts(wx.Latest(appid, simulator.Stable)) {
				t.Errorf("%s: %+v in 24 h, want 12 or 13 tokens of two hours", appid, got)
			}
		}
	})
}

// TestTrace: Config.Trace is told of the token and of the tickets.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		renewed, refused := map[string]int{}, 0
		var mu sync.Mutex
		cfg, wx := inMemory(t, config(), simulatorOptions())
		cfg.Trace = &custody.Trace{
			Renewed: func(i custody.RenewedInfo) {
				mu.Lock()
				defer mu.Unlock()
				renewed[i.Key.Kind+" of "+i.Key.AppID]++
			},
			Refused: func(i custody.RefusedInfo) {
				mu.Lock()
				defer mu.Unlock()
				if i.Result == custody.RefusalRenewed {
					refused++
				}
			},
		}
		client := newClient(t, cfg)
		if _, err := client.Ticket(t.Context(), platform.JSAPITicket); err != nil {
			t.Fatal(err)
		}
		wx.Kill(testAppID)
		if err := client.Get(t.Context(), domainIP, nil, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // callers have a token a moment before its Trace is told
		mu.Lock()
		defer mu.Unlock()
		if renewed["access_token of "+testAppID] != 2 || renewed["jsapi_ticket of "+testAppID] != 1 || refused != 1 {
			t.Errorf("told of %v and %d refusals, want two tokens, one ticket, one refusal", renewed, refused)
		}
	})
}

// malformed are answers of a token endpoint that are none.
var malformed = map[string]simulator.Fault{
	"empty":                   {Status: 200},
	"HTML":                    {Body: "<html><body>502 Bad Gateway</body></html>", ContentType: "text/html"},
	"truncated JSON":          {Cut: simulator.CutShort},
	"empty token":             {Body: `{"access_token":"","expires_in":7200}`},
	"no token":                {Body: `{"expires_in":7200}`},
	"expires_in 0":            {Body: `{"access_token":"91_x","expires_in":0}`},
	"expires_in negative":     {Body: `{"access_token":"91_x","expires_in":-7200}`},
	"expires_in absent":       {Body: `{"access_token":"91_x"}`},
	"expires_in 10^12":        {Body: `{"access_token":"91_x","expires_in":1000000000000}`},
	"expires_in a string":     {Body: `{"access_token":"91_x","expires_in":"7200"}`},
	"token a number":          {Body: `{"access_token":91,"expires_in":7200}`},
	"token an object":         {Body: `{"access_token":{"a":"91_x"},"expires_in":7200}`},
	"errcode a string":        {Body: `{"errcode":"x","access_token":"91_x","expires_in":7200}`},
	"[]":                      {Body: `[]`},
	"null":                    {Body: `null`},
	"HTTP 500":                {Status: 500, Body: `{"access_token":"91_x","expires_in":7200}`},
	"HTTP 500, empty":         {Status: 500},
	"errcode beside a token":  {Body: `{"errcode":40013,"errmsg":"invalid appid","access_token":"91_x","expires_in":7200}`},
	"cut in the middle":       {Cut: simulator.CutBody},
	"cut before the answer":   {Cut: simulator.CutAnswer},
	"two answers in one":      {Body: `{"access_token":"91_x","expires_in":7200}{"access_token":"91_y","expires_in":7200}`},
	"two megabytes of spaces": {Body: strings.Repeat(" ", 2<<20)},
}

// TestMalformedAnswers: whatever comes back that is no clean success, callers get
// a typed error, nothing is stored, and a live token stays; with the classic API
// it is trusted for the overlap alone, since it may have been superseded.
func TestMalformedAnswers(t *testing.T) {
	for api := range tokenAPIs {
		for name, fault := range malformed {
			t.Run(string(api)+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { malformedAnswer(t, api, fault) })
			})
		}
	}
}

func malformedAnswer(t *testing.T, api platform.TokenAPI, fault simulator.Fault) {
	store := memory.New()
	defer func() { _ = store.Close() }()
	cfg, wx := inMemory(t, config(), simulatorOptions())
	cfg.StoreURL, cfg.Store = "", store
	cfg.TokenAPI, cfg.Overlap = api, time.Minute
	key := custody.Key{Kind: "access_token", API: string(api), AppID: testAppID}
	fault.Path = simulator.Fetches
	rule := wx.Inject(fault)
	client := newClient(t, cfg)

	_, err := client.Token(t.Context())
	var none *custody.Error
	var unusable *platform.AnswerError
	var broken *platform.ConnError
	if !errors.As(err, &none) || none.RetryAfter <= 0 || !errors.As(err, &unusable) && !errors.As(err, &broken) {
		t.Fatalf("Token: %v, want a *custody.Error around one of platform's", err)
	}
	if record, err := store.Load(t.Context(), key); err != nil && !errors.Is(err, custody.ErrNotFound) || record.Value != "" {
		t.Fatalf("stored: %+v, %v", record, err)
	}

	rule.Remove()
	time.Sleep(none.RetryAfter)
	synctest.Wait()
	before := mustToken(t, client)
	stored, err := store.Load(t.Context(), key)
	if err != nil || stored.Value != before {
		t.Fatalf("the store does not hold the token: %v", err)
	}

	rule = wx.Inject(fault)
	time.Sleep(client.Status().Renewal)
	synctest.Wait()
	if rule.Hits() != 1 {
		t.Fatalf("%d fetches, want one", rule.Hits())
	}
	status := client.Status()
	if after := mustToken(t, client); after != before || !status.Live || status.Failure == nil {
		t.Errorf("the live token was not kept: %+v", status)
	}
	now, err := store.Load(t.Context(), key)
	if err != nil || now.Value != before || now.Fence != stored.Fence {
		t.Errorf("the store holds another token: %v", err)
	}
	// Overlap less a tenth, less the 20 s that are taken off every end.
	const trusted = 54*time.Second - 20*time.Second
	cut := status.Left <= trusted && !now.End.After(now.Now.Add(54*time.Second))
	if want := api == platform.Classic; cut != want {
		t.Errorf("%s are left of the token, in the store %s; cut short: %v, want %v", status.Left, now.End.Sub(now.Now), cut, want)
	}
}

// TestEveryCallRefused: an account that WeChat has something against costs three
// fetches in ten minutes, and its callers see WeChat's own answer.
func TestEveryCallRefused(t *testing.T) {
	for api, stats := range tokenAPIs {
		t.Run(string(api), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, wx := inMemory(t, config(), simulatorOptions())
				cfg.TokenAPI = api
				wx.Inject(simulator.Fault{Path: simulator.APICalls, Errcode: 40001})
				client := newClient(t, cfg)
				for range 10 * 60 {
					var all sync.WaitGroup
					for range 5 {
						all.Go(func() {
							err := client.Get(t.Context(), domainIP, nil, nil)
							var refusal *platform.Error
							if !errors.As(err, &refusal) || refusal.Code != 40001 {
								t.Errorf("Get: %v, want WeChat's 40001", err)
							}
						})
					}
					all.Wait()
					time.Sleep(time.Second)
				}
				if got := stats(wx); got.Calls < 2 || got.Calls > 3 {
					t.Errorf("%+v in ten minutes, want two or three calls", got)
				}
			})
		})
	}
}

// TestDailyFetches: 0 is the API's own limit, a negative value none.
func TestDailyFetches(t *testing.T) {
	for limit, want := range map[int]error{2: custody.ErrDailyLimit, 0: nil, -1: nil} {
		synctest.Test(t, func(t *testing.T) {
			options := simulatorOptions()
			options.Life = time.Minute
			cfg, _ := inMemory(t, config(), options)
			cfg.DailyFetches = limit
			client := newClient(t, cfg)
			mustToken(t, client)
			time.Sleep(10 * time.Minute)
			if _, err := client.Token(t.Context()); !errors.Is(err, want) {
				t.Errorf("DailyFetches %d: %v after ten minutes, want %v", limit, err, want)
			}
		})
	}
}

// TestStoreOfTheCaller stays open; one that New opened keeps nothing back.
func TestStoreOfTheCaller(t *testing.T) {
	store := memory.New()
	cfg, _ := inMemory(t, config(), simulatorOptions())
	cfg.StoreURL, cfg.Store = "", store
	client, err := wechat.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	value := mustToken(t, client)
	for range 2 { // twice is safe
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := client.Token(t.Context()); !errors.Is(err, custody.ErrClosed) {
		t.Errorf("Token after Close: %v", err)
	}
	if again := mustToken(t, newClient(t, cfg)); again != value {
		t.Error("the next client found another token in the caller's store")
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// TestTransportIsWhatCarries every request, those for the token too.
func TestTransportIsWhatCarries(t *testing.T) {
	cfg := config() // whose Transport reaches nobody
	client := newClient(t, cfg)
	err := client.Get(t.Context(), domainIP, nil, new(json.RawMessage))
	var none *custody.Error
	if !errors.As(err, &none) || none.RetryAfter <= 0 || none.Key.AppID != testAppID {
		t.Errorf("Get: %v", err)
	}
}
