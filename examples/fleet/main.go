// Command fleet shows how several processes share one token.
//
//	go run ./examples/fleet
//
// starts two processes of one app on one Redis, against a simulated WeChat whose
// tokens live 30 s, and prints the token that each of them calls with. After a renewal
// one of them is killed; the other renews the token in time; the first starts again and
// fetches nothing. The example ends after 42 s.
//
// ZHONGKONG_STORE names another store (redis://, postgres://, mysql://, sqlite:).
// Without it, and without redis-server on this machine, a SQLite file is shared.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/zhongkong-go/zhongkong/examples/internal/example"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/simulator"
)

const life = 30 * time.Second

func main() {
	if os.Getenv(nameVariable) != "" {
		example.Main(child)
		return
	}
	example.Main(parent)
}

// parent starts WeChat, the store and the processes, and tells the story.
func parent(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "zhongkong-fleet-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	store, end, err := example.SharedStore(ctx, folder)
	if err != nil {
		return err
	}
	defer end()
	wx, err := example.Simulator(ctx, simulator.Options{Life: life})
	if err != nil {
		return err
	}
	defer wx.Close()
	account := wx.Accounts()[0]
	all := processes{running: map[string]*exec.Cmd{}, environment: []string{
		"ZHONGKONG_STORE=" + store, "WECHAT_API_BASE=" + wx.URL,
		"WECHAT_APPID=" + account.AppID, "WECHAT_APPSECRET=" + account.Secret, "WECHAT_TOKEN_API=" + string(platform.Classic),
	}}
	defer all.kill("A", "B")

	fmt.Printf("WeChat's side of it, in a browser: %s\n", wx.Page)
	fmt.Printf("Two processes, A and B, call WeChat once in two seconds each; its tokens live %s.\n\n", life)
	for _, name := range []string{"A", "B"} {
		if err := all.start(ctx, name); err != nil {
			return err
		}
	}
	acts := []struct {
		after time.Duration
		say   string
		do    func() error
	}{
		{16 * time.Second, "The token was renewed, once for both. Now A is killed.", func() error {
			all.kill("A")
			return nil
		}},
		{15 * time.Second, "B renewed the token. Now A starts again: it fetches nothing.", func() error { return all.start(ctx, "A") }},
		{5 * time.Second, "Somebody else fetches behind our back, twice: the token is invalid at once.", func() error {
			wx.Supersede(account.AppID)
			wx.Supersede(account.AppID)
			return nil
		}},
		{6 * time.Second, "One of them renewed the token, both continued, and no call failed.", func() error { return nil }},
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
