package main

import (
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/redis"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
	"github.com/zhongkong-go/zhongkong/test/benchmarks/figures"
)

// pushesPerSecond has 32 pushes at a time answered, with each store that keeps what
// was answered.
func pushesPerSecond(b *bench) ([]row, error) {
	const batch = 1000
	w, err := b.newWorld(simulator.Options{})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	file, err := sqlite.Open(b.ctx, filepath.Join(w.Dir, "zhongkong.db"), sqlite.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	stores := map[string]callback.Once{"memory": memory.New(), "SQLite": file}
	list := []string{"memory", "SQLite"}
	if b.redis == "" {
		r, err := startRedis(b.ctx)
		if err != nil {
			return nil, err
		}
		defer r.stop()
		shared, err := redis.Open(b.ctx, "redis://"+r.address, redis.Options{})
		if err != nil {
			return nil, err
		}
		defer func() { _ = shared.Close() }()
		stores["Redis"], list = shared, append(list, "Redis")
	}
	handlers := make(map[string]http.Handler)
	for name, store := range stores {
		if handlers[name], err = handleOursWith(store, w.at, true); err != nil {
			return nil, err
		}
	}
	medians, err := turns(b.rounds*2, list, func(name string) (sample, error) {
		pushes, err := b.pushes(w, batch, shortText)
		if err != nil {
			return nil, err
		}
		return burst(pushes, handlers[name])
	})
	if err != nil {
		return nil, err
	}
	r := row{
		ID: "pushes", What: "pushes answered a second, 32 at a time, by the store that keeps the answers",
		Note: "A text in safe mode and an encrypted reply, without a socket. SQLite writes to a file; this Redis keeps nothing on a disk; what memory has is gone with the process. The peers have no store for messages.",
	}
	r.Cells = make(map[string]figures.Cell)
	for _, name := range list {
		one := cells(map[string]spread{ours: medians[name]}, digits)[ours]
		one[0].Text += " with " + name
		r.Cells[ours] = append(r.Cells[ours], one...)
	}
	return []row{r}, nil
}

// burst has a handler answer pushes, 32 at a time, and returns how many there were a
// second.
func burst(pushes []push, handler http.Handler) (sample, error) {
	const workers = 32
	requests, recorders := make([]*http.Request, len(pushes)), make([]recorder, len(pushes))
	for i, p := range pushes {
		requests[i], recorders[i].header = p.request(), http.Header{}
	}
	var next atomic.Int64
	var all sync.WaitGroup
	began := now()
	for range workers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(pushes)); i = next.Add(1) - 1 {
				handler.ServeHTTP(&recorders[i], requests[i])
			}
		})
	}
	all.Wait()
	took := now() - began
	for i := range recorders {
		if err := recorders[i].answered(true); err != nil {
			return nil, err
		}
	}
	return sample{float64(len(pushes)) / took.Seconds()}, nil
}
