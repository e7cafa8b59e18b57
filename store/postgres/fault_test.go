package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

// TestWrongURL: what cannot work is told without asking a server, and without
// the password.
func TestWrongURL(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{
		"Empty":     "",
		"Scheme":    "mysql://zhongkong:made-up-pa55word@127.0.0.1/app",
		"NoURL":     "host=127.0.0.1 password=made-up-pa55word",
		"Escape":    "postgres://zhongkong:made-up-pa55word%@127.0.0.1/app",
		"Port":      "postgres://zhongkong:made-up-pa55word@127.0.0.1:port/app",
		"Space":     "postgres://zhongkong:made-up-pa55word@127.0.0.1 /app",
		"SSLMode":   "postgres://zhongkong:made-up-pa55word@127.0.0.1/app?sslmode=sometimes",
		"RootCert":  "postgres://zhongkong:made-up-pa55word@127.0.0.1/app?sslmode=verify-full&sslrootcert=/no/such/file",
		"Migrate":   "postgres://zhongkong:made-up-pa55word@127.0.0.1/app?migrate=perhaps",
		"Prefix":    "postgres://zhongkong:made-up-pa55word@127.0.0.1/app?prefix=Shop-",
		"QueryPass": "postgres://127.0.0.1/app?user=x&password=made-up-pa55word&sslmode=sometimes",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tests.MustNotOpen(t, address, "the PostgreSQL store")
			_, err := Migrate(t.Context(), address, Options{}, migrations.Look)
			remotetest.MustSay(t, err, "the PostgreSQL store")
		})
	}
}

// TestFaults: what the server answers to a configuration that cannot work.
func TestFaults(t *testing.T) {
	t.Parallel()
	server := testserver.URL(t, testserver.Postgres)
	edit := func(f func(u *url.URL)) string {
		u, err := url.Parse(tests.Place(t, server))
		if err != nil {
			t.Fatal(err)
		}
		f(u)
		return u.String()
	}
	t.Run("WrongPassword", func(t *testing.T) {
		tests.MustNotOpen(t, edit(func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wrong-pa55word") }),
			"refuses user zhongkong or the password", "correct them in the URL")
	})
	t.Run("NoDatabase", func(t *testing.T) {
		tests.MustNotOpen(t, edit(func(u *url.URL) { u.Path = "/nowhere" }), "database nowhere", "does not exist", "CREATE DATABASE")
	})
	t.Run("NoTLS", func(t *testing.T) {
		tests.MustNotOpen(t, remotetest.With(t, server, "sslmode", "require"), "does not speak TLS", "sslmode=disable")
	})
	t.Run("NoSchema", func(t *testing.T) {
		tests.MustNotOpen(t, remotetest.With(t, server, "search_path", "nosuch"), "has no schema", "CREATE SCHEMA")
	})
	t.Run("ParameterOfAPool", func(t *testing.T) {
		tests.MustNotOpen(t, remotetest.With(t, server, "pool_max_conns", "4"), "does not know a parameter of the URL", "pool_max_conns", "leave it out")
	})
	t.Run("MissingSchema", func(t *testing.T) {
		address := tests.Place(t, server)
		tests.MustNotOpen(t, remotetest.With(t, address, "migrate", "off"), "schema version 0 where this program needs 5", "zhongkong migrate up")
		s, err := Open(t.Context(), address, Options{NoMigrate: true})
		if err == nil {
			_ = s.Close()
		}
		remotetest.MustSay(t, err, "zhongkong migrate up")
		if _, err := Migrate(t.Context(), address, Options{}, migrations.Up); err != nil {
			t.Fatal(err)
		}
		tests.OpenAt(t, remotetest.With(t, address, "migrate", "off"), nil)
	})
	t.Run("NewerSchema", func(t *testing.T) {
		address := tests.Place(t, server)
		s := tests.OpenAt(t, address, nil)
		raw(t, address, `INSERT INTO PREFIX_schema (version_id, is_applied) VALUES (4711, true)`)
		tests.MustNotOpen(t, address, "schema version 4711, and this program knows 5", "update this program")
		remotetest.MustLoad(t, s, "") // who runs goes on
		for _, action := range []migrations.Action{migrations.Up, migrations.Down} {
			_, err := Migrate(t.Context(), address, Options{}, action)
			remotetest.MustSay(t, err, "update this program")
		}
		raw(t, address, `INSERT INTO PREFIX_oldest (version, oldest) VALUES (4711, 4711)`)
		tests.MustNotOpen(t, address, "schema version 4711, and this program knows 5", "update this program")
		raw(t, address, `UPDATE PREFIX_oldest SET oldest = 5 WHERE version = 4711`) // it only added tables
		tests.OpenAt(t, address, nil)
		raw(t, address, `DELETE FROM PREFIX_schema WHERE version_id = 4711`)
		raw(t, address, `DELETE FROM PREFIX_oldest WHERE version = 4711`)
	})
	t.Run("TablesDropped", func(t *testing.T) {
		address := tests.Place(t, server)
		s := tests.OpenAt(t, address, nil)
		remotetest.Save(t, s, "value")
		if err := tests.Remove(t.Context(), address); err != nil {
			t.Fatal(err)
		}
		remotetest.MustLoad(t, s, "") // they are made again
		remotetest.Save(t, s, "value")

		s = tests.OpenAt(t, remotetest.With(t, address, "migrate", "off"), nil)
		if err := tests.Remove(t.Context(), address); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load(t.Context(), remotetest.Key)
		remotetest.MustSay(t, err, "zhongkong migrate up")
	})
}

// TestNoRight: a user who may not make tables, on a server of its own.
func TestNoRight(t *testing.T) {
	t.Parallel()
	server := testserver.Own(t, testserver.Postgres, tests.Start)
	raw(t, server.URL, `CREATE ROLE guest LOGIN PASSWORD '`+testserver.Password+`'`)
	raw(t, server.URL, `REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("guest", testserver.Password)
	tests.MustNotOpen(t, u.String(), "does not let user guest", "GRANT CREATE", "zhongkong migrate up")

	// Somebody else makes them; the rights on the tables are enough then.
	if _, err := Migrate(t.Context(), server.URL, Options{}, migrations.Up); err != nil {
		t.Fatal(err)
	}
	raw(t, server.URL, `GRANT SELECT ON zhongkong_schema TO guest`)
	raw(t, server.URL, `GRANT SELECT, INSERT, UPDATE, DELETE ON zhongkong_credentials, zhongkong_journal TO guest`)
	remotetest.Save(t, tests.OpenAt(t, u.String(), nil), "value")
}

// TestTLS: sslmode=verify-full with the authority's certificate works; without
// it, or without TLS, the error says so.
func TestTLS(t *testing.T) {
	t.Parallel()
	certificate, key := testserver.Certificate(t)
	server := testserver.Own(t, testserver.Postgres, func(ctx context.Context) (*testserver.Server, error) {
		return testserver.StartPostgres(ctx, "ssl=on", "ssl_cert_file="+certificate, "ssl_key_file="+key)
	})
	secure := remotetest.With(t, server.URL, "sslmode", "verify-full")
	tests.MustNotOpen(t, secure, "shows a certificate that is not trusted", "sslrootcert=")
	remotetest.Save(t, tests.OpenAt(t, remotetest.With(t, secure, "sslrootcert", certificate), nil), "value")
}

// TestReadOnly: a server that only reads is a replica, or a primary that is
// becoming one. It stops no start, and is used when it writes.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	server := testserver.Own(t, testserver.Postgres, tests.Start)
	s := tests.OpenAt(t, server.URL, nil)
	remotetest.Save(t, s, "value")
	raw(t, server.URL, `ALTER SYSTEM SET default_transaction_read_only = on`)
	raw(t, server.URL, `SELECT pg_reload_conf()`)
	says := []string{"only reads", "target_session_attrs=read-write", "promoted"}
	remotetest.Eventually(t, func() error { // the server takes a moment
		if lease, err := s.Acquire(t.Context(), remotetest.Key, "attempt", time.Minute); err != nil {
			remotetest.MustSay(t, err, says...)
			return nil
		} else if err := s.Release(t.Context(), lease, nil); err != nil {
			remotetest.MustSay(t, err, says...)
			return nil
		}
		return errors.New("the server still writes")
	})
	log := new(remotetest.Log)
	other := tests.OpenAt(t, server.URL, log)
	log.MustWarnOnce(t, says...)
	_, err := other.Load(t.Context(), remotetest.Key)
	remotetest.MustSay(t, err, says...)
	raw(t, server.URL, `ALTER SYSTEM RESET default_transaction_read_only`)
	raw(t, server.URL, `SELECT pg_reload_conf()`)
	remotetest.Eventually(t, func() error {
		_, err := other.Load(t.Context(), remotetest.Key)
		return err
	})
	remotetest.MustLoad(t, other, "value")
}

// TestExplain has what is hard to bring about.
func TestExplain(t *testing.T) {
	t.Parallel()
	e, err := newEngine("postgres://zhongkong:made-up-pa55word@db.example.com/app", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	for _, c := range []struct {
		err    error
		passes bool
		says   string
	}{
		{&pgconn.PgError{Code: "53100", Message: "could not extend file"}, true, "has no room left on its disk: make some"},
		{&pgconn.PgError{Code: "53300"}, true, "max_connections"},
		{&pgconn.PgError{Code: "25006"}, true, "only reads"},
		{&pgconn.PgError{Code: "3F000"}, false, "search_path"},
		{&pgconn.PgError{Code: "57P03"}, true, "cannot be reached"},
		{&pgconn.PgError{Code: "XX000", Message: "made-up-pa55word"}, true, "look at its log"},
		{&tls.CertificateVerificationError{Err: errors.New("unknown authority")}, false, "sslrootcert="},
		{context.DeadlineExceeded, true, "does not answer in time"},
	} {
		err := e.explain(c.err)
		remotetest.MustSay(t, err, "the PostgreSQL database app on db.example.com:5432", c.says)
		var fault *remote.FaultError
		if !errors.As(err, &fault) || fault.Passes != c.passes || !errors.Is(err, c.err) {
			t.Errorf("%v: passes: %v, want %v", c.err, !c.passes, c.passes)
		}
	}
	if !strings.Contains(e.explain(&pgconn.PgError{Code: "XX000", Message: "made-up-pa55word"}).Error(), "[secret]") {
		t.Error("what a driver says is not searched for the password")
	}
}

// TestMigrate: up, down and up again, with a look in between.
func TestMigrate(t *testing.T) {
	t.Parallel()
	address := tests.Place(t, testserver.URL(t, testserver.Postgres))
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
	if n := number(t, address, `SELECT count(*) FROM pg_class WHERE relname IN ('PREFIX_credentials', 'PREFIX_journal', 'PREFIX_messages')`); n != 0 {
		t.Errorf("%d tables are left", n)
	}
	run(migrations.Look, 0)
	run(migrations.Up, newest)
	remotetest.Save(t, tests.OpenAt(t, address, nil), "value")
	if _, err := Migrate(t.Context(), address, Options{}, "sideways"); err == nil {
		t.Error("no error for an action that does not exist")
	}
}
