package remotetest

import (
	"net/url"
	"testing"
)

// With is an URL with one more parameter.
func With(tb testing.TB, address, name, value string) string {
	tb.Helper()
	return change(tb, address, func(u *url.URL) {
		query := u.Query()
		query.Set(name, value)
		u.RawQuery = query.Encode()
	})
}

// Through is an URL that leads to addr.
func Through(tb testing.TB, address, addr string) string {
	tb.Helper()
	return change(tb, address, func(u *url.URL) { u.Host = addr })
}

// Host is where an URL leads to.
func Host(tb testing.TB, address string) (host string) {
	tb.Helper()
	change(tb, address, func(u *url.URL) { host = u.Host })
	return host
}

func change(tb testing.TB, address string, f func(u *url.URL)) string {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	f(u)
	return u.String()
}
