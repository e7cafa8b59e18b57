package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// errands is what the calls of one process of a fleet came to.
type errands struct {
	Calls, Failed float64
	First         string // error
}

// fleet has 8 processes share one account on one Redis while its token ends 20
// times.
func fleet(b *bench) ([]row, error) {
	if b.redis != "" {
		return []row{{ID: "fleet", What: "8 processes, 20 ends of a token, on Redis"}}, nil
	}
	const processes, ends = 8, 20
	var rows []row
	for _, stable := range []bool{false, true} {
		for _, overlap := range []bool{true, false} {
			calls := make(map[string]float64)
			medians := make(map[string]sample)
			for _, name := range b.names(onRedis) {
				if name == "silenceper/wechat" && stable && !overlap {
					continue // it counts on the 5 minutes in which WeChat renews ahead
				}
				total, issued, err := b.fleetOf(name, stable, overlap, processes, ends)
				if err != nil {
					return nil, err
				}
				medians[name], calls[name] = sample{total.Failed, issued}, total.Calls
			}
			printed := cells(exactly(medians), digits, digits)
			for name, n := range calls {
				printed[name][0].Text += " of " + digits(n)
			}
			printed[floor] = said("0", strconv.Itoa(ends))
			id, what := "fleet-classic", "classic"
			if stable {
				id, what = "fleet-stable", "stable"
			}
			if !overlap {
				id, what = id+"-no-overlap", what+", without overlap"
			}
			rows = append(rows, row{
				ID: id, What: "8 processes on one Redis, 20 ends of a token, " + what + ": calls failed; tokens issued", Cells: printed,
				Why:  "**Tokens issued by 8 processes.** zhongkong renews ahead of the end, which with lives of a second is soon; nobody waits for it.",
				Note: "One run each, of 8 processes that call every 20 ms. A token is kept for 1 s, where WeChat's are for 7,200 s: zhongkong, which renews ahead of the end by up to half of a life so short, issues more than 20 here. With overlap a superseded token works on for 100 ms; silenceper/wechat's stable mode counts on WeChat's 5 minutes, and has them. The floor is one token for each end.",
			})
		}
	}
	return rows, nil
}

func (b *bench) fleetOf(name string, stable, overlap bool, processes, ends int) (total errands, issued float64, err error) {
	const hold = time.Second
	options := simulator.Options{Life: hold, Overlap: 100 * time.Millisecond, Events: -1}
	if name == "silenceper/wechat" {
		options.Life = hold + 1500*time.Second // it takes them off
		if stable {
			options.Life, options.Overlap = hold+300*time.Second, 300*time.Second
		}
	}
	if !overlap {
		options.Overlap = -1
	}
	w, err := b.newWorld(options)
	if err != nil {
		return total, 0, err
	}
	defer w.Close()
	if err := w.Update(w.AppID, func(a *simulator.Account) { a.DailyFetches, a.DailyForced, a.MinuteStable = -1, -1, -1 }); err != nil {
		return total, 0, err
	}
	r, err := startRedis(b.ctx)
	if err != nil {
		return total, 0, err
	}
	defer r.stop()
	w.Redis, w.Stable = r.address, stable
	var (
		mu    sync.Mutex
		wrong error
		all   sync.WaitGroup
	)
	for i := range processes {
		all.Go(func() {
			where := w.at
			where.Dir = filepath.Join(w.Dir, strconv.Itoa(i))
			var e errands
			err := os.Mkdir(where.Dir, 0o700)
			if err == nil {
				err = b.spawn("fleet", name, where, &e, (time.Duration(ends) * hold).String())
			}
			mu.Lock()
			defer mu.Unlock()
			total.Calls += e.Calls
			total.Failed += e.Failed
			wrong = errors.Join(wrong, err)
			if total.First == "" {
				total.First = e.First
			}
		})
	}
	all.Wait()
	if total.First != "" {
		fmt.Fprintf(os.Stderr, "        %s: %.160s\n", name, total.First)
	}
	return total, w.issued(), wrong
}

// childFleet calls until the time is over.
func childFleet(name string, where at, span string) (errands, error) {
	d, err := time.ParseDuration(span)
	if err != nil {
		return errands{}, err
	}
	p, err := peerNamed(name)
	if err != nil {
		return errands{}, err
	}
	a, err := p.open(where)
	if err != nil {
		return errands{}, err
	}
	var e errands
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		e.Calls++
		if err := a.call(context.Background()); err != nil {
			e.Failed++
			if e.First == "" {
				e.First = err.Error()
			}
		}
	}
	return e, a.Close()
}
