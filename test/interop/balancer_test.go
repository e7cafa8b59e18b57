package interop

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// balancer is one address in front of several gateways, since an SDK knows one host
// alone: each connection goes to the next gateway that takes it, and ends when
// either side does. It reads nothing of what passes.
type balancer struct {
	url      string
	backends []*backend

	next  atomic.Int64
	conns sync.WaitGroup
}

// backend is one gateway of a balancer's.
type backend struct {
	address string
	taken   atomic.Int64 // connections, ever
	open    atomic.Int64 // and now
}

func newBalancer(tb testing.TB, addresses ...string) *balancer {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	b := &balancer{url: "http://" + listener.Addr().String()}
	for _, address := range addresses {
		b.backends = append(b.backends, &backend{address: address})
	}
	b.conns.Go(func() {
		for {
			program, err := listener.Accept()
			if err != nil {
				return
			}
			b.conns.Go(func() { b.carry(ctx, program) })
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		cancel()
		b.conns.Wait()
	})
	return b
}

// carry connects a program with a gateway until one of them hangs up.
func (b *balancer) carry(ctx context.Context, program net.Conn) {
	defer func() { _ = program.Close() }()
	first := int(b.next.Add(1))
	for i := range b.backends {
		to := b.backends[(first+i)%len(b.backends)]
		gateway, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", to.address)
		if err != nil {
			continue // it is dead, or about to be
		}
		to.taken.Add(1)
		to.open.Add(1)
		var both sync.WaitGroup
		end := func() { _, _ = program.Close(), gateway.Close() }
		stop := context.AfterFunc(ctx, end)
		both.Go(func() { defer end(); _, _ = io.Copy(gateway, program) })
		both.Go(func() { defer end(); _, _ = io.Copy(program, gateway) })
		both.Wait()
		stop()
		to.open.Add(-1)
		return
	}
}
