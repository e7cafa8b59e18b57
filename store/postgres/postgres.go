// Package postgres keeps credentials in a PostgreSQL database (12 or later) that
// any number of processes and machines share:
//
//	store, err := postgres.Open(ctx, "postgres://user:password@db.example.com/app?sslmode=verify-full", postgres.Options{Logger: logger})
//	if err != nil {
//		return err // the configuration is wrong; the text says what to change
//	}
//	defer store.Close()
//
// # URL
//
// It is libpq's: several hosts, sslmode, sslrootcert, target_session_attrs and
// the rest mean what they mean there, and what the URL leaves out is taken from
// PGPASSWORD, PGSSLROOTCERT, ~/.pgpass and so on. With several hosts say
// target_session_attrs=read-write, and a fail-over is followed. Two parameters
// are this package's own:
//
//	prefix=shop_   begins the names of the tables; zhongkong_ unless given
//	migrate=off    leaves the schema alone at start; see [Migrate]
//
// # Clock, notices, cost
//
// Times are the server's. A change is announced to the other processes with NOTIFY;
// each process that listens holds one connection for it. Reading costs one round
// trip, a writing call two. A pool has at most eight connections and gives them
// back after a minute without work. Who waits for another process's answer to a
// message (callback.Once) looks every quarter of a second.
//
// A pooler in between (PgBouncer) may pool sessions or transactions. LISTEN does not work
// behind one that pools transactions; that is noticed, said at Info, and processes then
// see a change when they look, as with MySQL. A statement is never cancelled: one whose
// caller has left finishes on the server.
//
// # Fail-over
//
// A server that is unavailable stops no program: [Open] returns the store, says so once
// at Warn, and every call tries again. What a replica had not yet received when
// it was promoted is lost with the primary, which costs at most one more fetch
// for each credential; fences keep growing, because they follow the clock.
package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/storeurl"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// kind is what errors call the server, and what its URLs may hold.
var kind = storeurl.Postgres

// connectTime bounds an attempt to connect, unless the URL says otherwise.
const connectTime = 5 * time.Second

// Options of [Open] and [Migrate]. The zero value is good.
type Options struct {
	// Logger receives what somebody should know: that the server cannot be
	// reached yet, that a record was damaged. Nil discards.
	Logger *slog.Logger

	// Prefix begins the names of the tables and of the notices' channel, so that
	// deployments share a database. "" takes the URL's prefix, or "zhongkong_".
	Prefix string

	// NoMigrate leaves the schema alone: Open fails when it is not the one that
	// this program needs. The same as migrate=off in the URL.
	NoMigrate bool
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

// Open connects to the database and makes or migrates the tables. It is an error
// when the configuration cannot work: a wrong URL, user or password, a database
// that does not exist, tables that a newer release made, no right to make them.
// When the server does not answer or only reads for the moment, Open waits five
// seconds at most, returns the store all the same, and the store keeps trying.
func Open(ctx context.Context, address string, options Options) (*Store, error) {
	e, err := newEngine(address, options)
	if err != nil {
		return nil, err
	}
	s, err := remote.Open(ctx, e, e.server, options.Logger)
	if err != nil {
		return nil, err
	}
	return &Store{Once: remote.WithMessages(s, e.messages()), Ledger: e.ledger(s), Queue: e.queue(s), engine: e}, nil
}

// Migrate makes the tables or brings them up to date (Up), takes the last step
// back with the data in it (Down), or only looks (Look), and returns how far the
// database is then.
func Migrate(ctx context.Context, address string, options Options, action migrations.Action) (migrations.Status, error) {
	e, err := newEngine(address, options)
	if err != nil {
		return migrations.Status{}, err
	}
	defer func() { _ = e.Close() }()
	return e.schema().Run(ctx, action)
}

// settings are what the URL and the options say together.
type settings struct {
	config    *pgx.ConnConfig
	prefix    string
	noMigrate bool
	server    remote.Server
}

// read takes the URL apart. Whatever is wrong with it, no error shows it.
func read(address string, options Options) (settings, error) {
	u, err := kind.Read(address)
	if err != nil {
		return settings{}, err
	}
	s := settings{noMigrate: options.NoMigrate || u.Get("migrate") == "off"}
	if s.prefix, err = remote.Prefix(u, options.Prefix); err != nil {
		return settings{}, err
	}
	if s.config, err = pgx.ParseConfig(u.Foreign()); err != nil {
		said := quoted.ReplaceAllString(err.Error(), "the URL")
		return settings{}, kind.Refuse("its URL cannot work", "give one such as "+kind.Example+" ("+said+")")
	}
	if s.config.ConnectTimeout == 0 {
		s.config.ConnectTimeout = connectTime
	}
	// One round trip for each statement, and nothing left behind in the session:
	// the statements are few and cheap to plan.
	s.config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if s.config.RuntimeParams["application_name"] == "" {
		s.config.RuntimeParams["application_name"] = "zhongkong"
	}
	s.server = remote.Server{
		Kind:     kind.Name,
		Place:    fmt.Sprintf("database %s on %s", s.config.Database, hosts(s.config)),
		Password: custody.NewSecret(s.config.Password),
	}
	return s, nil
}

// quoted is the URL in an error of the driver about it.
var quoted = regexp.MustCompile("`[^`]*`")

// hosts names the servers that config may connect to.
func hosts(config *pgx.ConnConfig) string {
	text := fmt.Sprintf("%s:%d", config.Host, config.Port)
	for _, f := range config.Fallbacks { // each host again without TLS under sslmode=prefer
		if host := fmt.Sprintf("%s:%d", f.Host, f.Port); !strings.Contains(text, host) {
			text += ", " + host
		}
	}
	return text
}
