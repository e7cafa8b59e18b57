package remote

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/zhongkong-go/zhongkong/store"
)

// What the trail keeps; it is trimmed at about every usePace-th line.
const (
	UseLines = 100_000
	UseAge   = 90 * 24 * time.Hour
	usePace  = 100
)

// LedgerEngine is what an [Engine] needs in addition for a [Ledger].
type LedgerEngine interface {
	// Documents, Put, Note and Uses are those of [store.Ledger].
	Documents(ctx context.Context, after int64) ([]store.Document, error)
	Put(ctx context.Context, doc store.Document) (version int64, err error)
	Note(ctx context.Context, use store.Use) error
	Uses(ctx context.Context, limit int) ([]store.Use, error)

	// TrimUses leaves of an act's lines what [store.UseShare] does where there are more
	// than most, and removes those of every act that are older than UseAge.
	TrimUses(ctx context.Context, act string, most int) error
}

// Ledger implements [store.Ledger] next to a [Store], over the same engine.
type Ledger struct {
	store  *Store
	engine LedgerEngine
}

// NewLedger returns the ledger of a store whose engine has one.
func NewLedger(store *Store, engine LedgerEngine) *Ledger { return &Ledger{store, engine} }

// Documents implements [store.Ledger].
func (l *Ledger) Documents(ctx context.Context, after int64) ([]store.Document, error) {
	return call(ctx, l.store, func(ctx context.Context) ([]store.Document, error) {
		return again(ctx, func() ([]store.Document, error) { return l.engine.Documents(ctx, after) })
	})
}

// Put implements [store.Ledger].
func (l *Ledger) Put(ctx context.Context, doc store.Document) (int64, error) {
	if err := doc.Check(); err != nil {
		return 0, err
	}
	return call(ctx, l.store, func(ctx context.Context) (int64, error) { return l.engine.Put(ctx, doc) })
}

// Note implements [store.Ledger].
func (l *Ledger) Note(ctx context.Context, use store.Use) error {
	if err := use.Check(); err != nil {
		return err
	}
	_, err := call(ctx, l.store, func(ctx context.Context) (struct{}, error) {
		err := l.engine.Note(ctx, use)
		if err == nil && rand.IntN(usePace) == 0 {
			_ = l.engine.TrimUses(ctx, use.Act, UseLines) // the line is written; another will trim
		}
		return struct{}{}, err
	})
	return err
}

// Uses implements [store.Ledger].
func (l *Ledger) Uses(ctx context.Context, limit int) ([]store.Use, error) {
	return call(ctx, l.store, func(ctx context.Context) ([]store.Use, error) {
		return again(ctx, func() ([]store.Use, error) { return l.engine.Uses(ctx, min(max(limit, 0), UseLines)) })
	})
}

// TrimUses trims an act's lines now, to at most most by [store.UseShare]. Note does it
// now and then, to UseLines.
func (l *Ledger) TrimUses(ctx context.Context, act string, most int) error {
	_, err := call(ctx, l.store, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, l.engine.TrimUses(ctx, act, most)
	})
	return err
}
