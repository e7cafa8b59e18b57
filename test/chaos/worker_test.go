//go:build unix

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// workerVariable holds a worker's orders; its presence makes this binary one.
const workerVariable = "ZHONGKONG_CHAOS_WORKER"

// timing is WeChat's and ours, shortened alike.
var timing = custody.Timing{
	FetchTimeout: time.Second, SaveTimeout: 500 * time.Millisecond, StoreTimeout: 250 * time.Millisecond,
	LeaseTTL: 2 * time.Second, ProbeTimeout: 500 * time.Millisecond,
}

// orders tell a worker what to do.
type orders struct {
	ID       int
	Store    string
	Accounts []account
	Users    int           // of each account
	Pause    time.Duration // between two calls of one user
	Timing   custody.Timing
}

// address is where a worker calls from, so that the simulator can tell them
// apart.
func (o orders) address() string { return fmt.Sprintf("127.0.0.%d", 10+o.ID) }

type account struct {
	AppID, Secret string
	WeChat        string // the API base
	Overlap       time.Duration
	API           platform.TokenAPI
}

// report is what a worker says of its users, twice a second.
type report struct {
	Calls     int           // that a user made
	Failed    int           // that WeChat refused, also after a retry: the user saw a 40001
	NoToken   int           // that were not sent because there was no token
	Cut       int           // that did not reach WeChat
	Longest   time.Duration // that a reader waited although a live token existed
	FirstFail string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(workerVariable); text != "" {
		var o orders
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if err := work(o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testserver.Main(m)
}

// network is the worker's way to WeChat, which its parent can cut.
type network struct {
	base http.RoundTripper
	cut  atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func newNetwork(o orders) *network {
	n := &network{conns: map[net.Conn]struct{}{}}
	n.base = &http.Transport{
		MaxIdleConnsPerHost: 100,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if n.cut.Load() {
				return nil, errors.New("network is unreachable")
			}
			from := &net.TCPAddr{IP: net.ParseIP(o.address())}
			conn, err := (&net.Dialer{LocalAddr: from}).DialContext(ctx, network, addr)
			if err == nil {
				n.mu.Lock()
				n.conns[conn] = struct{}{}
				n.mu.Unlock()
			}
			return conn, err
		},
	}
	return n
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) { return n.base.RoundTrip(r) }

func (n *network) set(cut bool) {
	n.cut.Store(cut)
	if !cut {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for conn := range n.conns {
		_ = conn.Close()
	}
	clear(n.conns)
}

// work is what a worker does until its standard input ends.
func work(o orders) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store, err := open.Open(ctx, o.Store, open.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	wire := newNetwork(o)
	scheduler := custody.NewScheduler(custody.SchedulerConfig{})
	defer scheduler.Close()

	var mu sync.Mutex
	var all report
	var users sync.WaitGroup
	for _, a := range o.Accounts {
		api, err := platform.New(platform.Config{Base: a.WeChat, Transport: wire})
		if err != nil {
			return err
		}
		secret := custody.NewSecret(a.Secret)
		keeper, err := custody.New(custody.Config{
			Key: api.Key(a.AppID, a.API), Kind: api.AccessToken(platform.Account{AppID: a.AppID, Secret: secret}, a.API),
			Store: store, Secret: secret, Overlap: a.Overlap, Timing: o.Timing, Scheduler: scheduler,
		})
		if err != nil {
			return err
		}
		defer func() { _ = keeper.Close() }()
		client := api.Client(keeper, a.AppID)
		for range o.Users {
			users.Go(func() {
				for ctx.Err() == nil {
					use(ctx, keeper, client, &mu, &all)
					select {
					case <-time.After(o.Pause):
					case <-ctx.Done():
					}
				}
			})
		}
	}
	orders := make(chan string)
	go func() {
		defer close(orders)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			orders <- lines.Text()
		}
	}()
	tell := func() {
		mu.Lock()
		defer mu.Unlock()
		_ = json.NewEncoder(os.Stdout).Encode(all)
	}
	defer func() {
		stop()
		users.Wait()
		tell()
	}()
	for {
		select {
		case line, ok := <-orders:
			if !ok {
				return nil
			}
			wire.set(line == "cut")
		case <-time.After(500 * time.Millisecond):
			tell()
		}
	}
}

// use is one call of one user.
func use(ctx context.Context, keeper *custody.Keeper, client *platform.Client, mu *sync.Mutex, all *report) {
	working := ctx
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	live := keeper.Status()
	start := time.Now()
	_, tokenErr := keeper.Token(ctx)
	waited := time.Since(start)
	if !live.Live || live.Left < 100*time.Millisecond || tokenErr != nil {
		waited = 0
	}
	err := client.Get(ctx, simulator.DomainIPPath, nil, nil)
	if working.Err() != nil {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	all.Calls++
	all.Longest = max(all.Longest, waited)
	var none *custody.Error
	var refused *platform.Error
	switch {
	case err == nil:
		return
	case errors.As(err, &none), errors.Is(err, context.DeadlineExceeded):
		all.NoToken++
	case errors.As(err, &refused):
		all.Failed++
	default:
		all.Cut++
	}
	if all.FirstFail == "" {
		all.FirstFail = err.Error()
	}
}
