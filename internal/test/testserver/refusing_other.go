//go:build !unix

package testserver

import "testing"

// Refusing is an address that refuses connections, 127.0.0.1:port.
func Refusing(tb testing.TB) string {
	tb.Helper()
	return FreeAddr(tb)
}
