package platform

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// Evidence is what a transport reports, by [httptrace], about a request that it
// carries: whether WeChat can have got it. The zero value is ready, for one request and
// whatever attempts its transport makes of it.
type Evidence struct {
	asked  atomic.Bool  // a connection was looked for
	conns  atomic.Int32 // that were there, TLS and all
	broken atomic.Int32 // on which the request could not be written to its end
}

// Watch returns a ctx for the request that is to be watched.
func (e *Evidence) Watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { e.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { e.conns.Add(1) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err != nil {
				e.broken.Add(1)
			}
		},
	})
}

// Sent reports whether WeChat may have got the request that ended in err. It cannot
// have when there was no connection, or when on each one the request broke off before
// its last byte was written: what is not whole is not carried out. net/http reports that
// of requests that are longer than its buffer of 4 KiB; a shorter one that was given to a
// connection may have arrived. A transport that does
// not report its connections gets the benefit of the doubt for a failure to dial alone.
func (e *Evidence) Sent(err error) bool {
	if conns := e.conns.Load(); conns > 0 {
		return conns > e.broken.Load()
	}
	return !e.asked.Load() && !isDial(err)
}

// unsent reports whether there was no connection, so that nothing can have left. It
// believes a transport that reports its connections alone.
func (e *Evidence) unsent() bool { return e.asked.Load() && e.conns.Load() == 0 }

func isDial(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}
