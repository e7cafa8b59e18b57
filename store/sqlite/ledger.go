package sqlite

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
	"github.com/zhongkong-go/zhongkong/store/internal/sqlrows"
)

// usePace is at which lines the trail is trimmed.
const usePace = 100

// statements are those on db, at this moment.
func (s *Store) statements(db sqlrows.DB) sqlrows.Calls {
	return sqlrows.Calls{DB: db, Prefix: migrations.Prefix, NowUS: s.time().UnixMicro()}
}

// ledger is the ledger in db, at this moment.
func (s *Store) ledger(db sqlrows.DB) sqlrows.Ledger {
	return sqlrows.Ledger{
		Calls: s.statements(db), Replace: sqlrows.ReplaceOnConflict,
		Next: `max((SELECT coalesce(max(version), 0) + 1 FROM zhongkong_documents), NOW)`,
	}
}

// Documents implements [store.Ledger].
func (s *Store) Documents(ctx context.Context, after int64) (docs []store.Document, err error) {
	err = s.read(ctx, func(ctx context.Context, db *sqlx.DB) (err error) {
		docs, err = s.ledger(db).Documents(ctx, after)
		return err
	})
	return docs, err
}

// Put implements [store.Ledger].
func (s *Store) Put(ctx context.Context, doc store.Document) (version int64, err error) {
	if err := doc.Check(); err != nil {
		return 0, err
	}
	err = s.write(ctx, false, func(ctx context.Context, tx *tx) (err error) {
		version, err = s.ledger(tx).Put(ctx, doc)
		return err
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// Note implements [store.Ledger].
func (s *Store) Note(ctx context.Context, use store.Use) error {
	if err := use.Check(); err != nil {
		return err
	}
	return s.write(ctx, false, func(ctx context.Context, tx *tx) error {
		result, err := s.ledger(tx).Note(ctx, use)
		if err != nil {
			return err
		}
		id, err := result.LastInsertId()
		if err != nil || id%usePace != 0 {
			return err
		}
		return s.ledger(tx).TrimUses(ctx, use.Act, remote.UseLines)
	})
}

// TrimUses trims an act's lines now, to at most most by [store.UseShare]. Note does it
// now and then.
func (s *Store) TrimUses(ctx context.Context, act string, most int) error {
	return s.write(ctx, false, func(ctx context.Context, tx *tx) error { return s.ledger(tx).TrimUses(ctx, act, most) })
}

// Uses implements [store.Ledger].
func (s *Store) Uses(ctx context.Context, limit int) (uses []store.Use, err error) {
	err = s.read(ctx, func(ctx context.Context, db *sqlx.DB) (err error) {
		uses, err = s.ledger(db).Uses(ctx, limit)
		return err
	})
	return uses, err
}
