package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/redis"
)

// Some things need processes of their own: this program started again, with
// "child", what to do, and a peer's name.

// child does one of them and writes what it found out to standard output.
func child(what string, arguments []string) error {
	name := arguments[0]
	var where at
	if len(arguments) > 1 {
		if err := json.Unmarshal([]byte(arguments[1]), &where); err != nil {
			return err
		}
	}
	var result any
	var err error
	switch what {
	case "restart":
		err = childRestart(name, where)
	case "accounts":
		result, err = childAccounts(name, where, arguments[2])
	case "fleet":
		result, err = childFleet(name, where, arguments[2])
	default:
		err = errors.New("no such child: " + what)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// spawn starts a child; home is for what it writes.
func (b *bench) spawn(what, name string, where at, out any, more ...string) error {
	config, err := json.Marshal(where)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(b.ctx, program, append([]string{"child", what, name, string(config)}, more...)...)
	cmd.Env = append(os.Environ(), "HOME="+where.Dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("child %s %s: %w: %.500s", what, name, err, stderr.String())
	}
	if out == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	return json.Unmarshal([]byte(lines[len(lines)-1]), out)
}

// restarts starts a program ten times, which makes one call and ends.
func restarts(b *bench) ([]row, error) {
	const times = 10
	list := append([]string{floor}, b.names(nil)...)
	medians, err := turns(b.rounds, list, func(name string) (sample, error) {
		w, err := b.newWorld(simulator.Options{})
		if err != nil {
			return nil, err
		}
		defer w.Close()
		began := time.Now()
		for range times {
			if err := b.restart(name, w.at); err != nil {
				return nil, err
			}
		}
		return sample{w.issued(), float64(time.Since(began)) / times}, nil
	})
	return []row{{
		ID: "restarts", What: "ten restarts, one call each: tokens issued; time per process", Cells: cells(medians, digits, duration),
		Why:  "**Restarts.** zhongkong opens a database before it has the token; a cache in memory has nothing to open, nor to keep, and a file without a lock little.",
		Note: "Each with its default store, in processes of their own. The floor is a process that does nothing. silenceper/wechat and PowerWeChat also offer a Redis, which outlives a restart.",
	}}, err
}

// restart starts a program of a peer's and waits for its end.
func (b *bench) restart(name string, where at) error {
	if p, err := peerNamed(name); err != nil || !p.node {
		return b.spawn("restart", name, where, nil)
	}
	node, err := b.node(where, "once")
	if err != nil {
		return err
	}
	return node.Run()
}

func childRestart(name string, where at) error {
	if name == floor {
		return nil
	}
	p, err := peerNamed(name)
	if err != nil {
		return err
	}
	a, err := p.open(where)
	if err != nil {
		return err
	}
	return errors.Join(a.call(context.Background()), a.Close())
}

// footprint is what many accounts cost.
type footprint struct {
	Nanoseconds float64 // to make them
	Bytes       float64 // resident, less those of a process without any
}

// accounts makes 1, 1,000 and 10,000 accounts.
func accounts(b *bench) ([]row, error) {
	var rows []row
	var redis string
	if b.redis == "" {
		r, err := startRedis(b.ctx)
		if err != nil {
			return nil, err
		}
		defer r.stop()
		redis = r.address
	}
	for _, n := range []int{1, 1000, 10_000} {
		medians, err := turns(b.rounds, b.names(inGo), func(name string) (sample, error) {
			w, err := b.newWorld(simulator.Options{})
			if err != nil {
				return nil, err
			}
			defer w.Close()
			if name == ours {
				w.Redis = redis
			}
			var f footprint
			err = b.spawn("accounts", name, w.at, &f, strconv.Itoa(n))
			return sample{f.Nanoseconds, f.Bytes}, err
		})
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{
			ID: fmt.Sprintf(
				"accounts-%d",
				n,
			), What: fmt.Sprintf("%s %s: to make them; memory", thousands(n), map[bool]string{
				true:  "account",
				false: "accounts",
			}[n == 1]), Cells: cells(medians, duration, size),
			Why:  "**Accounts.** The peers do nothing until they are asked; zhongkong's Keepers know their place in the schedule, and look for their tokens from the start.",
			Note: "Made, and none asked for its token; the memory is what stays resident after a garbage collection, less that of the process before. zhongkong's are Keepers on one Scheduler and a Redis, which begin to load their tokens at once; the peers are on memory and do nothing until they are asked.",
		})
	}
	return rows, nil
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	if len(s) > 3 {
		s = s[:len(s)-3] + "," + s[len(s)-3:]
	}
	return s
}

// childAccounts makes n accounts.
func childAccounts(name string, where at, count string) (footprint, error) {
	n, err := strconv.Atoi(count)
	if err != nil {
		return footprint{}, err
	}
	before := resident()
	began := time.Now()
	kept, err := makeAccounts(name, where, n)
	if err != nil {
		return footprint{}, err
	}
	f := footprint{Nanoseconds: float64(time.Since(began))}
	f.Bytes = max(0, resident()-before)
	runtime.KeepAlive(kept)
	return f, nil
}

func makeAccounts(name string, where at, n int) (any, error) {
	if name != ours {
		p, err := peerNamed(name)
		if err != nil {
			return nil, err
		}
		kept := make([]account, n)
		for i := range kept {
			one := where
			one.AppID = fmt.Sprintf("wx%016x", i)
			if kept[i], err = p.open(one); err != nil {
				return nil, err
			}
		}
		return kept, nil
	}
	api, err := platform.New(platform.Config{Base: where.URL})
	if err != nil {
		return nil, err
	}
	var store custody.Store = memory.New()
	if where.Redis != "" {
		if store, err = redis.Open(context.Background(), "redis://"+where.Redis, redis.Options{}); err != nil {
			return nil, err
		}
	}
	secret, scheduler := custody.NewSecret(where.Secret), custody.NewScheduler(custody.SchedulerConfig{})
	kept := make([]*custody.Keeper, n)
	for i := range kept {
		appID := fmt.Sprintf("wx%016x", i)
		kept[i], err = custody.New(custody.Config{
			Key:   api.Key(appID, platform.Stable),
			Kind:  api.AccessToken(platform.Account{AppID: appID, Secret: secret}, platform.Stable),
			Store: store, Secret: secret, Scheduler: scheduler,
		})
		if err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// resident returns this process's memory in bytes.
func resident() float64 {
	runtime.GC()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.Sys - m.HeapReleased)
	}
	fields := strings.Fields(string(data))
	pages, _ := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize())
}

// binary builds the smallest program of each that gets a token.
func binary(b *bench) ([]row, error) {
	folders := map[string]string{
		floor: "nothing", ours: "zhongkong", "silenceper/wechat": "silenceper", "PowerWeChat": "powerwechat",
		"chanxuehong/wechat": "chanxuehong", "fastwego/offiaccount": "fastwego",
	}
	medians := make(map[string]sample)
	build := func(folder string) (sample, error) {
		out := filepath.Join(b.dir, folder)
		source := "./internal/smallest/" + folder
		compile := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, source)
		compile.Env = b.env // with its caches
		if output, err := compile.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build %s: %w\n%s", source, err, output)
		}
		info, err := os.Stat(out)
		if err != nil {
			return nil, err
		}
		list := exec.CommandContext(b.ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", source)
		list.Env = b.env
		modules, err := list.Output()
		if err != nil {
			return nil, err
		}
		set := make(map[string]bool)
		for module := range strings.FieldsSeq(string(modules)) {
			set[module] = true
		}
		return sample{float64(info.Size()), float64(len(set))}, nil
	}
	for name, folder := range folders {
		var err error
		if medians[name], err = build(folder); err != nil {
			return nil, err
		}
	}
	whole, err := build("gin")
	return []row{
		{
			ID: "binary", What: "smallest program that gets a token: binary, stripped; modules in it", Cells: cells(exactly(medians), size, digits),
			Note: "The floor is net/http and encoding/json. zhongkong's is a Keeper with StoreFunc; the module itself counts. Built once.",
			Why:  "**Binary and modules.** zhongkong brings failure handling, the scheduler and the errcodes.",
		},
		{
			ID: "binary-gin", What: "the same with the Gin middleware on SQLite", Cells: cells(exactly(map[string]sample{ours: whole}), size, digits),
			Note: "The peers have no Gin middleware. It brings Gin and SQLite, which is written in C.",
		},
	}, err
}
