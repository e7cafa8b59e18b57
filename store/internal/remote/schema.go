package remote

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/zhongkong-go/zhongkong/migrations"
)

// Schema is what a SQL server has to hold before calls can be served.
type Schema struct {
	Set       migrations.Set
	DB        *sql.DB
	Server    Server
	NoMigrate bool

	// Lock runs do while no other process migrates the same tables.
	Lock func(ctx context.Context, do func(ctx context.Context) error) error

	// Explain says what an error of the driver means.
	Explain func(error) error
}

// Prepare brings the tables up to date. It looks first without a lock: on most
// days there is nothing to do, and of many first starts at once one does it.
func (s Schema) Prepare(ctx context.Context) error {
	ready, err := s.ready(ctx)
	if ready || err != nil {
		return err
	}
	return s.locked(ctx, func(ctx context.Context) error {
		ready, err := s.ready(ctx)
		if ready || err != nil {
			return err
		}
		_, err = s.Set.Run(ctx, s.DB, migrations.Up)
		return s.explain(err)
	})
}

// Run carries out what a person asked for.
func (s Schema) Run(ctx context.Context, action migrations.Action) (status migrations.Status, err error) {
	if action == migrations.Look {
		status, err = s.Set.Run(ctx, s.DB, action)
		return status, s.explain(err)
	}
	err = s.locked(ctx, func(ctx context.Context) error {
		status, err = s.Set.Run(ctx, s.DB, action)
		return s.explain(err)
	})
	return status, err
}

func (s Schema) locked(ctx context.Context, do func(ctx context.Context) error) error {
	return s.explain(s.Lock(ctx, do))
}

func (s Schema) ready(ctx context.Context) (bool, error) {
	_, newest, err := migrations.Of(s.Set.Dialect)
	if err != nil {
		return false, err
	}
	version, err := s.Set.Version(ctx, s.DB)
	switch {
	case err != nil:
		return false, s.explain(err)
	case version > newest:
		if tooNew, err := s.Set.TooNew(ctx, s.DB, version); tooNew || err != nil {
			return false, s.explain(cmp.Or[error](err, &migrations.NewerError{Version: version, Newest: newest}))
		}
		return true, nil
	case version == newest:
		return true, nil
	case s.NoMigrate:
		return false, &FaultError{
			Server: s.Server,
			What:   fmt.Sprintf("has the schema version %d where this program needs %d, and may not be migrated at start", version, newest),
			Remedy: "run `zhongkong migrate up` with this store's URL once, or let programs migrate at start",
		}
	}
	return false, nil
}

func (s Schema) explain(err error) error {
	var newer *migrations.NewerError
	var done *FaultError
	switch {
	case err == nil, errors.As(err, &done):
		return err
	case errors.As(err, &newer):
		return &FaultError{
			Server: s.Server,
			What:   fmt.Sprintf("has the schema version %d, and this program knows %d", newer.Version, newer.Newest),
			Remedy: "a newer release made its tables: update this program, or give it another prefix or database",
		}
	}
	return s.Explain(err)
}

// Evict closes the connections that lie idle in a pool. After a call without an
// answer they are suspect: behind a network that swallows packets each of them
// would cost another call its time.
func Evict(db *sql.DB, idle int) {
	db.SetMaxIdleConns(0) // closes them
	db.SetMaxIdleConns(idle)
}
