// Package open opens a store by its URL, whichever it is:
//
//	store, err := open.Open(ctx, os.Getenv("ZHONGKONG_STORE"), open.Options{Logger: logger})
//
// It links the drivers of all of them. A program that knows its store imports
// that one's package alone.
//
//	sqlite:zhongkong.db    a file, for the processes of one machine; sqlite:/absolute/path, or sqlite:///absolute/path
//	memory:                nothing lasts; for one process
//	redis://, rediss://    package store/redis says what may stand behind
//	postgres://            package store/postgres
//	mysql://, mariadb://   package store/mysql
package open

import (
	"context"
	"log/slog"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/mysql"
	"github.com/zhongkong-go/zhongkong/store/postgres"
	"github.com/zhongkong-go/zhongkong/store/redis"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// Options of [Open]. The zero value is good.
type Options struct {
	// Logger receives what somebody should know: that the store cannot be opened
	// yet, that a record was damaged. Nil discards.
	Logger *slog.Logger

	// NoMigrate leaves the schema alone: Open fails when it is not the one that
	// this program needs. It means nothing for memory: and redis:, which have none.
	NoMigrate bool
}

// ErrNoSchema is returned by Migrate for a store that has none.
var ErrNoSchema = named.Errorf("zhongkong", "this kind of store has no schema, so there is nothing to migrate")

// Open opens the store that address names. What it says of a configuration that
// cannot work, and of a server that is unavailable, is said in the store's own package.
func Open(ctx context.Context, address string, options Options) (store.Store, error) {
	switch scheme, rest := split(address); scheme {
	case "sqlite":
		path, err := sqlite.ParseURL(address)
		if err != nil {
			return nil, err
		}
		return checked(sqlite.Open(ctx, path, sqlite.Options{Logger: options.Logger, NoMigrate: options.NoMigrate}))
	case "memory":
		if rest != "" {
			return nil, named.Errorf("zhongkong", "the URL of the memory store is memory: and nothing more")
		}
		return memory.New(), nil
	case "redis", "rediss":
		return checked(redis.Open(ctx, address, redis.Options{Logger: options.Logger}))
	case "postgres", "postgresql":
		return checked(postgres.Open(ctx, address, postgres.Options{Logger: options.Logger, NoMigrate: options.NoMigrate}))
	case "mysql", "mariadb":
		return checked(mysql.Open(ctx, address, mysql.Options{Logger: options.Logger, NoMigrate: options.NoMigrate}))
	default:
		return nil, unknown(scheme)
	}
}

// Check says what is wrong with an address as far as that is known without opening
// anything: a scheme that no store has, or a URL of SQLite that cannot be read.
func Check(address string) error {
	switch scheme, _ := split(address); scheme {
	case "sqlite":
		_, err := sqlite.ParseURL(address)
		return err
	case "memory", "redis", "rediss", "postgres", "postgresql", "mysql", "mariadb":
		return nil
	default:
		return unknown(scheme)
	}
}

// Migrate brings the schema of the store that address names up to date
// (migrations.Up), takes its last step back with the data in it (Down), or only
// looks (Look), and returns how far it is then. [ErrNoSchema] where there is none.
func Migrate(ctx context.Context, address string, action migrations.Action) (migrations.Status, error) {
	switch scheme, _ := split(address); scheme {
	case "sqlite":
		path, err := sqlite.ParseURL(address)
		if err != nil {
			return migrations.Status{}, err
		}
		return sqlite.Migrate(ctx, path, sqlite.Options{}, action)
	case "memory", "redis", "rediss":
		return migrations.Status{}, ErrNoSchema
	case "postgres", "postgresql":
		return postgres.Migrate(ctx, address, postgres.Options{}, action)
	case "mysql", "mariadb":
		return mysql.Migrate(ctx, address, mysql.Options{}, action)
	default:
		return migrations.Status{}, unknown(scheme)
	}
}

// checked keeps the nil of a store's type out of the interface.
func checked[S store.Store](opened S, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	return opened, nil
}

func split(address string) (scheme, rest string) {
	scheme, rest, found := strings.Cut(address, ":")
	if !found {
		return "", "" // a path, or a secret in the wrong place: nothing to repeat
	}
	return strings.ToLower(scheme), rest
}

// unknown shows no more of a URL than how it begins: the rest may be a password.
func unknown(scheme string) error {
	const known = "begin it with sqlite:, memory:, redis://, rediss://, postgres:// or mysql://"
	if scheme == "" || strings.ContainsAny(scheme, "/@. ") || len(scheme) > 20 {
		return named.Errorf("zhongkong", "the URL of the store has no scheme: %s", known)
	}
	return named.Errorf("zhongkong", "there is no store %s: %s", scheme, known)
}
