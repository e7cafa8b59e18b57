package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zhongkong-go/zhongkong/cmd/zhongkong/internal/doctor"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/console"
	"github.com/zhongkong-go/zhongkong/gateway/metrics"
	"github.com/zhongkong-go/zhongkong/internal/environ"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/open"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

const (
	defaultListen = "127.0.0.1:8300"
	defaultStore  = "sqlite:zhongkong.db"
	drainGrace    = 5 * time.Second  // in which new calls are still taken when the program has to end
	drainTime     = 30 * time.Second // for calls that are under way after that
)

// serveCmd is the gateway.
type serveCmd struct {
	Config    string `help:"The configuration, in YAML. Without it, the account is the environment's: WECHAT_APPID, WECHAT_APPSECRET, WECHAT_NAME, WECHAT_TOKEN_API, WECHAT_API_BASE." placeholder:"FILE" short:"c"`
	Listen    string `help:"Where to listen, instead of the configuration's; 127.0.0.1:8300 unless told." placeholder:"HOST:PORT"`
	PlainHTTP bool   `name:"plain-http" help:"Serve plain HTTP to other machines too, where something in front speaks TLS or the network is trusted."`
	Check     bool   `help:"Read the configuration, say what is wrong with it or how it is understood, and serve nothing. The store is not opened."`
	Demo      bool   `help:"Show it with nothing configured: a simulated WeChat, a temporary database, a client key and lines to try."`
	Seed      uint64 `hidden:"" help:"Makes the same things up in every demo, for tests."`
}

// Help is what is below the flags' list.
func (*serveCmd) Help() string {
	return `Needs ZHONGKONG_SEAL_KEY (openssl rand -base64 32), or ZHONGKONG_SEAL_KEY_FILE with a file of it, the same for every gateway of a store. ZHONGKONG_STORE says where tokens, clients and
the journal are, ZHONGKONG_LOG_LEVEL how much is logged, to standard error, ZHONGKONG_FETCH_TIMEOUT and its kin how long each step of a
renewal may take. SIGHUP reads the configuration again; SIGTERM ends it: for 5 s
(ZHONGKONG_DRAIN_GRACE) /readyz says 503 and calls are served, then those under way are brought to their end. A second one ends it at once.`
}

// Run serves until the context ends.
func (c *serveCmd) Run(ctx context.Context, t *terminal) error {
	if c.Demo {
		return c.demo(ctx, t)
	}
	settings, err := c.settings(t)
	if err != nil {
		return usageError{err}
	}
	keys, err := sealKeys(t.env)
	if err != nil {
		return usageError{err}
	}
	log, err := newLogger(t, settings.Log)
	if err != nil {
		return usageError{err}
	}
	if c.Check {
		return c.check(t, settings)
	}
	s := &service{
		settings: settings,
		log:      log,
		keys:     keys,
		plain:    c.PlainHTTP || settings.PlainHTTP,
		load:     func() (*gateway.Settings, error) { return c.settings(t) },
	}
	return s.run(ctx, t, func(base string) {
		t.say("%s %s", t.bold("The gateway is at"), t.bold(base))
		t.say("%s", t.dim(`Programs that may use it: zhongkong client add NAME --account APPID`))
	})
}

// check looks at what is found only when a gateway starts, and says how the configuration
// is understood.
func (c *serveCmd) check(t *terminal, settings *gateway.Settings) error {
	if err := open.Check(settings.Store); err != nil {
		return usageError{err}
	}
	place := "memory:"
	if settings.Store != place {
		var err error
		if place, err = placeOf(settings.Store, false); err != nil {
			return err
		}
	}
	if settings.TLS.Cert != "" {
		if err := settings.TLS.Check(); err != nil {
			return usageError{err}
		}
	}
	if err := settings.Journal.Check(); err != nil {
		return usageError{err}
	}
	if err := c.checkAddresses(settings); err != nil {
		return err
	}
	t.say("%s The configuration is good.", t.tick(true))
	t.say("  listens at %s", settings.Listen)
	if settings.Admin.Listen != "" {
		t.say("  admins at %s", settings.Admin.Listen)
	}
	if settings.TLS.Domain != "" {
		t.say("  gets a certificate for %s", settings.TLS.Domain)
	}
	t.say("  keeps tokens in %s", place)
	for _, a := range settings.Accounts {
		pushes := ""
		if a.Callback != nil {
			pushes = fmt.Sprintf(", pushes to %s", count(len(a.Callback.Subscribers), "subscriber", "subscribers"))
		}
		t.say("  %s, %s%s", both(a.Name, a.AppID), cmp.Or(string(a.TokenAPI), "gettoken"), pushes)
	}
	return nil
}

// checkAddresses looks at where a gateway would listen.
func (c *serveCmd) checkAddresses(settings *gateway.Settings) error {
	for _, l := range []struct {
		name, address string
		plain         bool
	}{
		{"listen", settings.Listen, c.PlainHTTP || settings.PlainHTTP}, {"admin.listen", settings.Admin.Listen, settings.Admin.PlainHTTP},
	} {
		if l.address == "" {
			continue
		}
		host, port, err := net.SplitHostPort(l.address)
		if err == nil {
			err = shape.Port("its port", port)
		}
		if err != nil {
			return mistake("%s is %s: it has to be an address such as %s", l.name, shape.Show(l.address), defaultListen)
		}
		if !shape.Loopback(host) && !settings.TLS.On() && !l.plain {
			return mistake("%s can be reached from other machines, and keys would travel in the clear: configure tls, or listen at 127.0.0.1, or, in a trusted network, say --plain-http (plain_http: true; of admin.listen admin.plain_http: true)", l.address)
		}
	}
	return nil
}

// settings are those of the file, or of the environment, with the flags over them.
func (c *serveCmd) settings(t *terminal) (*gateway.Settings, error) {
	env := func(name string) string { value, _ := t.env(name); return strings.TrimSpace(value) }
	settings := new(gateway.Settings)
	if c.Config != "" {
		var err error
		if settings, err = gateway.ReadSettings(c.Config); err != nil {
			return nil, err
		}
	} else {
		if env("WECHAT_APPID") == "" || env("WECHAT_APPSECRET") == "" {
			return nil, errors.New("there is no account: give --config FILE, or set WECHAT_APPID and WECHAT_APPSECRET; --demo needs neither")
		}
		if err := shape.Check(
			shape.Field{Name: "WECHAT_APPID", Kind: shape.AppID, Value: env("WECHAT_APPID")},
			shape.Field{Name: "WECHAT_APPSECRET", Kind: shape.AppSecret, Value: env("WECHAT_APPSECRET")},
		); err != nil {
			return nil, err
		}
		tokenAPI, err := platform.ParseTokenAPI(env("WECHAT_TOKEN_API"))
		if err != nil {
			return nil, fmt.Errorf("WECHAT_TOKEN_API: %w", err)
		}
		settings.APIBase = env("WECHAT_API_BASE")
		if err := shape.Name("WECHAT_NAME", env("WECHAT_NAME")); err != nil {
			return nil, err
		}
		settings.Accounts = []gateway.Account{{
			Name: env("WECHAT_NAME"), AppID: env("WECHAT_APPID"), Secret: custody.NewSecret(env("WECHAT_APPSECRET")),
			TokenAPI: tokenAPI,
		}}
	}
	timing, err := environ.Timing(env)
	if err != nil {
		return nil, err
	}
	fill(&settings.Timing, timing)
	if text := env("ZHONGKONG_DRAIN_GRACE"); text != "" && settings.DrainGrace == 0 {
		if err = settings.SetDrainGrace(text); err != nil {
			return nil, fmt.Errorf("ZHONGKONG_DRAIN_GRACE is %q: %w", text, err)
		}
	}
	for _, f := range []struct {
		field *string
		flag  string
		usual string
	}{{&settings.Listen, c.Listen, defaultListen}, {&settings.Store, "", storeOf(t.env)}} {
		if f.flag != "" {
			*f.field = f.flag
		}
		if *f.field == "" {
			*f.field = f.usual
		}
	}
	return settings, nil
}

// fill takes from usual what t leaves open.
func fill(t *custody.Timing, usual custody.Timing) {
	for _, f := range []struct{ field, usual *time.Duration }{
		{&t.FetchTimeout, &usual.FetchTimeout},
		{&t.SaveTimeout, &usual.SaveTimeout},
		{&t.LeaseTTL, &usual.LeaseTTL},
		{&t.StoreTimeout, &usual.StoreTimeout},
		{&t.ProbeTimeout, &usual.ProbeTimeout},
		{&t.StorePatience, &usual.StorePatience},
	} {
		if *f.field == 0 {
			*f.field = *f.usual
		}
	}
}

func storeOf(env func(string) (string, bool)) string {
	if url, _ := env("ZHONGKONG_STORE"); url != "" {
		return url
	}
	return defaultStore
}

// sealKeys reads ZHONGKONG_SEAL_KEY, or the file that ZHONGKONG_SEAL_KEY_FILE names.
func sealKeys(env func(string) (string, bool)) ([]custody.Secret, error) {
	keys, err := environ.SealKeys(func(name string) string { value, _ := env(name); return value })
	if err == nil && len(keys) == 0 {
		err = errors.New("ZHONGKONG_SEAL_KEY is not set: the tokens would lie in the store in the clear. " +
			"Make a key with: openssl rand -base64 32 (ZHONGKONG_SEAL_KEY_FILE names a file with it)")
	}
	return keys, err
}

// newLogger logs to standard error; the environment's level is stronger.
func newLogger(t *terminal, l gateway.Log) (*slog.Logger, error) {
	if text, _ := t.env("ZHONGKONG_LOG_LEVEL"); text != "" {
		if err := l.Level.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("ZHONGKONG_LOG_LEVEL is %s: it must be debug, info, warn or error", shape.Show(text))
		}
	}
	options := &slog.HandlerOptions{Level: l.Level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(t.err, options)), nil
	}
	return slog.New(slog.NewTextHandler(t.err, options)), nil
}

// service is a gateway at work, with its listeners.
type service struct {
	settings *gateway.Settings
	log      *slog.Logger
	keys     []custody.Secret
	plain    bool
	load     func() (*gateway.Settings, error)
	store    store.Store // nil: the one that the settings name
	gate     *gate.Gate  // of all its listeners

	certificates *certificates // nil without tls.domain
	page         string        // where the page is, once it is there

	fingerprint atomic.Pointer[string] // of the settings that are in use
}

// run serves until ctx ends. started receives the address.
func (s *service) run(ctx context.Context, t *terminal, started func(base string)) (err error) {
	store := s.store
	if store == nil {
		waiting := time.AfterFunc(quiet, func() {
			s.log.Warn("waiting for the store, which has not answered yet", "log_code", "serve_waits_for_store")
		})
		store, err = open.Open(ctx, s.settings.Store, open.Options{Logger: s.log})
		waiting.Stop()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
	}
	sinks, err := s.settings.Journal.Open(s.log)
	if err != nil {
		return usageError{err}
	}
	g, err := gateway.New(ctx, gateway.Config{
		Journal: sinks, Accounts: s.settings.Accounts, Store: store, SealKeys: s.keys,
		APIBase: s.settings.APIBase, WeComBase: s.settings.WeComBase, Timing: s.settings.Timing,
		Login: s.settings.Login, Logger: s.log, Access: s.log,
	})
	if err != nil {
		return usageError{err}
	}
	defer func() { err = errors.Join(err, g.Close()) }()

	s.gate = gate.New(gate.Config{Log: s.log})
	if s.settings.TLS.Domain != "" {
		s.certificates = newCertificates(s.settings.TLS, s.log)
	}
	reload := func() error { return s.reload(g) }
	s.inUse(s.settings)
	main, base, err := s.listen(ctx, door{s.settings.Listen, s.plain, "say --plain-http (plain_http: true)"}, s.fingerprinted(g))
	if err != nil {
		return err
	}
	servers := []*listening{main}
	if s.settings.Admin.Listen != "" {
		desk, err := console.New(console.Options{
			Gateway: g, Key: s.settings.Admin.Key, Version: shortVersion(), Hosts: s.pageHosts(), Logger: s.log,
		})
		if err != nil {
			_ = main.on.Close()
			return fmt.Errorf("admin.key: %w", err)
		}
		defer desk.Close()
		at := door{s.settings.Admin.Listen, s.settings.Admin.PlainHTTP, "say admin.plain_http: true"}
		admin, adminBase, err := s.listen(ctx, at, desk.Handler(s.adminHandler(g, reload)))
		if err != nil {
			_ = main.on.Close()
			return fmt.Errorf("admin.listen: %w", err)
		}
		admin.RegisterOnShutdown(desk.Close) // else Shutdown would wait for what is live
		servers = append(servers, admin)
		s.page = adminBase + console.Path
		t.say("%s", t.dim("The admin API is at "+adminBase+" and its page at "+s.page))
	}
	if s.certificates != nil {
		go s.certificates.fetch(ctx) // the listeners are there: the authority comes to them
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	failed := make(chan error, len(servers))
	for _, server := range servers {
		go func() { failed <- server.serve() }()
	}
	started(base)
	for {
		select {
		case <-hangup:
			if err := reload(); err != nil {
				s.log.Error("the configuration was not taken; the one from before stays in use", "log_code", "serve_reload_failed", "error", err)
			}
			continue
		case err = <-failed:
			err = fmt.Errorf("a listener ended: %w", err)
		case <-ctx.Done():
		}
		break
	}
	g.Drain()
	if err == nil {
		s.linger(failed)
	}
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	for _, server := range servers {
		if server.Shutdown(patient) != nil {
			s.log.Warn("calls that were still under way are cut off", "log_code", "serve_calls_cut_off", "after", drainTime)
			_ = server.Close()
		}
	}
	return err
}

// linger continues to serve for a while, so that a load balancer sees that it
// should send no more. A second signal ends the program at once.
func (s *service) linger(failed <-chan error) {
	grace := s.settings.DrainGrace
	switch {
	case grace < 0:
		return
	case grace == 0:
		grace = drainGrace
	}
	s.log.Info("the gateway is ending: /readyz says 503, and calls are served", "for", grace, "then_under_way_at_most", drainTime)
	select {
	case <-time.After(grace):
	case err := <-failed:
		s.log.Warn("a listener ended before its time", "log_code", "serve_listener_ended", "error", err)
	}
}

// pageHosts are the names under which browsers find the page.
func (s *service) pageHosts() []string {
	host, _, err := net.SplitHostPort(s.settings.Admin.Listen)
	if err != nil {
		return s.settings.Admin.Hosts
	}
	return append([]string{host}, s.settings.Admin.Hosts...)
}

// adminHandler is what the admin listener serves: the admin API, and the metrics,
// which the metrics key opens too.
func (s *service) adminHandler(g *gateway.Gateway, reload func() error) http.Handler {
	keys := s.settings.Admin
	mux := http.NewServeMux()
	mux.Handle("/", g.Admin(keys.Key, reload))
	mux.Handle("GET /metrics", g.Guard(metrics.Handler(g, metrics.Config{}), keys.Key, keys.MetricsKey))
	return mux
}

// reload takes the accounts of the configuration as it is now. What else it says
// needs a restart, and a change of it refuses the whole.
func (s *service) reload(g *gateway.Gateway) error {
	next, err := s.load()
	var unset interface{ Unset() string }
	switch {
	case errors.As(err, &unset):
		return fmt.Errorf("%w. A running gateway keeps the environment that it was started with: restart it, or use {file: PATH}, which is read again", err)
	case err != nil:
		return err
	}
	before, after := *s.settings, *next
	for _, f := range []struct {
		name    string
		changed bool
	}{
		{"listen", before.Listen != after.Listen},
		{"tls", before.TLS != after.TLS},
		{"plain_http", before.PlainHTTP != after.PlainHTTP},
		{"admin", before.Admin.Listen != after.Admin.Listen || before.Admin.PlainHTTP != after.Admin.PlainHTTP ||
			!before.Admin.Key.Equal(after.Admin.Key) ||
			!before.Admin.MetricsKey.Equal(after.Admin.MetricsKey) || !slices.Equal(before.Admin.Hosts, after.Admin.Hosts)},
		{"journal", before.Journal.File != after.Journal.File || before.Journal.Syslog != after.Journal.Syslog ||
			!before.Journal.Webhook.Equal(after.Journal.Webhook)},
		{"trusted_proxies", !slices.Equal(before.TrustedProxies, after.TrustedProxies)},
		{"store", before.Store != after.Store},
		{"api_base", before.APIBase != after.APIBase},
		{"wecom_base", before.WeComBase != after.WeComBase},
		{"login", before.Login != after.Login},
		{"log", before.Log != after.Log},
		{"timing", before.Timing != after.Timing},
		{"drain_grace", before.DrainGrace != after.DrainGrace},
	} {
		if f.changed {
			return fmt.Errorf("%s was changed, which needs a restart: accounts alone change without one", f.name)
		}
	}
	if err := g.Replace(next.Accounts); err != nil {
		return err
	}
	s.inUse(next)
	s.log.Info("the configuration was read again", "accounts", len(next.Accounts))
	return nil
}

// inUse notes which settings the gateway has.
func (s *service) inUse(settings *gateway.Settings) {
	fingerprint := ""
	if len(s.keys) > 0 {
		fingerprint = settings.Fingerprint(s.keys[0])
	}
	s.fingerprint.Store(&fingerprint)
}

// fingerprinted lets /healthz say which configuration is in use, for the doctor.
func (s *service) fingerprinted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fingerprint := *s.fingerprint.Load(); fingerprint != "" && r.URL.Path == "/healthz" {
			w.Header().Set(doctor.FingerprintHeader, fingerprint)
		}
		next.ServeHTTP(w, r)
	})
}

// listening is a server on its listener.
type listening struct {
	*http.Server

	on net.Listener
}

func (l *listening) serve() error {
	if l.TLSConfig != nil {
		return l.ServeTLS(l.on, "", "")
	}
	return l.Serve(l.on)
}

// door is where to listen, whether that may be in the clear, and how to say so.
type door struct {
	address string
	plain   bool
	how     string
}

// listen begins to listen, with TLS where it is configured, and refuses to speak
// plain HTTP to other machines unless that was asked for.
func (s *service) listen(ctx context.Context, at door, handler http.Handler) (*listening, string, error) {
	server := s.gate.Server(s.settings.TrustedProxies.Handler(handler))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", at.address)
	if err != nil {
		return nil, "", fmt.Errorf("cannot listen at %s: %w. Choose another address", at.address, err)
	}
	if s.certificates != nil {
		server.TLSConfig = s.certificates.config()
	}
	if s.settings.TLS.Cert != "" {
		plain := listener
		if listener, server.TLSConfig, err = s.settings.TLS.Listen(plain, s.log); err != nil {
			_ = plain.Close()
			return nil, "", usageError{err}
		}
	}
	base, reachable := baseOf(listener.Addr())
	if reachable && server.TLSConfig == nil && !at.plain {
		_ = listener.Close()
		return nil, "", mistake("%s can be reached from other machines, and keys would travel in the clear: configure tls, or listen at 127.0.0.1, or %s", at.address, at.how)
	}
	if server.TLSConfig != nil {
		base = "https" + strings.TrimPrefix(base, "http")
	}
	return &listening{Server: server, on: s.gate.Listen(listener)}, base, nil
}

// demo is the gateway with all that it needs, made up.
func (c *serveCmd) demo(ctx context.Context, t *terminal) (err error) {
	if c.Config != "" {
		return mistake("--demo and --config exclude one another: the demo makes its configuration up")
	}
	log, err := newLogger(t, gateway.Log{Level: slog.LevelWarn})
	if err != nil {
		return usageError{err}
	}
	folder, err := os.MkdirTemp("", "zhongkong-demo-")
	if err != nil {
		return fmt.Errorf("cannot make a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	wx, err := simulator.New(simulator.Options{Seed: c.Seed})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot listen for the simulated WeChat: %w", err)
	}
	keeper := gate.New(gate.Config{Log: log})
	weChat := keeper.Server(wx.Handler())
	go func() { _ = weChat.Serve(keeper.Listen(listener)) }()
	defer func() { _ = weChat.Close() }()

	path := filepath.Join(folder, "zhongkong.db")
	store, err := sqlite.Open(ctx, path, sqlite.Options{Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	account := wx.Accounts()[0]
	clients := gateway.NewClients(store, "demo")
	key, err := clients.Add(ctx, gateway.Client{Name: "demo", Accounts: []string{account.AppID}})
	if err != nil {
		return err
	}
	var seal [32]byte
	_, _ = rand.Read(seal[:]) // never fails, by its documentation
	settings := &gateway.Settings{
		DrainGrace: -1, // no load balancer is in front of it
		Listen:     c.Listen, APIBase: "http://" + listener.Addr().String(),
		Accounts: []gateway.Account{{AppID: account.AppID, Secret: custody.NewSecret(account.Secret), TokenAPI: platform.Classic}},
		Admin:    gateway.Admin{Listen: "127.0.0.1:0", Key: custody.NewSecret(rand.Text() + rand.Text())},
	}
	if settings.Listen == "" {
		settings.Listen = defaultListen
	}
	s := &service{
		settings: settings, log: log, keys: []custody.Secret{custody.NewSecret(string(seal[:]))}, plain: c.PlainHTTP, store: store,
		load: func() (*gateway.Settings, error) { return settings, nil },
	}
	return s.run(ctx, t, func(base string) {
		t.say("%s %s", t.bold("The gateway is at"), t.bold(base))
		t.say("%s", t.dim("WeChat is simulated at "+settings.APIBase+". The database is "+path+", removed at the end."))
		t.say("\nAn account, and the key of a program that may use it. The AppSecret stays here.\n")
		if runtime.GOOS == "windows" { // PowerShell
			t.say("$APPID = \"%s\"\n$KEY = \"%s\"\n", account.AppID, key.Reveal())
		} else {
			t.say("APPID=%s\nKEY=%s\n", account.AppID, key.Reveal())
		}
		t.say("%s", t.bold("Paste the two lines, and try"))
		for _, line := range [][2]string{
			{"fetch a token as any SDK does, the key being the secret", fmt.Sprintf(`curl "%s/cgi-bin/token?grant_type=client_credential&appid=$APPID&secret=$KEY"`, base)},
			{"or call any API without one", fmt.Sprintf(`curl -H "Authorization: Bearer $KEY" -H "X-WeChat-AppID: $APPID" %s/cgi-bin/get_api_domain_ip`, base)},
			{"let WeChat end the real token, then call again: nobody notices", fmt.Sprintf(`curl -X POST %s/simulator/accounts/$APPID/kill`, settings.APIBase)},
		} {
			t.say("\n  %s\n  %s", t.dim(line[0]), line[1])
		}
		t.say("\n%s %s", t.bold("Look at it"), t.dim("in a browser, with this key of the admin:"))
		t.say("\n  %s\n  %s", s.page, settings.Admin.Key.Reveal())
		t.say("\n%s", t.dim("Ctrl-C ends it."))
	})
}
