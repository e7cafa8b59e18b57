package sqlite

import (
	"bytes"
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
)

// What the trail keeps; it is trimmed at every usePace-th line.
const (
	useLines = 100_000
	useAge   = 90 * 24 * time.Hour
	usePace  = 100
)

// topAndDocument is the highest version of all, and what is known of one document.
const topAndDocument = `SELECT t.top, COALESCE(d.version, 0) AS version, d.body IS NOT NULL AS live
	FROM (SELECT COALESCE(max(version), 0) AS top FROM zhongkong_documents) t
	LEFT JOIN zhongkong_documents d ON d.kind = ? AND d.name = ?`

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
		var is struct {
			Top     int64 `db:"top"` // the highest version
			Version int64 `db:"version"`
			Live    bool  `db:"live"`
		}
		err := tx.GetContext(ctx, &is, topAndDocument, doc.Kind, doc.Name)
		if err != nil {
			return err
		}
		there := store.Document{Version: is.Version}
		if is.Live {
			there.Body = []byte{}
		}
		put, err := there.Put(s.time().UnixMicro(), is.Top, doc)
		if err != nil {
			return err
		}
		version = put.Version
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
		return s.trimUses(ctx, tx, use.Act, useLines)
	})
}

// TrimUses trims an act's lines now, to at most most by [store.UseShare]. Note does it
// now and then.
func (s *Store) TrimUses(ctx context.Context, act string, most int) error {
	return s.write(ctx, false, func(ctx context.Context, tx *tx) error { return s.trimUses(ctx, tx, act, most) })
}

func (s *Store) trimUses(ctx context.Context, tx *tx, act string, most int) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM zhongkong_uses WHERE at_us < ?`, columns.Micros(s.time().Add(-useAge))); err != nil {
		return err
	}
	// Of each act by itself: logins by the thousand push no admin act out.
	const beyond = `SELECT id FROM zhongkong_uses WHERE act = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2`
	var last []int64 // costs less than to count the lines by actor
	if err := tx.SelectContext(ctx, &last, beyond, act, most); err != nil || len(last) == 0 {
		return err
	}
	var counts []int
	if err := tx.SelectContext(ctx, &counts, `SELECT count(*) FROM zhongkong_uses WHERE act = ? GROUP BY actor`, act); err != nil {
		return err
	}
	each, all := store.UseShare(counts, most)
	if _, err := tx.ExecContext(ctx, `DELETE FROM zhongkong_uses WHERE id IN (SELECT id FROM
		(SELECT id, row_number() OVER (PARTITION BY actor ORDER BY id DESC) AS place FROM zhongkong_uses WHERE act = ?)
		WHERE place > ?)`, act, each); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM zhongkong_uses WHERE act = ?1 AND id <= (`+beyond+`)`, act, all)
	return err
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
