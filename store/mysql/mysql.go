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
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// kind is what errors call the server.
const kind = "MySQL"

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
	return &Store{remote.WithMessages(s, e.messages()), remote.NewLedger(s, e), e.queue(s)}, nil
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
	const example = "give one such as mysql://user:password@db.example.com:3306/app?tls=true"
	wrong := func(what, remedy string) (settings, error) {
		return settings{}, remote.Misconfigured(kind, what, remedy)
	}
	u, err := url.Parse(address)
	if err != nil {
		return wrong("its URL cannot be read", example+", and write special characters of the password as %XX")
	}
	database := strings.Trim(u.Path, "/")
	switch {
	case u.Scheme != "mysql" && u.Scheme != "mariadb":
		return wrong("its URL does not begin with mysql://", example)
	case u.Hostname() == "" && u.Query().Get("socket") == "":
		return wrong("its URL names no host", example)
	case u.Hostname() != "" && u.Query().Get("socket") != "":
		return wrong("its URL names a host and a socket", "give the one or the other: mysql://user:password@/app?socket=/run/mysqld/mysqld.sock")
	case database == "":
		return wrong("its URL names no database", example)
	}
	c := driver.NewConfig()
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.Net, c.Addr, c.DBName = "tcp", u.Host, database
	if u.Port() == "" {
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	if socket := u.Query().Get("socket"); socket != "" {
		c.Net, c.Addr = "unix", socket
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

	s := settings{config: c, prefix: options.Prefix, noMigrate: options.NoMigrate}
	if err := s.parameters(u); err != nil {
		return settings{}, err
	}
	s.server = remote.Server{
		Kind: kind, Place: fmt.Sprintf("database %s on %s", database, c.Addr),
		Password: custody.NewSecret(c.Passwd),
	}
	return s, nil
}

// parameters adds what the URL says behind its question mark, and checks what goes
// together.
func (s *settings) parameters(u *url.URL) (err error) {
	var transport, authority string
	for name, values := range u.Query() {
		switch value := values[len(values)-1]; name {
		case "tls":
			transport = value
		case "ca":
			authority = value
		case "socket": // see read
		case "prefix":
			s.prefix = cmp.Or(s.prefix, value)
		case "migrate":
			if value != "on" && value != "off" {
				return remote.Misconfigured(kind, "migrate in its URL", "say on or off")
			}
			s.noMigrate = s.noMigrate || value == "off"
		default:
			return remote.Misconfigured(kind, "its URL has a parameter that does not exist", "use tls, ca, socket, prefix and migrate")
		}
	}
	s.prefix = cmp.Or(s.prefix, migrations.Prefix)
	if err := migrations.CheckPrefix(s.prefix); err != nil {
		return remote.Misconfigured(kind, "its prefix", err.Error())
	}
	if authority != "" && transport != "true" {
		return remote.Misconfigured(kind, "its URL has ca without tls=true", "say both")
	}
	switch transport {
	case "", "false":
	case "true":
		if s.config.TLS, err = trust(u.Hostname(), authority); err != nil {
			return remote.Misconfigured(kind, "ca in its URL", err.Error())
		}
	case "preferred", "skip-verify":
		s.config.TLSConfig = transport
	default:
		return remote.Misconfigured(kind, "tls in its URL", "say true, preferred, skip-verify or false")
	}
	return nil
}

// trust is for TLS with host.
func trust(host, authority string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if authority == "" {
		return config, nil
	}
	//nolint:gosec // the path is the caller's
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, errors.New("give the path of a file with a certificate in PEM form that this program may read")
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file holds no certificate in PEM form")
	}
	return config, nil
}
