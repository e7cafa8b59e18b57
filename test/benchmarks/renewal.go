package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// life returns how long a token of WeChat's has to live for a peer to keep it for
// hold: each takes something off. 0 for a peer that keeps none so short.
func life(name string, hold time.Duration) time.Duration {
	switch name {
	case ours:
		return 2 * hold // it renews at half of a life so short
	case "silenceper/wechat":
		return hold + 1500*time.Second
	case "co-wechat-api":
		return hold + 10*time.Second
	case "chanxuehong/wechat":
		return 0 // 51 s at least
	default:
		return hold
	}
}

// renewal has 100 callers ask for a token again and again while it is renewed, by a
// fetch that takes a second.
func renewal(b *bench) ([]row, error) {
	const callers, slow, hold = 100, 100 * time.Millisecond, 3 * time.Second
	var list []string
	for _, name := range b.names(nil) {
		if life(name, hold) > 0 {
			list = append(list, name)
		}
	}
	medians, err := turns(min(b.rounds, 3), list, func(name string) (sample, error) {
		w, err := b.newWorld(simulator.Options{Life: life(name, hold), Events: -1})
		if err != nil {
			return nil, err
		}
		defer w.Close()
		if err := w.Update(w.AppID, func(a *simulator.Account) { a.DailyFetches = -1 }); err != nil {
			return nil, err
		}
		p, err := peerNamed(name)
		if err != nil {
			return nil, err
		}
		a, err := b.opened(p, w.at)
		if err != nil {
			return nil, err
		}
		defer func() { _ = a.Close() }()
		w.Delay(simulator.Fetches, time.Second)
		before := w.issued()
		ctx, cancel := context.WithTimeout(b.ctx, 15*time.Second)
		defer cancel()
		var blocked, failed atomic.Int64
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				waited, wrong := false, false
				for ctx.Err() == nil && w.issued() == before { // a call that began is ended
					began := now()
					_, err := a.token(ctx)
					waited, wrong = waited || now()-began > slow, wrong || err != nil
					time.Sleep(50 * time.Millisecond)
				}
				if waited {
					blocked.Add(1)
				}
				if wrong {
					failed.Add(1)
				}
			})
		}
		all.Wait()
		if w.issued() == before {
			return nil, errors.New("no renewal in 15 s")
		}
		return sample{float64(blocked.Load()), w.issued() - before, float64(failed.Load())}, nil
	})
	if err != nil {
		return nil, err
	}
	printed := cells(medians, digits, digits)
	addFailed(printed, medians)
	printed[floor] = said("0", "1")
	return []row{{
		ID: "renewal", What: "a renewal that takes 1 s, under 100 callers: callers that waited more than 100 ms; tokens issued", Cells: printed,
		Note: "Classic tokens, of such a life that each one renews after about 3 s; at most 3 rounds. Each caller asks every 50 ms until a new token was issued. chanxuehong/wechat is left out, since it keeps no token for less than 51 s: a timer renews it, and callers have the old one meanwhile.",
	}}, nil
}
