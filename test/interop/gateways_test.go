package interop

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

// TestGateways has every SDK call through two gateways on one store, behind one
// address, while tokens end, are superseded by another program, and one gateway is
// killed, comes back, and is left alone. The simulator alone shows what an SDK does then: TestExpired,
// TestSuperseded. Here no SDK shows its user an error, and none needs a second
// token.
func TestGateways(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		throughGateways(t, "sqlite:"+filepath.Join(t.TempDir(), "zhongkong.db"))
	})
	t.Run("Redis", func(t *testing.T) {
		defer func() {
			if t.Skipped() {
				leftOut["gateways on Redis"] = "redis-server is not installed"
			}
		}()
		address, err := url.Parse(testserver.URL(t, testserver.Redis))
		if err != nil {
			t.Fatal(err)
		}
		query := address.Query()
		query.Set("prefix", testserver.Name()+":")
		address.RawQuery = query.Encode()
		throughGateways(t, address.String())
	})
}

// The life of a token, by which the gateways renew every few seconds, and how long
// a superseded one works on. As with WeChat's 7,200 s and 300 s, stable_token renews
// by itself within the gateways' window.
const (
	shortLife    = 12 * time.Second
	shortOverlap = 4 * time.Second
)

func throughGateways(t *testing.T, store string) {
	accounts := []simulator.Account{simulator.MakeUpAccount(1), simulator.MakeUpAccount(2)}
	w := newGatewayWorld(t, store, sdks(t), simulator.Options{Accounts: accounts, Life: shortLife, Overlap: shortOverlap})
	w.begin()

	w.superseded()
	w.ended()
	w.renewed()
	w.killed(0)
	w.superseded()
	w.ended()
	w.started(0)
	w.killed(1) // now all are on the one that has come back
	w.superseded()
	w.renewed()

	w.finish()
}

// TestWeComGateways is the same for WeCom, where a token that has ended is the only one that
// dies early. It lives for 7,200 s: that gettoken is called every few seconds, as a shorter
// life would need, is more than an app is allowed.
func TestWeComGateways(t *testing.T) {
	options := simulator.Options{Accounts: []simulator.Account{corpApp()}}
	w := newGatewayWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "zhongkong.db"), corpSDKs(t), options)
	w.begin()

	w.superseded()
	w.ended()
	w.killed(0)
	w.superseded()
	w.ended()
	w.started(0)
	w.killed(1)
	w.superseded()

	w.finish()
}

// isCorp reports whether an account is an app of WeCom's.
func isCorp(appID string) bool { return strings.Contains(appID, ":") }

// gatewayWorld is WeChat, two gateways, and the SDKs that call through them.
type gatewayWorld struct {
	*testing.T

	wx       *simtest.Sim
	life     time.Duration
	pools    map[string]simulator.Pool // in which the gateways fetch for an account
	made     *installation
	gateways []*served
	balancer *balancer
	users    []*user

	// Calls hold it for reading. Who holds it for writing knows that none is under
	// way: the connection of such a call would be cut by a kill, and no SDK can tell
	// whether WeChat has got it.
	quiet sync.RWMutex

	stop context.CancelFunc
	done sync.WaitGroup
}

// user is an SDK that calls again and again.
type user struct {
	name  string
	appID string

	client client
	token  string // the first

	mu     sync.Mutex // guards what follows
	calls  int
	failed int
	first  error
}

func newGatewayWorld(t *testing.T, store string, all []sdk, options simulator.Options) *gatewayWorld {
	t.Helper()
	w := &gatewayWorld{T: t, life: cmp.Or(options.Life, simulator.DefaultLife), pools: map[string]simulator.Pool{}}
	w.wx = simtest.New(t, options)
	var ids []string
	for i, a := range options.Accounts {
		ids = append(ids, a.AppID)
		w.pools[a.AppID] = simulator.Stable // gettoken counts as that
		if i == 0 && !isCorp(a.AppID) {
			w.pools[a.AppID] = simulator.Classic
		}
	}
	w.made = install(t, w.wx, store, func(a simulator.Account) map[string]any {
		if isCorp(a.AppID) {
			return nil
		}
		return map[string]any{"token_api": w.pools[a.AppID]}
	})
	keys := make([]string, len(all))
	for i := range all { // before the gateways start, which look for new programs every 2 s
		keys[i] = w.made.admit(t, fmt.Sprintf("sdk-%d", i), ids...)
	}
	var addresses []string
	for range 2 {
		g := w.made.serve(t, "127.0.0.1:0")
		w.gateways = append(w.gateways, g)
		addresses = append(addresses, g.address)
	}
	w.balancer = newBalancer(t, addresses...)
	for i, s := range all {
		for _, a := range options.Accounts {
			at := target{URL: w.balancer.url, AppID: a.AppID, Secret: keys[i], Token: a.Token, AESKey: a.AESKey}
			w.users = append(w.users, &user{name: s.name, appID: a.AppID, client: s.open(t, at)})
		}
	}
	return w
}

// begin gets every SDK its token, which is none of WeChat's, and lets it call from
// now on.
func (w *gatewayWorld) begin() {
	w.Helper()
	for _, u := range w.users {
		token, err := u.client.token(w.Context())
		if err != nil {
			w.Fatalf("%s: %v", u.name, err)
		}
		if w.wx.Inspect(token).AppID != "" {
			w.Errorf("%s was given WeChat's own token", u.name)
		}
		u.token = token
	}
	for appID, pool := range w.pools {
		// A gateway's own token waits for none of WeChat's, which it fetches meanwhile.
		w.eventually("token of WeChat's", func() bool { return w.issuedTo(appID) > 0 })
		if n := w.issuedTo(appID); n != 1 {
			w.Errorf("WeChat issued %d %s tokens for %d SDKs, want 1", n, pool, len(w.users)/len(w.pools))
		}
	}
	ctx, cancel := context.WithCancel(w.Context())
	w.stop = cancel
	w.Cleanup(func() { cancel(); w.done.Wait() })
	for _, u := range w.users {
		w.done.Go(func() {
			pause := time.NewTicker(50 * time.Millisecond)
			defer pause.Stop()
			for ctx.Err() == nil {
				w.quiet.RLock()
				err := u.client.call(context.WithoutCancel(ctx))
				w.quiet.RUnlock()
				u.note(err)
				select {
				case <-pause.C:
				case <-ctx.Done():
				}
			}
		})
	}
	w.settle()
}

func (u *user) note(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls++
	if err != nil {
		u.failed++
		if u.first == nil {
			u.first = err
		}
	}
}

func (u *user) made() (calls, failed int, first error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls, u.failed, u.first
}

// finish ends the calls and says what came of them.
func (w *gatewayWorld) finish() {
	w.Helper()
	w.stop()
	w.done.Wait()
	for _, u := range w.users {
		calls, failed, first := u.made()
		w.Logf("%s, %s token: %d calls, %d errors", u.name, w.pools[u.appID], calls, failed)
		if failed > 0 {
			w.Errorf("%s: %d of %d calls showed an error, first: %v", u.name, failed, calls, first)
		}
		if token, err := u.client.token(w.Context()); err != nil || token != u.token {
			w.Errorf("%s: it has another token than at first, error %v", u.name, err)
		}
	}
}

func (w *gatewayWorld) issuedTo(appID string) int {
	stats := w.wx.Stats(appID)
	if w.pools[appID] == simulator.Stable {
		return stats.Stable.Issued
	}
	return stats.Classic.Issued
}

// superseded has another program fetch, twice, so that the gateways' token dies at
// once: WeChat refuses it with 40001. WeCom ends its token early: 40014.
func (w *gatewayWorld) superseded() {
	w.Helper()
	w.refused(map[bool]int{false: 40001, true: 40014}, func() {
		for appID, pool := range w.pools {
			if isCorp(appID) {
				w.wx.Kill(appID)
				continue
			}
			for range 2 {
				if pool == simulator.Stable {
					w.wx.SupersedeStable(appID)
				} else {
					w.wx.Supersede(appID)
				}
			}
		}
	})
}

// ended lets the life of every token be over before the gateways think so: 42001.
func (w *gatewayWorld) ended() {
	w.Helper()
	w.refused(map[bool]int{false: 42001, true: 42001}, func() { w.wx.Clock.Advance(w.life) })
}

// refused lets tokens die by what spoil does, and waits until WeChat has refused one
// of each account, with the errcode for those of WeCom or of the others, and everybody has
// gone on calling.
func (w *gatewayWorld) refused(errcodes map[bool]int, spoil func()) {
	w.Helper()
	refusals := func(appID string) int { return w.wx.Stats(appID).Errcodes[errcodes[isCorp(appID)]] }
	before := map[string]int{}
	for appID := range w.pools {
		before[appID] = refusals(appID)
	}
	spoil()
	w.eventually(fmt.Sprintf("refusals with %v", errcodes), func() bool {
		for appID, n := range before {
			if refusals(appID) <= n {
				return false
			}
		}
		return true
	})
	w.settle()
}

// renewed waits until the gateways have renewed every token ahead of its end.
func (w *gatewayWorld) renewed() {
	w.Helper()
	before := map[string]int{}
	for appID := range w.pools {
		before[appID] = w.issuedTo(appID)
	}
	w.eventually("renewals ahead of the end", func() bool {
		for appID, n := range before {
			if w.issuedTo(appID) <= n {
				return false
			}
		}
		return true
	})
	w.settle()
}

// killed ends a gateway as a crash does, while no call is under way.
func (w *gatewayWorld) killed(n int) {
	w.Helper()
	victim := w.balancer.backends[n]
	if victim.taken.Load() == 0 {
		w.Error("no SDK was on the gateway that is killed")
	}
	w.quiet.Lock()
	w.gateways[n].kill()
	w.eventually("the end of its connections", func() bool { return victim.open.Load() == 0 })
	taken := victim.taken.Load()
	w.quiet.Unlock()
	w.settle()
	if n := victim.taken.Load() - taken; n != 0 {
		w.Errorf("%d connections went to the dead gateway", n)
	}
}

// started lets a gateway that was killed come back, at its address.
func (w *gatewayWorld) started(n int) {
	w.Helper()
	w.gateways[n] = w.made.serve(w.T, w.gateways[n].address)
	w.settle()
}

// settle waits until everybody has called some more, and whatever the gateways do
// about a token is over: they look whether WeChat takes a new one, and one that dies
// under that look is, rightly, the sign of an account whose every token is refused.
func (w *gatewayWorld) settle() {
	w.Helper()
	before := make([]int, len(w.users))
	for i, u := range w.users {
		before[i], _, _ = u.made()
	}
	least := time.Now().Add(500 * time.Millisecond)
	w.eventually("more calls by everybody", func() bool {
		for i, u := range w.users {
			if calls, _, _ := u.made(); calls < before[i]+5 {
				return false
			}
		}
		return time.Now().After(least)
	})
}

func (w *gatewayWorld) eventually(what string, done func() bool) {
	w.Helper()
	patience.Until(w, what, done)
}
