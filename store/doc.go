// Package store is what all stores have in common: what they can do ([Store]), and the
// rules of what they keep, as pure functions that engines apply: a credential ([Row]), a
// message ([Claim]), a delivery ([Waiting]), a document ([Document]) and a line of the
// journal ([Use]).
//
// The engines are in folders of their own: store/sqlite for many processes on one
// machine, store/redis, store/postgres and store/mysql for many machines, and
// store/memory. Package store/open opens any of them by its URL, and store/storetest
// checks one of your own. For a file or a table of your own and a single process,
// [Func] makes a store of two functions.
package store

import (
	"context"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

// Store is what each engine of this module can do. Package custody needs only its own
// part; the gateway needs all of it. Some engines are a [custody.Watcher] as well:
// memory, Redis and PostgreSQL give notice of changes, SQLite and MySQL are looked at.
type Store interface {
	custody.Store
	custody.ManyLoader
	custody.Journal
	Once
	Ledger
	Queue
}

// Once is callback.Once, whose comment is the contract.
type Once interface {
	Claim(ctx context.Context, account, key, owner string, lease, keep time.Duration) (attempt, delivery int, age time.Duration, err error)
	Wait(ctx context.Context, key, owner string, lease time.Duration) (attempt int, answer []byte, err error)
	Hold(ctx context.Context, key, owner string, lease time.Duration) (held, kept bool, err error)
	Keep(ctx context.Context, key string, message []byte) (finished bool, answer []byte, err error)
	Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error)
	Take(ctx context.Context, account, owner string, lease time.Duration) (key string, message []byte, attempt int, err error)
}
