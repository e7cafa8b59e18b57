// Package redis keeps credentials in a Redis (6 or later) or a Valkey that any
// number of processes and machines share:
//
//	store, err := redis.Open(ctx, "rediss://user:password@redis.example.com:6379/0", redis.Options{Logger: logger})
//	if err != nil {
//		return err // the configuration is wrong; the text says what to change
//	}
//	defer store.Close()
//
// # URL
//
// redis:// or, with TLS, rediss://, then user, password, host, port and the
// number of the database, as other programs have it. Parameters:
//
//	addr=host:port          one more server, of a cluster or a sentinel; may be repeated
//	cluster=true            the servers are a cluster
//	master_name=mymaster    the servers are sentinels; follow this master
//	sentinel_user=, sentinel_password=   of the sentinels, where they want one
//	ca=/path/ca.pem         the authority that signed the server's certificate
//	prefix=shop:            begins the names of the keys; zhongkong: unless given
//
// # Keys
//
// A credential has two keys, a hash with the record and a list with its journal.
// Their names hold the credential's in braces, so that in a cluster both lie in
// one slot. A record has no expiry: it remembers fences, failures and counts. If
// Redis evicts it nevertheless (maxmemory with an allkeys policy), that costs one
// fetch; noeviction or a volatile policy is better.
//
// A message that was handled is a hash that ends by itself, after a day or more.
// One that was answered before it was handled is never evicted by a volatile
// policy; its name is in the sorted set of the account until then.
//
// # Clock, notices, cost
//
// Times are the server's. A change is announced to the other processes with PUBLISH;
// each process that listens holds one connection for it. Reading costs one round
// trip, a writing call two. A pool has at most eight connections to each server
// and gives them back after a minute without work. Who waits for another process's
// answer to a message (callback.Once) looks every quarter of a second.
//
// # Fail-over
//
// A server that is unavailable stops no program: [Open] returns the store, says so once
// at Warn, and every call tries again. Redis replicates after it has answered, so
// a fail-over, or a restart without an append-only file, may lose the last
// writes. That costs at most one more fetch for each credential: a lost lease
// lets a second process fetch, a lost value is saved back by the process that
// holds it. Fences keep growing, because they follow the clock.
//
// The driver reports connections that it cannot make on standard error as well;
// SetLogger of github.com/redis/go-redis/v9 is the program's to call.
package redis

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/storeurl"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// kind is what errors call the server, and what its URLs may hold.
var kind = storeurl.Redis

// Prefix begins the names of the keys, unless a deployment chooses another.
const Prefix = "zhongkong:"

// The pool of a process.
const (
	connections = 8
	idleTime    = time.Minute
	lifeTime    = 30 * time.Minute
	connectTime = 5 * time.Second
	answerTime  = 5 * time.Second // of a call; its ctx ends earlier as a rule
)

// Options of [Open]. The zero value is good.
type Options struct {
	// Logger receives what somebody should know: that the server cannot be
	// reached yet, that a record was damaged. Nil discards.
	Logger *slog.Logger

	// Prefix begins the names of the keys and of the notices' channel, so that
	// deployments share a server. "" takes the URL's prefix, or "zhongkong:".
	Prefix string
}

// Store implements [store.Store] and [custody.Watcher]. Make one with [Open].
type Store struct {
	remote.Once
	*remote.Ledger
	*remote.Queue
	engine *engine
}

var (
	_ store.Store     = (*Store)(nil)
	_ custody.Watcher = (*Store)(nil)
)

// Open connects to the server. It is an error when the configuration cannot
// work: a wrong URL, user or password, no right to the keys, records that a newer
// release wrote. When the server does not answer or only reads for the moment,
// Open waits five seconds at most, returns the store all the same, and the store
// keeps trying.
func Open(ctx context.Context, address string, options Options) (*Store, error) {
	e, err := newEngine(address, options)
	if err != nil {
		return nil, err
	}
	s, err := remote.Open(ctx, e, e.server, options.Logger)
	if err != nil {
		return nil, err
	}
	return &Store{
		Once:   remote.WithMessages(s, e),
		Ledger: remote.NewLedger(s, e),
		Queue:  remote.NewQueue(s, &queue{e}, nil, nil),
		engine: e,
	}, nil
}

// settings are what the URL and the options say together.
type settings struct {
	client *goredis.UniversalOptions
	prefix string
	server remote.Server
}

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$`)

// read parses the URL. Whatever is wrong with it, no error shows it.
func read(address string, options Options) (settings, error) {
	u, err := kind.Read(address)
	if err != nil {
		return settings{}, err
	}
	c := &goredis.UniversalOptions{
		Addrs: []string{withPort(u.Host)}, Username: u.User.Username(), Password: u.Password(),
		// The Keeper is who tries again; a call that did so by itself would count
		// a fetch twice.
		MaxRetries: -1, DialerRetries: 1,
		ContextTimeoutEnabled: true,
		DialTimeout:           connectTime, ReadTimeout: answerTime, WriteTimeout: answerTime, PoolTimeout: answerTime,
		PoolSize: connections, MaxActiveConns: connections, ConnMaxIdleTime: idleTime, ConnMaxLifetime: lifeTime,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		MasterName:               u.Get("master_name"), SentinelUsername: u.Get("sentinel_user"), SentinelPassword: u.Get("sentinel_password"),
	}
	for _, addr := range u.All("addr") {
		c.Addrs = append(c.Addrs, withPort(addr))
	}
	s := settings{client: c, prefix: cmp.Or(options.Prefix, u.Get("prefix"), Prefix)}
	if err := s.check(u); err != nil {
		return settings{}, err
	}
	if u.Scheme == "rediss" {
		if c.TLSConfig, err = remote.Trust(u.Hostname(), u.Get("ca")); err != nil {
			return settings{}, kind.Refuse("ca in its URL", err.Error())
		}
	}
	s.server = remote.Server{Kind: kind.Name, Place: "server " + strings.Join(c.Addrs, ", "), Password: custody.NewSecret(c.Password)}
	if c.MasterName != "" {
		s.server.Place = "master " + c.MasterName + " of the sentinels " + strings.Join(c.Addrs, ", ")
	}
	return s, nil
}

// check sets what has a form, and checks what goes together.
func (s *settings) check(u *storeurl.Address) (err error) {
	c := s.client
	if text := strings.Trim(u.Path, "/"); text != "" {
		if c.DB, err = strconv.Atoi(text); err != nil || c.DB < 0 {
			return kind.Wrong("the database in its URL is not a number")
		}
	}
	if text := u.Get("cluster"); text != "" {
		if c.IsClusterMode, err = strconv.ParseBool(text); err != nil {
			return kind.Refuse("cluster in its URL", "say true or false")
		}
	}
	switch {
	case u.Host == "":
		return kind.Wrong("its URL names no host")
	case !prefixForm.MatchString(s.prefix):
		return kind.Refuse("its prefix cannot begin a key", "use at most 64 letters, digits, '_', '.', ':' and '-', a letter or digit first")
	case c.IsClusterMode && c.MasterName != "":
		return kind.Refuse("its URL has cluster and master_name", "a cluster has no sentinels: leave one of them out")
	case c.IsClusterMode && c.DB != 0:
		return kind.Refuse("its URL has a database", "a cluster has only 0: leave it out, and use a prefix")
	case len(c.Addrs) > 1 && !c.IsClusterMode && c.MasterName == "":
		return kind.Refuse("its URL has several servers", "say what they are with cluster=true or master_name=")
	case u.Get("ca") != "" && u.Scheme != "rediss":
		return kind.Refuse("its URL has ca without TLS", "begin it with rediss://")
	}
	return nil
}

// withPort is host with Redis's usual port where it has none.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "6379")
}
