package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/test/benchmarks/figures"
)

// closeAll closes what was opened.
func closeAll(all map[string]account) {
	for _, a := range all {
		_ = a.Close()
	}
}

// repeated measures a call that is too short for one: n calls in some
// milliseconds, and the time of one.
func repeated(call func() error) (sample, error) {
	for n := 1; ; n *= 2 {
		began := time.Now()
		for range n {
			if err := call(); err != nil {
				return nil, err
			}
		}
		if took := time.Since(began); took > 2*time.Millisecond {
			return sample{float64(took.Nanoseconds()) / float64(n)}, nil
		}
	}
}

// perCall measures calls in many short turns.
func (b *bench) perCall(calls map[string]func() (sample, error)) (map[string]spread, error) {
	list := []string{floor}
	for _, p := range peers {
		if calls[p.name] != nil {
			list = append(list, p.name)
		}
	}
	return turns(max(b.rounds, 5)*6+1, list, func(name string) (sample, error) { return calls[name]() })
}

// timed is a call that perCall measures.
func timed(call func() error) func() (sample, error) {
	return func() (sample, error) { return repeated(call) }
}

// tokenOf measures an account's token.
func (b *bench) tokenOf(a account) func() (sample, error) {
	if n, ok := a.(*nodeAccount); ok {
		return func() (sample, error) {
			s := make(sample, 1)
			return s, n.ask(b.ctx, "repeat", nil, &s[0])
		}
	}
	return timed(func() error { _, err := a.token(b.ctx); return err })
}

// currentToken is the token while it lives, on each one's default store.
func currentToken(b *bench) ([]row, error) {
	calls := map[string]func() (sample, error){floor: timed(atomicLoad())}
	all := make(map[string]account)
	defer func() { closeAll(all) }()
	for _, name := range b.names(nil) {
		p, _ := peerNamed(name)
		w, err := b.newWorld(simulator.Options{})
		if err != nil {
			return nil, err
		}
		defer w.Close()
		a, err := b.opened(p, w.at)
		if err != nil {
			return nil, err
		}
		all[name], calls[name] = a, b.tokenOf(a)
	}
	medians, err := b.perCall(calls)
	return []row{{
		ID: "current", What: "current token, while it lives", Cells: cells(medians, duration),
		Note: "Each with its default store: zhongkong a SQLite file behind a value in memory, fastwego/offiaccount a file, the others memory. The floor is an atomic load and time.Now. What is short is measured in node itself for co-wechat-api.",
		Why:  "**Current token.** chanxuehong/wechat loads a pointer that a timer replaces; zhongkong reads the clock as well, so that a process that was paused hands out no dead token.",
	}}, err
}

// opened opens an account that has its token.
func (b *bench) opened(p peer, where at) (account, error) {
	a, err := b.open(p, where)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	if _, err := a.token(b.ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, errors.Join(err, a.Close()))
	}
	return a, nil
}

func atomicLoad() func() error {
	var p atomic.Pointer[time.Time]
	end := time.Now().Add(time.Hour)
	p.Store(&end)
	return func() error {
		if time.Now().After(*p.Load()) {
			return errors.New("over")
		}
		return nil
	}
}

// currentTokenRedis is the same where the token is shared by way of a Redis.
func currentTokenRedis(b *bench) ([]row, error) {
	if b.redis != "" {
		return []row{{ID: "current-redis", What: "current token, shared on Redis"}}, nil
	}
	r, err := startRedis(b.ctx)
	if err != nil {
		return nil, err
	}
	defer r.stop()
	client := goredis.NewClient(&goredis.Options{Addr: r.address})
	defer func() { _ = client.Close() }()
	if err := client.Set(b.ctx, "floor", "x", 0).Err(); err != nil {
		return nil, err
	}
	calls := map[string]func() (sample, error){floor: timed(func() error { return client.Get(b.ctx, "floor").Err() })}
	all := make(map[string]account)
	defer func() { closeAll(all) }()
	for _, name := range b.names(onRedis) {
		p, _ := peerNamed(name)
		w, err := b.newWorld(simulator.Options{})
		if err != nil {
			return nil, err
		}
		defer w.Close()
		w.Redis = r.address
		a, err := b.opened(p, w.at)
		if err != nil {
			return nil, err
		}
		all[name], calls[name] = a, b.tokenOf(a)
	}
	medians, err := b.perCall(calls)
	return []row{{
		ID: "current-redis", What: "current token, shared on Redis", Cells: cells(medians, duration),
		Note: "The floor is one GET. zhongkong asks Redis when its value is about to end, was refused, or a notice says that it changed.",
	}}, err
}

// coldCallers has 1,000 goroutines ask for the first token at once.
func coldCallers(b *bench) ([]row, error) {
	const callers = 1000
	list := append([]string{floor}, b.names(nil)...)
	medians, err := turns(b.rounds, list, func(name string) (sample, error) {
		w, err := b.newWorld(simulator.Options{})
		if err != nil {
			return nil, err
		}
		defer w.Close()
		w.Delay(simulator.Fetches, 5*time.Millisecond)
		if name == floor {
			began := time.Now()
			_, err := fetch(b.ctx, w.at)
			return sample{float64(time.Since(began)), w.issued()}, err
		}
		p, err := peerNamed(name)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		a, err := b.open(p, w.at)
		if err != nil {
			return nil, err
		}
		defer func() { _ = a.Close() }()
		if n, ok := a.(*nodeAccount); ok {
			var got struct{ Took, Failed float64 }
			err := n.ask(b.ctx, "cold", map[string]int{"callers": callers}, &got)
			return sample{got.Took, w.issued(), got.Failed}, err
		}
		ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
		defer cancel()
		var failed atomic.Int64
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				if _, err := a.token(ctx); err != nil {
					failed.Add(1)
				}
			})
		}
		all.Wait()
		return sample{float64(time.Since(began)), w.issued(), float64(failed.Load())}, nil
	})
	printed := cells(medians, duration, digits)
	addFailed(printed, medians)
	return []row{{
		ID: "cold", What: "1,000 cold callers: until all have it; tokens issued", Cells: printed,
		Note: "WeChat answers a fetch after 5 ms here. The start of the SDK is in the time. The floor is one fetch.",
		Why:  "**Cold callers.** zhongkong opens a database, takes a lease and saves before the first caller has the token, once in the life of a database; a cache in memory, or a file without a lock, does none of that.",
	}}, err
}

// addFailed adds the third figure, of callers that got an error, where there are any.
func addFailed(printed map[string]figures.Cell, medians map[string]spread) {
	for name, s := range medians {
		if len(s.median) > 2 && s.median[2] > 0 {
			printed[name] = append(printed[name], said(digits(s.median[2])+" failed")...)
		}
	}
}

// superseded has another program fetch, and its token outlive ours.
func superseded(b *bench) ([]row, error) {
	const workers, each = 8, 25
	medians, err := turns(b.rounds, b.names(nil), func(name string) (sample, error) {
		w, err := b.newWorld(simulator.Options{})
		if err != nil {
			return nil, err
		}
		defer w.Close()
		p, err := peerNamed(name)
		if err != nil {
			return nil, err
		}
		a, err := b.opened(p, w.at)
		if err != nil {
			return nil, err
		}
		defer func() { _ = a.Close() }()
		if err := a.call(b.ctx); err != nil {
			return nil, err
		}
		before := w.issued()
		w.Supersede(w.AppID)
		w.Clock.Advance(5*time.Minute + time.Second)

		var failed atomic.Int64
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for range each {
					if a.call(b.ctx) != nil {
						failed.Add(1)
					}
				}
			})
		}
		all.Wait()
		return sample{float64(failed.Load()), w.issued() - before}, nil
	})
	printed := cells(medians, digits, digits)
	for name := range printed { // issuing no token is no merit while calls fail
		printed[name][1].Better = printed[name][1].Better && medians[name].median[0] <= medians[ours].median[0]
	}
	printed[floor] = said("0", "1")
	return []row{{
		ID: "superseded", What: "superseded from outside: of 200 calls, 8 at a time, failed; tokens issued", Cells: printed,
		Note: "Classic tokens; 5 minutes after another program fetched, when the old token is dead.",
	}}, err
}

// permanentError has a wrong AppSecret.
func permanentError(b *bench) ([]row, error) {
	const calls = 1000
	medians, err := turns(b.rounds, b.names(nil), func(name string) (sample, error) {
		w, err := b.newWorld(simulator.Options{})
		if err != nil {
			return nil, err
		}
		defer w.Close()
		p, err := peerNamed(name)
		if err != nil {
			return nil, err
		}
		wrong := w.at
		wrong.Secret = "00000000000000000000000000000000"
		a, err := b.open(p, wrong)
		if err != nil {
			return nil, err
		}
		defer func() { _ = a.Close() }()
		if n, ok := a.(*nodeAccount); ok {
			var each float64
			err := n.ask(b.ctx, "failing", map[string]int{"calls": calls}, &each)
			return sample{w.fetches(), each}, err
		}
		began := time.Now()
		for range calls {
			if token, err := a.token(b.ctx); err == nil && token != "" {
				return nil, errors.New("a token, with a wrong AppSecret")
			}
		}
		return sample{w.fetches(), float64(time.Since(began)) / calls}, nil
	})
	printed := cells(medians, digits, duration)
	printed[floor] = said("1")
	return []row{{
		ID: "wrong-secret", What: "wrong AppSecret, 1,000 calls in a row: requests to WeChat; time per call", Cells: printed,
		Note: "zhongkong tries a wrong AppSecret again after 10 minutes, and a corrected one at once.",
	}}, err
}

// storeDown has the Redis go away while a token lives.
func storeDown(b *bench) ([]row, error) {
	const what = "Redis killed while the token lives: calls failed; tokens issued per call; time per call"
	if b.redis != "" {
		return []row{{ID: "store-down", What: what}}, nil
	}
	const calls, patience = 20, 4 * time.Second
	medians, err := turns(b.rounds, b.names(onRedis), func(name string) (sample, error) {
		w, err := b.newWorld(simulator.Options{})
		if err != nil {
			return nil, err
		}
		defer w.Close()
		r, err := startRedis(b.ctx)
		if err != nil {
			return nil, err
		}
		defer r.stop()
		p, err := peerNamed(name)
		if err != nil {
			return nil, err
		}
		w.Redis = r.address
		a, err := b.opened(p, w.at)
		if err != nil {
			return nil, err
		}
		defer func() { _ = a.Close() }()
		before := w.issued()
		r.stop()
		var made, failed float64
		began := time.Now()
		for made < calls && time.Since(began) < patience {
			if token, err := a.token(b.ctx); err != nil || token == "" {
				failed++
			}
			made++
		}
		return sample{100 * failed / made, (w.issued() - before) / made, float64(time.Since(began)) / made}, nil
	})
	printed := cells(medians, percent, digits, duration)
	printed[floor] = said("0 %", "0")
	return []row{{
		ID: "store-down", What: what, Cells: printed,
		Note: "20 calls for the token, or as many as begin in 4 s. chanxuehong/wechat has no store, and fastwego/offiaccount's default is a file.",
	}}, err
}

func percent(x float64) string { return digits(x) + " %" }
