package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/redis"
)

// storeCalls counts what a token costs where it is shared by way of a Redis: while
// it lives, when a process starts, and when it is renewed.
func storeCalls(b *bench) ([]row, error) {
	const of = ": a token while it lives; start of a process; a renewal"
	rows := []row{{ID: "store-calls", What: "calls of the store" + of}, {
		ID: "round-trips", What: "round trips to Redis" + of,
		Note: "Counted between the program and the Redis; connecting and heart beats are left out. zhongkong's renewal takes a lease, counts the fetch, and saves, each by reading a record and swapping it.",
		Why:  "**Round trips of a renewal.** Without a lease that survives its holder, a count of the day's fetches and a journal there is less to tell the store; it is once in two hours.",
	}}
	if b.redis != "" {
		return rows, nil
	}
	r, err := startRedis(b.ctx)
	if err != nil {
		return nil, err
	}
	defer r.stop()
	calls := make(map[string]sample)
	medians, err := turns(max(b.rounds, 3), b.names(onRedis), func(name string) (sample, error) {
		wire, err := tap(b.ctx, r.address)
		if err != nil {
			return nil, err
		}
		defer wire.close()
		if name == ours {
			var trips sample
			calls[name], trips, err = b.ourStoreCalls(wire)
			return trips, err
		}
		return b.theirRoundTrips(name, wire)
	})
	rows[0].Cells, rows[1].Cells = cells(exactly(calls), digits, digits, digits), cells(medians, digits, digits, digits)
	return rows, err
}

// ourStoreCalls counts the calls of a store on Redis, and the round trips that they
// take.
func (b *bench) ourStoreCalls(wire *wire) (calls, trips sample, err error) {
	const life, renewals = 5 * time.Second, 2 // a process has started, and is counted, before the first renewal
	w, err := b.newWorld(simulator.Options{Life: life, Overlap: time.Second})
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	inner, err := redis.Open(b.ctx, "redis://"+wire.address, redis.Options{})
	if err != nil {
		return nil, nil, err
	}
	store := &counted{Store: inner}
	defer func() { _ = store.Close() }()
	api, err := platform.New(platform.Config{Base: w.URL})
	if err != nil {
		return nil, nil, err
	}
	open := func() (*custody.Keeper, error) {
		secret := custody.NewSecret(w.Secret)
		return custody.New(custody.Config{
			Key:   api.Key(w.AppID, platform.Classic),
			Kind:  api.AccessToken(platform.Account{AppID: w.AppID, Secret: secret}, platform.Classic),
			Store: store, Secret: secret,
		})
	}
	keeper, err := open()
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = keeper.Close() }()
	if _, err := keeper.Token(b.ctx); err != nil {
		return nil, nil, err
	}
	reading := func(n float64, do func() error) error {
		c, t := store.calls.Load(), wire.trips.Load()
		err := do()
		calls = append(calls, float64(store.calls.Load()-c)/n)
		trips = append(trips, float64(wire.trips.Load()-t)/n)
		return err
	}
	const many = 1000
	err = reading(many, func() error {
		for range many {
			if _, err := keeper.Token(b.ctx); err != nil {
				return err
			}
		}
		return nil
	})
	err = errors.Join(err, reading(1, func() error {
		another, err := open()
		if err == nil {
			_, err = another.Token(b.ctx)
			err = errors.Join(err, another.Close())
		}
		return err
	}))
	issued := w.issued()
	return calls, trips, errors.Join(err, reading(renewals, func() error {
		for deadline := time.Now().Add(20 * time.Second); w.issued() < issued+renewals; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return errors.New("no renewal in 20 s")
			}
		}
		time.Sleep(life / 10) // the last answer is still to be saved
		return nil
	}))
}

// counted counts the calls of a store. It hides what the store can do beside.
type counted struct {
	custody.Store

	calls atomic.Int64
}

func (c *counted) Load(ctx context.Context, key custody.Key) (custody.Record, error) {
	c.calls.Add(1)
	return c.Store.Load(ctx, key)
}

func (c *counted) Acquire(ctx context.Context, key custody.Key, attempt string, ttl time.Duration) (custody.Lease, error) {
	c.calls.Add(1)
	return c.Store.Acquire(ctx, key, attempt, ttl)
}

func (c *counted) Begin(ctx context.Context, lease custody.Lease, notes []byte) error {
	c.calls.Add(1)
	return c.Store.Begin(ctx, lease, notes)
}

func (c *counted) Save(ctx context.Context, lease custody.Lease, record custody.Record) error {
	c.calls.Add(1)
	return c.Store.Save(ctx, lease, record)
}

func (c *counted) Release(ctx context.Context, lease custody.Lease, notes []byte) error {
	c.calls.Add(1)
	return c.Store.Release(ctx, lease, notes)
}

func (c *counted) Shorten(ctx context.Context, key custody.Key, fence int64, end time.Time) error {
	c.calls.Add(1)
	return c.Store.Shorten(ctx, key, fence, end)
}

// theirRoundTrips counts those of a peer.
func (b *bench) theirRoundTrips(name string, wire *wire) (sample, error) {
	const hold = 2 * time.Second
	options := simulator.Options{Life: hold}
	if name == "silenceper/wechat" {
		options.Life += 1500 * time.Second // it takes them off
	}
	w, err := b.newWorld(options)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	w.Redis = wire.address
	p, err := peerNamed(name)
	if err != nil {
		return nil, err
	}
	a, err := b.opened(p, w.at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close() }()
	began := time.Now()
	reading := func(n int, a account) (float64, error) {
		before := wire.trips.Load()
		for range n {
			if _, err := a.token(b.ctx); err != nil {
				return 0, err
			}
		}
		return float64(wire.trips.Load()-before) / float64(n), nil
	}
	living, err := reading(100, a)
	if err != nil {
		return nil, err
	}
	another, err := b.open(p, w.at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = another.Close() }()
	start, err := reading(1, another)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Until(began.Add(hold + hold/4)))
	issued := w.issued()
	renewal, err := reading(1, a)
	if err == nil && w.issued() != issued+1 {
		err = errors.New("it was to be renewed, and was not")
	}
	return sample{living, start, renewal}, err
}

// wire is a way to a Redis on which round trips are counted.
type wire struct {
	address string
	trips   atomic.Int64

	listener net.Listener
	cancel   context.CancelFunc
	all      sync.WaitGroup
}

func tap(ctx context.Context, to string) (*wire, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &wire{address: listener.Addr().String(), listener: listener, cancel: cancel}
	w.all.Go(func() {
		for {
			program, err := listener.Accept()
			if err != nil {
				return
			}
			w.all.Go(func() { w.carry(ctx, program, to) })
		}
	})
	return w, nil
}

func (w *wire) close() {
	_ = w.listener.Close()
	w.cancel()
	w.all.Wait()
}

// aside are the commands that are no part of a call.
var aside = [][]byte{[]byte("hello"), []byte("client"), []byte("auth"), []byte("select"), []byte("ping"), []byte("subscribe")}

func (w *wire) carry(ctx context.Context, program net.Conn, to string) {
	server, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		_ = program.Close()
		return
	}
	end := func() { _, _ = program.Close(), server.Close() }
	stop := context.AfterFunc(ctx, end)
	defer stop()
	var answered atomic.Bool
	answered.Store(true)
	var both sync.WaitGroup
	both.Go(func() {
		defer end()
		pass(server, program, func(sent []byte) {
			if answered.Swap(false) && !isAside(sent) { // what goes on before an answer is of the same trip
				w.trips.Add(1)
			}
		})
	})
	both.Go(func() { defer end(); pass(program, server, func([]byte) { answered.Store(true) }) })
	both.Wait()
}

// isAside looks at the first command of what is sent, such as "*2\r\n$3\r\nGET\r\n…".
func isAside(sent []byte) bool {
	parts := bytes.SplitN(sent, []byte("\r\n"), 4)
	if len(parts) < 4 {
		return false
	}
	for _, name := range aside {
		if bytes.EqualFold(parts[2], name) {
			return true
		}
	}
	return false
}

// pass copies what comes until an end, and tells of each piece.
func pass(to io.Writer, from io.Reader, heard func([]byte)) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			heard(buffer[:n])
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
