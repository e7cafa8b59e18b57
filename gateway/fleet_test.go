package gateway_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// roleVariable makes the binary of these tests a gateway of its own, which can be
// killed: it holds the WeChat's address and the store's URL.
const roleVariable = "ZHONGKONG_GATEWAY_TEST_ROLE"

// What the fleet's tests are about: tokens of half a minute, and 200 calls a second for
// two lives.
const (
	fleetLife     = 30 * time.Second
	fleetOverlap  = 5 * time.Second
	fleetLasts    = 2 * fleetLife
	fleetPace     = 5 * time.Millisecond
	fleetPatience = 250 * time.Millisecond // of a call of the store
)

// play is the other process: it prints its address and serves until it is killed.
func play(role string) {
	weChat, address, _ := strings.Cut(role, " ")
	ctx := context.Background()
	store, err := open.Open(ctx, address, open.Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	g, err := gateway.New(ctx, fleetConfig(weChat, store))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(httptest.NewServer(g).URL)
	select {}
}

func fleetConfig(weChat string, store store.Store) gateway.Config {
	return gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), TokenAPI: platform.Classic}},
		Store:    store, SealKeys: []custody.Secret{sealKey}, APIBase: weChat,
		Overlap: fleetOverlap,
		Timing:  custody.Timing{FetchTimeout: time.Second, SaveTimeout: 500 * time.Millisecond, LeaseTTL: 2 * time.Second, StoreTimeout: fleetPatience},
	}
}

// TestSpeedFleet: gateways in two processes on one store, 200 requests a second for a
// minute, which is two lives of the token, one process killed in the middle. No request
// fails but those whose connection the kill cut; one token is issued for each renewal,
// and at most one more for the kill. PostgreSQL and MySQL, which share all but their
// dialect, have half a minute.
func TestSpeedFleet(t *testing.T) {
	tier.Speed(t)
	t.Parallel() // it mostly waits
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		fleet(t, fleetLasts, func() string { return "sqlite:" + newPath(t) })
	})
	for _, engine := range testserver.Engines {
		lasts := fleetLife
		if engine == testserver.Redis {
			lasts = fleetLasts
		}
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			fleet(t, lasts, func() string {
				return remotetest.With(t, testserver.URL(t, engine), "prefix", "zk"+strings.ToLower(rand.Text()[:8])+"_")
			})
		})
	}
}

// fleet makes one such run. A machine that stood still for longer than a store may take
// to answer breaks promises that are made in its time: then a run that failed is made
// again, and if that is so again, nothing can be proven here and now.
func fleet(t *testing.T, lasts time.Duration, address func() string) {
	t.Helper()
	wrong, disturbed := patience.Undisturbed(t, "a run of two gateways", fleetPatience, func() ([]string, bool) {
		return fleetRun(t, lasts, address()), false
	})
	switch {
	case disturbed:
		t.Skip("left out: this machine is too busy: run go test -run TestSpeedFleet ./gateway when it is not")
	case len(wrong) > 0:
		t.Error(strings.Join(wrong, "\n"))
	}
}

// fleetRun returns what was not as it is promised.
func fleetRun(t *testing.T, lasts time.Duration, address string) (wrong []string) {
	t.Helper()
	wx := weChat(t, simulator.Options{Life: fleetLife, Overlap: fleetOverlap})
	store, err := open.Open(t.Context(), address, open.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	clients := gateway.NewClients(store, "test")
	key, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{appID}})
	if err != nil {
		t.Fatal(err)
	}
	two := join(t, wx, store, func(c *gateway.Config) {
		cfg := fleetConfig(wx.URL, store)
		cfg.Logger = c.Logger
		*c = cfg
	})
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), roleVariable+"="+wx.URL+" "+address)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	defer kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "http://") {
		t.Fatal(err, line)
	}
	one := strings.TrimSpace(line)
	two.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	token, err := (&sdk{host: one, appID: appID, secret: key.Reveal(), http: two.http}).fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	var killed atomic.Bool
	var calls, cut, failed atomic.Int64
	first := make(chan string, 3) // of what went wrong
	call := func(base string, began time.Time) {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base+domainIP+"?access_token="+token, http.NoBody)
		calls.Add(1)
		res, err := two.http.Do(r)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		switch {
		case err != nil && base == one && killed.Load():
			cut.Add(1)
		case err != nil || !strings.Contains(string(body), "ip_list"):
			failed.Add(1)
			select {
			case first <- fmt.Sprintf("a request failed after %s: %v %s", time.Since(began), err, body):
			default:
			}
		}
	}
	var group sync.WaitGroup
	pace := time.NewTicker(fleetPace)
	defer pace.Stop()
	for n := range int(lasts / fleetPace) {
		<-pace.C
		if n == int(lasts/fleetPace)/2 {
			killed.Store(true)
			group.Go(kill)
		}
		base := two.url
		if n%2 == 0 && !killed.Load() {
			base = one
		}
		group.Go(func() { call(base, time.Now()) })
	}
	group.Wait()

	issued := wx.Stats(appID).Classic.Issued
	entries, err := store.(custody.Journal).Journal(
		t.Context(),
		custody.Key{Kind: "access_token", API: "classic", AppID: appID, Host: strings.TrimPrefix(wx.URL, "http://")},
		1000,
	)
	if err != nil {
		t.Fatal(err)
	}
	renewals := 0
	for _, e := range entries {
		if e.Event == custody.EventSave {
			renewals++
		}
	}
	t.Logf("two gateways, %s, one killed: %d requests, %d cut off by the kill, %d failed; %d tokens issued for %d renewals, %.2f × of one each",
		path.Base(t.Name()), calls.Load(), cut.Load(), failed.Load(), issued, renewals, float64(issued)/float64(max(renewals, 1)))
	close(first)
	for text := range first {
		wrong = append(wrong, text)
	}
	if extra := issued - renewals; extra < 0 || extra > 1 || renewals < int(lasts/(fleetLife/2)) {
		wrong = append(wrong, fmt.Sprintf("%d tokens were issued for %d renewals", issued, renewals))
	}
	if len(wrong) > 0 {
		for line := range strings.Lines(two.log.String()) {
			if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=INFO") {
				wrong = append(wrong, line)
			}
		}
	}
	return wrong
}

// TestRevocation: everywhere within five seconds, without a message to anybody.
func TestRevocation(t *testing.T) {
	inTwoGateways(t, func(int, *gateway.Config) {}, func(t *testing.T, one, two *world) {
		key := one.client(gateway.Client{Name: "shop"})
		two.Look(t.Context())
		token := one.token(key)
		for _, w := range []*world{one, two} {
			if got := w.get(domainIP + "?access_token=" + token); got.Errcode != 0 {
				t.Fatal("a token of the other gateway: ", got.body)
			}
		}
		if err := one.clients().Revoke(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		fiveSeconds(t, "the end of a client", func() {
			for _, w := range []*world{one, two} {
				patience.Until(t, "the end of a token", func() bool { return w.get(domainIP+"?access_token="+token).Errcode == 40001 })
				patience.Until(t, "the end of a key", func() bool { return w.fetch(key).Errcode == 40125 })
			}
		})
	})
}

// fiveSeconds wants that to take at most five seconds of a bubble.
func fiveSeconds(t *testing.T, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%s took %s", what, took)
	}
}

// TestStoreAway: clients that are known go on while the store is away, tokens too.
func TestStoreAway(t *testing.T) {
	w := newWorld(t, simulator.Options{}, nil)
	token := w.token(w.client(gateway.Client{Name: "shop"}))
	if got := w.get(domainIP + "?access_token=" + token); got.Errcode != 0 {
		t.Fatal(got.body)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context())
	if got := w.get(domainIP + "?access_token=" + token); got.Errcode != 0 {
		t.Error(got.body)
	}
	if !strings.Contains(w.log.String(), "a revocation is not seen until the store answers") {
		t.Error("nobody is told")
	}
}

// sleeping is a store that does not answer until it is woken.
type sleeping struct {
	*memory.Store

	awake atomic.Bool
}

func (s *sleeping) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	if !s.awake.Load() {
		return nil, errors.New("made up: no answer")
	}
	return s.Store.Documents(ctx, after)
}

// TestStoreAwayAtStart: nobody is told that a key is wrong before it is known which are
// right.
func TestStoreAwayAtStart(t *testing.T) {
	t.Parallel()
	store := &sleeping{Store: memory.New()}
	w := join(t, weChat(t, simulator.Options{}), store, nil)
	clients := gateway.NewClients(store.Store, "test")
	key, err := clients.Add(t.Context(), gateway.Client{Name: "shop", Accounts: []string{appID}})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.fetch(key.Reveal()); got.Errcode != -1 {
		t.Error(got.body)
	}
	if got := w.get(domainIP + "?access_token=zk_x"); got.Errcode != -1 {
		t.Error(got.body)
	}
	if got := w.get("/readyz"); got.status != http.StatusServiceUnavailable {
		t.Error(got.body)
	}
	store.awake.Store(true)
	patience.Until(t, "the clients, by themselves", func() bool { return w.fetch(key.Reveal()).Token != "" })
	if got := w.fetch("wrong"); got.Errcode != 40125 {
		t.Error(got.body)
	}
}
