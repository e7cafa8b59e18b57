package gateway_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// fanoutVariable makes the binary of these tests a gateway of its own that hands pushes
// on, and can be killed: it holds the address of the systems and the store's URL.
const fanoutVariable = "ZHONGKONG_FANOUT_TEST_ROLE"

// playFanout is the other process: it prints its address and serves until it is killed.
func playFanout(role string) int {
	systems, address, _ := strings.Cut(role, " ")
	ctx := context.Background()
	store, err := open.Open(ctx, address, open.Options{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	g, err := gateway.New(ctx, pushConfig(store, newCompany(systems)))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(httptest.NewServer(g).URL)
	select {}
}

// newCompany is a bot that answers and a CRM, at base.
func newCompany(base string) company {
	systems := company{newSystem("bot", gateway.Safe), newSystem("crm", gateway.Safe)}
	for _, s := range systems {
		s.URL = base + "/" + s.Name
	}
	return systems
}

func pushConfig(store store.Store, systems company) gateway.Config {
	return gateway.Config{
		Accounts: []gateway.Account{{AppID: appID, Secret: custody.NewSecret(appSecret), Callback: systems.callback()}},
		Store:    store, SealKeys: []custody.Secret{sealKey}, APIBase: "http://127.0.0.1:1",
	}
}

// TestFanoutFleet: gateways in two processes on one store, of each kind, one of them
// killed while one system is down. Each system gets everything, in the order of each
// follower, and no follower sees a failure.
func TestFanoutFleet(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		fanoutFleet(t, "sqlite:"+newPath(t))
	})
	for _, engine := range testserver.Engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			fanoutFleet(t, remotetest.With(t, testserver.URL(t, engine), "prefix", "zk"+strings.ToLower(rand.Text()[:8])+"_"))
		})
	}
}

func fanoutFleet(t *testing.T, address string) {
	tier.Full(t)
	var systems company
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	systems = newCompany(server.URL)
	for _, s := range systems {
		mux.Handle("/"+s.Name, s)
	}
	bot, crm := systems[0], systems[1]
	bot.says, bot.takes = echo, 20*time.Millisecond
	crm.status = http.StatusServiceUnavailable

	store, err := open.Open(t.Context(), address, open.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	cfg, log := pushConfig(store, systems), new(logtest.Log)
	cfg.Logger = log.Logger(slog.LevelDebug)
	two, err := gateway.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = two.Close() }()
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), fanoutVariable+"="+server.URL+" "+address)
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
	base, parseErr := url.Parse(strings.TrimSpace(line))
	if err != nil || parseErr != nil || base.Host == "" {
		t.Fatal(err, line)
	}

	// What distributes the pushes: to both in turn, and to the one that is left.
	var killed atomic.Bool
	var turns atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(base)
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // the kill
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if turns.Add(1)%2 == 0 && !killed.Load() {
			proxy.ServeHTTP(w, r)
		} else {
			two.ServeHTTP(w, r)
		}
	})
	wx := simtest.New(t, simulator.Options{
		Patience: 10 * time.Second, // on a machine that is busy with other tests
		Accounts: []simulator.Account{{AppID: appID, Secret: appSecret, Token: pushToken, AESKey: pushAESKey, Followers: followers}},
	})
	const each = 30
	var mu sync.Mutex
	var want []string
	var replied, pushed atomic.Int64
	var group sync.WaitGroup
	for _, follower := range followers {
		group.Go(func() {
			for n := range each {
				content := fmt.Sprintf("%03d", n)
				result, err := wx.Deliver(t.Context(), simulator.Push{
					Handler: front, URL: "http://gateway.invalid/callback/" + appID, Message: simulator.Text(content).By(follower),
				})
				if err != nil || !result.OK() {
					t.Errorf("%v, %v", result, err)
				}
				if result.Verdict == simulator.Replied {
					replied.Add(1)
				}
				mu.Lock()
				want = append(want, follower+":"+content)
				mu.Unlock()
				switch pushed.Add(1) {
				case each * int64(len(followers)) / 3:
					killed.Store(true)
					kill()
				case each * int64(len(followers)) * 2 / 3:
					crm.change(func(s *system) { s.status = 0 })
				}
			}
		})
	}
	group.Wait()
	began := time.Now()
	complete := func(s *system) bool {
		seen := map[string]bool{}
		for _, p := range s.pushes() {
			seen[p] = true
		}
		return len(seen) == len(want)
	}
	if !patience.Wait(func() bool { return complete(bot) && complete(crm) }) {
		t.Errorf("not everything within %s", patience.Bound)
	}
	for _, s := range systems {
		inOrder(t, s, want, true)
		if s.refused != "" {
			t.Errorf("%s refused: %s", s.Name, s.refused)
		}
	}
	patience.Until(t, "an empty queue", func() bool {
		queues, err := two.Queues(t.Context())
		return err == nil && len(queues) == 2 && queues[0].Waiting+queues[1].Waiting == 0
	})
	if n := replied.Load(); n < int64(len(want))/2 {
		t.Errorf("%d of %d were answered", n, len(want))
	}
	t.Logf("%d pushes, %d answered; the bot got %d, the CRM %d, the last %s after the last push",
		len(want), replied.Load(), bot.count(), crm.count(), time.Since(began).Round(time.Millisecond))
}
