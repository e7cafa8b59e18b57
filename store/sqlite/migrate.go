package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/migrations"
)

// Migrate makes the database at path or brings it up to date (Up), takes the last
// step back with the data in it (Down), or only looks (Look), and returns how far
// the database is then. Down and Look make no file.
func Migrate(ctx context.Context, path string, options Options, action migrations.Action) (migrations.Status, error) {
	options.NoMigrate = false
	s, err := newStore(path, options)
	if err != nil {
		return migrations.Status{}, err
	}
	defer func() { _ = s.Close() }()
	if action == migrations.Up {
		s.makeFolder()
		f, err := s.opened(ctx, false)
		if err != nil {
			return migrations.Status{}, err
		}
		return set.Run(ctx, f.db.DB, migrations.Look)
	}
	file, err := resolve(s.path)
	if err == nil {
		_, err = os.Stat(file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return set.None()
	}
	if err != nil {
		return migrations.Status{}, explain(file, err)
	}
	db, err := sqlx.Open(driver, dsn(file, parameters))
	if err != nil {
		return migrations.Status{}, err
	}
	defer func() { _ = db.Close() }()
	var status migrations.Status
	run := func() (err error) {
		status, err = set.Run(ctx, db.DB, action)
		return err
	}
	if action == migrations.Down {
		under := run
		run = func() error { return locked(ctx, file, under) }
	}
	err = s.persist(ctx, run)
	if codeOf(err) != foreign {
		err = explain(file, err)
	}
	return status, err
}
