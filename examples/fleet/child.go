package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// nameVariable holds a process's name; with it this program is one of the fleet.
const nameVariable = "FLEET_NAME"

// processes are the fleet, by name.
type processes struct {
	running     map[string]*exec.Cmd
	environment []string
}

func (p processes) start(ctx context.Context, name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self) //nolint:gosec // this program
	cmd.Env = append(append(os.Environ(), p.environment...), nameVariable+"="+name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	p.running[name] = cmd
	return cmd.Start()
}

// kill kills processes without warning and waits for their end.
func (p processes) kill(names ...string) {
	for _, name := range names {
		if cmd := p.running[name]; cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
}

// child is one process of the fleet: a client on the shared store. A real app does no
// more than this, apart from its own work.
func child(ctx context.Context) error {
	address := os.Getenv("ZHONGKONG_STORE")
	store, err := open.Open(ctx, address, open.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	if err := os.Unsetenv("ZHONGKONG_STORE"); err != nil { // the client gets the open store
		return err
	}
	cfg, err := wechat.ConfigFromEnv()
	if err != nil {
		return err
	}
	cfg.Store, cfg.Logger = store, nil
	client, err := wechat.New(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()

	name := os.Getenv(nameVariable)
	for {
		err := client.Get(ctx, "/cgi-bin/get_api_domain_ip", nil, nil)
		switch s := client.Status(); {
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil:
			fmt.Printf("%s  failed: %v\n", name, err)
		default:
			fmt.Printf("%s  called with token …%04d (%s), %2.0f s left\n", name, s.Fence/1000%10000, s.Origin, s.Left.Seconds())
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}
