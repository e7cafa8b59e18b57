package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

const (
	// lockDocuments lets one change of documents happen at a time and hinders no
	// reader: versions become visible in their order.
	lockDocuments = `LOCK TABLE zhongkong_documents IN SHARE ROW EXCLUSIVE MODE`

	readDocuments = `SELECT kind, name, body, version FROM zhongkong_documents WHERE version > $1 ORDER BY version`

	findDocument = `SELECT version FROM zhongkong_documents WHERE kind = $1 AND name = $2 AND body IS NOT NULL`

	putDocument = `INSERT INTO zhongkong_documents (kind, name, body, version)
		SELECT $1, $2, $3, greatest((SELECT coalesce(max(version), 0) + 1 FROM zhongkong_documents), ` + now + `)
		ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body, version = excluded.version
		RETURNING version`

	noteUse = `INSERT INTO zhongkong_uses (at_us, actor, act, subject, detail) VALUES (` + now + `, $1, $2, $3, $4)`

	readUses = `SELECT at_us, actor, act, subject, detail FROM zhongkong_uses WHERE at_us >= ` + now + ` - $1 ORDER BY id DESC LIMIT $2`

	lookBeyond = `SELECT 1 FROM zhongkong_uses WHERE act = $1 ORDER BY id DESC LIMIT 1 OFFSET $2`

	countUses = `SELECT count(*) FROM zhongkong_uses WHERE act = $1 GROUP BY actor`

	trimShares = `DELETE FROM zhongkong_uses WHERE id IN (SELECT id FROM
		(SELECT id, row_number() OVER (PARTITION BY actor ORDER BY id DESC) AS place FROM zhongkong_uses WHERE act = $1) AS ranked
		WHERE place > $2)`

	trimOldUses = `DELETE FROM zhongkong_uses WHERE at_us < ` + now + ` - $1`

	trimManyUses = `DELETE FROM zhongkong_uses WHERE act = $1 AND id <=
		(SELECT id FROM zhongkong_uses WHERE act = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)`
)

// named puts the deployment's prefix into a statement.
func (e *engine) named(query string) string {
	return strings.ReplaceAll(query, migrations.Prefix, e.prefix)
}

// Documents implements [remote.LedgerEngine].
func (e *engine) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	var docs []store.Document
	if err := e.db.SelectContext(ctx, &docs, e.named(readDocuments), after); err != nil {
		return nil, e.failed(err)
	}
	return docs, nil
}

// Put implements [remote.LedgerEngine].
func (e *engine) Put(ctx context.Context, doc store.Document) (version int64, err error) {
	tx, err := e.db.BeginTxx(ctx, nil)
	if err != nil {
		return 0, e.failed(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, e.named(lockDocuments)); err != nil {
		return 0, e.failed(err)
	}
	var there int64 // of one that was not removed
	err = tx.GetContext(ctx, &there, e.named(findDocument), doc.Kind, doc.Name)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return 0, e.failed(err)
	case there != doc.Version:
		return 0, store.ErrConflict
	}
	if err := tx.GetContext(ctx, &version, e.named(putDocument), doc.Kind, doc.Name, doc.Body); err != nil {
		return 0, e.failed(err)
	}
	if err := tx.Commit(); err != nil {
		return 0, e.failed(err)
	}
	return version, nil
}

// Note implements [remote.LedgerEngine].
func (e *engine) Note(ctx context.Context, use store.Use) error {
	_, err := e.db.ExecContext(ctx, e.named(noteUse), use.Actor, use.Act, use.Subject, use.Detail)
	return e.failed(err)
}

// Uses implements [remote.LedgerEngine].
func (e *engine) Uses(ctx context.Context, limit int) ([]store.Use, error) {
	var lines []struct {
		AtUS    int64  `db:"at_us"`
		Actor   string `db:"actor"`
		Act     string `db:"act"`
		Subject string `db:"subject"`
		Detail  string `db:"detail"`
	}
	if err := e.db.SelectContext(ctx, &lines, e.named(readUses), remote.UseAge.Microseconds(), limit); err != nil {
		return nil, e.failed(err)
	}
	uses := make([]store.Use, 0, len(lines))
	for _, l := range lines {
		uses = append(uses, store.Use{At: time.UnixMicro(l.AtUS), Actor: l.Actor, Act: l.Act, Subject: l.Subject, Detail: l.Detail})
	}
	return uses, nil
}

// TrimUses implements [remote.LedgerEngine].
func (e *engine) TrimUses(ctx context.Context, act string, most int) error {
	if _, err := e.db.ExecContext(ctx, e.named(trimOldUses), remote.UseAge.Microseconds()); err != nil {
		return e.failed(err)
	}
	var beyond int // 1: there are more than most. It costs less than to count them by actor.
	err := e.db.GetContext(ctx, &beyond, e.named(lookBeyond), act, most)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return e.failed(err)
	}
	var counts []int
	if err := e.db.SelectContext(ctx, &counts, e.named(countUses), act); err != nil {
		return e.failed(err)
	}
	each, all := store.UseShare(counts, most)
	if _, err := e.db.ExecContext(ctx, e.named(trimShares), act, each); err != nil {
		return e.failed(err)
	}
	_, err = e.db.ExecContext(ctx, e.named(trimManyUses), act, all)
	return e.failed(err)
}
