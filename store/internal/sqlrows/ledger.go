package sqlrows

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/remote"
)

const (
	readDocuments = `SELECT kind, name, body, version, body IS NOT NULL AS live FROM zhongkong_documents WHERE version > ? ORDER BY version`

	// What is known of one document, and the version that it gets next.
	findDocument = `SELECT NEXT AS coming, COALESCE(d.version, 0) AS version, d.body IS NOT NULL AS live
		FROM (SELECT 1 AS one) t LEFT JOIN zhongkong_documents d ON d.kind = ? AND d.name = ?`

	putDocument = `INSERT INTO zhongkong_documents (kind, name, body, version) VALUES (?, ?, ?, ?) REPLACE`

	noteUse = `INSERT INTO zhongkong_uses (at_us, actor, act, subject, detail) VALUES (NOW, ?, ?, ?, ?)`

	readUses = `SELECT at_us, actor, act, subject, detail FROM zhongkong_uses WHERE at_us >= NOW - ? ORDER BY id DESC LIMIT ?`

	trimOldUses = `DELETE FROM zhongkong_uses WHERE at_us < NOW - ?`

	// Of each act by itself: logins by the thousand push no admin act out.
	lookBeyond = `SELECT id FROM zhongkong_uses WHERE act = ? ORDER BY id DESC LIMIT 1 OFFSET ?`

	countUses = `SELECT count(*) FROM zhongkong_uses WHERE act = ? GROUP BY actor`

	// The outer table, here and below, because MySQL does not delete from what it selects.
	trimShares = `DELETE FROM zhongkong_uses WHERE id IN (SELECT id FROM
		(SELECT id, row_number() OVER (PARTITION BY actor ORDER BY id DESC) AS place FROM zhongkong_uses WHERE act = ?) AS ranked
		WHERE place > ?)`

	trimManyUses = `DELETE FROM zhongkong_uses WHERE act = ? AND id <= (SELECT id FROM (` + lookBeyond + `) AS last)`
)

// Ledger is [store.Ledger] in a database or a transaction.
type Ledger struct {
	Calls

	Next    string // the version that the next document gets, as an expression with NOW
	Replace string // what ends an INSERT into zhongkong_documents that may take a row's place
}

// ReplaceOnConflict is how SQLite and PostgreSQL say [Ledger].Replace.
const ReplaceOnConflict = `ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body, version = excluded.version`

// Documents implements [store.Ledger].
func (l Ledger) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	var rows []struct {
		store.Document
		Live bool `db:"live"` // a driver may read an empty body as nil, which is a removed one
	}
	if err := l.Select(ctx, &rows, readDocuments, after); err != nil || len(rows) == 0 {
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

// Put implements [store.Ledger], in a transaction besides which nobody puts documents.
func (l Ledger) Put(ctx context.Context, doc store.Document) (int64, error) {
	var is struct {
		Next    int64 `db:"coming"`
		Version int64 `db:"version"`
		Live    bool  `db:"live"`
	}
	if err := l.Get(ctx, &is, strings.Replace(findDocument, "NEXT", l.Next, 1), doc.Kind, doc.Name); err != nil {
		return 0, err
	}
	there := store.Document{Version: is.Version}
	if is.Live {
		there.Body = []byte{}
	}
	put, err := there.Put(is.Next, 0, doc)
	if err != nil {
		return 0, err
	}
	_, err = l.Exec(ctx, strings.Replace(putDocument, "REPLACE", l.Replace, 1), doc.Kind, doc.Name, bytes.Clone(doc.Body), put.Version)
	return put.Version, err
}

// Note implements [store.Ledger].
func (l Ledger) Note(ctx context.Context, use store.Use) (sql.Result, error) {
	return l.Exec(ctx, noteUse, use.Actor, use.Act, use.Subject, use.Detail)
}

// Uses implements [store.Ledger].
func (l Ledger) Uses(ctx context.Context, limit int) ([]store.Use, error) {
	var lines []struct {
		AtUS    int64  `db:"at_us"`
		Actor   string `db:"actor"`
		Act     string `db:"act"`
		Subject string `db:"subject"`
		Detail  string `db:"detail"`
	}
	if err := l.Select(ctx, &lines, readUses, remote.UseAge.Microseconds(), min(max(limit, 0), remote.UseLines)); err != nil {
		return nil, err
	}
	uses := make([]store.Use, 0, len(lines))
	for _, u := range lines {
		uses = append(uses, store.Use{At: time.UnixMicro(u.AtUS), Actor: u.Actor, Act: u.Act, Subject: u.Subject, Detail: u.Detail})
	}
	return uses, nil
}

// TrimUses leaves of an act's lines what [store.UseShare] does where there are more than most,
// and removes those of every act that are too old.
func (l Ledger) TrimUses(ctx context.Context, act string, most int) error {
	if _, err := l.Exec(ctx, trimOldUses, remote.UseAge.Microseconds()); err != nil {
		return err
	}
	var beyond []int64 // costs less than to count the lines by actor
	if err := l.Select(ctx, &beyond, lookBeyond, act, most); err != nil || len(beyond) == 0 {
		return err
	}
	var counts []int
	if err := l.Select(ctx, &counts, countUses, act); err != nil {
		return err
	}
	each, all := store.UseShare(counts, most)
	if _, err := l.Exec(ctx, trimShares, act, each); err != nil {
		return err
	}
	_, err := l.Exec(ctx, trimManyUses, act, act, all)
	return err
}

// Server is [remote.LedgerEngine] on a server.
type Server struct {
	Ledger
	Pool    *sqlx.DB
	Lock    string // lets one change of documents happen at a time: versions become visible in their order
	Explain func(error) error
}

// Documents implements [remote.LedgerEngine].
func (s Server) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	docs, err := s.Ledger.Documents(ctx, after)
	return docs, s.Explain(err)
}

// Put implements [remote.LedgerEngine].
func (s Server) Put(ctx context.Context, doc store.Document) (int64, error) {
	version, err := s.put(ctx, doc)
	if errors.Is(err, store.ErrConflict) {
		return 0, err
	}
	return version, s.Explain(err)
}

func (s Server) put(ctx context.Context, doc store.Document) (int64, error) {
	tx, err := s.Pool.BeginTxx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	s.DB = tx
	if _, err := s.Exec(ctx, s.Lock); err != nil {
		return 0, err
	}
	version, err := s.Ledger.Put(ctx, doc)
	if err != nil {
		return 0, err
	}
	return version, tx.Commit()
}

// Note implements [remote.LedgerEngine].
func (s Server) Note(ctx context.Context, use store.Use) error {
	_, err := s.Ledger.Note(ctx, use)
	return s.Explain(err)
}

// Uses implements [remote.LedgerEngine].
func (s Server) Uses(ctx context.Context, limit int) ([]store.Use, error) {
	uses, err := s.Ledger.Uses(ctx, limit)
	return uses, s.Explain(err)
}

// TrimUses implements [remote.LedgerEngine].
func (s Server) TrimUses(ctx context.Context, act string, most int) error {
	return s.Explain(s.Ledger.TrimUses(ctx, act, most))
}
