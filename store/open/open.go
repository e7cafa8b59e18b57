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

	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/storeurl"
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
	engine, err := storeurl.Check(address)
	if err != nil {
		return nil, err
	}
	switch engine {
	case storeurl.SQLite:
		path, _ := storeurl.Path(address) // checked
		return checked(sqlite.Open(ctx, path, sqlite.Options{Logger: options.Logger, NoMigrate: options.NoMigrate}))
	case storeurl.Redis:
		return checked(redis.Open(ctx, address, redis.Options{Logger: options.Logger}))
	case storeurl.Postgres:
		return checked(postgres.Open(ctx, address, postgres.Options{Logger: options.Logger, NoMigrate: options.NoMigrate}))
	case storeurl.MySQL:
		return checked(mysql.Open(ctx, address, mysql.Options{Logger: options.Logger, NoMigrate: options.NoMigrate}))
	default:
		return memory.New(), nil
	}
}

// Check says what is wrong with an address as far as that is known without opening
// anything: a scheme that no store has, a URL that cannot be read, a parameter that does not
// exist.
func Check(address string) error {
	_, err := storeurl.Check(address)
	return err
}

// Migrate brings the schema of the store that address names up to date
// (migrations.Up), takes its last step back with the data in it (Down), or only
// looks (Look), and returns how far it is then. [ErrNoSchema] where there is none.
func Migrate(ctx context.Context, address string, action migrations.Action) (migrations.Status, error) {
	engine, err := storeurl.Check(address)
	if err != nil {
		return migrations.Status{}, err
	}
	switch engine {
	case storeurl.SQLite:
		path, _ := storeurl.Path(address) // checked
		return sqlite.Migrate(ctx, path, sqlite.Options{}, action)
	case storeurl.Postgres:
		return postgres.Migrate(ctx, address, postgres.Options{}, action)
	case storeurl.MySQL:
		return mysql.Migrate(ctx, address, mysql.Options{}, action)
	default:
		return migrations.Status{}, ErrNoSchema
	}
}

// checked keeps the nil of a store's type out of the interface.
func checked[S store.Store](opened S, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	return opened, nil
}
