package example

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// SharedStore returns the URL of a store that several processes can share:
// ZHONGKONG_STORE, else a Redis that it starts, else a SQLite file in folder. end stops
// the Redis.
func SharedStore(ctx context.Context, folder string) (address string, end func(), err error) {
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
	if !answers(ctx, "127.0.0.1:"+port) {
		end()
		return "", nil, errors.New("redis-server did not start within 5 s")
	}
	fmt.Printf("A Redis of its own listens on 127.0.0.1:%s.\n", port)
	return "redis://127.0.0.1:" + port, end, nil
}

// answers waits until something listens at an address, for 5 s at most.
func answers(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", address); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}
