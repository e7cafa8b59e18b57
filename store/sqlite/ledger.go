package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
)

var _ store.Ledger = (*Store)(nil)

// What the trail keeps; it is trimmed at every usePace-th line.
const (
	useLines = 100_000
	useAge   = 90 * 24 * time.Hour
	usePace  = 100
)

// Documents implements [store.Ledger].
func (s *Store) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	var rows []struct {
		store.Document
		Live bool `db:"live"` // a driver may read an empty body as nil, which is a removed one
	}
	err := s.read(ctx, func(ctx context.Context, db *sqlx.DB) error {
		rows = nil
		return db.SelectContext(ctx, &rows,
			`SELECT kind, name, body, version, body IS NOT NULL AS live FROM zhongkong_documents WHERE version > ? ORDER BY version`, after)
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	docs := make([]store.Document, len(rows))
	for i, row := range rows {
		docs[i] = row.Document
		if row.Live && docs[i].Body == nil {
			docs[i].Body = []byte{}
		}
	}
	return docs, nil
}

// Put implements [store.Ledger].
func (s *Store) Put(ctx context.Context, doc store.Document) (int64, error) {
	if err := doc.Check(); err != nil {
		return 0, err
	}
	var version int64
	err := s.write(ctx, false, func(ctx context.Context, tx *tx) error {
		var there struct {
			Version int64 `db:"version"`
			Live    bool  `db:"live"`
		}
		err := tx.GetContext(ctx, &there, `SELECT version, body IS NOT NULL AS live FROM zhongkong_documents WHERE kind = ? AND name = ?`, doc.Kind, doc.Name)
		switch {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		case there.Live && there.Version != doc.Version, !there.Live && doc.Version != 0:
			return store.ErrConflict
		}
		if err := tx.GetContext(ctx, &version, `SELECT coalesce(max(version), 0) + 1 FROM zhongkong_documents`); err != nil {
			return err
		}
		version = max(version, s.time().UnixMicro())
		_, err = tx.ExecContext(ctx,
			`INSERT INTO zhongkong_documents (kind, name, body, version) VALUES (?, ?, ?, ?)
			ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body, version = excluded.version`,
			doc.Kind, doc.Name, bytes.Clone(doc.Body), version)
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
		now := s.time()
		result, err := tx.ExecContext(ctx, `INSERT INTO zhongkong_uses (at_us, actor, act, subject, detail) VALUES (?, ?, ?, ?, ?)`,
			columns.Micros(now), use.Actor, use.Act, use.Subject, use.Detail)
		if err != nil {
			return err
		}
		id, err := result.LastInsertId()
		if err != nil || id%usePace != 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM zhongkong_uses WHERE at_us < ?`, columns.Micros(now.Add(-useAge))); err != nil {
			return err
		}
		// Of each act by itself: logins by the thousand push no admin act out.
		_, err = tx.ExecContext(ctx,
			`DELETE FROM zhongkong_uses WHERE act = ?1 AND id <=
			(SELECT id FROM zhongkong_uses WHERE act = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`, use.Act, useLines)
		return err
	})
}

// Uses implements [store.Ledger].
func (s *Store) Uses(ctx context.Context, limit int) ([]store.Use, error) {
	var lines []struct {
		AtUS    int64  `db:"at_us"`
		Actor   string `db:"actor"`
		Act     string `db:"act"`
		Subject string `db:"subject"`
		Detail  string `db:"detail"`
	}
	err := s.read(ctx, func(ctx context.Context, db *sqlx.DB) error {
		lines = nil
		return db.SelectContext(ctx, &lines,
			`SELECT at_us, actor, act, subject, detail FROM zhongkong_uses ORDER BY id DESC LIMIT ?`, max(limit, 0))
	})
	uses := make([]store.Use, 0, len(lines))
	for _, l := range lines {
		uses = append(uses, store.Use{At: time.UnixMicro(l.AtUS), Actor: l.Actor, Act: l.Act, Subject: l.Subject, Detail: l.Detail})
	}
	return uses, err
}
