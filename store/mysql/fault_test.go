package mysql

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// as is an URL with another user.
func as(t *testing.T, address, user, password string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

// TestWrongURL: what cannot work is told without asking a server, and without
// the password.
func TestWrongURL(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{
		"Empty":         "",
		"Scheme":        "postgres://zhongkong:made-up-pa55word@127.0.0.1/app",
		"DSN":           "zhongkong:made-up-pa55word@tcp(127.0.0.1:3306)/app",
		"Escape":        "mysql://zhongkong:made-up-pa55word%@127.0.0.1/app",
		"Port":          "mysql://zhongkong:made-up-pa55word@127.0.0.1:port/app",
		"NoHost":        "mysql://zhongkong:made-up-pa55word@/app",
		"HostAndSocket": "mysql://zhongkong:made-up-pa55word@127.0.0.1/app?socket=/run/x.sock",
		"NoDatabase":    "mysql://zhongkong:made-up-pa55word@127.0.0.1/",
		"TLS":           "mysql://zhongkong:made-up-pa55word@127.0.0.1/app?tls=sometimes",
		"CA":            "mysql://zhongkong:made-up-pa55word@127.0.0.1/app?tls=true&ca=/no/such/file",
		"CAWithoutTLS":  "mysql://zhongkong:made-up-pa55word@127.0.0.1/app?ca=/x.pem",
		"Migrate":       "mysql://zhongkong:made-up-pa55word@127.0.0.1/app?migrate=perhaps",
		"Prefix":        "mysql://zhongkong:made-up-pa55word@127.0.0.1/app?prefix=Shop-",
		"Parameter":     "mysql://zhongkong:made-up-pa55word@127.0.0.1/app?allowAllFiles=true",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tests.MustNotOpen(t, address, "the MySQL store")
			_, err := Migrate(t.Context(), address, Options{}, migrations.Look)
			remotetest.MustSay(t, err, "the MySQL store")
		})
	}
}

// TestSocket: a server of this machine is reached by its socket.
func TestSocket(t *testing.T) {
	t.Parallel()
	address := tests.Place(t, testserver.URL(t, testserver.MySQL))
	e, err := newEngine(address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	var socket string
	if err := e.db.GetContext(t.Context(), &socket, `SELECT @@socket`); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(socket); err != nil {
		t.Skipf("the server's socket is on another machine: %v", err)
	}
	u, err := url.Parse(remotetest.With(t, address, "socket", socket))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = ""
	s, err := Open(t.Context(), u.String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	remotetest.Save(t, s, "value")
	remotetest.MustLoad(t, s, "value")
}

// TestFaults: what the server answers to a configuration that cannot work.
func TestFaults(t *testing.T) {
	t.Parallel()
	server := testserver.URL(t, testserver.MySQL)
	tests.MustNotOpen(t, as(t, server, "zhongkong", "wrong-pa55word"), "refuses user zhongkong or the password", "correct them in the URL")
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/nowhere"
	tests.MustNotOpen(t, u.String(), "database nowhere", "does not exist", "CREATE DATABASE")

	address := tests.Place(t, server)
	tests.MustNotOpen(t, remotetest.With(t, address, "migrate", "off"), "schema version 0 where this program needs 5", "zhongkong migrate up")
	if _, err := Migrate(t.Context(), address, Options{}, migrations.Up); err != nil {
		t.Fatal(err)
	}
	s := tests.OpenAt(t, remotetest.With(t, address, "migrate", "off"), nil)
	raw(t, address, `INSERT INTO PREFIX_schema (version_id, is_applied) VALUES (4711, true)`)
	tests.MustNotOpen(t, address, "schema version 4711, and this program knows 5", "update this program")
	remotetest.MustLoad(t, s, "") // who runs goes on
	_, err = Migrate(t.Context(), address, Options{}, migrations.Up)
	remotetest.MustSay(t, err, "update this program")
	raw(t, address, `INSERT INTO PREFIX_oldest (version, oldest) VALUES (4711, 5)`) // it only added tables
	tests.OpenAt(t, address, nil)
	raw(t, address, `DELETE FROM PREFIX_schema WHERE version_id = 4711`)

	if err := tests.Remove(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	_, err = s.Load(t.Context(), remotetest.Key)
	remotetest.MustSay(t, err, "zhongkong migrate up")
	remotetest.Save(t, tests.OpenAt(t, address, nil), "value") // makes them
	remotetest.Eventually(t, func() error {
		_, err := s.Load(t.Context(), remotetest.Key)
		return err
	})
}

// TestOwnServer: what changes a server for everybody.
func TestOwnServer(t *testing.T) {
	t.Parallel()
	certificate, key := testserver.Certificate(t)
	server := testserver.Own(t, testserver.MySQL, func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartMySQL(
			ctx,
			"--ssl-cert="+certificate,
			"--ssl-key="+key,
			"--default-time-zone=+08:00",
			"--sql-mode=NO_BACKSLASH_ESCAPES",
			"--autocommit=0",
			"--innodb-file-per-table=0",
			"--innodb-data-file-path=ibdata1:12M:autoextend:max:24M",
		)
	})
	t.Run("NoRight", func(t *testing.T) {
		raw(t, server.URL, `CREATE USER guest@'%' IDENTIFIED BY '`+testserver.Password+`'; COMMIT`)
		guest := as(t, server.URL, "guest", testserver.Password)
		tests.MustNotOpen(t, guest, "does not let user guest", "GRANT CREATE", "zhongkong migrate up")
		if _, err := Migrate(t.Context(), server.URL, Options{}, migrations.Up); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"credentials", "journal", "messages", "schema"} {
			raw(t, server.URL, `GRANT SELECT, INSERT, UPDATE, DELETE ON zhongkong.zhongkong_`+table+` TO guest@'%'`)
		}
		remotetest.Save(t, tests.OpenAt(t, guest, nil), "value")
	})
	t.Run("Settings", func(t *testing.T) { // a time zone, no backslashes, no autocommit
		a, b := tests.OpenAt(t, server.URL, nil), tests.OpenAt(t, server.URL, nil)
		lease := remotetest.Save(t, a, `back\slash 'quoted'`)
		if d := time.Since(lease.Record.Now).Abs(); d > time.Minute {
			t.Errorf("the server's time is off by %v", d)
		}
		remotetest.MustLoad(t, b, `back\slash 'quoted'`)
		remotetest.Save(t, b, "next")
		remotetest.MustLoad(t, a, "next")
	})
	t.Run("TLS", func(t *testing.T) {
		secure := remotetest.With(t, server.URL, "tls", "true")
		tests.MustNotOpen(t, secure, "shows a certificate that is not trusted", "ca=")
		s := tests.OpenAt(t, remotetest.With(t, secure, "ca", certificate), nil)
		remotetest.MustLoad(t, s, "next")
		tests.OpenAt(t, remotetest.With(t, server.URL, "tls", "skip-verify"), nil)
		tests.OpenAt(t, remotetest.With(t, server.URL, "tls", "preferred"), nil)
	})
	t.Run("ReadOnly", func(t *testing.T) {
		s := tests.OpenAt(t, as(t, server.URL, "guest", testserver.Password), nil)
		raw(t, server.URL, `SET GLOBAL read_only = 1`)
		lease, err := s.Acquire(t.Context(), remotetest.Key, "attempt", time.Minute)
		if err == nil {
			err = s.Release(t.Context(), lease, nil)
		}
		says := []string{"only reads", "URL of the primary", "promoted"}
		remotetest.MustSay(t, err, says...)
		log := new(remotetest.Log)
		other := tests.OpenAt(t, server.URL, log) // though this user might write
		log.MustWarnOnce(t, says...)
		_, err = other.Load(t.Context(), remotetest.Key)
		remotetest.MustSay(t, err, says...)
		raw(t, server.URL, `SET GLOBAL read_only = 0`)
		remotetest.Eventually(t, func() error {
			_, err := other.Load(t.Context(), remotetest.Key)
			return err
		})
		remotetest.Save(t, s, "written")
	})
	t.Run("FullDisk", func(t *testing.T) {
		s := tests.OpenAt(t, server.URL, nil)
		e := other(t, server.URL)
		if _, err := e.db.ExecContext(t.Context(), `CREATE TABLE ballast (x longblob)`); err != nil {
			t.Fatal(err)
		}
		for size := 1 << 20; size > 1<<10; {
			if _, err := e.db.ExecContext(t.Context(), `INSERT INTO ballast VALUES (repeat('x', ?))`, size); err != nil {
				size /= 2
			}
		}
		// Each journal of a key grows until it needs a page.
		var err error
		for i := 0; err == nil && i < 5000; i++ {
			key := remotetest.Key
			key.AppID = fmt.Sprint(i)
			var lease custody.Lease
			lease, err = s.Acquire(t.Context(), key, "attempt", time.Minute)
			if err == nil {
				err = s.Save(t.Context(), lease, custody.Record{Value: strings.Repeat("x", 4096)})
			}
		}
		remotetest.MustSay(t, err, "has no room left on its disk", "make some")
		remotetest.MustLoad(t, s, "written")
	})
}

// TestExplain has what is hard to bring about.
func TestExplain(t *testing.T) {
	t.Parallel()
	e, err := newEngine("mariadb://zhongkong:made-up-pa55word@db.example.com/app", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	for _, c := range []struct {
		err    error
		passes bool
		says   string
	}{
		{&driver.MySQLError{Number: 1021}, true, "has no room left on its disk"},
		{&driver.MySQLError{Number: 1040}, true, "max_connections"},
		{&driver.MySQLError{Number: 1130}, false, "this host"},
		{&driver.MySQLError{Number: 1792}, true, "only reads"},
		{&driver.MySQLError{Number: 1053}, true, "cannot be reached"},
		{&driver.MySQLError{Number: 1999, Message: "made-up-pa55word"}, true, "[secret]"},
		{driver.ErrNoTLS, false, "switch TLS on"},
		{os.ErrDeadlineExceeded, true, "does not answer in time"},
	} {
		err := e.explain(c.err)
		remotetest.MustSay(t, err, "the MySQL database app on db.example.com:3306", c.says)
		var fault *remote.FaultError
		if !errors.As(err, &fault) || fault.Passes != c.passes || !errors.Is(err, c.err) {
			t.Errorf("%v: passes: %v, want %v", c.err, !c.passes, c.passes)
		}
	}
}

// TestMigrate: up, down and up again, with a look in between.
func TestMigrate(t *testing.T) {
	t.Parallel()
	address := tests.Place(t, testserver.URL(t, testserver.MySQL))
	const newest = 5
	run := func(action migrations.Action, version int64) {
		t.Helper()
		status, err := Migrate(t.Context(), address, Options{}, action)
		if err != nil {
			t.Fatalf("%s: %v", action, err)
		}
		if status.Version != version || status.Newest != newest || len(status.Steps) != newest {
			t.Fatalf("%s: got %+v, want version %d of %d", action, status, version, newest)
		}
		for _, step := range status.Steps {
			if step.Applied.IsZero() != (step.Number > version) {
				t.Fatalf("%s: at version %d: step %+v", action, version, step)
			}
		}
	}
	run(migrations.Look, 0)
	run(migrations.Down, 0)
	run(migrations.Up, newest)
	run(migrations.Up, newest)
	run(migrations.Look, newest)
	for version := int64(newest - 1); version >= 0; version-- {
		run(migrations.Down, version)
	}
	if n := number(t, address, `SELECT count(*) FROM information_schema.tables WHERE table_name IN ('PREFIX_credentials', 'PREFIX_journal', 'PREFIX_messages')`); n != 0 {
		t.Errorf("%d tables are left", n)
	}
	run(migrations.Up, newest)
	remotetest.Save(t, tests.OpenAt(t, address, nil), "value")
}

// TestBrokenOff: of two tables, which MySQL does not make in one step, the first
// is there already.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	address := tests.Place(t, testserver.URL(t, testserver.MySQL))
	if _, err := Migrate(t.Context(), address, Options{}, migrations.Up); err != nil {
		t.Fatal(err)
	}
	raw(t, address, `DROP TABLE PREFIX_journal`)
	raw(t, address, `DELETE FROM PREFIX_schema WHERE version_id > 0`)
	remotetest.Save(t, tests.OpenAt(t, address, nil), "value")
}
