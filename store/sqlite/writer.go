package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/jmoiron/sqlx/reflectx"

	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/sqlrows"
)

const (
	// batchMost is how many operations one transaction carries out at most, so that the
	// first of them does not wait long for the last.
	batchMost = 256

	// keptStatements is how many prepared statements a writer keeps at most. There are some
	// twenty, and those of a list have one for each length of it.
	keptStatements = 128

	// keptClaims is how many messages a writer remembers between their Claim and their
	// Finish. SQLite says whether another connection has written in the meantime.
	keptClaims = 4096
)

// operation is what one call changes. SQLite has one writer at a time and every commit
// waits for the disk, so all operations that wait while a transaction is under way are
// carried out together in the next one. Nobody waits for company: an operation that is
// alone begins at once.
type operation struct {
	f      *file
	ctx    context.Context
	do     func(ctx context.Context, tx *tx) error // may be carried out again after a rollback
	urgent bool                                    // goes before the others: credentials
	err    error
	done   chan struct{} // closed when err is final
}

// write carries out do in a transaction, perhaps with other calls', whose failures do not
// concern it.
func (s *Store) write(ctx context.Context, urgent bool, do func(ctx context.Context, tx *tx) error) error {
	return s.call(ctx, func(ctx context.Context, f *file) error {
		op := &operation{f: f, ctx: ctx, do: do, urgent: urgent, done: make(chan struct{})}
		s.mu.Lock()
		s.waiting = append(s.waiting, op)
		s.mu.Unlock()
		for {
			select {
			case <-op.done:
				return op.err
			case s.writing <- struct{}{}:
				s.lead(ctx, op)
				<-s.writing
			case <-ctx.Done():
				if s.leave(op) {
					return isBusy(f.path, ctx.Err())
				}
				<-op.done // it is a matter of milliseconds
				return op.err
			case <-s.done:
				if s.leave(op) {
					return errClosed
				}
				<-op.done
				return op.err
			}
		}
	})
}

// leave takes an operation back that no transaction has taken up.
func (s *Store) leave(op *operation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.waiting, op)
	if at >= 0 {
		s.waiting = slices.Delete(s.waiting, at, at+1)
	}
	return at >= 0
}

// lead carries out what waits for op's file. Who calls it holds s.writing. A lock of
// another program is waited for until ctx, which is op's, ends; what else was not carried
// out by then waits for the next leader.
func (s *Store) lead(ctx context.Context, op *operation) {
	select {
	case <-op.done: // the leader before has carried it out, and has just gone
		return
	default:
	}
	batch := s.batch(op.f)
	err := s.persist(ctx, func() error { return op.f.unlessMoved(op.f.transact(batch)) })
	switch {
	case errors.Is(err, errAlone):
		for _, one := range batch {
			alone := []*operation{one}
			s.settle(op, alone, s.persist(ctx, func() error { return op.f.unlessMoved(op.f.transact(alone)) }))
		}
	default:
		s.settle(op, batch, err)
	}
}

// settle ends the operations of a transaction. Where a lock of another program was in the
// way until the leader's time was over, that is the leader's error alone, and the others
// wait again.
func (s *Store) settle(leader *operation, batch []*operation, err error) {
	if codeOf(err) != busy {
		for _, one := range batch {
			one.finish(err)
		}
		return
	}
	if s.leave(leader) || slices.Contains(batch, leader) {
		leader.finish(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(slices.DeleteFunc(batch, func(one *operation) bool { return one == leader }), s.waiting...)
}

// finish tells an operation's call how it ended: with err, or with what do returned.
func (op *operation) finish(err error) {
	if err != nil {
		op.err = err
	}
	close(op.done)
}

// batch takes what waits for f, the urgent first.
func (s *Store) batch(f *file) (batch []*operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, urgent := range []bool{true, false} {
		s.waiting = slices.DeleteFunc(s.waiting, func(op *operation) bool {
			take := op.f == f && op.urgent == urgent && len(batch) < batchMost
			if take {
				batch = append(batch, op)
			}
			return take
		})
	}
	return batch
}

// errAlone: one of several operations failed in the middle of its changes, so that each
// has to be carried out in a transaction of its own.
var errAlone = errors.New("an operation of the batch failed")

// errGone: the file was closed while a call was about to write into it.
var errGone = errors.New("the database was closed")

// transact carries out the operations in one transaction. What an operation returns
// before it has changed anything concerns no other.
func (f *file) transact(batch []*operation) error {
	f.using.Lock()
	defer f.using.Unlock()
	ctx := context.Background()
	w, err := f.writer(ctx)
	if err != nil {
		return err
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	for _, op := range batch {
		tx := &tx{writer: w}
		op.err = op.do(context.WithoutCancel(op.ctx), tx)
		if op.err == nil || !tx.wrote && codeOf(op.err) == foreign {
			continue
		}
		w.rollBack(ctx)
		if len(batch) > 1 {
			return errAlone
		}
		return op.err
	}
	if err := w.run(ctx, "COMMIT"); err != nil {
		w.rollBack(ctx)
		return err
	}
	return nil
}

// writer is the connection that writes, with its statements.
type writer struct {
	conn    *sqlx.Conn
	kept    map[string]*sqlx.Stmt
	named   map[string]namedQuery
	claims  map[string]store.Claim // messages as they are in the file
	version int64                  // of the file when that was so
}

// begin begins a transaction. If another connection has written in the meantime, what this
// one remembers is worth nothing.
func (w *writer) begin(ctx context.Context) error {
	if err := w.run(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	var version int64
	if err := w.statement(ctx, "PRAGMA data_version").GetContext(ctx, &version); err != nil {
		w.rollBack(ctx)
		return err
	}
	if version != w.version {
		w.version = version
		clear(w.claims)
	}
	return nil
}

// rollBack ends a transaction. It fails where SQLite has done so by itself.
func (w *writer) rollBack(ctx context.Context) {
	clear(w.claims)
	_ = w.run(ctx, "ROLLBACK")
}

// remember keeps what was written about a message that is being handled.
func (w *writer) remember(key string, c store.Claim) {
	if c.Finished {
		delete(w.claims, key)
		return
	}
	if len(w.claims) >= keptClaims {
		clear(w.claims)
	}
	w.claims[key] = c
}

// namedQuery is a query with names in it, made one with question marks.
type namedQuery struct {
	query string
	names []string
}

// writer returns the file's writer. f.using is held.
func (f *file) writer(ctx context.Context) (*writer, error) {
	if f.gone {
		return nil, errGone
	}
	if f.writes == nil {
		conn, err := f.db.Connx(ctx)
		if err != nil {
			return nil, err
		}
		f.writes = &writer{conn: conn, kept: map[string]*sqlx.Stmt{}, named: map[string]namedQuery{}, claims: map[string]store.Claim{}}
	}
	return f.writes, nil
}

func (w *writer) close() {
	for _, statement := range w.kept {
		_ = statement.Close()
	}
	_ = w.conn.Close()
}

// statement is a query that was prepared, or is each time it runs.
type statement interface {
	ExecContext(ctx context.Context, args ...any) (sql.Result, error)
	GetContext(ctx context.Context, dest any, args ...any) error
	SelectContext(ctx context.Context, dest any, args ...any) error
	QueryRowxContext(ctx context.Context, args ...any) *sqlx.Row
}

// unprepared is one of too many statements to keep, or one that cannot be prepared and
// says so when it runs.
type unprepared struct {
	conn  *sqlx.Conn
	query string
}

func (u unprepared) ExecContext(ctx context.Context, args ...any) (sql.Result, error) {
	return u.conn.ExecContext(ctx, u.query, args...)
}

func (u unprepared) GetContext(ctx context.Context, dest any, args ...any) error {
	return u.conn.GetContext(ctx, dest, u.query, args...)
}

func (u unprepared) SelectContext(ctx context.Context, dest any, args ...any) error {
	return u.conn.SelectContext(ctx, dest, u.query, args...)
}

func (u unprepared) QueryRowxContext(ctx context.Context, args ...any) *sqlx.Row {
	return u.conn.QueryRowxContext(ctx, u.query, args...)
}

func (w *writer) statement(ctx context.Context, query string) statement {
	if kept := w.kept[query]; kept != nil {
		return kept
	}
	if len(w.kept) < keptStatements {
		if prepared, err := w.conn.PreparexContext(ctx, query); err == nil {
			w.kept[query] = prepared
			return prepared
		}
	}
	return unprepared{w.conn, query}
}

func (w *writer) run(ctx context.Context, query string) error {
	_, err := w.statement(ctx, query).ExecContext(ctx)
	return err
}

// tx is a transaction as one operation sees it.
type tx struct {
	*writer
	wrote bool
}

var _ sqlrows.DB = (*tx)(nil)

// ExecContext changes something.
func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	t.wrote = true
	return t.statement(ctx, query).ExecContext(ctx, args...)
}

// tagged finds the fields of a struct by their tags.
var tagged = reflectx.NewMapperFunc("db", strings.ToLower)

var placeholder = regexp.MustCompile(`:[a-z_]+`)

// NamedExecContext changes something with the fields of arg.
func (t *tx) NamedExecContext(ctx context.Context, query string, arg any) (sql.Result, error) {
	n, ok := t.named[query]
	if !ok {
		n.query = placeholder.ReplaceAllStringFunc(query, func(found string) string {
			n.names = append(n.names, found[1:])
			return "?"
		})
		t.named[query] = n
	}
	values := tagged.FieldsByName(reflect.ValueOf(arg), n.names)
	args := make([]any, len(values))
	for i, value := range values {
		args[i] = value.Interface()
	}
	return t.ExecContext(ctx, n.query, args...)
}

// GetContext reads one row into dest.
func (t *tx) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	return t.statement(ctx, query).GetContext(ctx, dest, args...)
}

// SelectContext reads rows into dest.
func (t *tx) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	return t.statement(ctx, query).SelectContext(ctx, dest, args...)
}

// QueryRowxContext reads one row.
func (t *tx) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	return t.statement(ctx, query).QueryRowxContext(ctx, args...)
}

// Rebind has nothing to do: SQLite's placeholders are question marks.
func (*tx) Rebind(query string) string { return query }
