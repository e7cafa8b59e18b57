package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// nameVariable holds a process's name; its presence makes this program one of the
// fleet.
const nameVariable = "FLEET_NAME"

// child is one process of the fleet: a client on the common store. A real app does
// no more than this, apart from its own work.
func child(ctx context.Context) error {
	address := os.Getenv("ZHONGKONG_STORE")
	store, err := open.Open(ctx, address, open.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	if err := os.Unsetenv("ZHONGKONG_STORE"); err != nil { // the client is given the store itself
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
