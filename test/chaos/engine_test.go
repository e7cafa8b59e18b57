//go:build unix && chaos

package chaos

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// engine is a store that eight processes share.
type engine struct {
	name string
	open func(t *testing.T) shared
}

// shared is a store that was started, and what can be done to it.
type shared struct {
	url    string             // for the workers
	server *testserver.Server // nil where there is none

	stop, start func(t *testing.T) // it answers nothing in between, and keeps its data

	// It answers and writes nothing until writable is called.
	readOnly func(t *testing.T) (writable func())
}

func engines() []engine {
	return []engine{
		{"SQLite", openSQLite},
		{string(testserver.Redis), func(t *testing.T) shared {
			t.Helper()
			s := testserver.Own(t, testserver.Redis, func(ctx context.Context) (*testserver.Server, error) {
				return testserver.StartRedis(ctx, "--appendonly", "yes", "--appendfsync", "always")
			})
			return served(s, s.URL, redisReadOnly)
		}},
		{string(testserver.Postgres), func(t *testing.T) shared {
			t.Helper()
			s := testserver.Own(t, testserver.Postgres, func(ctx context.Context) (*testserver.Server, error) { return testserver.StartPostgres(ctx) })
			return served(s, s.URL, postgresReadOnly)
		}},
		{string(testserver.MySQL), func(t *testing.T) shared {
			t.Helper()
			s := testserver.Own(t, testserver.MySQL, func(ctx context.Context) (*testserver.Server, error) { return testserver.StartMySQL(ctx) })
			return served(s, ordinaryUser(t, s), mysqlReadOnly)
		}},
	}
}

func served(s *testserver.Server, address string, readOnly func(t *testing.T, s *testserver.Server) func()) shared {
	return shared{
		url: address, server: s,
		stop: func(t *testing.T) {
			t.Helper()
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
		},
		start: func(t *testing.T) {
			t.Helper()
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		readOnly: func(t *testing.T) func() { t.Helper(); return readOnly(t, s) },
	}
}

// openSQLite has no server to stop: its folder is moved away, as when a disk is
// unmounted, and for reading only another program holds the write lock.
func openSQLite(t *testing.T) shared {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "zhongkong.db")
	move := func(from, to string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	return shared{
		url:  "sqlite:" + file,
		stop: move(folder, folder+".away"), start: move(folder+".away", folder),
		readOnly: func(t *testing.T) func() {
			t.Helper()
			db := openSQL(t, "sqlite3", "file:"+file+"?_txlock=immediate&_busy_timeout=10000")
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = tx.Rollback(); _ = db.Close() }
		},
	}
}

func openSQL(t *testing.T, driver, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// redisReadOnly asks for a replica that does not exist: writes are answered NOREPLICAS.
func redisReadOnly(t *testing.T, s *testserver.Server) func() {
	t.Helper()
	set := func(replicas string) {
		t.Helper()
		client := goredis.NewClient(&goredis.Options{Addr: s.Addr, Password: testserver.Password})
		defer func() { _ = client.Close() }()
		if err := client.ConfigSet(t.Context(), "min-replicas-to-write", replicas).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("1")
	return func() { set("0") }
}

// postgresReadOnly is what many fail-over tools do to the old primary.
func postgresReadOnly(t *testing.T, s *testserver.Server) func() {
	t.Helper()
	set := func(on string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(t.Context()) }()
		for _, statement := range []string{
			"SET default_transaction_read_only = off",
			"ALTER SYSTEM SET default_transaction_read_only = " + on,
			"SELECT pg_reload_conf()",
		} {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	set("on")
	return func() { set("off") }
}

func mysqlReadOnly(t *testing.T, s *testserver.Server) func() {
	t.Helper()
	root := openMySQL(t, s)
	set := func(on string) {
		t.Helper()
		if _, err := root.ExecContext(t.Context(), "SET GLOBAL read_only = "+on); err != nil {
			t.Fatal(err)
		}
	}
	set("1")
	return func() { set("0"); _ = root.Close() }
}

func openMySQL(t *testing.T, s *testserver.Server) *sql.DB {
	t.Helper()
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr = "root", "tcp", s.Addr
	return openSQL(t, "mysql", config.FormatDSN())
}

// ordinaryUser returns the URL for a user whom read_only stops: the server's own one
// has all rights, and writes all the same.
func ordinaryUser(t *testing.T, s *testserver.Server) string {
	t.Helper()
	db := openMySQL(t, s)
	defer func() { _ = db.Close() }()
	const name = "ordinary"
	for _, statement := range []string{
		"CREATE USER " + name + "@'%' IDENTIFIED BY '" + testserver.Password + "'",
		"GRANT ALL ON zhongkong.* TO " + name + "@'%'",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, testserver.Password)
	return u.String()
}
