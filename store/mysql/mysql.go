// Package mysql keeps credentials in a MySQL (8.0 or later) or MariaDB (10.6 or
// later) database that any number of processes and machines share:
//
//	store, err := mysql.Open(ctx, "mysql://user:password@db.example.com:3306/app?tls=true", mysql.Options{Logger: logger})
//	if err != nil {
//		return err // the configuration is wrong; the text says what to change
//	}
//	defer store.Close()
//
// # URL
//
// User, password, host, port and database, as other programs have them.
// Parameters:
//
//	tls=true       TLS with a certificate that is checked; also preferred (TLS where
//	               the server has it, nothing is checked), skip-verify, and false,
//	               which is what holds without this parameter
//	ca=/path.pem   the authority that signed the server's certificate, with tls=true
//	socket=/path   a Unix socket, instead of host and port: mysql://user:password@/app?socket=/run/mysqld/mysqld.sock
//	prefix=shop_   begins the names of the tables; zhongkong_ unless given
//	migrate=off    leaves the schema alone at start; see [Migrate]
//
// # Clock, notices, cost
//
// Times are the server's, in UTC whatever its time zone. MySQL cannot tell other
// processes of a change, so they see it when they look: when their window opens,
// when a token is refused, and every second at most while they wait for a
// renewal. Reading costs one round trip, a writing call two. A pool has at most
// eight connections and gives them back after a minute without work. Who waits for
// another process's answer to a message (callback.Once) looks every quarter of a
// second.
//
// # Fail-over
//
// A server that is unavailable stops no program: [Open] returns the store, says so once
// at Warn, and every call tries again. A server with read_only set is taken for a
// replica, even by a user who might write. What a replica had not yet received
// when it was promoted is lost with the primary, which costs at most one more
// fetch for each credential; fences keep growing, because they follow the clock.
package mysql

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/storeurl"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// kind is what errors call the server, and what its URLs may hold.
var kind = storeurl.MySQL

// connectTime bounds an attempt to connect.
const connectTime = 5 * time.Second

// Options of [Open] and [Migrate]. The zero value is good.
type Options struct {
	// Logger receives what somebody should know: that the server cannot be
	// reached yet, that a record was damaged. Nil discards.
	Logger *slog.Logger

	// Prefix begins the names of the tables, so that deployments share a
	// database. "" takes the URL's prefix, or "zhongkong_".
	Prefix string

	// NoMigrate leaves the schema alone: Open fails when it is not the one that
	// this program needs. The same as migrate=off in the URL.
	NoMigrate bool
}

// Store implements [store.Store]. Make one with [Open].
type Store struct {
	remote.Once
	*remote.Ledger
	*remote.Queue
}

var _ store.Store = (*Store)(nil)

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
	return &Store{remote.WithMessages(s, e.messages()), e.ledger(s), e.queue(s)}, nil
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
	config    *driver.Config
	prefix    string
	noMigrate bool
	server    remote.Server
}

// read parses the URL. Whatever is wrong with it, no error shows it.
func read(address string, options Options) (settings, error) {
	u, err := kind.Read(address)
	if err != nil {
		return settings{}, err
	}
	database, socket := strings.Trim(u.Path, "/"), u.Get("socket")
	switch {
	case u.Hostname() == "" && socket == "":
		return settings{}, kind.Wrong("its URL names no host")
	case u.Hostname() != "" && socket != "":
		return settings{}, kind.Refuse("its URL names a host and a socket", "give the one or the other: mysql://user:password@/app?socket=/run/mysqld/mysqld.sock")
	case database == "":
		return settings{}, kind.Wrong("its URL names no database")
	}
	c := driver.NewConfig()
	c.User, c.Passwd = u.User.Username(), u.Password()
	c.Net, c.Addr, c.DBName = "tcp", u.Host, database
	switch {
	case socket != "":
		c.Net, c.Addr = "unix", socket
	case u.Port() == "":
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	c.Timeout = connectTime
	c.Logger = &driver.NopLogger{} // what it would write is in the errors
	c.ParseTime = true             // for the migrations' own table
	// A swap travels as one packet of several statements, with its arguments in
	// it: one round trip, and no lock is held while a process makes up its mind.
	c.MultiStatements, c.InterpolateParams = true, true
	// What a server's defaults may have changed: texts that do not fit are
	// errors, backslashes escape, and reading opens no transaction.
	c.Params = map[string]string{"sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'", "autocommit": "1"}

	switch transport, authority := u.Get("tls"), u.Get("ca"); {
	case transport == "true":
		if c.TLS, err = remote.Trust(u.Hostname(), authority); err != nil {
			return settings{}, kind.Refuse("ca in its URL", err.Error())
		}
	case authority != "":
		return settings{}, kind.Refuse("its URL has ca without tls=true", "say both")
	case transport != "false":
		c.TLSConfig = transport
	}
	s := settings{config: c, noMigrate: options.NoMigrate || u.Get("migrate") == "off"}
	if s.prefix, err = remote.Prefix(u, options.Prefix); err != nil {
		return settings{}, err
	}
	s.server = remote.Server{
		Kind: kind.Name, Place: fmt.Sprintf("database %s on %s", database, c.Addr),
		Password: custody.NewSecret(c.Passwd),
	}
	return s, nil
}
