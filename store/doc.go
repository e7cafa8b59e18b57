// Package store is what all stores have in common: the rules of a credential ([Row]),
// and what a store may offer apart from [custody.Store], as optional interfaces:
// [Ledger], documents and a journal, and [Queue], deliveries that wait.
//
// The engines are in folders of their own: store/sqlite for many processes on one
// machine, store/redis, store/postgres and store/mysql for many machines, and
// store/memory. Package store/open opens any of them by its URL, and store/storetest
// checks one of your own. For a file or a table of your own and a single process,
// [Func] makes a store of two functions.
package store
