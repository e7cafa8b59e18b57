//go:build unix && chaos

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// workerVariable holds a worker's orders; its presence makes this binary one.
const workerVariable = "ZHONGKONG_CHAOS_WORKER"

// timing is WeChat's and ours, shortened alike.
var timing = custody.Timing{
	FetchTimeout: time.Second, SaveTimeout: 500 * time.Millisecond, StoreTimeout: 250 * time.Millisecond,
	LeaseTTL: 2 * time.Second, ProbeTimeout: 500 * time.Millisecond,
}

// usual is ours as it is, for WeChat's times that are not shortened much. A store that
// is away counts as unavailable while some of the windows are open.
var usual = custody.Timing{StorePatience: 4 * time.Second}.WithDefaults()

// The paths that users call. WeChat's stand-in refuses the last one always, if a test
// says so, whatever the token.
const (
	readPath    = "/cgi-bin/getcallbackip"
	writePath   = "/cgi-bin/openapi/quota/get" // a POST
	refusedPath = "/cgi-bin/menu/get"
)

const (
	slow   = time.Second      // a call that waits longer is told of
	most   = 10 * time.Second // that a user waits
	mostOf = 12 * time.Second // the same on refusedPath, whose own calls may take 10 s
)

// unreachable is what a process that is cut off from WeChat meets.
const unreachable = "network is unreachable"

// orders tell a worker what to do.
type orders struct {
	ID       int
	Store    string
	Accounts []account
	Users    int           // of each account
	Pause    time.Duration // between two calls of one user
	Timing   custody.Timing
	Refused  bool // one call in eight is to refusedPath
	Logs     bool // to standard error
	Together bool // users begin when every process has its connections to the store
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

// weCom is the API of an app of WeCom's, whose gettoken answers everybody the token that
// lives.
const weCom platform.TokenAPI = "wecom"

// credential is what a worker keeps of an account, and how it calls with that.
type credential struct {
	key    custody.Key
	kind   custody.Kind
	client func(*custody.Keeper) *platform.Client
}

func (a account) credential(wire http.RoundTripper) (credential, error) {
	cfg := platform.Config{Base: a.WeChat, Transport: wire}
	secret := custody.NewSecret(a.Secret)
	if a.API == weCom {
		api, err := wecom.New(cfg)
		if err != nil {
			return credential{}, err
		}
		corpID, agentID, _ := strings.Cut(a.AppID, ":")
		app := wecom.App{CorpID: corpID, AgentID: agentID, Secret: secret}
		return credential{api.Key(app), api.AccessToken(app), func(k *custody.Keeper) *platform.Client { return api.Client(k, app) }}, nil
	}
	api, err := platform.New(cfg)
	if err != nil {
		return credential{}, err
	}
	return credential{
		api.Key(a.AppID, a.API), api.AccessToken(platform.Account{AppID: a.AppID, Secret: secret}, a.API),
		func(k *custody.Keeper) *platform.Client { return api.Client(k, a.AppID) },
	}, nil
}

// report is what a worker says of its users, twice a second.
type report struct {
	Calls     int           // that a user made
	Failed    int           // that WeChat refused, also after a retry: the user saw a 40001
	NoToken   int           // that were not sent because there was no token
	Cut       int           // that did not reach WeChat
	Own       int           // that WeChat refused on refusedPath, as it always does
	Longest   time.Duration // that a reader waited although a live token existed
	FirstFail string
}

// What is wrong with a call.
const (
	slowCall    = "slow"     // it succeeded after more than a second
	refusedCall = "refused"  // WeChat refused it, also after a retry
	noToken     = "no token" // it was not sent, or waited to its end
	cutCall     = "cut"      // it did not reach WeChat
)

// trouble of a call, as its worker tells it at once.
type incident struct {
	Number string // of the call, in its query
	AppID  string
	Path   string
	Kind   string
	Began  time.Time
	Took   time.Duration
	Still  time.Duration // of that, the process did not run
	Error  string
}

func (i *incident) span() span { return span{i.Began, i.Began.Add(i.Took)} }

// loss is an attempt whose answer or save was lost, as its holder knows it.
type loss struct {
	AppID string
	At    time.Time
	Took  time.Duration
}

// line is what a worker writes to its standard output.
type line struct {
	Report   *report   `json:",omitempty"`
	Incident *incident `json:",omitempty"`
	Loss     *loss     `json:",omitempty"`
}

// teller writes lines.
type teller struct {
	id    int
	still func() time.Duration // for how long the process did not run, since its start
	calls atomic.Int64

	mu  sync.Mutex // guards what follows, and standard output
	all report
}

func (t *teller) tell(l line) { _ = json.NewEncoder(os.Stdout).Encode(l) }

func (t *teller) report() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(line{Report: &t.all})
}

func (t *teller) lost(key custody.Key, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(line{Loss: &loss{key.AppID, time.Now(), took}})
}

// trace tells of the attempts whose answer or save is lost.
func (t *teller) trace() *custody.Trace {
	return &custody.Trace{
		Fetched: func(i custody.FetchedInfo) {
			if i.Err != nil && i.Err.Unanswered {
				t.lost(i.Key, i.Took)
			}
		},
		Renewed: func(i custody.RenewedInfo) {
			if i.Result == custody.RenewalUnsaved || i.Result == custody.RenewalOvertaken {
				t.lost(i.Key, i.Took)
			}
		},
	}
}

// watchStill returns a function that says for how long the process did not run.
func watchStill(ctx context.Context) func() time.Duration {
	var sum atomic.Int64
	go func() {
		const step = 10 * time.Millisecond
		for last := time.Now(); ctx.Err() == nil; {
			time.Sleep(step)
			now := time.Now()
			if gap := now.Sub(last) - step; gap > 4*step {
				sum.Add(int64(gap))
			}
			last = now
		}
	}()
	return func() time.Duration { return time.Duration(sum.Load()) }
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
				return nil, errors.New(unreachable)
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
	teller := &teller{id: o.ID, still: watchStill(ctx)}
	trace := teller.trace()
	logger := slog.New(slog.DiscardHandler)
	if o.Logs {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", o.ID)
	}
	orders := make(chan string)
	go func() {
		defer close(orders)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			orders <- lines.Text()
		}
	}()
	if o.Together {
		connect(ctx, store)
		teller.report()
		<-orders
	}
	var users sync.WaitGroup
	for _, a := range o.Accounts {
		c, err := a.credential(wire)
		if err != nil {
			return err
		}
		keeper, err := custody.New(custody.Config{
			Key: c.key, Kind: c.kind, Store: store, Secret: custody.NewSecret(a.Secret), Overlap: a.Overlap,
			Timing: o.Timing, Scheduler: scheduler, Trace: trace, Logger: logger,
		})
		if err != nil {
			return err
		}
		defer func() { _ = keeper.Close() }()
		u := &user{appID: a.AppID, keeper: keeper, client: c.client(keeper), refused: o.Refused, teller: teller}
		for range o.Users {
			users.Go(func() {
				for ctx.Err() == nil {
					u.call(ctx)
					select {
					case <-time.After(o.Pause):
					case <-ctx.Done():
					}
				}
			})
		}
	}
	defer func() {
		stop()
		users.Wait()
		teller.report()
	}()
	for {
		select {
		case line, ok := <-orders:
			if !ok {
				return nil
			}
			wire.set(line == "cut")
		case <-time.After(500 * time.Millisecond):
			teller.report()
		}
	}
}

// connect makes as many connections to a store as the keepers of a worker use.
func connect(ctx context.Context, store custody.Store) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				short, cancel := context.WithTimeout(ctx, 10*time.Second)
				_, err := store.Load(short, custody.Key{Kind: "nothing", AppID: "wx0000000000000000"})
				cancel()
				if err == nil || errors.Is(err, custody.ErrNotFound) || ctx.Err() != nil {
					return
				}
			}
		})
	}
	all.Wait()
}

// user makes calls for an account.
type user struct {
	appID   string
	keeper  *custody.Keeper
	client  *platform.Client
	refused bool
	teller  *teller
}

// call is one call, and what is told of it.
func (u *user) call(working context.Context) {
	t := u.teller
	n := t.calls.Add(1)
	i := &incident{Number: fmt.Sprintf("%d-%d-%d", t.id, os.Getpid(), n), AppID: u.appID, Path: readPath, Began: time.Now()}
	patience := most
	switch {
	case u.refused && n%8 == 7:
		i.Path, patience = refusedPath, mostOf
	case n%2 == 1:
		i.Path = writePath
	}
	ctx, cancel := context.WithTimeout(working, patience)
	defer cancel()
	still := t.still()
	waited := u.read(ctx)
	var err error
	if i.Path == writePath {
		err = u.client.Post(ctx, i.Path+"?"+numbered+"="+i.Number, map[string]string{"cgi_path": readPath}, nil)
	} else {
		err = u.client.Get(ctx, i.Path, url.Values{numbered: {i.Number}}, nil)
	}
	i.Took, i.Still = time.Since(i.Began), t.still()-still
	if working.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.Calls++
	t.all.Longest = max(t.all.Longest, waited)
	t.all.count(i, err)
	if i.Kind != "" {
		t.tell(line{Incident: i})
	}
}

// read takes the token, as a program would that builds its own requests, and returns
// how long that took although there was a live one.
func (u *user) read(ctx context.Context) time.Duration {
	live := u.keeper.Status()
	start := time.Now()
	_, err := u.keeper.Token(ctx)
	if !live.Live || live.Left < 100*time.Millisecond || err != nil {
		return 0
	}
	return time.Since(start)
}

// count says what is wrong with a call, if anything is.
func (r *report) count(i *incident, err error) {
	var none *custody.Error
	var refused *platform.Error
	switch {
	case i.Path == refusedPath && errors.As(err, &refused):
		r.Own++
		if i.Took > most {
			i.Kind, i.Error = slowCall, err.Error()
		}
		return
	case err == nil:
		if i.Took > slow {
			i.Kind = slowCall
		}
		return
	case errors.As(err, &none), errors.Is(err, context.DeadlineExceeded):
		r.NoToken++
		i.Kind = noToken
	case errors.As(err, &refused):
		r.Failed++
		i.Kind = refusedCall
	default:
		r.Cut++
		i.Kind = cutCall
	}
	i.Error = err.Error()
	if r.FirstFail == "" {
		r.FirstFail = i.Error
	}
}
