package storetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// coarse is a store that keeps Unix milliseconds and has no optional ability.
type coarse struct{ custody.Store }

func (c coarse) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	record.End = record.End.Truncate(time.Millisecond)
	return c.Store.Save(ctx, lease, record)
}

func (c coarse) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	return c.Store.Shorten(ctx, key, fence, end.Truncate(time.Millisecond))
}

// TestCoarseStore: the suite takes a store for what its Options say.
func TestCoarseStore(t *testing.T) {
	t.Parallel()
	storetest.RunWith(t, storetest.Options{
		Open: func(*testing.T) func(*testing.T) custody.Store {
			return func(*testing.T) custody.Store { return coarse{memory.New()} }
		},
		Handles:   1,
		Precision: time.Millisecond,
	})
}
