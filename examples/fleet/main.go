// Command fleet shows what a fleet of processes does about one token.
//
//	go run ./examples/fleet
//
// starts two processes of one app on one Redis, against a simulated WeChat whose
// tokens live 30 s, and prints what each of them calls with. When one of them has
// renewed the token it is killed without warning; the other goes on; the first
// starts anew and fetches nothing. It ends by itself after 42 s.
//
// ZHONGKONG_STORE names another store (redis://, postgres://, mysql://, sqlite:).
// Without it, and without redis-server on this machine, a SQLite file is shared.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
)

const life = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := parent
	if os.Getenv(nameVariable) != "" {
		run = child
	}
	if err := run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the process ends, and with it what stop would undo
	}
}

// parent is WeChat, the store's landlord, and fate.
func parent(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "zhongkong-fleet-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	store, end, err := store(ctx, folder)
	if err != nil {
		return err
	}
	defer end()
	wx, err := simulator.New(simulator.Options{Life: life})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: wx, ReadHeaderTimeout: 10 * time.Second}
	defer func() { _ = server.Close() }()
	go func() { _ = server.Serve(listener) }()

	account := wx.Accounts()[0]
	processes := map[string]*exec.Cmd{}
	start := func(name string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, self) //nolint:gosec // this program
		cmd.Env = append(os.Environ(),
			nameVariable+"="+name, "ZHONGKONG_STORE="+store, "WECHAT_API_BASE=http://"+listener.Addr().String(),
			"WECHAT_APPID="+account.AppID, "WECHAT_APPSECRET="+account.Secret, "WECHAT_TOKEN_API="+string(platform.Classic))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		processes[name] = cmd
		return cmd.Start()
	}
	defer func() {
		for _, cmd := range processes {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()

	fmt.Printf("Two processes, A and B, call WeChat once in two seconds each; its tokens live %s.\n\n", life)
	for _, name := range []string{"A", "B"} {
		if err := start(name); err != nil {
			return err
		}
	}
	acts := []struct {
		after time.Duration
		say   string
		do    func() error
	}{
		{16 * time.Second, "The token was renewed, once for both. Now A is killed.", func() error {
			err := processes["A"].Process.Kill()
			_ = processes["A"].Wait()
			return err
		}},
		{15 * time.Second, "B renewed by itself. Now A starts again: it fetches nothing.", func() error { return start("A") }},
		{5 * time.Second, "Somebody else fetches behind our back, twice: the token is dead at once.", func() error {
			wx.Supersede(account.AppID)
			wx.Supersede(account.AppID)
			return nil
		}},
		{6 * time.Second, "One of them renewed, both went on, and no call failed.", func() error { return nil }},
	}
	for _, act := range acts {
		select {
		case <-time.After(act.after):
		case <-ctx.Done():
			return nil
		}
		fmt.Printf("\n--- %s\n\n", act.say)
		if err := act.do(); err != nil {
			return err
		}
	}
	stats := wx.Stats(account.AppID)
	fmt.Printf("WeChat issued %d tokens to the fleet in %d fetches, for %d calls of its API.\n", stats.Classic.Issued, stats.Classic.Calls, stats.APICalls)
	return nil
}

// store returns the URL of the store to share, and how to end it.
func store(ctx context.Context, folder string) (address string, end func(), err error) {
	if address = os.Getenv("ZHONGKONG_STORE"); address != "" {
		return address, func() {}, nil
	}
	program, _ := exec.LookPath("redis-server")
	if program == "" {
		fmt.Println("There is no redis-server here, so a SQLite file is shared instead.")
		return "sqlite:" + filepath.Join(folder, "zhongkong.db"), func() {}, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0") // finds a free port
	if err != nil {
		return "", nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return "", nil, err
	}
	_ = listener.Close()
	arguments := []string{"--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", ""}
	cmd := exec.CommandContext(ctx, program, arguments...) //nolint:gosec // found by LookPath
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for range 100 {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
			fmt.Printf("A Redis of its own listens on 127.0.0.1:%s.\n", port)
			return "redis://127.0.0.1:" + port, end, nil
		}
		time.Sleep(50 * time.Millisecond) // a server is starting
	}
	end()
	return "", nil, errors.New("redis-server did not start within 5 s")
}
