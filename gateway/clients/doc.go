// Package clients knows the programs that may use a gateway: their keys, which it makes
// and of which the store has hashes, their gateway tokens, and what each may do: accounts,
// paths, a rate, an end. Package gateway asks a [Registry]; a [Book] adds, rotates and
// revokes.
package clients
