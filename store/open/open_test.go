package open_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/remotetest"
	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store/open"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// TestEmbedded: the stores that need no server, and what migrating them means.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"memory:", "sqlite:" + filepath.Join(t.TempDir(), "zhongkong.db")} {
		s, err := open.Open(t.Context(), address, open.Options{})
		if err != nil {
			t.Fatal(err)
		}
		remotetest.Save(t, s, "value")
		remotetest.MustLoad(t, s, "value")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestServers: each scheme leads to its engine; the schema is made, looked at
// and taken back where there is one.
func TestServers(t *testing.T) {
	t.Parallel()
	for _, engine := range testserver.Engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			address := remotetest.With(t, testserver.URL(t, engine), "prefix", testserver.Name()+"_")
			_, err := open.Migrate(t.Context(), address, migrations.Look)
			schema := !errors.Is(err, open.ErrNoSchema)
			if err != nil && schema {
				t.Fatal(err)
			}
			if schema {
				s, err := open.Open(t.Context(), address, open.Options{NoMigrate: true})
				if err == nil {
					_ = s.Close()
				}
				remotetest.MustSay(t, err, "zhongkong migrate up")
				if s != nil {
					t.Error("a store beside an error")
				}
			}
			s, err := open.Open(t.Context(), address, open.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			remotetest.Save(t, s, "value")
			remotetest.MustLoad(t, s, "value")
			if !schema {
				return
			}
			if status, err := open.Migrate(t.Context(), address, migrations.Look); err != nil || status.Version != status.Newest {
				t.Errorf("status: %+v, %v", status, err)
			}
			if status, err := open.Migrate(t.Context(), address, migrations.Down); err != nil || status.Version != status.Newest-1 {
				t.Errorf("down: %+v, %v", status, err)
			}
		})
	}
}

// TestUnknown: what is no store's URL is not repeated beyond its scheme.
func TestUnknown(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "zhongkong.db", "/var/lib/zhongkong.db", "mongodb://user:made-up-pa55word@127.0.0.1/",
		"user:made-up-pa55word@127.0.0.1", "made-up-pa55word", "//user:made-up-pa55word@h", "memory:zhongkong", "sqlite:",
		"redis://user:made-up-pa55word%@h", "mysql:user:made-up-pa55word@h", "postgres:user:made-up-pa55word@h",
	} {
		s, err := open.Open(t.Context(), address, open.Options{})
		if err == nil {
			_ = s.Close()
		}
		remotetest.MustSay(t, err, "zhongkong:")
		if !strings.Contains(address, "memory") && !strings.Contains(address, "redis") {
			_, err = open.Migrate(t.Context(), address, migrations.Look)
			remotetest.MustSay(t, err, "zhongkong:")
		}
	}
}

// TestSQLiteURL: one file has the same name in each form, and what would be taken for a
// part of its name is refused.
func TestSQLiteURL(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"sqlite:zhongkong.db": "zhongkong.db", "SQLite:a/b.db": "a/b.db", "sqlite:/a/b.db": "/a/b.db", "sqlite:///a/b.db": "/a/b.db",
		"sqlite:a%20b.db": "a%20b.db",
	} {
		if path, err := sqlite.ParseURL(address); err != nil || path != want {
			t.Errorf("%s: %q, %v, want %q", address, path, err, want)
		}
	}
	for address, want := range map[string]string{
		"sqlite:": "has no path", "sqlite://": "has no path", "sqlite://a.db": "write sqlite:a.db", "sqlite:a.db?mode=ro": "no parameters",
		"sqlite:a.db#x": "no parameters", "a.db": "begins with sqlite:",
	} {
		_, err := sqlite.ParseURL(address)
		remotetest.MustSay(t, err, want)
		_, err = open.Open(t.Context(), address, open.Options{})
		remotetest.MustSay(t, err, "zhongkong:")
	}
	file := filepath.Join(t.TempDir(), "zhongkong.db")
	for i, scheme := range []string{"sqlite:", "sqlite://"} {
		s, err := open.Open(t.Context(), scheme+file, open.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			remotetest.Save(t, s, "value")
		}
		remotetest.MustLoad(t, s, "value")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
