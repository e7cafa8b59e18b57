package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// redisMissing returns why there is no Redis to be had, "" when there is one.
func redisMissing() string {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "Not measured: redis-server is not installed."
	}
	return ""
}

// quiet takes what go-redis says when a Redis is killed on purpose.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// redisServer is a Redis on loopback, in a temporary folder.
type redisServer struct {
	address string
	dir     string
	process *exec.Cmd
	once    sync.Once
}

func startRedis(ctx context.Context) (*redisServer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "zhongkong-redis-")
	if err != nil {
		return nil, err
	}
	s := &redisServer{address: "127.0.0.1:" + strconv.Itoa(port), dir: dir}
	s.process = exec.CommandContext(context.WithoutCancel(ctx), "redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--dir", dir, "--loglevel", "warning")
	if err := s.process.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
		if err == nil {
			return s, conn.Close()
		}
	}
	s.stop()
	return nil, fmt.Errorf("redis-server does not answer on %s", s.address)
}

// stop kills it. Stopping twice is safe.
func (s *redisServer) stop() {
	s.once.Do(func() {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		_ = os.RemoveAll(s.dir)
	})
}
